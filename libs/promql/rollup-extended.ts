// libs/promql/rollup-extended.ts: rate, increase, delta, changes and resets of `anchored` and `smoothed` ranges, and
// smoothed instant selectors. Values hold no stale markers; the plan's window is wider than the range by the lookback.
// The range of a step is (start, end] with end = window end - aheadMs, start = end - rangeMs.
import type { WindowPlan } from "./window-plan.ts";

/** What an extended rate is made of. */
export interface ExtendedRate {
  readonly smoothed: boolean;
  readonly counter: boolean;
  readonly perSecond: boolean;
}

/** The boundary samples of an extended range: those around its start and its end. */
interface Boundaries {
  readonly first: number;
  readonly last: number;
}

/**
 * Samples that take part in an extended range: from the last one at or before its start to, when smoothed, the first
 * one at or after its end. Undefined when nothing lies inside.
 */
function boundaries(
  times: Float64Array,
  f: number,
  t: number,
  startMs: number,
  endMs: number,
  smoothed: boolean,
): Boundaries | undefined {
  if (t <= f) return undefined;
  let first = f;
  while (first < t - 1 && times[first]! <= startMs) first++;
  if (first > f) first--;
  let last = t - 1;
  if (smoothed) {
    last = f;
    while (last < t - 1 && times[last]! < endMs) last++;
  }
  return times[last]! <= startMs ? undefined : { first, last };
}

/** The value at `atMs` on the line through samples i and i + 1. A counter that fell counts as having been at zero. */
function interpolate(times: Float64Array, values: Float64Array, i: number, atMs: number, counter: boolean): number {
  const y2 = values[i + 1]!;
  const y1 = counter && y2 < values[i]! ? 0 : values[i]!;
  return y1 + ((y2 - y1) * (atMs - times[i]!)) / (times[i + 1]! - times[i]!);
}

/** Extended rate, increase or delta over every window. Returns the number of steps that have a value. */
export function rollupExtendedRate(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  rangeMs: number,
  aheadMs: number,
  kind: ExtendedRate,
  out: Float64Array,
  present: Uint8Array,
): number {
  let points = 0;
  for (let s = 0; s < plan.count; s++) {
    const end = plan.startMs + s * plan.stepMs - plan.offsetMs - aheadMs;
    const start = end - rangeMs;
    const bounds = boundaries(times, plan.from[s]!, plan.to[s]!, start, end, kind.smoothed);
    present[s] = 0;
    out[s] = 0;
    if (bounds === undefined || (kind.smoothed && times[bounds.first]! > end)) continue;
    const { left, right } = edgeValues(times, values, bounds, start, end, kind);
    let result = right - left;
    if (kind.counter) result += resetCorrection(times, values, bounds, start, end, left, right);
    out[s] = kind.perSecond ? result / (rangeMs / 1000) : result;
    present[s] = 1;
    points++;
  }
  return points;
}

function edgeValues(
  times: Float64Array,
  values: Float64Array,
  bounds: Boundaries,
  start: number,
  end: number,
  kind: ExtendedRate,
): { left: number; right: number } {
  const { first, last } = bounds;
  const left =
    kind.smoothed && times[first]! < start ? interpolate(times, values, first, start, kind.counter) : values[first]!;
  const right =
    kind.smoothed && last > first && times[last]! > end
      ? interpolate(times, values, last - 1, end, kind.counter)
      : values[last]!;
  return { left, right };
}

/** What a counter lost in drops between the two edge values, through the samples strictly inside the range. */
function resetCorrection(
  times: Float64Array,
  values: Float64Array,
  bounds: Boundaries,
  start: number,
  end: number,
  left: number,
  right: number,
): number {
  const from = times[bounds.first]! <= start ? bounds.first + 1 : bounds.first;
  const to = times[bounds.last]! >= end ? bounds.last - 1 : bounds.last;
  let correction = 0;
  let previous = left;
  for (let i = from; i <= to; i++) {
    if (values[i]! < previous) correction += previous;
    previous = values[i]!;
  }
  return right < previous ? correction + previous : correction;
}

/** Anchored changes and resets: counted from the last sample at or before the start of the range. */
export function rollupAnchoredEvents(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  rangeMs: number,
  drops: boolean,
  out: Float64Array,
  present: Uint8Array,
): number {
  let points = 0;
  for (let s = 0; s < plan.count; s++) {
    const start = plan.startMs + s * plan.stepMs - plan.offsetMs - rangeMs;
    const bounds = boundaries(times, plan.from[s]!, plan.to[s]!, start, start + rangeMs, false);
    present[s] = 0;
    out[s] = 0;
    if (bounds === undefined) continue;
    let events = 0;
    for (let i = bounds.first + 1; i <= bounds.last; i++) {
      const now = values[i]!;
      const before = values[i - 1]!;
      const differs = now !== before && !(Number.isNaN(now) && Number.isNaN(before));
      if (drops ? now < before : differs) events++;
    }
    out[s] = events;
    present[s] = 1;
    points++;
  }
  return points;
}

/** A smoothed instant selector: the value at the step itself, interpolated, or the last one when none follows. */
export function rollupSmoothedInstant(
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  aheadMs: number,
  out: Float64Array,
  present: Uint8Array,
): number {
  let points = 0;
  for (let s = 0; s < plan.count; s++) {
    const at = plan.startMs + s * plan.stepMs - plan.offsetMs - aheadMs;
    const f = plan.from[s]!;
    const t = plan.to[s]!;
    let next = f;
    while (next < t && times[next]! < at) next++;
    present[s] = 0;
    out[s] = 0;
    if (next < t && times[next] === at) out[s] = values[next]!;
    else if (next > f && next < t) out[s] = interpolate(times, values, next - 1, at, false);
    else if (next > f) out[s] = values[next - 1]!;
    else continue;
    present[s] = 1;
    points++;
  }
  return points;
}

/**
 * The points of an extended range itself, for queries that ask for it: its edges, and the samples strictly inside.
 * Returns [times, values], empty when nothing lies inside.
 */
export function extendedPoints(
  times: Float64Array,
  values: Float64Array,
  startMs: number,
  endMs: number,
  smoothed: boolean,
): { times: Float64Array; values: Float64Array } {
  const bounds = boundaries(times, 0, times.length, startMs, endMs, smoothed);
  if (bounds === undefined) return { times: new Float64Array(0), values: new Float64Array(0) };
  const { left, right } = edgeValues(times, values, bounds, startMs, endMs, {
    smoothed,
    counter: false,
    perSecond: false,
  });
  const from = times[bounds.first]! <= startMs ? bounds.first + 1 : bounds.first;
  const to = times[bounds.last]! >= endMs ? bounds.last - 1 : bounds.last;
  const inside = Math.max(to - from + 1, 0);
  const outTimes = new Float64Array(inside + 2);
  const outValues = new Float64Array(inside + 2);
  outTimes[0] = startMs;
  outValues[0] = left;
  for (let i = 0; i < inside; i++) {
    outTimes[i + 1] = times[from + i]!;
    outValues[i + 1] = values[from + i]!;
  }
  outTimes[inside + 1] = endMs;
  outValues[inside + 1] = right;
  return { times: outTimes, values: outValues };
}
