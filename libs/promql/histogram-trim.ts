// libs/promql/histogram-trim.ts: `h </ x` and `h >/ x`: a histogram less the observations above or below a value.
// A bucket that holds the value is divided; when anything was cut off, count and sum are estimated from what is left.
import { type FloatHistogram, hasCustomBounds } from "../model/index.ts";
import { compact } from "./histogram-arithmetic.ts";
import { type Bucket, fractionBelow, negativeBuckets, positiveBuckets } from "./histogram-bounds.ts";

/** What is left of a bucket, and where its middle lies. */
interface Rest {
  readonly count: number;
  readonly middle: number;
}

/** The observations below `value` (`keepsBelow`) or above it. */
export function trim(histogram: FloatHistogram, value: number, keepsBelow: boolean): FloatHistogram {
  const linear = hasCustomBounds(histogram);
  const positive = positiveBuckets(histogram);
  const negative = negativeBuckets(histogram);
  const buckets = histogram.buckets.slice();
  let count = 0;
  let sum = 0;
  let cut = false;
  const take = (bucket: Bucket, i: number, isPositive: boolean) => {
    if (bucket.count === 0) return;
    const rest = restOf(bucket, value, keepsBelow, isPositive, linear);
    if (rest.count !== bucket.count) cut = true;
    buckets[i] = rest.count;
    count += rest.count;
    sum += rest.middle * rest.count;
  };
  positive.forEach((bucket, i) => {
    take(bucket, i, true);
  });
  negative.forEach((bucket, i) => {
    take(bucket, positive.length + i, false);
  });
  let { zeroCount } = histogram;
  if (zeroCount > 0) {
    const populated = (bucket: Bucket) => bucket.count !== 0;
    const rest = zeroRest(histogram, value, keepsBelow, negative.some(populated), positive.some(populated));
    if (rest.count !== zeroCount) cut = true;
    zeroCount = rest.count;
    sum += rest.middle * rest.count;
    count += rest.count;
  }
  return cut ? compact({ ...histogram, count, sum, zeroCount, buckets }) : histogram;
}

function restOf(bucket: Bucket, value: number, keepsBelow: boolean, isPositive: boolean, linear: boolean): Rest {
  const { lower, upper, count } = bucket;
  const whole = keepsBelow ? upper <= value : lower >= value;
  if (whole) return { count, middle: middleOf(lower, upper, isPositive, linear) };
  const nothing = keepsBelow ? lower >= value : upper <= value;
  // NaN is on no side of anything: neither kept nor divided.
  if (nothing || Number.isNaN(value)) return { count: 0, middle: 0 };
  if (lower === -Infinity || upper === Infinity) return openRest(bucket, value, keepsBelow);
  const below = count * fractionBelow(bucket, value, linear);
  return keepsBelow
    ? { count: below, middle: middleOf(lower, value, isPositive, linear) }
    : { count: count - below, middle: middleOf(value, upper, isPositive, linear) };
}

/** A bucket without an end holds the value. What lies where in it is unknown, unless 0 is a natural end. */
function openRest({ lower, upper, count }: Bucket, value: number, keepsBelow: boolean): Rest {
  if (lower !== -Infinity) return keepsBelow ? { count: 0, middle: 0 } : { count, middle: value };
  const divisible = upper > 0 && upper !== Infinity;
  if (keepsBelow) {
    if (value > 0 && divisible) return { count: (count * value) / upper, middle: value / 2 };
    return upper <= 0 ? { count, middle: value } : { count: 0, middle: 0 };
  }
  if (value === -Infinity) return { count, middle: 0 };
  if (value >= 0 && divisible) return { count: count * (1 - value / upper), middle: (value + upper) / 2 };
  return { count: 0, middle: 0 };
}

function middleOf(lower: number, upper: number, isPositive: boolean, linear: boolean): number {
  const openBelow = !Number.isFinite(lower);
  if (openBelow && !Number.isFinite(upper)) return 0;
  if (openBelow) return upper > 0 ? upper / 2 : upper;
  if (!Number.isFinite(upper)) return lower;
  if (linear) return (lower + upper) / 2;
  const middle = Math.sqrt(Math.abs(lower * upper));
  return isPositive ? middle : -middle;
}

function zeroRest(
  { layout, zeroCount }: FloatHistogram,
  value: number,
  keepsBelow: boolean,
  hasNegative: boolean,
  hasPositive: boolean,
): Rest {
  const lower = hasPositive && !hasNegative ? 0 : -layout.zeroThreshold;
  const upper = hasNegative && !hasPositive ? 0 : layout.zeroThreshold;
  const whole = { count: zeroCount, middle: (lower + upper) / 2 };
  const none = { count: 0, middle: 0 };
  if (value <= lower) return keepsBelow ? none : whole;
  if (value >= upper) return keepsBelow ? whole : none;
  return keepsBelow
    ? { count: (zeroCount * (value - lower)) / (upper - lower), middle: (lower + value) / 2 }
    : { count: (zeroCount * (upper - value)) / (upper - lower), middle: (value + upper) / 2 };
}
