// test/crash/damaged.test.ts: the WAL of a real storage cut at every byte length, and with every single bit flipped: the storage opens, what
// was intact is there, what was damaged is reported. A flipped bit costs the record it hits, and nothing when that holds registrations.
import { describe, expect, test } from "vitest";
import { readWhole, SimFileSystem } from "../../libs/env/index.ts";
import { InvalidError } from "../../libs/model/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import { contents, DATA_DIR, line, NOW, openDb, type Row, SEGMENT, write } from "../unit/tsdb/db-fixture.ts";
import {
  listRecords,
  METADATA,
  REGISTRATIONS,
  REPEATED,
  SAMPLES,
  SEGMENT_HEADER,
  type WalRecord,
} from "./wal-records.ts";

const series = (i: number, job = "j") => ({ __name__: "m", i: `${i}`, job });
const STALE = 0x7ff0000000000002n;

/** Groups of batches; each batch becomes one samples record. */
const GROUPS: readonly (readonly (readonly Row[])[])[] = [
  [
    [
      [series(0), NOW - 60_000, 1.5],
      [series(1), NOW - 60_000, -0],
    ],
    [
      [series(0), NOW - 45_000, 2.5],
      [series(1), NOW - 45_000, 7],
    ],
    // Late.
    [[series(0), NOW - 90_000, 3]],
  ],
  [
    // Loses to what comes next; wins over what went before.
    [[series(1), NOW - 45_000, 8]],
    [[series(1), NOW - 45_000, 9]],
    [
      [series(0), NOW - 30_000, STALE],
      [series(2, "o"), NOW - 30_000, 0x7ff8000000000123n],
    ],
  ],
  [[[series(2, "o"), NOW - 15_000, 6]]],
  // The second segment begins, and repeats the registrations so far; but not the last one.
  [[[series(3), NOW - 15_000, 7]]],
  [[[series(4), NOW - 15_000, 8]]],
];
const BATCHES = GROUPS.flat();

interface Small {
  readonly fs: SimFileSystem;
  /** By segment number minus one. */
  readonly segments: readonly { readonly bytes: Uint8Array; readonly records: readonly WalRecord[] }[];
  /** Batch numbers of samples records, by segment and offset. */
  readonly batchAt: ReadonlyMap<string, number>;
}

const place = (segment: number, record: WalRecord): string => `${segment} ${record.offset}`;

async function small(): Promise<Small> {
  const fs = new SimFileSystem();
  const db = await openDb(fs, { walSegmentBytes: 2048 });
  const session = db.openSession();
  const metadata = session.appendMetadata([{ tenant: "default", family: "m", type: "gauge", help: "h", unit: "" }]);
  for (const group of GROUPS) await Promise.all(group.map((batch) => write(db, batch)));
  await metadata;
  await db.close();
  const segments = [];
  const batchAt = new Map<string, number>();
  for (let number = 1; fs.stat(SEGMENT(number)) !== undefined; number++) {
    const bytes = readWhole(fs, SEGMENT(number))!.slice();
    const records = listRecords(bytes);
    for (const record of records) if (record.type === SAMPLES) batchAt.set(place(number, record), batchAt.size);
    segments.push({ bytes, records });
  }
  expect(batchAt.size).toBe(BATCHES.length);
  return { fs, segments, batchAt };
}

/** What must be there when only some batches have survived. */
function survivors(lives: (batch: number) => boolean): string[] {
  const rows = new Map<string, Row>();
  BATCHES.forEach((batch, number) => {
    if (!lives(number)) return;
    // Later batches win over earlier ones at the same time.
    for (const row of batch) rows.set(`${JSON.stringify(row[0])} ${row[1]}`, row);
  });
  return [...rows.values()].map(line).sort();
}

/** Opens, looks, and closes again. */
async function look<T>(fs: SimFileSystem, visit: (db: Db) => T | Promise<T>): Promise<T> {
  const db = await openDb(fs, { walSegmentBytes: 2048 });
  try {
    return await visit(db);
  } finally {
    await db.close();
  }
}

async function metadataOf(db: Db): Promise<string[]> {
  const context = { tenant: "default", signal: new AbortController().signal, deadlineMs: 1e18, samplesMax: 1 };
  return (await db.queryable.metadata("", context)).map((entry) => entry.help);
}

describe("a damaged storage", () => {
  test("the undamaged one has two segments, all kinds of records, and nothing to report", async () => {
    const { fs, segments } = await small();
    expect(segments.length).toBe(2);
    const types = new Set(segments.flatMap(({ records }) => records.map((record) => record.type)));
    expect([...types].sort()).toEqual([REGISTRATIONS, SAMPLES, METADATA, SEGMENT_HEADER, REPEATED]);
    await look(fs, (db) => {
      expect(db.replayed.damage).toEqual([]);
      expect(contents(db)).toEqual(survivors(() => true));
    });
  });

  test("every single bit flipped", async () => {
    const { fs, segments, batchAt } = await small();
    const all = survivors(() => true);
    const copies = segments.map(({ records }) => records.filter((record) => record.type === METADATA).length);
    expect(copies).toEqual([1, 1]);
    for (let number = 1; number <= segments.length; number++) {
      const { bytes, records } = segments[number - 1]!;
      for (let offset = 0; offset < bytes.length; offset++) {
        const hit = records.find((record) => record.offset <= offset && offset < record.end);
        const lost = hit === undefined ? undefined : batchAt.get(place(number, hit));
        const want = lost === undefined ? all : survivors((batch) => batch !== lost);
        for (let bit = 0; bit < 8; bit++) {
          fs.flip(SEGMENT(number), offset, 1 << bit);
          const found = await look(fs, async (db) => ({
            contents: contents(db),
            metadata: await metadataOf(db),
            reported:
              db.replayed.damage.filter(({ path, length }) => path === SEGMENT(number) && length > 0).length > 0,
          }));
          fs.flip(SEGMENT(number), offset, 1 << bit);
          // The second segment repeats it.
          const metadata = ["h"];
          const at = `segment ${number}, byte ${offset}, bit ${bit}`;
          expect({ at, ...found }).toEqual({ at, contents: want, metadata, reported: true });
        }
      }
    }
  }, 900_000);

  test("the last segment cut at every byte length", async () => {
    const { fs, segments, batchAt } = await small();
    const { bytes, records } = segments[1]!;
    const file = fs.open(SEGMENT(2), "update");
    for (let length = bytes.length - 1; length >= 0; length--) {
      file.truncate(length);
      const lives = new Set([...batchAt].filter(([where]) => where.startsWith("1 ")).map(([, batch]) => batch));
      for (const record of records) {
        const batch = batchAt.get(place(2, record));
        if (batch !== undefined && record.end <= length) lives.add(batch);
      }
      const cutsRecord = records.some((record) => record.offset < length && length < record.end);
      await look(fs, (db) => {
        expect({ length, found: contents(db) }).toEqual({ length, found: survivors((batch) => lives.has(batch)) });
        if (cutsRecord) expect(db.replayed.damage.length, `${length}`).toBeGreaterThan(0);
        for (const { kind } of db.replayed.damage) expect(kind).toBe("tail");
      });
    }
  }, 300_000);

  test("an earlier segment cut at every byte length is damage", async () => {
    const { fs, segments, batchAt } = await small();
    const { bytes, records } = segments[0]!;
    const end = records.at(-1)!.end;
    const file = fs.open(SEGMENT(1), "update");
    for (let length = bytes.length - 1; length >= 0; length--) {
      file.truncate(length);
      const lost = new Set<number>();
      for (const record of records) {
        const batch = batchAt.get(place(1, record));
        if (batch !== undefined && record.end > length) lost.add(batch);
      }
      await look(fs, (db) => {
        expect({ length, found: contents(db) }).toEqual({ length, found: survivors((batch) => !lost.has(batch)) });
        const damage = db.replayed.damage.filter(({ kind }) => kind === "damage");
        if (length < end) expect(damage.length, `${length}`).toBeGreaterThan(0);
      });
    }
  }, 300_000);

  test.each<[string, (fs: SimFileSystem) => void, RegExp]>([
    ["gone", () => {}, /^missing segment$/],
    ["empty", (fs) => fs.open(SEGMENT(1), "create").close(), /^cut off: the next segment says it was longer$/],
    ["a folder", (fs) => fs.makeDirectory(SEGMENT(1)), /^not a file but a directory$/],
  ])("a segment that is %s costs what was in it, and is named", async (_, replace, reason) => {
    const { fs, segments, batchAt } = await small();
    fs.rename(SEGMENT(1), `${SEGMENT(1)}.bak`);
    replace(fs);
    const lost = new Set(segments[0]!.records.map((record) => batchAt.get(place(1, record))));
    await look(fs, (db) => {
      // The second segment repeats the registrations of the first one.
      expect(contents(db)).toEqual(survivors((batch) => !lost.has(batch)));
      expect(db.replayed.strangers).toEqual(["00000001.wal.bak"]);
      const reports = db.replayed.damage.filter(({ path }) => path === SEGMENT(1)).map((damage) => damage.reason);
      expect(reports).toEqual([expect.stringMatching(reason)]);
    });
  });

  test.each<[string, (fs: SimFileSystem, path: string) => void, RegExp]>([
    [
      "gone",
      (fs, path) => fs.unlink(path),
      /^cannot open \/disk\/data: got segments .* but no .*tidemark\.json; want /,
    ],
    [
      "cut",
      (fs, path) => fs.open(path, "update").truncate(50),
      /tidemark\.json: got .*; want it restored from a backup/,
    ],
    ["flipped", (fs, path) => fs.flip(path, 60, 1), /tidemark\.json: got .*; want it restored from a backup/],
  ])("an identity that is %s refuses the directory by name, and harms nothing", async (_, harm, message) => {
    const { fs } = await small();
    const path = `${DATA_DIR}/tidemark.json`;
    const bytes = readWhole(fs, path)!.slice();
    harm(fs, path);
    await expect(openDb(fs)).rejects.toThrow(InvalidError);
    await expect(openDb(fs)).rejects.toThrow(message);
    if (fs.stat(path) !== undefined) fs.unlink(path);
    fs.open(path, "create").write(bytes, 0);
    await look(fs, (db) => expect(contents(db)).toEqual(survivors(() => true)));
  });

  test("goes on: what is written after damage is there with what has survived", async () => {
    const { fs, segments } = await small();
    const { records } = segments[0]!;
    for (const record of records) {
      fs.flip(SEGMENT(1), record.offset + 17, 4);
      const later: Row[] = [
        [series(0), NOW - 10_000 + record.offset, record.offset],
        [series(1000 + record.offset), NOW - 1000, 1],
      ];
      const before = await look(fs, async (db) => {
        const found = contents(db);
        await write(db, later);
        return found;
      });
      await look(fs, (db) => expect(contents(db)).toEqual([...new Set([...before, ...later.map(line)])].sort()));
      fs.flip(SEGMENT(1), record.offset + 17, 4);
    }
  });
});
