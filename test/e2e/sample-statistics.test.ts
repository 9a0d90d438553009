// test/e2e/sample-statistics.test.ts: what stats=true and stats=all say of samples, and that a real Prometheus says the same.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BucketLayout, customLayout, exponentialLayout } from "../../libs/model/index.ts";
import { load, presentMinute, SCRAPE_S, type Served, serveAll, worldSeries } from "./api-world.ts";
import { findEqualPrometheus, LANGUAGE_FEATURES, type RealPrometheus, startPrometheus } from "./real-prometheus.ts";
import type { WriteSeries } from "./remote-write.ts";

let tidemark: Served;
let stock: Served;
let endS = 0;

beforeAll(async () => {
  [tidemark, stock] = await Promise.all([serveAll({ promqlExperimental: "true" }), serveAll()]);
  endS = presentMinute();
  for (const { url } of [tidemark, stock]) await load(url, worldSeries(endS));
});
afterAll(() => Promise.all([tidemark?.stop(), stock?.stop()]));

type Samples = Readonly<Record<string, number | readonly (readonly [number, number])[]>>;

async function samplesOf(base: string, query: string, stats: string, stepS = 0, spanS = 600): Promise<Samples> {
  const times: Record<string, string> =
    stepS === 0 ? { time: `${endS}` } : { start: `${endS - spanS}`, end: `${endS}`, step: `${stepS}` };
  const path = stepS === 0 ? "query" : "query_range";
  const body = new URLSearchParams({ query, stats, ...times });
  const answer = (await (await fetch(`${base}/api/v1/${path}`, { method: "POST", body })).json()) as {
    error?: string;
    data?: { stats?: { samples: Samples; timings: Readonly<Record<string, number>> } };
  };
  const { samples, timings } = answer.data?.stats ?? { samples: undefined, timings: {} };
  if (samples === undefined) throw new Error(`no statistics of ${query}: ${answer.error}`);
  expect(Object.keys(timings)).toHaveLength(6);
  // The peak is a matter of how a query is evaluated.
  const { peakSamples: _, ...counts } = samples;
  return counts;
}

describe("samples", () => {
  test("of an instant query", async () => {
    const up = { totalQueryableSamples: 2, samplesRead: 2 };
    expect(await samplesOf(stock.url, "up", "true")).toEqual(up);
    expect(await samplesOf(stock.url, "up", "all")).toEqual(up);
    expect(await samplesOf(stock.url, "rate(up[1m])", "true")).toEqual({ totalQueryableSamples: 8, samplesRead: 8 });
    const steps = { totalQueryableSamplesPerStep: [[endS, 2]], samplesReadPerStep: [[endS, 2]] };
    expect(await samplesOf(tidemark.url, "up", "all")).toEqual({ ...up, ...steps });
    expect(await samplesOf(tidemark.url, "up", "true")).toEqual(up);
  });

  test("of windows that overlap count once as read, and in each window", async () => {
    const [first, second] = [endS - SCRAPE_S, endS];
    expect(await samplesOf(tidemark.url, "rate(up[1m])", "all", SCRAPE_S, SCRAPE_S)).toEqual({
      totalQueryableSamples: 16,
      totalQueryableSamplesPerStep: [[first, 8], [second, 8]],
      samplesRead: 10,
      samplesReadPerStep: [[first, 8], [second, 2]],
    }); // biome-ignore format: steps side by side
  });
});

const command = findEqualPrometheus();
const QUERIES = [
  "1",
  "vector(1)",
  "time()",
  "nothing",
  "up",
  "up + up",
  "up * on (job) group_right () http_requests_total",
  "sum by (job) (http_requests_total)",
  "topk(1, http_requests_total)",
  "quantile(0.5, temperature)",
  "gone",
  "old",
  "timestamp(up)",
  "up offset 5m",
  "up @ end()",
  "up @ end() + up",
  "sum(up @ start())",
  "rate(http_requests_total[1m])",
  "sum(rate(http_requests_total[5m]))",
  "rate(http_requests_total[20s])",
  "avg_over_time(temperature[7m30s] offset 1m)",
  "rate(http_requests_total[5m] @ end())",
  "rate(gone[10m])",
  "last_over_time(old[1h])",
  "absent(nothing)",
  "absent_over_time(nothing[5m])",
  "absent(up)",
  "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[2m])))",
  "max_over_time(temperature[5m:1m])",
  "max_over_time(temperature[5m:15s] offset 2m)",
  "sum_over_time(up[30s:10s])",
  "max_over_time(rate(http_requests_total[1m])[5m:30s])",
  "max_over_time(sum(up)[5m:1m] @ end())",
  "sum(max_over_time(max_over_time(temperature[1m:15s])[3m:1m]))",
  "max_over_time(temperature[2m:30s]) + avg_over_time(temperature[2m])",
  "count_over_time(up[1m]) > bool 3 and up",
  "rate(http_requests_total[1m] anchored)",
  "clamp(up, 0, scalar(count(http_requests_total)))",
  "label_replace(up, 'x', '$1', 'job', '(.*)')",
  "native",
  "custom",
  "native offset 1m",
  "native @ end()",
  "sum(native)",
  "rate(native[1m])",
  "sum(rate(native[5m]))",
  "count_over_time(custom[2m])",
  "last_over_time(native[1m] @ end())",
  "histogram_quantile(0.9, rate(custom[2m]))",
  "histogram_count(native)",
  "histogram_sum(rate(native[1m]))",
  '{__name__=~"native|up|custom"}',
];

/** Floats with a native histogram of either kind among them, and a stale marker behind one. */
function histogramSeries(): WriteSeries[] {
  const wide = exponentialLayout(2, 0.001, [-3, -2, 0, 5], [1]);
  const custom = customLayout([0.1, 1, 5], [0, 1, 2, 3]);
  const series = (name: string, layout: BucketLayout, k: string): WriteSeries => {
    const histograms = Array.from({ length: 40 }, (_, i) => {
      const buckets = new Float64Array(layout.positive.length + layout.negative.length).fill(i + 1);
      const count = buckets.reduce((sum, n) => sum + n, 0);
      const histogram = { layout, hint: 0 as const, count, sum: i * 1.5, zeroCount: 0, buckets };
      return { timeMs: (endS - (39 - i) * SCRAPE_S) * 1000, histogram };
    });
    return { labels: [["__name__", name], ["k", k]], times: [], values: new Float64Array(0), histograms };
  };
  return [series("native", wide, "a"), series("native", wide, "b"), series("custom", custom, "c")];
} // biome-ignore format: labels side by side

describe.skipIf(command === undefined)("beside a real Prometheus 3", () => {
  let prometheus: RealPrometheus;
  beforeAll(async () => {
    const features = [...LANGUAGE_FEATURES, "promql-per-step-stats"];
    prometheus = await startPrometheus(command!, [`--enable-feature=${features.join(",")}`]);
    await load(prometheus.url, worldSeries(endS));
    for (const { url } of [prometheus, tidemark]) await load(url, histogramSeries());
  });
  afterAll(() => prometheus?.stop());

  test.each(QUERIES)("%s", async (query) => {
    for (const stepS of [0, 15, 60, 120]) {
      const [ours, theirs] = await Promise.all(
        [tidemark.url, prometheus.url].map((base) => samplesOf(base, query, "all", stepS)),
      );
      expect(ours, `step ${stepS}`).toEqual(theirs);
    }
  });

  test.each(["up[5m]", "gone[10m]", "up[5m:1m]", "rate(up[1m])[5m:30s]"])("%s, an instant query", async (query) => {
    const [ours, theirs] = await Promise.all(
      [tidemark.url, prometheus.url].map((base) => samplesOf(base, query, "all")),
    );
    expect(ours).toEqual(theirs);
  });
});
