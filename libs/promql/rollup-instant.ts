// libs/promql/rollup-instant.ts: the newest sample of each lookback window (instant selectors), its value or its time.
// HOT: bench test/bench/rollup-instant.bench.ts, twin test/promql/naive-rollup.ts. Values still hold stale markers: a
// window whose newest sample is one is empty. Markers are told from other NaNs by their bits, read only at NaNs.
import { STALE_HIGH, STALE_HIGH_QUIET, STALE_LOW } from "../model/index.ts";
import type { WindowPlan } from "./window-plan.ts";

/** Writes the newest sample's value, or its time in seconds; returns the number of steps that have one. */
export function rollupNewest(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  out: Float64Array,
  present: Uint8Array,
  timestamps: boolean,
): number {
  const { count, from, to } = plan;
  if (plan.samplesMin > 0 && !timestamps && newestDense(plan, values, out)) {
    present.fill(1, 0, count);
    return count;
  }
  let words: Uint32Array | undefined;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const l = to[s]! - 1;
    if (l < from[s]!) {
      present[s] = 0;
      out[s] = 0;
      continue;
    }
    const value = values[l]!;
    if (Number.isNaN(value)) {
      if (words === undefined) words = new Uint32Array(values.buffer, values.byteOffset, 2 * plan.n);
      if (isStaleAt(words, l)) {
        present[s] = 0;
        out[s] = 0;
        continue;
      }
    }
    out[s] = timestamps ? times[l]! / 1000 : value;
    present[s] = 1;
    points++;
  }
  return points;
}

/** The common case: a sample in every window, and none of the newest is a NaN. Returns false when one is. */
function newestDense(plan: WindowPlan, values: Float64Array, out: Float64Array): boolean {
  const { count, to } = plan;
  for (let s = 0; s < count; s++) {
    const value = values[to[s]! - 1]!;
    if (Number.isNaN(value)) return false;
    out[s] = value;
  }
  return true;
}

/**
 * Copies the samples that are not stale markers, as range functions want them, and returns how many there are.
 * The outputs may be the inputs themselves.
 */
export function stripStale(
  times: Float64Array,
  values: Float64Array,
  n: number,
  outTimes: Float64Array,
  outValues: Float64Array,
): number {
  let words: Uint32Array | undefined;
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) {
      if (words === undefined) words = new Uint32Array(values.buffer, values.byteOffset, 2 * n);
      if (isStaleAt(words, i)) continue;
    }
    outTimes[kept] = times[i]!;
    outValues[kept] = value;
    kept++;
  }
  return kept;
}

/** Whether any of the first n values is a stale marker. A series without one shares its column's plan. */
export function hasStale(values: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++) {
    if (Number.isNaN(values[i]!)) return isStaleFrom(new Uint32Array(values.buffer, values.byteOffset, 2 * n), i, n);
  }
  return false;
}

function isStaleFrom(words: Uint32Array, start: number, n: number): boolean {
  for (let i = start; i < n; i++) if (isStaleAt(words, i)) return true;
  return false;
}

function isStaleAt(words: Uint32Array, index: number): boolean {
  const high = words[2 * index + 1]!;
  return words[2 * index] === STALE_LOW && (high === STALE_HIGH || high === STALE_HIGH_QUIET);
}
