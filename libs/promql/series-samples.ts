// libs/promql/series-samples.ts: the samples of one series as columns, of whatever kinds, and what is taken out of them before
// they are rolled up.
import {
  type FloatHistogram,
  HINT_NOT_RESET,
  HINT_RESET,
  HINT_UNKNOWN,
  type HistogramColumn,
  histogramAt,
  histogramsOf,
  type Leaf,
  packHistograms,
} from "../model/index.ts";
import { emptyLike, wasReset } from "./histogram-arithmetic.ts";
import { hasStale, stripStale } from "./rollup-instant.ts";

/** The samples of one series, in ascending order of time. */
export interface SeriesSamples {
  readonly n: number;
  readonly times: Float64Array;
  /** The floats; 0 where there is a histogram. A series that ends has a stale marker here, whatever it was made of. */
  readonly values: Float64Array;
  readonly histograms: HistogramColumn | undefined;
  /** Start times in ms, 0 where unknown; undefined when there are none, or the leaf does not ask for them. */
  readonly starts: Float64Array | undefined;
}

/** The samples without stale markers. */
export function withoutStale(samples: SeriesSamples): SeriesSamples {
  const { n, values } = samples;
  if (!hasStale(values, n)) return samples;
  // Sent through as times, positions tell which samples stay.
  const positions = Float64Array.from({ length: n }, (_, i) => i);
  const kept = stripStale(positions, values, n, positions, new Float64Array(n));
  return samplesAt(samples, positions.subarray(0, kept));
}

function samplesAt({ times, values, histograms, starts }: SeriesSamples, positions: Float64Array): SeriesSamples {
  const pick = (column: Float64Array) => positions.map((i) => column[i]!);
  return {
    n: positions.length,
    times: pick(times),
    values: pick(values),
    histograms: histograms && packHistograms(Array.from(positions, (i) => histogramAt(histograms, i))),
    starts: starts && pick(starts),
  };
}

/**
 * The samples with histograms that have no buckets, for a leaf that asks for counts only. A hint tells what the buckets
 * told about a reset since the histogram before, unless Prometheus does not read that, or reads on from a later window.
 */
export function withoutBuckets(
  samples: SeriesSamples,
  leaf: Pick<Leaf, "grid" | "rangeMs" | "offsetMs">,
): SeriesSamples {
  if (samples.histograms === undefined) return samples;
  const { times } = samples;
  let previous: FloatHistogram | undefined;
  let previousMs = Number.NEGATIVE_INFINITY;
  const list = histogramsOf(samples.histograms).map((histogram, i) => {
    if (histogram === undefined) return undefined;
    let { hint } = histogram;
    if (hint === HINT_UNKNOWN && previous !== undefined && readsBoth(previousMs, times[i]!, leaf)) {
      hint = wasReset(histogram, previous) ? HINT_RESET : HINT_NOT_RESET;
    }
    previous = histogram;
    previousMs = times[i]!;
    const layout = { ...emptyLike(histogram).layout, bounds: new Float64Array(0) };
    return { ...emptyLike(histogram), layout, hint, count: histogram.count, sum: histogram.sum };
  });
  return { ...samples, histograms: packHistograms(list) };
}

/** Whether Prometheus reads two samples one after the other. With steps longer than windows it jumps, but not back. */
function readsBoth(
  beforeMs: number,
  timeMs: number,
  { grid, rangeMs, offsetMs }: Pick<Leaf, "grid" | "rangeMs" | "offsetMs">,
): boolean {
  const { startMs, stepMs, count } = grid;
  const firstMs = startMs - offsetMs - rangeMs;
  if (beforeMs <= firstMs) return false;
  if (stepMs <= rangeMs) return true;
  // The first window that begins behind the earlier sample.
  const step = Math.floor((beforeMs - firstMs) / stepMs) + 1;
  const beginMs = firstMs + step * stepMs;
  if (step >= count || beginMs > timeMs) return true;
  return beginMs + rangeMs - stepMs > beforeMs;
}
