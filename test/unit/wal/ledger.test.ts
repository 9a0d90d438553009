// test/unit/wal/ledger.test.ts: acknowledged records against killed processes and power loss, on a disk that forgets what was not
// synced. Then the same with each sync call site taken out in turn, which must be noticed: a sync that nothing needs isn't there.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { RECORD, RegistrationBody, type Wal } from "../../../libs/wal/index.ts";
import { markSuspect } from "../../../libs/wal/suspect.ts";
import { type Opened, open, register } from "./wal-fixture.ts";

const SEEDS = Number(process.env.FUZZ_RUNS ?? 1_000);
const SEEDS_MUTANT = 1_000;
const LIVES = 6;

/** Every sync call site there is. A site that the runs meet and this list lacks, or the reverse, fails the test. */
const SITES = [
  "data-directory",
  "identity-file",
  "identity-found",
  "identity-name",
  "wal-group",
  "wal-replayed",
  "wal-replayed-names",
  "wal-segment",
];

/** Situations that the runs must have met, or they prove nothing. */
const marks = new Map<string, number>();
const mark = (name: string): void => {
  marks.set(name, (marks.get(name) ?? 0) + 1);
};

class Violation extends Error {}

/** One disk and the processes that use it, one after another. */
class World {
  readonly fs = new SimFileSystem();
  private readonly random: SeededRandom;
  private readonly clock = new SimClock();
  private readonly body = new RegistrationBody();
  private readonly segmentBytes: number;
  /** Numbers of the records that must be there, and the series. */
  private owed = new Set<number>();
  private owedSeries = new Map<number, string>();
  private nextRecord = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.segmentBytes = this.random.pick([1024, 2048, 8192, 1 << 20]);
    this.fs.makeDirectory("/disk");
    this.fs.fsyncDir("/", "");
  }

  async run(): Promise<void> {
    for (let life = 0; life < LIVES; life++) {
      this.planCrash();
      await this.live();
      this.fs.faults = () => undefined;
      this.fs.capacityBytes = Number.POSITIVE_INFINITY;
      if (this.random.chance(0.4)) this.fs.kill();
      else this.fs.crash(this.random);
    }
    await this.live();
  }

  /** The process will die at some call, or at some sync: what was written there is lost most easily. */
  private planCrash(): void {
    let left = 1 + this.random.below(this.random.pick([12, 40, 300]));
    const syncsOnly = this.random.chance(0.5);
    if (syncsOnly) left = 1 + this.random.below(this.random.pick([3, 30]));
    this.fs.faults = (call) => ((syncsOnly && call.site === "") || --left > 0 ? undefined : "crash");
  }

  private async live(): Promise<void> {
    let opened: Opened & { readonly wal: Wal };
    try {
      opened = await open(this.fs.process(), { segmentBytes: this.segmentBytes, clock: this.clock });
    } catch (error) {
      if (!this.fs.crashed) throw new Violation(`refused: ${(error as Error).message}`);
      mark("died while starting");
      return;
    }
    this.check(opened);
    const steps = this.random.below(this.random.pick([1, 4, 30]));
    for (let i = 0; i < steps && !this.fs.crashed; i++) await this.step(opened);
    if (this.fs.crashed) mark("died while writing");
    else if (this.random.chance(0.3)) await this.stop(opened);
  }

  /** What is owed must be there, once and in order; and what is there is owed from now on. */
  private check(opened: Opened): void {
    const found = opened.records.map((text) => Number(/^samples:(\d+) /.exec(text)?.[1]));
    for (let i = 1; i < found.length; i++) {
      if (!(found[i]! > found[i - 1]!)) throw new Violation(`record ${found[i]} came after ${found[i - 1]}`);
    }
    const there = new Set(found);
    for (const record of this.owed) if (!there.has(record)) throw new Violation(`record ${record} is gone`);
    for (const [series, key] of this.owedSeries) {
      if (opened.series.keys.get(series) !== key) throw new Violation(`series ${series} is gone`);
    }
    for (const one of opened.report.damage) {
      mark(one.kind === "tail" ? "torn tail" : "damage in the last group");
      if (one.reason === "missing segment") throw new Violation(`${one.path} is missing`);
    }
    if (there.size > this.owed.size) mark("unacknowledged records survived");
    this.owed = there;
    this.owedSeries = new Map(opened.series.keys);
  }

  private async step(opened: Opened & { readonly wal: Wal }): Promise<void> {
    const { wal, series } = opened;
    const { random } = this;
    if (random.chance(0.03)) this.fs.capacityBytes = this.fs.usedBytes + random.below(2_000);
    const appended: number[] = [];
    try {
      if (random.chance(0.2)) {
        const next = series.seriesEnd;
        register(
          wal,
          series,
          [
            [next, `key ${next}`],
            [next + 1, `key ${next + 1}`],
          ],
          this.body,
        );
      }
      for (let n = random.below(random.pick([4, 4, 16])); n > 0; n--) {
        const text = `${this.nextRecord} ${"x".repeat(random.below(random.pick([10, 100, 1500])))}`;
        wal.append(RECORD.samples, new TextEncoder().encode(text));
        appended.push(this.nextRecord++);
      }
    } catch {
      mark("append refused");
    }
    const { position } = wal;
    const registered = [...series.keys];
    const settle = wal.durable(position).then(
      () => {
        for (const record of appended) this.owed.add(record);
        for (const [number, key] of registered) this.owedSeries.set(number, key);
        mark("acknowledged");
      },
      () => mark("not acknowledged"),
    );
    if (isFull(wal)) {
      mark("disk full");
      this.fs.capacityBytes = Number.POSITIVE_INFINITY;
      await this.clock.advance(1_000);
      if (!isFull(wal)) mark("recovered from a full disk");
    }
    if (wal.state === "open" && random.chance(0.5)) await Promise.race([settle, this.whenFull(wal)]);
    else await undefined;
  }

  /** Resolves once the disk is full or the group's outcome is certain to be known. */
  private async whenFull(wal: Wal): Promise<void> {
    for (let i = 0; i < 50 && wal.state === "open"; i++) await undefined;
  }

  private async stop(opened: Opened & { readonly wal: Wal }): Promise<void> {
    this.fs.capacityBytes = Number.POSITIVE_INFINITY;
    await this.clock.advance(1_000);
    const { wal, series } = opened;
    const last = this.nextRecord;
    const everything = wal.durable(wal.position).then(
      () => true,
      () => false,
    );
    await wal.close();
    if (!(await everything)) return;
    mark("stopped cleanly");
    for (const [number, key] of series.keys) this.owedSeries.set(number, key);
    expect(last).toBe(this.nextRecord);
  }
}

/** A call, so that the compiler does not remember the answer across an await. */
function isFull(wal: Wal): boolean {
  return wal.state === "full";
}

/** What is wrong with `seed`'s run, if anything. */
async function violation(seed: number, ignoredSite?: string): Promise<string | undefined> {
  const world = new World(seed);
  world.fs.ignoreSync((call) => call.site === ignoredSite);
  try {
    await world.run();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    throw error;
  } finally {
    for (const site of world.fs.syncSites) sitesSeen.add(site);
  }
}

const sitesSeen = new Set<string>();

describe("the ledger", () => {
  test(`${SEEDS} disks: every acknowledged record is there once and in order`, async () => {
    for (let seed = 0; seed < SEEDS; seed++) expect(await violation(seed), `seed ${seed}`).toBeUndefined();
    expect([...sitesSeen].sort()).toEqual(SITES);
    for (const name of [
      "acknowledged",
      "append refused",
      "damage in the last group",
      "died while starting",
      "died while writing",
      "disk full",
      "not acknowledged",
      "recovered from a full disk",
      "stopped cleanly",
      "torn tail",
      "unacknowledged records survived",
    ]) {
      expect(marks.get(name) ?? 0, name).toBeGreaterThan(5);
    }
  });

  test.each(SITES)("without the sync at %s it fails", async (site) => {
    let seed = 0;
    while (seed < SEEDS_MUTANT && (await violation(seed, site)) === undefined) seed++;
    expect(seed).toBeLessThan(SEEDS_MUTANT);
  });

  test("a run repeats itself by its seed", async () => {
    const trace = async (): Promise<string> => {
      const world = new World(4711);
      const calls: string[] = [];
      world.fs.ignoreSync((call) => {
        calls.push(`${call.number} ${call.site}`);
        return false;
      });
      await world.run();
      return calls.join();
    };
    expect(await trace()).toBe(await trace());
  });
});

describe("the mark of a failed sync", () => {
  const survives = (ignored: string): boolean => {
    for (let seed = 0; seed < 50; seed++) {
      const fs = new SimFileSystem();
      fs.makeDirectory("/d");
      fs.fsyncDir("/", "");
      fs.ignoreSync((call) => call.site === ignored);
      markSuspect(fs, "/d", "why");
      fs.crash(new SeededRandom(seed));
      if (fs.stat("/d/SUSPECT") === undefined) return false;
    }
    return true;
  };

  test("survives power loss, by its own sync", () => {
    expect(survives("")).toBe(true);
    expect(survives("suspect")).toBe(false);
  });
});
