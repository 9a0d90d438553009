// test/crash/life.ts: the whole life of a small storage, step by step: samples and histograms come, are cut, merged and made rows of, deleted and
// brought back, renewed by late ones, and expire level by level. It may die at any call: the step is done again then, as its client would.
// All the time samples are there once, and answers from rows, blocks and heads agree with them.
import { expect } from "vitest";
import {
  errorCode,
  readWhole,
  removeTree,
  SeededRandom,
  type SimCall,
  SimClock,
  SimFileSystem,
} from "../../libs/env/index.ts";
import {
  exponentialLayout,
  labelsFromRecord,
  labelsToRecord,
  type QueryContext,
  UnavailableError,
} from "../../libs/model/index.ts";
import { Engine } from "../../libs/promql/index.ts";
import { type Db, type DbOptions, verifyDirectory } from "../../libs/tsdb/index.ts";
import { suspectPath } from "../../libs/wal/index.ts";
import { DATA_DIR, Feed, HOUR, openDb, type Row, settled, TENANT } from "../unit/tsdb/db-fixture.ts";
import { appendSide } from "../unit/tsdb/side-fixture.ts";
import { type Activity, PointNames } from "./points.ts";
import { SimPieceStore } from "./sim-piece-store.ts";

export const DAY = 24 * HOUR;
/** Midnight after the days that have samples. */
export const END = 19_700 * DAY;
const DAYS = 2;
const MINUTE = 60_000;
const STEP_MS = 5 * MINUTE;
/** So much of each day has a sample a minute. */
const DENSE_MS = 5 * HOUR;
const RETENTION = { retentionMs: 4 * DAY, rowRetentionMs: { "1m": 8 * DAY, "1h": 30 * DAY } };
const WINDOW_MS = 60_000;
const NAME = "c_total";
const INDEX = `${DATA_DIR}/index`;
/** Calls that a full disk refuses. */
export const NEEDS_ROOM: ReadonlySet<SimCall["kind"]> = new Set(["write", "makeDirectory", "link", "rename"]);
/** So many turns of a step see the full disk. */
const TURNS_FULL = 300;
/** Where keys of the index have the id of the block. */
const BLOCK_ID_AT = 6;
const FIRST_DELETION = "00000000000000a1";
const SECOND_DELETION = "00000000000000a2";

/** Samples by "series time"; histograms by "series time" of a series of their own. */
type Samples = Map<string, number>;

const keyOf = (series: string, timeMs: number): string => `${series} ${timeMs}`;
const timeOf = (key: string): number => Number(key.slice(key.indexOf(" ") + 1));
const hourOf = (key: string): string => {
  return `${key.slice(0, key.indexOf(" "))} ${Math.ceil(timeOf(key) / HOUR) * HOUR}`;
};

export interface LifeOptions {
  /** What makes ids, and decides what a power loss leaves. */
  readonly seed: number;
  /**
   * Hears of every call that changes the disk, by the name of its point. Says whether the process dies there, the disk is full from there on,
   * or this call fails.
   */
  readonly onPoint: (name: string, call: SimCall) => "dies" | "is full" | "fails" | undefined;
  /** Whether only the process dies at a point, and the machine later. */
  readonly keepsCache: boolean;
  /** Whether samples are looked at from the beginning, and not only once it has died. */
  readonly looksAlways: boolean;
}

export class Life {
  readonly fs = new SimFileSystem();
  readonly random: SeededRandom;
  deaths = 0;
  /** Steps that were refused, or had to wait, because the disk was full. */
  refusals = 0;
  /** Processes that stopped because a call failed; those calls that stopped none. */
  stops = 0;
  harmless = 0;
  private isFull = false;
  private hasFailed = false;
  /** Of a process that was killed something may be in the cache alone: power is lost once its successor has done the step. */
  private owesPowerLoss = false;
  private failure: Error | undefined;
  /** What has become of the index between two lives of the process. */
  readonly harms = new Set<string>();
  private readonly olderIndexes: Uint8Array[] = [];
  private readonly options: LifeOptions;
  private readonly names = new PointNames(DATA_DIR);
  private clock = new SimClock(END + 3 * HOUR);
  private db!: Db;
  private feed!: Feed;
  /** What was acknowledged and is to be seen. */
  private readonly samples: Samples = new Map();
  private readonly histograms: Samples = new Map();
  /** What the step at hand brings or takes away: it may be there or not while it is not done. */
  private doubtful: Samples = new Map();
  private doubtfulHistograms: Samples = new Map();
  /** By deletion: what it has hidden. */
  private readonly hidden = new Map<string, Samples>();
  private retentionBytes = Number.POSITIVE_INFINITY;
  private cutOff = false;

  constructor(options: LifeOptions) {
    this.options = options;
    this.random = new SeededRandom(options.seed);
    this.fs.makeDirectory("/disk");
    this.fs.makeDirectory(DATA_DIR);
    this.fs.fsyncDir("/", "");
    this.fs.fsyncDir("/disk", "");
    this.fs.faults = (call) => {
      const name = this.names.nameOf(call);
      const fate = name === undefined ? undefined : options.onPoint(name, call);
      if (fate === "dies") return "crash";
      if (fate === "is full") this.isFull = true;
      if (fate === "fails") {
        this.hasFailed = true;
        return "EIO";
      }
      return this.isFull && NEEDS_ROOM.has(call.kind) && !call.path.endsWith("/LOCK") ? "ENOSPC" : undefined;
    };
  }

  async run(): Promise<void> {
    await this.do("start", () => this.open());
    await this.write(this.rows(0));
    await this.writeHistograms(1);
    await this.do("flush", () => this.db.flush());
    await this.write(this.rows(1000, 40));
    await this.writeHistograms(2);
    await this.do("flush", () => this.db.flush());
    await this.do("compact", () => this.db.compact());
    expect(this.rowsMade).toEqual([DAYS, DAYS]);
    expect(this.rowBytes).toBeGreaterThan(1000);
    await this.delete(FIRST_DELETION, "0", END - DAY - 6 * HOUR, END - DAY + HOUR);
    await this.undelete(FIRST_DELETION);
    await this.write([0, 1, 2].map((i): Row => [this.labels(i), this.clock.nowMs() - 1000, 40 + i]));
    await this.delete(SECOND_DELETION, "1", END - HOUR, END + 10 * HOUR);
    await this.do("erase", () => this.db.deletable.cleanTombstones());
    await this.do("compact", () => this.db.compact());
    await this.do("snapshot", () => this.db.snapshot());
    await this.write(this.rows(2000, 50));
    // Windows end, and are cut when their time has come.
    await this.do("tick", () => this.clock.advance(2 * WINDOW_MS));
    await this.do("flush", () => this.db.flush());
    await this.do("compact", () => this.db.compact());
    expect(this.rowsMade).toEqual([DAYS, DAYS]);
    await this.restart(END + 5 * HOUR);
    // Samples expire, then rows of a minute, then all there is.
    for (const days of [5, 9]) {
      await this.restart(END + days * DAY);
      await this.do("retention", () => this.db.compact());
    }
    expect(this.rowsMade[0]).toBe(0);
    await this.write([0, 1].map((i): Row => [this.labels(i), this.clock.nowMs() - 1000, 50 + i]));
    await this.do("flush", () => this.db.flush());
    this.retentionBytes = 1;
    await this.restart(END + 9 * DAY + HOUR);
    this.cutOff = true;
    await this.do("retention", () => this.db.compact());
    expect(this.db.report().blocks.count).toBe(0);
    await this.do("stop", () => this.db.close(), false);
  }

  /** Live blocks of rows of a minute and of an hour. */
  private get rowsMade(): number[] {
    return ["1m", "1h"].map((level) => this.db.report().levels.find((one) => one.level === level)!.count);
  }

  /** Size of the blocks of rows of an hour: those without any take some 200 bytes. */
  private get rowBytes(): number {
    return this.db.report().levels.find(({ level }) => level === "1h")!.sizeBytes;
  }

  private labels(i: number): Record<string, string> {
    return { __name__: NAME, i: `${i}` };
  }

  /** Samples of all days: of their last hours every minute, so that rows pay; or, late, every so many steps. */
  private rows(offsetMs: number, every = 0): Row[] {
    const rows: Row[] = [];
    const stepMs = every === 0 ? MINUTE : every * STEP_MS;
    for (let time = END - DAYS * DAY + stepMs; time <= END; time += stepMs) {
      if (every === 0 && (time - 1) % DAY < DAY - DENSE_MS) continue;
      const minute = time / MINUTE;
      for (const i of [0, 1, 2]) rows.push([this.labels(i), time - offsetMs, (minute * minute * (i + 1)) % 50_021]);
    }
    return rows;
  }

  private async write(rows: readonly Row[]): Promise<void> {
    // Samples of one time come together, as a scrape's do.
    for (let at = 0; at < rows.length; at += 900) {
      const some = rows.slice(at, at + 900);
      this.doubtful = new Map(some.map(([{ i }, time, value]) => [keyOf(i!, time), value as number]));
      await this.do("write", async () => {
        const { status, rejections } = await this.feed.append(some);
        expect([status, rejections]).toEqual(["stored", []]);
      });
      this.become();
    }
  }

  private async writeHistograms(round: number): Promise<void> {
    const layout = exponentialLayout(0, 0, [1, 2], []);
    const times = [END - DAY - HOUR, END - 2 * HOUR].map((time) => time + round * 60_000);
    this.doubtfulHistograms = new Map(times.map((time) => [keyOf("h", time), round + 1]));
    const histograms = times.map((timeMs) => ({
      timeMs,
      histogram: {
        ...{ layout, hint: 0 as const, count: round + 1, sum: 1, zeroCount: 0 },
        buckets: Float64Array.of(1, round),
      },
    }));
    const side = { histograms, exemplars: [], starts: [] };
    await this.do("write", async () => {
      await appendSide(this.db, [[labelsFromRecord({ __name__: "h" }), side]]);
    });
    this.become();
  }

  private become(): void {
    for (const [key, value] of this.doubtful) this.samples.set(key, value);
    for (const [key, value] of this.doubtfulHistograms) this.histograms.set(key, value);
    this.doubtful = new Map();
    this.doubtfulHistograms = new Map();
  }

  private async delete(id: string, i: string, minMs: number, maxMs: number): Promise<void> {
    for (const [key, value] of [...this.samples]) {
      if (!key.startsWith(`${i} `) || timeOf(key) < minMs || timeOf(key) > maxMs) continue;
      this.doubtful.set(key, value);
      this.samples.delete(key);
    }
    expect(this.doubtful.size).toBeGreaterThan(1);
    const matchers = [{ type: "=", name: "i", value: i }] as const;
    const request = { id, tenant: TENANT, minMs, maxMs, sets: [matchers], selectors: [`{i="${i}"}`] };
    await this.do("delete", async () => {
      const known = await this.db.deletable.deletions(TENANT);
      if (!known.some((one) => one.id === id)) await this.db.deletable.deleteSeries(request);
    });
    this.hidden.set(id, this.doubtful);
    this.doubtful = new Map();
  }

  private async undelete(id: string): Promise<void> {
    this.doubtful = this.hidden.get(id)!;
    await this.do("undelete", async () => {
      const known = await this.db.deletable.deletions(TENANT);
      if (known.some((one) => one.id === id)) await this.db.deletable.undelete(TENANT, id);
    });
    this.become();
  }

  private async restart(nowMs: number): Promise<void> {
    await this.do("stop", () => this.db.close(), false);
    this.clock = new SimClock(nowMs);
    await this.do("start", () => this.open());
  }

  /** Does a step, again and again until it is done; samples are looked at after it and after each death. */
  private async do(activity: Activity, step: () => Promise<unknown>, isOpen = true): Promise<void> {
    for (let tries = 1; ; tries++) {
      expect(tries).toBeLessThan(50);
      this.names.begin(activity);
      const outcome = await this.attempt(step);
      if (this.isFull) await this.makeRoom(isOpen && activity !== "start");
      if (outcome === "done") break;
      if (outcome === "refused") continue;
      if (outcome === "failed") {
        await this.stopAndVerify(activity !== "start");
        continue;
      }
      await this.comeBack();
      if (activity === "start") break;
    }
    expect(this.failure).toBeUndefined();
    if (isOpen && this.owesPowerLoss) await this.unseen(() => this.losePower());
    await this.unseen(async () => {
      const bytes = readWhole(this.fs, `${INDEX}/log`);
      if (bytes !== undefined) this.olderIndexes.push(bytes);
    });
    if (isOpen) await this.check();
  }

  /** Errors: those of the step that a full disk doesn't explain. */
  private async attempt(step: () => Promise<unknown>): Promise<"done" | "refused" | "died" | "failed"> {
    let outcome: { readonly error?: unknown } | undefined;
    step().then(
      () => {
        outcome = {};
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    const { clock } = this;
    let full = 0;
    for (let turn = 0; outcome === undefined && !this.fs.crashed; turn++) {
      if (turn > 20_000) throw new Error("the step does not end");
      // What the log has taken waits for room.
      if (this.isFull && ++full === TURNS_FULL) {
        full = 0;
        await this.makeRoom(true);
      }
      await clock.advance(turn < 200 ? 0 : 1);
    }
    if (this.fs.crashed) return "died";
    const error = outcome?.error;
    if (this.hasFailed) {
      this.hasFailed = false;
      // Whoever hears of it does so after what has met it.
      await clock.advance(0);
      if (this.failure !== undefined || error !== undefined) return "failed";
      this.harmless++;
    }
    if (error === undefined) return "done";
    const isRefusal = error instanceof UnavailableError || errorCode(error) === "ENOSPC";
    if (!isRefusal || !this.isFull) throw error;
    this.refusals++;
    return "refused";
  }

  /** Queries go on while the disk is full; then there is room again, and all goes on by itself. */
  private async makeRoom(looks: boolean): Promise<void> {
    if (looks) await this.look();
    this.isFull = false;
    await this.clock.advance(6000);
  }

  private async losePower(): Promise<void> {
    this.owesPowerLoss = false;
    this.fs.crash(this.random);
    this.clock = new SimClock(this.clock.nowMs());
    expect(await this.attempt(() => this.open())).toBe("done");
  }

  /**
   * After a call that failed: queries go on; where it was one of consequence the process stops, its successor reads only, and once the
   * directory was verified even a loss of power takes nothing.
   */
  private async stopAndVerify(isOpen: boolean): Promise<void> {
    const { fs } = this;
    if (isOpen) {
      await this.unseen(() => this.look());
      if (this.failure === undefined) {
        this.harmless++;
        return;
      }
      await this.unseen(async () => {
        await this.attempt(() => this.db.close());
      });
    }
    this.stops++;
    this.failure = undefined;
    await this.unseen(async () => {
      fs.kill();
      this.clock = new SimClock(this.clock.nowMs());
      if (fs.stat(suspectPath(DATA_DIR)) !== undefined) {
        expect(await this.attempt(() => this.open())).toBe("done");
        expect(this.db.readOnlyReason).toContain("SUSPECT");
        await this.look();
        await this.attempt(() => this.db.close());
        const processes = { pid: 9, host: "test", startOf: (pid: number) => (pid === 9 ? "now" : undefined) };
        const report = await settled(
          this.clock,
          verifyDirectory({ fs, clock: this.clock, processes, dataDir: DATA_DIR }),
        );
        expect(report.damages).toEqual([]);
      } else expect(isOpen).toBe(false);
      fs.crash(this.random);
      if (isOpen) {
        expect(await this.attempt(() => this.open())).toBe("done");
        expect(this.db.readOnlyReason).toBeUndefined();
        await this.look();
      }
    });
  }

  /** Starts anew after a death, until a start survives. */
  private async comeBack(): Promise<void> {
    do {
      this.deaths++;
      if (this.options.keepsCache) this.fs.kill();
      else this.fs.crash(this.random);
      this.owesPowerLoss = this.options.keepsCache;
      await this.unseen(() => this.harmIndex());
      this.clock = new SimClock(this.clock.nowMs());
      this.names.begin("start");
    } while ((await this.attempt(() => this.open())) !== "done");
    await this.check();
  }

  /** The index is lost, an older one, or ahead of the blocks, as when its folder or theirs was put back; or it is left as it is. */
  private async harmIndex(): Promise<void> {
    const { fs, random } = this;
    const harm = random.pick(["none", "none", "lost", "older", "ahead"] as const);
    if (harm === "none" || fs.stat(INDEX) === undefined) return;
    this.harms.add(harm);
    if (harm === "ahead") {
      const store = await SimPieceStore.open(fs, INDEX);
      const key = await store.firstKey(new Uint8Array(0));
      if (key === undefined) return;
      const value = store.get(key)!;
      const stranger = key.map((byte, i) => (i >= BLOCK_ID_AT && i < BLOCK_ID_AT + 16 ? byte ^ 0x55 : byte));
      await store.write([{ key: stranger, value }]);
      await store.close();
      return;
    }
    removeTree(fs, INDEX);
    const older = this.olderIndexes;
    if (harm === "lost" || older.length === 0) return;
    fs.makeDirectory(INDEX);
    const file = fs.open(`${INDEX}/log`, "create");
    file.write(random.pick(older), 0);
    file.close();
  }

  /** Does something that is no part of the life: it dies at nothing. */
  private async unseen(work: () => Promise<void>): Promise<void> {
    const { faults } = this.fs;
    this.fs.faults = () => undefined;
    await work();
    this.fs.faults = faults;
  }

  private async open(): Promise<void> {
    const { clock, retentionBytes } = this;
    const random = new SeededRandom(this.random.u32());
    const fs = this.fs.process();
    const options: Partial<DbOptions> = {
      ...{ ...RETENTION, retentionBytes, random, shardCount: 1, headMemoryBytes: 4 << 20, walSegmentBytes: 8192 },
      ...{ windowMs: WINDOW_MS, lateWindowMs: WINDOW_MS / 10 },
    };
    this.db = await openDb(fs, { ...options, clock, pieceStore: await SimPieceStore.open(fs, INDEX) });
    this.feed = new Feed(this.db);
    const { db, deaths } = this;
    void db.failed.then((error) => {
      // What a dead process says is of no interest.
      if (!this.fs.crashed && this.db === db && this.deaths === deaths) this.failure = error;
    });
    expect(this.db.damagedBlocks).toEqual([]);
    expect(this.db.replayed.damage.filter(({ kind }) => kind !== "tail")).toEqual([]);
  }

  private get floorMs(): number {
    return this.cutOff ? this.clock.nowMs() : this.clock.nowMs() - RETENTION.retentionMs;
  }

  /** Everything that must be there is, once; nothing else is, but what is on its way; and answers say the same. */
  private async check(): Promise<void> {
    if (this.deaths === 0 && !this.options.looksAlways) return;
    await this.unseen(() => this.look());
  }

  private async look(): Promise<void> {
    const found: Samples = new Map();
    const foundHistograms: Samples = new Map();
    for (const { labels, times, values, side } of this.db.export(TENANT, [])) {
      const { i = "h" } = labelsToRecord(labels);
      times.forEach((time, k) => {
        put(found, keyOf(i, time), values[k]!);
      });
      for (const { timeMs, histogram } of side.histograms) put(foundHistograms, keyOf(i, timeMs), histogram!.count);
    }
    this.compare(found, this.samples, this.doubtful);
    this.compare(foundHistograms, this.histograms, this.doubtfulHistograms);
    // Rows are all there is of what has expired.
    if (!this.cutOff) await this.ask(this.clock.nowMs() > END + DAY ? this.samples : found);
  }

  private compare(found: Samples, must: Samples, may: Samples): void {
    const { floorMs } = this;
    const lost = [...must].filter(([key, value]) => timeOf(key) > floorMs && found.get(key) !== value);
    expect(lost.slice(0, 5)).toEqual([]);
    const strange = [...found].filter(([key, value]) => must.get(key) !== value && may.get(key) !== value);
    expect(strange.slice(0, 5)).toEqual([]);
  }

  /** What whole hours have, by whatever answers. */
  private async ask(samples: Samples): Promise<void> {
    const wanted = { count: new Map<string, number>(), sum: new Map<string, number>() };
    for (const [key, value] of samples) {
      const hour = hourOf(key);
      if (timeOf(key) > END + DAY) continue;
      wanted.count.set(hour, (wanted.count.get(hour) ?? 0) + 1);
      wanted.sum.set(hour, (wanted.sum.get(hour) ?? 0) + value);
    }
    const context: QueryContext = {
      ...{ tenant: TENANT, signal: new AbortController().signal },
      ...{ deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e12 },
    };
    for (const [name, want] of Object.entries(wanted)) {
      const engine = new Engine({ now: () => END + DAY });
      const query = `${name}_over_time(${NAME}[1h])`;
      const asked = engine.range(this.db.queryable, query, END - DAYS * DAY, END + DAY, HOUR, context);
      const { value } = await asked;
      if (value.type !== "matrix") throw new Error("no matrix");
      const got = new Map<string, number>();
      for (const { labels, values, present } of value.columns) {
        const { i } = labelsToRecord(labels);
        values.forEach((v, s) => {
          if (present === null || present[s] === 1) got.set(`${i} ${END - DAYS * DAY + s * HOUR}`, v);
        });
      }
      const wrong = [...new Set([...got.keys(), ...want.keys()])].filter((hour) => got.get(hour) !== want.get(hour));
      expect(wrong.slice(0, 5).map((hour) => `${query} ${hour}: ${got.get(hour)}; want ${want.get(hour)}`)).toEqual([]);
    }
  }
}

function put(found: Samples, key: string, value: number): void {
  expect(found.has(key), `twice: ${key}`).toBe(false);
  found.set(key, value);
}
