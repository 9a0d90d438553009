// test/unit/tsdb/forgetting.test.ts: series that nobody writes leave the catalogue, their numbers serve others, and no sample is lost or given to
// another series by it: not by writers that keep their references, queries at work, crashes or damage of the index.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { MemoryPieceStore } from "../../../libs/index/index.ts";
import { labelsFromRecord, labelsKey, labelsToRecord } from "../../../libs/model/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { contents, Feed, HOUR, type LabelRecord, line, lines, NOW, openDb, type Row, TENANT } from "./db-fixture.ts";

const MINUTE = 60_000;
const WINDOW = 10 * MINUTE;
const OPTIONS = {
  ...{ retentionMs: 30 * 24 * HOUR, headMemoryBytes: 4 << 20, walSegmentBytes: 64 << 10 },
  ...{ windowMs: WINDOW, lateWindowMs: 2 * MINUTE },
};
const SEEDS = Number(process.env.FUZZ_RUNS ?? 8);

const pod = (i: number): LabelRecord => ({ __name__: `m${i % 3}`, pod: `pod-${i}`, zone: `z${i % 2}` });

const context = { tenant: TENANT, signal: new AbortController().signal, deadlineMs: Infinity, samplesMax: 1e9 };
const seriesOf = async (db: Db, nowMs: number): Promise<string[]> => {
  const found = await db.queryable.series([], { minMs: 0, maxMs: nowMs + HOUR }, 0, context);
  return found.map(labelsKey).sort();
};

describe("a storage forgets", () => {
  test("series that are not written, and gives their numbers to others; a series that comes back is whole", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const db = await openDb(fs, { ...OPTIONS, clock });
    const writer = new Feed(db);
    const rows: Row[] = [];
    let most = 0;
    // Each minute two pods go and two come; one, number 0, writes for ten minutes of three hours.
    for (let minute = 0; minute < 12 * 60; minute++) {
      await clock.advance(MINUTE);
      const pods = Array.from({ length: 10 }, (_, k) => minute * 2 + k + 1);
      if (minute % 180 < 10) pods.push(0);
      const more = pods.map((i): Row => [pod(i), clock.nowMs(), i + minute]);
      rows.push(...more);
      expect((await writer.append(more)).status).toBe("stored");
      most = Math.max(most, db.report().seriesCount);
    }
    const { seriesCount, forgotten, catalogNumbers } = db.report();
    expect(most).toBeLessThan(100);
    expect(seriesCount).toBeLessThan(80);
    expect(forgotten).toBeGreaterThan(1300);
    // A number waits until the log has nothing of it: some windows.
    expect(catalogNumbers).toBeLessThan(300);
    expect(writer.forgotten).toBe(3);
    expect(contents(db)).toEqual(lines(rows));
    expect((await seriesOf(db, clock.nowMs())).length).toBe(12 * 60 * 2 - 2 + 10 + 1);
    await db.close();
    const next = await openDb(fs, { ...OPTIONS, clock });
    expect(next.report().seriesCount).toBeLessThan(150);
    expect(contents(next)).toEqual(lines(rows));
    await next.close();
  });

  test("neither labels nor samples of a query that is at work", async () => {
    const clock = new SimClock(NOW);
    const db = await openDb(new SimFileSystem(), { ...OPTIONS, clock });
    const writer = new Feed(db);
    const early = Array.from({ length: 5 }, (_, i): Row => [pod(i), NOW, i]);
    await writer.append(early);
    const reading = db.export(TENANT, []);
    const first = reading.next().value!;
    const rows = [...early];
    for (let minute = 0; minute < 300; minute++) {
      await clock.advance(MINUTE);
      const more = [minute, minute + 1].map((i): Row => [pod(100 + i), clock.nowMs(), i]);
      rows.push(...more);
      await writer.append(more);
    }
    const kept = [first, ...reading].map(({ labels, values }) => [labelsToRecord(labels), [...values]]);
    expect(kept).toEqual(early.map(([labels, , value]) => [labels, [value]]));
    // Its end lets go what waited for it.
    const { forgotten } = db.report();
    expect(forgotten).toBe(0);
    for (let minute = 300; minute < 500; minute++) {
      await clock.advance(MINUTE);
      const more = [minute, minute + 1].map((i): Row => [pod(100 + i), clock.nowMs(), i]);
      rows.push(...more);
      await writer.append(more);
    }
    expect(db.report().forgotten).toBeGreaterThan(200);
    expect(db.report().catalogNumbers).toBeLessThan(450);
    expect(contents(db)).toEqual(lines(rows));
    await db.close();
  });

  test(`${SEEDS} lives with churn, crashes, late samples and a harmed index hold what was written`, {
    timeout: 0,
  }, async () => {
    let reused = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed);
      const fs = new SimFileSystem();
      let clock = new SimClock(NOW);
      const pieceStore = new MemoryPieceStore();
      const want = new Map<string, string>();
      const open = () => openDb(fs, { ...OPTIONS, clock, pieceStore, random: new SeededRandom(random.u32()) });
      let db = await open();
      let writers = [new Feed(db), new Feed(db)];
      let made = 0;
      for (let step = 0; step < 250; step++) {
        await clock.advance(random.below(3 * MINUTE));
        made += random.below(4);
        const rows: Row[] = [];
        for (let n = random.below(15); n > 0; n--) {
          // Most are new, some old ones come back.
          const i = random.chance(0.9) ? made - random.below(8) : random.below(made + 1);
          const late = random.chance(0.1) ? random.below(30 * MINUTE) : 0;
          const row: Row = [pod(Math.max(0, i)), clock.nowMs() - late, random.below(1000) / 8];
          const key = JSON.stringify([row[0], row[1]]);
          if (want.has(key) || rows.some((other) => JSON.stringify([other[0], other[1]]) === key)) continue;
          rows.push(row);
        }
        if (rows.length > 0) {
          expect((await random.pick(writers).append(rows)).status).toBe("stored");
          for (const row of rows) want.set(JSON.stringify([row[0], row[1]]), line(row));
        }
        if (random.chance(0.02)) writers = [new Feed(db), ...writers.slice(0, 1)];
        if (random.chance(0.02) && pieceStore.values.size > 0)
          pieceStore.values.delete(random.pick([...pieceStore.values.keys()]));
        if (random.chance(0.03)) {
          reused += db.report().numbersReused;
          if (random.chance(0.5)) await db.close();
          else {
            fs.kill();
            clock = new SimClock(clock.nowMs());
          }
          db = await open();
          writers = [new Feed(db), new Feed(db)];
          expect([db.replayed.damage, db.damagedBlocks]).toEqual([[], []]);
        }
        if (!random.chance(0.05)) continue;
        const found = contents(db);
        expect(found, `seed ${seed}, step ${step}`).toEqual([...want.values()].sort());
        const texts = new Set(
          found.map((text) => labelsKey(labelsFromRecord(JSON.parse(text.slice(0, text.indexOf("}") + 1))))),
        );
        expect(await seriesOf(db, clock.nowMs()), `seed ${seed}, step ${step}`).toEqual([...texts].sort());
      }
      expect(contents(db), `seed ${seed}`).toEqual([...want.values()].sort());
      reused += db.report().numbersReused;
      await db.close();
    }
    expect(reused).toBeGreaterThan(20 * SEEDS);
  });
});
