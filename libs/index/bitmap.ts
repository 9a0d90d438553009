// libs/index/bitmap.ts: roaring bitmaps of series numbers; the only importer of roaring and roaring-wasm.
// The native package is used where it could be compiled, the WebAssembly build of the same CRoaring elsewhere. A bitmap
// is native memory that the garbage collector doesn't see: whoever makes one disposes of it.
import { createRequire } from "node:module";

/** What we use of a roaring bitmap; both packages have it. */
export interface Bitmap {
  readonly size: number;
  add(value: number): unknown;
  addMany(values: Uint32Array): unknown;
  has(value: number): boolean;
  andInPlace(other: Bitmap): unknown;
  andNotInPlace(other: Bitmap): unknown;
  orInPlace(other: Bitmap): unknown;
  clone(): Bitmap;
  toUint32Array(): Uint32Array;
  dispose(): unknown;
}

type BitmapClass = new (values?: Uint32Array) => Bitmap;

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

function chooseImplementation(): "native" | "wasm" {
  if (process.env.TIDEMARK_ROARING === "wasm") return "wasm";
  try {
    require("roaring");
    return "native";
  } catch {
    return "wasm"; // Installed without a compiler: the package is there, its addon is not.
  }
}
