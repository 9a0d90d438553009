// libs/model/histogram.ts: native histograms with float counts: one at a time, and as columns.
// Buckets are told by their index: bucket i of an exponential schema s covers (2^((i-1)/2^s), 2^(i/2^s)], on the negative
// side mirrored; bucket i of custom bounds covers (bounds[i-1], bounds[i]]. What histograms of a series have in
// common, their layout, is one shared object; a column holds a row of numbers for each.
// Reference: Prometheus, "Native Histograms" specification.

/** The schema of histograms with bounds of their own. */
export const CUSTOM_SCHEMA = -53;
/** The coarsest and the finest exponential schema. */
export const SCHEMA_MIN = -4;
export const SCHEMA_MAX = 8;

/** What is known about a counter reset between a histogram and the one before it. */
export type ResetHint = 0 | 1 | 2 | 3;
export const HINT_UNKNOWN: ResetHint = 0;
export const HINT_RESET: ResetHint = 1;
export const HINT_NOT_RESET: ResetHint = 2;
export const HINT_GAUGE: ResetHint = 3;

/** Which buckets a histogram has. Immutable, shared by all histograms that have the same. */
export interface BucketLayout {
  readonly schema: number;
  /** Half the width of the zero bucket; 0 with custom bounds. */
  readonly zeroThreshold: number;
  /** Upper bounds, ascending and finite, of a histogram with CUSTOM_SCHEMA; else empty. */
  readonly bounds: Float64Array;
  /** Indexes of the buckets above zero, ascending; with custom bounds all buckets, from 0 to bounds.length. */
  readonly positive: Int32Array;
  /** Indexes of the buckets below zero, ascending: away from zero. */
  readonly negative: Int32Array;
}

/** One histogram. Immutable; its buckets are often a view of a column. */
export interface FloatHistogram {
  readonly layout: BucketLayout;
  readonly hint: ResetHint;
  readonly count: number;
  readonly sum: number;
  readonly zeroCount: number;
  /** A count for each index of layout.positive, then one for each of layout.negative. */
  readonly buckets: Float64Array;
}

/** Histograms at some of the positions of a column. */
export interface HistogramColumn {
  readonly layouts: readonly BucketLayout[];
  /** For each position the number of its layout; -1 where there is no histogram. */
  readonly layoutOf: Int32Array;
  readonly hints: Uint8Array;
  readonly counts: Float64Array;
  readonly sums: Float64Array;
  readonly zeroCounts: Float64Array;
  /** Where each position's buckets begin. */
  readonly starts: Uint32Array;
  /** The buckets of all positions. */
  readonly buckets: Float64Array;
}

const EMPTY_FLOATS = new Float64Array(0);
const EMPTY_INDEXES = new Int32Array(0);

/** How many buckets a layout has. */
export function bucketCount(layout: BucketLayout): number {
  return layout.positive.length + layout.negative.length;
}

/** A layout of an exponential schema. Indexes ascend. */
export function exponentialLayout(
  schema: number,
  zeroThreshold: number,
  positive: ArrayLike<number>,
  negative: ArrayLike<number>,
): BucketLayout {
  return {
    schema,
    zeroThreshold,
    bounds: EMPTY_FLOATS,
    positive: positive.length === 0 ? EMPTY_INDEXES : Int32Array.from(positive),
    negative: negative.length === 0 ? EMPTY_INDEXES : Int32Array.from(negative),
  };
}

/** A layout of custom bounds, of which `indexes` tells the buckets it has. */
export function customLayout(bounds: ArrayLike<number>, indexes: ArrayLike<number>): BucketLayout {
  return {
    schema: CUSTOM_SCHEMA,
    zeroThreshold: 0,
    bounds: Float64Array.from(bounds),
    positive: Int32Array.from(indexes),
    negative: EMPTY_INDEXES,
  };
}

/** Whether two ascending lists hold the same numbers. */
export function sameNumbers(a: Int32Array | Float64Array, b: Int32Array | Float64Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether two layouts have the same buckets. */
export function sameLayout(a: BucketLayout, b: BucketLayout): boolean {
  if (a === b) return true;
  return (
    a.schema === b.schema &&
    a.zeroThreshold === b.zeroThreshold &&
    sameNumbers(a.positive, b.positive) &&
    sameNumbers(a.negative, b.negative) &&
    sameNumbers(a.bounds, b.bounds)
  );
}

/** The histogram at a position of a column, undefined where there is none. */
export function histogramAt(column: HistogramColumn, index: number): FloatHistogram | undefined {
  const number = column.layoutOf[index]!;
  if (number < 0) return undefined;
  const layout = column.layouts[number]!;
  const start = column.starts[index]!;
  return {
    layout,
    hint: column.hints[index] as ResetHint,
    count: column.counts[index]!,
    sum: column.sums[index]!,
    zeroCount: column.zeroCounts[index]!,
    buckets: column.buckets.subarray(start, start + bucketCount(layout)),
  };
}

/** Every position of a column as a histogram; undefined where there is none. */
export function histogramsOf(column: HistogramColumn): (FloatHistogram | undefined)[] {
  const out: (FloatHistogram | undefined)[] = [];
  for (let i = 0; i < column.layoutOf.length; i++) out.push(histogramAt(column, i));
  return out;
}

/** Histograms as a column; undefined when there is none at any position. Equal layouts become one. */
export function packHistograms(list: readonly (FloatHistogram | undefined)[]): HistogramColumn | undefined {
  const n = list.length;
  const first = list.findIndex((histogram) => histogram !== undefined);
  if (first < 0) return undefined;
  let size = 0;
  for (const histogram of list) if (histogram !== undefined) size += histogram.buckets.length;
  const column = {
    layouts: [] as BucketLayout[],
    layoutOf: new Int32Array(n).fill(-1),
    hints: new Uint8Array(n),
    counts: new Float64Array(n),
    sums: new Float64Array(n),
    zeroCounts: new Float64Array(n),
    starts: new Uint32Array(n),
    buckets: new Float64Array(size),
  };
  let at = 0;
  for (let i = first; i < n; i++) {
    const histogram = list[i];
    if (histogram === undefined) continue;
    column.layoutOf[i] = layoutNumber(column.layouts, histogram.layout);
    column.hints[i] = histogram.hint;
    column.counts[i] = histogram.count;
    column.sums[i] = histogram.sum;
    column.zeroCounts[i] = histogram.zeroCount;
    column.starts[i] = at;
    column.buckets.set(histogram.buckets, at);
    at += histogram.buckets.length;
  }
  return column;
}

/** A column of n positions without a histogram. */
export function noHistograms(n: number): HistogramColumn {
  return {
    layouts: [],
    layoutOf: new Int32Array(n).fill(-1),
    hints: new Uint8Array(n),
    counts: new Float64Array(n),
    sums: new Float64Array(n),
    zeroCounts: new Float64Array(n),
    starts: new Uint32Array(n),
    buckets: EMPTY_FLOATS,
  };
}

/** Layouts of neighbours are mostly equal, so the newest ones are compared first and the search ends early. */
function layoutNumber(layouts: BucketLayout[], layout: BucketLayout): number {
  const oldest = Math.max(0, layouts.length - 8);
  for (let i = layouts.length - 1; i >= oldest; i--) if (sameLayout(layouts[i]!, layout)) return i;
  return layouts.push(layout) - 1;
}

/** Histograms that custom bounds and an exponential schema tell apart cannot be combined. */
export function hasCustomBounds(histogram: FloatHistogram): boolean {
  return histogram.layout.schema === CUSTOM_SCHEMA;
}
