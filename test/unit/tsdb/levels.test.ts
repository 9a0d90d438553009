// test/unit/tsdb/levels.test.ts: queries give the same answer from rows as from samples: aligned ones at any level, before and after late
// samples, restarts and renewal; others say what they are once samples have expired.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { MemoryPieceStore } from "../../../libs/index/index.ts";
import { type LevelChoice, labelsKey, type QueryContext } from "../../../libs/model/index.ts";
import { Engine, type QueryResult } from "../../../libs/promql/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import type { DbState } from "../../../libs/tsdb/state.ts";
import { Feed, HOUR, openDb, type Row, TENANT } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const MINUTE = 60_000;
const STALE = 0x7ff0000000000002n;
/** The end of the days with data. */
const END = 19_700 * DAY;
const DAYS = 3;
const CASES = Number(process.env.FUZZ_RUNS ?? 120);
const OPTIONS = {
  retentionMs: 30 * DAY,
  rowRetentionMs: { "1m": 60 * DAY, "1h": 90 * DAY },
  headMemoryBytes: 32 << 20,
  seriesMax: 1000,
} satisfies Partial<DbOptions>;
const stateOf = (db: Db): DbState => (db as unknown as { readonly state: DbState }).state;
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e12,
};

/** Lets the work of a storage go on until it settles. */
async function settle<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let done = false;
  const mark = work.finally(() => {
    done = true;
  });
  mark.catch(() => undefined);
  while (!done) await clock.advance(0);
  return mark;
}

/** Samples of three days: what pays as rows and what doesn't, odd values, gaps, boundaries. */
function drawRows(random: SeededRandom): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < 16; i++) {
    const labels = { __name__: `m${i % 4}_total`, host: `h${i % 3}`, i: `${i}` };
    // Some come so often that rows of a minute pay, for two hours of each day.
    const isDense = i >= 13;
    const step = isDense ? 2000 : i % 5 === 4 ? 7 * MINUTE : 30_000;
    const odd = i % 4 === 3;
    const offset = i % 3 === 0 ? 0 : random.below(step);
    let value = random.below(1000);
    for (let time = END - DAYS * DAY + offset + (i % 3 === 0 ? step : 1); time <= END; time += step) {
      if (odd && random.chance(0.002)) time += random.below(3 * HOUR);
      if (isDense && (time - 1) % DAY > (2 + i) * HOUR) time += 22 * HOUR - (time % step);
      if (time > END) break;
      if (i === 5) value = 7;
      else if (i % 2 === 0) value = random.chance(0.002) ? random.below(5) : value + random.below(100) + 1 / 3;
      else value = (random.below(2_000_000) - 1_000_000) / 1000;
      const special = odd && random.chance(0.01);
      rows.push([labels, time, special ? (random.chance(0.5) ? STALE : Number.NaN) : value]);
    }
  }
  return rows;
}

async function append(db: Db, rows: readonly Row[]): Promise<void> {
  const feed = new Feed(db);
  // In the order in which scrapes would bring them.
  const sorted = [...rows].sort((a, b) => a[1] - b[1]);
  for (let at = 0; at < sorted.length; at += 2000) await feed.append(sorted.slice(at, at + 2000));
  await feed.session.close();
}

const FUNCTIONS = [
  "rate(X[R])",
  "increase(X[R])",
  "delta(X[R])",
  "sum_over_time(X[R])",
  "avg_over_time(X[R])",
  "count_over_time(X[R])",
  "min_over_time(X[R])",
  "max_over_time(X[R])",
  "first_over_time(X[R])",
  "last_over_time(X[R])",
  "present_over_time(X[R])",
  "ts_of_last_over_time(X[R])",
  "X",
  "timestamp(X)",
  "sum by (host) (rate(X[R]))",
  "avg by (__name__) (X)",
  "count by (host) (X)",
  "max without (i) (max_over_time(X[R]))",
  "count(rate(X[R]) > 0)",
  "irate(X[R])",
  "quantile_over_time(0.5, X[R])",
];

interface Case {
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

function drawCase(random: SeededRandom): Case {
  const unit = random.chance(0.6) ? HOUR : MINUTE;
  const range = unit * (1 + random.below(unit === HOUR ? 30 : 20));
  const selector = random.chance(0.2) ? '{i="5"}' : `{__name__=~"m[0-${random.below(4)}].*"}`;
  const offset = random.chance(0.2) ? ` offset ${unit === HOUR ? "2h" : "3m"}` : "";
  const text = FUNCTIONS[random.below(FUNCTIONS.length)]!;
  const query = text.replaceAll("X[R]", `${selector}[${range / 1000}s]${offset}`).replaceAll("X", selector + offset);
  const span = unit === HOUR ? 4 * 24 : 300;
  const startMs = END - DAYS * DAY - 2 * HOUR + unit * random.below((DAYS * DAY) / unit);
  return { query, startMs, endMs: startMs + unit * random.below(span), stepMs: unit * (1 + random.below(6)) };
}

function ask(db: Db, { query, startMs, endMs, stepMs }: Case, level: LevelChoice): Promise<QueryResult> {
  const engine = new Engine({ now: () => END });
  return engine.range(db.queryable, query, startMs, endMs, stepMs, context, { level });
}

/** Series and points, in an order of their own. */
function pointsOf({ value }: QueryResult): Map<string, (number | undefined)[]> {
  if (value.type !== "matrix") throw new Error("no matrix");
  return new Map(
    value.columns.map(({ labels, values, present }) => [
      labelsKey(labels),
      Array.from(values, (v, s) => (present === null || present[s] === 1 ? v : undefined)),
    ]),
  );
}

const isClose = (a: number | undefined, b: number | undefined): boolean => {
  if (a === undefined || b === undefined) return a === b;
  return Object.is(a, b) || Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b), 1e4);
};

function expectSame(got: QueryResult, wanted: QueryResult, name: string): void {
  const [a, b] = [pointsOf(got), pointsOf(wanted)];
  expect([name, [...a.keys()].sort()]).toEqual([name, [...b.keys()].sort()]);
  for (const [key, values] of b) {
    values.forEach((value, s) => {
      if (!isClose(a.get(key)![s], value)) expect([name, key, s, a.get(key)![s]]).toEqual([name, key, s, value]);
    });
  }
  expect([name, got.infos]).toEqual([name, wanted.infos]);
}

async function compare(db: Db, random: SeededRandom, cases: number): Promise<void> {
  for (let i = 0; i < cases; i++) {
    const one = drawCase(random);
    const wanted = await ask(db, one, "raw");
    const name = JSON.stringify(one);
    expectSame(await ask(db, one, "auto"), wanted, name);
    // A rollup that reads no rows, or windows of fewer than an hour, would be an estimate.
    if (!/irate|quantile/.test(one.query)) expectSame(await ask(db, one, "1m"), wanted, `1m ${name}`);
  }
}

describe("levels", () => {
  test("give the answer of samples, also with late ones, after their renewal and after restarts", async () => {
    const random = new SeededRandom(11);
    const fs = new SimFileSystem();
    const clock = new SimClock(END + 2 * HOUR);
    let db = await openDb(fs, { ...OPTIONS, clock });
    await append(db, drawRows(random));
    await settle(clock, db.flush());
    await settle(clock, db.compact());
    const { cuts } = db.report();
    expect(cuts.rows).toBeGreaterThan(0);
    await compare(db, random, CASES);
    const { leavesOf } = db.report().counters;
    expect(leavesOf["1h"]).toBeGreaterThan(CASES / 10);
    expect(leavesOf["1m"]).toBeGreaterThan(CASES / 10);
    // Late samples in a head, then in blocks beside the day's, then merged with renewed rows.
    const late = drawRows(new SeededRandom(5))
      .filter(([, time]) => time > END - 2 * DAY && time < END - 2 * DAY + 5 * HOUR && random.chance(0.1))
      .map(([labels, time, value]): Row => [labels, time + 7, value]);
    await append(db, late);
    await compare(db, random, CASES / 4);
    await settle(clock, db.flush());
    await compare(db, random, CASES / 4);
    await db.close();
    db = await openDb(fs, { ...OPTIONS, clock });
    expect(db.damagedBlocks).toEqual([]);
    await compare(db, random, CASES / 4);
    await settle(clock, db.compact());
    expect(db.report().cuts.rows).toBeGreaterThan(0);
    const before = { ...db.report().counters.leavesOf };
    await compare(db, random, CASES / 4);
    expect(db.report().counters.leavesOf["1h"]).toBeGreaterThan(before["1h"]);
    await db.close();
  });
});

describe("levels of which samples have expired", () => {
  /** Series over three days: two that pay as rows of an hour, a constant, a sparse one, and one that pays as rows of a minute. */
  const rows = (): Row[] => {
    const random = new SeededRandom(3);
    const all: Row[] = [];
    for (let i = 0; i < 5; i++) {
      let value = 0;
      const step = [15_000, 15_000, 15_000, 50 * MINUTE, 2000][i]!;
      const begin = i === 4 ? END - 14 * HOUR : END - DAYS * DAY;
      for (let time = begin + step; time <= END; time += step) {
        value = i === 2 ? 7 : i === 1 ? random.below(1_000_000) / 1000 : value + random.below(50);
        all.push([{ __name__: "e_total", i: `${i}` }, time, value]);
      }
    }
    return all;
  };

  /** Ten days later, under a retention that has let the samples go; and a storage that has them still. */
  async function aged(retention: Partial<DbOptions>): Promise<{ db: Db; young: Db; fs: SimFileSystem }> {
    const [fs, other] = [new SimFileSystem(), new SimFileSystem()];
    const clock = new SimClock(END + 2 * HOUR);
    const young = await openDb(other, { ...OPTIONS, clock });
    await append(young, rows());
    let db = await openDb(fs, { ...OPTIONS, clock });
    await append(db, rows());
    await settle(clock, db.flush());
    await settle(clock, db.compact());
    await db.close();
    const later = new SimClock(END + 10 * DAY);
    db = await openDb(fs, { ...OPTIONS, ...retention, clock: later });
    await settle(later, db.compact());
    return { db, young, fs };
  }

  const levelsOn = (fs: SimFileSystem): string[] => {
    const names = fs.list("/disk/data/blocks").filter((name) => name.endsWith(".tmb"));
    return [...new Set(names.map((name) => name.split("-")[0]!))].sort();
  };
  const hourly = (query: string): Case => ({ query, startMs: END - 2 * DAY, endMs: END - HOUR, stepMs: HOUR });
  const odd = (query: string): Case => ({ ...hourly(query), startMs: END - 2 * DAY + 1234 });
  const ALIGNED = [
    "rate(e_total[1h])",
    "sum_over_time(e_total[2h])",
    "max_over_time(e_total[1h])",
    "avg_over_time(e_total[3h])",
    "e_total",
    "sum by (i) (increase(e_total[6h]))",
    "last_over_time(e_total[10m])",
  ];

  async function expectAligned(db: Db, young: Db): Promise<void> {
    for (const query of ALIGNED)
      expectSame(await ask(db, hourly(query), "auto"), await ask(young, hourly(query), "raw"), query);
  }

  test("what has no rows of a minute is kept as samples, and answered from them", async () => {
    const { db, young, fs } = await aged({ retentionMs: 3 * DAY });
    expect(levelsOn(fs)).toEqual(["1h", "1m"]);
    await expectAligned(db, young);
    for (const query of ["rate(e_total[7m])", "quantile_over_time(0.9, e_total[1h])", "e_total", "e_total[10m]"]) {
      const matched = query.replace("e_total", 'e_total{i!="4"}');
      const at = END - DAY + 4321;
      const engine = new Engine({ now: () => END });
      const [got, wanted] = [
        await engine.instant(db.queryable, matched, at, context),
        await engine.instant(young.queryable, matched, at, context),
      ];
      expect([query, got.value, got.infos]).toEqual([query, wanted.value, wanted.infos]);
    }
    const dense = odd('rate(e_total{i="4"}[5m])');
    const [got, wanted] = [await ask(db, dense, "auto"), await ask(young, dense, "raw")];
    expect(got.infos).toEqual([
      "PromQL info: answered at a resolution of 1m: finer samples of a part of its range have expired, " +
        "and its windows are not made of whole rows (1:6)",
    ]);
    const [found, exact] = [[...pointsOf(got).values()][0]!, [...pointsOf(wanted).values()][0]!];
    let compared = 0;
    exact.forEach((value, s) => {
      if (value === undefined || found[s] === undefined) return;
      compared++;
      expect(Math.abs(found[s] / value - 1)).toBeLessThan(0.2);
    });
    expect(compared).toBeGreaterThan(9);
    await db.close();
    await young.close();
  });

  test("levels expire one after the other; what has no rows stays as samples until the last goes", async () => {
    const retention = { retentionMs: 3 * DAY, rowRetentionMs: { "1m": 4 * DAY, "1h": 30 * DAY } };
    const { db, young, fs } = await aged(retention);
    expect(levelsOn(fs)).toEqual(["1h"]);
    await expectAligned(db, young);
    const info =
      "PromQL info: answered at a resolution of 1h: finer samples of a part of its range have expired, " +
      "and its windows are not made of whole rows";
    for (const query of ["rate(e_total[1h])", "increase(e_total[1h])", "avg_over_time(e_total[1h])"]) {
      const place = ` (1:${query.indexOf("e_total") + 1})`;
      const got = await ask(db, odd(query), "auto");
      expect(got.infos).toEqual([info + place]);
      // What rises steadily is estimated well, the constant is as it was.
      const [found, wanted] = [pointsOf(got), pointsOf(await ask(young, odd(query), "raw"))];
      expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
      for (const [key, values] of wanted) {
        if (!/[02]$/.test(key)) continue;
        values.forEach((value, s) => {
          const estimate = found.get(key)![s];
          if (value === 0) expect(estimate).toBe(0);
          else if (query.startsWith("avg") && key.includes("2")) expect(estimate).toBe(value);
          else if (s > 2) expect(Math.abs(estimate! / value! - 1)).toBeLessThan(0.1);
        });
      }
    }
    // One value each where the query looks for the last, an hour old at most.
    expect(pointsOf(await ask(db, odd("e_total"), "auto")).size).toBe(5);
    expect((await ask(db, odd("quantile_over_time(0.5, e_total[1h])"), "auto")).infos.length).toBe(1);
    await db.close();
    const clock = new SimClock(END + 40 * DAY);
    const last = await openDb(fs, { ...OPTIONS, ...retention, clock });
    await settle(clock, last.compact());
    expect(last.report().blocks.count).toBe(0);
    await last.close();
    await young.close();
  });

  test("where some days' samples have expired, steps that see none of these are exact", async () => {
    const { db, young } = await aged({
      retentionMs: 11 * DAY + HOUR,
      rowRetentionMs: { "1m": 11 * DAY + HOUR, "1h": 30 * DAY },
    });
    // Ten days after the end: the first of three days has gone, the last two have not.
    const one: Case = {
      query: "sum(rate(e_total[1h]))",
      startMs: END - 60 * HOUR + 777,
      endMs: END - HOUR,
      stepMs: HOUR,
    };
    const [got, wanted] = [await ask(db, one, "auto"), await ask(young, one, "raw")];
    expect(got.infos.length).toBe(1);
    const [found, exact] = [[...pointsOf(got).values()][0]!, [...pointsOf(wanted).values()][0]!];
    const first = Math.ceil((END - 48 * HOUR + HOUR - one.startMs) / HOUR);
    expect(found.slice(first)).toEqual(exact.slice(first));
    expect(found.slice(0, first)).not.toEqual(exact.slice(0, first));
    found.slice(0, first).forEach((value, s) => {
      expect(Math.abs(value! / exact[s]! - 1)).toBeLessThan(0.3);
    });
    // Whole rows, and no info.
    const even = { ...one, startMs: END - 60 * HOUR };
    expectSame(await ask(db, even, "auto"), await ask(young, even, "raw"), "even");
    await db.close();
    await young.close();
  });

  test("series that blocks of rows alone have are found, with the index and without it, and stay out of the catalogue", async () => {
    const pieceStore = new MemoryPieceStore();
    const { db, young } = await aged({ retentionMs: 3 * DAY, pieceStore });
    const clock = stateOf(db).clock as SimClock;
    // Nobody writes them any more.
    await clock.advance(3 * HOUR);
    await settle(clock, db.flush());
    expect(db.report().seriesCount).toBe(0);
    pieceStore.values.clear();
    await expectAligned(db, young);
    expect(db.report().index.missing).toBeGreaterThan(0);
    await clock.advance(20_000);
    expect(db.report().index.missing).toBe(0);
    expect(pieceStore.values.size).toBeGreaterThan(0);
    const before = { ...db.report().counters.leavesOf };
    // By selectors that no block was asked before.
    for (const query of ['rate({__name__=~"e_.*"}[1h])', 'max_over_time(e_total{i!="4"}[2h])']) {
      expectSame(await ask(db, hourly(query), "auto"), await ask(young, hourly(query), "raw"), query);
    }
    expect(db.report().counters.leavesOf["1h"]).toBeGreaterThan(before["1h"]);
    const range = { minMs: 0, maxMs: END };
    expect((await db.queryable.series([], range, 0, context)).length).toBe(5);
    expect(await db.queryable.labelValues("i", [], range, 0, context)).toEqual(["0", "1", "2", "3", "4"]);
    expect(db.report().seriesCount).toBe(0);
    await db.close();
    await young.close();
  });

  test("a query that asks for a level gets it, and hears what that means", async () => {
    const { db, young } = await aged({ retentionMs: 20 * DAY });
    const asked = odd("max_over_time(e_total[5m])");
    const got = await ask(db, asked, "1h");
    expect(got.infos).toEqual([
      "PromQL info: answered at a resolution of 1h: the query asks for this level, and its windows are not made of whole rows (1:15)",
    ]);
    expectSame(await ask(db, asked, "auto"), await ask(young, asked, "raw"), "samples are still there");
    await db.close();
    await young.close();
  });
});
