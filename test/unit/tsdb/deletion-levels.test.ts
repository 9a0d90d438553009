// test/unit/tsdb/deletion-levels.test.ts: deletions and rows. While samples are there, every level's answer is that of what a deletion leaves of
// them; where rows are all there is, whole ones go, and a range that would cut one is refused before anything is hidden.
import { describe, expect, test } from "vitest";
import { readWhole, SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { InvalidError, type LevelChoice, labelsKey, type QueryContext } from "../../../libs/model/index.ts";
import { Engine } from "../../../libs/promql/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import { fanOutDeletions } from "../../../services/select/index.ts";
import { Feed, HOUR, openDb, type Row, settled, TENANT } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const MINUTE = 60_000;
const END = 19_710 * DAY;
const DAYS = 9;
const FOREVER = Number.MAX_SAFE_INTEGER;
const OPTIONS = {
  retentionMs: 30 * DAY,
  rowRetentionMs: { "1m": 60 * DAY, "1h": 400 * DAY },
  headMemoryBytes: 32 << 20,
  seriesMax: 1000,
} satisfies Partial<DbOptions>;
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e12,
};

/** Series 0 has samples on the full hour, 1 and 2 never; 3 comes so often that rows of a minute pay. */
const ROWS: readonly Row[] = (() => {
  const random = new SeededRandom(2);
  const rows: Row[] = [];
  for (let i = 0; i < 4; i++) {
    let value = 0;
    const begin = i === 3 ? END - 3 * DAY : END - DAYS * DAY;
    const end = i === 3 ? begin + 14 * HOUR : END;
    for (let time = begin + [MINUTE, 1000, 7000, 2000][i]!; time <= end; time += i === 3 ? 2000 : MINUTE) {
      value = i === 1 ? random.below(100_000) / 100 : value + random.below(90);
      rows.push([{ __name__: "d_total", i: `${i}` }, time, value]);
    }
  }
  return rows;
})();

async function append(db: Db, rows: readonly Row[]): Promise<void> {
  const feed = new Feed(db);
  const sorted = [...rows].sort((a, b) => a[1] - b[1]);
  for (let at = 0; at < sorted.length; at += 4000) await feed.append(sorted.slice(at, at + 4000));
  await feed.session.close();
}

/** A storage with rows of all days, on a clock of its own. */
class Life {
  readonly fs = new SimFileSystem();
  clock = new SimClock(END + 2 * HOUR);
  db!: Db;
  private lives = 0;
  private ids = 0;

  async open(options: Partial<DbOptions> = {}): Promise<this> {
    const random = new SeededRandom(++this.lives);
    this.db = await openDb(this.fs, { ...OPTIONS, ...options, clock: this.clock, random });
    expect([this.db.replayed.damage, this.db.damagedBlocks]).toEqual([[], []]);
    return this;
  }

  async filled(): Promise<this> {
    await this.open();
    await append(this.db, ROWS);
    await this.settled(this.db.flush());
    await this.settled(this.db.compact());
    expect(this.db.report().cuts.rows).toBeGreaterThan(0);
    return this;
  }

  /** Another process at a later time, which does what is due. */
  async later(nowMs: number, options: Partial<DbOptions> = {}): Promise<void> {
    await this.db.close();
    this.clock = new SimClock(nowMs);
    await this.open(options);
    await this.settled(this.db.compact());
  }

  settled<T>(work: Promise<T>): Promise<T> {
    return settled(this.clock, work, this.fs);
  }

  remove(i: number, minMs: number, maxMs: number) {
    const id = (++this.ids).toString(16).padStart(16, "0");
    const sets = [[{ type: "=", name: "i", value: `${i}` } as const]];
    return this.settled(
      this.db.deletable.deleteSeries({ id, tenant: TENANT, sets, selectors: [`{i="${i}"}`], minMs, maxMs }),
    );
  }

  get registry(): string {
    return Buffer.from(readWhole(this.fs, "/disk/data/blocks/registry.json")!).toString();
  }

  get levels(): string[] {
    const names = this.fs.list("/disk/data/blocks").filter((name) => name.endsWith(".tmb"));
    return [...new Set(names.map((name) => name.split("-")[0]!))].sort();
  }
}

const QUERIES = [
  "sum_over_time(d_total[1h])",
  "count_over_time(d_total[2h])",
  "rate(d_total[1h])",
  "max_over_time(d_total[3h])",
];

async function answers(db: Db, level: LevelChoice): Promise<unknown> {
  const engine = new Engine({ now: () => END });
  const out: unknown[] = [];
  for (const query of QUERIES) {
    const { value } = await engine.range(db.queryable, query, END - 8 * DAY, END, HOUR, context, { level });
    if (value.type !== "matrix") throw new Error("no matrix");
    const columns = value.columns.map(({ labels, values, present }) => {
      const points = [...values].map((v, s) => (present === null || present[s] === 1 ? v.toPrecision(10) : "none"));
      return `${labelsKey(labels)} ${points.join(" ")}`;
    });
    out.push([query, columns.sort()]);
  }
  return out;
}

/** What a storage that never made rows answers of all samples but these. */
async function wanted(without: (i: number, timeMs: number) => boolean): Promise<unknown> {
  const clock = new SimClock(END + 2 * HOUR);
  const db = await openDb(new SimFileSystem(), { ...OPTIONS, clock });
  await append(
    db,
    ROWS.filter(([labels, time]) => !without(Number(labels.i), time)),
  );
  const found = await answers(db, "raw");
  await db.close();
  return found;
}

async function expectAll(db: Db, what: unknown, levels: readonly LevelChoice[] = ["raw", "auto", "1h"]): Promise<void> {
  for (const level of levels) expect([level, await answers(db, level)]).toEqual([level, what]);
}

/** Inside rows at both ends. */
const FROM = END - 5 * DAY - 90 * MINUTE - 123;
const TO = END - 4 * DAY + 20 * MINUTE + 7;
const isIn =
  (one: number, minMs = FROM, maxMs = TO) =>
  (i: number, timeMs: number) =>
    i === one && timeMs >= minMs && timeMs <= maxMs;

describe("while the samples are there", () => {
  test("all levels answer what a deletion leaves of them; rows are remade when it is applied", async () => {
    const life = await new Life().filled();
    const [whole, left] = [await wanted(() => false), await wanted(isIn(0))];
    await expectAll(life.db, whole);
    const made = await life.remove(0, FROM, TO);
    await expectAll(life.db, left);
    await life.later(END + 3 * HOUR);
    await expectAll(life.db, left);
    await life.settled(life.db.deletable.undelete(TENANT, made!.id));
    await expectAll(life.db, whole);
    await life.remove(0, FROM, TO);
    await life.later(END + 2 * DAY);
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    const before = life.db.report().counters.leavesOf["1h"];
    await expectAll(life.db, left);
    expect(life.db.report().counters.leavesOf["1h"]).toBeGreaterThan(before);
    // Of a series that has rows of a minute.
    const [from, to] = [END - 3 * DAY + 100 * MINUTE + 5, END - 3 * DAY + 5 * HOUR + 77];
    await life.remove(3, from, to);
    const rest = await wanted((i, timeMs) => isIn(0)(i, timeMs) || isIn(3, from, to)(i, timeMs));
    await expectAll(life.db, rest, ["raw", "auto", "1m", "1h"]);
    await life.later(END + 4 * DAY);
    await expectAll(life.db, rest, ["raw", "auto", "1m", "1h"]);
    await life.db.close();
  });

  test("samples that expire before a deletion is applied stay until rows are remade without it", async () => {
    const life = await new Life().filled();
    const made = await life.remove(0, FROM, TO);
    const left = await wanted(isIn(0));
    // Past the retention of samples, and still to be undone.
    const retention = { retentionMs: 2 * DAY };
    await life.later(END + 20 * HOUR, retention);
    expect((await life.db.deletable.deletions(TENANT)).map(({ id }) => id)).toEqual([made!.id]);
    await expectAll(life.db, left, ["auto", "1h"]);
    await life.later(END + 4 * DAY, retention);
    expect(life.levels).toEqual(["1h", "1m"]);
    await expectAll(life.db, left, ["auto", "1h"]);
    await life.db.close();
  });
});

describe("where rows are all there is", () => {
  const alone = async (): Promise<Life> => {
    const life = await new Life().filled();
    await life.later(END + 12 * DAY, { retentionMs: 2 * DAY });
    expect(life.levels).toEqual(["1h", "1m"]);
    return life;
  };

  test("a range that cuts rows is refused, and nothing is hidden; the one that the answer names is taken", async () => {
    const life = await alone();
    const whole = await wanted(() => false);
    await expectAll(life.db, whole, ["auto", "1h"]);
    const refused = life.remove(0, FROM, TO);
    await expect(refused).rejects.toThrow(InvalidError);
    const text = await refused.catch((error: Error) => error.message);
    const [from, to] = [END - 5 * DAY - HOUR + 1, END - 4 * DAY];
    expect(text).toBe(
      `cannot delete series: got start=${new Date(FROM).toISOString()} and end=${new Date(TO).toISOString()}, inside a row of 1h whose ` +
        `samples are past --retention raw, so that only all of it can go; want start=${new Date(from).toISOString()} and end=${new Date(to).toISOString()}`,
    );
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    await expectAll(life.db, whole, ["auto", "1h"]);
    const made = await life.remove(0, from, to);
    const left = await wanted(isIn(0, from, to));
    await expectAll(life.db, left, ["auto", "1h"]);
    await life.later(END + 12 * DAY + HOUR, { retentionMs: 2 * DAY });
    await expectAll(life.db, left, ["auto", "1h"]);
    await life.settled(life.db.deletable.undelete(TENANT, made!.id));
    await expectAll(life.db, whole, ["auto", "1h"]);
    await life.remove(0, from, to);
    expect(life.registry).toContain('"tombstones"');
    await life.settled(life.db.deletable.cleanTombstones());
    expect(life.registry).not.toContain('"tombstones"');
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    await expectAll(life.db, left, ["auto", "1h"]);
    await life.later(END + 13 * DAY, { retentionMs: 2 * DAY });
    await expectAll(life.db, left, ["auto", "1h"]);
    await life.db.close();
  });

  test("whatever call of making, applying and undoing a deletion of rows a process dies at, the answer stays", async () => {
    const life = await alone();
    const [from, to] = [END - 5 * DAY - HOUR + 1, END - 4 * DAY];
    const [whole, left] = [await wanted(() => false), await wanted(isIn(0, from, to))];
    /** Dies at ever later calls of the work, until it is done. */
    const crashing = async (work: () => Promise<unknown>, found: () => Promise<void>): Promise<number> => {
      for (let stop = 1, crashes = 0; ; stop += 4, crashes++) {
        const end = life.fs.calls + stop;
        life.fs.faults = (call) => (call.number === end ? "crash" : undefined);
        const isDone = await work().then(
          () => true,
          () => false,
        );
        const { crashed } = life.fs;
        life.fs.faults = () => undefined;
        if (!crashed) {
          expect(isDone).toBe(true);
          return crashes;
        }
        life.fs.crash(new SeededRandom(stop));
        life.clock = new SimClock(life.clock.nowMs());
        await life.open({ retentionMs: 2 * DAY });
        await found();
      }
    };
    let id = "";
    const made = await crashing(
      async () => {
        id = (await life.remove(0, from, to))!.id;
      },
      async () => {
        const all = await life.db.deletable.deletions(TENANT);
        expect(await answers(life.db, "auto")).toEqual(all.length > 0 ? left : whole);
        for (const one of all) await life.settled(life.db.deletable.undelete(TENANT, one.id));
      },
    );
    expect(await answers(life.db, "auto")).toEqual(left);
    const undone = await crashing(
      async () => {
        const [one] = await life.db.deletable.deletions(TENANT);
        if (one !== undefined) await life.settled(life.db.deletable.undelete(TENANT, one.id));
      },
      async () => {
        const all = await life.db.deletable.deletions(TENANT);
        expect(await answers(life.db, "auto")).toEqual(all.length > 0 ? left : whole);
      },
    );
    expect([await answers(life.db, "auto"), id]).toEqual([whole, expect.stringMatching(/^[0-9a-f]{16}$/)]);
    await life.remove(0, from, to);
    const applied = await crashing(
      () => life.settled(life.db.deletable.cleanTombstones()),
      async () => expect(await answers(life.db, "auto")).toEqual(left),
    );
    expect(life.registry).not.toContain('"tombstones"');
    expect(await answers(life.db, "auto")).toEqual(left);
    expect(Math.min(made, undone, applied)).toBeGreaterThan(0);
    await life.db.close();
  });

  test("what one of several storages refuses is done on none of them", async () => {
    const [life, young] = [await alone(), await new Life().open()];
    await append(young.db, ROWS);
    const nodes = [life, young].map(({ db }, i) => ({ name: `storage-${i}`, deletable: db.deletable }));
    const request = { id: "00000000000000ff", tenant: TENANT, sets: [[]], selectors: ["{}"], minMs: FROM, maxMs: TO };
    const work = fanOutDeletions(nodes).deleteSeries(request);
    work.catch(() => undefined);
    for (let turn = 0; turn < 200; turn++) await Promise.all([life.clock.advance(1), young.clock.advance(1)]);
    await expect(work).rejects.toThrow(/inside a row of 1h/);
    for (const { db } of [life, young]) expect(await db.deletable.deletions(TENANT)).toEqual([]);
    await expectAll(young.db, await wanted(() => false), ["raw"]);
    await life.db.close();
    await young.db.close();
  });

  test("full hours cut no row that has no sample on them", async () => {
    const life = await alone();
    const [from, to] = [END - 5 * DAY, END - 5 * DAY + 3 * HOUR];
    await expect(life.remove(0, from, to)).rejects.toThrow(/want start=\S+T00:00:00.001Z$/);
    expect(await life.remove(1, from, to)).toMatchObject({ series: 1 });
    await expectAll(life.db, await wanted(isIn(1, from, to)), ["auto", "1h"]);
    await life.db.close();
  });

  test("series of which everything is deleted are gone, whether they have rows or samples that a level kept", async () => {
    const life = await alone();
    for (const i of [0, 1, 2, 3]) expect(await life.remove(i, -FOREVER, FOREVER)).toMatchObject({ series: 1 });
    const range = { minMs: 0, maxMs: FOREVER };
    expect(await life.settled(life.db.queryable.series([], range, 0, context))).toEqual([]);
    expect(life.registry).toContain('"tombstones"');
    await life.settled(life.db.deletable.cleanTombstones());
    expect(life.registry).not.toContain('"tombstones"');
    expect(await life.settled(life.db.queryable.series([], range, 0, context))).toEqual([]);
    await life.db.close();
  });
});
