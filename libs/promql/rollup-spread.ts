// libs/promql/rollup-spread.ts: stddev, stdvar, quantile and mad over time.
// HOT: bench test/bench/rollup-spread.bench.ts, twin test/promql/naive-rollup.ts. Values hold no stale markers.
import { insertSorted, quantileOf, quantileOfSorted, removeSorted, sortFloats } from "./quantile.ts";
import type { WindowPlan } from "./window-plan.ts";

let scratch = new Float64Array(256);

/** stdvar_over_time, or stddev_over_time when `root` is set: Welford's method, mean and sum compensated. */
export function rollupVariance(
  plan: WindowPlan,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  root: boolean,
): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    if (t <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    let mean = 0;
    let meanC = 0;
    let sum = 0;
    let sumC = 0;
    for (let i = f; i < t; i++) {
      const value = values[i]!;
      const delta = value - (mean + meanC);
      const step = delta / (i - f + 1);
      const nextMean = mean + step;
      if (nextMean === Infinity || nextMean === -Infinity) meanC = 0;
      else if (Math.abs(mean) >= Math.abs(step)) meanC += mean - nextMean + step;
      else meanC += step - nextMean + mean;
      mean = nextMean;
      const square = delta * (value - (mean + meanC));
      const nextSum = sum + square;
      if (nextSum === Infinity || nextSum === -Infinity) sumC = 0;
      else if (Math.abs(sum) >= Math.abs(square)) sumC += sum - nextSum + square;
      else sumC += square - nextSum + sum;
      sum = nextSum;
    }
    const variance = (sum + sumC) / (t - f);
    out[s] = root ? Math.sqrt(variance) : variance;
    present[s] = 1;
    points++;
  }
  return points;
}

/**
 * quantile_over_time; φ is a number or a column with one per step. Where windows overlap, the sorted values of one are
 * turned into those of the next by taking out what left and putting in what came.
 */
export function rollupQuantile(
  plan: WindowPlan,
  values: Float64Array,
  phi: number | Float64Array,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  let points = 0;
  let sortedFrom = 0;
  let sortedTo = 0;
  let nans = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    const n = t - f;
    if (n <= 0) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    if (scratch.length < n + sortedTo - sortedFrom) scratch = grown(scratch, 2 * (n + sortedTo - sortedFrom));
    if (2 * (f - sortedFrom + t - sortedTo) > n) {
      for (let i = f; i < t; i++) scratch[i - f] = values[i]!;
      nans = sortFloats(scratch, n);
    } else {
      let kept = sortedTo - sortedFrom - nans;
      for (let i = sortedTo; i < t; i++) kept = insertSorted(scratch, kept, values[i]!);
      for (let i = sortedFrom; i < f; i++) kept = removeSorted(scratch, kept, values[i]!);
      nans = n - kept;
    }
    sortedFrom = f;
    sortedTo = t;
    out[s] = quantileOfSorted(typeof phi === "number" ? phi : phi[s]!, scratch, n, nans);
    present[s] = 1;
    points++;
  }
  return points;
}

function grown(array: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const out = new Float64Array(length);
  out.set(array);
  return out;
}

/** mad_over_time: the median distance from the median; NaN where the window has a NaN. */
export function rollupMad(plan: WindowPlan, values: Float64Array, out: Float64Array, present: Uint8Array): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const n = to[s]! - f;
    if (n <= 0) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    if (scratch.length < n) scratch = new Float64Array(2 * n);
    let hasNan = false;
    for (let i = 0; i < n; i++) {
      const value = values[f + i]!;
      scratch[i] = value;
      hasNan ||= Number.isNaN(value);
    }
    const median = hasNan ? Number.NaN : quantileOf(0.5, scratch, n);
    for (let i = 0; i < n; i++) scratch[i] = Math.abs(scratch[i]! - median);
    out[s] = hasNan ? Number.NaN : quantileOf(0.5, scratch, n);
    present[s] = 1;
    points++;
  }
  return points;
}
