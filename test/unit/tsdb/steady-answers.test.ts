// test/unit/tsdb/steady-answers.test.ts: somebody asks all the time while heads are cut, blocks merged, rows made and renewed, and deletions made,
// undone and applied: at any moment an answer is that of before or that of after, and where nothing is deleted these are the same.
import { expect, test } from "vitest";
import { type Clock, SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import type { QueryContext } from "../../../libs/model/index.ts";
import { Engine } from "../../../libs/promql/index.ts";
import { type Db, Db as Storage } from "../../../libs/tsdb/index.ts";
import { contents, DATA_DIR, Feed, HOUR, type Row, TENANT } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const MINUTE = 60_000;
const END = 19_700 * DAY;
const NOW_MS = END + 2 * HOUR;
const SEEDS = Number(process.env.FUZZ_RUNS ?? 3);
const IN_FLIGHT = 6;
const QUERIES = [
  "count_over_time(m[1h])",
  "sum by (i) (sum_over_time(m[2h]))",
  "last_over_time(m[1h])",
  "max(m)",
  "count(rate(m[1h]))",
  "sum(sum_over_time(m[2h])) - 1000 * count(count_over_time(m[2h]))",
];
const context: QueryContext = {
  ...{ tenant: TENANT, signal: new AbortController().signal },
  ...{ deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e12 },
};

/** Time passes at each look at it, so that whoever works for long lets others have their turn. */
function busyClock(clock: SimClock): Clock {
  let looks = 0;
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs() + ++looks,
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
    after: (delayMs, callback) => clock.after(delayMs, callback),
    every: (periodMs, callback) => clock.every(periodMs, callback),
  };
}

class World {
  readonly clock = new SimClock(NOW_MS);
  readonly random: SeededRandom;
  db!: Db;
  feed!: Feed;
  /** Answers that came while something was at work. */
  asked = 0;
  /** Those of them that began and ended at different moments of it. */
  long = 0;
  private readonly queue = new Set<Promise<void>>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  async open(): Promise<void> {
    this.db = await Storage.open({
      ...{ dataDir: DATA_DIR, fs: new SimFileSystem(), clock: busyClock(this.clock), random: this.random },
      processes: { pid: 1, host: "test", startOf: () => "now" },
      ...{ shardCount: 2, headMemoryBytes: 4 << 20, retentionMs: 30 * DAY, maxFutureMs: HOUR, seriesMax: 1000 },
      ...{ walMode: "inline", walBufferBytes: 1 << 20 },
    });
    this.feed = new Feed(this.db);
  }

  async append(rows: readonly Row[]): Promise<void> {
    const { status, rejections } = await this.turning(this.feed.append(rows));
    expect([status, rejections]).toEqual(["stored", []]);
  }

  private async turning<T>(work: Promise<T>, onTurn = (): void => {}): Promise<T> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    for (let turn = 0; !isDone; turn++) {
      expect(turn).toBeLessThan(50_000);
      onTurn();
      await this.clock.advance(turn % 50 === 49 ? 1 : 0);
    }
    return done;
  }

  private async ask(query: string): Promise<string> {
    const engine = new Engine({ now: () => NOW_MS });
    const { value } = await engine.range(this.db.queryable, query, END - DAY, END + 2 * HOUR, HOUR, context);
    if (value.type !== "matrix") throw new Error("no matrix");
    const series = value.columns.map(({ labels, values, present }) => {
      const points = Array.from(values, (v, s) => (present === null || present[s] === 1 ? v.toPrecision(10) : "-"));
      return `${labels.join()} ${points.join()}`;
    });
    return series.sort().join("\n");
  }

  private async answers(): Promise<string[]> {
    const answers: string[] = [];
    for (const query of QUERIES) answers.push(await this.turning(this.ask(query)));
    return answers;
  }

  /** Does something; asks all the while. `changes`: afterwards there is something else. */
  async during(what: string, work: () => Promise<unknown>, changes = false): Promise<void> {
    const before = { answers: await this.answers(), samples: contents(this.db).join("\n") };
    const seen: { which: number; answer: string }[] = [];
    const samples = new Set<string>();
    let moment = 0;
    const look = (): void => {
      moment++;
      samples.add(contents(this.db).join("\n"));
      while (this.queue.size < IN_FLIGHT) {
        const which = this.random.below(QUERIES.length);
        const began = moment;
        const asked = this.ask(QUERIES[which]!).then((answer) => {
          this.asked++;
          if (moment > began) this.long++;
          seen.push({ which, answer });
          this.queue.delete(asked);
        });
        this.queue.add(asked);
      }
    };
    await this.turning(work(), look);
    await this.turning(Promise.all(this.queue));
    const after = { answers: await this.answers(), samples: contents(this.db).join("\n") };
    if (!changes) expect(after, what).toEqual(before);
    else expect(after.samples, what).not.toBe(before.samples);
    for (const one of samples) expect([before.samples, after.samples], what).toContain(one);
    for (const { which, answer } of seen) {
      expect([before.answers[which], after.answers[which]], `${what}: ${QUERIES[which]}`).toContain(answer);
    }
  }
}

test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))("seed %i", { timeout: 120_000 }, async (seed) => {
  const world = new World(seed);
  await world.open();
  const { db, random } = world;
  const rows = (offsetMs: number, stepMs: number): Row[] => {
    const out: Row[] = [];
    for (let time = END - 6 * HOUR; time <= END + HOUR; time += stepMs) {
      for (let i = 0; i < 24; i++) out.push([{ __name__: "m", i: `${i}` }, time + offsetMs, random.below(100_000)]);
    }
    return out;
  };
  const remove = (i: number, id: string): Promise<unknown> => {
    const matchers = [{ type: "=", name: "i", value: `${i}` }] as const;
    const [minMs, maxMs] = [END - 3 * HOUR, END + 30 * MINUTE];
    return db.deletable.deleteSeries({ id, tenant: TENANT, minMs, maxMs, sets: [matchers], selectors: [`{i="${i}"}`] });
  };
  const [first, second] = ["00000000000000a1", "00000000000000a2"] as const;
  await world.append(rows(0, 2 * MINUTE));
  await world.during("flush", () => db.flush());
  await world.append(rows(777, 7 * MINUTE));
  await world.during("flush of late samples", () => db.flush());
  await world.during("merge and rows", () => db.compact());
  await world.append(rows(1555, 11 * MINUTE));
  await world.during("deletion", () => remove(1, first), true);
  await world.during("flush of hidden samples", () => db.flush());
  await world.during("undoing", () => db.deletable.undelete(TENANT, first), true);
  await world.during("second merge, rows renewed", () => db.compact());
  await world.during("second deletion", () => remove(2, second), true);
  await world.during("merge beside a deletion", () => db.compact());
  await world.during("application", () => db.deletable.cleanTombstones());
  await world.during("rows of what is left", () => db.compact());
  expect(db.report().levels.map(({ count }) => count > 0)).toEqual([true, true, true]);
  await world.during("snapshot", () => db.snapshot());

  expect(world.asked).toBeGreaterThan(50);
  expect(world.long).toBeGreaterThan(5);
});
