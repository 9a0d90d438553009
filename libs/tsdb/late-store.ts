// libs/tsdb/late-store.ts: samples that came too late for the head's chunks: per series a sorted column of (time,
// value).
// Invariants: within a series times strictly ascend over all its blocks, no block is empty, a block holds at most
// BLOCK_SAMPLES.
// A series without late samples costs nothing. Values are only moved between typed arrays, so NaN payloads survive.
import { beats, type SampleColumns } from "../kernel/index.ts";

/** Inserting moves at most this many samples; splitting at it keeps any order of arrival cheap. */
const BLOCK_SAMPLES = 512;
const BLOCK_SAMPLES_FIRST = 4;

/** A run of ascending samples. Capacity doubles up to BLOCK_SAMPLES. */
interface Block {
  times: Float64Array;
  values: Float64Array;
  /** The values' words, over the same buffer. */
  words: Uint32Array;
  count: number;
}

/** What became of a late sample. */
export type LateResult = "stored" | "duplicate" | "outvoted";

/** Sorted columns of late samples by series number. */
export class LateStore {
  private readonly series = new Map<number, Block[]>();
  private samples = 0;
  private bytes = 0;
  /** Of all samples. */
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;

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
    return this.series.size;
  }

  get sizeBytes(): number {
    return this.bytes;
  }

  /**
   * Inserts sample `i` of the columns. "stored": it is new, or wins over another value of its time; only then it needs
   * a
   * place in the log. Cost: a binary search, and a move of at most BLOCK_SAMPLES samples.
   */
  insert(columns: SampleColumns, i: number): LateResult {
    const time = columns.times[i]!;
    if (time < this.low) this.low = time;
    if (time > this.high) this.high = time;
    let blocks = this.series.get(columns.series[i]!);
    if (blocks === undefined) {
      blocks = [];
      this.series.set(columns.series[i]!, blocks);
    }
    const b = blockFor(blocks, time);
    const block = blocks[b];
    const at = block === undefined ? 0 : lowerBound(block.times, block.count, time);
    if (block !== undefined && at < block.count && block.times[at] === time) return replace(block, at, columns, i);
    this.samples++;
    if (block === undefined || at === BLOCK_SAMPLES) {
      // Before everything, or just behind a full block: ascending and descending arrival fill blocks completely.
      let neighbour = blocks[b + 1];
      if (neighbour === undefined || neighbour.count === BLOCK_SAMPLES) {
        neighbour = this.makeBlock(BLOCK_SAMPLES_FIRST);
        blocks.splice(b + 1, 0, neighbour);
      }
      this.place(neighbour, 0, columns, i);
      return "stored";
    }
    if (block.count === BLOCK_SAMPLES) {
      const half = BLOCK_SAMPLES / 2;
      const upper = this.makeBlock(BLOCK_SAMPLES);
      upper.times.set(block.times.subarray(half));
      upper.values.set(block.values.subarray(half));
      upper.count = half;
      block.count = half;
      blocks.splice(b + 1, 0, upper);
      if (at > half) this.place(upper, at - half, columns, i);
      else this.place(block, at, columns, i);
    } else this.place(block, at, columns, i);
    return "stored";
  }

  /** Whether the series has late samples with times in [lowMs, highMs]. */
  overlaps(series: number, lowMs: number, highMs: number): boolean {
    const blocks = this.series.get(series);
    if (blocks === undefined) return false;
    const b = Math.max(0, blockFor(blocks, lowMs));
    for (let k = b; k < blocks.length && blocks[k]!.times[0]! <= highMs; k++) {
      const block = blocks[k]!;
      const at = lowerBound(block.times, block.count, lowMs);
      if (at < block.count) return block.times[at]! <= highMs;
    }
    return false;
  }

  /** The numbers of the series that have late samples. */
  get seriesNumbers(): IterableIterator<number> {
    return this.series.keys();
  }

  /** Copies the late samples of a series with times in [lowMs, highMs], ascending. */
  read(series: number, lowMs: number, highMs: number): { times: Float64Array; values: Float64Array } {
    const parts: [Block, number, number][] = [];
    let count = 0;
    const blocks = this.series.get(series) ?? [];
    for (let b = Math.max(0, blockFor(blocks, lowMs)); b < blocks.length; b++) {
      const block = blocks[b]!;
      if (block.times[0]! > highMs) break;
      const from = lowerBound(block.times, block.count, lowMs);
      let to = lowerBound(block.times, block.count, highMs);
      if (to < block.count && block.times[to] === highMs) to++;
      if (from === to) continue;
      parts.push([block, from, to]);
      count += to - from;
    }
    const times = new Float64Array(count);
    const values = new Float64Array(count);
    let at = 0;
    for (const [block, from, to] of parts) {
      times.set(block.times.subarray(from, to), at);
      values.set(block.values.subarray(from, to), at);
      at += to - from;
    }
    return { times, values };
  }

  /** Takes the late samples of a series with times in [lowMs, highMs] out, ascending. */
  remove(series: number, lowMs: number, highMs: number): { times: Float64Array; values: Float64Array } {
    const removed = this.read(series, lowMs, highMs);
    if (removed.times.length === 0) return removed;
    const all = this.read(series, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    for (const { times } of this.series.get(series) ?? []) this.bytes -= times.length * 16;
    this.samples -= all.times.length;
    this.series.delete(series);
    const columns = { ...all, series: new Uint32Array(all.times.length).fill(series), count: all.times.length };
    for (let i = 0; i < columns.count; i++) {
      if (all.times[i]! < lowMs || all.times[i]! > highMs) this.insert(columns, i);
    }
    return removed;
  }

  private makeBlock(capacity: number): Block {
    const values = new Float64Array(capacity);
    this.bytes += capacity * 16;
    return { times: new Float64Array(capacity), values, words: new Uint32Array(values.buffer), count: 0 };
  }

  /** Puts sample `i` at position `at` of a block that is not full at BLOCK_SAMPLES. */
  private place(block: Block, at: number, columns: SampleColumns, i: number): void {
    if (block.count === block.times.length) {
      const bigger = this.makeBlock(Math.min(BLOCK_SAMPLES, block.count * 2));
      bigger.times.set(block.times);
      bigger.values.set(block.values);
      this.bytes -= block.times.length * 16;
      block.times = bigger.times;
      block.values = bigger.values;
      block.words = bigger.words;
    }
    if (at < block.count) {
      block.times.copyWithin(at + 1, at, block.count);
      block.values.copyWithin(at + 1, at, block.count);
    }
    block.times[at] = columns.times[i]!;
    block.values.set(columns.values.subarray(i, i + 1), at);
    block.count++;
  }
}

/** Applies the rule for equal times to a sample of the same time. */
function replace(block: Block, at: number, columns: SampleColumns, i: number): LateResult {
  const low = block.words[at * 2]!;
  const high = block.words[at * 2 + 1]!;
  const own = new Uint32Array(columns.values.buffer, columns.values.byteOffset + i * 8, 2);
  if (own[0] === low && own[1] === high) return "duplicate";
  if (!beats(own[1]!, own[0]!, high, low)) return "outvoted";
  block.values.set(columns.values.subarray(i, i + 1), at);
  return "stored";
}

/** Index of the last block that begins at or before the time; -1 when all begin later. */
function blockFor(blocks: readonly Block[], time: number): number {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (blocks[middle]!.times[0]! <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Index of the first of `count` ascending times that is not before the time. */
function lowerBound(times: Float64Array, count: number, time: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
