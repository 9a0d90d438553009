// test/unit/tsdb/deletion-side.test.ts: deletions hide histograms, exemplars and start times as they hide floats: in memory, in files, after
// cuts, merges and kills; they are undone and applied. Random lives are compared with a twin that keeps all it ever got.
import { expect, test } from "vitest";
import { readWhole, SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { exponentialLayout, type Labels, labelsFromRecord, type QueryContext } from "../../../libs/model/index.ts";
import { mergeSide, NO_SIDE, orderedSide, type SideSeries } from "../../../libs/side/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import { DATA_DIR, HOUR, NOW, openDb, TENANT } from "./db-fixture.ts";
import { appendSide, sideOf } from "./side-fixture.ts";

const MINUTE = 60_000;
const OPTIONS = { retentionMs: 30 * 24 * HOUR, headMemoryBytes: 4 << 20 };
const SERIES = [0, 1, 2].map((i) => labelsFromRecord({ __name__: "h", instance: `host${i}`, job: "j", i: `${i}` }));
const FOREVER = Number.MAX_SAFE_INTEGER;
const CONTEXT: QueryContext = {
  ...{ tenant: TENANT, signal: new AbortController().signal },
  ...{ deadlineMs: FOREVER, samplesMax: 1e9 },
};

const histogramAt = (timeMs: number, count: number): SideSeries => {
  const layout = exponentialLayout(0, 0, [1, 2], []);
  const buckets = Float64Array.of(1, count - 1);
  const histogram = { layout, hint: 0 as const, count, sum: 2 * count, zeroCount: 0, buckets };
  return { ...NO_SIDE, histograms: [{ timeMs, histogram }] };
};
const exemplarAt = (timeMs: number, value: number): SideSeries => {
  return { ...NO_SIDE, exemplars: [{ timeMs, value, labels: ["trace_id", `${value}`] }] };
};
const startAt = (timeMs: number, startMs: number): SideSeries => ({ ...NO_SIDE, starts: [{ timeMs, startMs }] });

/** A storage whose process comes and goes. */
class Life {
  readonly fs = new SimFileSystem();
  clock = new SimClock(NOW);
  db!: Db;
  readonly problems: string[] = [];
  private lives = 0;
  private ids = 0;
  private readonly options: Partial<DbOptions>;

  constructor(options: Partial<DbOptions> = {}) {
    this.options = options;
  }

  async open(): Promise<this> {
    const random = new SeededRandom(++this.lives);
    const { clock, problems } = this;
    const onProblem = (problem: string): unknown => problems.push(problem);
    this.db = await openDb(this.fs, { ...OPTIONS, ...this.options, clock, random, onProblem });
    expect(this.db.replayed.damage).toEqual([]);
    return this;
  }

  async kill(powerCut?: SeededRandom): Promise<void> {
    if (powerCut === undefined) this.fs.kill();
    else this.fs.crash(powerCut);
    this.clock = new SimClock(this.clock.nowMs());
    await this.open();
  }

  async settle<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const mark = work.finally(() => {
      done = true;
    });
    mark.catch(() => undefined);
    while (!done) await this.clock.advance(1);
    return mark;
  }

  put(i: number, side: SideSeries): Promise<unknown> {
    return this.settle(appendSide(this.db, [[SERIES[i]!, side]]));
  }

  remove(i: number, minMs = -FOREVER, maxMs = FOREVER) {
    const id = (++this.ids).toString(16).padStart(16, "0");
    const sets = [[{ type: "=", name: "i", value: `${i}` } as const]];
    return this.settle(
      this.db.deletable.deleteSeries({ id, tenant: TENANT, sets, selectors: [`{i="${i}"}`], minMs, maxMs }),
    );
  }

  /** Labels of the series that have samples. */
  async series(): Promise<Labels[]> {
    const range = { minMs: -FOREVER, maxMs: FOREVER };
    return this.settle(this.db.queryable.series([], range, 0, CONTEXT));
  }

  files(folder = "side"): string[] {
    const path = `${DATA_DIR}/${folder}`;
    return this.fs.stat(path) === undefined ? [] : this.fs.list(path);
  }
}

const ALL = (t: number): SideSeries =>
  orderedSide(mergeSide([histogramAt(t, 5), exemplarAt(t, 1), startAt(t, 7), histogramAt(t + 1000, 6)]));

test("what is in memory is hidden, comes back when undone, and what comes later is not hidden", async () => {
  const life = await new Life().open();
  await life.put(0, ALL(NOW - HOUR));
  await life.put(1, ALL(NOW - HOUR));
  const made = await life.remove(0);
  expect(made).toMatchObject({ series: 1 });
  expect(sideOf(life.db, SERIES[0]!)).toEqual(NO_SIDE);
  expect(sideOf(life.db, SERIES[1]!)).toEqual(ALL(NOW - HOUR));
  expect(await life.series()).toEqual([SERIES[1]]);
  await life.put(0, histogramAt(NOW - HOUR, 4));
  await life.kill();
  expect(sideOf(life.db, SERIES[0]!)).toEqual(histogramAt(NOW - HOUR, 4));
  await life.settle(life.db.deletable.undelete(TENANT, made!.id));
  expect(sideOf(life.db, SERIES[0]!)).toEqual(ALL(NOW - HOUR));
  await life.kill();
  expect(sideOf(life.db, SERIES[0]!)).toEqual(ALL(NOW - HOUR));
  expect((await life.series()).length).toBe(2);
});

test("what is in files is hidden there, and taken out when it is applied", async () => {
  const life = await new Life().open();
  await life.put(0, ALL(NOW - HOUR));
  await life.put(1, ALL(NOW - HOUR));
  await life.settle(life.db.flush());
  const before = life.files();
  const made = await life.remove(0, NOW - HOUR, NOW - HOUR);
  expect(sideOf(life.db, SERIES[0]!)).toEqual(histogramAt(NOW - HOUR + 1000, 6));
  expect(life.files()).toEqual(before);
  await life.kill();
  expect(sideOf(life.db, SERIES[0]!)).toEqual(histogramAt(NOW - HOUR + 1000, 6));
  const range = { minMs: NOW - HOUR, maxMs: NOW - HOUR };
  expect((await life.settle(life.db.queryable.exemplars([[]], range, CONTEXT))).length).toBe(1);
  expect((await life.settle(life.db.queryable.series([], range, 0, CONTEXT))).length).toBe(1);
  expect((await life.db.deletable.deletions(TENANT)).map(({ id }) => id)).toEqual([made!.id]);
  await life.settle(life.db.deletable.cleanTombstones());
  expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
  expect(sideOf(life.db, SERIES[0]!)).toEqual(histogramAt(NOW - HOUR + 1000, 6));
  expect(sideOf(life.db, SERIES[1]!)).toEqual(ALL(NOW - HOUR));
  expect(life.files().filter((file) => before.includes(file)).length).toBeLessThan(before.length);
  expect(Buffer.from(readWhole(life.fs, `${DATA_DIR}/blocks/registry.json`)!).includes(`"side"`)).toBe(false);
  await life.kill();
  expect(sideOf(life.db, SERIES[0]!)).toEqual(histogramAt(NOW - HOUR + 1000, 6));
  expect(life.db.report().openDeletions).toBe(0);
});

test("what a cut finds hidden goes into a file that is named once the registry knows, or at the next start", async () => {
  for (const at of ["block-registry-name", "rename"]) {
    const life = await new Life().open();
    await life.put(0, ALL(NOW - HOUR));
    const made = await life.remove(0);
    let armed = false;
    life.fs.faults = (call) => {
      if (call.site === "block-registry-name") armed = at === "rename" || call.site === at;
      return armed && (call.site === at || (call.kind === at && call.path.includes("/side/"))) ? "crash" : undefined;
    };
    life.db.flush().catch(() => {});
    for (let turn = 0; turn < 500 && !life.fs.crashed; turn++) await life.clock.advance(1);
    expect(life.fs.crashed).toBe(true);
    life.fs.faults = () => undefined;
    await life.kill();
    expect(sideOf(life.db, SERIES[0]!)).toEqual(NO_SIDE);
    expect(life.files().every((name) => name.endsWith(".tms"))).toBe(true);
    await life.settle(life.db.deletable.undelete(TENANT, made!.id));
    expect(sideOf(life.db, SERIES[0]!)).toEqual(ALL(NOW - HOUR));
    await life.settle(life.db.flush());
    await life.kill();
    expect(sideOf(life.db, SERIES[0]!)).toEqual(ALL(NOW - HOUR));
  }
});

/** Whether what a cut has written hidden comes back, when the power goes before its file is named; with one sync taken out. */
async function comesBack(seed: number, ignored: string): Promise<boolean> {
  const life = await new Life().open();
  life.fs.fsyncDir("/", "");
  await life.put(0, ALL(NOW - HOUR));
  const made = await life.remove(0);
  life.fs.ignoreSync(({ site }) => site === ignored);
  life.fs.faults = (call) => (call.kind === "rename" && call.path.includes("/side/") ? "crash" : undefined);
  life.db.flush().catch(() => {});
  for (let turn = 0; turn < 500 && !life.fs.crashed; turn++) await life.clock.advance(1);
  expect(life.fs.crashed).toBe(true);
  life.fs.faults = () => undefined;
  await life.kill(new SeededRandom(seed));
  expect(sideOf(life.db, SERIES[0]!)).toEqual(NO_SIDE);
  const [listed] = await life.db.deletable.deletions(TENANT);
  if (listed === undefined) return false;
  expect(listed.id).toBe(made!.id);
  await life.settle(life.db.deletable.undelete(TENANT, listed.id));
  return sideOf(life.db, SERIES[0]!).histograms.length === 2;
}

test("a power cut before it is named takes nothing; without the sync of its draft's name it would", async () => {
  const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
  for (const seed of seeds) expect([seed, await comesBack(seed, "")]).toEqual([seed, true]);
  const found = [];
  for (const seed of seeds) found.push(await comesBack(seed, "side-draft-name"));
  expect(found).toContain(false);
});

/** Remembers whatever was put, and what deletions found. */
class Twin {
  private readonly items: { i: number; time: number; side: SideSeries; by: Set<string> }[] = [];
  readonly open = new Map<string, number>();

  put(i: number, time: number, side: SideSeries): void {
    this.items.push({ i, time, side, by: new Set() });
  }

  delete(id: string, i: number, minMs: number, maxMs: number): void {
    this.open.set(id, i);
    for (const item of this.items) if (item.i === i && item.time >= minMs && item.time <= maxMs) item.by.add(id);
  }

  undo(id: string): void {
    this.open.delete(id);
    for (const { by } of this.items) by.delete(id);
  }

  sideOf(i: number): SideSeries {
    const seen = this.items.filter((item) => item.i === i && item.by.size === 0);
    return seen.length === 0 ? NO_SIDE : orderedSide(mergeSide(seen.map(({ side }) => side)));
  }
}

const SEEDS = Number(process.env.FUZZ_RUNS ?? 10);

test(`${SEEDS} storages with deletions, undoings, cuts, merges, kills hold what the twin says`, {
  timeout: 0,
}, async () => {
  const counts = { deleted: 0, undone: 0, found: 0, cleaned: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed);
    const deleteUndoMs = random.pick([3 * MINUTE, 20 * MINUTE, 72 * HOUR]);
    const life = new Life({
      ...{ windowMs: 10 * MINUTE, lateWindowMs: 2 * MINUTE, walSegmentBytes: 32 << 10, deleteUndoMs },
      headMemoryBytes: random.pick([4 << 20, 1 << 20]),
    });
    const twin = new Twin();
    await life.open();
    const check = (at: string): void => {
      for (const [i, labels] of SERIES.entries()) {
        expect(sideOf(life.db, labels), `seed ${seed}, ${at}, series ${i}`).toEqual(twin.sideOf(i));
      }
    };
    for (let step = 0; step < 80; step++) {
      await life.clock.advance(random.chance(0.01) ? 26 * HOUR : random.below(2 * MINUTE));
      for (let n = random.below(5); n > 0; n--) {
        const late = random.chance(0.2) ? random.below(40 * HOUR) : random.below(20 * MINUTE);
        const time = Math.floor((life.clock.nowMs() - late) / MINUTE) * MINUTE;
        const make = random.pick([histogramAt, histogramAt, exemplarAt, startAt]);
        const [i, side] = [random.below(3), make(time, 1 + random.below(4))];
        await life.put(i, side);
        twin.put(i, time, side);
      }
      if (random.chance(0.15)) {
        const i = random.below(3);
        const minMs = random.chance(0.4) ? -FOREVER : life.clock.nowMs() - random.below(3 * HOUR);
        const maxMs = random.chance(0.4) ? FOREVER : life.clock.nowMs() - random.below(HOUR);
        const made = await life.remove(i, minMs, maxMs);
        if (made !== undefined) {
          twin.delete(made.id, i, minMs, maxMs);
          counts.deleted++;
        }
        check(`step ${step}, deleted`);
      }
      const listed = await life.db.deletable.deletions(TENANT);
      for (const { id } of listed) expect(twin.open.has(id)).toBe(true);
      if (listed.length > 0 && random.chance(0.1)) {
        const { id } = random.pick(listed);
        await life.settle(life.db.deletable.undelete(TENANT, id));
        twin.undo(id);
        counts.undone++;
        check(`step ${step}, undone`);
      }
      if (random.chance(0.06)) await life.settle(life.db.flush());
      if (random.chance(0.08)) await life.settle(life.db.compact());
      counts.found = Math.max(counts.found, life.db.report().side.files);
      if (random.chance(0.01)) {
        await life.settle(life.db.deletable.cleanTombstones());
        expect(await life.db.deletable.deletions(TENANT)).toEqual([]);
        counts.cleaned++;
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
    expect(life.problems).toEqual([]);
    await life.db.close();
  }
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(1);
});
