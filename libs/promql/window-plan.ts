// libs/promql/window-plan.ts: which samples of a timestamp column fall into the window of each step, computed once.
// HOT: bench test/bench/window-plan.bench.ts, twin test/promql/naive-rollup.ts. All series that share a timestamp
// column share the plan: index bounds and, for rate, everything about extrapolation that depends on times only.
// Invariants: from and to never decrease from step to step; a window is the half-open index range [from, to), its
// time range is left-open: (end - rangeMs, end] with end = step time - offsetMs.
import type { Grid } from "../model/index.ts";
import { createExtrapolation, type Extrapolation, extrapolateStep, reserveSteps, roomFor } from "./extrapolation.ts";

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
  /** Unlike that of any plan made before: what was worked out for one is known by it. */
  version: number;
  /** Whether the extrapolation is that of this plan's samples. It is only set where n ≥ 2. */
  rateReady: boolean;
  readonly extrapolation: Extrapolation;
}

let lastVersion = 0;

/** An empty plan to be filled by planWindows. */
export function createWindowPlan(): WindowPlan {
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
    version: 0,
    rateReady: false,
    extrapolation: createExtrapolation(),
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
    plan.from = new Int32Array(roomFor(count));
    plan.to = new Int32Array(roomFor(count));
  }
  plan.n = n;
  plan.startMs = grid.startMs;
  plan.stepMs = grid.stepMs;
  plan.count = count;
  plan.rangeMs = rangeMs;
  plan.offsetMs = offsetMs;
  plan.version = ++lastVersion;
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

/** Works the extrapolation of the plan's samples out, once. */
export function planExtrapolation(plan: WindowPlan, times: Float64Array): void {
  if (plan.rateReady) return;
  const { from, to, count, rangeMs, extrapolation } = plan;
  reserveSteps(extrapolation, count);
  let end = plan.startMs - plan.offsetMs;
  for (let s = 0; s < count; s++, end += plan.stepMs) {
    const first = from[s]!;
    const last = to[s]! - 1;
    if (last > first) extrapolateStep(extrapolation, s, times[first]!, times[last]!, last - first + 1, end, rangeMs);
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
