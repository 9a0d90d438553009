// test/unit/tsdb/snapshot.test.ts: a snapshot opens as a data directory and answers the same, whatever the original does meanwhile and
// afterwards; a crash leaves it whole or not at all.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { InvalidError, UnavailableError } from "../../../libs/model/index.ts";
import { type Db, snapshotStopped, snapshotsFolder, verifyDirectory } from "../../../libs/tsdb/index.ts";
import { markSuspect } from "../../../libs/wal/index.ts";
import { contents, DATA_DIR, Feed, HOUR, lines, NOW, openDb, type Row, settled, write } from "./db-fixture.ts";

const series = (i: number) => ({ __name__: `m${i % 3}`, i: `${i}`, job: "j" });
const rowsAt = (age: number, count = 4): Row[] =>
  Array.from({ length: count }, (_, i) => [series(i), NOW - age, i + age]);
const processes = { pid: 99, host: "test", startOf: () => undefined };
const folderOf = (name: string): string => `${snapshotsFolder(DATA_DIR)}/${name}`;

async function look(fs: SimFileSystem, dataDir: string): Promise<string[]> {
  const clock = new SimClock(NOW);
  const report = await settled(clock, verifyDirectory({ fs, clock, processes, dataDir }));
  expect(report.damages).toEqual([]);
  const db = await openDb(fs, { dataDir });
  expect(db.replayed.damage).toEqual([]);
  expect(db.damagedBlocks).toEqual([]);
  const found = contents(db);
  await db.close();
  return found;
}

async function loaded(fs: SimFileSystem, clock: SimClock): Promise<{ db: Db; rows: Row[] }> {
  const db = await openDb(fs, { clock, headMemoryBytes: 4 << 20 });
  const rows = [...rowsAt(60_000), ...rowsAt(3 * HOUR)];
  await write(db, rows);
  await settled(clock, db.flush());
  const more = rowsAt(30_000);
  await write(db, more);
  return { db, rows: [...rows, ...more] };
}

describe("a snapshot of a running storage", () => {
  test("has what was acknowledged before it, and never anything later", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const { db, rows } = await loaded(fs, clock);
    const name = await settled(clock, db.snapshot());
    expect(name).toMatch(/^20231114T\d{6}Z-[0-9a-f]{16}$/);
    const wanted = lines(rows);
    // The original goes on: writes to a segment of its own, cuts, merges, forgets its files.
    await write(db, rowsAt(10_000, 8));
    expect(await look(fs, folderOf(name))).toEqual(wanted);
    await settled(clock, db.flush());
    await settled(clock, db.compact());
    await clock.advance(60_000);
    await write(db, rowsAt(1000, 8));
    expect(await look(fs, folderOf(name))).toEqual(wanted);
    const second = await settled(clock, db.snapshot());
    await db.close();
    expect(await look(fs, folderOf(second))).toEqual(lines([...rows, ...rowsAt(10_000, 8), ...rowsAt(1000, 8)]));
    // Who writes to a snapshot writes to nothing else.
    const opened = await openDb(fs, { dataDir: folderOf(name) });
    await write(opened, rowsAt(5000));
    await opened.close();
    expect(await look(fs, folderOf(second))).toEqual(lines([...rows, ...rowsAt(10_000, 8), ...rowsAt(1000, 8)]));
    expect(fs.list(snapshotsFolder(DATA_DIR))).toEqual([name, second].sort());
  });

  test("takes no room", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const { db } = await loaded(fs, clock);
    const before = fs.usedBytes;
    await settled(clock, db.snapshot());
    expect(fs.usedBytes).toBe(before);
    await db.close();
  });

  test("while writes, cuts and merges go on: all that was acknowledged before, nothing that was not sent", async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = new SeededRandom(seed);
      const fs = new SimFileSystem();
      const clock = new SimClock(NOW);
      const db = await openDb(fs, {
        ...{ clock, headMemoryBytes: 4 << 20, windowMs: random.pick([4000, 60_000]), lateWindowMs: 500 },
        walSegmentBytes: random.pick([2048, 1 << 20]),
      });
      const feed = new Feed(db);
      const sent: Row[] = [];
      const acknowledged: Row[] = [];
      const waiting = new Set<Promise<unknown>>();
      const snapshots: Promise<{ name: string; atLeast: Row[] }>[] = [];
      for (let t = 0; t < 60; t++) {
        const rows: Row[] = [0, 1, 2].map((i) => [series(i + (t % 5)), clock.nowMs() - random.below(3000), t * 10 + i]);
        sent.push(...rows);
        waiting.add(feed.append(rows).then(() => acknowledged.push(...rows)));
        await clock.advance(random.pick([0, 100, 2000]));
        if (random.chance(0.1)) waiting.add(db.flush());
        if (random.chance(0.1)) waiting.add(db.compact());
        if (random.chance(0.1)) {
          const atLeast = [...acknowledged];
          snapshots.push(db.snapshot().then((name) => ({ name, atLeast })));
        }
      }
      await settled(clock, Promise.all([...waiting, ...snapshots]));
      await settled(clock, db.close());
      for (const { name, atLeast } of await Promise.all(snapshots)) {
        const found = new Set((await look(fs, folderOf(name))).map((text) => text.split(" ").slice(0, 2).join(" ")));
        const keyOf = (text: string): string => text.split(" ").slice(0, 2).join(" ");
        const missing = lines(atLeast)
          .map(keyOf)
          .filter((key) => !found.has(key));
        expect(missing, `seed ${seed}`).toEqual([]);
        const known = new Set(lines(sent).map(keyOf));
        expect([...found].filter((key) => !known.has(key))).toEqual([]);
      }
    }
  }, 240_000);

  test("is refused while the disk is full or the storage stops; nothing is harmed", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const { db, rows } = await loaded(fs, clock);
    for (const kind of ["link", "makeDirectory"]) {
      fs.faults = (call) => (call.kind === kind ? "ENOSPC" : undefined);
      const refused = settled(clock, db.snapshot());
      await expect(refused).rejects.toThrow(UnavailableError);
      await expect(refused).rejects.toThrow(/cannot make snapshot \S+: got ENOSPC.*; want a disk with room/);
    }
    fs.faults = () => undefined;
    const name = await settled(clock, db.snapshot());
    expect(fs.list(snapshotsFolder(DATA_DIR))).toEqual([name]);
    await settled(clock, db.close());
    await expect(db.snapshot()).rejects.toThrow(UnavailableError);
    expect(await look(fs, folderOf(name))).toEqual(lines(rows));
  });

  test("a crash at any call: there whole or not at all, and the original as it was", async () => {
    let done = false;
    let whole = 0;
    for (let n = 1; !done; n++) {
      const fs = new SimFileSystem();
      const clock = new SimClock(NOW);
      const { db, rows } = await loaded(fs, clock);
      const start = fs.calls;
      fs.faults = (call) => (call.number === start + n ? "crash" : undefined);
      const name = await Promise.race([
        settled(clock, db.snapshot()).catch(() => undefined),
        db.failed.then(() => undefined),
      ]);
      done = !fs.crashed;
      fs.faults = () => undefined;
      fs.crash(new SeededRandom(n));
      expect(await look(fs, DATA_DIR)).toEqual(lines(rows));
      const found = fs.stat(snapshotsFolder(DATA_DIR)) === undefined ? [] : fs.list(snapshotsFolder(DATA_DIR));
      for (const one of found.filter((entry) => !entry.endsWith(".tmp"))) {
        whole++;
        expect(await look(fs, folderOf(one))).toEqual(lines(rows));
      }
      if (done) expect(found).toEqual([name]);
    }
    expect(whole).toBeGreaterThan(0);
  }, 240_000);
});

describe("a snapshot of a stopped storage", () => {
  const make = (fs: SimFileSystem, dataDir = DATA_DIR): Promise<string> => {
    const clock = new SimClock(NOW);
    return settled(clock, snapshotStopped({ fs, clock, processes, random: new SeededRandom(3), dataDir }));
  };

  test("answers the same; drafts of the dead go; the lock is given back", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const { db, rows } = await loaded(fs, clock);
    await settled(clock, db.close());
    fs.makeDirectory(snapshotsFolder(DATA_DIR));
    fs.makeDirectory(folderOf("dead.tmp"));
    fs.makeDirectory(folderOf("dead.tmp/wal"));
    const path = await make(fs);
    expect(fs.list(snapshotsFolder(DATA_DIR)).map(folderOf)).toEqual([path]);
    expect(await look(fs, path)).toEqual(lines(rows));
    expect(await look(fs, DATA_DIR)).toEqual(lines(rows));
  });

  test("is refused without one, while it runs, and while it is suspect", async () => {
    const fs = new SimFileSystem();
    await expect(make(fs, "/none")).rejects.toThrow("cannot make snapshot of /none: got no such folder");
    const clock = new SimClock(NOW);
    const { db } = await loaded(fs, clock);
    const held = snapshotStopped({
      ...{ fs, clock, random: new SeededRandom(3), dataDir: DATA_DIR },
      processes: { ...processes, startOf: () => "now" },
    });
    await expect(held).rejects.toThrow(InvalidError);
    await settled(clock, db.close());
    markSuspect(fs, DATA_DIR, "EIO");
    await expect(make(fs)).rejects.toThrow("want tidemark verify to pass before");
  });
});
