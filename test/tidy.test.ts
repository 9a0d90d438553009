// test/tidy.test.ts: the house rules. Each failure names the file, the rule and the fix.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { flagName, METRICS } from "../libs/runtime/index.ts";
import { ALL_FLAGS, INSERT_FLAGS, SELECT_FLAGS, STORAGE_FLAGS } from "../services/cli/index.ts";
import { ROOT } from "./needs.ts";

/** Folders of libs by layer; a folder imports only from lower layers. */
const LAYERS = [
  ["model"],
  ["env", "kernel"],
  ["chunk", "index"],
  ["wal", "block", "promql", "cluster"],
  ["side"],
  ["tsdb", "rpc", "runtime"],
];
const LINES_MAX = 600;
const BANNED_NAMES = /^(utils?|common|helpers?|types|manager|misc)(\.|$)/;
const IMPURE = /\b(Date\.now|Math\.random|performance\.now|setTimeout|setInterval|console\.\w+)\s*\(|["']node:fs/;
const IMPURE_ALLOWED = /^(libs\/(env|runtime|kernel\/load\.ts|rpc)|services)\b/;

interface Source {
  readonly path: string;
  readonly text: string;
}

function filesBelow(folder: string, accept: (name: string) => boolean): string[] {
  const out: string[] = [];
  let entries: string[];
  try {
    entries = readdirSync(join(ROOT, folder)).sort();
  } catch {
    return out;
  }
  for (const name of entries) {
    const path = `${folder}/${name}`;
    if (statSync(join(ROOT, path)).isDirectory()) out.push(...filesBelow(path, accept));
    else if (accept(name)) out.push(path);
  }
  return out;
}

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const isSource = (name: string): boolean => /\.(ts|mjs)$/.test(name);
const sources: Source[] = [...filesBelow("libs", isSource), ...filesBelow("services", isSource)].map((path) => ({
  path,
  text: read(path),
}));
const tests: Source[] = filesBelow("test", isSource).map((path) => ({ path, text: read(path) }));
const everything = [...sources, ...tests];
const isAssembly = (s: Source): boolean => s.path.startsWith("libs/kernel/assembly/");
const header = (s: Source): string => /^(?:#!.*\n)?((?:\/\/.*\n?)+)/.exec(s.text)?.[1] ?? "";
const imports = (s: Source): string[] =>
  [...s.text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^;"']*?["']([^"']+)["']/g)].map((m) => m[1]!);

/** Fails with one line per offence. */
function expectNone(offences: string[]): void {
  expect(offences.join("\n")).toBe("");
}

/** "libs/wal" or "services/select" for a path below it. */
function houseOf(path: string): string {
  return path.split("/").slice(0, 2).join("/");
}

function layerOf(house: string): number {
  if (house.startsWith("services/")) return LAYERS.length;
  return LAYERS.findIndex((names) => names.includes(house.slice("libs/".length)));
}

describe("house rules", () => {
  test("every folder of libs has a layer", () => {
    expectNone(
      [...new Set(sources.map((s) => houseOf(s.path)))]
        .filter((house) => layerOf(house) < 0)
        .map((house) => `${house}: not in design's import order; add it to LAYERS`),
    );
  });

  test("imports run one way and enter a folder through its index.ts", () => {
    const offences: string[] = [];
    for (const s of sources.filter((one) => !isAssembly(one))) {
      const own = houseOf(s.path);
      for (const specifier of imports(s)) {
        if (!specifier.startsWith(".")) continue;
        const target = relative(ROOT, join(ROOT, dirname(s.path), specifier));
        const other = houseOf(target);
        if (other === own) continue;
        if (basename(target) !== "index.ts")
          offences.push(`${s.path}: imports ${target}; enter ${other} by its index.ts`);
        if (own === "services/cli" && other.startsWith("services/")) continue;
        if (layerOf(other) >= layerOf(own)) offences.push(`${s.path}: imports ${other}, which is not below ${own}`);
        if (own === "libs/promql" && other !== "libs/model") offences.push(`${s.path}: promql may import model only`);
      }
    }
    expectNone(offences);
  });

  test("every file says what it is, and is one concept long", () => {
    const offences: string[] = [];
    for (const s of everything) {
      if (!header(s).includes(`${s.path}: `)) offences.push(`${s.path}: wants a header "// ${s.path}: what it is"`);
      const lines = s.text.split("\n").length;
      if (lines > LINES_MAX) offences.push(`${s.path}: ${lines} lines; want at most ${LINES_MAX}`);
      for (const part of s.path.split("/")) {
        if (BANNED_NAMES.test(part)) offences.push(`${s.path}: "${part}" names no concept`);
      }
    }
    expectNone(offences);
  });

  test("clock, disk and chance come in through libs/env", () => {
    const offences: string[] = [];
    for (const s of sources.filter((one) => !isAssembly(one) && one.path.endsWith(".ts"))) {
      if (IMPURE_ALLOWED.test(s.path)) continue;
      s.text.split("\n").forEach((line, i) => {
        if (IMPURE.test(line.replace(/\/\/.*$/, ""))) offences.push(`${s.path}:${i + 1}: ${line.trim()}`);
      });
    }
    expectNone(offences);
  });

  test("a hot file has a bench of its name and a test against a twin", () => {
    const offences: string[] = [];
    for (const s of sources.filter((one) => /^\/\/ HOT:/m.test(header(one)))) {
      const name = basename(s.path).replace(/\.ts$/, "");
      if (!tests.some((t) => t.path === `test/bench/${name}.bench.ts`))
        offences.push(`${s.path}: wants test/bench/${name}.bench.ts`);
      if (!tests.some((t) => t.path.endsWith(".test.ts") && t.text.includes(name) && /twin/i.test(t.text))) {
        offences.push(`${s.path}: wants a test that names ${name} and its twin`);
      }
    }
    expectNone(offences);
  });

  test("formats are documented beside their code and agree on magic numbers", () => {
    const offences: string[] = [];
    for (const path of filesBelow("libs", (name) => name === "FORMAT.md")) {
      const text = read(path);
      if (!/version 1\b/i.test(text)) offences.push(`${path}: wants a version`);
      const code = sources.filter((s) => s.path.startsWith(`${dirname(path)}/`)).map((s) => s.text.toLowerCase());
      for (const [, magic] of text.matchAll(/magic `?(0x[0-9a-f]+)/gi)) {
        const digits = magic!.toLowerCase().slice(2);
        if (!code.some((c) => c.replaceAll("_", "").includes(digits)))
          offences.push(`${path}: ${magic} is in no source of this folder`);
      }
    }
    expectNone(offences);
  });

  test("flags, metrics and routes are documented", () => {
    const docs = `${read("README.md")}\n${read("ARCHITECTURE.md")}`;
    const flags = [ALL_FLAGS, INSERT_FLAGS, SELECT_FLAGS, STORAGE_FLAGS].flatMap((table) =>
      Object.keys(table).map(flagName),
    );
    const routes = sources.flatMap((s) => [
      ...[...s.text.matchAll(/["'`](\/-\/[a-z]+)["'`]/g)].map((m) => m[1]!),
      ...[...s.text.matchAll(/\bpath: "([a-z_/:]+)", acceptsPost/g)].map((m) => `/api/v1/${m[1]!}`),
    ]);
    const wanted = [...new Set([...flags, ...Object.keys(METRICS), ...routes])];
    expect(flags.length).toBeGreaterThan(20);
    expect(routes.length).toBeGreaterThan(5);
    expectNone(
      wanted
        .filter((name) => !docs.includes(`\`${name}`))
        .map((name) => `${name} is in neither README.md nor ARCHITECTURE.md`),
    );
  });

  test("every dependency is used", () => {
    const pack = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
    const text =
      everything.map((s) => s.text).join("\n") + read("Makefile") + read("vitest.config.ts") + read("tsconfig.json");
    const used = (name: string): boolean =>
      text.includes(`"${name}"`) ||
      text.includes(`"${name}/`) ||
      text.includes(`(BIN)/${basename(name)}`) ||
      text.includes(`/${name}/`) ||
      (name === "@types/node" && text.includes('"types": ["node"]')) ||
      (name === "@biomejs/biome" && text.includes("(BIN)/biome")) ||
      (name === "typescript" && text.includes("(BIN)/tsc"));
    expectNone(
      [...Object.keys(pack.dependencies ?? {}), ...Object.keys(pack.devDependencies ?? {})]
        .filter((name) => !used(name))
        .map((name) => `package.json: ${name} is used by nothing; remove it`),
    );
    const lock = read("package-lock.json");
    expect(lock.includes('"resolved"')).toBe(false);
  });

  test("no test is switched off, no work is left as a note", () => {
    const offences: string[] = [];
    for (const s of everything.filter((one) => one.path !== "test/tidy.test.ts")) {
      s.text.split("\n").forEach((line, i) => {
        if (/\b(?:it|test|describe)\.(?:only|todo|skip)\(/.test(line))
          offences.push(`${s.path}:${i + 1}: ${line.trim()}`);
        if (/\b(?:TODO|FIXME|XXX|HACK)\b/.test(line)) offences.push(`${s.path}:${i + 1}: ${line.trim()}`);
      });
    }
    expectNone(offences);
  });
});
