// test/bench/evaluate.bench.ts: leaves over a head of 1,000 series × 240 scrapes: 20 targets with 50 series each.
import { type Leaf, labelsFromRecord, type QueryContext } from "../../libs/model/index.ts";
import { register, writeBatch } from "../contract/ingest-batch.ts";
import { NOW, openDb, TENANT } from "../unit/tsdb/db-fixture.ts";

const TARGETS = 20;
const PER_TARGET = 50;
const SCRAPES = 240;
const SCRAPE_MS = 15_000;
const START_MS = NOW - SCRAPES * SCRAPE_MS;
const STEPS = 50;

const db = await openDb(undefined, { headMemoryBytes: 64 << 20 });
const session = db.openSession();
const refs = Array.from({ length: TARGETS * PER_TARGET }, (_, i) => i + 1);
const registrations = refs.map((ref, i) => {
  const target = `host-${Math.floor(i / PER_TARGET)}`;
  const labels = { __name__: "m_total", instance: target, job: "bench", mode: `m${i % 8}`, nr: String(i) };
  return register(session.identity, ref, TENANT, labelsFromRecord(labels));
});
for (let scrape = 0; scrape < SCRAPES; scrape++) {
  const timesMs = refs.map((_, i) => START_MS + scrape * SCRAPE_MS + Math.floor(i / PER_TARGET) * 70);
  const values = Float64Array.from(refs, (ref) => scrape * ref + ((scrape * ref) % 7));
  await session.append(writeBatch({ registrations: scrape === 0 ? registrations : [], refs, timesMs, values }));
}

const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: Number.POSITIVE_INFINITY,
};
const lookback: Leaf = {
  matchers: [{ type: "=", name: "job", value: "bench" }],
  grid: { startMs: START_MS + 600_000, stepMs: 60_000, count: STEPS },
  rollup: "last",
  rangeMs: 300_000,
  offsetMs: 0,
  args: [],
  dropName: false,
};
const rate: Leaf = { ...lookback, rollup: "rate", dropName: true };

/** Asks until it is warm, then takes the best of twenty. */
async function report(name: string, leaf: Leaf): Promise<void> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 60; i++) {
    const started = performance.now();
    await db.queryable.evaluate(leaf, context);
    if (i >= 40) best = Math.min(best, performance.now() - started);
  }
  console.log(`${name.padEnd(28)} ${((best * 1e6) / refs.length).toFixed(0).padStart(6)} ns/series`);
}

await report("last", lookback);
await report("count(last)", { ...lookback, aggregation: { op: "count", without: false, labels: [] } });
await report("sum by (mode) (last)", { ...lookback, aggregation: { op: "sum", without: false, labels: ["mode"] } });
await report("rate", rate);
await report("sum by (mode) (rate)", { ...rate, aggregation: { op: "sum", without: false, labels: ["mode"] } });
await report("count_over_time", { ...lookback, rollup: "count_over_time", dropName: true });
await session.close();
await db.close();
