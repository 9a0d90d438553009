// libs/rpc/column-histograms.ts: the histograms of a piece ⇄ a block of its numbers. Format: FORMAT.md beside this.
// Invariant: a block is checked number by number before anything is made of it.
import {
  type BucketLayout,
  bucketCount,
  CUSTOM_SCHEMA,
  type HistogramColumn,
  InternalError,
  SCHEMA_MAX,
  SCHEMA_MIN,
} from "../model/index.ts";

const LAYOUT_NUMBERS = 5;
const ROW_NUMBERS = 4;
const INDEX_MAX = 2 ** 31 - 1;
/** Bits of a partial's state. */
const STATES_MAX = 15;
/** Numbers of histograms in one piece, unless a single point has more. */
const BLOCK_NUMBERS_MAX = 32768;

/** What a decoded block says: histograms, and the states of a partial where the piece has them. */
export interface HistogramBlock {
  readonly histograms: HistogramColumn;
  readonly states: Uint8Array | undefined;
  /** The numbers that the block takes. */
  readonly numbers: number;
}

/** Where a piece of a column that begins at `from` has to end, so that its histograms are not too much for a frame. */
export function blockEnd(column: HistogramColumn, from: number, to: number): number {
  const known = new Set<number>();
  let numbers = 0;
  for (let i = from; i < to; i++) {
    const number = column.layoutOf[i]!;
    if (number >= 0) {
      const layout = column.layouts[number]!;
      numbers += ROW_NUMBERS + bucketCount(layout);
      if (!known.has(number)) numbers += LAYOUT_NUMBERS + layout.bounds.length + bucketCount(layout);
      known.add(number);
    }
    if (numbers > BLOCK_NUMBERS_MAX && i > from) return i;
  }
  return to;
}

/** The block for points [from, to) of a column, of which those absent are left out. */
export function encodeBlock(
  column: HistogramColumn,
  present: Uint8Array | null,
  states: Uint8Array | undefined,
  from: number,
  to: number,
): Float64Array {
  const isPresent = (i: number) => present === null || present[i] === 1;
  const numberOf = new Map<number, number>();
  const heads: number[] = [];
  const rows: number[] = [];
  const points: number[] = [];
  for (let i = from; i < to; i++) {
    if (!isPresent(i)) continue;
    const layout = column.layoutOf[i]!;
    if (layout >= 0 && !numberOf.has(layout)) {
      numberOf.set(layout, numberOf.size);
      pushLayout(heads, column.layouts[layout]!);
    }
    points.push(layout < 0 ? -1 : numberOf.get(layout)!);
    if (states !== undefined) points.push(states[i]!);
    if (layout < 0) continue;
    const start = column.starts[i]!;
    const size = bucketCount(column.layouts[layout]!);
    rows.push(column.hints[i]!, column.counts[i]!, column.sums[i]!, column.zeroCounts[i]!);
    for (let b = start; b < start + size; b++) rows.push(column.buckets[b]!);
  }
  const total = 2 + heads.length + points.length + rows.length;
  return Float64Array.from([total, numberOf.size, ...heads, ...points, ...rows]);
}

function pushLayout(out: number[], { schema, zeroThreshold, bounds, positive, negative }: BucketLayout): void {
  out.push(schema, zeroThreshold, bounds.length, positive.length, negative.length);
  out.push(...bounds, ...positive, ...negative);
}

function malformed(got: string, want: string): InternalError {
  return new InternalError(`cannot decode histograms of a column frame: got ${got}; want ${want}`);
}

/** Reads numbers one after the other. */
class Reader {
  readonly #numbers: Float64Array;
  #at = 0;

  constructor(numbers: Float64Array) {
    this.#numbers = numbers;
  }

  get at(): number {
    return this.#at;
  }

  next(): number {
    if (this.#at >= this.#numbers.length) throw malformed("a number beyond the block", "lengths that add up");
    return this.#numbers[this.#at++]!;
  }

  /** A whole number in [min, max]. */
  whole(min: number, max: number, what: string): number {
    const value = this.next();
    if (!(value >= min && value <= max && Number.isInteger(value))) {
      throw malformed(`${what} ${value}`, `a whole number from ${min} to ${max}`);
    }
    return value;
  }

  /** The next `count` numbers; a view. */
  take(count: number): Float64Array {
    const end = this.#at + count;
    if (end > this.#numbers.length) throw malformed(`${count} numbers beyond the block`, "lengths that add up");
    const view = this.#numbers.subarray(this.#at, end);
    this.#at = end;
    return view;
  }
}

/** Decodes the block that `numbers` begins with, of a piece whose present points are ones in `bitmap` (null: all). */
export function decodeBlock(
  numbers: Float64Array,
  points: number,
  bitmap: Uint8Array | null,
  hasStates: boolean,
): HistogramBlock {
  const total = new Reader(numbers).whole(2, numbers.length, "length");
  const reader = new Reader(numbers.subarray(0, total));
  reader.next();
  const layoutCount = reader.whole(0, total, "layout count");
  const layouts: BucketLayout[] = [];
  for (let i = 0; i < layoutCount; i++) layouts.push(readLayout(reader, total));
  const states = hasStates ? new Uint8Array(points) : undefined;
  const layoutOf = new Int32Array(points).fill(-1);
  for (let i = 0; i < points; i++) {
    if (bitmap !== null && bitmap[i] === 0) continue;
    layoutOf[i] = reader.whole(-1, layoutCount - 1, "layout number");
    if (states !== undefined) states[i] = reader.whole(0, STATES_MAX, "state");
  }
  const column = {
    layouts,
    layoutOf,
    hints: new Uint8Array(points),
    counts: new Float64Array(points),
    sums: new Float64Array(points),
    zeroCounts: new Float64Array(points),
    starts: new Uint32Array(points),
    // Rows stay where they are; what lies between them is never read.
    buckets: numbers.subarray(0, total),
  };
  for (let i = 0; i < points; i++) {
    if (layoutOf[i]! < 0) continue;
    column.hints[i] = reader.whole(0, 3, "hint");
    column.counts[i] = reader.next();
    column.sums[i] = reader.next();
    column.zeroCounts[i] = reader.next();
    column.starts[i] = reader.at;
    reader.take(bucketCount(layouts[layoutOf[i]!]!));
  }
  if (reader.at !== total) throw malformed(`a block of ${total} numbers of which ${reader.at} are used`, "all of them");
  return { histograms: column, states, numbers: total };
}

function readLayout(reader: Reader, total: number): BucketLayout {
  const schema = reader.whole(CUSTOM_SCHEMA, SCHEMA_MAX, "schema");
  const custom = schema === CUSTOM_SCHEMA;
  if (!custom && schema < SCHEMA_MIN) throw malformed(`schema ${schema}`, "a known one");
  const zeroThreshold = reader.next();
  const boundCount = reader.whole(0, total, "bound count");
  const positiveCount = reader.whole(0, total, "bucket count");
  const negativeCount = reader.whole(0, total, "bucket count");
  if (!(zeroThreshold >= 0)) throw malformed(`zero threshold ${zeroThreshold}`, "0 or more");
  if (custom ? negativeCount > 0 || zeroThreshold !== 0 : boundCount > 0) {
    throw malformed("a layout of two kinds", "custom bounds, or negative buckets and a zero bucket");
  }
  const bounds = reader.take(boundCount).slice();
  for (let i = 1; i < boundCount; i++) if (!(bounds[i]! > bounds[i - 1]!)) throw malformed("bounds", "ascending ones");
  const positive = readIndexes(reader, positiveCount, custom ? 0 : -INDEX_MAX, custom ? boundCount : INDEX_MAX);
  return {
    schema,
    zeroThreshold,
    bounds,
    positive,
    negative: readIndexes(reader, negativeCount, -INDEX_MAX, INDEX_MAX),
  };
}

function readIndexes(reader: Reader, count: number, min: number, max: number): Int32Array {
  const out = new Int32Array(count);
  for (let i = 0; i < count; i++) out[i] = reader.whole(i === 0 ? min : out[i - 1]! + 1, max, "bucket index");
  return out;
}
