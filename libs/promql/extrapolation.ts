// libs/promql/extrapolation.ts: how far the increase of a window reaches beyond its samples, for every step: Prometheus' extrapolatedRate as far
// as it depends on times. Worked out once for all series whose samples have the same times.

/** By step, in seconds. */
export interface Extrapolation {
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

/** One of no steps yet. */
export function createExtrapolation(): Extrapolation {
  const none = new Float64Array(0);
  return { sampled: none, toStart: none, toEnd: none, factor: none, rateFactor: none, zeroRatio: none };
}

/** Buffers of steps have room for a multiple of this: a pool of them then serves questions of about as many steps. */
const ROOM_STEPS = 128;

/** How many steps a buffer for `count` of them should have room for. */
export function roomFor(count: number): number {
  return Math.ceil(count / ROOM_STEPS) * ROOM_STEPS;
}

/** Makes room for so many steps; what is there may go. */
export function reserveSteps(one: Extrapolation, steps: number): void {
  if (one.sampled.length >= steps) return;
  const count = roomFor(steps);
  one.sampled = new Float64Array(count);
  one.toStart = new Float64Array(count);
  one.toEnd = new Float64Array(count);
  one.factor = new Float64Array(count);
  one.rateFactor = new Float64Array(count);
  one.zeroRatio = new Float64Array(count);
}

/**
 * Fills step `s`: a window that ends at `endMs` and has `samples` ≥ 2, the first at `firstMs`, the last at `lastMs`. A gap at either end of the
 * window that is at least 1.1 × the average distance between samples counts as half that distance.
 */
export function extrapolateStep(
  one: Extrapolation,
  s: number,
  firstMs: number,
  lastMs: number,
  samples: number,
  endMs: number,
  rangeMs: number,
): void {
  const interval = (lastMs - firstMs) / 1000;
  const average = interval / (samples - 1);
  const threshold = average * 1.1;
  let before = (firstMs - (endMs - rangeMs)) / 1000;
  let after = (endMs - lastMs) / 1000;
  if (before >= threshold) before = average / 2;
  if (after >= threshold) after = average / 2;
  const factor = (interval + before + after) / interval;
  one.sampled[s] = interval;
  one.toStart[s] = before;
  one.toEnd[s] = after;
  one.factor[s] = factor;
  one.rateFactor[s] = factor / (rangeMs / 1000);
  one.zeroRatio[s] = (before / interval) * ZERO_MARGIN;
}
