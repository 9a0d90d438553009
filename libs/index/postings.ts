// libs/index/postings.ts: which series carry a label pair: one posting list per pair number.
// Most label values belong to one series, so the first posting is a table entry and costs no object; up to 63 are a
// sorted Uint32Array, from 64 on a roaring bitmap. Series numbers arrive in ascending order and are never removed here.
import { type Bitmap, createBitmap } from "./bitmap.ts";

/** From this length on a list is a bitmap (protocol.md §3). */
export const BITMAP_FROM = 64;

/** Posting lists, numbered from 0 by the caller without gaps. */
export class PostingTable {
  private first = new Uint32Array(1024);
  private counts = new Uint32Array(1024);
  private readonly runs = new Map<number, Uint32Array>();
  private readonly bitmaps = new Map<number, Bitmap>();

  /** Appends a series to list `list`. Series must ascend within a list; the same series again is ignored. */
  add(list: number, series: number): void {
    if (list >= this.first.length) this.grow(list);
    const count = this.counts[list]!;
    if (count === 0) {
      this.first[list] = series;
      this.counts[list] = 1;
      return;
    }
    if (count === 1) {
      if (this.first[list] === series) return;
      const run = new Uint32Array(4);
      run[0] = this.first[list]!;
      run[1] = series;
      this.runs.set(list, run);
    } else if (count < BITMAP_FROM - 1) {
      let run = this.runs.get(list)!;
      if (run[count - 1] === series) return;
      if (count === run.length) {
        const larger = new Uint32Array(run.length * 2);
        larger.set(run);
        this.runs.set(list, larger);
        run = larger;
      }
      run[count] = series;
    } else if (count === BITMAP_FROM - 1) {
      const run = this.runs.get(list)!;
      if (run[count - 1] === series) return;
      const bitmap = createBitmap(run.subarray(0, count));
      bitmap.add(series);
      this.runs.delete(list);
      this.bitmaps.set(list, bitmap);
    } else {
      const bitmap = this.bitmaps.get(list)!;
      bitmap.add(series);
      this.counts[list] = bitmap.size;
      return;
    }
    this.counts[list] = count + 1;
  }

  /** How many series list `list` holds. */
  size(list: number): number {
    return list < this.counts.length ? this.counts[list]! : 0;
  }

  /** ORs list `list` into a bitmap the caller owns. */
  orInto(target: Bitmap, list: number): void {
    const count = this.size(list);
    if (count === 0) return;
    if (count === 1) target.add(this.first[list]!);
    else if (count < BITMAP_FROM) target.addMany(this.runs.get(list)!.subarray(0, count));
    else target.orInPlace(this.bitmaps.get(list)!);
  }

  /** A new bitmap of list `list`; the caller disposes of it. */
  toBitmap(list: number): Bitmap {
    if (this.size(list) >= BITMAP_FROM) return this.bitmaps.get(list)!.clone();
    const bitmap = createBitmap();
    this.orInto(bitmap, list);
    return bitmap;
  }

  /** Intersects a bitmap the caller owns with list `list`. */
  andInto(target: Bitmap, list: number): void {
    if (this.size(list) >= BITMAP_FROM) {
      target.andInPlace(this.bitmaps.get(list)!);
      return;
    }
    const own = this.toBitmap(list);
    target.andInPlace(own);
    own.dispose();
  }

  /** Bytes of the tables and runs; bitmaps are counted by the roaring package itself. */
  get sizeBytes(): number {
    let bytes = this.first.byteLength + this.counts.byteLength;
    for (const run of this.runs.values()) bytes += run.byteLength;
    return bytes;
  }

  dispose(): void {
    for (const bitmap of this.bitmaps.values()) bitmap.dispose();
    this.bitmaps.clear();
    this.runs.clear();
  }

  private grow(list: number): void {
    let capacity = this.first.length;
    while (capacity <= list) capacity *= 2;
    const first = new Uint32Array(capacity);
    first.set(this.first);
    this.first = first;
    const counts = new Uint32Array(capacity);
    counts.set(this.counts);
    this.counts = counts;
  }
}
