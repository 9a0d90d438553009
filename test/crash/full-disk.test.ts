// test/crash/full-disk.test.ts: the disk is full from any writing call on, for a while: of the log, of cuts, merges, the registry, snapshots.
// Writes are refused as what time cures, queries go on, nothing is lost, nothing fails for good, and all goes on by itself.
import { expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../libs/env/index.ts";
import { UnavailableError } from "../../libs/model/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import { contents, HOUR, lines, NOW, openDb, type Row, settled, write } from "../unit/tsdb/db-fixture.ts";

const WRITING = new Set(["write", "makeDirectory", "link", "rename"]);
const OPTIONS = { retentionMs: 30 * 24 * HOUR, shardCount: 1, headMemoryBytes: 1 << 20 };
/** So many steps see the full disk. */
const FULL_STEPS = 3;

class Scenario {
  readonly fs = new SimFileSystem();
  readonly clock = new SimClock(NOW);
  db!: Db;
  readonly acknowledged: Row[] = [];
  readonly sent: Row[] = [];
  refused = 0;
  waited = 0;
  /** Steps begun since the disk was full. */
  private fullSteps = 0;
  isFull = false;

  async open(): Promise<void> {
    this.db = await openDb(this.fs, { ...OPTIONS, clock: this.clock });
  }

  async write(i: number, ageMs: number): Promise<void> {
    const rows: Row[] = [0, 1].map((k) => [{ __name__: "m", i: `${i + k}` }, NOW - ageMs + i, i * 10 + k]);
    this.sent.push(...rows);
    if (await this.attempt(write(this.db, rows))) this.acknowledged.push(...rows);
  }

  /** Errors that time doesn't cure fail the test. */
  async attempt(work: Promise<unknown>): Promise<boolean> {
    let outcome: { error?: unknown } | undefined;
    work.then(
      () => {
        outcome = {};
      },
      (error) => {
        outcome = { error };
      },
    );
    // What the log has taken waits for room: queries go on meanwhile.
    for (let turn = 0; outcome === undefined && turn < 300; turn++) await this.clock.advance(turn < 100 ? 0 : 5);
    this.check();
    if (outcome === undefined) {
      expect(this.isFull).toBe(true);
      await this.makeRoom();
      this.waited++;
    } else if (this.isFull && ++this.fullSteps === FULL_STEPS) await this.makeRoom();
    await settled(
      this.clock,
      work.catch(() => undefined),
    );
    const error = outcome?.error;
    if (error === undefined) return true;
    expect(error).toBeInstanceOf(UnavailableError);
    this.refused++;
    return false;
  }

  async makeRoom(): Promise<void> {
    this.fs.faults = () => undefined;
    this.isFull = false;
    await this.clock.advance(6000);
  }

  check(): void {
    const found = new Set(contents(this.db));
    expect(lines(this.acknowledged).filter((line) => !found.has(line))).toEqual([]);
    const known = new Set(lines(this.sent));
    expect([...found].filter((line) => !known.has(line))).toEqual([]);
  }

  async run(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await this.write(i * 2, 40 * HOUR);
      await this.attempt(this.db.flush());
      this.check();
    }
    await this.attempt(this.db.compact());
    await this.write(20, 1000);
    await this.attempt(this.db.snapshot());
    this.check();
  }
}

test("ENOSPC from any writing call on", async () => {
  let done = false;
  let met = 0;
  let waited = 0;
  for (let n = 1; !done; n++) {
    const scenario = new Scenario();
    const { fs } = scenario;
    await scenario.open();
    let failure: Error | undefined;
    void scenario.db.failed.then((error) => {
      failure = error;
    });
    let left = n;
    fs.faults = (call) => {
      if (!WRITING.has(call.kind) || call.path.endsWith("LOCK") || --left > 0) return undefined;
      scenario.isFull = true;
      return "ENOSPC";
    };
    await scenario.run();
    done = left > 0;
    if (scenario.isFull) await scenario.makeRoom();
    met += scenario.refused;
    waited += scenario.waited;
    expect(failure).toBeUndefined();
    // All goes on by itself.
    await scenario.write(30, 500);
    await scenario.attempt(scenario.db.flush());
    await scenario.attempt(scenario.db.compact());
    await scenario.attempt(scenario.db.snapshot());
    scenario.check();
    await settled(scenario.clock, scenario.db.close());
    await scenario.open();
    expect(scenario.db.replayed.damage.filter(({ kind }) => kind === "damage")).toEqual([]);
    scenario.check();
    await settled(scenario.clock, scenario.db.close());
  }
  expect(met).toBeGreaterThan(20);
  expect(waited).toBeGreaterThan(5);
}, 600_000);
