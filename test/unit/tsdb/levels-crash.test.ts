// test/unit/tsdb/levels-crash.test.ts: crashes and full disks while rows are made, renewed and joined, and while samples expire behind them:
// whatever was done by then, the next process gives the same answers, and comes to the same end.
import { expect, test } from "vitest";
import { SeededRandom, SimClock, SimCrash, SimFileSystem } from "../../../libs/env/index.ts";
import type { QueryContext } from "../../../libs/model/index.ts";
import { Engine } from "../../../libs/promql/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import { DATA_DIR, Feed, HOUR, openDb, type Row, settled, TENANT } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const END = 19_710 * DAY;
const DAYS = 9;
const RETENTION = { retentionMs: 30 * DAY, rowRetentionMs: { "1m": 40 * DAY, "1h": 400 * DAY } };
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e12,
};

function draw(): Row[] {
  const random = new SeededRandom(1);
  const rows: Row[] = [];
  const values = [0, 0, 0];
  for (let time = END - DAYS * DAY + 30_000; time <= END; time += 60_000) {
    for (const i of [0, 1, 2]) {
      values[i] = i === 1 ? random.below(100_000) / 100 : i === 2 ? 5 : values[i]! + random.below(90);
      rows.push([{ __name__: "c_total", i: `${i}` }, time, values[i]!]);
    }
  }
  return rows;
}

/** Answers that whole rows make up. */
async function answers(db: Db): Promise<string> {
  const engine = new Engine({ now: () => END });
  const out: unknown[] = [];
  for (const query of ["rate(c_total[1h])", "max_over_time(c_total[2h])", "count_over_time(c_total[1d])", "c_total"]) {
    const start = END - DAYS * DAY + DAY;
    const { value, infos } = await engine.range(db.queryable, query, start, END, 2 * HOUR, context);
    if (value.type !== "matrix") throw new Error("no matrix");
    const rounded = value.columns.map(({ labels, values, present }) => [
      labels,
      [...values].map((v) => v.toPrecision(11)),
      present,
    ]);
    out.push([query, rounded, infos]);
  }
  return JSON.stringify(out);
}

/** Fails where an answer is not that of before. `ignored`: a sync call site that does nothing. */
async function liveThrough(seed: number, ignored?: string): Promise<void> {
  const random = new SeededRandom(seed);
  const fs = new SimFileSystem();
  if (ignored !== undefined) fs.ignoreSync((call) => call.site === ignored);
  const options: Partial<DbOptions> = { ...RETENTION, shardCount: 2, headMemoryBytes: 16 << 20 };
  let clock = new SimClock(END + 2 * HOUR);
  const rows = draw();
  let db = await openDb(fs, { ...options, clock });
  const feed = new Feed(db);
  for (let at = 0; at < rows.length; at += 3000) await feed.append(rows.slice(at, at + 3000));
  await settled(clock, db.flush());
  let wanted = await answers(db);
  let crashes = 0;

  /** Compacts until it is done, over crashes and full disks; answers are compared each time. */
  async function compactOverCrashes(nowMs: number): Promise<void> {
    await db.close();
    clock = new SimClock(nowMs);
    db = await openDb(fs, { ...options, clock, random: new SeededRandom(random.u32()) });
    for (let life = 0; ; life++) {
      let left = life > 60 ? Number.POSITIVE_INFINITY : 3 + random.below(90);
      const fault = random.chance(0.2) ? "ENOSPC" : "crash";
      fs.faults = (call) => {
        const counts = fault === "crash" || call.kind === "write";
        return counts && --left < 0 ? fault : undefined;
      };
      const error: unknown = await settled(clock, db.compact()).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      const ended = error === undefined && left > 0;
      fs.faults = () => undefined;
      if (!fs.crashed) {
        if (error !== undefined) expect(String(error)).toContain("cannot");
        expect(await answers(db)).toBe(wanted);
        await db.close();
      } else {
        crashes++;
        expect(error instanceof SimCrash || error instanceof Error).toBe(true);
        fs.crash(random);
      }
      clock = new SimClock(nowMs);
      db = await openDb(fs, { ...options, clock, random: new SeededRandom(random.u32()) });
      expect([db.damagedBlocks, db.replayed.damage]).toEqual([[], []]);
      expect(await answers(db)).toBe(wanted);
      if (ended) return;
    }
  }

  const files = (level: string): number =>
    fs.list(`${DATA_DIR}/blocks`).filter((name) => name.startsWith(`${level}-`) && name.endsWith(".tmb")).length;
  await compactOverCrashes(END + 2 * HOUR);
  const shards = files("raw") / DAYS;
  expect(files("1m")).toBe(DAYS * shards);
  // Eight days and more of rows of an hour are joined.
  expect(files("1h")).toBeLessThan(DAYS * shards);
  // Late samples: their days' rows are renewed, joined ones included.
  const late = new Feed(db);
  await late.append([
    [{ __name__: "c_total", i: "0" }, END - 3 * DAY + 1, 1e6],
    [{ __name__: "c_total", i: "1" }, END - 5 * DAY - HOUR, 2e6],
  ]);
  const before = wanted;
  wanted = await answers(db);
  expect(wanted).not.toBe(before);
  await settled(clock, db.flush());
  expect(await answers(db)).toBe(wanted);
  await compactOverCrashes(END + 3 * HOUR);
  expect(db.report().levels.find(({ level }) => level === "raw")!.count).toBe(DAYS * shards);
  // Samples expire, then rows of a minute.
  await compactOverCrashes(END + 31 * DAY);
  expect(files("raw")).toBe(0);
  await compactOverCrashes(END + 41 * DAY);
  expect([files("raw"), files("1m")]).toEqual([0, 0]);
  expect(crashes).toBeGreaterThan(5);
  await db.close();
}

test("rows are made, renewed and outlive their samples, whatever the crashes", { timeout: 180_000 }, async () => {
  await liveThrough(Number(process.env.FUZZ_SEED ?? 8));
});

test("without the sync of their files crashes would be noticed", { timeout: 180_000 }, async () => {
  let noticed = false;
  for (let seed = 1; seed <= 20 && !noticed; seed++) {
    noticed = await liveThrough(seed, "level-block-file").then(
      () => false,
      () => true,
    );
  }
  expect(noticed).toBe(true);
});
