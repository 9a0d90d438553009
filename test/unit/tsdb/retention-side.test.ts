// test/unit/tsdb/retention-side.test.ts: histograms, exemplars and start times of tenants with a retention of their own: what is past is not seen,
// and leaves the disk as samples do: at merges, and when a tenant has nothing else in a file.
import { expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { exponentialLayout, type Leaf, labelsFromRecord, type QueryContext } from "../../../libs/model/index.ts";
import { NO_SIDE, type SideSeries } from "../../../libs/side/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import type { DbState } from "../../../libs/tsdb/state.ts";
import { HOUR, NOW, openDb, settled } from "./db-fixture.ts";
import { appendSide, sideOf } from "./side-fixture.ts";

const DAY = 24 * HOUR;
const MINUTE = 60_000;
const SERIES = labelsFromRecord({ __name__: "h", instance: "host", job: "j" });
const TENANTS = ["short", "default"] as const;
const OPTIONS: Partial<DbOptions> = {
  ...{ retentionMs: 6 * DAY, tenantRetentionMs: new Map([["short", 2 * DAY]]), headMemoryBytes: 4 << 20 },
  // Tenants share files.
  shardCount: 1,
};

const at = (timeMs: number): SideSeries => {
  const layout = exponentialLayout(0, 0, [1, 2], []);
  const histogram = { layout, hint: 0 as const, count: 3, sum: 6, zeroCount: 0, buckets: Float64Array.of(1, 2) };
  return {
    histograms: [{ timeMs, histogram }],
    exemplars: [{ timeMs, value: 1, labels: ["trace_id", "a"] }],
    starts: [{ timeMs, startMs: NOW - 9 * HOUR }],
  };
};

const contextOf = (tenant: string): QueryContext => ({
  ...{ tenant, signal: new AbortController().signal, deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e9 },
});

const countsOf = (nowMs: number): Leaf => ({
  ...{ matchers: [{ type: "=", name: "__name__", value: "h" }], grid: { startMs: nowMs, stepMs: 0, count: 1 } },
  ...{ rollup: "count_over_time", rangeMs: 30 * DAY, offsetMs: 0, args: [], dropName: true },
});

const times = (list: readonly { readonly timeMs: number }[]): number[] => list.map(({ timeMs }) => timeMs);

/** Which tenants the files have series of, file by file. */
function tenantsOf(db: Db): string[] {
  const { files } = (db as unknown as { readonly state: DbState }).state.side;
  return files.map(({ reader }) =>
    reader
      .directory()
      .map(({ key }) => Buffer.from(key.subarray(1, 1 + key[0]!)).toString())
      .sort()
      .join(),
  );
}

test("what is past is seen no more, and leaves the disk at merges", async () => {
  const clock = new SimClock(NOW);
  const db = await openDb(new SimFileSystem(), { ...OPTIONS, clock });
  const put: number[] = [];
  for (let hour = 0; hour < 4 * 24; hour += 3) {
    await clock.advance(3 * HOUR - (clock.nowMs() % HOUR) + MINUTE);
    put.push(clock.nowMs());
    for (const tenant of TENANTS) await settled(clock, appendSide(db, [[SERIES, at(clock.nowMs())]], tenant));
  }
  await settled(clock, db.flush());
  const within = (ms: number): number[] => put.filter((time) => time > clock.nowMs() - ms);
  const see = async (): Promise<void> => {
    for (const [tenant, ms] of [
      ["short", 2 * DAY],
      ["default", 6 * DAY],
    ] as const) {
      const context = contextOf(tenant);
      const range = { minMs: 0, maxMs: clock.nowMs() };
      const [found] = await settled(clock, db.queryable.exemplars([[]], range, context));
      expect(times(found?.exemplars ?? [])).toEqual(within(ms));
      const { columns } = await settled(clock, db.queryable.evaluate(countsOf(clock.nowMs()), context));
      expect(columns.map(({ values }) => values[0])).toEqual([within(ms).length]);
    }
  };
  await see();
  await settled(clock, db.compact());
  await see();
  // What lies in a day that is not past as a whole stays until the day is merged again.
  const floorMs = clock.nowMs() - 2 * DAY;
  const dayMs = Math.floor(floorMs / DAY) * DAY;
  const left = sideOf(db, SERIES, "short");
  expect(times(left.histograms)).toEqual(put.filter((time) => time > dayMs));
  const late = floorMs + MINUTE;
  expect(late).toBeLessThan(dayMs + DAY);
  put.unshift(late);
  put.sort((a, b) => a - b);
  for (const tenant of TENANTS) await settled(clock, appendSide(db, [[SERIES, at(late)]], tenant));
  await settled(clock, db.flush());
  await settled(clock, db.compact());
  await see();
  const onDisk = sideOf(db, SERIES, "short");
  expect(times(onDisk.histograms)).toEqual(within(2 * DAY));
  expect(times(onDisk.exemplars)).toEqual(within(2 * DAY));
  // Samples that are not past may have their start time from before.
  expect(times(onDisk.starts)).toEqual(within(2 * DAY + HOUR));
  expect(sideOf(db, SERIES, "default")).toEqual({
    histograms: put.flatMap((time) => at(time).histograms),
    exemplars: put.flatMap((time) => at(time).exemplars),
    starts: put.flatMap((time) => at(time).starts),
  });
  await db.close();
});

test("a file in which a tenant has nothing else is written anew, once", async () => {
  const clock = new SimClock(NOW);
  const fs = new SimFileSystem();
  const db = await openDb(fs, { ...OPTIONS, clock });
  for (const tenant of TENANTS) await settled(clock, appendSide(db, [[SERIES, at(NOW)]], tenant));
  const alone = labelsFromRecord({ __name__: "h", instance: "other", job: "k" });
  await settled(clock, appendSide(db, [[alone, at(NOW)]], "short"));
  await settled(clock, db.flush());
  await clock.advance(2 * DAY);
  await settled(clock, db.compact());
  expect(tenantsOf(db).join().split(",").sort()).toEqual(["default", "short", "short"]);
  await clock.advance(DAY + HOUR);
  await settled(clock, db.compact());
  expect(tenantsOf(db)).toEqual(["default"]);
  expect(sideOf(db, SERIES, "short")).toEqual(NO_SIDE);
  expect(sideOf(db, SERIES)).toEqual(at(NOW));
  const written = fs.list("/disk/data/side");
  await settled(clock, db.compact());
  expect(fs.list("/disk/data/side")).toEqual(written);
  await db.close();
});

test("what deletions hide of others stays hidden in a file that is written anew, and comes back", async () => {
  const clock = new SimClock(NOW);
  const db = await openDb(new SimFileSystem(), { ...OPTIONS, clock, deleteUndoMs: 30 * DAY });
  for (const tenant of TENANTS) await settled(clock, appendSide(db, [[SERIES, at(NOW)]], tenant));
  await settled(clock, db.flush());
  const made = await settled(
    clock,
    db.deletable.deleteSeries({
      ...{ id: "00000000000000a1", tenant: "default", minMs: 0, maxMs: NOW + DAY },
      ...{ sets: [[{ type: "=", name: "job", value: "j" }]], selectors: ["{}"] },
    }),
  );
  await clock.advance(3 * DAY + HOUR);
  await settled(clock, db.compact());
  expect(tenantsOf(db)).toEqual(["default"]);
  expect(sideOf(db, SERIES)).toEqual(NO_SIDE);
  await settled(clock, db.deletable.undelete("default", made!.id));
  expect(sideOf(db, SERIES)).toEqual(at(NOW));
  await db.close();
});
