// test/unit/tsdb/recover.test.ts: what a start makes of a WAL whose registrations are lost.
import { describe, expect, test } from "vitest";
import { readWhole, SimFileSystem } from "../../../libs/env/index.ts";
import { describeDamage } from "../../../libs/wal/index.ts";
import { listRecords, REGISTRATIONS } from "../../crash/wal-records.ts";
import { contents, lines, NOW, openDb, type Row, SEGMENT, write } from "./db-fixture.ts";

const series = (i: number) => ({ __name__: "m", i: `${i}`, job: "j", instance: "h" });
const row = (i: number, ago: number, value: number): Row => [series(i), NOW - ago, value];

/** Damages every record of a type in a segment. */
function damage(fs: SimFileSystem, segment: number, type: number): void {
  for (const record of listRecords(readWhole(fs, SEGMENT(segment))!)) {
    if (record.type === type) fs.flip(SEGMENT(segment), record.offset + 20, 1);
  }
}

describe("registrations lost to damage", () => {
  test.each([
    ["the newest series", [1], [0]],
    ["all series", [0, 1], []],
    ["a series between others", [0], [1]],
  ])("of %s: the others are there, and no later series inherits the samples", async (_, lost, kept) => {
    const fs = new SimFileSystem();
    let db = await openDb(fs);
    const rows = [row(0, 2000, 10), row(1, 1000, 11)];
    for (const one of rows) await write(db, [one]);
    await db.close();
    const registrations = listRecords(readWhole(fs, SEGMENT(1))!).filter((one) => one.type === REGISTRATIONS);
    expect(registrations.length).toBe(4);
    for (const i of lost) for (const copy of [0, 1]) fs.flip(SEGMENT(1), registrations[2 * i + copy]!.offset + 20, 1);

    db = await openDb(fs);
    const there = lines(rows.filter((_, i) => kept.includes(i)));
    expect(contents(db)).toEqual(there);
    const reports = db.replayed.damage.map(describeDamage);
    expect(reports.filter((text) => text.includes("checksum of a record of type 1")).length).toBe(2 * lost.length);
    const later = [row(7, 500, 70), row(8, 400, 80), row(9, 300, 90)];
    await write(db, later);
    expect(contents(db)).toEqual([...there, ...lines(later)].sort());
    await db.close();

    db = await openDb(fs);
    expect(contents(db)).toEqual([...there, ...lines(later)].sort());
    await db.close();
  });

  test("samples without a series are reported as damage", async () => {
    const fs = new SimFileSystem();
    let db = await openDb(fs);
    await write(db, [row(0, 1000, 1), row(1, 1000, 2)]);
    await db.close();
    damage(fs, 1, REGISTRATIONS);
    db = await openDb(fs);
    expect(db.replayed.damage.map(describeDamage).filter((text) => text.includes("no registration"))).toEqual([
      expect.stringContaining("2 series"),
    ]);
    await db.close();
  });
});

test("a segment soon holds all series and metadata without the ones before it, and knows its newest sample", async () => {
  const fs = new SimFileSystem();
  let db = await openDb(fs);
  await write(db, [row(0, 3000, 10), row(1, 2000, 11), row(0, 4000, 9)]);
  const session = db.openSession();
  await session.appendMetadata([{ tenant: "default", family: "m", type: "gauge", help: "h", unit: "" }]);
  await session.close();
  await db.close();
  db = await openDb(fs);
  expect(db.replayed.segments.map(({ newestMs }) => newestMs)).toEqual([NOW - 2000]);
  await write(db, [row(1, 1000, 12)]);
  await new Promise((resolve) => setImmediate(resolve));
  await db.close();
  fs.unlink(SEGMENT(1));
  db = await openDb(fs);
  expect(db.replayed.counts).toMatchObject({ series: 2, samples: 1, metadata: 1 });
  expect(db.replayed.segments.map(({ newestMs }) => newestMs)).toEqual([NOW - 1000]);
  expect(contents(db)).toEqual(lines([row(1, 1000, 12)]));
  await db.close();
});
