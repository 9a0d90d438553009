// libs/promql/histogram-native.ts: quantile, fraction and variance of native histograms.
// Observations are taken to be spread evenly inside a bucket: linearly with custom bounds and in the zero bucket, else on
// a logarithmic scale. A histogram with only positive (negative) buckets has a zero bucket that begins (ends) at 0.
import { type FloatHistogram, hasCustomBounds } from "../model/index.ts";
import { allBuckets, type Bucket, fractionBelow } from "./histogram-bounds.ts";
import { addTo } from "./histogram-side.ts";

/** What NaN observations did to a result: they count, but lie in no bucket. */
export type NanEffect = "none" | "result" | "skew";

export interface Estimate {
  readonly value: number;
  readonly nans: NanEffect;
}

const plain = (value: number): Estimate => ({ value, nans: "none" });

/** The φ-quantile. */
export function nativeQuantile(phi: number, histogram: FloatHistogram): Estimate {
  if (phi < 0) return plain(-Infinity);
  if (phi > 1) return plain(Infinity);
  const total = histogram.count;
  if (total === 0 || Number.isNaN(phi)) return plain(Number.NaN);
  const custom = hasCustomBounds(histogram);
  const mayHaveNans = Number.isNaN(histogram.sum);
  // From the nearer end, unless observations may be missing at the upper one.
  const upwards = mayHaveNans || phi < 0.5;
  const buckets = upwards ? allBuckets(histogram) : allBuckets(histogram).reverse();
  const rank = upwards ? phi * total : (1 - phi) * total;
  const { found, bucket: first, reached } = walkTo(buckets, rank);
  const bucket = clipToSigns(first, histogram, custom);
  if (custom) {
    if (bucket.lower === -Infinity && bucket.upper <= 0) return plain(bucket.upper);
    if (bucket.lower !== -Infinity && bucket.upper === Infinity) return plain(bucket.lower);
  }
  const lower = custom && bucket.lower === -Infinity ? 0 : bucket.lower;
  const count = Math.min(reached, total);
  if (count < rank) {
    return mayHaveNans ? { value: Number.NaN, nans: "result" } : plain(bucket.upper);
  }
  const inside = upwards ? rank - (count - bucket.count) : count - rank;
  let nans: NanEffect = "none";
  let divided: Bucket = { ...bucket, lower };
  if (mayHaveNans) {
    let all = count;
    // Prometheus forgets the bucket that it has found when it counts the others, and divides the last one instead.
    for (let i = found + 1; i < buckets.length; i++) {
      divided = buckets[i]!;
      all += divided.count;
    }
    if (all < total) nans = "skew";
  }
  return { value: interpolate(divided, inside / divided.count, custom), nans };
}

/** The bucket in which the rank is reached, and the count up to it; the last bucket when none does. */
function walkTo(buckets: readonly Bucket[], rank: number): { found: number; bucket: Bucket; reached: number } {
  let reached = 0;
  let bucket: Bucket = { lower: 0, upper: 0, count: 0 };
  for (let i = 0; i < buckets.length; i++) {
    bucket = buckets[i]!;
    if (bucket.count === 0) continue;
    reached += bucket.count;
    if (reached >= rank) return { found: i, bucket, reached };
  }
  return { found: buckets.length, bucket, reached };
}

/** A zero bucket is halved when the histogram has buckets on one side only. */
function clipToSigns(bucket: Bucket, { layout }: FloatHistogram, custom: boolean): Bucket {
  if (custom || !(bucket.lower < 0 && bucket.upper > 0)) return bucket;
  if (layout.negative.length === 0 && layout.positive.length > 0) return { ...bucket, lower: 0 };
  if (layout.positive.length === 0 && layout.negative.length > 0) return { ...bucket, upper: 0 };
  return bucket;
}

function interpolate({ lower, upper }: Bucket, fraction: number, linear: boolean): number {
  if (linear || (lower <= 0 && upper >= 0)) return lower + (upper - lower) * fraction;
  const low = Math.log2(Math.abs(lower));
  const high = Math.log2(Math.abs(upper));
  if (lower > 0) return 2 ** (low + (high - low) * fraction);
  return -(2 ** (high + (low - high) * (1 - fraction)));
}

/** The fraction of observations between two bounds. */
export function nativeFraction(lower: number, upper: number, histogram: FloatHistogram): Estimate {
  if (histogram.count === 0 || Number.isNaN(lower) || Number.isNaN(upper)) return plain(Number.NaN);
  if (lower >= upper) return plain(0);
  const custom = hasCustomBounds(histogram);
  const buckets = allBuckets(histogram).map((bucket) => zeroClipped(bucket, histogram));
  let inBuckets = 0;
  for (const { count } of buckets) inBuckets += count;
  let total = histogram.count;
  let nans: NanEffect = "none";
  if (Number.isNaN(histogram.sum)) {
    if (inBuckets < total) nans = "skew";
    total = inBuckets;
  }
  const below = (value: number) => rankOf(value, buckets, total, custom);
  return { value: (below(upper) - below(lower)) / histogram.count, nans };
}

function zeroClipped(bucket: Bucket, { layout }: FloatHistogram): Bucket {
  if (!(bucket.lower <= 0 && bucket.upper >= 0)) return bucket;
  if (layout.negative.length === 0 && layout.positive.length > 0) return { ...bucket, lower: 0 };
  if (layout.positive.length === 0 && layout.negative.length > 0) return { ...bucket, upper: 0 };
  return bucket;
}

/** How many observations lie below a value, at most `total`. */
function rankOf(value: number, buckets: readonly Bucket[], total: number, custom: boolean): number {
  let rank = 0;
  for (const bucket of buckets) {
    if (bucket.lower >= value) return Math.min(rank, total);
    if (bucket.upper > value) {
      const linear = custom || (bucket.lower <= 0 && bucket.upper >= 0);
      // What has no lower end cannot be divided: all of it counts.
      const within = bucket.lower === -Infinity && linear;
      const reached = within ? bucket.count : rank + bucket.count * fractionBelow(bucket, value, linear);
      return Math.min(reached, total);
    }
    rank += bucket.count;
  }
  return total;
}

/** The variance, with each observation taken to lie in the middle of its bucket: on the bucket's own scale. */
export function nativeVariance(histogram: FloatHistogram): number {
  const custom = hasCustomBounds(histogram);
  const mean = histogram.sum / histogram.count;
  const variance = { value: 0, lost: 0 };
  for (const { lower, upper, count } of allBuckets(histogram)) {
    if (count === 0) continue;
    let middle = 0;
    if (custom) middle = (upper + lower) / 2;
    else if (!(lower <= 0 && upper >= 0)) middle = Math.sign(upper) * Math.sqrt(upper * lower);
    const delta = middle - mean;
    addTo(variance, count * delta * delta);
  }
  return (variance.value + variance.lost) / histogram.count;
}
