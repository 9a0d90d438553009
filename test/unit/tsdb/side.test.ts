// test/unit/tsdb/side.test.ts: histograms, exemplars and start times in a storage: bounds, limits, durability, restarts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SimFileSystem } from "../../../libs/env/index.ts";
import {
  exponentialLayout,
  type FloatHistogram,
  histogramsOf,
  isStale,
  type Labels,
  type Leaf,
  labelsFromRecord,
} from "../../../libs/model/index.ts";
import { type HistogramSample, NO_SIDE, orderedSide, type SideSeries } from "../../../libs/side/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { HOUR, NOW, openDb, SEGMENT, TENANT, write } from "./db-fixture.ts";
import { appendSide, sideOf } from "./side-fixture.ts";

function histogram(count: number): FloatHistogram {
  return {
    layout: exponentialLayout(0, 0, [1, 2], []),
    hint: 0,
    count,
    sum: count * 2,
    zeroCount: 0,
    buckets: Float64Array.of(1, count - 1),
  };
}

const at = (timeMs: number, count: number): HistogramSample => ({ timeMs, histogram: histogram(count) });
const H = labelsFromRecord({ __name__: "h", job: "j" });
const only = (part: Partial<SideSeries>): SideSeries => ({ ...NO_SIDE, ...part });

const leafAt = (timeMs: number, more: Partial<Leaf> = {}): Leaf => ({
  matchers: [{ type: "=", name: "__name__", value: "h" }],
  grid: { startMs: timeMs, stepMs: 1, count: 1 },
  rollup: "last",
  rangeMs: 300_000,
  offsetMs: 0,
  args: [],
  dropName: false,
  ...more,
});

const CONTEXT = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.MAX_SAFE_INTEGER,
  samplesMax: 1e6,
};

async function countsOf(db: Db, leaf: Leaf): Promise<unknown[]> {
  const { columns } = await db.queryable.evaluate(leaf, CONTEXT);
  return columns.map(({ labels, histograms, values }) => [labels, histograms?.counts[0] ?? values[0]]);
}

describe("a storage", () => {
  test("answers with what was acknowledged, after a restart as well", async () => {
    const fs = new SimFileSystem();
    let db = await openDb(fs);
    expect(await appendSide(db, [[H, only({ histograms: [at(NOW - 1000, 5)] })]])).toEqual({ rejections: [] });
    const check = async (): Promise<void> => {
      expect(await countsOf(db, leafAt(NOW))).toEqual([[H, 5]]);
      const range = { minMs: NOW - 2000, maxMs: NOW };
      expect(await db.queryable.series([leafAt(NOW).matchers], range, 0, CONTEXT)).toEqual([H]);
      expect(await db.queryable.series([leafAt(NOW).matchers], { ...range, maxMs: NOW - 1500 }, 0, CONTEXT)).toEqual(
        [],
      );
    };
    await check();
    await db.close();
    db = await openDb(fs);
    expect(db.replayed.damage).toEqual([]);
    await check();
    expect(sideOf(db, H).histograms).toEqual([at(NOW - 1000, 5)]);
    expect([...db.export(TENANT, [])].map(({ labels, side }) => [labels, side])).toEqual([[H, sideOf(db, H)]]);
    await db.close();
  });

  test("refuses what is too late, too old or too much, with exact counts, and keeps the rest", async () => {
    const db = await openDb(undefined, { seriesMax: 1 });
    const exemplar = { labels: [] as Labels, value: 1, timeMs: NOW + HOUR };
    const ack = await appendSide(db, [
      [H, only({ histograms: [at(NOW - 25 * HOUR, 1), at(NOW, 2), at(NOW + HOUR, 3)], exemplars: [exemplar] })],
      [labelsFromRecord({ __name__: "more" }), only({ histograms: [at(NOW, 1), at(NOW + 1, 2)] })],
    ]);
    expect(ack.rejections.map(({ kind, reason, count }) => [kind, reason, count]).sort()).toEqual([
      ["exemplar", "future", 1],
      ["histogram", "future", 1],
      ["histogram", "series-limit", 2],
      ["histogram", "too-old", 1],
    ]);
    expect(sideOf(db, H).histograms).toEqual([at(NOW, 2)]);
    await db.close();
  });

  test("infinite retention has no bound to tell", async () => {
    const db = await openDb(undefined, { retentionMs: Number.POSITIVE_INFINITY });
    expect((await write(db, [[{ __name__: "old" }, 1000, 1]])).rejections).toEqual([]);
    expect((await appendSide(db, [[H, only({ histograms: [at(1000, 2)] })]])).rejections).toEqual([]);
    await db.close();
  });

  test("histograms that find no memory are to come again", async () => {
    const db = await openDb();
    const many = Array.from({ length: 2000 }, (_, i) => at(NOW - i, i + 1)).reverse();
    let failure: unknown;
    for (let i = 0; i < 20 && failure === undefined; i++) {
      const labels = labelsFromRecord({ __name__: "h", i: String(i) });
      failure = await appendSide(db, [[labels, only({ histograms: many })]]).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect(failure).toMatchObject({ reaction: "unavailable" });
    await db.close();
  });

  test("the same again is not logged; the greater count wins at one time, in any order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 3 })), { minLength: 1 }),
        async (list) => {
          const fs = new SimFileSystem();
          let db = await openDb(fs);
          const samples = list.map(([time, count]) => at(NOW - time, count));
          for (const one of samples) await appendSide(db, [[H, only({ histograms: [one] })]]);
          const before = fs.stat(SEGMENT(1))!.sizeBytes;
          for (const one of samples) await appendSide(db, [[H, only({ histograms: [one] })]]);
          expect(fs.stat(SEGMENT(1))!.sizeBytes).toBe(before);
          const wanted = orderedSide(only({ histograms: samples }));
          expect(sideOf(db, H)).toEqual(wanted);
          await db.close();
          db = await openDb(fs);
          expect(sideOf(db, H)).toEqual(wanted);
          await db.close();
        },
      ),
      { numRuns: 15 },
    );
  });

  test("floats and histograms of a series are one sequence", async () => {
    const db = await openDb();
    await write(db, [
      [{ __name__: "h", job: "j" }, NOW - 3000, 1],
      [{ __name__: "h", job: "j" }, NOW - 2000, 7],
    ]);
    await appendSide(db, [
      [H, only({ histograms: [at(NOW - 2000, 5), { timeMs: NOW - 1000, histogram: undefined }] })],
    ]);
    const matchers = leafAt(NOW).matchers;
    for await (const [raw] of db.queryable.rawSamples(
      { matchers, range: { minMs: NOW - 3000, maxMs: NOW } },
      CONTEXT,
    )) {
      expect([raw!.labels, Array.from(raw!.times)]).toEqual([H, [NOW - 3000, NOW - 2000, NOW - 1000]]);
      expect([raw!.values[0], isStale(raw!.values[2]!)]).toEqual([1, true]);
      expect(histogramsOf(raw!.histograms!).map((one) => one?.count)).toEqual([undefined, 5, undefined]);
    }
    expect(await countsOf(db, leafAt(NOW - 2500))).toEqual([[H, 1]]);
    expect(await countsOf(db, leafAt(NOW - 2000))).toEqual([[H, 5]]);
    expect(await countsOf(db, leafAt(NOW))).toEqual([]);
    expect(await countsOf(db, leafAt(NOW, { rollup: "count_over_time" }))).toEqual([[H, 2]]);
    await db.close();
  });

  test("start times hold until the next one, for an hour", async () => {
    const db = await openDb();
    const rows = [70, 30, 0].map((minutes) => [{ __name__: "h", job: "j" }, NOW - minutes * 60_000, 1] as const);
    await write(db, rows);
    await appendSide(db, [[H, only({ starts: [{ timeMs: NOW - 65 * 60_000, startMs: NOW - 70 * 60_000 }] })]]);
    const start = (timeMs: number): Promise<unknown[]> => countsOf(db, leafAt(timeMs, { rollup: "start_timestamp" }));
    expect(await start(NOW - 70 * 60_000)).toEqual([[H, 0]]);
    expect(await start(NOW - 30 * 60_000)).toEqual([[H, (NOW - 70 * 60_000) / 1000]]);
    expect(await start(NOW)).toEqual([[H, 0]]);
    await db.close();
  });
});
