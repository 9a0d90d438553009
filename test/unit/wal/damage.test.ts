// test/unit/wal/damage.test.ts: a small WAL cut at every byte length and with every single bit flipped: it opens, what was intact is
// there, what was damaged is reported.
import { describe, expect, test } from "vitest";
import { readWhole, SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { describeDamage, RECORD, RegistrationBody } from "../../../libs/wal/index.ts";
import { encodeSegmentHead } from "../../../libs/wal/segment.ts";
import { appendSamples, DATA_DIR, open, openDirectory, read, register } from "./wal-fixture.ts";

const path = (segment: number): string => `${DATA_DIR}/wal/0000000${segment}.wal`;

interface Small {
  readonly fs: SimFileSystem;
  readonly records: readonly string[];
  readonly keys: ReadonlyMap<number, string>;
  /** After each group: the segment it is in, that segment's size, and all records and series until then. */
  readonly groups: readonly {
    readonly segment: number;
    readonly sizeBytes: number;
    readonly records: number;
    readonly series: number;
  }[];
}

/** Three segments; groups with registrations, samples of several lengths, late samples, metadata. */
async function small(): Promise<Small> {
  const fs = new SimFileSystem();
  const body = new RegistrationBody();
  const records: string[] = [];
  const groups: Small["groups"][number][] = [];
  const { wal, series } = await open(fs, { segmentBytes: 2560 });
  for (let g = 0; g < 9; g++) {
    if (g % 2 === 0)
      register(
        wal,
        series,
        [
          [2 * g, `key ${g}`],
          [2 * g + 1, `another key ${g}`],
        ],
        body,
      );
    for (let r = 0; r < 3; r++) {
      const text = `${g}.${r} ${"x".repeat(17 * ((g * 3 + r) % 5))}`;
      appendSamples(wal, text);
      records.push(`samples:${text}`);
    }
    wal.append(RECORD.lateSamples, new TextEncoder().encode(`late ${g}`));
    wal.append(RECORD.metadata, new TextEncoder().encode(`meta ${g}`));
    records.push(`late:late ${g}`, `metadata:meta ${g}`);
    await wal.durable(wal.position);
    const segment = wal.currentSegment;
    const { sizeBytes } = fs.stat(path(segment))!;
    groups.push({ segment, sizeBytes, records: records.length, series: series.keys.size });
  }
  await wal.close();
  return { fs, records, keys: series.keys, groups };
}

/** What is in `all` but not in `some`, which must be a subsequence of it. */
function missing(all: readonly string[], some: readonly string[]): string[] {
  const lost: string[] = [];
  let next = 0;
  for (const one of all) {
    if (some[next] === one) next++;
    else lost.push(one);
  }
  expect(next, `records out of order, doubled or unknown: ${some[next]}`).toBe(some.length);
  return lost;
}

describe("a damaged WAL", () => {
  test("the undamaged one has three segments, all records and nothing to report", async () => {
    const { fs, records, keys } = await small();
    const back = await read(fs);
    expect(back.report.segments.length, `${back.report.segments.map((one) => one.sizeBytes)}`).toBe(3);
    expect(back.report.damage).toEqual([]);
    expect(back.records).toEqual(records);
    expect(back.series.keys).toEqual(keys);
    expect(back.report.counts).toEqual({
      series: keys.size,
      samples: 27,
      lateSamples: 9,
      metadata: 9,
      deletions: 0,
      side: 0,
    });
  });

  test("truncated at every byte length: groups that are whole are there, the rest is a reported tail", async () => {
    const { fs, records, groups } = await small();
    const last = path(3);
    const full = readWhole(fs, last)!;
    const file = fs.open(last, "update");
    for (let length = full.length - 1; length >= 0; length--) {
      file.truncate(length);
      const back = await read(fs);
      const whole = groups.findLast((group) => group.segment < 3 || group.sizeBytes <= length)!;
      expect(back.records).toEqual(records.slice(0, back.records.length));
      expect(back.records.length).toBeGreaterThanOrEqual(whole.records);
      expect(back.series.keys.size).toBeGreaterThanOrEqual(whole.series);
      expect(back.report.damage.every((one) => one.kind === "tail" && one.path === last)).toBe(true);
      const end = back.report.segments[2]!.endOffset;
      const tail = readWhole(fs, last)!.subarray(end);
      // Only padding may be cut off without a word.
      if (tail.some((byte) => byte !== 0)) expect(back.report.damage.length).toBe(1);
    }
  });

  test("an earlier segment truncated at every byte length: that is damage, and the later ones are whole", async () => {
    const { fs, records, groups } = await small();
    const full = readWhole(fs, path(1))!;
    const back = await read(fs);
    const end = back.report.segments[0]!.endOffset;
    const file = fs.open(path(1), "update");
    for (let length = full.length - 1; length >= 0; length -= 1) {
      file.truncate(length);
      const cut = await read(fs);
      const lost = missing(records, cut.records);
      if (length < end) {
        expect(
          cut.report.damage.map((one) => [one.kind, one.path]),
          `at ${length}`,
        ).toEqual([["damage", path(1)]]);
        const { offset, length: count } = cut.report.damage[0]!;
        expect(offset <= length && offset + count >= Math.min(length, end)).toBe(true);
      } else expect(lost).toEqual([]);
      const inFirst = groups.findLast((group) => group.segment === 1)!.records;
      expect(cut.records).toEqual([...records.slice(0, inFirst - lost.length), ...records.slice(inFirst)]);
    }
  });

  test.each([1, 2, 3])(
    "every single bit of segment %i flipped: one record is lost at most, no series is, and it is reported",
    async (segment) => {
      const { fs, records, keys } = await small();
      const size = fs.stat(path(segment))!.sizeBytes;
      const identity = openDirectory(fs);
      const clock = new SimClock();
      let damaged = 0;
      for (let bit = 0; bit < size * 8; bit++) {
        fs.flip(path(segment), bit >> 3, 1 << (bit & 7));
        const back = await read(fs, DATA_DIR, clock);
        fs.flip(path(segment), bit >> 3, 1 << (bit & 7));
        const lost = missing(records, back.records);
        const { damage } = back.report;
        const where = `bit ${bit}: ${damage.map(describeDamage).join("; ")}`;
        if (lost.length > 1) expect.unreachable(`${lost.length} records lost by ${where}`);
        if (back.series.keys.size !== keys.size) expect.unreachable(`a series lost by ${where}`);
        if (damage.length !== 1 || damage[0]!.path !== path(segment)) expect.unreachable(`not reported once: ${where}`);
        const { offset, length } = damage[0]!;
        if (bit >> 3 < offset || bit >> 3 >= offset + length) expect.unreachable(`reported elsewhere: ${where}`);
        damaged += lost.length;
      }
      expect(damaged).toBeGreaterThan(1_000);
      expect(identity.shardCount).toBe(64);
    },
  );

  test("whole sectors and pages gone: zeros, noise, another segment's bytes", async () => {
    const { fs, records, keys } = await small();
    const random = new SeededRandom(11);
    const original = readWhole(fs, path(2))!;
    const other = readWhole(fs, path(1))!;
    const file = fs.open(path(2), "update");
    for (let run = 0; run < 300; run++) {
      const offset = random.below(original.length / 8) * 8;
      const length = Math.min(random.pick([8, 64, 512, 4096]), original.length - offset);
      const noise = random.pick([new Uint8Array(length), random.bytes(length), other.slice(offset, offset + length)]);
      file.write(noise, offset);
      const back = await read(fs);
      file.write(original, 0);
      const lost = missing(records, back.records);
      if (lost.length > 0) expect(back.report.damage.length).toBeGreaterThan(0);
      for (const one of back.report.damage) {
        expect(one.offset + one.length > offset && one.offset < offset + length + 8).toBe(true);
      }
      if (length <= 64) expect(back.series.keys.size).toBe(keys.size);
    }
  });

  test("a missing segment, a folder in its place and strange names are reported, the rest is read", async () => {
    const { fs, records } = await small();
    fs.unlink(path(2));
    fs.open(`${DATA_DIR}/wal/notes.txt`, "create").close();
    fs.makeDirectory(path(4));
    const back = await read(fs);
    expect(back.report.damage.map((one) => [one.path, one.reason])).toEqual([
      [path(2), "missing segment"],
      [path(4), "not a file but a directory"],
    ]);
    expect(back.report.strangers).toEqual(["notes.txt"]);
    expect(back.report.nextSegment).toBe(5);
    expect(missing(records, back.records).length).toBeGreaterThan(5);
  });

  test("pages that cannot be read cost what lies in them", async () => {
    const { fs, records } = await small();
    let reads = 0;
    fs.faults = (call) => (call.kind === "read" && call.path === path(2) && reads++ === 0 ? "EIO" : undefined);
    const back = await read(fs);
    // The first read of the window fails, the page by page one does not.
    expect(back.records).toEqual(records);
    fs.faults = (call) => (call.kind === "read" && call.path === path(2) ? "EIO" : undefined);
    const worse = await read(fs);
    expect(worse.report.damage.length).toBe(2);
    expect(worse.report.damage[1]!.reason).toContain("EIO");
    expect(missing(records, worse.records).length).toBeGreaterThan(5);
  });

  test("a torn tail stays a tail after later starts; damage before it does not become one", async () => {
    const fs = new SimFileSystem();
    const first = await open(fs);
    appendSamples(first.wal, "one");
    await first.wal.close();
    const file = fs.open(path(1), "update");
    file.write(new Uint8Array(100).fill(9), file.sizeBytes());
    const second = await open(fs);
    expect(second.report.damage.map((one) => one.kind)).toEqual(["tail"]);
    appendSamples(second.wal, "two");
    await second.wal.close();
    const third = await read(fs);
    expect(third.records).toEqual(["samples:one", "samples:two"]);
    expect(third.report.damage.map((one) => one.kind)).toEqual(["tail"]);
    fs.flip(path(1), 512 + 16, 1);
    const fourth = await read(fs);
    expect(fourth.records).toEqual(["samples:two"]);
    expect(fourth.report.damage.map((one) => one.kind)).toEqual(["damage"]);
  });
});

describe("what is not damage", () => {
  test("a segment of another directory is refused, not skipped", async () => {
    const { fs } = await small();
    const foreign = openDirectory(fs, new SeededRandom(77), "/disk/other");
    const head = encodeSegmentHead({ segment: 2, previous: { segment: 0, offset: 0 }, createdMs: 0 }, foreign);
    fs.open(path(2), "update").write(head, 0);
    await expect(read(fs)).rejects.toThrow("belong together");
  });

  test("a newer format is refused by its version", async () => {
    const { fs } = await small();
    const identity = openDirectory(fs);
    const { Checksums } = await import("../../../libs/wal/record.ts");
    const head = encodeSegmentHead({ segment: 3, previous: { segment: 2, offset: 0 }, createdMs: 0 }, identity);
    head[16] = 2;
    new Checksums(identity.directoryId, 3).seal(head, 144, 0);
    fs.open(path(3), "update").write(head, 0);
    await expect(read(fs)).rejects.toThrow("got format version 2 with features 0; want version 1");
  });
});
