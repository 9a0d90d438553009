// test/unit/tsdb/side-cut.test.ts: stores of side data become files, with the heads or without them; files are merged by day, expire, and
// are told of when they are damaged; nothing is lost on the way, whenever the process ends.
import fc from "fast-check";
import { expect, test } from "vitest";
import { type SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { type Labels, labelsFromRecord } from "../../../libs/model/index.ts";
import { isEmptySide, mergeSide, NO_SIDE, type SideSeries } from "../../../libs/side/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import type { DbState } from "../../../libs/tsdb/state.ts";
import { anySide } from "../side/any-side.ts";
import { DATA_DIR, HOUR, NOW, openDb, settled } from "./db-fixture.ts";
import { appendSide, sideOf } from "./side-fixture.ts";

const SERIES = ["a", "b", "c"].map((name) => labelsFromRecord({ __name__: name, job: "j", instance: name }));
const stateOf = (db: Db): DbState => (db as unknown as { readonly state: DbState }).state;
const clockOf = (db: Db): SimClock => stateOf(db).clock as SimClock;
const files = (fs: SimFileSystem): string[] =>
  fs.stat(`${DATA_DIR}/side`) === undefined ? [] : fs.list(`${DATA_DIR}/side`);

/** Moved to times that a storage takes: before NOW, over some hours around midnight. */
function shifted({ histograms, exemplars, starts }: SideSeries, hours: number): SideSeries {
  const later = <T extends { readonly timeMs: number }>(list: readonly T[]): T[] =>
    list.map((item) => ({ ...item, timeMs: NOW - hours * HOUR + item.timeMs }));
  return { histograms: later(histograms), exemplars: later(exemplars), starts: later(starts) };
}

const OPTIONS = { retentionMs: 100 * 24 * HOUR };

test("what was put is there after cuts, merges and restarts, once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: fc.tuple(fc.nat(2), anySide, fc.integer({ min: 1, max: 30 })) },
          { weight: 2, arbitrary: fc.constantFrom("flush", "restart", "compact") },
        ),
        { minLength: 2, maxLength: 10 },
      ),
      async (steps) => {
        const fs = new SimFileSystem();
        let db = await openDb(fs, OPTIONS);
        const wanted = new Map<Labels, SideSeries>();
        for (const step of steps) {
          if (step === "flush") await settled(clockOf(db), db.flush());
          else if (step === "compact") await settled(clockOf(db), db.compact());
          else if (step === "restart") {
            await db.close();
            db = await openDb(fs, OPTIONS);
            expect(db.replayed.damage).toEqual([]);
            expect(db.damagedBlocks).toEqual([]);
          } else {
            const labels = SERIES[step[0]]!;
            const side = shifted(step[1], step[2]);
            expect(await settled(clockOf(db), appendSide(db, [[labels, side]]))).toEqual({ rejections: [] });
            wanted.set(labels, mergeSide([wanted.get(labels) ?? NO_SIDE, side]));
          }
          for (const [labels, side] of wanted) expect(sideOf(db, labels)).toEqual(side);
        }
        await settled(clockOf(db), db.flush());
        await settled(clockOf(db), db.compact());
        const { side } = stateOf(db);
        expect(side.windows.stores).toEqual([]);
        // Days that are over have a file for each shard.
        const days = side.files.map(({ shard, minMs }) => `${shard} ${minMs}`);
        const over = days.filter((_, i) => side.files[i]!.maxMs + HOUR < NOW);
        expect(new Set(over).size).toBe(over.length);
        for (const [labels, whole] of wanted) if (!isEmptySide(whole)) expect(sideOf(db, labels)).toEqual(whole);
        await db.close();
      },
    ),
    { numRuns: 12 },
  );
});

const one = (timeMs: number): SideSeries => ({ ...NO_SIDE, histograms: [{ timeMs, histogram: undefined }] });

test("the log of what is in files goes, and histograms that came late are cut without any floats", async () => {
  const fs = new SimFileSystem();
  const db = await openDb(fs, OPTIONS);
  await appendSide(db, [[SERIES[0]!, one(NOW - 1000)]]);
  await settled(clockOf(db), db.flush());
  const count = files(fs).length;
  await settled(clockOf(db), appendSide(db, [[SERIES[0]!, one(NOW - 2000)]]));
  for (let i = 0; i < 6; i++) await settled(clockOf(db), db.flush());
  expect(files(fs).length).toBe(count + 1);
  expect(fs.list(`${DATA_DIR}/wal`)[0]).not.toBe("00000001.wal");
  await db.close();
  const next = await openDb(fs, OPTIONS);
  expect(sideOf(next, SERIES[0]!).histograms.length).toBe(2);
  await next.close();
});

test("windows end by the clock", async () => {
  const fs = new SimFileSystem();
  const db = await openDb(fs, OPTIONS);
  await appendSide(db, [[SERIES[0]!, one(NOW - 1000)]]);
  for (let minutes = 0; minutes < 150 && files(fs).length === 0; minutes++) await clockOf(db).advance(60_000);
  expect(files(fs).length).toBe(1);
  expect(stateOf(db).side.windows.stores).toEqual([]);
  await db.close();
});

test("files expire with raw samples", async () => {
  const fs = new SimFileSystem();
  const db = await openDb(fs, { retentionMs: 24 * HOUR });
  await appendSide(db, [[SERIES[0]!, one(NOW - 20 * HOUR)]]);
  await settled(clockOf(db), db.flush());
  expect(files(fs).length).toBe(1);
  await clockOf(db).advance(49 * HOUR);
  await settled(clockOf(db), db.compact());
  expect(files(fs)).toEqual([]);
  await db.close();
});

test("on a small disk the oldest files go, and what is as old is seen no more", async () => {
  const fs = new SimFileSystem();
  let db = await openDb(fs, OPTIONS);
  for (const hours of [60, 30, 1]) await settled(clockOf(db), appendSide(db, [[SERIES[0]!, one(NOW - hours * HOUR)]]));
  await settled(clockOf(db), db.flush());
  expect(files(fs).length).toBe(3);
  const { sizeBytes } = db.report().side;
  await db.close();
  db = await openDb(fs, { ...OPTIONS, retentionBytes: sizeBytes - 1 });
  await settled(clockOf(db), db.compact());
  expect(sideOf(db, SERIES[0]!).histograms.map(({ timeMs }) => timeMs)).toEqual([NOW - 30 * HOUR, NOW - HOUR]);
  expect([files(fs).length, db.report().cuts.shrunk]).toEqual([2, 1]);
  expect(db.report().cutoffMs).toBeLessThan(NOW - 30 * HOUR);
  expect(db.report().cutoffMs).toBeGreaterThan(NOW - 60 * HOUR);
  await db.close();
});

test("a damaged file is told of, and the rest is served; drafts and merged files are removed", async () => {
  const fs = new SimFileSystem();
  let db = await openDb(fs, OPTIONS);
  await appendSide(db, [[SERIES[0]!, one(NOW - 1000)]]);
  await settled(clockOf(db), db.flush());
  await settled(clockOf(db), appendSide(db, [[SERIES[0]!, one(NOW - 2000)]]));
  await settled(clockOf(db), db.flush());
  const [first, second] = files(fs);
  await db.close();
  const path = `${DATA_DIR}/side/${first}`;
  const file = fs.open(path, "update");
  const last = new Uint8Array(20);
  file.read(last, file.sizeBytes() - 20);
  file.write(
    last.map((byte) => byte ^ 1),
    file.sizeBytes() - 20,
  );
  file.close();
  fs.open(`${DATA_DIR}/side/${second}.tmp`, "create").close();
  const problems: string[] = [];
  db = await openDb(fs, { ...OPTIONS, onProblem: (problem) => problems.push(problem) });
  expect(problems).toEqual([expect.stringContaining(`${first}: cannot open side file`)]);
  expect(sideOf(db, SERIES[0]!).histograms.length).toBe(1);
  expect(files(fs)).toEqual([second]);
  expect(fs.list(`${DATA_DIR}/quarantine`)).toEqual([first]);
  expect(db.damagedBlocks).toEqual([first]);
  await db.close();
});

test("much of it goes into files before its window ends, and is there once, after a restart as well", async () => {
  const fs = new SimFileSystem();
  let db = await openDb(fs, OPTIONS);
  const starts = Array.from({ length: 4000 }, (_, i) => ({ timeMs: NOW - 4000 + i, startMs: i }));
  for (const labels of SERIES) await appendSide(db, [[labels, { ...NO_SIDE, starts }]]);
  const before = stateOf(db).side.windows.sizeBytes;
  expect(before).toBeGreaterThan(1 << 19);
  await clockOf(db).advance(6000);
  for (let i = 0; i < 100 && stateOf(db).side.windows.sizeBytes > 0; i++) await clockOf(db).advance(1);
  expect(stateOf(db).side.windows.stores).toEqual([]);
  expect(files(fs).length).toBeGreaterThan(0);
  for (const labels of SERIES) expect(sideOf(db, labels)).toEqual({ ...NO_SIDE, starts });
  await appendSide(db, [[SERIES[0]!, one(NOW)]]);
  await db.close();
  db = await openDb(fs, OPTIONS);
  expect(sideOf(db, SERIES[0]!)).toEqual({ ...NO_SIDE, starts, ...{ histograms: one(NOW).histograms } });
  expect(sideOf(db, SERIES[1]!)).toEqual({ ...NO_SIDE, starts });
  await db.close();
});

test("a full disk keeps it in memory", async () => {
  const fs = new SimFileSystem();
  const db = await openDb(fs, OPTIONS);
  const starts = Array.from({ length: 8000 }, (_, i) => ({ timeMs: NOW - 8000 + i, startMs: i }));
  await appendSide(db, [[SERIES[0]!, { ...NO_SIDE, starts }]]);
  fs.faults = (call) => (call.kind === "write" && call.path.includes("/side/") ? "ENOSPC" : undefined);
  await clockOf(db).advance(6000);
  expect(sideOf(db, SERIES[0]!).starts.length).toBe(8000);
  expect(files(fs)).toEqual([]);
  fs.faults = () => undefined;
  await clockOf(db).advance(6000);
  for (let i = 0; i < 100 && files(fs).length === 0; i++) await clockOf(db).advance(1);
  expect(stateOf(db).side.windows.stores).toEqual([]);
  expect(sideOf(db, SERIES[0]!).starts.length).toBe(8000);
  await db.close();
});
