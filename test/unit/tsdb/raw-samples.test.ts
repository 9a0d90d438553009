// test/unit/tsdb/raw-samples.test.ts: streams of raw samples over heads and blocks against their twin, the plain export; and how they end.
import { describe, expect, test } from "vitest";
import { NO_DELETIONS } from "../../../libs/block/index.ts";
import { SeededRandom } from "../../../libs/env/index.ts";
import {
  CanceledError,
  compareLabels,
  type Labels,
  LimitError,
  labelsKey,
  type QueryContext,
  TimeoutError,
} from "../../../libs/model/index.ts";
import { Deletions } from "../../../libs/tsdb/deletions.ts";
import { exportSeries } from "../../../libs/tsdb/export.ts";
import { MetadataStore } from "../../../libs/tsdb/metadata-store.ts";
import { Quarantine } from "../../../libs/tsdb/quarantine.ts";
import { DbQuerier } from "../../../libs/tsdb/querier.ts";
import { Retention } from "../../../libs/tsdb/retention.ts";
import { SideData } from "../../../libs/tsdb/side-data.ts";
import { DbStats } from "../../../libs/tsdb/state.ts";
import { bitsOf, STALE } from "../kernel/head-batches.ts";
import { NOW, TENANT } from "./db-fixture.ts";
import { type SplitSample, type SplitSeries, SplitStorage } from "./split-storage.ts";

const CASES = Number(process.env.FUZZ_RUNS ?? 15);
const SCRAPE_MS = 15_000;
const SCRAPES = 60;
const START = NOW - SCRAPES * SCRAPE_MS;
const EVERYTHING = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };

const context = (overrides: Partial<QueryContext> = {}): QueryContext => ({
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
  ...overrides,
});

const hex = (values: Float64Array): string[] =>
  Array.from(new BigUint64Array(values.buffer, values.byteOffset, values.length), (bits) => bits.toString(16));

function querierOf(storage: SplitStorage): { querier: DbQuerier; stats: DbStats } {
  const { clock, selector, sources } = storage;
  const stats = new DbStats();
  const quarantine = new Quarantine(storage.fs, "/none", () => {});
  const metadata = new MetadataStore();
  const deletions = new Deletions(clock, 0, NO_DELETIONS);
  const retention = new Retention({ defaultMs: 24 * 3_600_000 });
  const state = { selector, clock, sources, deletions, metadata, quarantine, side: NO_SIDE_DATA, retention, stats };
  return { querier: new DbQuerier(state), stats };
}

const NO_SIDE_DATA = new SideData(Number.NEGATIVE_INFINITY, 0);

interface Row {
  readonly labels: Labels;
  readonly times: number[];
  readonly bits: string[];
}

/** What a stream gives, the columns of a series joined. */
async function streamed(storage: SplitStorage, range = EVERYTHING, asker = context()): Promise<Row[]> {
  const rows: Row[] = [];
  const matchers = [{ type: "=~", name: "__name__", value: "m|é" }] as const;
  for await (const batch of querierOf(storage).querier.rawSamples({ matchers, range }, asker)) {
    expect(batch.length).toBeGreaterThan(0);
    for (const { labels, times, values, present } of batch) {
      expect([present, times.length > 0, times.length <= 68 * 120]).toEqual([null, true, true]);
      const last = rows.at(-1);
      const row =
        last !== undefined && labelsKey(last.labels) === labelsKey(labels) ? last : { labels, times: [], bits: [] };
      if (row !== last) rows.push(row);
      row.times.push(...times);
      row.bits.push(...hex(values));
    }
  }
  return rows;
}

function exported(storage: SplitStorage, { minMs, maxMs } = EVERYTHING): Row[] {
  const matchers = [{ type: "=~", name: "__name__", value: "m|é" }] as const;
  return [...exportSeries(storage.catalog, storage.sources, NO_SIDE_DATA, TENANT, matchers, minMs, maxMs)]
    .filter(({ times }) => times.length > 0)
    .map(({ labels, times, values }) => ({ labels, times: Array.from(times), bits: hex(values) }))
    .sort((a, b) => compareLabels(a.labels, b.labels));
}

/** Many series with labels in no order, their samples anywhere in two heads and two rounds of blocks. */
function drawStorage(random: SeededRandom): SplitStorage {
  const series: SplitSeries[] = Array.from({ length: 1 + random.below(200) }, (_, i) => ({
    labels: {
      __name__: random.pick(["m", "m", "é", "other"]),
      [random.pick(["a", "b", "z"])]: random.pick(["", "x", "\u{1D4B3}", "￿", `${random.below(20)}`]) + i,
    },
    target: random.below(3),
  }));
  const heads: SplitSample[][] = [[], []];
  const blocks: SplitSample[][] = [[], []];
  for (let scrape = 0; scrape < SCRAPES; scrape++) {
    const place = random.pick([heads[0]!, heads[1]!, ...blocks, ...blocks]);
    series.forEach(({ target }, i) => {
      if (random.chance(0.7)) return;
      const time = START + scrape * SCRAPE_MS + target;
      (random.chance(0.9) ? place : random.pick(blocks)).push({
        series: i,
        time,
        bits: random.chance(0.05) ? STALE : bitsOf(random.float()),
      });
    });
  }
  for (const list of [...heads, ...blocks]) list.sort((a, b) => a.time - b.time || a.series - b.series);
  return new SplitStorage(series, { heads, blocks });
}

describe("raw samples", () => {
  test(`are what an export has, in the order of labels: ${CASES} storages`, { timeout: 0 }, async () => {
    let rows = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const random = new SeededRandom(seed);
      const storage = drawStorage(random);
      for (let n = 0; n < 8; n++) {
        const minMs = START + random.below(SCRAPES) * SCRAPE_MS + random.below(3) - 1;
        const range = random.pick([EVERYTHING, { minMs, maxMs: minMs + random.pick([0, 1, 2, SCRAPE_MS, 400_000]) }]);
        const want = exported(storage, range);
        expect(await streamed(storage, range), `storage ${seed}: ${JSON.stringify(range)}`).toEqual(want);
        rows += want.length;
      }
      for (const block of storage.sources.blocks) expect(block.isInUse).toBe(false);
    }
    expect(rows).toBeGreaterThan(CASES * 100);
  });

  test("a long series comes in several columns", async () => {
    const count = 3 * 68 * 120 + 7;
    const samples = Array.from({ length: count }, (_, i) => ({ series: 0, time: START + i, bits: bitsOf(i / 3) }));
    const series = [{ labels: { __name__: "m" }, target: 0 }];
    const [head, ...blocks] = Array.from({ length: 7 }, (_, i) => samples.slice(i * 4000, (i + 1) * 4000)).reverse();
    const storage = new SplitStorage(series, { heads: [head!], blocks });
    const want = exported(storage);
    expect(want[0]!.times.length).toBe(count);
    expect(await streamed(storage)).toEqual(want);
    await expect(streamed(storage, EVERYTHING, context({ samplesMax: count - 1 }))).rejects.toThrow(LimitError);
  });

  test("a reader that stops lets go of blocks; running reads are counted", async () => {
    const storage = drawStorage(new SeededRandom(3));
    const { querier, stats } = querierOf(storage);
    const stream = querier.rawSamples({ matchers: [], range: EVERYTHING }, context());
    expect((await stream.next()).done).toBe(false);
    expect([stats.leavesRunning, storage.sources.blocks.some((b) => b.isInUse)]).toEqual([1, true]);
    await stream.return();
    expect([stats.leavesRunning, storage.sources.blocks.some((b) => b.isInUse)]).toEqual([0, false]);
  });

  test("a query that is canceled or late ends", async () => {
    const storage = drawStorage(new SeededRandom(4));
    await expect(streamed(storage, EVERYTHING, context({ signal: AbortSignal.abort() }))).rejects.toThrow(
      CanceledError,
    );
    await expect(streamed(storage, EVERYTHING, context({ deadlineMs: NOW - 1 }))).rejects.toThrow(TimeoutError);
    for (const block of storage.sources.blocks) expect(block.isInUse).toBe(false);
  });
});
