// test/unit/select/exposition.test.ts: histograms in the text format: custom bounds as classic ones, others left out.
import { expect, test } from "vitest";
import { customLayout, exponentialLayout, type FloatHistogram, labelsFromRecord } from "../../../libs/model/index.ts";
import { type ExposedSample, renderExposition } from "../../../services/select/exposition.ts";

const histogram = (layout: FloatHistogram["layout"], buckets: readonly number[]): FloatHistogram => {
  return { layout, hint: 0, count: 9, sum: 12.5, zeroCount: 0, buckets: Float64Array.from(buckets) };
};
const sample = (name: string, of: FloatHistogram | undefined, value = 0): ExposedSample => {
  return { name, labels: labelsFromRecord({ __name__: name, job: "a" }), timeMs: 1500, value, histogram: of };
};
const text = (samples: readonly ExposedSample[]): string =>
  Buffer.concat([...renderExposition(samples, "dots")]).toString();

test("a histogram with custom bounds, between floats of its name", () => {
  const custom = histogram(customLayout([0.1, 1, 5], [0, 2, 3]), [2, 3, 4]);
  const exponential = histogram(exponentialLayout(3, 0.5, [1, 2], []), [4, 5]);
  const samples = [sample("h", undefined, 7), sample("h", custom), sample("h", exponential), sample("i.j", custom)];
  expect(text(samples).split("\n")).toEqual([
    "# TYPE h untyped",
    'h{job="a",instance=""} 7 1500',
    "# TYPE h histogram",
    'h_bucket{job="a",instance="",le="0.1"} 2 1500',
    'h_bucket{job="a",instance="",le="1"} 2 1500',
    'h_bucket{job="a",instance="",le="5"} 5 1500',
    'h_bucket{job="a",instance="",le="+Inf"} 9 1500',
    'h_sum{job="a",instance=""} 12.5 1500',
    'h_count{job="a",instance=""} 9 1500',
    "# TYPE i_dot_j histogram",
    'i_dot_j_bucket{job="a",instance="",le="0.1"} 2 1500',
    'i_dot_j_bucket{job="a",instance="",le="1"} 2 1500',
    'i_dot_j_bucket{job="a",instance="",le="5"} 5 1500',
    'i_dot_j_bucket{job="a",instance="",le="+Inf"} 9 1500',
    'i_dot_j_sum{job="a",instance=""} 12.5 1500',
    'i_dot_j_count{job="a",instance=""} 9 1500',
    "",
  ]);
});

test("many lines come in chunks", () => {
  const chunks = [
    ...renderExposition(
      Array.from({ length: 5000 }, () => sample("many", undefined, 1)),
      "underscores",
    ),
  ];
  expect(chunks.length).toBeGreaterThan(1);
  expect(Buffer.concat(chunks).toString().match(/\n/g)?.length).toBe(5001);
});
