// libs/tsdb/series-with-side.ts: float samples and side data of a series as one sequence of samples, for rollups.
// At one time a histogram counts rather than a float, and a float rather than the end of a series of histograms.
import {
  type FloatHistogram,
  HINT_GAUGE,
  HINT_NOT_RESET,
  HINT_RESET,
  HINT_UNKNOWN,
  packHistograms,
  sameNumbers,
  writeStale,
} from "../model/index.ts";
import { type SeriesSamples, wasReset, withHint } from "../promql/index.ts";
import { type SideSeries, STARTS_REACH_MS, type StartTime } from "../side/index.ts";
import type { SeriesSamples as FloatSamples } from "./head.ts";

/** The samples of [lowMs, …]: a histogram before tells about a reset and is no sample of theirs. */
export function withSide(floats: FloatSamples, side: SideSeries, lowMs: number): SeriesSamples {
  const { histograms } = side;
  const capacity = floats.count + histograms.length;
  const times = new Float64Array(capacity);
  const values = new Float64Array(capacity);
  const list: (FloatHistogram | undefined)[] = [];
  let n = 0;
  for (let f = 0, h = 0; f < floats.count || h < histograms.length; n++) {
    const floatMs = f < floats.count ? floats.times[f]! : Number.POSITIVE_INFINITY;
    const sample = histograms[h];
    const sideMs = sample?.timeMs ?? Number.POSITIVE_INFINITY;
    times[n] = Math.min(floatMs, sideMs);
    const isFloat = floatMs < sideMs || (floatMs === sideMs && sample!.histogram === undefined);
    list.push(isFloat ? undefined : sample!.histogram);
    // Never through a number: stale markers are told by their bits.
    if (isFloat) values.set(floats.values.subarray(f, f + 1), n);
    else if (sample!.histogram === undefined) writeStale(values, n);
    if (floatMs <= sideMs) f++;
    if (sideMs <= floatMs) h++;
  }
  const hinted = hintedAsStored(list);
  let from = 0;
  while (from < n && times[from]! < lowMs) from++;
  const kept = times.subarray(from, n);
  return {
    n: n - from,
    times: kept,
    values: values.subarray(from, n),
    histograms: packHistograms(hinted.slice(from)),
    starts: startsAt(kept, side.starts),
  };
}

/**
 * Hints as Prometheus' storage gives them back: a histogram that continues the one before it is known not to follow a reset; of any
 * other nothing is known, whatever its sender said, but that it is a gauge.
 */
function hintedAsStored(list: readonly (FloatHistogram | undefined)[]): (FloatHistogram | undefined)[] {
  let previous: FloatHistogram | undefined;
  return list.map((histogram) => {
    const before = previous;
    previous = histogram;
    if (histogram === undefined || histogram.hint === HINT_GAUGE) return histogram;
    const continues = before !== undefined && continuesFrom(histogram, before);
    return withHint(histogram, continues ? HINT_NOT_RESET : HINT_UNKNOWN);
  });
}

function continuesFrom(histogram: FloatHistogram, before: FloatHistogram): boolean {
  if (histogram.hint === HINT_RESET || before.hint === HINT_GAUGE) return false;
  const { schema, zeroThreshold, bounds } = histogram.layout;
  const then = before.layout;
  if (schema !== then.schema || zeroThreshold !== then.zeroThreshold || !sameNumbers(bounds, then.bounds)) return false;
  return !wasReset(withHint(histogram, HINT_UNKNOWN), before);
}

/** The start time of each sample, 0 where it is not known; undefined when none is. */
function startsAt(times: Float64Array, starts: readonly StartTime[]): Float64Array | undefined {
  if (starts.length === 0) return undefined;
  const out = new Float64Array(times.length);
  let known = false;
  for (let i = 0, next = 0; i < times.length; i++) {
    while (next < starts.length && starts[next]!.timeMs <= times[i]!) next++;
    const start = starts[next - 1];
    if (start === undefined || start.startMs === 0 || start.timeMs < times[i]! - STARTS_REACH_MS) continue;
    out[i] = start.startMs;
    known = true;
  }
  return known ? out : undefined;
}
