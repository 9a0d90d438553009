// libs/index/bitmap.ts: roaring bitmaps of series numbers; the only importer of roaring and roaring-wasm.
// The native package is used where it could be compiled, the WebAssembly build of the same CRoaring elsewhere. A bitmap
// is native memory that the garbage collector doesn't see: whoever makes one disposes of it.
import { createRequire } from "node:module";

/** What we use of a roaring bitmap; both packages have it. */
export interface Bitmap {
  readonly size: number;
  add(value: number): unknown;
  /** Whether it was not there. */
  tryAdd(value: number): boolean;
  addMany(values: Uint32Array): unknown;
  /** Adds from … end − 1. */
  addRange(from: number, end: number): unknown;
  remove(value: number): unknown;
  has(value: number): boolean;
  andInPlace(other: Bitmap): unknown;
  andNotInPlace(other: Bitmap): unknown;
  orInPlace(other: Bitmap): unknown;
  clone(): Bitmap;
  toUint32Array(): Uint32Array;
  /** Packs runs; to be called before `serialize`. */
  runOptimize(): unknown;
  serialize(format: "portable"): Uint8Array;
  dispose(): unknown;
}

interface BitmapClass {
  new (values?: Uint32Array): Bitmap;
  deserialize(bytes: Uint8Array, format: "portable"): Bitmap;
}

const require = createRequire(import.meta.url);

/** Which implementation runs in this process; reported in the start-up log. */
export const bitmapImplementation: "native" | "wasm" = chooseImplementation();

const RoaringBitmap = (
  require(bitmapImplementation === "native" ? "roaring" : "roaring-wasm") as {
    RoaringBitmap32: BitmapClass;
  }
).RoaringBitmap32;

export function createBitmap(values?: Uint32Array): Bitmap {
  return values === undefined ? new RoaringBitmap() : new RoaringBitmap(values);
}

/** The bitmap that was serialized; its bytes must be known to be whole. */
export function bitmapOf(bytes: Uint8Array): Bitmap {
  return RoaringBitmap.deserialize(bytes, "portable");
}

function chooseImplementation(): "native" | "wasm" {
  if (process.env.TIDEMARK_ROARING === "wasm") return "wasm";
  try {
    require("roaring");
    return "native";
  } catch {
    return "wasm"; // Installed without a compiler: the package is there, its addon is not.
  }
}
