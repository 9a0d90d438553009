// test/unit/tsdb/db.test.ts: opening, refusing, exporting, reporting and closing a storage.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimFileSystem } from "../../../libs/env/index.ts";
import { InvalidError, UnavailableError } from "../../../libs/model/index.ts";
import { batchOf, contents, DATA_DIR, Feed, HOUR, lines, NOW, openDb, type Row, TENANT, write } from "./db-fixture.ts";

const series = (i: number) => ({ __name__: "m", i: `${i}`, job: "j", instance: "h" });
const rowsOf = (count: number, time = NOW): Row[] => Array.from({ length: count }, (_, i): Row => [series(i), time, i]);

describe("opening", () => {
  test("an empty directory draws an identity, which stays", async () => {
    const fs = new SimFileSystem();
    const first = await openDb(fs);
    expect(first.identity.hashSeed.length).toBe(16);
    expect(first.replayed.counts).toEqual({
      series: 0,
      samples: 0,
      lateSamples: 0,
      metadata: 0,
      deletions: 0,
      side: 0,
    });
    await first.close();
    const second = await openDb(fs, { random: new SeededRandom(99) });
    expect(second.identity).toEqual(first.identity);
    await second.close();
  });

  test("takes cluster, node and seed as they are given", async () => {
    const wanted = { clusterId: "c", nodeId: "n", hashSeed: new Uint8Array(16).fill(9) };
    const db = await openDb(undefined, wanted);
    expect(db.identity).toMatchObject({ ...wanted, shardCount: 4 });
    await db.close();
  });

  test.each([
    ["another shard count", { shardCount: 8 }, /tidemark\.json: got shard count 4; want 8/],
    ["another cluster", { clusterId: "other" }, /got cluster id c; want other/],
    ["another hash seed", { hashSeed: new Uint8Array(16) }, /got hash seed 0909.*; want 0000/],
    ["a head without room", { headMemoryBytes: 1000 }, /got 1000 bytes; want .*--head-memory/],
  ])("is refused with %s, and leaves the directory free", async (_, overrides, message) => {
    const fs = new SimFileSystem();
    await (await openDb(fs, { clusterId: "c", hashSeed: new Uint8Array(16).fill(9) })).close();
    // All processes go on running: a lock left behind would be respected.
    const processes = (pid: number) => ({ pid, host: "test", startOf: () => "running" });
    const refused = openDb(fs, { ...overrides, processes: processes(17) });
    await expect(refused).rejects.toThrow(InvalidError);
    await expect(refused).rejects.toThrow(message);
    await (await openDb(fs, { processes: processes(18) })).close();
  });

  test("a directory in use is refused by name, and its user goes on", async () => {
    const fs = new SimFileSystem();
    const processes = { host: "test", startOf: () => "running" };
    const user = await openDb(fs, { processes: { ...processes, pid: 17 } });
    await expect(openDb(fs, { processes: { ...processes, pid: 18 } })).rejects.toThrow(/LOCK held by process 17/);
    expect((await write(user, rowsOf(1))).status).toBe("stored");
    await user.close();
    await (await openDb(fs, { processes: { ...processes, pid: 18 } })).close();
  });

  test("with a head too small for what is in the log is refused, and works again with more", async () => {
    const fs = new SimFileSystem();
    const big = { headMemoryBytes: 8 << 20, seriesMax: 1e6 };
    let db = await openDb(fs, big);
    const feed = new Feed(db);
    for (let from = 0; from < 3000; from += 300) await feed.append(rowsOf(3000).slice(from, from + 300));
    await db.close();
    const refused = openDb(fs, { seriesMax: 1e6 });
    await expect(refused).rejects.toThrow(UnavailableError);
    await expect(refused).rejects.toThrow(/--head-memory/);
    db = await openDb(fs, big);
    expect(contents(db)).toEqual(lines(rowsOf(3000)));
    await db.close();
  });
});

describe("a full head", () => {
  test("refuses samples with 503 until there is more memory; what was acknowledged stays, reads go on", async () => {
    const fs = new SimFileSystem();
    let db = await openDb(fs, { headMemoryBytes: 1 << 20 });
    const feed = new Feed(db);
    const taken: Row[] = [];
    let problem: unknown;
    for (let n = 0; problem === undefined; n++) {
      const random = new SeededRandom(n);
      const rows = rowsOf(100, NOW - 10 * HOUR + n * 15_000).map(
        ([labels, time]): Row => [labels, time, random.float()],
      );
      try {
        await feed.append(rows);
        taken.push(...rows);
      } catch (error) {
        problem = error;
      }
    }
    expect(problem).toBeInstanceOf(UnavailableError);
    expect((problem as Error).message).toContain("--head-memory");
    const there = new Set(contents(db));
    expect(lines(taken).filter((one) => !there.has(one))).toEqual([]);
    await db.close();
    // Also what the last batch stored before it failed is in the log.
    db = await openDb(fs, { headMemoryBytes: 4 << 20 });
    expect(contents(db)).toEqual([...there].sort());
    await db.close();
  });
});

describe("a head that has become full", () => {
  test.each([13, 32, 34])(
    "does not keep the next process with the same memory from starting (history %i)",
    async (seed) => {
      const fs = new SimFileSystem();
      const options = { headMemoryBytes: 1 << 20, seriesMax: 1e6 };
      const random = new SeededRandom(seed);
      const target = (i: number) => ({ __name__: "m", i: `${i}`, job: `j${i % 7}`, instance: `h${i % 5}` });
      let db = await openDb(fs, options);
      const feed = new Feed(db);
      for (let n = 0, failures = 0; failures < 3; n++) {
        const rows = Array.from({ length: 55 }, (): Row => {
          const late = random.chance(0.1) ? random.below(HOUR) : 0;
          return [target(random.below(100 + n)), NOW - 20 * HOUR + n * 15_000 - late, random.float()];
        });
        await feed.append(rows).catch((error: unknown) => {
          expect(error).toBeInstanceOf(UnavailableError);
          failures++;
        });
      }
      const before = contents(db);
      for (let life = 0; life < 3; life++) {
        await db.close();
        db = await openDb(fs, options);
        expect(db.replayed.damage).toEqual([]);
        expect(contents(db)).toEqual(before);
      }
      await db.close();
    },
  );
});

describe("exporting", () => {
  test("gives copies, one column per series, within the range, both ends included", async () => {
    const db = await openDb();
    for (const ago of [3000, 1000, 2000]) await write(db, rowsOf(2, NOW - ago));
    const columns = [...db.export(TENANT, [{ type: "=", name: "i", value: "1" }], NOW - 2000, NOW - 1000)];
    expect(columns.length).toBe(1);
    const { times, values } = columns[0]!;
    expect([[...times], [...values]]).toEqual([
      [NOW - 2000, NOW - 1000],
      [1, 1],
    ]);
    values.fill(7);
    times.fill(0);
    expect(contents(db).length).toBe(6);
    expect([...db.export("nobody", [])]).toEqual([]);
    await db.close();
  });
});

describe("reporting", () => {
  test("counts what came, what was stored, and what was not", async () => {
    const fs = new SimFileSystem();
    let db = await openDb(fs, { seriesMax: 3 });
    await write(db, rowsOf(3, NOW - 1000));
    await write(db, rowsOf(3, NOW - 1000));
    await write(db, [[series(0), NOW - 1000, -5]]);
    await write(db, [[series(0), NOW - 2000, 4]]);
    await write(db, [[series(0), NOW + HOUR, 4], [series(1), NOW - 99 * HOUR, 4], [series(9), NOW, 4]]); // biome-ignore format: one batch
    const { counters, head, seriesCount, sessions, wal } = db.report();
    expect(counters).toMatchObject({
      ...{ batches: 5, samplesReceived: 11, samplesStored: 4, samplesLate: 1, samplesDuplicate: 3, samplesOutvoted: 1 },
      ...{ samplesFuture: 1, samplesTooOld: 1, samplesSeriesLimit: 1, samplesIdCollision: 0 },
    });
    expect([head.lateSamples, head.samples, seriesCount, sessions, wal.state, wal.waitingBytes]).toEqual([
      ...[1, 3, 3, 0, "open", 0],
    ]);
    expect(counters.walGroups).toBeGreaterThan(0);
    await db.close();
    db = await openDb(fs);
    expect(db.replayed.counts).toMatchObject({ series: 3, samples: 2 });
    await db.close();
  });
});

describe("closing", () => {
  test("makes all that was appended durable first, ends the sessions, and may be done twice", async () => {
    const fs = new SimFileSystem();
    const db = await openDb(fs);
    const session = db.openSession();
    const pending = session.append(batchOf(session, rowsOf(3)));
    const closing = [db.close(), db.close()];
    expect((await pending).status).toBe("stored");
    await Promise.all(closing);
    await expect(session.append(batchOf(session, rowsOf(3)))).rejects.toThrow(UnavailableError);
    expect(() => db.openSession()).toThrow(UnavailableError);
    expect(fs.list(DATA_DIR)).toEqual(["blocks", "tidemark.json", "wal"]);
    const next = await openDb(fs);
    expect(contents(next)).toEqual(lines(rowsOf(3)));
    await next.close();
  });

  test("is over when all is on disk", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const fs = new SimFileSystem();
      const db = await openDb(fs);
      void new Feed(db).append(rowsOf(3));
      await db.close();
      fs.crash(new SeededRandom(seed));
      const next = await openDb(fs);
      expect(contents(next)).toEqual(lines(rowsOf(3)));
      await next.close();
    }
  });

  test("a lost session gives its dictionary's memory back", async () => {
    const db = await openDb();
    const used = (): number => db.report().head.arenaUsedBytes;
    await write(db, rowsOf(10));
    const before = used();
    for (let i = 0; i < 200; i++) await write(db, rowsOf(10));
    expect(used()).toBe(before);
    await db.close();
  });
});
