// test/crash/quarantine.test.ts: damage to blocks through the whole storage: every bit is found, its block named and put aside, never
// served and never removed; the rest is answered, with a warning, for good; and nothing crashes over it.
import { describe, expect, test } from "vitest";
import { blockPath } from "../../libs/block/index.ts";
import { readWhole, SeededRandom, SimClock, SimFileSystem } from "../../libs/env/index.ts";
import type { LeafResult, Matcher } from "../../libs/model/index.ts";
import type { Db, DbOptions } from "../../libs/tsdb/index.ts";
import {
  contents,
  DATA_DIR,
  HOUR,
  lines,
  NOW,
  openDb,
  type Row,
  settled,
  TENANT,
  write,
} from "../unit/tsdb/db-fixture.ts";
import { listRecords, REGISTRATIONS, SAMPLES } from "./wal-records.ts";

const series = (i: number) => ({ __name__: "m", i: `${i}` });
/** Of shards 0 to 3, so that there are several blocks. */
const OLD: readonly Row[] = [0, 1, 2, 3].flatMap((i) =>
  [0, 1, 2].map((t): Row => [series(i), NOW - 2 * HOUR + t * 15_000, 1 + i * 7 + t * t * 0.25]),
);
const NEW: readonly Row[] = [0, 1, 2, 3].map((i): Row => [series(i), NOW - 15_000, i]);
const WARNING = /^incomplete: a damaged block was taken out of service; samples from \S+Z to \S+Z may be missing$/;

interface Disk {
  readonly fs: SimFileSystem;
  readonly files: readonly string[];
  /** By file: the lines of what is in it. */
  readonly inFile: ReadonlyMap<string, readonly string[]>;
}

const filesIn = (fs: SimFileSystem, folder: string): string[] =>
  fs.stat(folder) === undefined ? [] : fs.list(folder).filter((name) => name.endsWith(".tmb"));
const BLOCKS = `${DATA_DIR}/blocks`;
const QUARANTINE = `${DATA_DIR}/quarantine`;

async function disk(): Promise<Disk> {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { clock });
  await write(db, OLD);
  await settled(clock, db.flush());
  await write(db, NEW);
  await settled(clock, db.close());
  const files = filesIn(fs, BLOCKS);
  const inFile = new Map<string, readonly string[]>();
  for (const file of files) {
    // What is missing when the block is.
    fs.rename(blockPath(DATA_DIR, file), blockPath(DATA_DIR, "aside"));
    const without = await openDb(fs);
    const left = new Set(contents(without));
    inFile.set(
      file,
      lines([...OLD]).filter((line) => !left.has(line)),
    );
    await without.close();
    fs.rename(blockPath(DATA_DIR, "aside"), blockPath(DATA_DIR, file));
  }
  expect([...inFile.values()].flat().sort()).toEqual(lines(OLD));
  return { fs, files, inFile };
}

function leaf(db: Db, clock: SimClock, startMs: number, endMs: number): Promise<LeafResult> {
  const grid = { startMs, stepMs: 15_000, count: Math.floor((endMs - startMs) / 15_000) + 1 };
  const context = { tenant: TENANT, signal: new AbortController().signal, deadlineMs: 1e18, samplesMax: 1e9 };
  const matchers: Matcher[] = [{ name: "__name__", type: "=", value: "m" }];
  const wanted = { matchers, grid, rollup: "last" as const, rangeMs: 15_000, offsetMs: 0, args: [], dropName: false };
  return settled(clock, db.queryable.evaluate(wanted, context));
}

/** The samples that a leaf shows, as lines. */
function shown(result: LeafResult, startMs: number): string[] {
  return result.columns
    .flatMap(({ labels, values, present }) => {
      return [...values].flatMap((value, step) =>
        present === null || present[step] === 1 ? [`${labels.join()} ${startMs + step * 15_000} ${value}`] : [],
      );
    })
    .sort();
}

describe("a damaged block", () => {
  const FROM = NOW - 2 * HOUR;
  const open = (fs: SimFileSystem, clock: SimClock, options: Partial<Omit<DbOptions, "clock">> = {}): Promise<Db> =>
    openDb(fs, { clock, ...options });

  test("every bit: found when it is read, named, not served, put aside", async () => {
    const { fs, files, inFile } = await disk();
    const file = files[0]!;
    const path = blockPath(DATA_DIR, file);
    const clock = new SimClock(NOW);
    const whole = await open(fs, clock);
    const all = shown(await leaf(whole, clock, FROM, NOW), FROM);
    await settled(clock, whole.close());
    const bytes = readWhole(fs, path)!.slice();
    const registry = readWhole(fs, `${BLOCKS}/registry.json`)!.slice();
    const gone = inFile.get(file)!.length;
    for (let offset = 0; offset < bytes.length; offset++) {
      for (let bit = 0; bit < 8; bit++) {
        fs.flip(path, offset, 1 << bit);
        const problems: string[] = [];
        const db = await open(fs, clock, { onProblem: (problem) => problems.push(problem) });
        const result = await leaf(db, clock, FROM, NOW);
        const at = `byte ${offset}, bit ${bit}`;
        expect(result.warnings, at).toEqual([expect.stringMatching(WARNING)]);
        const found = shown(result, FROM);
        expect(found.length, at).toBe(all.length - gone);
        expect(
          found.every((line) => all.includes(line)),
          at,
        ).toBe(true);
        await settled(clock, db.close());
        expect(problems, at).toEqual([expect.stringContaining(file)]);
        // Put aside as it was found; then the disk is mended for the next bit.
        expect(filesIn(fs, QUARANTINE), at).toEqual([file]);
        expect(filesIn(fs, BLOCKS), at).not.toContain(file);
        const kept = readWhole(fs, `${QUARANTINE}/${file}`)!;
        expect(kept[offset]! ^ bytes[offset]!, at).toBe(1 << bit);
        fs.flip(`${QUARANTINE}/${file}`, offset, 1 << bit);
        fs.link(`${QUARANTINE}/${file}`, path);
        fs.unlink(`${QUARANTINE}/${file}`);
        fs.unlink(`${BLOCKS}/registry.json`);
        fs.open(`${BLOCKS}/registry.json`, "create").write(registry, 0);
      }
    }
  }, 600_000);

  test("while it is in use: out at once, logged once, counted; the warning stays over restarts; writes and cuts go on", async () => {
    const { fs, files } = await disk();
    const clock = new SimClock(NOW);
    const problems: string[] = [];
    const options = { onProblem: (problem: string) => problems.push(problem) };
    let db = await open(fs, clock, options);
    const all = shown(await leaf(db, clock, FROM, NOW), FROM);
    const file = files[1]!;
    db.report();
    // A payload of the open block; what was read before is forgotten.
    const size = fs.stat(blockPath(DATA_DIR, file))!.sizeBytes;
    await settled(clock, db.close());
    db = await open(fs, clock, options);
    fs.flip(blockPath(DATA_DIR, file), Math.floor(size / 3), 8);
    const first = await leaf(db, clock, FROM, NOW);
    expect(first.warnings).toEqual([expect.stringMatching(WARNING)]);
    expect(first.warnings[0]).toContain(`from ${new Date(FROM).toISOString()}`);
    expect(shown(first, FROM).length).toBeLessThan(all.length);
    expect(db.queryable.lacking!({ minMs: FROM, maxMs: NOW })).toEqual(first.warnings);
    expect(db.queryable.lacking!({ minMs: NOW - 60_000, maxMs: NOW })).toEqual([]);
    // Elsewhere nothing is missing.
    expect((await leaf(db, clock, NOW - 60_000, NOW)).warnings).toEqual([]);
    for (let i = 0; i < 3; i++) expect((await leaf(db, clock, FROM, NOW)).warnings).toEqual(first.warnings);
    expect(problems).toEqual([expect.stringContaining(`damaged block, not served any more: ${file}: `)]);
    const { blocks } = db.report();
    expect(blocks).toMatchObject({ count: files.length - 1, damaged: 1, damagedBytes: size, quarantined: 1 });
    await write(db, [[series(0), NOW - 5000, 77]]);
    await settled(clock, db.flush());
    await settled(clock, db.compact());
    await settled(clock, db.close());
    expect(filesIn(fs, QUARANTINE)).toEqual([file]);
    problems.length = 0;
    db = await open(fs, clock, options);
    expect(problems).toEqual([]);
    expect(db.damagedBlocks).toEqual([file]);
    expect((await leaf(db, clock, FROM, NOW)).warnings).toEqual(first.warnings);
    expect(db.report().blocks.damaged).toBe(1);
    await settled(clock, db.close());
  });

  test("a page that can't be read at all is damage as well; one whose file is missing stays known", async () => {
    const { fs, files } = await disk();
    const clock = new SimClock(NOW);
    let db = await open(fs, clock);
    const [unreadable, missing] = files as [string, string];
    fs.faults = (call) => (call.kind === "read" && call.path.endsWith(unreadable) ? "EIO" : undefined);
    expect((await leaf(db, clock, FROM, NOW)).warnings).toEqual([expect.stringMatching(WARNING)]);
    fs.faults = () => undefined;
    await settled(clock, db.close());
    expect(filesIn(fs, QUARANTINE)).toEqual([unreadable]);
    fs.unlink(blockPath(DATA_DIR, missing));
    for (let restart = 0; restart < 3; restart++) {
      db = await open(fs, clock);
      expect([...db.damagedBlocks].sort()).toEqual([missing, unreadable].sort());
      const { warnings } = await leaf(db, clock, FROM, NOW);
      expect(warnings).toEqual([expect.stringMatching(/^incomplete: 2 damaged blocks were taken out of service/)]);
      await settled(clock, db.close());
    }
  });

  test("met by a merge: the others are merged without it", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    let db = await openDb(fs, { clock, shardCount: 1, retentionMs: 30 * 24 * HOUR });
    const day = Math.floor(NOW / (24 * HOUR)) * 24 * HOUR - 24 * HOUR;
    const rows = [1, 2, 3].map((i): Row => [series(i), day + i * HOUR, i]);
    for (const row of rows) {
      await write(db, [row]);
      await settled(clock, db.flush());
    }
    const files = filesIn(fs, BLOCKS);
    expect(files.length).toBe(3);
    fs.flip(blockPath(DATA_DIR, files[1]!), 20, 1);
    const report = await settled(clock, db.compact());
    expect(report.merged).toBe(2);
    expect(db.damagedBlocks).toEqual([files[1]]);
    expect(filesIn(fs, BLOCKS).filter((file) => file.startsWith("raw-")).length).toBe(1);
    expect(contents(db)).toEqual(lines([rows[0]!, rows[2]!]));
    await settled(clock, db.close());
    db = await openDb(fs, { clock, shardCount: 1, retentionMs: 30 * 24 * HOUR });
    expect(contents(db)).toEqual(lines([rows[0]!, rows[2]!]));
    await settled(clock, db.close());
  });

  test("a disk that refuses to put it aside: not served all the same, and tried again", async () => {
    const { fs, files } = await disk();
    const clock = new SimClock(NOW);
    const db = await open(fs, clock);
    fs.flip(blockPath(DATA_DIR, files[0]!), 30, 1);
    fs.faults = (call) => (call.kind === "link" ? "ENOSPC" : undefined);
    expect((await leaf(db, clock, FROM, NOW)).warnings).toEqual([expect.stringMatching(WARNING)]);
    await clock.advance(11_000);
    expect(filesIn(fs, BLOCKS)).toContain(files[0]);
    fs.faults = () => undefined;
    await clock.advance(6000);
    expect(filesIn(fs, QUARANTINE)).toEqual([files[0]]);
    expect(filesIn(fs, BLOCKS)).not.toContain(files[0]);
    await settled(clock, db.close());
  });

  test("a crash at any call of it: the file is there once at least, and is not served", async () => {
    let done = false;
    for (let n = 1; !done; n++) {
      const { fs, files } = await disk();
      const clock = new SimClock(NOW);
      const db = await open(fs, clock);
      const path = blockPath(DATA_DIR, files[0]!);
      fs.flip(path, 30, 1);
      const bytes = readWhole(fs, path)!.slice();
      const start = fs.calls;
      fs.faults = (call) => (call.number === start + n ? "crash" : undefined);
      await leaf(db, clock, FROM, NOW).catch(() => undefined);
      for (let turn = 0; turn < 20; turn++) await clock.advance(0);
      done = !fs.crashed;
      fs.faults = () => undefined;
      fs.crash(new SeededRandom(n));
      const next = await open(fs, clock);
      expect((await leaf(next, clock, FROM, NOW)).warnings).toEqual([expect.stringMatching(WARNING)]);
      await settled(clock, next.close());
      expect(readWhole(fs, `${QUARANTINE}/${files[0]}`)).toEqual(bytes);
      expect(filesIn(fs, BLOCKS)).not.toContain(files[0]);
    }
  }, 240_000);
});

describe("a damaged log", () => {
  test("answers over its times say so, for good: after restarts, and after the log has gone into blocks", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    let db = await openDb(fs, { clock });
    await write(db, OLD);
    await settled(clock, db.flush());
    await write(db, [NEW[0]!]);
    await write(db, [NEW[1]!]);
    await settled(clock, db.close());
    const segment = `${DATA_DIR}/wal/${fs.list(`${DATA_DIR}/wal`).at(-1)!}`;
    const records = listRecords(readWhole(fs, segment)!).filter(({ type }) => type === SAMPLES);
    fs.flip(segment, records[0]!.offset + 20, 1);
    const texts = new Set<string>();
    for (let start = 0; start < 4; start++) {
      db = await openDb(fs, { clock });
      const { warnings } = await leaf(db, clock, NOW - 60_000, NOW);
      expect(warnings).toEqual([
        expect.stringMatching(
          /^incomplete: the write-ahead log was damaged; samples from \S+Z to \S+Z may be missing$/,
        ),
      ]);
      texts.add(warnings[0]!);
      // What was in blocks is all there.
      expect((await leaf(db, clock, NOW - 2 * HOUR, NOW - HOUR)).warnings).toEqual([]);
      if (start === 2) await settled(clock, db.flush());
      await settled(clock, db.close());
      await clock.advance(60_000);
    }
    // The damage was noted once, when it was found.
    expect(texts.size).toBe(1);
    expect(fs.list(QUARANTINE).length).toBe(1);
    expect(new TextDecoder().decode(readWhole(fs, `${QUARANTINE}/${fs.list(QUARANTINE)[0]}`))).toContain(
      "checksum of a record of type 2",
    );
  });

  test("that has lost only what is there twice says nothing", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    let db = await openDb(fs, { clock });
    await write(db, NEW);
    await settled(clock, db.close());
    const segment = `${DATA_DIR}/wal/00000001.wal`;
    const records = listRecords(readWhole(fs, segment)!).filter(({ type }) => type === REGISTRATIONS);
    fs.flip(segment, records[0]!.offset + 20, 1);
    db = await openDb(fs, { clock });
    expect(db.replayed.damage.length).toBe(1);
    expect((await leaf(db, clock, NOW - 60_000, NOW)).warnings).toEqual([]);
    expect(contents(db)).toEqual(lines(NEW));
    await settled(clock, db.close());
  });
});
