// test/unit/tsdb/head-budget.test.ts: memory of all heads stays within --head-memory: windows are sealed early, then new series are refused,
// then batches wait; and limits of series name their flags, refuse new series only, and count exactly.
import { describe, expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { UnavailableError } from "../../../libs/model/index.ts";
import { HeadBudget } from "../../../libs/tsdb/head-budget.ts";
import { contents, Feed, lines, NOW, openDb, type Row, settled, write } from "./db-fixture.ts";

const MIB = 2 ** 20;
const series = (i: number) => ({ __name__: "m", i: `${i}` });

describe("the budget", () => {
  test("seals at 80 %, refuses series at 95 %, ends at 100 %; and not again before there is something to move", () => {
    let used = 0;
    const budget = new HeadBudget(1000, () => used);
    const state = (at: number): string => {
      used = at;
      return [budget.wantsSeal, budget.isTight, budget.isSpent].map(Number).join("");
    };
    expect([0, 799, 800, 949, 950, 999, 1000].map(state)).toEqual(["000", "000", "100", "100", "110", "110", "111"]);
    used = 780;
    budget.relieved();
    expect([800, 829, 830].map(state)).toEqual(["000", "000", "100"]);
    used = 100;
    budget.relieved();
    expect([799, 800].map(state)).toEqual(["000", "100"]);
    expect([budget.fits(200), budget.fits(201)]).toEqual([true, false]);
  });
});

describe("memory of the heads", () => {
  test("many samples: windows are sealed early, the total is never passed, nothing is lost or refused", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const totalBytes = MIB / 4;
    const db = await openDb(fs, {
      clock,
      headMemoryBytes: 4 * MIB,
      headTotalBytes: totalBytes,
      walBufferBytes: 4 * MIB,
    });
    const feed = new Feed(db);
    const rows: Row[] = [];
    let most = 0;
    for (let t = 0; t < 180; t++) {
      await clock.advance(1000);
      // Values that don't pack.
      const batch = Array.from(
        { length: 200 },
        (_, i): Row => [series(i), clock.nowMs(), Math.sin(t * 200 + i) * 10 ** ((t + i) % 30)],
      );
      await feed.append(batch);
      rows.push(...batch);
      most = Math.max(most, db.report().headsUsedBytes);
    }
    const { earlySeals, seriesRefused } = db.report();
    expect(earlySeals).toBeGreaterThan(0);
    // Heads that are prepared for the next window come on top.
    expect(most).toBeLessThanOrEqual(1.25 * totalBytes);
    expect(most).toBeGreaterThan(0.75 * totalBytes);
    expect(Object.values(seriesRefused)).toEqual([0, 0, 0, 0]);
    expect(contents(db)).toEqual(lines(rows));
    await settled(clock, db.close());
    const next = await openDb(fs, { clock, headMemoryBytes: 4 * MIB, headTotalBytes: totalBytes });
    expect(contents(next)).toEqual(lines(rows));
    await next.close();
  });

  test("many series: new ones are refused with the flag's name and exact counts, known ones go on; with more memory they come in", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const options = {
      clock,
      headMemoryBytes: 16 * MIB,
      headTotalBytes: MIB,
      seriesMax: 1e6,
      walBufferBytes: 4 * MIB,
    };
    const db = await openDb(fs, options);
    const feed = new Feed(db);
    const known: Row[] = [];
    let refused = 0;
    for (let i = 0; refused === 0 && i < 40_000; i += 100) {
      await clock.advance(10);
      const batch = Array.from({ length: 100 }, (_, k): Row => [series(i + k), NOW, i + k]);
      const ack = await feed.append(batch);
      for (const { reason, count, text } of ack.rejections) {
        expect(reason).toBe("series-limit");
        expect(text).toMatch(/^series limit: got \d+ series and no memory for more \(--head-memory\)$/);
        refused += count;
      }
      known.push(...batch.slice(0, 100 - refused));
    }
    expect(refused).toBeGreaterThan(0);
    expect(db.report().seriesRefused["--head-memory"]).toBe(refused);
    expect(db.report().counters.samplesSeriesLimit).toBe(refused);
    expect(contents(db)).toEqual(lines(known));
    // Known ones go on.
    const more = known.slice(0, 50).map(([labels, time]): Row => [labels, time + 1000, 3]);
    await clock.advance(2000);
    expect((await feed.append(more)).rejections).toEqual([]);
    await settled(clock, db.close());
    const next = await openDb(fs, { ...options, headTotalBytes: 16 * MIB });
    expect((await write(next, [[series(99_999), NOW, 1]])).rejections).toEqual([]);
    expect(contents(next)).toEqual(lines([...known, ...more, [series(99_999), NOW, 1]]));
    await next.close();
  });

  test("when memory is there again, the connection that met the refusal is asked to connect anew", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const db = await openDb(fs, { clock, headMemoryBytes: 4 * MIB, headTotalBytes: 2 * MIB, walBufferBytes: 4 * MIB });
    const feed = new Feed(db);
    // One long series of samples, faster than anything can be cut: no time passes.
    let time = NOW - 1e6;
    let rejections = 0;
    let spent: unknown;
    for (let n = 0; spent === undefined && n < 2000; n++) {
      const batch = Array.from(
        { length: 500 },
        (_, i): Row => [series(i % 2), ++time, Math.sin(time) * 10 ** (time % 30)],
      );
      try {
        await feed.append(batch);
        if (rejections === 0) rejections += (await feed.append([[series(100 + n), time, 1]])).rejections.length;
      } catch (error) {
        spent = error;
      }
    }
    expect(rejections).toBe(1);
    expect(spent).toBeInstanceOf(UnavailableError);
    expect((spent as Error).message).toContain("--head-memory");
    let closed = false;
    void feed.session.closed?.then(() => {
      closed = true;
    });
    await clock.advance(10_000);
    expect(db.report().headsUsedBytes).toBeLessThan(1.6 * MIB);
    await expect(feed.append([[series(0), time + 1, 1]])).rejects.toThrow(
      /series refused for memory that is there now; want a new connection/,
    );
    expect(closed).toBe(true);
    const second = new Feed(db);
    expect((await second.append([[series(777), time + 2, 1]])).rejections).toEqual([]);
    await settled(clock, db.close());
  });
});

describe("limits of series", () => {
  test("of a tenant: its new series are refused, its known ones and other tenants' go on", async () => {
    const fs = new SimFileSystem();
    const db = await openDb(fs, { tenantSeriesMax: 3, seriesMax: 7 });
    const feed = new Feed(db);
    const rows = (from: number, to: number, age = 0): Row[] =>
      Array.from({ length: to - from }, (_, i) => [series(from + i), NOW - age, i]);
    expect((await feed.append(rows(0, 2, 1000), "a")).rejections).toEqual([]);
    expect((await feed.append(rows(0, 5), "a")).rejections).toEqual([
      {
        reason: "series-limit",
        count: 2,
        text: "series limit: got 3 series of tenant a; want at most 3 (--tenant-series-max)",
      },
    ]);
    expect((await feed.append(rows(0, 3), "b")).rejections).toEqual([]);
    expect((await feed.append(rows(0, 3), "c")).rejections).toEqual([
      { reason: "series-limit", count: 2, text: "series limit: got 7 series; want at most 7 (--series-max)" },
    ]);
    expect((await feed.append(rows(0, 3, 500), "a")).rejections).toEqual([]);
    expect(contents(db, [], "a").length).toBe(8);
    expect(contents(db, [], "b").length).toBe(3);
    expect(contents(db, [], "c").length).toBe(1);
    expect(db.report().seriesRefused).toMatchObject({ "--tenant-series-max": 2, "--series-max": 2 });
    await db.close();
    // Counted again from what is stored.
    const next = await openDb(fs, { tenantSeriesMax: 3, seriesMax: 8 });
    const ack = await write(next, [[series(9), NOW, 1]], "a");
    expect(ack.rejections.map(({ count }) => count)).toEqual([1]);
    expect((await write(next, [[series(9), NOW, 1]], "c")).rejections).toEqual([]);
    await next.close();
  });
});
