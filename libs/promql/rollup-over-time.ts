// libs/promql/rollup-over-time.ts: count, present, first, last, sum, avg, min, max over time and their timestamps.
// HOT: bench test/bench/rollup-over-time.bench.ts, twin test/promql/naive-rollup.ts. Values hold no stale markers.
// Sums are Neumaier's compensated sums in Prometheus' order, bit for bit. Where a column holds integers whose sums
// are exact, every order gives the same bits, and running sums replace one loop per window.
import type { WindowPlan } from "./window-plan.ts";

/** Windows that overlap more than this on average are worth running sums or running extremes. */
const OVERLAP_MIN = 2;

let prefix = new Float64Array(1024);
let suffix = new Float64Array(1024);

/** count_over_time. */
export function rollupCount(plan: WindowPlan, out: Float64Array, present: Uint8Array): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const size = to[s]! - from[s]!;
    out[s] = size;
    const has = size > 0 ? 1 : 0;
    present[s] = has;
    points += has;
  }
  return points;
}

/** present_over_time. */
export function rollupPresent(plan: WindowPlan, out: Float64Array, present: Uint8Array): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const has = to[s]! > from[s]! ? 1 : 0;
    out[s] = has;
    present[s] = has;
    points += has;
  }
  return points;
}

/** first_over_time and last_over_time of `column`, which is the values or the times; `scale` divides the result. */
export function rollupEdge(
  plan: WindowPlan,
  column: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  last: boolean,
  scale: number,
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
    out[s] = column[last ? t - 1 : f]! / scale;
    present[s] = 1;
    points++;
  }
  return points;
}

/** sum_over_time, or avg_over_time when `average` is set. */
export function rollupSum(
  plan: WindowPlan,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  average: boolean,
): number {
  const overlaps = plan.windowSamples > OVERLAP_MIN * (plan.high - plan.low);
  if (overlaps && fillExactPrefix(values, plan.low, plan.high)) return sumByPrefix(plan, out, present, average);
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
    let sum = average ? values[f]! : 0;
    let c = 0;
    for (let i = average ? f + 1 : f; i < t; i++) {
      const value = values[i]!;
      const next = sum + value;
      if (Math.abs(sum) >= Math.abs(value)) c += sum - next + value;
      else c += value - next + sum;
      sum = next;
    }
    // Once a sum is infinite or NaN its compensation is meaningless, and it never becomes finite again.
    if (!average) out[s] = sum === Infinity || sum === -Infinity ? sum : sum + c;
    else if (sum - sum !== 0) out[s] = incrementalMean(values, f, t);
    else out[s] = sum / (t - f) + c / (t - f);
    present[s] = 1;
    points++;
  }
  return points;
}

/** The mean of [f, t) as Prometheus computes it: directly, and incrementally from where the sum would overflow. */
function incrementalMean(values: Float64Array, f: number, t: number): number {
  let mean = values[f]!;
  let c = 0;
  let direct = true;
  for (let i = f + 1; i < t; i++) {
    const n = i - f + 1;
    let addend = values[i]!;
    if (direct) {
      const next = mean + addend;
      if (next !== Infinity && next !== -Infinity) {
        if (Math.abs(mean) >= Math.abs(addend)) c += mean - next + addend;
        else c += addend - next + mean;
        mean = next;
        continue;
      }
      direct = false;
      mean /= n - 1;
      c /= n - 1;
    }
    const q = (n - 1) / n;
    addend /= n;
    mean *= q;
    c *= q;
    const next = mean + addend;
    if (next === Infinity || next === -Infinity) c = 0;
    else if (Math.abs(mean) >= Math.abs(addend)) c += mean - next + addend;
    else c += addend - next + mean;
    mean = next;
  }
  return direct ? mean / (t - f) + c / (t - f) : mean + c;
}

/**
 * Fills `prefix` with running sums when all values of [low, high) are integers whose absolute values add up to less
 * than 2^53: then every partial sum is exact. Returns false, with `prefix` undefined, when they are not.
 */
function fillExactPrefix(values: Float64Array, low: number, high: number): boolean {
  if (prefix.length <= high) prefix = new Float64Array(2 * high + 1);
  const sums = prefix;
  let magnitude = 0;
  let sum = 0;
  sums[low] = 0;
  for (let i = low; i < high; i++) {
    const value = values[i]!;
    if (value !== Math.floor(value)) return false;
    magnitude += Math.abs(value);
    sum += value;
    sums[i + 1] = sum;
  }
  return magnitude < 2 ** 53;
}

function sumByPrefix(plan: WindowPlan, out: Float64Array, present: Uint8Array, average: boolean): number {
  const { count, from, to } = plan;
  const sums = prefix;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    if (t <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    const sum = sums[t]! - sums[f]!;
    out[s] = average ? sum / (t - f) : sum;
    present[s] = 1;
    points++;
  }
  return points;
}

/** min_over_time or max_over_time: NaN only where every sample of the window is NaN. */
export function rollupExtreme(
  plan: WindowPlan,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  max: boolean,
): number {
  if (plan.windowSamples > OVERLAP_MIN * (plan.high - plan.low))
    return extremeByBlocks(plan, values, out, present, max);
  const { count, from, to } = plan;
  const sign = max ? 1 : -1;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    if (t <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    let best = sign * values[f]!;
    for (let i = f + 1; i < t; i++) {
      const value = sign * values[i]!;
      if (value > best || Number.isNaN(best)) best = value;
    }
    out[s] = sign * best;
    present[s] = 1;
    points++;
  }
  return points;
}

/**
 * The same in a few steps per sample, however long the windows (van Herk 1992, Gil and Werman 1993): the column is cut
 * into blocks; running extremes from both ends of each block meet in the middle of any window. Minima are maxima of the
 * negated values. Of equal values the earliest wins, as in the loop above: 0 and -0 are equal.
 */
function extremeByBlocks(
  plan: WindowPlan,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  max: boolean,
): number {
  const { count, from, to, low } = plan;
  const sign = max ? 1 : -1;
  const size = Math.max(2, Math.floor(plan.windowSamples / count));
  fillRunningExtremes(values, low, plan.high, size, sign);
  const upTo = prefix;
  const onwards = suffix;
  let points = 0;
  // Where the blocks of a window's first and last sample begin: windows only move on.
  let firstBlock = 0;
  let lastBlock = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]! - low;
    const l = to[s]! - 1 - low;
    if (l < f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    while (firstBlock + size <= f) firstBlock += size;
    while (lastBlock + size <= l) lastBlock += size;
    let best: number;
    if (lastBlock === f) {
      // Windows that reach back before the first sample begin with a block.
      best = upTo[l]!;
    } else if (lastBlock < f) {
      // The whole window lies in one block.
      best = sign * values[low + f]!;
      for (let i = f + 1; i <= l; i++) {
        const value = sign * values[low + i]!;
        if (value > best || Number.isNaN(best)) best = value;
      }
    } else {
      best = onwards[f]!;
      for (let block = firstBlock + size; block < lastBlock; block += size) {
        const value = onwards[block]!;
        if (value > best || Number.isNaN(best)) best = value;
      }
      const value = upTo[l]!;
      if (value > best || Number.isNaN(best)) best = value;
    }
    out[s] = sign * best;
    present[s] = 1;
    points++;
  }
  return points;
}

/** prefix[i]: the maximum from the start of i's block to i; suffix[i]: from i to the end of its block. 0 is `low`. */
function fillRunningExtremes(values: Float64Array, low: number, high: number, size: number, sign: number): void {
  const n = high - low;
  if (prefix.length <= n) prefix = new Float64Array(2 * n + 1);
  if (suffix.length <= n) suffix = new Float64Array(2 * n + 1);
  const upTo = prefix;
  const onwards = suffix;
  for (let start = 0; start < n; start += size) {
    const end = Math.min(start + size, n);
    let best = sign * values[low + start]!;
    upTo[start] = best;
    for (let i = start + 1; i < end; i++) {
      const value = sign * values[low + i]!;
      if (value > best || Number.isNaN(best)) best = value;
      upTo[i] = best;
    }
    best = sign * values[low + end - 1]!;
    onwards[end - 1] = best;
    for (let i = end - 2; i >= start; i--) {
      const value = sign * values[low + i]!;
      if (value >= best || Number.isNaN(best)) best = value;
      onwards[i] = best;
    }
  }
}

/** ts_of_min_over_time or ts_of_max_over_time in seconds: of equal extremes the latest. */
export function rollupExtremeTime(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  max: boolean,
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
    let best = values[f]!;
    let at = f;
    for (let i = f + 1; i < t; i++) {
      const value = values[i]!;
      if ((max ? value >= best : value <= best) || Number.isNaN(best)) {
        best = value;
        at = i;
      }
    }
    out[s] = times[at]! / 1000;
    present[s] = 1;
    points++;
  }
  return points;
}
