// test/unit/tsdb/read-ahead.test.ts: blocks that are read before queries ask: what is kept and for how long it works is bounded, it waits for
// queries, ends with the storage, and meets damage as a query does; answers are those of a storage that read nothing ahead.
import { expect, test } from "vitest";
import { BlockReader } from "../../../libs/block/index.ts";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import type { Leaf, LeafResult } from "../../../libs/model/index.ts";
import type { Db, DbOptions } from "../../../libs/tsdb/index.ts";
import { kernel } from "../block/block-fixture.ts";
import { contents, DATA_DIR, HOUR, NOW, openDb, type Row, settled, TENANT, write } from "./db-fixture.ts";

const BLOCKS = `${DATA_DIR}/blocks`;
const context = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: Number.POSITIVE_INFINITY,
};
const series = (i: number) => ({ __name__: `m${i % 5}`, i: `${i}` });
/** Two windows of blocks: so long before NOW. */
const WINDOWS = [3 * HOUR, HOUR];
const rowsOf = (agoMs: number): Row[] =>
  Array.from({ length: 40 }, (_, i) =>
    [0, 1, 2].map((t): Row => [series(i), NOW - agoMs + t * 15_000, i + t / 4]),
  ).flat();

const blockFiles = (fs: SimFileSystem): string[] => fs.list(BLOCKS).filter((name) => name.endsWith(".tmb"));

/** A storage's directory with blocks of two windows; `newer` are files of the later one. */
async function disk(): Promise<{ fs: SimFileSystem; newer: string[] }> {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { clock });
  const files: string[][] = [];
  for (const agoMs of WINDOWS) {
    await write(db, rowsOf(agoMs));
    await settled(clock, db.flush());
    files.push(blockFiles(fs));
  }
  await settled(clock, db.close());
  const newer = files[1]!.filter((name) => !files[0]!.includes(name));
  expect(files[0]!.length).toBeGreaterThan(1);
  expect(newer.length).toBeGreaterThan(1);
  return { fs, newer };
}

async function opened(
  fs: SimFileSystem,
  options: Omit<Partial<DbOptions>, "clock"> = {},
): Promise<{ db: Db; clock: SimClock }> {
  const clock = new SimClock(NOW);
  return { db: await openDb(fs, { clock, ...options }), clock };
}

const leaf: Leaf = {
  grid: { startMs: NOW - 4 * HOUR, stepMs: 60_000, count: 240 },
  matchers: [{ type: "=~", name: "__name__", value: "m[0-3]" }],
  ...{ rollup: "last", rangeMs: 300_000, offsetMs: 0, args: [], dropName: false },
};

async function answer(db: Db, clock: SimClock): Promise<LeafResult> {
  return settled(clock, db.queryable.evaluate(leaf, context));
}

test("all blocks are read, before queries and beside them; answers stay what they are", async () => {
  const { fs } = await disk();
  const plain = await opened(fs);
  const wanted = [await answer(plain.db, plain.clock), contents(plain.db)];
  expect(plain.db.report().readAhead).toMatchObject({ blocks: 0, isRunning: false });
  await settled(plain.clock, plain.db.close());
  for (const way of ["readAheadOfQueries", "readAheadBesideQueries"] as const) {
    const { db, clock } = await opened(fs);
    const count = db.report().blocks.count;
    await settled(clock, db[way](1000));
    const { blocks, keptBytes, isRunning } = db.report().readAhead;
    expect([blocks, isRunning]).toEqual([count, false]);
    expect(keptBytes).toBeGreaterThan(1000);
    expect([await answer(db, clock), contents(db)]).toEqual(wanted);
    // Nothing twice.
    await settled(clock, db.readAheadBesideQueries(1000));
    expect(db.report().readAhead.blocks).toBe(count);
    // What is only rehearsed isn't counted as a query.
    expect(db.report().counters.leaves).toBe(1);
    await settled(clock, db.close());
  }
});

test("series of blocks that were read are found in memory, by any matchers and at any times, as without", async () => {
  const plain = await opened((await disk()).fs);
  const read = await opened((await disk()).fs);
  await settled(read.clock, read.db.readAheadOfQueries(1000));
  // What is not in blocks yet, and series that only some blocks have.
  for (const { db } of [plain, read])
    await write(db, [
      [series(3), NOW, 7],
      [series(77), NOW, 8],
    ]);
  const selectors: Leaf["matchers"][] = [
    [{ type: "=", name: "__name__", value: "m1" }],
    [{ type: "=", name: "i", value: "3" }],
    [
      { type: "!=", name: "__name__", value: "m2" },
      { type: "=~", name: "i", value: "1.*|7" },
    ],
    [
      { type: "!~", name: "i", value: "[0-9]" },
      { type: "=", name: "none", value: "" },
    ],
    [{ type: "=", name: "i", value: "none" }],
    [{ type: "!=", name: "__name__", value: "" }],
  ];
  for (const matchers of selectors) {
    for (const back of [0, 2, 4]) {
      const asked = { ...leaf, matchers, grid: { ...leaf.grid, startMs: NOW - back * HOUR, count: 60 } };
      const [a, b] = [plain, read].map(({ db, clock }) => settled(clock, db.queryable.evaluate(asked, context)));
      expect(await b).toEqual(await a);
    }
  }
  for (const { db, clock } of [plain, read]) await settled(clock, db.close());
});

test("questions are made of the newest block that has series: the rows of a day may be none", async () => {
  const { fs } = await disk();
  // Two days later there are rows of the day: none, as no series has samples enough.
  const later = new SimClock(NOW + 48 * HOUR);
  const kept = { retentionMs: 1000 * HOUR };
  const merging = await openDb(fs, { clock: later, ...kept });
  await settled(later, merging.compact());
  const rows = blockFiles(fs).map((name) => new BlockReader(fs, `${BLOCKS}/${name}`, kernel));
  expect(rows.filter(({ footer, seriesCount }) => footer.level !== "raw" && seriesCount === 0)).not.toEqual([]);
  await settled(later, merging.close());
  const { db, clock } = await opened(fs, kept);
  await settled(clock, db.readAheadOfQueries(1000));
  expect(db.report().readAhead.questions).toBeGreaterThan(0);
  await settled(clock, db.close());
});

test("any name may be asked for: also one that is no regular expression, or ends within a character", async () => {
  const fs = new SimFileSystem();
  const first = await opened(fs);
  const names = ["a(b[c", "1234567😀x", "\\"];
  await write(
    first.db,
    names.map((__name__): Row => [{ __name__, i: "1" }, NOW - HOUR, 1]),
  );
  await settled(first.clock, first.db.flush());
  await settled(first.clock, first.db.close());
  const { db, clock } = await opened(fs);
  await settled(clock, db.readAheadOfQueries(1000));
  expect(db.report().readAhead.questions).toBeGreaterThan(names.length);
  await settled(clock, db.close());
});

test("series without a metric's name are nothing to ask about", async () => {
  const fs = new SimFileSystem();
  const first = await opened(fs);
  await write(first.db, [[{ i: "1" }, NOW - HOUR, 1]]);
  await settled(first.clock, first.db.flush());
  await settled(first.clock, first.db.close());
  const { db, clock } = await opened(fs);
  await settled(clock, db.readAheadOfQueries(1000));
  expect(db.report().readAhead).toMatchObject({ blocks: 1, questions: 0, isRunning: false });
  await settled(clock, db.close());
});

test("no time: nothing is read; memory for blocks: half of it is used at most, by the newest", async () => {
  const { fs, newer } = await disk();
  const idle = await opened(fs);
  await settled(idle.clock, idle.db.readAheadOfQueries(0));
  expect(idle.db.report().readAhead).toMatchObject({ blocks: 0, keptBytes: 0 });
  await settled(idle.clock, idle.db.readAheadBesideQueries(1000));
  const all = idle.db.report().readAhead.keptBytes;
  await settled(idle.clock, idle.db.close());
  // Whoever looked into an older block would meet damage.
  const older = blockFiles(fs).filter((name) => !newer.includes(name));
  for (const name of older) fs.flip(`${BLOCKS}/${name}`, Math.floor(fs.stat(`${BLOCKS}/${name}`)!.sizeBytes / 4), 4);
  const { db, clock } = await opened(fs, { blockMemoryBytes: all / 3 });
  await settled(clock, db.readAheadBesideQueries(1000));
  expect(db.damagedBlocks).toEqual([]);
  expect(db.report().readAhead.blocks).toBeGreaterThan(0);
  expect(db.report().readAhead.blocks).toBeLessThanOrEqual(newer.length);
  await settled(clock, db.readAheadBesideQueries(1000));
  expect(db.damagedBlocks).toEqual([]);
  await settled(clock, db.close());
  const none = await opened(fs, { blockMemoryBytes: 0 });
  await settled(none.clock, none.db.readAheadOfQueries(1000));
  expect(none.db.report().readAhead).toMatchObject({ blocks: 0, keptBytes: 0 });
  await settled(none.clock, none.db.close());
});

test("a damaged block that is met leaves service, as for a query; the rest is read", async () => {
  let met = 0;
  // Each byte of the file but its footer is in a page, a column of times or a payload.
  for (let share = 0; share < 1; share += 1 / 40) {
    const { fs, newer } = await disk();
    const path = `${BLOCKS}/${newer[0]!}`;
    fs.flip(path, Math.floor(fs.stat(path)!.sizeBytes * share), 4);
    const problems: string[] = [];
    const { db, clock } = await opened(fs, { onProblem: (problem) => problems.push(problem) });
    const isOpen = db.damagedBlocks.length === 0;
    const { count } = db.report().blocks;
    await settled(clock, db.readAheadBesideQueries(1000));
    if (isOpen && db.damagedBlocks.length > 0) {
      met++;
      expect(db.damagedBlocks).toEqual([newer[0]]);
      expect(problems.some((problem) => problem.includes("damaged block"))).toBe(true);
      expect(db.report().readAhead.blocks).toBe(count - 1);
      expect((await answer(db, clock)).warnings.join()).toContain("damaged block");
    }
    await settled(clock, db.close());
  }
  expect(met).toBeGreaterThan(5);
});

test("it waits while a query is at work", async () => {
  const { fs } = await disk();
  const { db, clock } = await opened(fs);
  const range = { minMs: NOW - 4 * HOUR, maxMs: NOW };
  const stream = db.queryable.rawSamples({ matchers: leaf.matchers, range }, context);
  expect((await settled(clock, stream.next())).done).toBe(false);
  const reading = db.readAheadBesideQueries(1000);
  await clock.advance(500);
  expect(db.report().readAhead).toMatchObject({ blocks: 0, isRunning: true });
  await stream.return();
  await settled(clock, reading);
  expect(db.report().readAhead.blocks).toBe(db.report().blocks.count);
  await settled(clock, db.close());
});

test("blocks that come later are read, too: once there are queries, and not while one is at work", async () => {
  const { db, clock } = await opened(new SimFileSystem());
  await write(db, rowsOf(3 * HOUR));
  await settled(clock, db.flush());
  await clock.advance(1000);
  const first = db.report().blocks.count;
  expect(first).toBeGreaterThan(1);
  expect(db.report().readAhead).toMatchObject({ blocks: 0, isRunning: false });
  await settled(clock, db.readAheadBesideQueries(1000));
  expect(db.report().readAhead.blocks).toBe(first);
  const { questions } = db.report().readAhead;
  await write(db, rowsOf(HOUR));
  const range = { minMs: NOW - 4 * HOUR, maxMs: NOW };
  const stream = db.queryable.rawSamples({ matchers: leaf.matchers, range }, context);
  await settled(clock, stream.next());
  await settled(clock, db.flush());
  await clock.advance(500);
  const all = db.report().blocks.count;
  expect(all).toBeGreaterThan(first);
  expect(db.report().readAhead).toMatchObject({ blocks: first, isRunning: true });
  await stream.return();
  for (let turn = 0; turn < 1000 && db.report().readAhead.isRunning; turn++) await clock.advance(20);
  expect(db.report().readAhead).toMatchObject({ blocks: all, questions, isRunning: false });
  await settled(clock, db.close());
});

test("a storage that begins without blocks rehearses on the first that come", async () => {
  const { db, clock } = await opened(new SimFileSystem());
  await settled(clock, db.readAheadBesideQueries(1000));
  expect(db.report().readAhead).toMatchObject({ blocks: 0, questions: 0, isRunning: false });
  await write(db, rowsOf(3 * HOUR));
  await settled(clock, db.flush());
  for (let turn = 0; turn < 1000 && db.report().readAhead.isRunning; turn++) await clock.advance(20);
  expect(db.report().readAhead.blocks).toBe(db.report().blocks.count);
  expect(db.report().readAhead.questions).toBeGreaterThan(0);
  await settled(clock, db.close());
});

test("it ends with the storage, wherever it is", async () => {
  const { fs } = await disk();
  for (const turns of [0, 1, 3, 6]) {
    const { db, clock } = await opened(fs);
    const reading = db.readAheadBesideQueries(1000);
    for (let turn = 0; turn < turns; turn++) await clock.advance(0);
    await settled(clock, db.close());
    await settled(clock, reading);
    expect(db.report().readAhead.isRunning).toBe(false);
    // Every block was let go of: its file can be opened by the next storage, and nothing is kept.
    const next = await opened(fs);
    expect(next.db.damagedBlocks).toEqual([]);
    await settled(next.clock, next.db.close());
  }
});
