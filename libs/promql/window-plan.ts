// libs/promql/window-plan.ts: which samples of a timestamp column fall into the window of each step, computed once.
// HOT: bench test/bench/window-plan.bench.ts, twin test/promql/naive-rollup.ts. All series that share a timestamp
// column share the plan: index bounds and, for rate, everything about extrapolation that depends on times only.
// Invariants: from and to never decrease from step to step; a window is the half-open index range [from, to), its
// time range is left-open: (end - rangeMs, end] with end = step time - offsetMs.
import type { Grid } from "../model/index.ts";

/** Window bounds of every step for one (timestamp column, grid, range, offset). Reusable: planWindows overwrites it. */
export interface WindowPlan {
  /** Number of samples in the timestamp column. */
  n: number;
  startMs: number;
  stepMs: number;
  /** Number of steps. */
  count: number;
  rangeMs: number;
  offsetMs: number;
  /** First sample index of each step's window. */
  from: Int32Array;
  /** One past the last sample index of each step's window. */
  to: Int32Array;
  /** Samples in all windows together, overlaps counted as often as they occur. */
  windowSamples: number;
  /** Samples that are in at least one window: what the query has to read. */
  samplesRead: number;
  /** The smallest number of samples in any window. */
  samplesMin: number;
  /** The union of all windows lies in [low, high). */
  low: number;
  high: number;
  /** Whether the arrays below are filled for this plan. They hold seconds, and are only set where n ≥ 2. */
  rateReady: boolean;
  /** Time from first to last sample. */
  sampled: Float64Array;
  /** Extrapolation towards the start, before the clamp to a counter's zero. */
  toStart: Float64Array;
  /** Extrapolation towards the end. */
  toEnd: Float64Array;
  /** (sampled + toStart + toEnd) / sampled. */
  factor: Float64Array;
  /** factor per second of range. */
  rateFactor: Float64Array;
  /** A counter whose first value is above this × its increase cannot reach zero before toStart. */
  zeroRatio: Float64Array;
}

/** Makes zeroRatio a little too large, so that rounding never hides a clamp; what it lets through is computed exactly. */
const ZERO_MARGIN = 1 + 1e-9;

/** An empty plan to be filled by planWindows. */
export function createWindowPlan(): WindowPlan {
  const none = new Float64Array(0);
  return {
    n: 0,
    startMs: 0,
    stepMs: 0,
    count: 0,
    rangeMs: 0,
    offsetMs: 0,
    from: new Int32Array(0),
    to: new Int32Array(0),
    windowSamples: 0,
    samplesRead: 0,
    samplesMin: 0,
    low: 0,
    high: 0,
    rateReady: false,
    sampled: none,
    toStart: none,
    toEnd: none,
    factor: none,
    rateFactor: none,
    zeroRatio: none,
  };
}

/**
 * Fills `plan` for the first `n` ascending times (ms) of a column and returns it. A step of 0 ms repeats one window.
 * @param rangeMs window length; the window of step time t is (t - offsetMs - rangeMs, t - offsetMs]
 */
export function planWindows(
  times: Float64Array,
  n: number,
  grid: Grid,
  rangeMs: number,
  offsetMs: number,
  plan: WindowPlan,
): WindowPlan {
  const count = grid.count;
  if (plan.from.length < count) {
    plan.from = new Int32Array(count);
    plan.to = new Int32Array(count);
  }
  plan.n = n;
  plan.startMs = grid.startMs;
  plan.stepMs = grid.stepMs;
  plan.count = count;
  plan.rangeMs = rangeMs;
  plan.offsetMs = offsetMs;
  plan.rateReady = false;
  const from = plan.from;
  const to = plan.to;
  let end = grid.startMs - offsetMs;
  let f = firstAfter(times, n, end - rangeMs);
  let t = f;
  plan.low = f;
  let windowSamples = 0;
  let samplesRead = 0;
  let samplesMin = n;
  // Scrapes are regular: an index advances by as much as it did in the step before, which two comparisons confirm.
  let stride = 0;
  for (let s = 0; s < count; s++) {
    const start = end - rangeMs;
    let guess = f + stride;
    if (guess > 0 && guess < n && times[guess - 1]! <= start && times[guess]! > start) f = guess;
    else while (f < n && times[f]! <= start) f++;
    const before = t;
    if (t < f) t = f;
    const covered = t;
    guess = before + stride;
    if (guess > f && guess < n && times[guess - 1]! <= end && times[guess]! > end) t = guess;
    else while (t < n && times[t]! <= end) t++;
    stride = t - before;
    from[s] = f;
    to[s] = t;
    const size = t - f;
    windowSamples += size;
    if (size < samplesMin) samplesMin = size;
    samplesRead += t - covered;
    end += grid.stepMs;
  }
  plan.windowSamples = windowSamples;
  plan.samplesRead = samplesRead;
  plan.samplesMin = samplesMin;
  plan.high = t;
  return plan;
}

/**
 * Fills the extrapolation columns: Prometheus' extrapolatedRate as far as it depends on times. A gap at either end of
 * the window that is at least 1.1 × the average distance between samples counts as half that distance.
 */
export function planExtrapolation(plan: WindowPlan, times: Float64Array): void {
  if (plan.rateReady) return;
  const count = plan.count;
  if (plan.sampled.length < count) {
    plan.sampled = new Float64Array(count);
    plan.toStart = new Float64Array(count);
    plan.toEnd = new Float64Array(count);
    plan.factor = new Float64Array(count);
    plan.rateFactor = new Float64Array(count);
    plan.zeroRatio = new Float64Array(count);
  }
  const { from, to, sampled, toStart, toEnd, factor, rateFactor, zeroRatio, rangeMs } = plan;
  const rangeSeconds = rangeMs / 1000;
  let end = plan.startMs - plan.offsetMs;
  for (let s = 0; s < count; s++, end += plan.stepMs) {
    const first = from[s]!;
    const last = to[s]! - 1;
    if (last <= first) continue;
    const interval = (times[last]! - times[first]!) / 1000;
    const average = interval / (last - first);
    const threshold = average * 1.1;
    let before = (times[first]! - (end - rangeMs)) / 1000;
    let after = (end - times[last]!) / 1000;
    if (before >= threshold) before = average / 2;
    if (after >= threshold) after = average / 2;
    sampled[s] = interval;
    toStart[s] = before;
    toEnd[s] = after;
    const f = (interval + before + after) / interval;
    factor[s] = f;
    rateFactor[s] = f / rangeSeconds;
    zeroRatio[s] = (before / interval) * ZERO_MARGIN;
  }
  plan.rateReady = true;
}

/** Index of the first of `n` ascending times that is later than `time`. */
function firstAfter(times: Float64Array, n: number, time: number): number {
  let low = 0;
  let high = n;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}
