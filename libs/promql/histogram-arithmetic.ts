// libs/promql/histogram-arithmetic.ts: what operators and range functions do with native histograms: a ± b, a × n, equality,
// lower resolution, detection of counter resets. Nothing is changed in place.
import {
  CUSTOM_SCHEMA,
  type FloatHistogram,
  HINT_GAUGE,
  HINT_NOT_RESET,
  HINT_RESET,
  hasCustomBounds,
  type ResetHint,
  sameLayout,
  sameNumbers,
} from "../model/index.ts";
import { coarserSide, mapSide, type Side } from "./histogram-side.ts";
import { commonBounds, HistogramSum, onBounds, swallowed, zeroCountAt } from "./histogram-sum.ts";

/** A sum or difference, and what was remarkable about it. */
export interface Combined {
  readonly histogram: FloatHistogram;
  readonly collided: boolean;
  readonly reconciled: boolean;
}

/** a + sign × b; undefined when only one of them has custom bounds. */
export function combine(a: FloatHistogram, b: FloatHistogram, sign: 1 | -1): Combined | undefined {
  const sum = new HistogramSum(a);
  if (!sum.add(b, sign)) return undefined;
  return { histogram: sum.result(), collided: sum.collided, reconciled: sum.reconciled };
}

/** Every part times `factor`; below zero the result is a gauge. */
export function scale(histogram: FloatHistogram, factor: number): FloatHistogram {
  return {
    layout: histogram.layout,
    hint: factor < 0 ? HINT_GAUGE : histogram.hint,
    count: histogram.count * factor,
    sum: histogram.sum * factor,
    zeroCount: histogram.zeroCount * factor,
    buckets: histogram.buckets.map((count) => count * factor),
  };
}

/** Every part divided; by zero no buckets are left. */
export function divide(histogram: FloatHistogram, divisor: number): FloatHistogram {
  const { layout, buckets } = histogram;
  const none = divisor === 0;
  return {
    layout: none ? { ...layout, positive: new Int32Array(0), negative: new Int32Array(0) } : layout,
    hint: divisor < 0 ? HINT_GAUGE : histogram.hint,
    count: histogram.count / divisor,
    sum: histogram.sum / divisor,
    zeroCount: histogram.zeroCount / divisor,
    buckets: none ? new Float64Array(0) : buckets.map((count) => count / divisor),
  };
}

export function withHint(histogram: FloatHistogram, hint: ResetHint): FloatHistogram {
  return histogram.hint === hint ? histogram : { ...histogram, hint };
}

/** The histogram without empty buckets. */
export function compact(histogram: FloatHistogram): FloatHistogram {
  const { layout, buckets } = histogram;
  if (!buckets.includes(0)) return histogram;
  const split = layout.positive.length;
  const positive = layout.positive.filter((_, i) => buckets[i] !== 0);
  const negative = layout.negative.filter((_, i) => buckets[split + i] !== 0);
  return { ...histogram, layout: { ...layout, positive, negative }, buckets: buckets.filter((count) => count !== 0) };
}

/** Whether all bits are the same, hints aside. */
export function sameHistogram(a: FloatHistogram, b: FloatHistogram): boolean {
  return (
    Object.is(a.count, b.count) &&
    Object.is(a.sum, b.sum) &&
    Object.is(a.zeroCount, b.zeroCount) &&
    sameLayout(a.layout, b.layout) &&
    a.buckets.every((count, i) => Object.is(count, b.buckets[i]))
  );
}

/** A histogram without observations that can be added to others of this one's schema. */
export function emptyLike({ layout }: FloatHistogram): FloatHistogram {
  const none = new Int32Array(0);
  const empty = { ...layout, zeroThreshold: 0, positive: none, negative: none };
  return { layout: empty, hint: 0, count: 0, sum: 0, zeroCount: 0, buckets: new Float64Array(0) };
}

function positiveSide({ layout, buckets }: FloatHistogram): Side {
  return { indexes: layout.positive, counts: buckets.subarray(0, layout.positive.length), lost: undefined };
}

function negativeSide({ layout, buckets }: FloatHistogram): Side {
  return { indexes: layout.negative, counts: buckets.subarray(layout.positive.length), lost: undefined };
}

/** The histogram at a coarser schema, or as it is. */
export function coarser(histogram: FloatHistogram, schema: number): FloatHistogram {
  const { layout } = histogram;
  if (layout.schema <= schema || layout.schema === CUSTOM_SCHEMA) return histogram;
  const positive = settledSide(coarserSide(positiveSide(histogram), layout.schema - schema));
  const negative = settledSide(coarserSide(negativeSide(histogram), layout.schema - schema));
  const buckets = new Float64Array(positive.counts.length + negative.counts.length);
  buckets.set(positive.counts);
  buckets.set(negative.counts, positive.counts.length);
  return {
    ...histogram,
    layout: { ...layout, schema, positive: positive.indexes, negative: negative.indexes },
    buckets,
  };
}

function settledSide(side: Side): Side {
  const { indexes, counts, lost } = side;
  return {
    indexes,
    counts: counts.map((count, i) => (count - count === 0 ? count + lost![i]! : count)),
    lost: undefined,
  };
}

/**
 * Whether the counter that `current` belongs to was reset since `previous`: by its hint, else because a count fell, a
 * populated bucket is missing, or the layout changed in a way that only a restart explains.
 */
export function wasReset(current: FloatHistogram, previous: FloatHistogram): boolean {
  if (current.hint === HINT_RESET) return true;
  if (current.hint === HINT_NOT_RESET) return false;
  if (current.count < previous.count) return true;
  const now = current.layout;
  const then = previous.layout;
  if (hasCustomBounds(current)) {
    if (!hasCustomBounds(previous)) return true;
    if (!sameNumbers(now.bounds, then.bounds)) return fellOnCommonBounds(current, previous);
    return fell(positiveSide(current), positiveSide(previous), 0);
  }
  if (hasCustomBounds(previous)) return now.schema > then.schema;
  if (now.schema > then.schema || now.zeroThreshold < then.zeroThreshold) return true;
  const [zeroCount, width] = zeroCountAt(previous, now.zeroThreshold);
  // A zero bucket that ends inside a populated bucket cannot have grown out of the one before.
  if (width !== now.zeroThreshold || current.zeroCount < zeroCount) return true;
  for (const sideOf of [positiveSide, negativeSide]) {
    const before =
      then.schema === now.schema ? sideOf(previous) : coarserSide(sideOf(previous), then.schema - now.schema);
    if (fell(sideOf(current), before, swallowed(before, now.schema, now.zeroThreshold))) return true;
  }
  return false;
}

/** Whether any bucket of `previous`, from `from` on, is populated and missing in `current`, or has fallen. */
function fell(current: Side, previous: Side, from: number): boolean {
  let i = 0;
  for (let j = from; j < previous.indexes.length; j++) {
    while (i < current.indexes.length && current.indexes[i]! < previous.indexes[j]!) i++;
    const before = previous.counts[j]!;
    if (i < current.indexes.length && current.indexes[i] === previous.indexes[j]) {
      if (current.counts[i]! < before) return true;
    } else if (before !== 0) return true;
  }
  return false;
}

function fellOnCommonBounds(current: FloatHistogram, previous: FloatHistogram): boolean {
  const common = commonBounds(current.layout.bounds, previous.layout.bounds);
  const now = mapSide(positiveSide(current), onBounds(current.layout.bounds, common));
  const before = mapSide(positiveSide(previous), onBounds(previous.layout.bounds, common));
  return fell(now, before, 0);
}
