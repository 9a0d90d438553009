// test/unit/wal/rotate.test.ts: boundaries between segments, newest times, what registrations and metadata are repeated, truncation.
import { describe, expect, test } from "vitest";
import { nodeClock, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { RECORD, RegistrationBody, suspectPath, type Wal } from "../../../libs/wal/index.ts";
import { addEntry, appendSamples, DATA_DIR, open, read, register, TestMetadata } from "./wal-fixture.ts";

const path = (segment: number): string => `${DATA_DIR}/wal/${String(segment).padStart(8, "0")}.wal`;
const segmentsOn = (fs: SimFileSystem): number[] => fs.list(`${DATA_DIR}/wal`).map((name) => Number(name.slice(0, 8)));
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Writes one record and waits for it, and for what is repeated after it. */
async function write(wal: Wal, text: string, newestMs?: number): Promise<void> {
  await wal.durable(appendSamples(wal, text, newestMs));
  await tick();
}

/** "text in segment", for all records. */
async function places(fs: SimFileSystem, firstSegment?: number): Promise<string[]> {
  const { records, segments } = await read(fs, DATA_DIR, new SimClock(), firstSegment);
  return records.map((record, i) => `${record.replace("samples:", "")} in ${segments[i]}`);
}

test("a registration that reading makes while the disk is full is in the log before whatever comes next", async () => {
  const fs = new SimFileSystem();
  const clock = new SimClock();
  const { wal } = await open(fs, { clock });
  await write(wal, "a");
  fs.capacityBytes = fs.usedBytes;
  appendSamples(wal, "b");
  await tick();
  expect(wal.state).toBe("full");
  expect(() => appendSamples(wal, "c")).toThrow("ENOSPC");
  const body = new RegistrationBody();
  addEntry(body, 7, "read");
  wal.register(body.body());
  fs.capacityBytes = Number.POSITIVE_INFINITY;
  await clock.advance(600);
  await write(wal, "d");
  await wal.close();
  const found = await read(fs, DATA_DIR);
  expect(found.records).toEqual(["samples:a", "samples:b", "samples:d"]);
  expect(found.series.keys.get(7)).toBe("read");
});

describe("a rotation", () => {
  test("what was appended before the boundary lies below the segment, what comes after it does not", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    appendSamples(wal, "a");
    let drawn = 0;
    const first = wal.rotate(() => {
      drawn++;
      appendSamples(wal, "c");
    });
    appendSamples(wal, "b");
    expect(drawn).toBe(0);
    expect(await first).toBe(2);
    expect(drawn).toBe(1);
    appendSamples(wal, "d");
    expect(await wal.rotate(() => appendSamples(wal, "e"))).toBe(3);
    await wal.close();
    expect(await places(fs)).toEqual(["a in 1", "b in 1", "c in 2", "d in 2", "e in 3"]);
  });

  test("with nothing to write: at once, and without a segment until there is something", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    // A writer that has not begun its segment begins no other.
    expect(await wal.rotate(() => undefined)).toBe(1);
    await write(wal, "a");
    expect(await wal.rotate(() => undefined)).toBe(2);
    expect(await wal.rotate(() => undefined)).toBe(2);
    expect(segmentsOn(fs)).toEqual([1]);
    await write(wal, "b");
    await write(wal, "c");
    await wal.close();
    expect(await places(fs)).toEqual(["a in 1", "b in 2", "c in 2"]);
    const next = await open(fs);
    expect(await next.wal.rotate(() => undefined)).toBe(3);
    await write(next.wal, "d");
    await next.wal.close();
    expect((await places(fs)).at(-1)).toBe("d in 3");
  });

  test("while a group is written: the boundary is behind the group that is being filled", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    appendSamples(wal, "a");
    await undefined;
    await undefined;
    appendSamples(wal, "b");
    const order: string[] = [];
    const both = [wal.rotate(() => order.push("one")), wal.rotate(() => order.push("two"))];
    appendSamples(wal, "c");
    expect(await Promise.all(both)).toEqual([2, 2]);
    expect(order).toEqual(["one", "two"]);
    await write(wal, "d");
    await wal.close();
    expect(await places(fs)).toEqual(["a in 1", "b in 1", "c in 1", "d in 2"]);
  });

  test("resolves when what lies before it is durable, and not sooner", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock();
    const { wal } = await open(fs, { clock });
    await write(wal, "a");
    fs.capacityBytes = fs.usedBytes;
    appendSamples(wal, "b");
    let segment = 0;
    let drawn = false;
    const rotation = wal.rotate(() => {
      drawn = true;
    });
    void rotation.then((one) => {
      segment = one;
    });
    await tick();
    expect([wal.state, drawn, segment]).toEqual(["full", true, 0]);
    await expect(wal.rotate(() => expect.unreachable())).rejects.toThrow("ENOSPC");
    fs.capacityBytes = Number.POSITIVE_INFINITY;
    await clock.advance(600);
    expect(segment).toBe(2);
    await write(wal, "c");
    await wal.close();
    expect(await places(fs)).toEqual(["a in 1", "b in 1", "c in 2"]);
  });

  test("a disk without room for the new segment's first group: it is tried again, one segment further at most", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock();
    const { wal } = await open(fs, { clock });
    await write(wal, "a");
    expect(await wal.rotate(() => undefined)).toBe(2);
    fs.capacityBytes = fs.usedBytes + 700;
    appendSamples(wal, "b");
    await clock.advance(2_000);
    expect(wal.state).toBe("full");
    fs.capacityBytes = Number.POSITIVE_INFINITY;
    await clock.advance(600);
    await wal.close();
    expect(await places(fs)).toEqual(["a in 1", "b in 2"]);
  });

  test("a WAL that ends rejects: before the boundary without drawing it, after it all the same", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    fs.faults = (call) => (call.kind === "fdatasync" ? "EIO" : undefined);
    appendSamples(wal, "a");
    let drawn = 0;
    const first = wal.rotate(() => drawn++);
    await undefined;
    await undefined;
    expect(drawn).toBe(1);
    appendSamples(wal, "b");
    const second = wal.rotate(() => expect.unreachable());
    await expect(first).rejects.toThrow("EIO");
    await expect(second).rejects.toThrow("EIO");
    await expect(wal.rotate(() => expect.unreachable())).rejects.toThrow("EIO");
    await wal.close();
  });

  test("a stop keeps what was asked for; on a full disk it tells", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock();
    const { wal } = await open(fs, { clock });
    appendSamples(wal, "a");
    const rotation = wal.rotate(() => undefined);
    await wal.close();
    expect(await rotation).toBe(2);
    await expect(wal.rotate(() => expect.unreachable())).rejects.toThrow("got a closed one");

    const second = await open(fs, { clock });
    fs.capacityBytes = fs.usedBytes;
    appendSamples(second.wal, "b");
    const lost = second.wal.rotate(() => undefined);
    await tick();
    const closed = second.wal.close();
    await expect(lost).rejects.toThrow("ENOSPC");
    await clock.advance(600);
    await closed;
  });

  test("whatever atBoundary throws reaches who asked, and nobody else", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    appendSamples(wal, "a");
    const bad = wal.rotate(() => {
      throw new RangeError("mine");
    });
    const good = wal.rotate(() => undefined);
    await expect(bad).rejects.toThrow(RangeError);
    expect(await good).toBe(2);
    await wal.close();
  });
});

describe("the newest time of a segment", () => {
  test("is that of its samples, in this life and after a start; other records have none", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    expect(wal.newestMs(1)).toBe(Number.POSITIVE_INFINITY);
    await write(wal, "t=500", 500);
    await write(wal, "t=400", 400);
    expect(wal.newestMs(1)).toBe(500);
    await wal.rotate(() => undefined);
    await wal.durable(wal.append(RECORD.metadata, new TextEncoder().encode("m")));
    expect(wal.newestMs(2)).toBe(Number.NEGATIVE_INFINITY);
    await wal.rotate(() => undefined);
    await wal.durable(wal.append(RECORD.lateSamples, new TextEncoder().encode("t=-7"), -7));
    expect(wal.newestMs(3)).toBe(-7);
    await wal.rotate(() => undefined);
    await write(wal, "t=1", 1);
    await write(wal, "whenever");
    expect(wal.newestMs(4)).toBe(Number.POSITIVE_INFINITY);
    await wal.close();
    const next = await open(fs);
    expect([1, 2, 3, 4].map((segment) => next.wal.newestMs(segment))).toEqual([
      500,
      Number.NEGATIVE_INFINITY,
      -7,
      Number.POSITIVE_INFINITY,
    ]);
    expect(next.report.segments.map(({ newestMs }) => newestMs).slice(0, 1)).toEqual([500]);
    await next.wal.close();
  });

  test("is unknown after damage, and known with a torn tail", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    await write(wal, "t=5", 5);
    await write(wal, "t=6", 6);
    await wal.close();
    const file = fs.open(path(1), "update");
    file.write(new Uint8Array(100).fill(9), file.sizeBytes());
    const torn = await read(fs);
    expect(torn.report.damage.map((one) => one.kind)).toEqual(["tail"]);
    expect(torn.report.segments[0]!.newestMs).toBe(6);
    fs.flip(path(1), 512 + 16, 1);
    expect((await read(fs)).report.segments[0]!.newestMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("repetition", () => {
  /** A WAL with 3,000 series and some metadata in segment 1. */
  async function withSeries(fs: SimFileSystem, metadata: TestMetadata) {
    const opened = await open(fs, { metadata });
    const entries = Array.from({ length: 3_000 }, (_, i) => [i, `some key ${i}`] as const);
    register(opened.wal, opened.series, entries, new RegistrationBody());
    for (let i = 0; i < 5; i++) metadata.put(opened.wal, i, `help ${i}`);
    await write(opened.wal, "a");
    return opened;
  }

  test("however little is logged, some rotation in four moves registeredFrom on; without rotations none does", async () => {
    const fs = new SimFileSystem();
    const { wal } = await withSeries(fs, new TestMetadata());
    const reached: number[] = [];
    for (let i = 0; i < 13; i++) {
      await wal.rotate(() => undefined);
      await write(wal, "x");
      for (let n = 0; n < 20; n++) await tick();
      reached.push(wal.registeredFrom);
    }
    expect(reached).toEqual([2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14]);
    const size = fs.usedBytes;
    for (let i = 0; i < 20; i++) await write(wal, "x");
    expect(fs.usedBytes).toBe(size + 20 * 512);
    await wal.close();
  });

  test("repeatNow begins a segment and a round at once, a second one after a round that runs; then older segments can go", async () => {
    const fs = new SimFileSystem();
    const { wal } = await withSeries(fs, new TestMetadata());
    await wal.rotate(() => undefined);
    await wal.repeatNow();
    expect(wal.registeredFrom).toBe(2);
    await wal.repeatNow();
    expect(wal.registeredFrom).toBe(3);
    await wal.rotate(() => undefined);
    for (let i = 0; i < 4; i++) {
      await wal.rotate(() => undefined);
      await wal.durable(appendSamples(wal, "x"));
    }
    // A round of an earlier segment may run now.
    await wal.repeatNow();
    const segment = wal.currentSegment;
    expect(wal.registeredFrom).toBe(segment);
    await wal.truncate(segment);
    await wal.close();
    const { report } = await read(fs, DATA_DIR, new SimClock(), segment);
    expect(report.counts.series).toBe(3_000);
    expect(report.damage).toEqual([]);
  });

  test("repeatNow of a log without series or metadata", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    await write(wal, "a");
    await wal.repeatNow();
    expect(wal.registeredFrom).toBe(2);
    await wal.close();
    await expect(wal.repeatNow()).rejects.toThrow("got a closed one");
  });

  test("rotations that nothing is logged between make no rounds", async () => {
    const fs = new SimFileSystem();
    const { wal } = await withSeries(fs, new TestMetadata());
    const size = fs.usedBytes;
    for (let i = 0; i < 100; i++) await wal.rotate(() => undefined);
    expect(fs.usedBytes).toBe(size);
    await wal.close();
  });

  test("metadata is repeated as it is by then; registeredFrom waits for all of it", async () => {
    const fs = new SimFileSystem();
    const metadata = new TestMetadata(1);
    const { wal, series } = await withSeries(fs, metadata);
    await wal.rotate(() => undefined);
    await wal.durable(appendSamples(wal, "begins the segment"));
    let changes = 0;
    for (; wal.registeredFrom === 1 && changes < 50; changes++) {
      metadata.put(wal, changes % 5, `changed ${changes}`);
      // Every other group is full and leaves its block to the next one, which must not say what was known before.
      if (changes % 2 === 0) wal.append(RECORD.samples, new Uint8Array(2 ** 20 - 512));
      await wal.durable(wal.position);
    }
    expect(changes).toBeGreaterThan(4);
    expect(changes).toBeLessThan(50);
    await wal.truncate(2);
    await wal.close();
    const back = await read(fs, DATA_DIR, nodeClock, 2);
    expect(back.report.damage).toEqual([]);
    const found = new TestMetadata();
    for (const record of back.records) if (record.startsWith("metadata:")) found.replay(record);
    expect(found.texts).toEqual(metadata.texts);
    expect(back.series.keys).toEqual(series.keys);
  });
});

describe("a truncation", () => {
  /** Segments 1 to 4, the last being written; all registered from 4. */
  async function four(fs: SimFileSystem, clock = new SimClock()) {
    const opened = await open(fs, { clock });
    for (let i = 1; i <= 4; i++) {
      register(opened.wal, opened.series, [[i, `key ${i}`]], new RegistrationBody());
      await write(opened.wal, `r${i}`);
      if (i < 4) await opened.wal.rotate(() => undefined);
    }
    // Rounds end with a group after the one that begins the segment.
    await write(opened.wal, "r5");
    return opened;
  }

  test("removes what lies below, oldest first, then syncs the folder", async () => {
    const fs = new SimFileSystem();
    const { wal } = await four(fs);
    expect(wal.registeredFrom).toBe(4);
    const calls: string[] = [];
    fs.faults = (call) => {
      if (call.kind === "unlink" || call.kind === "fsyncDir") calls.push(`${call.kind} ${call.path} ${call.site}`);
      return undefined;
    };
    await wal.truncate(3);
    expect(calls).toEqual([`unlink ${path(1)} `, `unlink ${path(2)} `, `fsyncDir ${DATA_DIR}/wal wal-truncated`]);
    expect(segmentsOn(fs)).toEqual([3, 4]);
    expect(wal.newestMs(2)).toBe(Number.POSITIVE_INFINITY);
    await wal.truncate(4);
    await wal.truncate(1);
    expect(segmentsOn(fs)).toEqual([4]);
    await write(wal, "r6");
    await wal.close();
    expect(await places(fs, 4)).toEqual(["r4 in 4", "r5 in 4", "r6 in 4"]);
    const back = await read(fs, DATA_DIR, new SimClock(), 4);
    expect(back.report.damage).toEqual([]);
    expect([...back.series.keys.keys()].sort()).toEqual([1, 2, 3, 4]);
  });

  test("refuses segments whose registrations are needed", async () => {
    const fs = new SimFileSystem();
    const { wal } = await four(fs);
    await wal.rotate(() => undefined);
    await expect(wal.truncate(5)).rejects.toThrow(/got registrations from 4 on; want them all kept/);
    await expect(wal.truncate(Number.NaN)).rejects.toThrow("cannot truncate");
    expect(segmentsOn(fs)).toEqual([1, 2, 3, 4]);
    await wal.close();
  });

  test("leftovers below the first segment are ignored by a start, and removed by the next truncation", async () => {
    const fs = new SimFileSystem();
    const { wal } = await four(fs);
    await wal.close();
    fs.unlink(path(2));
    fs.flip(path(1), 600, 1);
    const synced: string[] = [];
    fs.faults = (call) => {
      if (call.site === "wal-replayed") synced.push(call.path);
      return undefined;
    };
    const next = await open(fs, { firstSegment: 4 });
    expect(synced).toEqual([path(4)]);
    expect(next.report.damage).toEqual([]);
    expect(next.report.segments.map(({ segment }) => segment)).toEqual([4]);
    expect(next.report.bytes).toBe(fs.stat(path(4))!.sizeBytes);
    expect(next.wal.registeredFrom).toBe(4);
    await next.wal.truncate(4);
    expect(segmentsOn(fs)).toEqual([4]);
    await next.wal.close();
  });

  test("a segment that is missing at or above the first one is reported", async () => {
    const fs = new SimFileSystem();
    await (await four(fs)).wal.close();
    fs.unlink(path(3));
    const reasons = async (first: number): Promise<string[]> =>
      (await read(fs, DATA_DIR, new SimClock(), first)).report.damage.map((one) => `${one.path} ${one.reason}`);
    expect(await reasons(2)).toEqual([`${path(3)} missing segment`]);
    expect(await reasons(3)).toEqual([`${path(3)} missing segment`]);
    expect(await reasons(4)).toEqual([]);
    fs.unlink(path(1));
    fs.unlink(path(2));
    expect(await reasons(1)).toEqual([`${path(1)} missing segments, up to number 3`]);
  });

  test("a WAL without any segment goes on at the first one that counts", async () => {
    const fs = new SimFileSystem();
    await (await four(fs)).wal.close();
    const { wal, report } = await open(fs, { firstSegment: 9 });
    expect(report).toMatchObject({ segments: [], damage: [], nextSegment: 9, end: { segment: 0, offset: 0 } });
    await wal.truncate(9);
    expect(segmentsOn(fs)).toEqual([]);
    await write(wal, "new");
    await wal.close();
    expect(await places(fs, 9)).toEqual(["new in 9"]);
  });

  test("goes on while the disk is full, and frees it", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock();
    const { wal } = await four(fs, clock);
    fs.capacityBytes = fs.usedBytes;
    const position = appendSamples(wal, "waits for room");
    await tick();
    expect(wal.state).toBe("full");
    await wal.truncate(4);
    await clock.advance(600);
    expect(wal.state).toBe("open");
    await wal.durable(position);
    await wal.close();
  });

  test("a removal that fails may be tried again; a failed sync ends the WAL and marks the directory", async () => {
    const fs = new SimFileSystem();
    const { wal } = await four(fs);
    fs.faults = (call) => (call.kind === "unlink" && call.path === path(2) ? "EACCES" : undefined);
    await expect(wal.truncate(4)).rejects.toThrow(/EACCES.*want its old segments removed/);
    expect(segmentsOn(fs)).toEqual([2, 3, 4]);
    await write(wal, "goes on");
    fs.faults = (call) => (call.site === "wal-truncated" ? "EIO" : undefined);
    await expect(wal.truncate(4)).rejects.toThrow("EIO");
    expect((await wal.failed).message).toContain("want its names on disk");
    expect(wal.state).toBe("failed");
    await expect(wal.truncate(4)).rejects.toThrow("EIO");
    await wal.close();
    expect(fs.stat(suspectPath(DATA_DIR))).toBeDefined();
  });

  test("a stop waits for the one that runs and refuses others; what is no file is left", async () => {
    const fs = new SimFileSystem();
    const { wal } = await four(fs);
    fs.unlink(path(1));
    fs.makeDirectory(path(1));
    const running = wal.truncate(4);
    await undefined;
    const closed = wal.close();
    await expect(wal.truncate(4)).rejects.toThrow("got a closed one");
    await running;
    await closed;
    expect(segmentsOn(fs)).toEqual([1, 4]);
  });
});
