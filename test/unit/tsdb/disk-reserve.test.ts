// test/unit/tsdb/disk-reserve.test.ts: writes stop before the disk is full, and come back by themselves; cuts and merges go on meanwhile.
import { describe, expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { UnavailableError } from "../../../libs/model/index.ts";
import { DiskReserve } from "../../../libs/tsdb/disk-reserve.ts";
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
