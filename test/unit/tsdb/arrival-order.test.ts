// test/unit/tsdb/arrival-order.test.ts: late samples on and around the boundaries of chunks, windows, days, blocks and rows, in every order of
// their arrival, with cuts, merges, rows and restarts in between: each order gives the samples, and the answers, that their own order gives.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { type LevelChoice, labelsToRecord, type QueryContext } from "../../../libs/model/index.ts";
import { Engine } from "../../../libs/promql/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import { Feed, HOUR, openDb, type Row, settled, TENANT } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const MINUTE = 60_000;
/** Midnight between the two days that have samples. */
const MIDNIGHT = 19_700 * DAY;
const NOW_MS = MIDNIGHT + DAY + 2 * HOUR;
const STALE = 0x7ff0000000000002n;
const OPTIONS: Partial<DbOptions> = {
  ...{ retentionMs: 30 * DAY, shardCount: 2, headMemoryBytes: 32 << 20, seriesMax: 20_000 },
  ...{ windowMs: 10 * MINUTE, lateWindowMs: MINUTE },
};
/** What comes late: on midnight and beside it, on a whole hour, and three values of one time, of which the second wins. */
const LATE: readonly (readonly [timeMs: number, value: number | bigint])[] = [
  [MIDNIGHT, 1000],
  [MIDNIGHT + 1, 3],
  [MIDNIGHT - 1, 2000],
  [MIDNIGHT + HOUR, STALE],
  [MIDNIGHT + HOUR, 40],
  [MIDNIGHT + HOUR, 7],
];

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) => permutations(items.filter((_, k) => k !== i)).map((rest) => [item, ...rest]));
}

const ORDERS = permutations([0, 1, 2, 3, 4, 5]);
const labels = (i: number) => ({ __name__: "m_total", i: `${i}` });

/** When all series have samples besides: every minute, beside the boundaries. */
const BASE: readonly number[] = Array.from({ length: 240 }, (_, k) => MIDNIGHT - 2 * HOUR + k * MINUTE + 30_000);
/** Series differ, so that rows pay. */
const baseRows = (time: number, k: number): Row[] => {
  return ORDERS.map((_, i): Row => [labels(i), time, (k * k * (i + 1) + i) % 500_009]);
};

type Step = "nothing" | "flush" | "compact" | "restart" | "window";

const SCHEDULES: readonly (readonly [string, (random: SeededRandom) => Step])[] = [
  ["in one head", () => "nothing"],
  ["each in a block of its own", () => "flush"],
  ["each into rows", () => "compact"],
  ["replayed each time", () => "restart"],
  ["over ends of windows", () => "window"],
  ["now one, now the other", (random) => random.pick(["nothing", "flush", "compact", "restart", "window"])],
  ["now one, now the other, again", (random) => random.pick(["nothing", "flush", "compact", "restart", "window"])],
];

const QUERIES = [
  "count_over_time(m_total[1h])",
  "sum_over_time(m_total[2h])",
  "max_over_time(m_total[1d])",
  "last_over_time(m_total[1h])",
  "increase(m_total[1h])",
  "m_total",
];
const context: QueryContext = {
  ...{ tenant: TENANT, signal: new AbortController().signal },
  ...{ deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e12 },
};

class Storage {
  private readonly fs = new SimFileSystem();
  private clock = new SimClock(NOW_MS);
  private readonly random: SeededRandom;
  db!: Db;
  private feed!: Feed;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  async open(): Promise<this> {
    const random = new SeededRandom(this.random.u32());
    this.db = await openDb(this.fs, { ...OPTIONS, clock: this.clock, random });
    this.feed = new Feed(this.db);
    return this;
  }

  async append(rows: readonly Row[]): Promise<void> {
    const { status, rejections } = await this.feed.append(rows);
    expect([status, rejections]).toEqual(["stored", []]);
  }

  async do(step: Step): Promise<void> {
    const { clock, db } = this;
    if (step === "flush" || step === "compact") await settled(clock, db.flush());
    if (step === "compact") await settled(clock, db.compact());
    if (step === "window") await clock.advance(11 * MINUTE);
    if (step === "restart") {
      await settled(clock, db.close());
      this.clock = new SimClock(clock.nowMs());
      await this.open();
    }
  }

  /** By series: its samples, bit for bit. */
  samples(): Map<string, string> {
    const found = new Map<string, string>();
    for (const { labels, times, values } of this.db.export(TENANT, [])) {
      const { i } = labelsToRecord(labels);
      expect(found.has(i!)).toBe(false);
      found.set(i!, `${times.join()} ${new BigUint64Array(values.buffer, 0, values.length).join()}`);
    }
    return found;
  }

  /** By series: the points of a query; NaN where there is none. */
  async answers(query: string, level: LevelChoice): Promise<Map<string, Float64Array>> {
    const engine = new Engine({ now: () => NOW_MS });
    const [start, end] = [MIDNIGHT - 3 * HOUR, MIDNIGHT + 5 * HOUR];
    const { value } = await engine.range(this.db.queryable, query, start, end, HOUR, context, { level });
    if (value.type !== "matrix") throw new Error("no matrix");
    return new Map(
      value.columns.map(({ labels, values, present }) => {
        const points = values.map((v, s) => (present === null || present[s] === 1 ? v : Number.NaN));
        return [labelsToRecord(labels).i!, points];
      }),
    );
  }
}

/** But for the order of additions. */
function areSame(a: Float64Array, b: Float64Array | undefined): boolean {
  return a.length === b?.length && a.every((v, s) => Object.is(v, b[s]) || Math.abs(v - b[s]!) <= 1e-9 * Math.abs(v));
}

async function inOrder(): Promise<Storage> {
  const storage = await new Storage(1).open();
  const base = BASE.map((time, k) => ({ time, rows: () => baseRows(time, k) }));
  // Of one time the winner alone.
  const late = LATE.filter((_, k) => k !== 3 && k !== 5).map(([time, value]) => {
    return { time, rows: () => ORDERS.map((_, i): Row => [labels(i), time, value]) };
  });
  for (const { rows } of [...base, ...late].sort((a, b) => a.time - b.time)) await storage.append(rows());
  return storage;
}

/** What a storage says that got everything in order. */
interface Reference {
  readonly samples: Map<string, string>;
  readonly answers: Map<string, Map<string, Float64Array>>;
}

let known: Promise<Reference> | undefined;

function reference(): Promise<Reference> {
  known ??= inOrder().then(async (storage) => {
    const answers = new Map<string, Map<string, Float64Array>>();
    for (const query of QUERIES) answers.set(query, await storage.answers(query, "raw"));
    return { samples: storage.samples(), answers };
  });
  return known;
}

describe("samples in every order", () => {
  test.each(SCHEDULES)("%s", { timeout: 120_000 }, async (name, draw) => {
    const wanted = await reference();
    const storage = await new Storage(name.length).open();
    const random = new SeededRandom(name.length);

    async function check(): Promise<void> {
      const { samples } = wanted;
      const found = storage.samples();
      expect(found.size).toBe(ORDERS.length);
      expect([...found].filter(([i, text]) => text !== samples.get(i)).map(([i]) => ORDERS[Number(i)])).toEqual([]);
      for (const query of QUERIES) {
        const points = wanted.answers.get(query)!;
        for (const level of ["raw", "1m", "1h", "auto"] as const) {
          const answers = await storage.answers(query, level);
          expect(answers.size).toBe(ORDERS.length);
          const wrong = [...answers].filter(([i, found]) => !areSame(found, points.get(i)));
          expect(
            wrong.slice(0, 3).map(([i, found]) => [ORDERS[Number(i)], found, points.get(i)]),
            `${query} at ${level}`,
          ).toEqual([]);
        }
      }
    }

    for (const [k, time] of BASE.entries()) await storage.append(baseRows(time, k));
    await storage.do(draw(random));
    for (let step = 0; step < LATE.length; step++) {
      await storage.append(ORDERS.map((order, i): Row => [labels(i), ...LATE[order[step]!]!]));
      await storage.do(draw(random));
    }
    await check();
    await storage.do("compact");
    const rows = storage.db.report().levels.filter(({ level }) => level !== "raw");
    expect(rows.map(({ count }) => count)).toEqual([4, 4]);
    expect(rows[1]!.sizeBytes).toBeGreaterThan(10_000);
    await check();
    await storage.do("restart");
    await check();
  });
});
