// test/unit/wal/wal.test.ts: group commit, its order and limits; a full disk, a failing disk; segments and repeated registrations.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { type GroupStats, RECORD, RegistrationBody, suspectPath, type Wal } from "../../../libs/wal/index.ts";
import { appendSamples, DATA_DIR, open, read, register, TestSeries } from "./wal-fixture.ts";

const big = (bytes: number): Uint8Array => new Uint8Array(bytes);

/** Whether a promise has settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(
    () => {
      done = true;
    },
    () => {
      done = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

describe("group commit", () => {
  test("what is appended in one go shares one sync; what comes meanwhile shares the next", async () => {
    const fs = new SimFileSystem();
    const groups: GroupStats[] = [];
    const { wal } = await open(fs, { onGroup: (stats) => groups.push(stats) });
    const first = appendSamples(wal, "a");
    appendSamples(wal, "b");
    await undefined;
    await undefined;
    const second = appendSamples(wal, "c");
    appendSamples(wal, "d");
    appendSamples(wal, "e");
    await wal.durable(second);
    expect(groups.map((one) => one.records)).toEqual([2, 3]);
    expect(groups[0]).toMatchObject({ bytes: 48, segment: 1 });
    await wal.durable(first);
    await wal.durable(0);
    await wal.close();
    expect((await read(fs)).records).toEqual(["a", "b", "c", "d", "e"].map((text) => `samples:${text}`));
  });

  test("a body in parts is one body, and is copied at once", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    const part = new TextEncoder().encode("part");
    wal.append(RECORD.metadata, [part, part, new Uint8Array(0), new TextEncoder().encode("!")]);
    part.fill(0);
    await wal.close();
    expect((await read(fs)).records).toEqual(["metadata:partpart!"]);
  });

  test("waiting for a position waits for all before it, also when nothing of its own was appended", async () => {
    const { wal } = await open(new SimFileSystem());
    appendSamples(wal, "someone else's");
    const waiting = wal.durable(wal.position);
    expect(await settled(waiting)).toBe(true);
    expect(wal.waitingBytes).toBe(0);
    await wal.close();
  });

  test("an empty WAL closes, and refuses afterwards", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    await wal.close();
    await wal.close();
    expect(wal.state).toBe("closed");
    expect(() => appendSamples(wal, "x")).toThrow("got a closed one");
    expect(fs.list(`${DATA_DIR}/wal`)).toEqual([]);
  });
});

describe("back-pressure", () => {
  test("appends beyond the buffer are refused by name and counted; what admit promised is kept", async () => {
    const { wal } = await open(new SimFileSystem(), { bufferBytes: 2 ** 20 });
    expect(() => wal.append(RECORD.samples, big(2 ** 20))).toThrow(
      /got 0 bytes waiting .* want at most 1048576 \(WAL buffer\)/,
    );
    wal.admit(300_000);
    wal.append(RECORD.registrations, big(250_000));
    wal.append(RECORD.samples, big(50_000));
    expect(() => wal.admit(300_000)).toThrow("cannot append 300000 bytes");
    expect(() => wal.append(RECORD.samples, big(600_000))).toThrow("WAL buffer");
    expect(wal.refusals).toBe(3);
    await wal.durable(wal.position);
    wal.admit(300_000);
    await wal.close();
  });

  test("every byte of the buffer can be used", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs, { bufferBytes: 2 ** 20 });
    wal.append(RECORD.samples, big(2 ** 20 - 16));
    expect(() => wal.append(RECORD.samples, big(0))).toThrow("WAL buffer");
    await wal.close();
    expect((await read(fs)).report.counts.samples).toBe(1);
  });

  test("a buffer too small for repeated registrations is our own mistake", async () => {
    await expect(open(new SimFileSystem(), { bufferBytes: 1000 })).rejects.toThrow("want at least 1048576");
  });
});

describe("a full disk", () => {
  async function fill(fs: SimFileSystem, clock: SimClock): Promise<{ wal: Wal; waiting: Promise<void> }> {
    const { wal } = await open(fs, { clock });
    appendSamples(wal, "before");
    await wal.durable(wal.position);
    fs.capacityBytes = fs.usedBytes + 100;
    appendSamples(wal, "kept");
    const waiting = wal.durable(wal.position);
    expect(await settled(waiting)).toBe(false);
    return { wal, waiting };
  }

  test("keeps the group, refuses new ones, recovers by itself", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock();
    const { wal, waiting } = await fill(fs, clock);
    expect(wal.state).toBe("full");
    expect(() => appendSamples(wal, "refused")).toThrow(/ENOSPC.*want space/);
    expect(() => wal.admit(1)).toThrow("ENOSPC");
    const before = fs.usedBytes;
    await clock.advance(2_000);
    expect(wal.state).toBe("full");
    expect(fs.usedBytes).toBe(before);
    fs.capacityBytes = Number.POSITIVE_INFINITY;
    await clock.advance(600);
    await waiting;
    expect(wal.state).toBe("open");
    appendSamples(wal, "after");
    await wal.close();
    const back = await read(fs);
    expect(back.records).toEqual(["samples:before", "samples:kept", "samples:after"]);
    expect(back.report.damage).toEqual([]);
  });

  test("a stop ends at once; what waited is told", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock();
    const { wal, waiting } = await fill(fs, clock);
    const closed = wal.close();
    await expect(waiting).rejects.toThrow("ENOSPC");
    await clock.advance(600);
    await closed;
    expect(fs.stat(suspectPath(DATA_DIR))).toBeUndefined();
    expect((await read(fs)).records).toEqual(["samples:before"]);
  });

  test("no room for a new segment's head, nor for its name: the same", async () => {
    for (const code of ["ENOSPC", "EMFILE"] as const) {
      const fs = new SimFileSystem();
      const clock = new SimClock();
      const { wal } = await open(fs, { clock, segmentBytes: 1024 });
      appendSamples(wal, "one");
      await wal.durable(wal.position);
      fs.faults = (call) => (call.kind === "open" ? code : undefined);
      appendSamples(wal, "two");
      expect(await settled(wal.durable(wal.position))).toBe(false);
      fs.faults = () => undefined;
      fs.capacityBytes = fs.usedBytes + 200;
      await clock.advance(600);
      expect(wal.state).toBe("full");
      fs.capacityBytes = Number.POSITIVE_INFINITY;
      await clock.advance(600);
      await wal.close();
      const back = await read(fs);
      expect(back.records).toEqual(["samples:one", "samples:two"]);
      expect(back.report.damage).toEqual([]);
      expect(back.report.segments.length).toBe(2);
    }
  });
});

describe("a failing disk", () => {
  test.each(["fdatasync", "fsyncDir"] as const)(
    "%s fails once: nobody is acknowledged, nothing is tried again, the directory is suspect",
    async (kind) => {
      const fs = new SimFileSystem();
      const { wal } = await open(fs);
      let syncs = 0;
      fs.faults = (call) => {
        if (call.kind !== kind || call.site === "suspect") return undefined;
        return syncs++ === 0 ? "EIO" : undefined;
      };
      appendSamples(wal, "one");
      const first = wal.durable(wal.position);
      await undefined;
      await undefined;
      appendSamples(wal, "two");
      const second = wal.durable(wal.position);
      await expect(first).rejects.toThrow("EIO");
      await expect(second).rejects.toThrow("EIO");
      expect((await wal.failed).message).toContain("cannot sync /disk/data/wal/00000001.wal: got EIO");
      expect(wal.state).toBe("failed");
      expect(() => appendSamples(wal, "three")).toThrow("EIO");
      await expect(wal.durable(wal.position)).rejects.toThrow("EIO");
      await wal.close();
      expect(syncs).toBe(1);
      fs.crash(new SeededRandom(3));
      await expect(read(fs)).rejects.toThrow(/got \/disk\/data\/SUSPECT .*then run tidemark verify/s);
      fs.unlink(suspectPath(DATA_DIR));
      expect((await read(fs)).records.length).toBeLessThan(2);
    },
  );

  test("a write that fails for other reasons than space ends the WAL without a mark", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    fs.faults = (call) => (call.kind === "write" ? "EIO" : undefined);
    appendSamples(wal, "one");
    await expect(wal.durable(wal.position)).rejects.toThrow("want a disk that can be written");
    expect(wal.state).toBe("failed");
    await wal.close();
    expect(fs.stat(suspectPath(DATA_DIR))).toBeUndefined();
  });

  test.each(["wal-replayed", "wal-replayed-names"])(
    "a sync that fails at the start (%s) marks the directory",
    async (site) => {
      const fs = new SimFileSystem();
      const { wal } = await open(fs);
      appendSamples(wal, "one");
      await wal.close();
      fs.faults = (call) => (call.site === site ? "EIO" : undefined);
      await expect(open(fs)).rejects.toThrow("EIO");
      fs.faults = () => undefined;
      await expect(open(fs)).rejects.toThrow("SUSPECT");
    },
  );
});

describe("segments", () => {
  test("roll at their size; a new start opens a new one with its first group", async () => {
    const fs = new SimFileSystem();
    const first = await open(fs, { segmentBytes: 4096 });
    for (let i = 0; i < 20; i++) {
      appendSamples(first.wal, `${i} ${"x".repeat(900)}`);
      await first.wal.durable(first.wal.position);
    }
    expect(first.wal.currentSegment).toBe(7);
    for (const name of fs.list(`${DATA_DIR}/wal`))
      expect(fs.stat(`${DATA_DIR}/wal/${name}`)!.sizeBytes).toBeLessThanOrEqual(4096);
    await first.wal.close();
    const second = await open(fs);
    expect(fs.list(`${DATA_DIR}/wal`).length).toBe(7);
    appendSamples(second.wal, "next life");
    await second.wal.close();
    expect(fs.list(`${DATA_DIR}/wal`).at(-1)).toBe("00000008.wal");
    const back = await read(fs);
    expect(back.records.map((text) => text.slice(8).split(" ")[0])).toEqual(
      [...Array(20).keys()].map(String).concat("next"),
    );
    expect(back.report.damage).toEqual([]);
  });

  test("a group longer than a segment gets one of its own", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs, { segmentBytes: 1024 });
    for (const bytes of [5_000, 5_000, 10]) {
      wal.append(RECORD.samples, big(bytes));
      await wal.durable(wal.position);
    }
    await wal.close();
    expect((await read(fs)).report.segments.map((one) => one.sizeBytes)).toEqual([512 + 5120, 512 + 5120, 1024]);
  });

  test("a new segment soon holds all registrations: the older ones are not needed for them", async () => {
    const fs = new SimFileSystem();
    const body = new RegistrationBody();
    const first = await open(fs);
    expect(first.wal.registeredFrom).toBe(1);
    for (let at = 0; at < 5_000; at += 500) {
      const entries = Array.from({ length: 500 }, (_, i) => [at + i, `key ${at + i}`] as const);
      register(first.wal, first.series, entries, body);
    }
    await first.wal.close();
    const second = await open(fs);
    expect(second.wal.registeredFrom).toBe(1);
    appendSamples(second.wal, "wakes it");
    while (second.wal.registeredFrom === 1) await settled(Promise.resolve());
    expect(second.wal.registeredFrom).toBe(2);
    register(second.wal, second.series, [[5_000, "key 5000"]], body);
    await second.wal.close();
    fs.unlink(`${DATA_DIR}/wal/00000001.wal`);
    const back = await read(fs);
    expect(back.series.keys.size).toBe(5_001);
    expect(back.series.keys.get(4_321)).toBe("key 4321");
  });

  test("repetition does not feed itself, however small the segments are", async () => {
    const fs = new SimFileSystem();
    const body = new RegistrationBody();
    const { wal, series } = await open(fs, { segmentBytes: 1024 });
    const entries = Array.from({ length: 3_000 }, (_, i) => [i, `some key ${i}`] as const);
    register(wal, series, entries, body);
    await wal.durable(wal.position);
    for (let i = 0; i < 100; i++) {
      wal.append(RECORD.samples, big(800));
      await wal.durable(wal.position);
      await settled(Promise.resolve());
    }
    const size = fs.usedBytes;
    await settled(Promise.resolve());
    expect(fs.usedBytes).toBe(size);
    await wal.close();
    const report = (await read(fs)).report;
    const own = 2 * 3_000 * 46 + 100 * 1_536;
    expect(report.bytes).toBeLessThan(2.2 * own);
  });

  test("series that are no longer in use are not repeated", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs, {
      segmentBytes: 1024,
      registrations: { seriesEnd: 50_000, addTo: () => undefined },
    });
    for (let i = 0; i < 4; i++) {
      wal.append(RECORD.samples, big(800));
      await wal.durable(wal.position);
    }
    await wal.close();
    expect((await read(fs)).series.keys.size).toBe(0);
  });
});

test("a directory of 200 sources and 3 lives reads as one log", async () => {
  const fs = new SimFileSystem();
  const body = new RegistrationBody();
  const expected: string[] = [];
  const keys = new TestSeries();
  for (let life = 0; life < 3; life++) {
    const { wal, series } = await open(fs, { segmentBytes: 20_000 });
    expect(series.keys).toEqual(keys.keys);
    for (let i = 0; i < 200; i++) {
      const number = life * 200 + i;
      register(wal, series, [[number, `source ${number}`]], body);
      keys.keys.set(number, `source ${number}`);
      appendSamples(wal, `${number}`);
      expected.push(`samples:${number}`);
      if (i % 7 === 0) await wal.durable(wal.position);
    }
    await wal.close();
  }
  const back = await read(fs);
  expect(back.records).toEqual(expected);
  expect(back.series.keys).toEqual(keys.keys);
});
