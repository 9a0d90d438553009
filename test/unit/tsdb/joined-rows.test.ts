// test/unit/tsdb/joined-rows.test.ts: rows of many days are joined where the days have the same series, and stay apart where series come and go:
// a query of one day must not select those of all.
import { expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import type { Leaf, QueryContext } from "../../../libs/model/index.ts";
import type { DbOptions } from "../../../libs/tsdb/index.ts";
import { DATA_DIR, Feed, HOUR, openDb, type Row, settled, TENANT } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const END = 19_700 * DAY;
const DAYS = 9;
const SERIES = 6;
const OPTIONS = {
  retentionMs: 30 * DAY,
  rowRetentionMs: { "1m": 60 * DAY, "1h": 90 * DAY },
  headMemoryBytes: 16 << 20,
  shardCount: 1,
} satisfies Partial<DbOptions>;
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e12,
};

/** Files of rows of an hour after days of counters, and series that a query of one day selects. */
async function afterDays(nameOf: (series: number, day: number) => string): Promise<{ files: number; series: number }> {
  const fs = new SimFileSystem();
  const clock = new SimClock(END + 2 * HOUR);
  const db = await openDb(fs, { ...OPTIONS, clock });
  const feed = new Feed(db);
  for (let day = 0; day < DAYS; day++) {
    const rows: Row[] = [];
    for (let time = 15_000; time <= DAY; time += 15_000) {
      for (let i = 0; i < SERIES; i++) {
        const labels = { __name__: "c_total", pod: nameOf(i, day) };
        rows.push([labels, END - (DAYS - day) * DAY + time, time * (i + 1) + ((time / 15_000) % 7)]);
      }
    }
    for (let at = 0; at < rows.length; at += 3000) await feed.append(rows.slice(at, at + 3000));
  }
  await settled(clock, db.flush());
  await settled(clock, db.compact());
  const leaf: Leaf = {
    matchers: [{ type: "=", name: "__name__", value: "c_total" }],
    grid: { startMs: END - 4 * DAY + 2 * HOUR, stepMs: HOUR, count: 20 },
    ...{ rollup: "rate", rangeMs: HOUR, offsetMs: 0, args: [], dropName: true },
  };
  const { seriesCount, columns } = await settled(clock, db.queryable.evaluate(leaf, context));
  expect(columns).toHaveLength(SERIES);
  await db.close();
  const files = fs.list(`${DATA_DIR}/blocks`).filter((name) => name.startsWith("1h-") && name.endsWith(".tmb"));
  return { files: files.length, series: seriesCount };
}

test("days with the same series are joined", { timeout: 60_000 }, async () => {
  expect(await afterDays((i) => `pod-${i}`)).toEqual({ files: 1, series: SERIES });
});

test("days with series of their own stay apart", { timeout: 60_000 }, async () => {
  expect(await afterDays((i, day) => `pod-${day}-${i}`)).toEqual({ files: DAYS, series: SERIES });
});
