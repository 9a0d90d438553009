// libs/index/postings.ts: which series carry a label pair: one posting list per pair number.
// Most label values belong to one series, so the first posting is a table entry and costs no object; up to 63 are a
// sorted Uint32Array, from 64 on a roaring bitmap; a list that shrinks keeps its form until it is half as long.
import { type Bitmap, createBitmap } from "./bitmap.ts";

/** From this length on a list is a bitmap (protocol.md §3). */
export const BITMAP_FROM = 64;

/** Posting lists, numbered from 0 by the caller without gaps. */
export class PostingTable {
  private first = new Uint32Array(1024);
  private counts = new Uint32Array(1024);
  private readonly runs = new Map<number, Uint32Array>();
  private readonly bitmaps = new Map<number, Bitmap>();

  /** Adds a series to list `list`; cheapest at its end. The same series again is ignored. */
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
      run[0] = Math.min(this.first[list]!, series);
      run[1] = Math.max(this.first[list]!, series);
      this.runs.set(list, run);
    } else if (!this.bitmaps.has(list) && count < BITMAP_FROM - 1) {
      let run = this.runs.get(list)!;
      const at = placeIn(run, count, series);
      if (at < count && run[at] === series) return;
      if (count === run.length) {
        const larger = new Uint32Array(run.length * 2);
        larger.set(run);
        this.runs.set(list, larger);
        run = larger;
      }
      run.copyWithin(at + 1, at, count);
      run[at] = series;
    } else if (!this.bitmaps.has(list)) {
      const run = this.runs.get(list)!;
      if (run[placeIn(run, count, series)] === series) return;
      const bitmap = createBitmap(run.subarray(0, count));
      bitmap.add(series);
      this.runs.delete(list);
      this.bitmaps.set(list, bitmap);
    } else {
      if (this.bitmaps.get(list)!.tryAdd(series)) this.counts[list] = count + 1;
      return;
    }
    this.counts[list] = count + 1;
  }

  /** Takes a series that is in list `list` out of it. */
  remove(list: number, series: number): void {
    const count = this.counts[list]!;
    const bitmap = this.bitmaps.get(list);
    if (bitmap !== undefined) {
      bitmap.remove(series);
      this.counts[list] = bitmap.size;
      if (bitmap.size > BITMAP_FROM / 2) return;
      const run = new Uint32Array(BITMAP_FROM);
      run.set(bitmap.toUint32Array());
      bitmap.dispose();
      this.bitmaps.delete(list);
      this.runs.set(list, run);
      return;
    }
    if (count > 1) {
      const run = this.runs.get(list)!;
      run.copyWithin(placeIn(run, count, series), placeIn(run, count, series) + 1, count);
      if (count === 2) {
        this.first[list] = run[0]!;
        this.runs.delete(list);
      }
    }
    this.counts[list] = count - 1;
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
    else {
      const bitmap = this.bitmaps.get(list);
      if (bitmap !== undefined) target.orInPlace(bitmap);
      else target.addMany(this.runs.get(list)!.subarray(0, count));
    }
  }

  /** A new bitmap of list `list`; the caller disposes of it. */
  toBitmap(list: number): Bitmap {
    const known = this.bitmaps.get(list);
    if (known !== undefined) return known.clone();
    const bitmap = createBitmap();
    this.orInto(bitmap, list);
    return bitmap;
  }

  /** Intersects a bitmap the caller owns with list `list`. */
  andInto(target: Bitmap, list: number): void {
    const known = this.bitmaps.get(list);
    if (known !== undefined) {
      target.andInPlace(known);
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

/** Where in the first `count` ascending numbers of a run a number is, or would be. */
function placeIn(run: Uint32Array, count: number, series: number): number {
  if (run[count - 1]! < series) return count;
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (run[middle]! < series) low = middle + 1;
    else high = middle;
  }
  return low;
}
