// libs/tsdb/key-order.ts: series in the order of their keys, as blocks have them: made once for all blocks of a cut, in steps of well under a
// millisecond, because a shard may have a hundred thousand. The keys lie in one array: an object a series would be twice their size.
import { viewSeriesKey } from "../model/index.ts";
import type { SeriesCatalog } from "./catalog.ts";

/** Series whose keys are made in a step, and series that are put in order. */
const KEYS_PER_STEP = 256;
const MERGED_PER_STEP = 1024;
/** Runs of so many are put in order by insertion. */
const RUN = 16;

/** Some series, ascending by key. */
export class KeyedSeries {
  /** Series numbers. */
  readonly series: Uint32Array;
  private readonly bytes: Uint8Array;
  private readonly ends: Uint32Array;
  /** By place in the order: which of the keys it is. */
  private readonly order: Uint32Array;

  constructor(series: Uint32Array, bytes: Uint8Array, ends: Uint32Array, order: Uint32Array) {
    this.series = series;
    this.bytes = bytes;
    this.ends = ends;
    this.order = order;
  }

  /** The key of the series at a place; a view. */
  keyAt(place: number): Uint8Array {
    const one = this.order[place]!;
    return this.bytes.subarray(one === 0 ? 0 : this.ends[one - 1]!, this.ends[one]!);
  }
}

/** Puts series of a catalogue in the order of their keys. */
export function* orderByKey(catalog: SeriesCatalog, series: readonly number[]): Generator<void, KeyedSeries> {
  const { index } = catalog;
  let bytes = new Uint8Array(series.length * 128);
  const ends = new Uint32Array(series.length);
  let used = 0;
  for (let i = 0; i < series.length; i++) {
    const key = viewSeriesKey(index.tenantOf(series[i]!), index.labelsOf(series[i]!));
    if (used + key.length > bytes.length) {
      const longer = new Uint8Array(Math.max(bytes.length * 2, used + key.length));
      longer.set(bytes);
      bytes = longer;
    }
    bytes.set(key, used);
    used += key.length;
    ends[i] = used;
    if (i % KEYS_PER_STEP === KEYS_PER_STEP - 1) yield;
  }
  const compare = (a: number, b: number): number => {
    let i = a === 0 ? 0 : ends[a - 1]!;
    let j = b === 0 ? 0 : ends[b - 1]!;
    const aEnd = ends[a]!;
    const bEnd = ends[b]!;
    for (; i < aEnd && j < bEnd; i++, j++) if (bytes[i] !== bytes[j]) return bytes[i]! - bytes[j]!;
    return aEnd - i - (bEnd - j);
  };
  const order = yield* inOrder(series.length, compare);
  return new KeyedSeries(
    Uint32Array.from(order, (one) => series[one]!),
    bytes,
    ends,
    order,
  );
}

/** The numbers below `count` in the order of `compare`: a merge sort in steps. */
export function* inOrder(count: number, compare: (a: number, b: number) => number): Generator<void, Uint32Array> {
  let from = new Uint32Array(count);
  let to = new Uint32Array(count);
  for (let start = 0; start < count; start += RUN) {
    insertInOrder(from, start, Math.min(start + RUN, count), compare);
    if (start % MERGED_PER_STEP === 0) yield;
  }
  let steps = 0;
  for (let width = RUN; width < count; width *= 2) {
    for (let start = 0; start < count; start += 2 * width) {
      const middle = Math.min(start + width, count);
      const end = Math.min(middle + width, count);
      let left = start;
      let right = middle;
      for (let at = start; at < end; at++) {
        const takesLeft = right === end || (left < middle && compare(from[left]!, from[right]!) <= 0);
        to[at] = from[takesLeft ? left++ : right++]!;
        if (++steps % MERGED_PER_STEP === 0) yield;
      }
    }
    [from, to] = [to, from];
  }
  return from;
}

/** Puts the numbers from `start` to before `end` in order, at these places. */
function insertInOrder(into: Uint32Array, start: number, end: number, compare: (a: number, b: number) => number): void {
  for (let number = start; number < end; number++) {
    let at = number;
    for (; at > start && compare(into[at - 1]!, number) > 0; at--) into[at] = into[at - 1]!;
    into[at] = number;
  }
}
