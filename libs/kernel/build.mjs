// libs/kernel/build.mjs: compiles every libs/kernel/assembly/NAME.ts to dist/kernel/NAME.wasm when its sources are newer.
// `node libs/kernel/build.mjs [NAME…]`; prints nothing when there is nothing to do. A module with a data segment, or with
// any import but the memory, fails the build: several threads run instances over one memory, which would be initialised again.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const sourceDir = path.join(here, "assembly");
const outputDir = path.join(here, "..", "..", "dist", "kernel");

const FLAGS = [
  ...["-O3", "--converge", "--noAssert", "--runtime", "stub"],
  ...["--enable", "simd", "--enable", "threads", "--enable", "bulk-memory"],
  ...["--importMemory", "--noExportMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
];

const SECTION_IMPORT = 2;
const SECTION_DATA = 11;

/** The sections of a WebAssembly binary: id → content. */
function sectionsOf(bytes) {
  const sections = new Map();
  let at = 8;
  const uvarint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const id = bytes[at++];
    const length = uvarint();
    sections.set(id, bytes.subarray(at, at + length));
    at += length;
  }
  return sections;
}

/** Refuses a module that could not run over a memory shared by threads. */
function checkModule(name, bytes) {
  const sections = sectionsOf(bytes);
  if ((sections.get(SECTION_DATA)?.[0] ?? 0) !== 0) {
    throw new Error(`cannot use kernel ${name}: got a data segment; want no static data, strings or arrays`);
  }
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
  if (imports.length !== 1 || imports[0].kind !== "memory" || !sections.has(SECTION_IMPORT)) {
    const names = imports.map((i) => `${i.module}.${i.name}`).join(", ");
    throw new Error(`cannot use kernel ${name}: got imports ${names}; want env.memory alone (no new, no throw)`);
  }
}

async function compile(name) {
  const { default: asc } = await import("assemblyscript/asc");
  let output;
  let messages = "";
  const result = await asc.main([`${name}.ts`, "--outFile", `${name}.wasm`, ...FLAGS], {
    readFile: (file, base) => {
      const full = path.resolve(sourceDir, base === "." ? file : path.join(base, file));
      return fs.existsSync(full) ? fs.readFileSync(full, "utf8") : null;
    },
    writeFile: (file, content) => {
      if (file.endsWith(".wasm")) output = content;
    },
    listFiles: () => [],
    stderr: {
      write(text) {
        messages += text;
        return true;
      },
    },
  });
  if (result.error || output === undefined) throw new Error(`cannot compile kernel ${name}:\n${messages}`);
  const warnings = messages.replace("Last converge was suboptimal.", "").trim();
  if (warnings !== "") process.stderr.write(`${warnings}\n`);
  checkModule(name, output);
  return output;
}

/** Compiles what is out of date, all entries or the named ones. */
export async function buildKernels(names = []) {
  const shared = [fileURLToPath(import.meta.url)];
  for (const file of fs.readdirSync(path.join(sourceDir, "lib"))) shared.push(path.join(sourceDir, "lib", file));
  const sharedMs = Math.max(...shared.map((file) => fs.statSync(file).mtimeMs));
  for (const file of fs.readdirSync(sourceDir)) {
    if (!file.endsWith(".ts")) continue;
    const name = file.slice(0, -3);
    if (names.length > 0 && !names.includes(name)) continue;
    const target = path.join(outputDir, `${name}.wasm`);
    const sourceMs = Math.max(sharedMs, fs.statSync(path.join(sourceDir, file)).mtimeMs);
    if (fs.existsSync(target) && fs.statSync(target).mtimeMs >= sourceMs) continue;
    const started = performance.now();
    const bytes = await compile(name);
    fs.mkdirSync(outputDir, { recursive: true });
    const draft = `${target}.${process.pid}`;
    fs.writeFileSync(draft, bytes);
    fs.renameSync(draft, target);
    process.stdout.write(`kernel ${name}: ${bytes.length} bytes, ${Math.round(performance.now() - started)} ms\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildKernels(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
}
