// libs/promql/rollup-rate.ts: rate, increase, delta, irate, idelta, changes, resets.
// HOT: bench test/bench/rollup-rate.bench.ts, twin test/promql/naive-rollup.ts. Values hold no stale markers.
// The arithmetic keeps Prometheus' order of operations, so results are equal bit for bit.
import { planExtrapolation, type WindowPlan } from "./window-plan.ts";

// Positions where a value differs from, or falls below, its predecessor. Grows with the longest column seen.
let positions = new Int32Array(1024);

/**
 * rate (counter, perSecond), increase (counter) and delta over every window with two samples or more.
 * Returns the number of steps that have a value. `monotone`: the caller knows that there are no resets.
 */
export function rollupExtrapolated(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  counter: boolean,
  perSecond: boolean,
  monotone: boolean,
): number {
  planExtrapolation(plan, times);
  if (!counter) return extrapolateDelta(plan, values, out, present);
  const drop = monotone ? -1 : firstDrop(values, plan.low, plan.high);
  if (drop >= 0) return extrapolateWithResets(plan, values, drop, out, present, perSecond);
  if (plan.samplesMin >= 2) return extrapolateDense(plan, values, out, present, perSecond);
  const { count, from, to } = plan;
  const { zeroRatio, rateFactor, factor } = plan.extrapolation;
  const factors = perSecond ? rateFactor : factor;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const l = to[s]! - 1;
    if (l <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    const first = values[f]!;
    const result = values[l]! - first;
    const nearZero = first <= zeroRatio[s]! * result && result > 0 && first >= 0;
    out[s] = result * (nearZero ? clampedFactor(plan, s, first, result, perSecond) : factors[s]!);
    present[s] = 1;
    points++;
  }
  return points;
}

/** The common case: a counter without resets that has samples enough in every window. */
function extrapolateDense(
  plan: WindowPlan,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  perSecond: boolean,
): number {
  const { count, from, to } = plan;
  const { zeroRatio, rateFactor, factor } = plan.extrapolation;
  const factors = perSecond ? rateFactor : factor;
  for (let s = 0; s < count; s++) {
    const first = values[from[s]!]!;
    const result = values[to[s]! - 1]! - first;
    // A counter near zero is rare: only then is the division done that clamps the extrapolation.
    if (first <= zeroRatio[s]! * result && result > 0 && first >= 0) {
      out[s] = result * clampedFactor(plan, s, first, result, perSecond);
    } else {
      out[s] = result * factors[s]!;
    }
  }
  present.fill(1, 0, count);
  return count;
}

/** The extrapolation factor of a counter that is not extended to before it was zero. */
function clampedFactor(plan: WindowPlan, s: number, first: number, result: number, perSecond: boolean): number {
  const { sampled, toStart, toEnd, factor, rateFactor } = plan.extrapolation;
  const interval = sampled[s]!;
  const toZero = interval * (first / result);
  if (!(toZero < toStart[s]!)) return perSecond ? rateFactor[s]! : factor[s]!;
  const clamped = (interval + toZero + toEnd[s]!) / interval;
  return perSecond ? clamped / (plan.rangeMs / 1000) : clamped;
}

function extrapolateDelta(plan: WindowPlan, values: Float64Array, out: Float64Array, present: Uint8Array): number {
  const { count, from, to } = plan;
  const { factor } = plan.extrapolation;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const l = to[s]! - 1;
    if (l <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    out[s] = (values[l]! - values[f]!) * factor[s]!;
    present[s] = 1;
    points++;
  }
  return points;
}

/** Counters that fell, first at `drop`: every drop inside a window adds the value before it, in order. */
function extrapolateWithResets(
  plan: WindowPlan,
  values: Float64Array,
  drop: number,
  out: Float64Array,
  present: Uint8Array,
  perSecond: boolean,
): number {
  const { count, from, to } = plan;
  const { zeroRatio, rateFactor, factor } = plan.extrapolation;
  const factors = perSecond ? rateFactor : factor;
  const drops = listDrops(values, drop - 1, plan.high);
  const at = positions;
  let points = 0;
  let next = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const l = to[s]! - 1;
    if (l <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    const first = values[f]!;
    let result = values[l]! - first;
    while (next < drops && at[next]! <= f) next++;
    for (let d = next; d < drops && at[d]! <= l; d++) result += values[at[d]! - 1]!;
    const nearZero = first <= zeroRatio[s]! * result && result > 0 && first >= 0;
    out[s] = result * (nearZero ? clampedFactor(plan, s, first, result, perSecond) : factors[s]!);
    present[s] = 1;
    points++;
  }
  return points;
}

/** Where a value of [low, high) is smaller than its predecessor for the first time; -1 where none is. NaNs are no drops. */
function firstDrop(values: Float64Array, low: number, high: number): number {
  if (low >= high) return -1;
  let previous = values[low]!;
  let i = low + 1;
  for (const last = high - 3; i < last; i += 4) {
    const a = values[i]!;
    const b = values[i + 1]!;
    const c = values[i + 2]!;
    const d = values[i + 3]!;
    if (a < previous || b < a || c < b || d < c) break;
    previous = d;
  }
  for (; i < high; i++) {
    const value = values[i]!;
    if (value < previous) return i;
    previous = value;
  }
  return -1;
}

/** Collects the indexes of values smaller than their predecessor into `positions`; returns how many. */
function listDrops(values: Float64Array, low: number, high: number): number {
  if (positions.length < high - low) positions = new Int32Array(2 * (high - low));
  const at = positions;
  let drops = 0;
  let previous = values[low]!;
  for (let i = low + 1; i < high; i++) {
    const value = values[i]!;
    if (value < previous) at[drops++] = i;
    previous = value;
  }
  return drops;
}

/** Collects the indexes of values that differ from their predecessor (two NaNs do not differ); returns how many. */
function listChanges(values: Float64Array, low: number, high: number): number {
  if (positions.length < high - low) positions = new Int32Array(2 * (high - low));
  const at = positions;
  let changes = 0;
  for (let i = low + 1; i < high; i++) {
    const value = values[i]!;
    const previous = values[i - 1]!;
    // biome-ignore lint/suspicious/noSelfCompare: NaN is the only value that differs from itself.
    if (value !== previous && (value === value || previous === previous)) at[changes++] = i;
  }
  return changes;
}

/** resets (drops) and changes: how many such positions lie inside each non-empty window. */
export function rollupEvents(
  plan: WindowPlan,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  drops: boolean,
): number {
  const { count, from, to } = plan;
  const events = drops ? listDrops(values, plan.low, plan.high) : listChanges(values, plan.low, plan.high);
  const at = positions;
  let points = 0;
  let begin = 0;
  let end = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const t = to[s]!;
    if (t <= f) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    while (begin < events && at[begin]! <= f) begin++;
    if (end < begin) end = begin;
    while (end < events && at[end]! < t) end++;
    out[s] = end - begin;
    present[s] = 1;
    points++;
  }
  return points;
}

/** irate (counter, perSecond) and idelta: the last two samples of each window. */
export function rollupLastTwo(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  counter: boolean,
): number {
  const { count, from, to } = plan;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const l = to[s]! - 1;
    if (l <= from[s]!) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    const last = values[l]!;
    const previous = values[l - 1]!;
    if (counter) {
      // After a reset the counter started from zero, so its value is the increase.
      const result = last < previous ? last : last - previous;
      out[s] = result / ((times[l]! - times[l - 1]!) / 1000);
    } else {
      out[s] = last - previous;
    }
    present[s] = 1;
    points++;
  }
  return points;
}
