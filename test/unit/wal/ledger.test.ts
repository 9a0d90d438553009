// test/unit/wal/ledger.test.ts: acknowledged records against killed processes and power loss, on a disk that forgets what was not
// synced, with rotations and truncations between. Then the same with each sync call site taken out in turn, which must be noticed:
// a sync that nothing needs isn't there. One is there for the disk's space alone, and taking it out must lose nothing.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { RECORD, RegistrationBody, type Wal } from "../../../libs/wal/index.ts";
import { markSuspect } from "../../../libs/wal/suspect.ts";
import { DATA_DIR, type Opened, open, register, TestMetadata } from "./wal-fixture.ts";

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
  "wal-truncated",
];
/** Without it a crash brings old segments back, which are ignored. */
const SPACE_SITE = "wal-truncated";

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
  /** Numbers of the records that must be there, with their segments; the series, and the version of each metadata entry. */
  private owed = new Map<number, number>();
  private owedSeries = new Map<number, string>();
  private owedMetadata: number[] = [];
  /** What the owner has stored elsewhere: segments below it don't count. */
  private firstSegment = 1;
  /** Rotations that resolved: the first record after the boundary, and the segment. */
  private rotations: { readonly next: number; readonly segment: number }[] = [];
  private version = 0;
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
    let opened: Life;
    const metadata = new TestMetadata();
    const { segmentBytes, clock, firstSegment } = this;
    try {
      opened = {
        ...(await open(this.fs.process(), { segmentBytes, clock, firstSegment, metadata })),
        metadata,
        appended: new Set(),
        from: this.nextRecord,
      };
    } catch (error) {
      if (!this.fs.crashed) throw new Violation(`refused: ${(error as Error).message}`);
      mark("died while starting");
      return;
    }
    this.check(opened);
    if (this.random.chance(0.3)) await this.truncate(opened);
    const steps = this.random.below(this.random.pick([1, 4, 30]));
    for (let i = 0; i < steps && !this.fs.crashed; i++) await this.step(opened);
    if (opened.broken !== undefined) throw opened.broken;
    if (this.fs.crashed) mark("died while writing");
    else if (this.random.chance(0.3)) await this.stop(opened);
  }

  /** What is owed must be there, once and in order; and what is there is owed from now on. */
  private check(opened: Life): void {
    const there = new Map<number, number>();
    let last = -1;
    opened.records.forEach((text, i) => {
      if (text.startsWith("metadata:")) {
        opened.metadata.replay(text);
        return;
      }
      const record = Number(/^samples:(\d+) /.exec(text)?.[1]);
      if (!(record > last)) throw new Violation(`record ${record} came after ${last}`);
      last = record;
      this.checkPlace(record, opened.segments[i]!);
      there.set(record, opened.segments[i]!);
    });
    for (const record of this.owed.keys()) if (!there.has(record)) throw new Violation(`record ${record} is gone`);
    for (const [series, key] of this.owedSeries) {
      if (opened.series.keys.get(series) !== key) throw new Violation(`series ${series} is gone`);
    }
    const versions = opened.metadata.texts.map(Number);
    this.owedMetadata.forEach((version, place) => {
      if (!(versions[place]! >= version))
        throw new Violation(`metadata ${place} is ${versions[place]}, not ${version}`);
    });
    for (const one of opened.report.damage) {
      mark(one.kind === "tail" ? "torn tail" : "damage in the last group");
      if (one.reason.startsWith("missing segment")) throw new Violation(`${one.path} is missing`);
    }
    if (there.size > this.owed.size) mark("unacknowledged records survived");
    this.owed = there;
    this.owedMetadata = versions;
    this.owedSeries = new Map(opened.series.keys);
  }

  /** A record lies on its side of every boundary. */
  private checkPlace(record: number, segment: number): void {
    if (segment < this.firstSegment) throw new Violation(`record ${record} came from the truncated segment ${segment}`);
    for (const one of this.rotations) {
      if (record < one.next === segment < one.segment) continue;
      throw new Violation(`record ${record} in ${segment}; the boundary of ${one.segment} was before ${one.next}`);
    }
  }

  /** A boundary, at which everything appended by then is written down; and then, perhaps, a truncation. */
  private rotate(opened: Life): void {
    const { wal } = opened;
    let next = -1;
    const appended: number[] = [];
    wal
      .rotate(() => {
        if (next >= 0) throw new Violation("a boundary was drawn twice");
        next = this.nextRecord;
        for (let record = opened.from; record < next; record++) appended.push(record);
      })
      .then(
        async (segment) => {
          if (next < 0) throw new Violation("a rotation without a boundary");
          mark("rotated");
          this.rotations.push({ next, segment });
          if (wal.currentSegment >= segment) throw new Violation(`segment ${segment} was begun before its boundary`);
          for (const record of appended) {
            if (opened.appended.has(record) && !this.owed.has(record)) this.owed.set(record, wal.currentSegment);
          }
        },
        () => mark(next < 0 ? "rotation refused" : "rotation lost"),
      )
      .catch((error: unknown) => {
        opened.broken ??= error;
      });
  }

  /** The owner has stored all samples below some boundary elsewhere. */
  private async truncate(opened: Life): Promise<void> {
    const { wal } = opened;
    const cut = Math.min(this.rotations.at(-1)?.segment ?? 1, wal.registeredFrom);
    if (cut > this.firstSegment) {
      mark("moved on");
      this.firstSegment = cut;
      for (const [record, segment] of this.owed) {
        if (segment >= cut) continue;
        this.owed.delete(record);
        opened.appended.delete(record);
      }
    }
    if (this.random.chance(0.3)) return;
    const { firstSegment } = this;
    const needed = this.holdsBelow(firstSegment);
    const done = wal.truncate(firstSegment).then(
      () => {
        if (needed) mark("truncated");
        if (this.holdsBelow(firstSegment)) opened.broken ??= new Violation("a segment outlived its truncation");
      },
      () => mark("truncation refused"),
    );
    if (this.random.chance(0.5)) await done;
  }

  /** Whether there are segments below `segment`. A look that is no call of the process. */
  private holdsBelow(segment: number): boolean {
    if (this.fs.crashed) return false;
    const { faults } = this.fs;
    this.fs.faults = () => undefined;
    const names = this.fs.list(`${DATA_DIR}/wal`);
    this.fs.faults = faults;
    return names.some((name) => Number(name.slice(0, 8)) < segment);
  }

  private async step(opened: Life): Promise<void> {
    const { wal, series, metadata } = opened;
    const { random } = this;
    if (random.chance(0.03)) this.fs.capacityBytes = this.fs.usedBytes + random.below(2_000);
    const appended: number[] = [];
    if (random.chance(0.15)) this.rotate(opened);
    if (random.chance(0.1)) await this.truncate(opened);
    try {
      if (random.chance(0.15)) metadata.put(wal, random.below(metadata.metadataEnd + 1), `${++this.version}`);
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
        opened.appended.add(this.nextRecord);
        appended.push(this.nextRecord++);
        if (random.chance(0.05)) this.rotate(opened);
      }
    } catch {
      mark("append refused");
    }
    const { position } = wal;
    const registered = [...series.keys];
    const versions = metadata.texts.map(Number);
    const settle = wal.durable(position).then(
      () => {
        for (const record of appended) {
          this.checkPlace(record, wal.currentSegment);
          this.owed.set(record, wal.currentSegment);
        }
        versions.forEach((version, place) => {
          this.owedMetadata[place] = Math.max(version, this.owedMetadata[place] ?? 0);
        });
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

  private async stop(opened: Life): Promise<void> {
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

/** One process: what it found, its WAL, and what it has appended that counts. */
interface Life extends Opened {
  readonly wal: Wal;
  readonly metadata: TestMetadata;
  readonly appended: Set<number>;
  /** The number of its first record. */
  readonly from: number;
  /** What went wrong where nobody waits. */
  broken?: unknown;
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
      "moved on",
      "not acknowledged",
      "recovered from a full disk",
      "rotated",
      "rotation lost",
      "rotation refused",
      "stopped cleanly",
      "torn tail",
      "truncated",
      "truncation refused",
      "unacknowledged records survived",
    ]) {
      expect(marks.get(name) ?? 0, name).toBeGreaterThan(5);
    }
  });

  test(`${SEEDS} disks without the sync at ${SPACE_SITE}: nothing is lost`, async () => {
    for (let seed = 0; seed < SEEDS; seed++) expect(await violation(seed, SPACE_SITE), `seed ${seed}`).toBeUndefined();
  });

  test.each(SITES.filter((site) => site !== SPACE_SITE))("without the sync at %s it fails", async (site) => {
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
