// test/unit/tsdb/leaf-limits.test.ts: what a leaf may take, by name: series, bytes, samples; and that what it took is given back.
import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { getRoaringUsedMemory, RoaringBitmap32 } from "roaring";
import { beforeAll, describe, expect, test } from "vitest";
import { type Leaf, LimitError, type Matcher, type QueryContext, type RawRequest } from "../../../libs/model/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { NOW, openDb, type Row, TENANT, write } from "./db-fixture.ts";

const SERIES = 300;
const STEP_MS = 15_000;
/** A disposed bitmap, until it is collected. */
const SHELL_BYTES = 160;
const EVERYTHING = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };
const ALL: Matcher[] = [{ type: "=~", name: "__name__", value: "m|n" }];

const context = (overrides: Partial<QueryContext> = {}): QueryContext => ({
  ...{ tenant: TENANT, signal: new AbortController().signal, deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e9 },
  ...overrides,
});
const leaf = (overrides: Partial<Leaf> = {}): Leaf => ({
  matchers: ALL,
  grid: { startMs: NOW - 60 * STEP_MS, stepMs: 1000, count: 100 },
  ...{ rollup: "last", rangeMs: 300_000, offsetMs: 0, args: [], dropName: false },
  ...overrides,
});

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Collects shells; their finalizers run in a turn of their own. */
async function collect(): Promise<void> {
  gc();
  await nextTurn();
  await nextTurn();
}

let db: Db;
beforeAll(async () => {
  db = await openDb(undefined, { headMemoryBytes: 8 << 20 });
  for (let scrape = 60; scrape > 0; scrape--) {
    const rows = Array.from({ length: SERIES }, (_, i): Row => {
      const labels = { __name__: i % 3 === 0 ? "n" : "m", half: `${i % 2}`, i: `${i}` };
      return [labels, NOW - scrape * STEP_MS, i + scrape];
    });
    await write(db, rows);
  }
});

async function refusal(work: () => Promise<unknown>): Promise<{ limit: string; message: string }> {
  const error = await work().then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LimitError);
  const { limit, message } = error as LimitError;
  expect(message).toContain(`--${limit}`);
  return { limit, message };
}

async function drain(request: RawRequest, asker: QueryContext): Promise<number> {
  let samples = 0;
  for await (const batch of db.queryable.rawSamples(request, asker)) {
    for (const { times } of batch) samples += times.length;
  }
  return samples;
}

describe("a leaf", () => {
  test("selects so many series and no more", async () => {
    const { limit, message } = await refusal(() => db.queryable.evaluate(leaf(), context({ seriesMax: SERIES - 1 })));
    expect([limit, message]).toEqual([
      "query-series-max",
      expect.stringContaining(`got ${SERIES} series; want at most ${SERIES - 1}`),
    ]);
    expect((await db.queryable.evaluate(leaf(), context({ seriesMax: SERIES }))).columns.length).toBe(SERIES);
    const raw = { matchers: ALL, range: EVERYTHING };
    expect((await refusal(() => drain(raw, context({ seriesMax: 10 })))).limit).toBe("query-series-max");
    expect(await drain(raw, context({ seriesMax: SERIES }))).toBe(SERIES * 60);
    const sets = [ALL];
    expect((await refusal(() => db.queryable.series(sets, EVERYTHING, 0, context({ seriesMax: 10 })))).limit).toBe(
      "query-series-max",
    );
    expect((await db.queryable.series(sets, EVERYTHING, 7, context({ seriesMax: 10 }))).length).toBe(7);
  });

  test.each<readonly [string, Partial<Leaf>, number]>([
    ["series", {}, SERIES * 100 * 8],
    ["sums", { aggregation: { op: "sum", without: false, labels: ["i"] } }, SERIES * 100 * 16],
    ["counts", { aggregation: { op: "count", without: false, labels: ["half"] } }, 2 * 100 * 8],
    ["raw samples", { rollup: "samples", grid: { startMs: NOW, stepMs: 0, count: 1 }, rangeMs: 1e9 }, SERIES * 60 * 16],
  ])("holds so many bytes of %s and no more", async (_, overrides, bytes) => {
    const { limit } = await refusal(() => db.queryable.evaluate(leaf(overrides), context({ bytesMax: bytes - 1 })));
    expect(limit).toBe("query-bytes-max");
    // Columns are cut from larger pieces.
    const result = await db.queryable.evaluate(leaf(overrides), context({ bytesMax: bytes + 8 * 8192 }));
    expect(result.columns.length).toBeGreaterThan(0);
  });

  test("steps that would not fit are refused before there is memory for them", async () => {
    const long = leaf({ grid: { startMs: NOW, stepMs: 1, count: 1e12 } });
    expect((await refusal(() => db.queryable.evaluate(long, context({ bytesMax: 1 << 30 })))).limit).toBe(
      "query-bytes-max",
    );
  });

  test("reads so many samples and no more", async () => {
    expect((await refusal(() => db.queryable.evaluate(leaf(), context({ samplesMax: 1000 })))).limit).toBe(
      "query-samples-max",
    );
  });

  test("gives back what it took, also when it is stopped", async () => {
    const selections: Matcher[][] = Array.from({ length: 40 }, (_, i) => [
      { type: "=~", name: "i", value: `.*${i}.*` },
      { type: "!=", name: "half", value: `${i % 3}` },
      { type: "!~", name: "__name__", value: i % 2 === 0 ? "n" : "x.*" },
    ]);
    const ask = (matchers: Matcher[]) =>
      db.queryable.evaluate(leaf({ matchers }), context({ seriesMax: 5 })).catch(() => undefined);
    await ask([{ type: "=~", name: "i", value: ".+" }]);
    // Older shells that are collected meanwhile would count for less than these.
    await collect();
    const [bitmaps, bytes] = [RoaringBitmap32.getInstancesCount(), getRoaringUsedMemory()];
    for (const matchers of selections) await ask(matchers);
    await Promise.all(
      selections.map((matchers) =>
        db.queryable.evaluate(leaf({ matchers }), context({ signal: AbortSignal.abort() })).catch(() => undefined),
      ),
    );
    // What bitmaps hold is gone at once; an empty shell of each waits for the garbage collector.
    const shells = RoaringBitmap32.getInstancesCount() - bitmaps;
    expect(getRoaringUsedMemory() - bytes).toBeLessThanOrEqual(SHELL_BYTES * shells);
    // One that were kept would show.
    const before = getRoaringUsedMemory();
    const kept = new RoaringBitmap32(Uint32Array.from({ length: SERIES }, (_, i) => 7 * i));
    expect(getRoaringUsedMemory() - before).toBeGreaterThan(2 * SHELL_BYTES);
    kept.dispose();
    expect(db.report().counters.leavesRunning).toBe(0);
  });
});
