// libs/promql/histogram-text.ts: histograms as text, where label values need one: `{count:3, sum:5, (1,2]:3}`.
import { CUSTOM_SCHEMA, type FloatHistogram } from "../model/index.ts";
import { formatGeneral } from "./go-text.ts";
import { type Bucket, negativeBuckets, positiveBuckets } from "./histogram-bounds.ts";

/** Count, sum and the populated buckets, ascending; square brackets are bounds that belong to the bucket. */
export function histogramText(histogram: FloatHistogram): string {
  const { layout, zeroCount } = histogram;
  const parts = [`count:${formatGeneral(histogram.count)}`, `sum:${formatGeneral(histogram.sum)}`];
  for (const bucket of negativeBuckets(histogram).reverse()) {
    if (bucket.count !== 0) parts.push(bucketText(bucket, bucket.lower < 0, bucket.upper > 0));
  }
  if (zeroCount !== 0) {
    const { zeroThreshold } = layout;
    parts.push(bucketText({ lower: -zeroThreshold, upper: zeroThreshold, count: zeroCount }, true, true));
  }
  const custom = layout.schema === CUSTOM_SCHEMA;
  positiveBuckets(histogram).forEach((bucket, i) => {
    if (bucket.count === 0) return;
    const first = custom && layout.positive[i] === 0;
    parts.push(bucketText(bucket, custom ? first : bucket.lower < 0, custom || bucket.upper > 0));
  });
  return `{${parts.join(", ")}}`;
}

function bucketText({ lower, upper, count }: Bucket, ownsLower: boolean, ownsUpper: boolean): string {
  const bounds = `${formatGeneral(lower)},${formatGeneral(upper)}`;
  return `${ownsLower ? "[" : "("}${bounds}${ownsUpper ? "]" : ")"}:${formatGeneral(count)}`;
}
