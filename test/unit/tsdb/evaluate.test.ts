// test/unit/tsdb/evaluate.test.ts: every rollup with every aggregation over a storage against the reference twin, on histories long enough
// for many chunks: several targets, holes, stale markers, late samples, series that leave their target's times, series that end.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock } from "../../../libs/env/index.ts";
import {
  CanceledError,
  type Leaf,
  type LeafResult,
  LimitError,
  labelsFromRecord,
  labelsKey,
  labelsToRecord,
  type PartialOp,
  type QueryContext,
  type Rollup,
  TimeoutError,
} from "../../../libs/model/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { Feed, HOUR, type LabelRecord, NOW, openDb, type Row, TENANT } from "./db-fixture.ts";
import { argsFor, OPS, ROLLUPS } from "./leaves.ts";

const STALE = 0x7ff0000000000002n;
const SCRAPE_MS = 15_000;
const SCRAPES = 240;
const SEEDS = 6;
const START = NOW - SCRAPES * SCRAPE_MS;

const context = (overrides: Partial<QueryContext> = {}): QueryContext => ({
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
  ...overrides,
});

/** How one series behaves. */
interface Habit {
  readonly labels: LabelRecord;
  readonly holes: number;
  readonly stale: number;
  readonly late: number;
  /** From this scrape on its times are its own, some ms off; and after that one it sends nothing. */
  readonly leaves: number;
  readonly ends: number;
  readonly value: (scrape: number) => number;
}

function habitOf(random: SeededRandom, target: number, i: number): Habit {
  const odd = (p: number): number => (random.chance(0.4) ? p : 0);
  const kind = random.below(4);
  let total = 0;
  return {
    labels: {
      __name__: `m_${i % 3}`,
      job: `job-${target % 2}`,
      instance: `host-${target}`,
      mode: `${i % 4}`,
      i: `${i}`,
    },
    holes: odd(0.1),
    stale: odd(0.03),
    late: odd(0.1),
    leaves: random.chance(0.2) ? random.below(SCRAPES) : SCRAPES,
    ends: random.chance(0.2) ? random.below(SCRAPES) : SCRAPES,
    value: (scrape) => {
      if (kind === 0) total = random.chance(0.02) ? 0 : total + random.below(100);
      else if (kind === 1) total = random.below(7) - 3;
      else if (kind === 2) total = random.float() * 1000 - 500;
      else total = random.pick([1, 1, 1, scrape, Number.NaN, Number.POSITIVE_INFINITY, -0]);
      return total;
    },
  };
}

/** Two storages with the same history: what is late reaches the real one some scrapes later. */
async function history(seed: number): Promise<{ db: Db; twin: MemoryQueryable }> {
  const random = new SeededRandom(seed);
  const db = await openDb(undefined, { headMemoryBytes: 8 << 20 });
  const feed = new Feed(db);
  const twin = new MemoryQueryable();
  const waiting: Row[] = [];
  const targets = Array.from({ length: 4 }, (_, target) =>
    Array.from({ length: 1 + random.below(8) }, (_, i) => habitOf(random, target, i)),
  );
  for (let scrape = 0; scrape < SCRAPES; scrape++) {
    for (const [target, habits] of targets.entries()) {
      if (random.chance(0.01)) continue;
      const rows: Row[] = [];
      const timeMs = START + scrape * SCRAPE_MS + target * 1234 + (random.chance(0.1) ? random.below(50) : 0);
      habits.forEach((habit, i) => {
        if (random.chance(habit.holes) || scrape >= habit.ends) return;
        const isStale = random.chance(habit.stale) || scrape === habit.ends - 1;
        const time = scrape >= habit.leaves ? timeMs + 100 + i : timeMs;
        const value = habit.value(scrape);
        const row: Row = [habit.labels, time, isStale ? STALE : value];
        (random.chance(habit.late) ? waiting : rows).push(row);
        const sample = { timeMs: time, value, stale: isStale, histogram: false };
        twin.append(labelsFromRecord(habit.labels), [sample]);
      });
      for (let n = waiting.length; n > 0; n--) if (random.chance(0.2)) rows.push(...waiting.splice(random.below(n), 1));
      if (rows.length > 0) expect((await feed.append(rows)).rejections).toEqual([]);
    }
  }
  if (waiting.length > 0) await feed.append(waiting);
  const { lateSamples, moves, sealedChunks } = db.report().head;
  expect([lateSamples > 0, moves > 0, sealedChunks > 10]).toEqual([true, true, true]);
  return { db, twin };
}

function randomLeaf(random: SeededRandom, rollup: Rollup, op: PartialOp | undefined): Leaf {
  const rangeMs = random.pick([1000, SCRAPE_MS, 60_000, 300_000, 300_000, HOUR]);
  const count = random.pick([1, 2, 10, 40]);
  const stepMs = count === 1 ? 0 : random.pick([0, 1, 5000, SCRAPE_MS, 60_000, 200_000]);
  const labels = random.pick([[], ["job"], ["mode", "job"], ["i"], ["__name__", "job"], ["none"]]);
  const offsetMs = random.pick([0, 0, 0, 60_000, -60_000]);
  // Often the first window begins or ends at a scrape, or a millisecond beside it.
  const scrape = START + random.below(SCRAPES) * SCRAPE_MS + random.below(4) * 1234;
  const edge = scrape + offsetMs + random.pick([0, rangeMs]) + random.pick([-1, 0, 1]);
  return {
    matchers: random.pick([
      [{ type: "=", name: "__name__", value: "m_0" }],
      [{ type: "=~", name: "mode", value: "[012]" }, { type: "=", name: "__name__", value: "m_1" }],
      [{ type: "!=", name: "job", value: "job-0" }, { type: "=", name: "__name__", value: "m_2" }],
    ] as const), // biome-ignore format: one selector per line
    grid: { startMs: random.chance(0.5) ? edge : START + random.below(SCRAPES * SCRAPE_MS), stepMs, count },
    rollup,
    rangeMs,
    offsetMs,
    args: argsFor(rollup, random, rangeMs, count),
    dropName: rollup !== "last" && rollup !== "last_over_time",
    ...(op === undefined ? {} : { aggregation: { op, without: random.chance(0.5), labels } }),
  };
}

/** Steps of a result by label set; labels that occur twice would show. */
function shown({ columns }: LeafResult): Map<string, (number | undefined)[]> {
  const out = new Map<string, (number | undefined)[]>();
  for (const { labels, values, present, weights, times, lost } of columns) {
    const key = labelsKey(labels);
    expect(out.has(key), JSON.stringify(labelsToRecord(labels))).toBe(false);
    const sum = (value: number, s: number): number => (lost === undefined ? value : value + lost[s]!);
    const points = Array.from(values, (v, s) => (present === null || present[s] === 1 ? sum(v, s) : undefined));
    const counts = weights === undefined ? [] : Array.from(weights, (w, s) => (points[s] === undefined ? 0 : w));
    out.set(key, [...points, ...counts, ...(times ?? [])]);
  }
  return out;
}

function closeEnough(a: number | undefined, b: number | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
}

function expectSame(got: LeafResult, want: LeafResult, leaf: Leaf): void {
  const [g, w] = [shown(got), shown(want)];
  const about = JSON.stringify(leaf);
  expect([...g.keys()].sort(), about).toEqual([...w.keys()].sort());
  for (const [key, points] of w) {
    const same = points.length === g.get(key)!.length && points.every((value, i) => closeEnough(g.get(key)![i], value));
    if (!same) expect({ about, points: g.get(key) }).toEqual({ about, points });
  }
}

describe("leaves agree with the reference twin", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`history ${seed}: ${ROLLUPS.length} rollups, ${OPS.length} ways to aggregate`, async () => {
      const { db, twin } = await history(seed);
      const random = new SeededRandom(seed + 1000);
      let points = 0;
      for (const rollup of ROLLUPS) {
        for (const op of OPS) {
          const leaf = randomLeaf(random, rollup, op);
          const got = await db.queryable.evaluate(leaf, context());
          points += got.columns.length;
          expectSame(got, await twin.evaluate(leaf, context()), leaf);
        }
      }
      expect(points).toBeGreaterThan(ROLLUPS.length * OPS.length);
      await db.close();
    });
  }

  test("raw samples, their times and their bits", async () => {
    const { db, twin } = await history(77);
    const random = new SeededRandom(5);
    for (let i = 0; i < 60; i++) {
      const { aggregation: _, ...leaf } = randomLeaf(random, "last", undefined);
      const raw: Leaf = { ...leaf, rollup: "samples", grid: { ...leaf.grid, stepMs: 0, count: 1 } };
      expectSame(await db.queryable.evaluate(raw, context()), await twin.evaluate(raw, context()), raw);
    }
    await db.close();
  });

  test("another tenant's series are not there", async () => {
    const { db } = await history(3);
    const leaf = { ...randomLeaf(new SeededRandom(1), "last", undefined), rangeMs: 24 * HOUR };
    expect((await db.queryable.evaluate(leaf, context({ tenant: "other" }))).columns).toEqual([]);
    await db.close();
  });
});

describe("a leaf has its limits", () => {
  const all: Leaf = {
    matchers: [{ type: "=~", name: "__name__", value: ".+" }],
    grid: { startMs: NOW, stepMs: 0, count: 1 },
    rollup: "last_over_time",
    rangeMs: 2 * HOUR,
    offsetMs: 0,
    args: [],
    dropName: false,
  };

  test("of samples: exactly as many as there are may be read", async () => {
    const { db } = await history(2);
    const { samplesRead } = await db.queryable.evaluate(all, context());
    expect(samplesRead).toBeGreaterThan(1000);
    await db.queryable.evaluate(all, context({ samplesMax: samplesRead }));
    const less = db.queryable.evaluate(all, context({ samplesMax: samplesRead - 1 }));
    await expect(less).rejects.toThrow(LimitError);
    await db.close();
  });

  /** A clock on which every look takes a while, so that a leaf pauses after each slice. */
  class SlowClock extends SimClock {
    private looks = 0;
    override monotonicMs(): number {
      return super.monotonicMs() + 5 * this.looks++;
    }
  }

  async function wide(
    count: number,
  ): Promise<{ db: Db; feed: Feed; clock: SlowClock; rows: (value: number) => Row[] }> {
    const clock = new SlowClock(NOW);
    const db = await openDb(undefined, { headMemoryBytes: 8 << 20, seriesMax: count, clock });
    const feed = new Feed(db);
    const rows = (value: number): Row[] =>
      Array.from({ length: count }, (_, i): Row => [{ __name__: "m", i: `${i}` }, NOW + value, value]);
    for (let from = 0; from < count; from += 300) await feed.append(rows(0).slice(from, from + 300));
    return { db, feed, clock, rows };
  }

  test("of time: before it begins, and at each pause", async () => {
    const { db, clock } = await wide(1000);
    await expect(db.queryable.evaluate(all, context({ deadlineMs: NOW - 1 }))).rejects.toThrow(TimeoutError);
    await expect(db.queryable.evaluate(all, context({ signal: AbortSignal.abort() }))).rejects.toThrow(CanceledError);
    const late = db.queryable.evaluate(all, context({ deadlineMs: NOW }));
    clock.jumpWall(1);
    await expect(late).rejects.toThrow(TimeoutError);
    const abort = new AbortController();
    const canceled = db.queryable.evaluate(all, context({ signal: abort.signal }));
    abort.abort();
    await expect(canceled).rejects.toThrow(CanceledError);
    expect((await db.queryable.evaluate(all, context())).columns.length).toBe(1000);
    await db.close();
  });

  test("what is written during its pauses it sees or does not see, series by series", async () => {
    const { db, feed, rows } = await wide(1000);
    const leaf: Leaf = { ...all, grid: { startMs: NOW + 10, stepMs: 0, count: 1 } };
    const seen = new Set<number>();
    for (let round = 1; round <= 8; round++) {
      const running = db.queryable.evaluate(leaf, context());
      // In order, late, and new series, while the leaf pauses.
      for (let from = 0; from < 1000; from += 250) {
        await new Promise((resolve) => setImmediate(resolve));
        await feed.append(rows(round).slice(from, from + 250));
        await feed.append(rows(round - 100).slice(from, from + 3));
        await feed.append([[{ __name__: "n", round: `${round} ${from}` }, NOW, round]]);
      }
      for (const { labels, values } of (await running).columns) {
        if (labels[1] !== "m") continue;
        expect([round - 1, round]).toContain(values[0]);
        seen.add(values[0]! - round);
      }
    }
    expect([...seen].sort()).toEqual([-1, 0]);
    await db.close();
  });
});
