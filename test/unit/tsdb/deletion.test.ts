// test/unit/tsdb/deletion.test.ts: deletions hide what was there, wherever it was, and nothing that came later; they survive restarts and cuts,
// can be undone, and are applied by merges when they are due. Random lives are compared with a twin that keeps every sample it ever got.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { InvalidError, type Matcher, type QueryContext } from "../../../libs/model/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import { wins } from "../../crash/ledger.ts";
import {
  bitsOfNumber,
  contents,
  DATA_DIR,
  Feed,
  HOUR,
  type LabelRecord,
  line,
  lines,
  NOW,
  openDb,
  type Row,
  settled,
  TENANT,
} from "./db-fixture.ts";

const MINUTE = 60_000;
const DAY = 24 * HOUR;
const OPTIONS = { retentionMs: 30 * DAY, headMemoryBytes: 4 << 20 };
const series = (i: number): LabelRecord => ({
  __name__: `m${i % 4}`,
  instance: `host${i % 3}`,
  job: "node",
  i: `${i}`,
});

const named = (name: string): Matcher[] => [{ type: "=", name: "__name__", value: name }];
const one = (i: number): Matcher[] => [{ type: "=", name: "i", value: `${i}` }];

let lastId = 0;

function remove(
  db: Db,
  matchers: Matcher[],
  minMs = Number.NEGATIVE_INFINITY,
  maxMs = Number.POSITIVE_INFINITY,
  tenant = TENANT,
) {
  const id = (++lastId).toString(16).padStart(16, "0");
  return db.deletable.deleteSeries({
    id,
    tenant,
    sets: [matchers],
    selectors: [JSON.stringify(matchers)],
    minMs,
    maxMs,
  });
}

const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
};
const always = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };

/** A storage whose process comes and goes. */
class Life {
  readonly fs = new SimFileSystem();
  clock = new SimClock(NOW);
  db!: Db;
  feed!: Feed;
  private lives = 0;
  private readonly options: Partial<DbOptions>;

  constructor(options: Partial<DbOptions> = {}) {
    this.options = options;
  }

  async open(): Promise<this> {
    // Ids of blocks come from chance: each process has its own.
    const random = new SeededRandom(++this.lives);
    this.db = await openDb(this.fs, { ...OPTIONS, ...this.options, clock: this.clock, random });
    expect([this.db.replayed.damage, this.db.damagedBlocks]).toEqual([[], []]);
    this.feed = new Feed(this.db);
    return this;
  }

  async kill(): Promise<void> {
    this.fs.kill();
    this.clock = new SimClock(this.clock.nowMs());
    await this.open();
  }

  settled<T>(work: Promise<T>): Promise<T> {
    return settled(this.clock, work);
  }

  remove(...args: Parameters<typeof remove> extends [Db, ...infer Rest] ? Rest : never) {
    return this.settled(remove(this.db, ...args));
  }

  files(): string[] {
    return this.fs.list(`${DATA_DIR}/blocks`).filter((name) => name.endsWith(".tmb"));
  }
}

const scrape = (t: number, count = 6): Row[] =>
  Array.from({ length: count }, (_, i): Row => [series(i), NOW - HOUR + t * 15_000, i + t / 4]);
const not = (rows: readonly Row[], i: number): Row[] =>
  rows.filter(([labels]) => labels !== undefined && labels.i !== `${i}`);

async function filled(life: Life, from = 0, to = 40): Promise<Row[]> {
  const rows: Row[] = [];
  for (let t = from; t < to; t++) {
    rows.push(...scrape(t));
    await life.feed.append(scrape(t));
  }
  return rows;
}

describe("a deletion", () => {
  test("hides what a head has, in its range alone, and nothing that comes later", async () => {
    const life = await new Life().open();
    const rows = await filled(life);
    const [low, high] = [NOW - HOUR + 10 * 15_000, NOW - HOUR + 39 * 15_000];
    const deletion = await life.remove(one(2), low, high);
    expect(deletion).toMatchObject({ tenant: TENANT, series: 1, minMs: low, maxMs: high, madeMs: NOW });
    const isLeft = ([labels, time]: Row): boolean => labels.i !== "2" || time < low || time > high;
    const left = rows.filter(isLeft);
    expect(contents(life.db)).toEqual(lines(left));
    // The newest sample again, one in the middle with a smaller value, a new one.
    const again: Row[] = [rows.find(([labels, time]) => labels.i === "2" && time === high)!];
    const more: Row[] = [
      [series(2), low + 15_000, -5],
      [series(2), NOW, 1],
    ];
    for (const row of [...again, ...more]) await life.feed.append([row]);
    const want = lines([...left, ...again, ...more]);
    expect(contents(life.db)).toEqual(want);
    await life.kill();
    expect(contents(life.db)).toEqual(want);
    await life.settled(life.db.flush());
    expect(contents(life.db)).toEqual(want);
    await life.kill();
    expect(contents(life.db)).toEqual(want);
    await life.db.close();
  });

  test("hides what blocks have; later samples stay, through merges and restarts", async () => {
    const life = await new Life().open();
    const rows = await filled(life);
    await life.settled(life.db.flush());
    await life.remove(named("m1"));
    const left = rows.filter(([labels]) => labels.__name__ !== "m1");
    expect(contents(life.db)).toEqual(lines(left));
    const again = rows.filter(([labels, time]) => labels.i === "1" && time > NOW - 55 * MINUTE).slice(0, 3);
    for (const row of again) await life.feed.append([row]);
    const want = lines([...left, ...again]);
    expect(contents(life.db)).toEqual(want);
    await life.kill();
    expect(contents(life.db)).toEqual(want);
    await life.settled(life.db.flush());
    await life.clock.advance(3 * DAY);
    await life.settled(life.db.compact());
    expect(contents(life.db)).toEqual(want);
    const { blocks } = life.db.report();
    expect(blocks.samples).toBe(left.length + again.length);
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    await life.kill();
    expect(contents(life.db)).toEqual(want);
    await life.db.close();
  });

  test("of nothing leaves no trace", async () => {
    const life = await new Life().open();
    const rows = await filled(life, 0, 3);
    expect(await life.remove(named("other"))).toBeUndefined();
    expect(await life.remove(one(1), NOW + 1)).toBeUndefined();
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    expect(contents(life.db)).toEqual(lines(rows));
    await life.db.close();
  });

  test("concerns its tenant alone", async () => {
    const life = await new Life().open();
    const row: Row = [series(1), NOW, 1];
    await life.feed.append([row]);
    await life.feed.append([row], "other");
    await life.remove([{ type: "=~", name: "i", value: ".*" }]);
    expect(contents(life.db)).toEqual([]);
    expect(contents(life.db, [], "other")).toEqual(lines([row]));
    expect(await life.db.deletable.deletions("other")).toEqual([]);
    const { id } = (await life.db.deletable.deletions(TENANT))[0]!;
    await expect(life.settled(life.db.deletable.undelete("other", id))).rejects.toThrow(InvalidError);
    await life.db.close();
  });

  test("is undone: everything is as it was, with what came since; in heads and blocks, after restarts and cuts", async () => {
    for (const cutBefore of [false, true]) {
      for (const cutBetween of [false, true]) {
        const life = await new Life().open();
        const rows = await filled(life);
        await life.feed.append([[series(2), NOW - 2 * HOUR, 9]]);
        rows.push([series(2), NOW - 2 * HOUR, 9]);
        if (cutBefore) await life.settled(life.db.flush());
        const { id } = (await life.remove(one(2)))!;
        expect(contents(life.db)).toEqual(lines(not(rows, 2)));
        // Smaller than what is hidden at that time: wins as long as that is.
        const later: Row[] = [
          [series(2), NOW - HOUR + 15_000, 0.01],
          [series(2), NOW - 3 * HOUR, 3],
        ];
        for (const row of later) await life.feed.append([row]);
        expect(contents(life.db)).toEqual(lines([...not(rows, 2), ...later]));
        if (cutBetween) await life.settled(life.db.flush());
        await life.kill();
        expect(contents(life.db)).toEqual(lines([...not(rows, 2), ...later]));
        expect((await life.db.deletable.deletions(TENANT)).map((one) => one.id)).toEqual([id]);
        await life.settled(life.db.deletable.undelete(TENANT, id));
        const want = lines([...rows, later[1]!]);
        expect(contents(life.db)).toEqual(want);
        await life.kill();
        expect(contents(life.db)).toEqual(want);
        await life.settled(life.db.flush());
        await life.clock.advance(2 * DAY);
        await life.settled(life.db.compact());
        expect(contents(life.db)).toEqual(want);
        await expect(life.settled(life.db.deletable.undelete(TENANT, id))).rejects.toThrow(
          /cannot undo deletion: got "[0-9a-f]{16}"/,
        );
        await life.db.close();
      }
    }
  });

  test("undone, another one over the same samples still hides them", async () => {
    for (const cut of [false, true]) {
      const life = await new Life().open();
      const rows = await filled(life);
      const first = (await life.remove(one(2)))!;
      await life.feed.append([[series(2), NOW - 10 * MINUTE, 7]]);
      const second = (await life.remove(one(2), NOW - 50 * MINUTE, NOW))!;
      if (cut) await life.settled(life.db.flush());
      await life.settled(life.db.deletable.undelete(TENANT, first.id));
      const early = rows.filter(([labels, time]) => labels.i !== "2" || time < NOW - 50 * MINUTE);
      expect(contents(life.db)).toEqual(lines(early));
      await life.settled(life.db.deletable.undelete(TENANT, second.id));
      expect(contents(life.db)).toEqual(lines([...rows, [series(2), NOW - 10 * MINUTE, 7]]));
      await life.db.close();
    }
  });

  test("can't be undone when it is due; a restart changes nothing about that", async () => {
    const life = await new Life({ deleteUndoMs: HOUR }).open();
    await filled(life);
    const { id, madeMs } = (await life.remove(one(2)))!;
    await life.clock.advance(madeMs + HOUR - 1 - life.clock.nowMs());
    expect((await life.db.deletable.deletions(TENANT)).length).toBe(1);
    await life.kill();
    expect((await life.db.deletable.deletions(TENANT)).length).toBe(1);
    await life.clock.advance(1);
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    await expect(life.settled(life.db.deletable.undelete(TENANT, id))).rejects.toThrow(InvalidError);
    await life.db.close();
  });

  test("is left alone by merges until it is due, then its samples leave the disk", async () => {
    const life = await new Life({ deleteUndoMs: 3 * DAY }).open();
    const rows = await filled(life);
    await life.settled(life.db.flush());
    await life.remove(one(2));
    await life.clock.advance(2 * DAY);
    await life.settled(life.db.compact());
    expect(life.db.report().blocks.samples).toBe(rows.length);
    await life.clock.advance(DAY);
    await life.settled(life.db.compact());
    expect(life.db.report().blocks.samples).toBe(rows.length - 40);
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    await life.db.close();
  });

  test("that is due takes its samples even when another one of the block is not", async () => {
    const life = await new Life({ deleteUndoMs: DAY }).open();
    const rows = await filled(life);
    await life.settled(life.db.flush());
    await life.remove(named("m1"));
    await life.clock.advance(DAY / 2);
    const second = (await life.remove(named("m2"), NOW - 55 * MINUTE))!;
    await life.clock.advance(DAY / 2);
    await life.settled(life.db.compact());
    const left = rows.filter(([labels]) => labels.__name__ !== "m1");
    expect(life.db.report().blocks.samples).toBe(left.length);
    const isHidden = ([labels, time]: Row): boolean => labels.__name__ === "m2" && time >= NOW - 55 * MINUTE;
    expect(contents(life.db)).toEqual(lines(left.filter((row) => !isHidden(row))));
    await life.kill();
    await life.settled(life.db.deletable.undelete(TENANT, second.id));
    expect(contents(life.db)).toEqual(lines(left));
    await life.db.close();
  });

  test("of all there is leaves no block", async () => {
    const life = await new Life({ deleteUndoMs: 1 }).open();
    await filled(life);
    await life.settled(life.db.flush());
    await life.remove([{ type: "!=", name: "i", value: "" }]);
    await life.clock.advance(1);
    await life.settled(life.db.compact());
    expect([life.files(), life.db.report().blocks.count]).toEqual([[], 0]);
    await life.kill();
    expect(contents(life.db)).toEqual([]);
    await life.db.close();
  });

  test("cleaned away is off the disk at once and can't be undone", async () => {
    const life = await new Life().open();
    const rows = await filled(life, 0, 20);
    await life.settled(life.db.flush());
    rows.push(...(await filled(life, 20, 40)));
    const { id } = (await life.remove(one(2)))!;
    await life.settled(life.db.deletable.cleanTombstones());
    expect(life.db.report().blocks.samples).toBe(rows.length - 40);
    expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
    await expect(life.settled(life.db.deletable.undelete(TENANT, id))).rejects.toThrow(InvalidError);
    await life.kill();
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    await life.db.close();
  });

  test("that the disk has no room to be applied stays in effect, can still be undone, and is applied later", async () => {
    const life = await new Life().open();
    const rows = await filled(life);
    await life.settled(life.db.flush());
    const { id } = (await life.remove(one(2)))!;
    // From the first merged block on.
    const full = (): void => {
      let isMerged = false;
      life.fs.faults = ({ kind, path, site }) => {
        isMerged ||= site === "merged-block-name";
        return isMerged && path.includes("registry.json") && kind === "write" ? "ENOSPC" : undefined;
      };
    };
    full();
    await expect(life.settled(life.db.deletable.cleanTombstones())).rejects.toThrow("ENOSPC");
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    life.fs.faults = () => undefined;
    expect((await life.db.deletable.deletions(TENANT)).map((one) => one.id)).toEqual([id]);
    await life.settled(life.db.deletable.undelete(TENANT, id));
    expect(contents(life.db)).toEqual(lines(rows));
    await life.remove(one(2));
    full();
    await expect(life.settled(life.db.deletable.cleanTombstones())).rejects.toThrow("ENOSPC");
    life.fs.faults = () => undefined;
    await life.settled(life.db.deletable.cleanTombstones());
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    await life.kill();
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    await life.db.close();
  });

  test("leaves no series, label or value behind that has no sample", async () => {
    const life = await new Life().open();
    await filled(life);
    const asked = async () => ({
      names: await life.db.queryable.labelNames([], always, 0, context),
      values: await life.db.queryable.labelValues("i", [], always, 0, context),
      series: (await life.db.queryable.series([], always, 0, context)).length,
      one: (await life.db.queryable.series([one(2)], { minMs: NOW - HOUR, maxMs: NOW }, 0, context)).length,
    });
    const before = await asked();
    await life.feed.append([[{ __name__: "odd", strange: "x" }, NOW, 1]]);
    await life.remove([{ type: "=", name: "strange", value: "x" }]);
    expect(await asked()).toEqual(before);
    await life.settled(life.db.flush());
    await life.remove(one(2));
    const without = {
      ...before,
      values: before.values.filter((value) => value !== "2"),
      series: before.series - 1,
      one: 0,
    };
    expect(await asked()).toEqual(without);
    await life.settled(life.db.deletable.cleanTombstones());
    expect(await asked()).toEqual(without);
    await life.kill();
    expect(await asked()).toEqual(without);
    await life.db.close();
  });

  test("is in the log although the disk has no room for the registry", async () => {
    const problems: string[] = [];
    const life = await new Life({ onProblem: (problem) => problems.push(problem) }).open();
    const rows = await filled(life);
    await life.settled(life.db.flush());
    life.fs.faults = (call) => (call.path.includes("registry.json") && call.kind === "write" ? "ENOSPC" : undefined);
    await life.remove(one(2));
    expect(problems.length).toBe(1);
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    life.fs.faults = () => undefined;
    await life.kill();
    expect(contents(life.db)).toEqual(lines(not(rows, 2)));
    // The next change of the registry brings it along.
    await life.clock.advance(10_000);
    const text = Buffer.from(readRegistry(life.fs)).toString();
    expect(text).toContain('"tombstones"');
    await life.db.close();
  });

  test("and undoings, several of which the registry was not told of, are all told to blocks at a start", async () => {
    const life = await new Life({}).open();
    const rows = await filled(life);
    await life.settled(life.db.flush());
    life.fs.faults = (call) => (call.path.includes("registry.json") && call.kind === "write" ? "ENOSPC" : undefined);
    await life.remove(one(1));
    await life.remove(one(2));
    const undone = await life.remove(one(3));
    await life.settled(life.db.deletable.undelete(TENANT, undone!.id));
    const left = lines(rows.filter(([labels]) => labels.i !== "1" && labels.i !== "2"));
    expect(contents(life.db)).toEqual(left);
    life.fs.faults = () => undefined;
    await life.kill();
    expect(contents(life.db)).toEqual(left);
    // The registry takes it all.
    await life.settled(life.db.flush());
    await life.kill();
    expect(contents(life.db)).toEqual(left);
    await life.db.close();
  });
});

function readRegistry(fs: SimFileSystem): Uint8Array {
  const file = fs.open(`${DATA_DIR}/blocks/registry.json`, "read");
  const bytes = new Uint8Array(file.sizeBytes());
  file.read(bytes, 0);
  file.close();
  return bytes;
}

/** Every sample that was ever written, each with the deletions that found it: slow and obvious. */
class Twin {
  private readonly samples: { i: number; time: number; bits: bigint; row: Row; by: Set<string> }[] = [];
  readonly open = new Map<string, number>();

  write(row: Row): void {
    const [labels, time, value] = row;
    this.samples.push({ i: Number(labels.i), time, bits: bitsOfNumber(value as number), row, by: new Set() });
  }

  delete(id: string, i: number, minMs: number, maxMs: number, madeMs: number): void {
    this.open.set(id, madeMs);
    for (const sample of this.samples) {
      if (sample.i === i && sample.time >= minMs && sample.time <= maxMs) sample.by.add(id);
    }
  }

  undo(id: string): void {
    this.open.delete(id);
    for (const { by } of this.samples) by.delete(id);
  }

  contents(): string[] {
    const winners = new Map<string, (typeof this.samples)[number]>();
    for (const sample of this.samples) {
      if (sample.by.size > 0) continue;
      const key = `${sample.i} ${sample.time}`;
      const known = winners.get(key);
      if (known === undefined || wins(sample.bits, known.bits)) winners.set(key, sample);
    }
    return [...winners.values()].map(({ row }) => line(row)).sort();
  }
}

describe("random lives", () => {
  const SEEDS = Number(process.env.FUZZ_RUNS ?? 12);

  test(`${SEEDS} storages with deletions, undoings, cuts, merges, kills hold what the twin says`, {
    timeout: 0,
  }, async () => {
    const counts = { deleted: 0, undone: 0, applied: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed);
      const undoMs = random.pick([3 * MINUTE, 20 * MINUTE, 3 * DAY]);
      const life = new Life({
        windowMs: 10 * MINUTE,
        lateWindowMs: 2 * MINUTE,
        walSegmentBytes: 32 << 10,
        deleteUndoMs: undoMs,
      });
      const twin = new Twin();
      await life.open();
      const check = (at: string) => expect(contents(life.db), `seed ${seed}, ${at}`).toEqual(twin.contents());
      for (let step = 0; step < 100; step++) {
        await life.clock.advance(random.chance(0.003) ? 26 * HOUR : random.below(2 * MINUTE));
        const rows: Row[] = [];
        for (let n = random.below(12); n > 0; n--) {
          const late = random.chance(0.3)
            ? random.below(30 * MINUTE)
            : random.chance(0.05)
              ? random.below(40 * HOUR)
              : 0;
          // Few times and values, so that many meet.
          const time = Math.floor((life.clock.nowMs() - late) / 30_000) * 30_000;
          rows.push([series(random.below(6)), time, random.below(8)]);
        }
        for (const row of rows) {
          await life.feed.append([row]);
          twin.write(row);
        }
        if (random.chance(0.15)) {
          const i = random.below(6);
          const minMs = random.chance(0.4) ? -Number.MAX_SAFE_INTEGER : life.clock.nowMs() - random.below(3 * HOUR);
          const maxMs = random.chance(0.4) ? Number.MAX_SAFE_INTEGER : life.clock.nowMs() - random.below(HOUR);
          const made = await life.remove(one(i), minMs, maxMs);
          if (made !== undefined) {
            twin.delete(made.id, i, minMs, maxMs, made.madeMs);
            counts.deleted++;
          }
          check(`step ${step}, deleted`);
        }
        const listed = await life.db.deletable.deletions(TENANT);
        for (const { id } of listed) expect(twin.open.has(id)).toBe(true);
        if (listed.length > 0 && random.chance(0.1)) {
          const { id } = random.pick(listed);
          await life.settled(life.db.deletable.undelete(TENANT, id));
          twin.undo(id);
          counts.undone++;
          check(`step ${step}, undone`);
        }
        if (random.chance(0.06)) await life.settled(life.db.flush());
        if (random.chance(0.08)) await life.settled(life.db.compact());
        counts.applied = Math.max(counts.applied, life.db.report().cuts.merged);
        if (random.chance(0.01)) {
          await life.settled(life.db.deletable.cleanTombstones());
          expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
        }
        if (random.chance(0.06)) {
          if (random.chance(0.5)) {
            await life.db.close();
            await life.open();
          } else await life.kill();
          check(`step ${step}, restarted`);
        }
        if (random.chance(0.1)) check(`step ${step}`);
      }
      check("at the end");
      await life.db.close();
    }
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(3);
  });
});
