// libs/promql/rollup-regression.ts: deriv, predict_linear and double_exponential_smoothing.
// HOT: bench test/bench/rollup-regression.bench.ts, twin test/promql/naive-rollup.ts. Values hold no stale markers.
import type { WindowPlan } from "./window-plan.ts";

// The result of the last regression: slope per second, and the value at the reference time.
let slope = 0;
let intercept = 0;

/** deriv: the least-squares slope per second of every window with two samples or more. */
export function rollupDeriv(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    if (t - f < 2) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    regress(times, values, f, t, times[f]!);
    out[s] = slope;
    present[s] = 1;
    points++;
  }
  return points;
}

/** predict_linear: the regression line's value `ahead` seconds after the evaluation time. */
export function rollupPredict(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  ahead: number | Float64Array,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    if (t - f < 2) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    regress(times, values, f, t, plan.startMs + s * plan.stepMs);
    out[s] = slope * (typeof ahead === "number" ? ahead : ahead[s]!) + intercept;
    present[s] = 1;
    points++;
  }
  return points;
}

/** Simple linear regression over [f, t) with x in seconds from `originMs`, all sums compensated (Neumaier). */
function regress(times: Float64Array, values: Float64Array, f: number, t: number, originMs: number): void {
  const first = values[f]!;
  let constant = true;
  let sumX = 0;
  let sumY = 0;
  let sumXY = 0;
  let sumXX = 0;
  let cX = 0;
  let cY = 0;
  let cXY = 0;
  let cXX = 0;
  for (let i = f; i < t; i++) {
    const y = values[i]!;
    if (i > f && y !== first) constant = false;
    const x = (times[i]! - originMs) / 1000;
    let next = sumX + x;
    if (Math.abs(sumX) >= Math.abs(x)) cX += sumX - next + x;
    else cX += x - next + sumX;
    sumX = next;
    next = sumY + y;
    if (next === Infinity || next === -Infinity) cY = 0;
    else if (Math.abs(sumY) >= Math.abs(y)) cY += sumY - next + y;
    else cY += y - next + sumY;
    sumY = next;
    const xy = x * y;
    next = sumXY + xy;
    if (next === Infinity || next === -Infinity) cXY = 0;
    else if (Math.abs(sumXY) >= Math.abs(xy)) cXY += sumXY - next + xy;
    else cXY += xy - next + sumXY;
    sumXY = next;
    const xx = x * x;
    next = sumXX + xx;
    if (Math.abs(sumXX) >= Math.abs(xx)) cXX += sumXX - next + xx;
    else cXX += xx - next + sumXX;
    sumXX = next;
  }
  if (constant) {
    const finite = first !== Infinity && first !== -Infinity;
    slope = finite ? 0 : Number.NaN;
    intercept = finite ? first : Number.NaN;
    return;
  }
  const n = t - f;
  sumX += cX;
  sumY += cY;
  sumXY += cXY;
  sumXX += cXX;
  slope = (sumXY - (sumX * sumY) / n) / (sumXX - (sumX * sumX) / n);
  intercept = sumY / n - (slope * sumX) / n;
}

/**
 * double_exponential_smoothing with factors in (0, 1), which the engine has checked. A step whose factors are outside
 * has no value.
 */
export function rollupSmoothing(
  plan: WindowPlan,
  values: Float64Array,
  smoothing: number | Float64Array,
  trend: number | Float64Array,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    const sf = typeof smoothing === "number" ? smoothing : smoothing[s]!;
    const tf = typeof trend === "number" ? trend : trend[s]!;
    if (t - f < 2 || sf <= 0 || sf >= 1 || tf <= 0 || tf >= 1) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    let before = 0;
    let smoothed = values[f]!;
    let b = values[f + 1]! - values[f]!;
    for (let i = f + 1; i < t; i++) {
      if (i > f + 1) b = tf * (smoothed - before) + (1 - tf) * b;
      const next = sf * values[i]! + (1 - sf) * (smoothed + b);
      before = smoothed;
      smoothed = next;
    }
    out[s] = smoothed;
    present[s] = 1;
    points++;
  }
  return points;
}
