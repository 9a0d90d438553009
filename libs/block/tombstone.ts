// libs/block/tombstone.ts: what deletions hide of a block: series by their places, each with ranges of times. The block's bytes stay as they
// are; the registry's entry carries its tombstones, and a merge leaves out what they hide once they are due.

/** What one deletion hides of one block: samples of these series with times in [minMs, maxMs]. An immutable value. */
export interface Tombstone {
  /** Id of the deletion. */
  readonly deletion: string;
  readonly minMs: number;
  readonly maxMs: number;
  /** Places of the series in the block, as runs: encodePlaces. */
  readonly places: string;
}

/** Ascending places as text: base64 of uvarint pairs: how many places are left out, how many follow. Series of a metric are one run. */
export function encodePlaces(places: ArrayLike<number>): string {
  const bytes: number[] = [];
  const put = (value: number): void => {
    let rest = value;
    for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
    bytes.push(rest);
  };
  let next = 0;
  for (let i = 0; i < places.length; ) {
    let end = i + 1;
    while (end < places.length && places[end] === places[i]! + end - i) end++;
    put(places[i]! - next);
    put(end - i);
    next = places[end - 1]! + 1;
    i = end;
  }
  return Buffer.from(bytes).toString("base64");
}

/** The places, ascending; undefined for a text that is not one of places below `seriesCount`. */
export function decodePlaces(text: string, seriesCount: number): Uint32Array | undefined {
  const bytes = Buffer.from(text, "base64");
  const numbers: number[] = [];
  for (let i = 0, value = 0, shift = 1; i < bytes.length; i++) {
    value += (bytes[i]! & 127) * shift;
    shift *= 128;
    if (bytes[i]! > 127) continue;
    numbers.push(value);
    value = 0;
    shift = 1;
  }
  if (bytes.at(-1)! > 127 || numbers.length % 2 !== 0) return undefined;
  const places: number[] = [];
  let next = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const [left, count] = [numbers[i]!, numbers[i + 1]!];
    if (count === 0 || next + left + count > seriesCount) return undefined;
    next += left;
    for (let k = 0; k < count; k++) places.push(next++);
  }
  return Uint32Array.from(places);
}

/** Ranges of times, both ends in them. Immutable: ascending, none overlaps another. */
export class TimeRanges {
  private readonly lows: readonly number[];
  private readonly highs: readonly number[];

  private constructor(lows: readonly number[], highs: readonly number[]) {
    this.lows = lows;
    this.highs = highs;
  }

  static of(ranges: Iterable<readonly [lowMs: number, highMs: number]>): TimeRanges {
    const sorted = [...ranges].filter(([low, high]) => low <= high).sort((a, b) => a[0] - b[0]);
    const lows: number[] = [];
    const highs: number[] = [];
    for (const [low, high] of sorted) {
      const last = highs.length - 1;
      if (last >= 0 && low <= highs[last]!) highs[last] = Math.max(highs[last]!, high);
      else {
        lows.push(low);
        highs.push(high);
      }
    }
    return new TimeRanges(lows, highs);
  }

  /** These and others. */
  and(other: TimeRanges): TimeRanges {
    const pairs = (ranges: TimeRanges) => ranges.lows.map((low, i) => [low, ranges.highs[i]!] as const);
    return TimeRanges.of([...pairs(this), ...pairs(other)]);
  }

  get isEmpty(): boolean {
    return this.lows.length === 0;
  }

  overlaps(lowMs: number, highMs: number): boolean {
    return this.lows.some((low, i) => low <= highMs && this.highs[i]! >= lowMs);
  }

  /**
   * How much of the times in [lowMs, highMs] they have. A row made of samples of such a span is right as it is, gone, or, with "some", to be made
   * anew from samples.
   */
  shareOf(lowMs: number, highMs: number): "none" | "some" | "all" {
    if (!this.overlaps(lowMs, highMs)) return "none";
    return this.lows.some((low, i) => low <= lowMs && this.highs[i]! >= highMs) ? "all" : "some";
  }

  covers(time: number): boolean {
    return this.overlaps(time, time);
  }

  /** Which of ascending times are in none of the ranges: pairs of indexes [from, to), one after another. */
  spansOutside(times: Float64Array): number[] {
    const spans: number[] = [];
    let from = 0;
    for (let i = 0; i < this.lows.length; i++) {
      const first = firstFrom(times, this.lows[i]!, false);
      const end = firstFrom(times, this.highs[i]!, true);
      if (first > from) spans.push(from, first);
      if (end > from) from = end;
    }
    if (from < times.length) spans.push(from, times.length);
    return spans;
  }
}

/** Index of the first of ascending times that is at `limit` or later; or later than it. */
function firstFrom(times: Float64Array, limit: number, later: boolean): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (later ? times[middle]! <= limit : times[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The parts of a column in these spans, one after another; a copy. Bits stay what they are. */
export function takeSpans(column: Float64Array, spans: readonly number[]): Float64Array {
  let count = 0;
  for (let i = 0; i < spans.length; i += 2) count += spans[i + 1]! - spans[i]!;
  const out = new Float64Array(count);
  let at = 0;
  for (let i = 0; i < spans.length; i += 2) {
    out.set(column.subarray(spans[i]!, spans[i + 1]!), at);
    at += spans[i + 1]! - spans[i]!;
  }
  return out;
}

/** Tombstones of deletions that may be applied, and the others. */
export function dueAndKept(tombstones: readonly Tombstone[], isDue: (deletion: string) => boolean) {
  return {
    due: tombstones.filter(({ deletion }) => isDue(deletion)),
    kept: tombstones.filter(({ deletion }) => !isDue(deletion)),
  };
}

/** By place: the times that tombstones hide. Undefined when there are none. */
export function hiddenByPlace(
  tombstones: readonly Tombstone[],
  seriesCount: number,
): ReadonlyMap<number, TimeRanges> | undefined {
  if (tombstones.length === 0) return undefined;
  const ranges = new Map<number, [number, number][]>();
  for (const { minMs, maxMs, places } of tombstones) {
    for (const place of decodePlaces(places, seriesCount) ?? []) {
      const known = ranges.get(place);
      if (known === undefined) ranges.set(place, [[minMs, maxMs]]);
      else known.push([minMs, maxMs]);
    }
  }
  return new Map([...ranges].map(([place, some]) => [place, TimeRanges.of(some)]));
}
