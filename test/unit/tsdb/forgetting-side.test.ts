// test/unit/tsdb/forgetting-side.test.ts: numbers pass from forgotten series to others while series have histograms, exemplars and start times, in
// memory and in files: none is lost, and none is given to another series.
import fc from "fast-check";
import { expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { type Labels, labelsFromRecord, labelsKey } from "../../../libs/model/index.ts";
import { isEmptySide, mergeSide, NO_SIDE, type SideSeries } from "../../../libs/side/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import type { DbState } from "../../../libs/tsdb/state.ts";
import { anySide } from "../side/any-side.ts";
import { Feed, HOUR, type LabelRecord, line, NOW, openDb, type Row, settled, TENANT } from "./db-fixture.ts";
import { appendSide } from "./side-fixture.ts";

const MINUTE = 60_000;
const OPTIONS = {
  ...{ retentionMs: 30 * 24 * HOUR, headMemoryBytes: 4 << 20, walSegmentBytes: 64 << 10 },
  ...{ windowMs: 10 * MINUTE, lateWindowMs: 2 * MINUTE },
};
const SEEDS = Number(process.env.FUZZ_RUNS ?? 6);

const pod = (i: number): LabelRecord => ({ __name__: `m${i % 3}`, pod: `pod-${i}` });
const stateOf = (db: Db): DbState => (db as unknown as { readonly state: DbState }).state;

/** Moved into the hour before a time. */
function before({ histograms, exemplars, starts }: SideSeries, nowMs: number): SideSeries {
  const moved = <T extends { readonly timeMs: number }>(list: readonly T[]): T[] =>
    list.map((item) => ({ ...item, timeMs: nowMs - HOUR + item.timeMs }));
  return { histograms: moved(histograms), exemplars: moved(exemplars), starts: moved(starts) };
}

/** All samples as lines, and the side data of each series that has any. */
function everything(db: Db): { floats: string[]; side: Map<string, SideSeries> } {
  const floats: string[] = [];
  const side = new Map<string, SideSeries>();
  for (const one of db.export(TENANT, [])) {
    const labels = Object.fromEntries(
      one.labels.flatMap((text, i) => (i % 2 === 0 ? [[text, one.labels[i + 1]!]] : [])),
    ) as LabelRecord;
    one.times.forEach((timeMs, i) => {
      floats.push(line([labels, timeMs, one.values[i]!]));
    });
    if (!isEmptySide(one.side)) side.set(labelsKey(one.labels), one.side);
  }
  return { floats: floats.sort(), side };
}

test(`${SEEDS} lives: series keep their side data, and their numbers, while those of others pass on`, {
  timeout: 0,
}, async () => {
  let reused = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed);
    const sides = fc.sample(anySide, { seed, numRuns: 200 });
    const fs = new SimFileSystem();
    let clock = new SimClock(NOW);
    const open = () => openDb(fs, { ...OPTIONS, clock, random: new SeededRandom(random.u32()) });
    let db = await open();
    let writer = new Feed(db);
    const floats = new Map<string, string>();
    const side = new Map<string, SideSeries>();
    let made = 0;
    const check = (about: string): void => {
      const found = everything(db);
      expect(found.floats, about).toEqual([...floats.values()].sort());
      expect([...found.side.keys()].sort(), about).toEqual([...side.keys()].sort());
      for (const [key, wanted] of side) expect(found.side.get(key), about).toEqual(wanted);
    };
    for (let step = 0; step < 200; step++) {
      const about = `seed ${seed}, step ${step}`;
      await clock.advance(random.below(3 * MINUTE));
      made += random.below(4);
      const rows: Row[] = [];
      for (let n = random.below(10); n > 0; n--) {
        const row: Row = [pod(Math.max(0, made - random.below(8))), clock.nowMs(), random.below(1000) / 8];
        const key = JSON.stringify([row[0], row[1]]);
        if (floats.has(key) || rows.some((other) => JSON.stringify([other[0], other[1]]) === key)) continue;
        rows.push(row);
      }
      if (rows.length > 0) expect((await writer.append(rows)).status, about).toBe("stored");
      for (const row of rows) floats.set(JSON.stringify([row[0], row[1]]), line(row));
      if (random.chance(0.3)) {
        // Of a new series, which may have no floats, or of an old one, which may be forgotten.
        const i = random.chance(0.7) ? made - random.below(8) : random.below(made + 1);
        const labels: Labels = labelsFromRecord(pod(Math.max(0, i)));
        const news = before(random.pick(sides), clock.nowMs());
        const whole = mergeSide([side.get(labelsKey(labels)) ?? NO_SIDE, news]);
        expect(await settled(clock, appendSide(db, [[labels, news]])), about).toEqual({ rejections: [] });
        if (!isEmptySide(whole)) side.set(labelsKey(labels), whole);
      }
      if (random.chance(0.05)) await settled(clock, db.compact());
      // As when memory is short.
      if (random.chance(0.02)) for (const file of stateOf(db).side.files) if (!file.isInUse) file.drop();
      if (random.chance(0.03)) {
        reused += db.report().numbersReused;
        if (random.chance(0.5)) await db.close();
        else {
          fs.kill();
          clock = new SimClock(clock.nowMs());
        }
        db = await open();
        writer = new Feed(db);
        expect([db.replayed.damage, db.damagedBlocks], about).toEqual([[], []]);
      }
      if (random.chance(0.05)) check(about);
    }
    check(`seed ${seed}`);
    reused += db.report().numbersReused;
    await db.close();
  }
  expect(reused).toBeGreaterThan(10 * SEEDS);
});

test("a series stays as long as memory knows it by its number, and comes back with what files have of it", async () => {
  const clock = new SimClock(NOW);
  const db = await openDb(new SimFileSystem(), { ...OPTIONS, clock });
  const writer = new Feed(db);
  const labels = labelsFromRecord({ __name__: "h", pod: "first" });
  const [sample] = fc.sample(
    anySide.filter(({ histograms }) => histograms.length > 3),
    { seed: 1, numRuns: 1 },
  );
  const wanted = before(sample!, NOW);
  await settled(clock, appendSide(db, [[labels, wanted]]));
  const churn = async (minutes: number): Promise<void> => {
    for (let minute = 0; minute < minutes; minute++) {
      await clock.advance(MINUTE);
      await writer.append([[pod(Math.floor(clock.nowMs() / MINUTE) % 1e6), clock.nowMs(), minute]]);
    }
  };
  const { catalog, side } = stateOf(db);
  const isLive = (): boolean => catalog.index.select(TENANT, [{ type: "=", name: "__name__", value: "h" }]).length > 0;
  await churn(60);
  expect(side.files.length).toBeGreaterThan(0);
  for (const file of side.files) file.load();
  const forgotten = db.report().forgotten;
  await churn(120);
  // Others are forgotten, this one is known to the table of a file.
  expect(db.report().forgotten).toBeGreaterThan(forgotten + 50);
  expect(side.files.some((file) => file.keptBytes > 0)).toBe(true);
  expect(isLive()).toBe(true);
  for (const file of side.files) file.drop();
  await churn(60);
  expect(isLive()).toBe(false);
  expect(db.report().numbersReused).toBeGreaterThan(0);
  expect(everything(db).side).toEqual(new Map([[labelsKey(labels), wanted]]));
  expect(isLive()).toBe(true);
  await db.close();
});
