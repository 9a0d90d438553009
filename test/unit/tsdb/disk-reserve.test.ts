// test/unit/tsdb/disk-reserve.test.ts: writes stop before the disk is full, and come back by themselves; cuts and merges go on meanwhile.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { UnavailableError } from "../../../libs/model/index.ts";
import { DiskReserve } from "../../../libs/tsdb/disk-reserve.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { contents, HOUR, lines, NOW, openDb, type Row, settled, write } from "./db-fixture.ts";

const MIB = 2 ** 20;
const row = (i: number, value = i): Row => [{ __name__: "m", i: `${i}` }, NOW - 1000, value];

function disk(capacityBytes: number): SimFileSystem {
  const fs = new SimFileSystem();
  fs.makeDirectory("/disk");
  fs.capacityBytes = capacityBytes;
  return fs;
}

describe("the reserve", () => {
  test("is bytes or a share; what is above it may be used", () => {
    const fs = disk(100 * MIB);
    expect(new DiskReserve(fs, "/disk", { bytes: 30 * MIB }).spareBytes).toBe(70 * MIB);
    expect(new DiskReserve(fs, "/disk", { share: 0.4 }).spareBytes).toBe(60 * MIB);
    expect(new DiskReserve(fs, "/disk", { bytes: 0 }).refusal).toBeUndefined();
    fs.capacityBytes = Number.POSITIVE_INFINITY;
    expect(new DiskReserve(fs, "/disk", { share: 0.4 }).refusal).toBeUndefined();
  });

  test("is looked at after much was written, and comes back with some room to spare", () => {
    const fs = disk(100 * MIB);
    const reserve = new DiskReserve(fs, "/disk", { bytes: 10 * MIB });
    fs.capacityBytes = 9 * MIB;
    reserve.wrote(63 * MIB);
    expect(() => reserve.check()).not.toThrow();
    reserve.wrote(2 * MIB);
    expect(() => reserve.check()).toThrow(UnavailableError);
    expect(() => reserve.check()).toThrow(
      "cannot take writes: got 9.0 MiB free on the disk of /disk; want 10.0 MiB (--disk-reserve): writes come back by themselves then",
    );
    fs.capacityBytes = 10.2 * MIB;
    reserve.look();
    expect(reserve.refusal).toBeDefined();
    fs.capacityBytes = 10.6 * MIB;
    reserve.look();
    expect(reserve.refusal).toBeUndefined();
  });

  test("a disk that doesn't answer is taken for what it was", () => {
    const fs = disk(5 * MIB);
    const reserve = new DiskReserve(fs, "/disk", { bytes: 10 * MIB });
    fs.faults = (call) => (call.kind === "space" ? "EIO" : undefined);
    fs.capacityBytes = 100 * MIB;
    reserve.look();
    expect(reserve.refusal).toBeDefined();
    fs.faults = () => undefined;
    reserve.look();
    expect(reserve.refusal).toBeUndefined();
  });
});

test("a storage below its reserve: writes get 503 with the flag's name, queries, cuts and merges go on, writes come back", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { clock, diskReserve: { bytes: 4 * MIB }, retentionMs: 30 * 24 * HOUR, shardCount: 1 });
  const old = [1, 2].map((i): Row => [{ __name__: "m", i: `${i}` }, NOW - 40 * HOUR + i * 60_000, i]);
  for (const one of old) {
    await write(db, [one]);
    await settled(clock, db.flush());
  }
  await write(db, [row(1), row(2)]);
  fs.capacityBytes = fs.usedBytes + 3 * MIB;
  await clock.advance(5000);
  const refused = write(db, [row(3)]);
  await expect(refused).rejects.toThrow(UnavailableError);
  await expect(refused).rejects.toThrow("MiB (--disk-reserve)");
  await expect(db.openSession().appendMetadata([])).rejects.toThrow("--disk-reserve");
  expect(db.readOnlyReason).toContain("--disk-reserve");
  expect(contents(db)).toEqual(lines([...old, row(1), row(2)]));
  // What has no room above the reserve is not merged; what makes room is.
  expect((await settled(clock, db.compact())).merged).toBe(0);
  expect((await settled(clock, db.flush())).samples).toBe(2);
  fs.capacityBytes += 2 * MIB;
  await clock.advance(5000);
  expect(db.readOnlyReason).toBeUndefined();
  await write(db, [row(3)]);
  // The tick has merged, now that there is room.
  expect(db.report().cuts.merged).toBe(2);
  expect(contents(db)).toEqual(lines([...old, row(1), row(2), row(3)]));
  await settled(clock, db.close());
});

describe("rows", () => {
  const day = 24 * HOUR;
  const end = Math.floor(NOW / day) * day;
  const options = {
    ...{ diskReserve: { bytes: MIB }, shardCount: 1, headMemoryBytes: 4 << 20, retentionMs: 3 * day },
    rowRetentionMs: { "1m": 3 * day, "1h": 30 * day },
  };
  const countOf = (db: Db, level: string): number => db.report().levels.find((one) => one.level === level)!.count;

  /** A storage with a block of yesterday, and the size of that. */
  async function withSamples(): Promise<{ fs: SimFileSystem; clock: SimClock; db: Db; sizeBytes: number }> {
    const fs = new SimFileSystem();
    const clock = new SimClock(end + 2 * HOUR);
    const db = await openDb(fs, { ...options, clock });
    const random = new SeededRandom(1);
    const rows: Row[] = [];
    for (let time = end - day + 30_000; time <= end; time += 30_000)
      rows.push([{ __name__: "m" }, time, random.float()]);
    await write(db, rows);
    await settled(clock, db.flush());
    return { fs, clock, db, sizeBytes: db.report().blocks.sizeBytes };
  }

  test("are made once they have room beyond the reserve", async () => {
    const { fs, clock, db, sizeBytes } = await withSamples();
    fs.capacityBytes = fs.usedBytes + MIB + sizeBytes / 2;
    expect((await settled(clock, db.compact())).rows).toBe(0);
    expect([countOf(db, "raw"), countOf(db, "1h")]).toEqual([1, 0]);
    fs.capacityBytes += sizeBytes;
    expect((await settled(clock, db.compact())).rows).toBe(2);
    expect([countOf(db, "1m"), countOf(db, "1h")]).toEqual([1, 1]);
    await settled(clock, db.close());
  });

  test("that expired samples wait for are made of the reserve, and the samples go; never more than there is", async () => {
    const { fs, clock, db: young, sizeBytes } = await withSamples();
    await settled(clock, young.close());
    const later = new SimClock(end + 4 * day);
    fs.capacityBytes = fs.usedBytes + 1.5 * sizeBytes;
    const db = await openDb(fs, { ...options, clock: later });
    expect(db.readOnlyReason).toContain("--disk-reserve");
    await settled(later, db.compact());
    expect([countOf(db, "raw"), countOf(db, "1m"), countOf(db, "1h")]).toEqual([0, 0, 1]);
    await settled(later, db.close());
  });
});
