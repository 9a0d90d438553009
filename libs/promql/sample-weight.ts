// libs/promql/sample-weight.ts: what samples weigh where they are counted for statistics: a float 1, a histogram its size in memory in
// units of a float with its time. Reference: Prometheus 3.14, HPoint.size and FloatHistogram.Size.
import type { FloatHistogram, Rollup } from "../model/index.ts";

/** As the only argument of count_over_time: histograms count by weight. As that of EXTRA_WEIGHT: see there. */
export const WEIGHED = 1;
/** With WEIGHED the newest sample's weight beyond 1, which is 0 for floats, as start times are that nobody knows. */
export const EXTRA_WEIGHT: Rollup = "start_timestamp";

/** Bytes of a histogram without buckets, and of its time. */
const BARE_BYTES = 168 + 8;
const UNIT_BYTES = 16;

export function weightOf(histogram: FloatHistogram | undefined): number {
  if (histogram === undefined) return 1;
  const { positive, negative, bounds } = histogram.layout;
  const numbers = spansOf(positive) + spansOf(negative) + positive.length + negative.length + bounds.length;
  return Math.floor((BARE_BYTES + 8 * numbers) / UNIT_BYTES);
}

/** How many runs of neighbours there are. */
function spansOf(indexes: Int32Array): number {
  let spans = 0;
  for (let i = 0; i < indexes.length; i++) if (i === 0 || indexes[i] !== indexes[i - 1]! + 1) spans++;
  return spans;
}
