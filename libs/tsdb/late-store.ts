// libs/tsdb/late-store.ts: samples that came too late for the head's chunks: per series a sorted column of (time,
// value).
// Invariants: within a series times strictly ascend over all its blocks, no block is empty, a block holds at most
// BLOCK_SAMPLES, so that inserting moves no more and any order of arrival is cheap.
// A series without late samples costs next to nothing. Mostly a sample is newer than its series' others: that needs no search.
import { beats, type SampleColumns } from "../kernel/index.ts";
import { BLOCK_SAMPLES, BLOCK_SAMPLES_FIRST, LateBlocks } from "./late-blocks.ts";

/** A block that is full and has so much room gets a successor; a smaller one gets more room. */
const BLOCK_SAMPLES_KEPT = 32;
/** Series of a page of the table by series number. */
const PAGE_BITS = 12;
const PAGE_SERIES = 1 << PAGE_BITS;
const NO_WORDS = new Uint32Array(0);

/** What became of a late sample. */
export type LateResult = "stored" | "duplicate" | "outvoted";

/** Sorted columns of late samples by series number. */
export class LateStore {
  private readonly blocks = new LateBlocks();
  /** By series number, in pages: its last block, plus 1; 0: none. */
  private readonly lasts: (Uint32Array | undefined)[] = [];
  /** The blocks of a series that has several, in the order of their times. */
  private readonly lists = new Map<number, number[]>();
  private readonly present = new Set<number>();
  private samples = 0;
  /** Of all samples. */
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;
  /** The column of values inserted from last, and its words. */
  private source: Float64Array | undefined;
  private sourceWords: Uint32Array = NO_WORDS;

  /** The first and the last time of any series; infinities the wrong way round when there is none. */
  get minMs(): number {
    return this.low;
  }

  get maxMs(): number {
    return this.high;
  }

  get sampleCount(): number {
    return this.samples;
  }

  get seriesCount(): number {
    return this.present.size;
  }

  get sizeBytes(): number {
    return this.blocks.sizeBytes;
  }

  /**
   * Inserts sample `i` of the columns. "stored": it is new, or wins over another value of its time; only then it needs
   * a
   * place in the log. Cost: a binary search, and a move of at most BLOCK_SAMPLES samples; for the newest of its series neither.
   */
  insert(columns: SampleColumns, i: number): LateResult {
    const { blocks } = this;
    const time = columns.times[i]!;
    const series = columns.series[i]!;
    const words = this.wordsOf(columns.values);
    const low = words[i * 2]!;
    const high = words[i * 2 + 1]!;
    if (time < this.low) this.low = time;
    if (time > this.high) this.high = time;
    const last = this.lastOf(series);
    if (last < 0) {
      const block = blocks.make(BLOCK_SAMPLES_FIRST);
      this.setLast(series, block);
      this.present.add(series);
      blocks.insert(block, 0, time, low, high);
    } else {
      const count = blocks.count(last);
      if (time <= blocks.timeAt(last, count - 1)) return this.insertEarlier(series, last, time, low, high);
      if (count < blocks.capacity(last)) blocks.insert(last, count, time, low, high);
      else this.append(series, last, time, low, high);
    }
    this.samples++;
    return "stored";
  }

  private wordsOf(values: Float64Array): Uint32Array {
    if (this.source !== values) {
      this.source = values;
      this.sourceWords = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
    }
    return this.sourceWords;
  }

  /** Puts a sample behind a last block that is full. */
  private append(series: number, last: number, time: number, low: number, high: number): void {
    const { blocks } = this;
    const capacity = blocks.capacity(last);
    if (capacity < BLOCK_SAMPLES_KEPT) {
      blocks.enlarge(last);
      blocks.insert(last, capacity, time, low, high);
      return;
    }
    const before = this.listOf(series).length;
    // Little of what a series has is room that nothing fills yet.
    const doublings = Math.min(before >> 1, Math.log2(BLOCK_SAMPLES / BLOCK_SAMPLES_KEPT));
    const next = blocks.make(BLOCK_SAMPLES_KEPT << doublings);
    blocks.insert(next, 0, time, low, high);
    this.addBlock(series, before, next);
  }

  /** Inserts a sample that is not newer than all of its series. */
  private insertEarlier(series: number, last: number, time: number, low: number, high: number): LateResult {
    const { blocks } = this;
    const list = this.lists.get(series);
    const b = list === undefined ? (blocks.timeAt(last, 0) <= time ? 0 : -1) : this.blockFor(list, time);
    const block = list === undefined ? last : list[Math.max(0, b)]!;
    const at = b < 0 ? 0 : blocks.lowerBound(block, time);
    const count = blocks.count(block);
    if (b >= 0 && at < count && blocks.timeAt(block, at) === time) return this.replace(block, at, low, high);
    this.samples++;
    if (count < BLOCK_SAMPLES) this.place(block, at, time, low, high);
    // Before everything, or just behind a full block: ascending and descending arrival fill blocks completely.
    else if (b < 0) this.placeBetween(series, 0, undefined, time, low, high);
    else if (at === BLOCK_SAMPLES) this.placeBetween(series, b + 1, list![b + 1], time, low, high);
    else {
      const half = BLOCK_SAMPLES / 2;
      const upper = blocks.make(BLOCK_SAMPLES);
      blocks.moveEnd(block, half, upper);
      this.addBlock(series, b + 1, upper);
      if (at > half) blocks.insert(upper, at - half, time, low, high);
      else blocks.insert(block, at, time, low, high);
    }
    return "stored";
  }

  /** Puts a sample to the beginning of the block that comes after a full one, or, when it is full too, into one of its own. */
  private placeBetween(
    series: number,
    b: number,
    next: number | undefined,
    time: number,
    low: number,
    high: number,
  ): void {
    if (next !== undefined && this.blocks.count(next) < BLOCK_SAMPLES) {
      this.place(next, 0, time, low, high);
      return;
    }
    const block = this.blocks.make(BLOCK_SAMPLES_FIRST);
    this.blocks.insert(block, 0, time, low, high);
    this.addBlock(series, b, block);
  }

  /** Puts a sample into a block of fewer than BLOCK_SAMPLES. */
  private place(block: number, at: number, time: number, low: number, high: number): void {
    if (this.blocks.count(block) === this.blocks.capacity(block)) this.blocks.enlarge(block);
    this.blocks.insert(block, at, time, low, high);
  }

  /** Applies the rule for equal times to a sample of the same time. */
  private replace(block: number, at: number, low: number, high: number): LateResult {
    const knownLow = this.blocks.lowAt(block, at);
    const knownHigh = this.blocks.highAt(block, at);
    if (low === knownLow && high === knownHigh) return "duplicate";
    if (!beats(high, low, knownHigh, knownLow)) return "outvoted";
    this.blocks.replace(block, at, low, high);
    return "stored";
  }

  /** A series' last block; -1 when it has none. */
  private lastOf(series: number): number {
    const page = this.lasts[series >>> PAGE_BITS];
    return page === undefined ? -1 : page[series & (PAGE_SERIES - 1)]! - 1;
  }

  private setLast(series: number, block: number): void {
    const number = series >>> PAGE_BITS;
    while (this.lasts.length <= number) this.lasts.push(undefined);
    let page = this.lasts[number];
    if (page === undefined) {
      page = new Uint32Array(PAGE_SERIES);
      this.lasts[number] = page;
    }
    page[series & (PAGE_SERIES - 1)] = block + 1;
  }

  /** The blocks of a series, in the order of their times. */
  private listOf(series: number): readonly number[] {
    const list = this.lists.get(series);
    if (list !== undefined) return list;
    const last = this.lastOf(series);
    return last < 0 ? [] : [last];
  }

  /** Makes a block the `b`-th of a series that has some. */
  private addBlock(series: number, b: number, block: number): void {
    let list = this.lists.get(series);
    if (list === undefined) {
      list = [this.lastOf(series)];
      this.lists.set(series, list);
    }
    list.splice(b, 0, block);
    this.setLast(series, list.at(-1)!);
  }

  /** Index of the last block that begins at or before the time; -1 when all begin later. */
  private blockFor(list: readonly number[], time: number): number {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.blocks.timeAt(list[middle]!, 0) <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Whether the series has late samples with times in [lowMs, highMs]. */
  overlaps(series: number, lowMs: number, highMs: number): boolean {
    const { blocks } = this;
    const list = this.listOf(series);
    for (let b = Math.max(0, this.blockFor(list, lowMs)); b < list.length; b++) {
      const block = list[b]!;
      if (blocks.timeAt(block, 0) > highMs) return false;
      const at = blocks.lowerBound(block, lowMs);
      if (at < blocks.count(block)) return blocks.timeAt(block, at) <= highMs;
    }
    return false;
  }

  /** The numbers of the series that have late samples. */
  get seriesNumbers(): IterableIterator<number> {
    return this.present.values();
  }

  /** Copies the late samples of a series with times in [lowMs, highMs], ascending. */
  read(series: number, lowMs: number, highMs: number): { times: Float64Array; values: Float64Array } {
    const { blocks } = this;
    const list = this.listOf(series);
    const parts: [block: number, from: number, to: number][] = [];
    let count = 0;
    for (let b = Math.max(0, this.blockFor(list, lowMs)); b < list.length; b++) {
      const block = list[b]!;
      if (blocks.timeAt(block, 0) > highMs) break;
      const from = blocks.lowerBound(block, lowMs);
      let to = blocks.lowerBound(block, highMs);
      if (to < blocks.count(block) && blocks.timeAt(block, to) === highMs) to++;
      if (from === to) continue;
      parts.push([block, from, to]);
      count += to - from;
    }
    const times = new Float64Array(count);
    const values = new Float64Array(count);
    const words = new Uint32Array(values.buffer);
    let at = 0;
    for (const [block, from, to] of parts) {
      blocks.read(block, from, to, times, words, at);
      at += to - from;
    }
    return { times, values };
  }

  /** Takes the late samples of a series with times in [lowMs, highMs] out, ascending. */
  remove(series: number, lowMs: number, highMs: number): { times: Float64Array; values: Float64Array } {
    const removed = this.read(series, lowMs, highMs);
    if (removed.times.length === 0) return removed;
    const all = this.read(series, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    for (const block of this.listOf(series)) this.blocks.drop(block);
    this.lists.delete(series);
    this.present.delete(series);
    this.setLast(series, -1);
    this.samples -= all.times.length;
    const columns = { ...all, series: new Uint32Array(all.times.length).fill(series), count: all.times.length };
    for (let i = 0; i < columns.count; i++) {
      if (all.times[i]! < lowMs || all.times[i]! > highMs) this.insert(columns, i);
    }
    return removed;
  }
}
