// test/unit/tsdb/cut.test.ts: windows end, are cut into blocks, merged, expire; the WAL goes; nothing is lost, doubled or changed by it.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { MemoryPieceStore } from "../../../libs/index/index.ts";
import { type Labels, labelsToRecord, UnavailableError } from "../../../libs/model/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import type { DbState } from "../../../libs/tsdb/state.ts";
import {
  bitsOfNumber,
  contents,
  DATA_DIR,
  Feed,
  HOUR,
  line,
  lines,
  NOW,
  openDb,
  type Row,
  settled,
  TENANT,
} from "./db-fixture.ts";

const MINUTE = 60_000;
const STALE = 0x7ff0000000000002n;
const series = (i: number) => ({ __name__: `m${i % 7}`, instance: `host${i % 3}`, job: "node", i: `${i}` });
const OPTIONS = { retentionMs: 24 * 30 * HOUR, headMemoryBytes: 4 << 20 };

const segments = (fs: SimFileSystem): string[] => fs.list(`${DATA_DIR}/wal`);
const blockFiles = (fs: SimFileSystem): string[] =>
  fs.list(`${DATA_DIR}/blocks`).filter((name) => name.endsWith(".tmb"));

test("a flush moves all samples into blocks; reads, restarts and repetitions notice nothing", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { ...OPTIONS, clock });
  const feed = new Feed(db);
  const rows: Row[] = [];
  for (let t = 0; t < 40; t++) {
    const scrape = Array.from(
      { length: 30 },
      (_, i): Row => [series(i), NOW - 40 * 15_000 + t * 15_000, t % 9 === 8 && i === 4 ? STALE : i + t / 4],
    );
    rows.push(...scrape);
    await feed.append(scrape);
  }
  await feed.append([[series(3), NOW - HOUR, 5]]);
  rows.push([series(3), NOW - HOUR, 5]);
  const before = contents(db);
  expect(before).toEqual(lines(rows));
  const report = await settled(clock, db.flush());
  expect(report.samples).toBe(rows.length);
  expect(report.blocks).toBeGreaterThan(1);
  expect(contents(db)).toEqual(before);
  expect(db.report().heads).toBe(1);
  expect(blockFiles(fs).length).toBe(report.blocks);
  // The log keeps names only, without anything being written after the flush.
  expect(segments(fs).length).toBe(1);
  // Again the same: known as blocks, stored once in the answer.
  await feed.append(rows.slice(0, 30));
  await feed.append([[series(1), NOW, 7]]);
  expect(contents(db)).toEqual(lines([...rows, [series(1), NOW, 7]]));
  await db.close();
  const next = await openDb(fs, { ...OPTIONS, clock });
  expect(next.damagedBlocks).toEqual([]);
  expect(next.replayed.damage).toEqual([]);
  expect(contents(next)).toEqual(lines([...rows, [series(1), NOW, 7]]));
  await next.close();
});

test("statistics count series in blocks, but no samples of theirs", async () => {
  const clock = new SimClock(NOW);
  const db = await openDb(undefined, { ...OPTIONS, clock });
  await new Feed(db).append([[series(1), NOW - 60_000, 5]]);
  const context = { tenant: TENANT, signal: new AbortController().signal, deadlineMs: Infinity, samplesMax: 1 };
  const chunks = async () => {
    const { seriesCount, chunkCount, minMs, maxMs } = await db.queryable.statistics(10, context);
    return [seriesCount, chunkCount, minMs, maxMs];
  };
  expect(await chunks()).toEqual([1, 1, NOW - 60_000, NOW - 60_000]);
  await settled(clock, db.flush());
  expect(await chunks()).toEqual([1, 0, Infinity, -Infinity]);
  await db.close();
});

test("a backfill is not cut again and again, but once its first sample is as old as a late one may be", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const options = { ...OPTIONS, clock, lateWindowMs: 15 * MINUTE };
  const db = await openDb(fs, options);
  const feed = new Feed(db);
  const rows: Row[] = [[series(1), NOW, 1]];
  await feed.append(rows);
  await settled(clock, db.flush());
  await clock.advance(16 * MINUTE);
  const before = db.report().cuts.blocks;
  for (let minute = 0; minute < 14; minute++) {
    const scrape = Array.from({ length: 5 }, (_, i): Row => [series(i), NOW - (600 - minute) * MINUTE, i]);
    rows.push(...scrape);
    await feed.append(scrape);
    await clock.advance(MINUTE);
  }
  expect(db.report().cuts.blocks).toBe(before);
  await clock.advance(2 * MINUTE);
  expect(db.report().cuts.blocks).toBeGreaterThan(before);
  expect(contents(db)).toEqual(lines(rows));
  await db.close();
  const next = await openDb(fs, options);
  expect(contents(next)).toEqual(lines(rows));
  await next.close();
});

test("a window is cut when its late time is over, and the WAL before it goes", async () => {
  const fs = new SimFileSystem();
  const start = Math.ceil(NOW / (2 * HOUR)) * 2 * HOUR;
  const clock = new SimClock(start - 10 * MINUTE);
  const db = await openDb(fs, { ...OPTIONS, clock });
  const feed = new Feed(db);
  const rows: Row[] = [];
  const write = async (more: readonly Row[]): Promise<void> => {
    rows.push(...more);
    await feed.append(more);
  };
  const seen: string[] = [];
  for (let minute = -10; minute < 24 * 60; minute++) {
    await clock.advance(start + minute * MINUTE - clock.nowMs());
    await write(Array.from({ length: 5 }, (_, i): Row => [series(i), clock.nowMs(), minute + i]));
    if (minute % 50 === 3) await write([[series(1), clock.nowMs() - 45 * MINUTE + 7, 0.5]]);
    seen.push(`${db.report().heads} ${db.report().blocks.count > 0}`);
  }
  expect(contents(db)).toEqual(lines(rows));
  const { cuts, blocks } = db.report();
  expect(cuts.blocks).toBeGreaterThan(20);
  expect(seen).toContain("1 false");
  expect(seen).toContain("2 false");
  expect(seen).toContain("1 true");
  expect(blocks.samples).toBeGreaterThan(rows.length * 0.85);
  // What the log still holds is about two windows.
  expect(segments(fs).length).toBeLessThan(5);
  expect(segments(fs)[0]! > "00000005").toBe(true);
  await db.close();
  const next = await openDb(fs, { ...OPTIONS, clock });
  expect(next.replayed.counts.samples).toBeLessThan(rows.length / 5 / 4);
  expect(contents(next)).toEqual(lines(rows));
  await next.close();
});

test("pieces of the index come with blocks, go with them, and are made again when they are lost", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const pieceStore = new MemoryPieceStore();
  const problems: string[] = [];
  const options = {
    ...OPTIONS,
    retentionMs: 72 * HOUR,
    clock,
    pieceStore,
    // Pieces that were asked are not kept: each query sees the store.
    blockMemoryBytes: 0,
    onProblem: (text: string) => problems.push(text),
  };
  let db = await openDb(fs, options);
  const feed = new Feed(db);
  for (let hour = 0; hour < 24 * 2; hour++) {
    await clock.advance(HOUR);
    await feed.append(Array.from({ length: 20 }, (_, i): Row => [series(i + hour), clock.nowMs(), hour]));
  }
  await settled(clock, db.flush());
  await settled(clock, db.compact());
  const state = () => {
    const { blocks, index } = db.report();
    return { blocks: blocks.count, ...index };
  };
  expect(state().blocks).toBeGreaterThan(8);
  expect(state()).toMatchObject({ indexed: state().blocks, missing: 0, rebuilt: 0 });
  // A block's pieces are one value here; there are blocks of rows without a series, and so without one.
  const { sources } = (db as unknown as { readonly state: DbState }).state;
  const full = sources.blocks.filter(({ reader }) => reader.seriesCount > 0);
  expect(full.some((block) => block.isRows)).toBe(true);
  expect(pieceStore.values.size).toBe(full.length);
  const context = { tenant: TENANT, signal: new AbortController().signal, deadlineMs: Infinity, samplesMax: 1e9 };
  const always = { minMs: 0, maxMs: NOW + 1000 * HOUR };
  const values = () => db.queryable.labelValues("i", [], always, 0, context);
  const wanted = await values();
  expect(wanted.length).toBe(67);
  expect(problems).toEqual([]);
  const before = new Map(pieceStore.values);
  const [lost, damaged] = [...pieceStore.values.keys()] as [string, string];
  pieceStore.values.delete(lost);
  pieceStore.values.set(damaged, pieceStore.values.get(damaged)!.with(9, 99));
  expect(await values()).toEqual(wanted);
  expect(problems.length).toBe(2);
  expect(problems.join()).toMatch(/got nothing.*got another checksum|got another checksum.*got nothing/);
  expect(state().missing).toBe(2);
  await clock.advance(10_000);
  expect(state()).toMatchObject({ missing: 0, rebuilt: 2, indexed: state().blocks });
  expect(pieceStore.values).toEqual(before);
  await db.close();
  // Between two starts, too; and what is of no live block goes.
  pieceStore.values.delete(lost);
  pieceStore.put(new Uint8Array(40).fill(255), new Uint8Array(3));
  db = await openDb(fs, options);
  expect(state().missing).toBe(1);
  expect(await values()).toEqual(wanted);
  await clock.advance(10_000);
  expect(state()).toMatchObject({ missing: 0, rebuilt: 1 });
  expect(pieceStore.values).toEqual(before);
  // Expired days are reclaimed.
  await clock.advance(100 * HOUR);
  expect(state()).toMatchObject({ blocks: 0, indexed: 0 });
  expect(pieceStore.values.size).toBe(0);
  await db.close();
});

test("an index that a full disk has kept from writing is opened anew when there is room, and made whole", async () => {
  /** As LevelDB: after a failure nothing is written before it is opened anew. */
  class StickyStore extends MemoryPieceStore {
    isFull = false;
    isStuck = false;
    override async write(...args: Parameters<MemoryPieceStore["write"]>): Promise<void> {
      this.isStuck ||= this.isFull;
      if (this.isStuck) throw new Error("No space left on device");
      await super.write(...args);
    }
    async recover(): Promise<void> {
      this.isStuck = false;
    }
  }
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const pieceStore = new StickyStore();
  const problems: string[] = [];
  const db = await openDb(fs, { ...OPTIONS, clock, pieceStore, onProblem: (problem) => problems.push(problem) });
  const feed = new Feed(db);
  const rows = Array.from({ length: 20 }, (_, i): Row => [series(i), NOW - HOUR, i]);
  await feed.append(rows);
  pieceStore.isFull = true;
  // No room to open it anew.
  fs.capacityBytes = fs.usedBytes + (2 << 20);
  await clock.advance(5000);
  await settled(clock, db.flush());
  const state = () => db.report().index;
  expect(state().missing).toBe(db.report().blocks.count);
  await clock.advance(60_000);
  expect(problems.length).toBe(1);
  pieceStore.isFull = false;
  await clock.advance(60_000);
  expect(state().missing).toBeGreaterThan(0);
  expect(contents(db)).toEqual(lines(rows));
  fs.capacityBytes = Number.POSITIVE_INFINITY;
  await clock.advance(10_000);
  expect(state()).toMatchObject({ missing: 0, indexed: db.report().blocks.count });
  expect(problems.length).toBe(1);
  await settled(clock, db.close());
});

test("days are merged, old blocks expire, and the answer stays what retention says", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const options = { ...OPTIONS, clock, retentionMs: 72 * HOUR };
  const db = await openDb(fs, options);
  const feed = new Feed(db);
  const rows: Row[] = [];
  for (let hour = 0; hour < 24 * 5; hour++) {
    await clock.advance(HOUR);
    const more = Array.from({ length: 4 }, (_, i): Row => [series(i), clock.nowMs(), hour + i]);
    rows.push(...more);
    await feed.append(more);
  }
  await settled(clock, db.compact());
  const { cuts, blocks } = db.report();
  expect(cuts.merged).toBeGreaterThan(10);
  expect(cuts.expired).toBeGreaterThan(0);
  expect(blockFiles(fs).length).toBe(blocks.count);
  const found = contents(db);
  const cutoff = clock.nowMs() - options.retentionMs;
  // Whole blocks go: what is left is all of what is within retention, and nothing that was not written.
  expect(lines(rows)).toEqual(expect.arrayContaining(found));
  expect(found).toEqual(expect.arrayContaining(lines(rows.filter(([, time]) => time > cutoff))));
  expect(found.length).toBeLessThan(rows.length);
  await db.close();
});

test("a window ends while the cut of the one before waits for room: both are cut by the next flush", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { ...OPTIONS, clock, windowMs: MINUTE, lateWindowMs: MINUTE / 10 });
  let failure: Error | undefined;
  void db.failed.then((error) => {
    failure = error;
  });
  const feed = new Feed(db);
  const rows: Row[] = [];
  fs.faults = ({ kind, path }) => (kind === "write" && path.includes("/blocks/") ? "ENOSPC" : undefined);
  for (let window = 0; window < 4; window++) {
    const row: Row = [series(window), clock.nowMs(), window];
    await feed.append([row]);
    rows.push(row);
    await clock.advance(MINUTE);
  }
  expect(db.report().cuts.blocks).toBe(0);
  fs.faults = () => undefined;
  await settled(clock, db.flush());
  expect(failure).toBeUndefined();
  expect(contents(db)).toEqual(lines(rows));
  expect(db.report().blocks.samples).toBe(rows.length);
  await settled(clock, db.close());
});

test("a full disk postpones a cut; a restart forgets half of one", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const problems: string[] = [];
  const db = await openDb(fs, { ...OPTIONS, clock, onProblem: (problem) => problems.push(problem) });
  const feed = new Feed(db);
  const rows = Array.from({ length: 300 }, (_, i): Row => [series(i), NOW, i + 1 / 3]);
  await feed.append(rows);
  fs.faults = (call) => (call.path.endsWith(".tmp") && call.kind === "write" ? "ENOSPC" : undefined);
  await expect(settled(clock, db.flush())).rejects.toThrow(UnavailableError);
  expect(problems.length).toBeGreaterThan(0);
  expect(blockFiles(fs)).toEqual([]);
  // Blocks that were written before the disk was full, and a list that no room is left for.
  let drafts = 0;
  fs.faults = (call) => (call.path.endsWith(".tmp") && call.kind === "open" && ++drafts > 2 ? "ENOSPC" : undefined);
  await expect(settled(clock, db.flush())).rejects.toThrow(UnavailableError);
  expect([drafts > 2, blockFiles(fs)]).toEqual([true, []]);
  fs.faults = (call) => (call.path.includes("registry.json") && call.kind === "write" ? "ENOSPC" : undefined);
  await expect(settled(clock, db.flush())).rejects.toThrow(UnavailableError);
  expect(blockFiles(fs)).toEqual([]);
  fs.faults = () => undefined;
  await feed.append([[series(1), NOW + 1, 2]]);
  const all = lines([...rows, [series(1), NOW + 1, 2]]);
  expect(contents(db)).toEqual(all);
  fs.faults = () => undefined;
  const report = await settled(clock, db.flush());
  expect(report.samples).toBe(301);
  expect(contents(db)).toEqual(all);
  await db.close();
  const next = await openDb(fs, { ...OPTIONS, clock });
  expect(contents(next)).toEqual(all);
  await next.close();
});

describe("random lives", () => {
  const SEEDS = Number(process.env.FUZZ_RUNS ?? 12);

  test(`${SEEDS} storages with cuts, late samples, crashes and restarts hold what was written`, {
    timeout: 0,
  }, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed);
      const fs = new SimFileSystem();
      let clock = new SimClock(NOW);
      const options = { ...OPTIONS, windowMs: 10 * MINUTE, lateWindowMs: 2 * MINUTE, walSegmentBytes: 64 << 10 };
      const want = new Map<string, string>();
      // The index outlives crashes, though not whole.
      const pieceStore = new MemoryPieceStore();
      let db: Db = await openDb(fs, { ...options, clock, pieceStore, random: new SeededRandom(random.u32()) });
      let feed = new Feed(db);
      for (let step = 0; step < 120; step++) {
        await clock.advance(random.below(2 * MINUTE));
        const rows: Row[] = [];
        const taken = new Set<string>();
        for (let n = random.below(20); n > 0; n--) {
          const i = random.below(20);
          const late = random.chance(0.15)
            ? random.below(40 * MINUTE)
            : random.chance(0.03)
              ? random.below(48 * HOUR)
              : 0;
          const time = clock.nowMs() - late;
          if (taken.has(`${i} ${time}`)) continue;
          taken.add(`${i} ${time}`);
          rows.push([series(i), time, random.below(1000) / 8]);
        }
        if (rows.length > 0) {
          await feed.append(rows);
          for (const row of rows) {
            const key = JSON.stringify([row[0], row[1]]);
            const known = want.get(key);
            const text = line(row);
            const wins = known === undefined || numberOf(text) > numberOf(known);
            if (wins) want.set(key, text);
          }
        }
        if (random.chance(0.05)) await settled(clock, db.flush());
        if (random.chance(0.05)) await settled(clock, db.compact());
        if (random.chance(0.06)) {
          if (random.chance(0.5)) await db.close();
          else {
            fs.kill();
            // Time stands still for the dead process.
            clock = new SimClock(clock.nowMs());
          }
          db = await openDb(fs, { ...options, clock, pieceStore, random: new SeededRandom(random.u32()) });
          feed = new Feed(db);
          expect([db.replayed.damage, db.damagedBlocks]).toEqual([[], []]);
        }
        if (random.chance(0.1)) harm(pieceStore, random);
        if (!random.chance(0.1)) continue;
        const found = contents(db);
        expect(found, `seed ${seed}, step ${step}`).toEqual([...want.values()].sort());
        // By the index, as queries do.
        const always = { minMs: NOW - 30 * 24 * HOUR, maxMs: clock.nowMs() };
        const context = { tenant: TENANT, signal: new AbortController().signal, deadlineMs: Infinity, samplesMax: 1e9 };
        const matchers = [{ type: "=~", name: "i", value: ".*[02468]" } as const];
        const matching = (await db.queryable.series([matchers], always, 0, context)).map(textOf).sort();
        const all = new Set(found.map((text) => text.slice(0, text.indexOf("}") + 1)));
        const wanted = [...all].filter((text) => Number(/"i":"(\d+)"/.exec(text)![1]) % 2 === 0);
        expect(matching, `seed ${seed}, step ${step}`).toEqual(wanted.sort());
      }
      expect(contents(db), `seed ${seed}`).toEqual([...want.values()].sort());
      await db.close();
    }
  });
});

const textOf = (labels: Labels): string => JSON.stringify(labelsToRecord(labels));

/** Loses a value of the index, or damages it. */
function harm(store: MemoryPieceStore, random: SeededRandom): void {
  const names = [...store.values.keys()];
  if (names.length === 0) return;
  const name = random.pick(names);
  if (random.chance(0.5)) store.values.delete(name);
  else {
    const damaged = store.values.get(name)!.slice();
    damaged[random.below(damaged.length)]! ^= 1;
    store.values.set(name, damaged);
  }
}

function numberOf(text: string): number {
  return new Float64Array(BigUint64Array.of(BigInt(`0x${text.split(" ").at(-1)!}`)).buffer)[0]!;
}

test("a number's bits are told apart", () => {
  expect(numberOf(line([series(1), NOW, 2.5]))).toBe(2.5);
  expect(bitsOfNumber(1)).toBe(0x3ff0000000000000n);
});
