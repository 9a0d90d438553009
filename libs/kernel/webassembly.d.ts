// libs/kernel/webassembly.d.ts: the part of the WebAssembly JavaScript API that the kernels' loader uses.
// TypeScript declares it in the DOM library only, which a server must not see.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, Memory>>);
    readonly exports: object;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: boolean });
    readonly buffer: SharedArrayBuffer;
  }
}
