// test/unit/runtime/metrics.test.ts: the table of metrics, and how readings become an exposition.
import { expect, test } from "vitest";
import { DurationHistogram, METRICS, Metrics } from "../../../libs/runtime/index.ts";

test("every metric has a conventional name, a help sentence and known labels", () => {
  for (const [name, { type, help }] of Object.entries(METRICS)) {
    expect(name).toMatch(/^tidemark_[a-z][a-z0-9_]*$/);
    expect(name.endsWith("_total")).toBe(type === "counter");
    expect(help).toMatch(/\.$/);
  }
});

test("readings are asked for at each collection, and sources add up their labels", async () => {
  const metrics = new Metrics();
  let samples = 1;
  metrics.addSource(() => ({ tidemark_insert_samples_stored_total: samples, tidemark_ready: 1 }));
  metrics.addSource(() => ({ tidemark_owner_queue_bytes: [{ labels: { owner: "a" }, value: 10 }] }));
  metrics.addSource(() => ({ tidemark_owner_queue_bytes: [{ labels: { owner: "b" }, value: 20 }] }));
  expect(await metrics.text()).toContain("tidemark_insert_samples_stored_total 1\n");
  samples = 5;
  const text = await metrics.text();
  expect(text).toContain(
    "# TYPE tidemark_insert_samples_stored_total counter\ntidemark_insert_samples_stored_total 5\n",
  );
  expect(text).toContain('tidemark_owner_queue_bytes{owner="a"} 10\ntidemark_owner_queue_bytes{owner="b"} 20\n');
  expect(text).toContain(`# HELP tidemark_ready ${METRICS.tidemark_ready.help}\n`);
  expect(text).toContain("process_cpu_seconds_total");
  expect(text).toContain("nodejs_eventloop_lag_p99_seconds");
});

test("a labelled value that is gone is not shown any more", async () => {
  const metrics = new Metrics();
  let owners = ["a", "b"];
  metrics.addSource(() => ({
    tidemark_owner_queue_bytes: owners.map((owner) => ({ labels: { owner }, value: 1 })),
  }));
  await metrics.text();
  owners = ["b"];
  expect(await metrics.text()).not.toContain('owner="a"');
});

test("histograms are cumulative, and families are the same as data", async () => {
  const metrics = new Metrics();
  const histogram = new DurationHistogram();
  for (const s of [0.0001, 0.001, 0.002, 3, 500]) histogram.observe(s);
  metrics.addSource(() => ({ tidemark_query_duration_seconds: [{ labels: { kind: "range" }, value: histogram }] }));
  const text = await metrics.text();
  expect(text).toContain("# TYPE tidemark_query_duration_seconds histogram");
  expect(text).toContain('tidemark_query_duration_seconds_bucket{kind="range",le="0.001"} 2\n');
  expect(text).toContain('tidemark_query_duration_seconds_bucket{kind="range",le="1"} 3\n');
  expect(text).toContain('tidemark_query_duration_seconds_bucket{kind="range",le="5"} 4\n');
  expect(text).toContain('tidemark_query_duration_seconds_bucket{kind="range",le="+Inf"} 5\n');
  expect(text).toContain('tidemark_query_duration_seconds_count{kind="range"} 5\n');
  const family = (await metrics.families()).find((f) => f.name === "tidemark_query_duration_seconds");
  expect(family?.type).toBe("histogram");
  const infinite = family?.values.find((v) => v.labels.le === "+Inf");
  expect(infinite).toMatchObject({ name: "tidemark_query_duration_seconds_bucket", value: 5 });
});
