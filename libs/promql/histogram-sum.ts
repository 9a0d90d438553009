// libs/promql/histogram-sum.ts: adds and subtracts native histograms of different layouts.
// Of two exponential schemas the coarser one wins, of two zero buckets the wider one, widened further until it cuts no
// populated bucket; of two sets of custom bounds those that both have remain. Exponential and custom do not mix.
import {
  type BucketLayout,
  CUSTOM_SCHEMA,
  type FloatHistogram,
  HINT_GAUGE,
  HINT_UNKNOWN,
  hasCustomBounds,
  type ResetHint,
  sameLayout,
  sameNumbers,
} from "../model/index.ts";
import { exponentialBound } from "./histogram-bounds.ts";
import {
  addCounts,
  addSide,
  addTo,
  coarserSide,
  mapSide,
  ownSide,
  type Side,
  type Sum,
  scaleSide,
  withoutFirst,
} from "./histogram-side.ts";

/** Two sides and the zero bucket between them. */
interface Zeroed {
  readonly schema: number;
  readonly zero: Sum;
  readonly zeroThreshold: number;
  readonly positive: Side;
  readonly negative: Side;
}

/** A sum of histograms, begun with one of them. */
export class HistogramSum {
  hint: ResetHint;
  /** Whether hints of a reset and of none have met. */
  collided = false;
  /** Whether custom bounds differed, so that some went. */
  reconciled = false;
  #schema: number;
  #zeroThreshold: number;
  #bounds: Float64Array;
  #positive: Side;
  #negative: Side;
  readonly #zero: Sum;
  readonly #count: Sum;
  readonly #sum: Sum;
  /** The layout of what has been added up so far. */
  #layout: BucketLayout;

  constructor(first: FloatHistogram) {
    const { layout, buckets } = first;
    const split = layout.positive.length;
    this.hint = first.hint;
    this.#schema = layout.schema;
    this.#zeroThreshold = layout.zeroThreshold;
    this.#bounds = layout.bounds;
    this.#positive = ownSide(layout.positive, buckets.subarray(0, split));
    this.#negative = ownSide(layout.negative, buckets.subarray(split));
    this.#zero = { value: first.zeroCount, lost: 0 };
    this.#count = { value: first.count, lost: 0 };
    this.#sum = { value: first.sum, lost: 0 };
    this.#layout = layout;
  }

  /** Adds `sign` × a histogram. False when one has custom bounds and the other not: then nothing has changed. */
  add(other: FloatHistogram, sign: 1 | -1): boolean {
    if (hasCustomBounds(other) !== (this.#schema === CUSTOM_SCHEMA)) return false;
    this.#meetHint(other.hint);
    addTo(this.#count, sign * other.count);
    addTo(this.#sum, sign * other.sum);
    if (sameLayout(other.layout, this.#layout)) {
      addTo(this.#zero, sign * other.zeroCount);
      const split = other.layout.positive.length;
      addCounts(this.#positive, other.buckets, 0, sign);
      addCounts(this.#negative, other.buckets, split, sign);
      return true;
    }
    if (this.#schema === CUSTOM_SCHEMA) this.#addCustom(other, sign);
    else this.#addExponential(other, sign);
    this.#layout = this.#layoutNow();
    return true;
  }

  /** Gauges stay gauges; of other hints only a common one stays. */
  #meetHint(other: ResetHint): void {
    if (other === this.hint || this.hint === HINT_GAUGE) return;
    if (other === HINT_GAUGE) this.hint = HINT_GAUGE;
    else {
      if (this.hint !== HINT_UNKNOWN && other !== HINT_UNKNOWN) this.collided = true;
      this.hint = HINT_UNKNOWN;
    }
  }

  #addCustom(other: FloatHistogram, sign: 1 | -1): void {
    const { bounds } = other.layout;
    let theirs: Side = { indexes: other.layout.positive, counts: other.buckets, lost: undefined };
    if (!sameNumbers(bounds, this.#bounds)) {
      this.reconciled = true;
      const common = commonBounds(this.#bounds, bounds);
      this.#positive = mapSide(this.#positive, onBounds(this.#bounds, common));
      theirs = mapSide(theirs, onBounds(bounds, common));
      this.#bounds = common;
    }
    this.#positive = addSide(this.#positive, theirs, 0, sign);
  }

  #addExponential(other: FloatHistogram, sign: 1 | -1): void {
    const { layout, buckets } = other;
    const split = layout.positive.length;
    let positive: Side = { indexes: layout.positive, counts: buckets.subarray(0, split), lost: undefined };
    let negative: Side = { indexes: layout.negative, counts: buckets.subarray(split), lost: undefined };
    const zero = this.#widen({ ...layout, zero: { value: other.zeroCount, lost: 0 }, positive, negative });
    addTo(this.#zero, sign * zero.value);
    addTo(this.#zero, sign * zero.lost);
    // What the zero bucket has swallowed is counted there.
    let skipped = [
      swallowed(positive, layout.schema, this.#zeroThreshold),
      swallowed(negative, layout.schema, this.#zeroThreshold),
    ] as const;
    if (layout.schema < this.#schema) {
      this.#positive = coarserSide(this.#positive, this.#schema - layout.schema);
      this.#negative = coarserSide(this.#negative, this.#schema - layout.schema);
      this.#schema = layout.schema;
    } else if (layout.schema > this.#schema) {
      positive = coarserSide(withoutFirst(positive, skipped[0]), layout.schema - this.#schema);
      negative = coarserSide(withoutFirst(negative, skipped[1]), layout.schema - this.#schema);
      skipped = [0, 0];
    }
    this.#positive = addSide(this.#positive, positive, skipped[0], sign);
    this.#negative = addSide(this.#negative, negative, skipped[1], sign);
  }

  /** Widens the zero bucket until it has room for the other one. Returns the other one's count at that width. */
  #widen(other: Zeroed): Sum {
    let threshold = other.zeroThreshold;
    let { zero } = other;
    while (threshold !== this.#zeroThreshold) {
      if (this.#zeroThreshold > threshold) [zero, threshold] = widened(other, this.#zeroThreshold);
      if (threshold > this.#zeroThreshold) {
        const own = {
          schema: this.#schema,
          zero: this.#zero,
          zeroThreshold: this.#zeroThreshold,
          positive: this.#positive,
          negative: this.#negative,
        };
        const [mine, width] = widened(own, threshold);
        Object.assign(this.#zero, mine);
        this.#zeroThreshold = width;
        this.#positive = withoutFirst(this.#positive, this.#below(this.#positive));
        this.#negative = withoutFirst(this.#negative, this.#below(this.#negative));
      }
    }
    return zero;
  }

  /** How many buckets of a side begin inside the zero bucket. */
  #below({ indexes }: Side): number {
    let n = 0;
    while (n < indexes.length && exponentialBound(this.#schema, indexes[n]! - 1) < this.#zeroThreshold) n++;
    return n;
  }

  /** Multiplies everything by factor / divisor: first one, then the other, as rounding wants it. */
  scale(factor: number, divisor = 1): void {
    for (const sum of [this.#zero, this.#count, this.#sum]) {
      sum.value = (sum.value * factor) / divisor;
      sum.lost = (sum.lost * factor) / divisor;
    }
    scaleSide(this.#positive, factor, divisor);
    scaleSide(this.#negative, factor, divisor);
  }

  /** Whether any part of the sum is infinite. */
  isInfinite(): boolean {
    const infinite = (value: number) => value === Infinity || value === -Infinity;
    return (
      [this.#zero.value, this.#count.value, this.#sum.value].some(infinite) ||
      this.#positive.counts.some(infinite) ||
      this.#negative.counts.some(infinite)
    );
  }

  /** The sum so far, in arrays of its own. */
  result(): FloatHistogram {
    const { indexes: positive } = this.#positive;
    const { indexes: negative } = this.#negative;
    const buckets = new Float64Array(positive.length + negative.length);
    settleInto(buckets, 0, this.#positive);
    settleInto(buckets, positive.length, this.#negative);
    return {
      layout: this.#layout,
      hint: this.hint,
      count: settled(this.#count),
      sum: settled(this.#sum),
      zeroCount: settled(this.#zero),
      buckets,
    };
  }

  /** The sum as it is without what rounding has taken, which `loss` tells. */
  rounded(): FloatHistogram {
    const buckets = joined(this.#positive.counts, this.#negative.counts);
    const { value: count } = this.#count;
    return {
      ...{ layout: this.#layout, hint: this.hint, count, sum: this.#sum.value, zeroCount: this.#zero.value },
      buckets,
    };
  }

  /** What rounding has taken, as a histogram of the same layout, without buckets where they lost nothing; undefined for nothing. */
  loss(): FloatHistogram | undefined {
    const buckets = joined(lossesOf(this.#positive), lossesOf(this.#negative));
    const [count, sum, zeroCount] = [lossOf(this.#count), lossOf(this.#sum), lossOf(this.#zero)];
    if (buckets.some((lost) => lost !== 0))
      return { layout: this.#layout, hint: this.hint, count, sum, zeroCount, buckets };
    if (count === 0 && sum === 0 && zeroCount === 0) return undefined;
    const layout = { ...this.#layout, positive: new Int32Array(0), negative: new Int32Array(0) };
    return { layout, hint: this.hint, count, sum, zeroCount, buckets: new Float64Array(0) };
  }

  #layoutNow(): BucketLayout {
    const { indexes: positive } = this.#positive;
    const { indexes: negative } = this.#negative;
    const known = this.#layout;
    const same =
      known.positive === positive &&
      known.negative === negative &&
      known.schema === this.#schema &&
      known.zeroThreshold === this.#zeroThreshold &&
      known.bounds === this.#bounds;
    if (same) return known;
    return { schema: this.#schema, zeroThreshold: this.#zeroThreshold, bounds: this.#bounds, positive, negative };
  }
}

/** How many buckets of a side lie inside a zero bucket. */
export function swallowed({ indexes }: Side, schema: number, threshold: number): number {
  let n = 0;
  while (threshold > 0 && n < indexes.length && exponentialBound(schema, indexes[n]!) <= threshold) n++;
  return n;
}

function settled({ value, lost }: Sum): number {
  return value - value === 0 ? value + lost : value;
}

/** Infinite and NaN sums have nothing to be compensated. */
function lossOf({ value, lost }: Sum): number {
  return value - value === 0 ? lost : 0;
}

function lossesOf({ counts, lost }: Side): Float64Array {
  return counts.map((value, i) => lossOf({ value, lost: lost![i]! }));
}

function joined(first: Float64Array, second: Float64Array): Float64Array {
  const out = new Float64Array(first.length + second.length);
  out.set(first);
  out.set(second, first.length);
  return out;
}

/** A histogram with what `loss` tells of it put back. */
export function withLoss(histogram: FloatHistogram, loss: FloatHistogram | undefined): FloatHistogram {
  if (loss === undefined) return histogram;
  const { count, sum, zeroCount, buckets } = histogram;
  return {
    ...histogram,
    count: count + loss.count,
    sum: sum + loss.sum,
    zeroCount: zeroCount + loss.zeroCount,
    buckets: loss.buckets.length === 0 ? buckets : buckets.map((value, i) => value + loss.buckets[i]!),
  };
}

function settleInto(out: Float64Array, at: number, { counts, lost }: Side): void {
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!;
    out[at + i] = count - count === 0 ? count + lost![i]! : count;
  }
}

/**
 * The count of a zero bucket that is widened to `threshold`, and the width it gets: more than asked for where the
 * threshold lies inside a populated bucket.
 */
function widened(histogram: Zeroed, threshold: number): [zero: Sum, threshold: number] {
  const { schema, positive, negative } = histogram;
  let width = threshold;
  for (;;) {
    const zero = { ...histogram.zero };
    width = swallow(zero, positive, schema, width);
    const further = swallow(zero, negative, schema, width);
    // A wider zero bucket may reach further on the other side as well.
    if (further === width) return [zero, width];
    width = further;
  }
}

/** Adds the buckets of one side that begin below the width. Returns the width, or the end of the bucket it lies in. */
function swallow(zero: Sum, { indexes, counts, lost }: Side, schema: number, width: number): number {
  for (let i = 0; i < indexes.length; i++) {
    if (exponentialBound(schema, indexes[i]! - 1) >= width) break;
    addTo(zero, counts[i]!);
    if (lost !== undefined) addTo(zero, lost[i]!);
    const upper = exponentialBound(schema, indexes[i]!);
    if (upper > width) return counts[i] === 0 ? width : upper;
  }
  return width;
}

/** The zero count that a histogram has with a wider zero bucket, and the width that this takes. */
export function zeroCountAt({ layout, zeroCount, buckets }: FloatHistogram, threshold: number): [number, number] {
  if (threshold === layout.zeroThreshold) return [zeroCount, threshold];
  const split = layout.positive.length;
  const [zero, width] = widened(
    {
      ...layout,
      zero: { value: zeroCount, lost: 0 },
      positive: { indexes: layout.positive, counts: buckets.subarray(0, split), lost: undefined },
      negative: { indexes: layout.negative, counts: buckets.subarray(split), lost: undefined },
    },
    threshold,
  );
  return [zero.value, width];
}

/** The bounds that both lists have. */
export function commonBounds(a: Float64Array, b: Float64Array): Float64Array {
  const others = new Set(b);
  return a.filter((bound) => others.has(bound));
}

/** Maps a bucket of one list of bounds to the bucket of fewer bounds that holds it. */
export function onBounds(bounds: Float64Array, fewer: Float64Array): (index: number) => number {
  let at = 0;
  return (index) => {
    if (index >= bounds.length) return fewer.length;
    while (at < fewer.length && fewer[at]! < bounds[index]!) at++;
    return at;
  };
}
