// libs/kernel/load.ts: finds and instantiates a compiled kernel over a given shared memory.
// The kernel's bytes are part of the program (dist/kernel/NAME.wasm), found the same way from the sources and from dist/.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InternalError } from "../model/index.ts";

const modules = new Map<string, WebAssembly.Module>();

/** The folder that holds package.json, at or above this file. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const above = dirname(folder);
    if (above === folder)
      throw new InternalError("cannot find the package: got no package.json; want one above the code");
    folder = above;
  }
  return folder;
}

/**
 * Instantiates kernel `name` over `memory`. Compiled once per process and name; takes a few milliseconds the first time.
 * `Exports` is the wrapper's interface of the kernel's functions. Errors: InternalError when the kernel was not built.
 */
export function loadKernel<Exports extends object>(name: string, memory: WebAssembly.Memory): Exports {
  let module = modules.get(name);
  if (module === undefined) {
    const file = join(packageRoot(), "dist", "kernel", `${name}.wasm`);
    if (!existsSync(file)) throw new InternalError(`cannot load kernel: got no ${file}; want it built by make build`);
    module = new WebAssembly.Module(readFileSync(file));
    modules.set(name, module);
  }
  return new WebAssembly.Instance(module, { env: { memory } }).exports as Exports;
}

export const PAGE_BYTES = 65_536;

/**
 * A shared memory of fixed size: initial equals maximum, because growing would silently leave old views behind.
 * Untouched pages take address space but no RSS. `sizeBytes` (at most 4 GiB) is rounded up to whole pages.
 */
export function createMemory(sizeBytes: number): WebAssembly.Memory {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}
