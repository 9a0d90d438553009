// services/insert/histogram-check.ts: what a native histogram must be, rule by rule as Prometheus checks them, in its words.
// Undefined means that the rule is kept.

/** Buckets in a row. */
export interface Span {
  /** From the end of the span before; of the first one from index 0. */
  readonly offset: number;
  readonly length: number;
}

const NEGATIVE_OFFSET = "histogram has a span whose offset is negative";
const MISMATCH = "histogram spans specify different number of buckets than provided";
const NEGATIVE_BUCKET = "histogram has a bucket whose observation count is negative";

function checkSpanBuckets(spans: readonly Span[], buckets: number): string | undefined {
  const needed = spans.reduce((sum, span) => sum + span.length, 0);
  return needed === buckets ? undefined : `spans need ${needed} buckets, have ${buckets} buckets: ${MISMATCH}`;
}

export function checkSpans(spans: readonly Span[], buckets: number): string | undefined {
  const negative = spans.findIndex(({ offset }, i) => i > 0 && offset < 0);
  if (negative >= 0) return `span number ${negative + 1} with offset ${spans[negative]!.offset}: ${NEGATIVE_OFFSET}`;
  return checkSpanBuckets(spans, buckets);
}

export function checkBounds(bounds: readonly number[], spans: readonly Span[], buckets: number): string | undefined {
  for (let i = 0; i < bounds.length; i++) {
    if (Number.isNaN(bounds[i])) return "histogram custom bounds must not be NaN";
    if (i > 0 && bounds[i]! <= bounds[i - 1]!) {
      return `previous bound is ${bounds[i - 1]} and current is ${bounds[i]}: histogram custom bounds must be in strictly increasing order`;
    }
  }
  if (bounds.some((bound) => !Number.isFinite(bound))) {
    return "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite";
  }
  const negative = spans.findIndex(({ offset }) => offset < 0);
  if (negative >= 0) return `span number ${negative + 1} with offset ${spans[negative]!.offset}: ${NEGATIVE_OFFSET}`;
  const fault = checkSpanBuckets(spans, buckets);
  if (fault !== undefined) return fault;
  const total = spans.reduce((sum, span) => sum + span.offset + span.length, 0);
  if (bounds.length + 1 >= total) return undefined;
  return `only ${bounds.length} custom bounds defined which is insufficient to cover total span length of ${total}: histogram custom bounds are too few`;
}

export interface Counts {
  readonly isFloat: boolean;
  readonly count: number;
  readonly sum: number;
  readonly zeroCount: number;
  readonly positive: readonly number[];
  readonly negative: readonly number[];
}

export function checkCounts({ isFloat, count, sum, zeroCount, positive, negative }: Counts): string | undefined {
  for (const [side, counts] of [
    ["negative", negative],
    ["positive", positive],
  ] as const) {
    const bad = counts.findIndex((bucket) => bucket < 0);
    if (bad >= 0) {
      return `${side} side: bucket number ${bad + 1} has observation count of ${counts[bad]}: ${NEGATIVE_BUCKET}`;
    }
  }
  if (isFloat) {
    if (zeroCount < 0) return `zero bucket has observation count of ${zeroCount}: ${NEGATIVE_BUCKET}`;
    return count < 0 ? `observation count is ${count}: histogram's observation count is negative` : undefined;
  }
  const inBuckets = [...positive, ...negative].reduce((a, b) => a + b, zeroCount);
  const found = `${inBuckets} observations found in buckets, but the Count field is ${count}: histogram's observation count should`;
  // A NaN observation is counted and in no bucket.
  if (Number.isNaN(sum)) {
    return inBuckets > count ? `${found} be at least the number of observations found in the buckets` : undefined;
  }
  if (inBuckets === count) return undefined;
  return `${found} equal the number of observations found in the buckets (in absence of NaN)`;
}
