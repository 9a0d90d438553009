// libs/promql/rollup-starts.ts: rate, increase, irate and resets that look at start times: the time since when a counter's
// sample counts. A start behind the previous sample tells of a reset, and the first sample of a window whose start is
// inside it counts from zero there. 0 is an unknown start. Values hold no stale markers.
import type { WindowPlan } from "./window-plan.ts";

/** Whether a sample's start says that the counter was reset after the sample before it. */
export function isStartReset(previousStart: number, previousTime: number, start: number, time: number): boolean {
  // At or behind its own sample a start says nothing.
  if (start === 0 || start >= time || start < previousTime) return false;
  if (start > previousTime) return true;
  // At the previous sample itself: so it is with deltas, and with a counter whose first sample had no start of its own.
  return previousStart !== 0 && previousStart < previousTime;
}

/** Whether a start lies before the previous sample although it is another one than that sample's. */
export function startsOverlap(previousStart: number, previousTime: number, start: number): boolean {
  return start !== 0 && start < previousTime && start !== previousStart;
}

/** What the increase over the samples of a window is multiplied by, and whether its first sample counts in full. */
export interface Extrapolation {
  readonly factor: number;
  readonly fromStart: boolean;
}

/** A window's samples, as far as extrapolation needs to know. */
export interface Sampled {
  readonly firstMs: number;
  readonly lastMs: number;
  readonly samples: number;
  /** The start time of the first sample; 0 when unknown or of no interest. */
  readonly start: number;
  readonly counter: boolean;
  /** Value and increase of a counter, which is not extrapolated to below zero. For histograms their counts. */
  readonly first: number;
  readonly increase: number;
}

/**
 * How an increase is extrapolated to the window (startMs, endMs]: as Prometheus' extrapolatedRate. Undefined for a
 * single sample that counts from nowhere.
 */
export function extrapolate(sampled: Sampled, startMs: number, endMs: number): Extrapolation | undefined {
  const { firstMs, lastMs, samples, start, counter } = sampled;
  const fromStart = counter && start !== 0 && start > startMs && start < firstMs;
  if (samples < 2 && !fromStart) return undefined;
  let interval = (lastMs - firstMs) / 1000;
  const average = samples > 1 ? interval / (samples - 1) : 0;
  const threshold = average * 1.1;
  let toStart = (firstMs - startMs) / 1000;
  let toEnd = (endMs - lastMs) / 1000;
  if (fromStart) {
    toStart = 0;
    interval = (lastMs - start) / 1000;
  } else {
    if (toStart >= threshold) toStart = average / 2;
    if (counter && sampled.increase > 0 && sampled.first >= 0) {
      const toZero = interval * (sampled.first / sampled.increase);
      if (toZero < toStart) toStart = toZero;
    }
  }
  if (toEnd >= threshold) toEnd = average / 2;
  return { factor: interval === 0 ? 1 : (interval + toStart + toEnd) / interval, fromStart };
}

/** rate (`perSecond`) or increase over every window. `onOverlap` is told the steps whose windows have overlapping starts. */
export function rollupRateFromStarts(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  starts: Float64Array,
  perSecond: boolean,
  out: Float64Array,
  present: Uint8Array,
  onOverlap: (step: number) => void,
): number {
  let points = 0;
  for (let s = 0; s < plan.count; s++) {
    const f = plan.from[s]!;
    const l = plan.to[s]! - 1;
    out[s] = 0;
    present[s] = 0;
    if (l < f) continue;
    let increase = values[l]! - values[f]!;
    let overlaps = false;
    for (let i = f + 1; i <= l; i++) {
      if (startsOverlap(starts[i - 1]!, times[i - 1]!, starts[i]!)) overlaps = true;
      const reset = values[i]! < values[i - 1]! || isStartReset(starts[i - 1]!, times[i - 1]!, starts[i]!, times[i]!);
      if (reset) increase += values[i - 1]!;
    }
    if (overlaps) onOverlap(s);
    const endMs = plan.startMs + s * plan.stepMs - plan.offsetMs;
    const sampled = {
      firstMs: times[f]!,
      lastMs: times[l]!,
      samples: l - f + 1,
      start: starts[f]!,
      counter: true,
      first: values[f]!,
      increase,
    };
    const extrapolation = extrapolate(sampled, endMs - plan.rangeMs, endMs);
    if (extrapolation === undefined) continue;
    const { factor, fromStart } = extrapolation;
    if (fromStart) increase += values[f]!;
    out[s] = increase * (perSecond ? factor / (plan.rangeMs / 1000) : factor);
    present[s] = 1;
    points++;
  }
  return points;
}
