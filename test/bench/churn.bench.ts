// test/bench/churn.bench.ts: a storage whose series change all the time: bytes of index, speed of writing and of a one-day query as days go by.
// CHURN_SERIES=200000 CHURN_DAYS=30 is the full one, some minutes; the default takes less than one. Days pass on a clock of the bench's own; disk
// and log are real.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, NodeFileSystem, nodeClock, nodeProcesses, SeededRandom } from "../../libs/env/index.ts";
import { createHash128 } from "../../libs/kernel/index.ts";
import {
  encodeSeriesKey,
  type Leaf,
  labelsFromRecord,
  placeSeries,
  type QueryContext,
} from "../../libs/model/index.ts";
import { Db } from "../../libs/tsdb/index.ts";
import { type Registration, writeBatch } from "../contract/ingest-batch.ts";

const SERIES = Number(process.env.CHURN_SERIES ?? 6000);
const DAYS = Number(process.env.CHURN_DAYS ?? 5);
const SHARDS = Number(process.env.CHURN_SHARDS ?? 16);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WINDOWS = 12;
const SCRAPES = 8;
const PER_BATCH = 500;
/** Days are those of the blocks: from midnight to midnight. */
const START = Math.ceil(1_750_000_000_000 / DAY) * DAY;

let nowMs = START;
const clock: Clock = {
  nowMs: () => nowMs,
  monotonicMs: () => nodeClock.monotonicMs(),
  sleep: (delayMs, signal) => nodeClock.sleep(delayMs, signal),
  after: (delayMs, callback) => nodeClock.after(delayMs, callback),
  every: (periodMs, callback) => nodeClock.every(periodMs, callback),
};
const folder = mkdtempSync(join(tmpdir(), "churn-bench-"));
const db = await Db.open({
  ...{ dataDir: folder, fs: new NodeFileSystem(), clock, random: new SeededRandom(1), processes: nodeProcesses },
  ...{ shardCount: SHARDS, headMemoryBytes: 512 << 20, retentionMs: 400 * DAY, maxFutureMs: HOUR, seriesMax: 1e7 },
  ...{ walMode: "worker", windowMs: 2 * HOUR, onProblem: (problem: string) => console.log(problem) },
});
const session = db.openSession();
const hash128 = createHash128(db.identity.hashSeed);

/** A series with labels as those of pods that come and go. */
function register(ref: number, number: number): Registration {
  const labels = labelsFromRecord({
    ...{ __name__: `http_requests_${number % 20}_total`, job: "churn", namespace: `team-${number % 50}` },
    ...{ pod: `backend-${number.toString(36)}`, instance: `10.${number % 200}.${(number >> 8) % 250}.7:9100` },
  });
  const key = encodeSeriesKey("default", labels);
  const { shard, home } = placeSeries(hash128, key, SHARDS);
  return {
    ref,
    shard,
    home: new Uint8Array(Uint32Array.of(home.low, home.high).buffer),
    id: hash128(key).slice(),
    key,
  };
}

/** Milliseconds of CPU time so far, of all threads: other work of the machine doesn't count. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Writes the window's new series, all scrapes; returns the time that the storage took. */
async function writeWindow(first: number, count: number): Promise<number> {
  let ms = 0;
  for (let from = first; from < first + count; from += PER_BATCH) {
    const numbers = Array.from({ length: Math.min(PER_BATCH, first + count - from) }, (_, i) => from + i);
    const refs = numbers.map((number) => 1 + (number % 4_000_000));
    for (let scrape = 0; scrape < SCRAPES; scrape++) {
      const batch = writeBatch({
        seq: 1,
        registrations: scrape > 0 ? [] : numbers.map((n, i) => register(refs[i]!, n)),
        refs,
        timesMs: numbers.map(() => nowMs - 2 * HOUR + 1 + (scrape * 2 * HOUR) / SCRAPES),
        values: Float64Array.from(numbers, (n) => n * 7 + scrape * 3),
      });
      const began = cpuMs();
      const { status, rejections } = await session.append(batch);
      ms += cpuMs() - began;
      if (status !== "stored" || rejections.length > 0) throw new Error(`${status} ${JSON.stringify(rejections)}`);
    }
  }
  return ms;
}

const context: QueryContext = {
  ...{ tenant: "default", signal: new AbortController().signal },
  ...{ deadlineMs: Number.POSITIVE_INFINITY, samplesMax: Number.POSITIVE_INFINITY },
};

/** Sum of all rates over a day by namespace. */
async function query(dayMs: number): Promise<{ ms: number; series: number }> {
  const leaf: Leaf = {
    matchers: [
      { type: "=", name: "job", value: "churn" },
      { type: "=~", name: "__name__", value: "http_requests_1?[0-4]_total" },
    ],
    grid: { startMs: dayMs + HOUR, stepMs: HOUR, count: 23 },
    ...{ rollup: "rate", rangeMs: HOUR, offsetMs: 0, args: [], dropName: true },
    aggregation: { op: "sum", without: false, labels: ["namespace"] },
  };
  const began = cpuMs();
  const { seriesCount } = await db.queryable.evaluate(leaf, context);
  return { ms: cpuMs() - began, series: seriesCount };
}

console.log(`${DAYS} days × ${SERIES} new series, ${SHARDS} shards, ${WINDOWS} windows a day, ${SCRAPES} scrapes each`);
interface Day {
  readonly rate: number;
  cold: number;
  warm: number;
}
const days: Day[] = [];
let made = 0;
for (let day = 0; day < DAYS; day++) {
  let ms = 0;
  for (let window = 0; window < WINDOWS; window++) {
    nowMs = START + day * DAY + (window + 1) * 2 * HOUR;
    const count = Math.round(SERIES / WINDOWS);
    ms += await writeWindow(made, count);
    made += count;
    await db.flush();
  }
  // The day before is merged.
  nowMs += HOUR;
  await db.compact();
  const { index, blocks, catalogBytes, seriesCount, catalogNumbers, headsUsedBytes } = db.report();
  const rate = (SERIES * SCRAPES) / (ms / 1000);
  const cold = day > 0 ? await query(START + (day - 1) * DAY) : { ms: Number.NaN, series: 0 };
  let warm = Number.POSITIVE_INFINITY;
  for (let i = 0; day > 0 && i < 5; i++) warm = Math.min(warm, (await query(START + (day - 1) * DAY)).ms);
  days.push({ rate, cold: cold.ms, warm });
  console.log(
    [
      `day ${day + 1}: ${(rate / 1e3).toFixed(0)} k samples per CPU-second, registrations in`,
      `one day's query ${cold.ms.toFixed(1)} ms cold, ${warm.toFixed(1)} warm, ${cold.series} series`,
      `index ${(index.sizeBytes / 1e6).toFixed(2)} MB = ${(index.sizeBytes / made).toFixed(1)} B a series`,
      `${blocks.count} blocks ${(blocks.sizeBytes / 1e6).toFixed(1)} MB, ${index.missing} not indexed`,
      `catalogue ${seriesCount} series, ${catalogNumbers} numbers, ${(catalogBytes / 1e6).toFixed(1)} MB`,
      `heads ${(headsUsedBytes / 1e6).toFixed(0)} MB, heap ${(process.memoryUsage().heapUsed / 1e6).toFixed(0)} MB`,
    ].join("; "),
  );
}
const [first, second, last] = [days[0]!, days[1]!, days.at(-1)!];
console.log(
  `last day against the first: writing × ${(last.rate / first.rate).toFixed(2)} (want ≥ 0.8), ` +
    `query against day 2: warm × ${(last.warm / second.warm).toFixed(2)}, cold × ${(last.cold / second.cold).toFixed(2)} (want ≤ 1.3)`,
);
await db.close();
rmSync(folder, { recursive: true });
