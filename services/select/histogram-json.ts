// services/select/histogram-json.ts: native histograms in answers, field by field as Prometheus orders them.
// Format: prometheus.io/docs/prometheus/latest/querying/api, "Native histograms": populated buckets, ascending, each with a
// number that says which of its bounds belong to it: 0 the upper, 1 the lower, 2 none, 3 both.

import { NUMBER_BYTES_MAX, writeTimestamp, writeValue } from "../../libs/kernel/index.ts";
import { CUSTOM_SCHEMA, type FloatHistogram } from "../../libs/model/index.ts";
import { allBuckets, type Bucket } from "../../libs/promql/index.ts";
import type { ByteWriter } from "./byte-writer.ts";

/** `[1435781430.781,{"count":"3","sum":"5","buckets":[[0,"1","2","3"]]}]` */
export function writeHistogramPoint(w: ByteWriter, timeMs: number, histogram: FloatHistogram): void {
  w.ascii("[");
  w.reserve(NUMBER_BYTES_MAX);
  w.at = writeTimestamp(w.bytes, w.at, timeMs);
  w.ascii(',{"count":');
  writeQuoted(w, histogram.count);
  w.ascii(',"sum":');
  writeQuoted(w, histogram.sum);
  const custom = histogram.layout.schema === CUSTOM_SCHEMA;
  const populated = allBuckets(histogram).filter(({ count }) => count !== 0);
  populated.forEach((bucket, i) => {
    w.ascii(i === 0 ? ',"buckets":[[' : ",[");
    w.ascii(String(ownBounds(bucket, custom)));
    for (const number of [bucket.lower, bucket.upper, bucket.count]) {
      w.ascii(",");
      writeQuoted(w, number);
    }
    w.ascii("]");
  });
  w.ascii(populated.length > 0 ? "]}]" : "}]");
}

/** Which of its bounds belong to a bucket: with custom bounds the upper one, else those away from zero. */
function ownBounds({ lower, upper }: Bucket, custom: boolean): number {
  if (custom) return lower === -Infinity ? 3 : 0;
  if (lower <= 0 && upper >= 0) return 3;
  return lower < 0 ? 1 : 0;
}

function writeQuoted(w: ByteWriter, value: number): void {
  w.ascii('"');
  w.reserve(NUMBER_BYTES_MAX);
  w.at = writeValue(w.bytes, w.at, value);
  w.ascii('"');
}
