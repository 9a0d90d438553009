// test/unit/tsdb/verify.test.ts: verification finds every flipped bit of every file, says what contradicts what, and ends suspicion.
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { blockPath, registryPath } from "../../../libs/block/index.ts";
import { errorCode, readWhole, SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { UnavailableError } from "../../../libs/model/index.ts";
import { type VerifyReport, verifyDirectory } from "../../../libs/tsdb/index.ts";
import { identityPath, markSuspect, suspectPath } from "../../../libs/wal/index.ts";
import { contents, DATA_DIR, lines, NOW, openDb, type Row, settled, write } from "./db-fixture.ts";

const series = (i: number) => ({ __name__: "m", i: `${i}`, job: "j" });
const ROWS: readonly Row[] = [0, 1, 2, 3].flatMap((i) =>
  [60_000, 45_000, 30_000].map((age): Row => [series(i), NOW - age, i + age / 7]),
);
const LATER: readonly Row[] = [
  [series(0), NOW - 10_000, 5],
  [series(9), NOW - 10_000, 6],
];

function verify(fs: SimFileSystem, dataDir = DATA_DIR): Promise<VerifyReport> {
  const processes = { pid: 99, host: "test", startOf: () => undefined };
  const clock = new SimClock(NOW);
  return settled(clock, verifyDirectory({ fs, clock, processes, dataDir }));
}

/** A directory with blocks, and a WAL with more samples. */
async function directory(): Promise<SimFileSystem> {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { clock });
  await write(db, ROWS);
  await settled(clock, db.flush());
  await write(db, LATER);
  await db.close();
  return fs;
}

function blockFiles(fs: SimFileSystem): string[] {
  return fs.list(`${DATA_DIR}/blocks`).filter((name) => name.endsWith(".tmb"));
}

function rewrite(fs: SimFileSystem, path: string, change: (text: string) => string): void {
  const text = new TextDecoder("latin1").decode(readWhole(fs, path));
  fs.unlink(path);
  fs.open(path, "create").write(Buffer.from(change(text), "latin1"), 0);
}

describe("verify", () => {
  test("a whole directory: no damage, nothing changed, progress told", async () => {
    const fs = await directory();
    const before = JSON.stringify(fs.list(`${DATA_DIR}/blocks`));
    const seen: string[] = [];
    const processes = { pid: 99, host: "test", startOf: () => undefined };
    const report = await verifyDirectory({
      ...{ fs, clock: new SimClock(NOW), processes, dataDir: DATA_DIR },
      onProgress: (path, done, total) => {
        seen.push(path);
        expect(done).toBeLessThanOrEqual(total);
      },
    });
    expect(report.damages).toEqual([]);
    expect(report.notes).toEqual([]);
    // Identity, registry, blocks, segments.
    const segments = fs.list(`${DATA_DIR}/wal`).length;
    expect(report.files).toBe(2 + blockFiles(fs).length + segments);
    expect(seen.filter((path) => path.endsWith(".tmb")).length).toBe(blockFiles(fs).length);
    expect(JSON.stringify(fs.list(`${DATA_DIR}/blocks`))).toBe(before);
    expect(fs.stat(`${DATA_DIR}/LOCK`)).toBeUndefined();
  });

  test("flipped bits all over every file are found, and named by their path", async () => {
    const fs = await directory();
    const paths = [
      identityPath(DATA_DIR),
      registryPath(DATA_DIR),
      ...fs.list(`${DATA_DIR}/wal`).map((name) => `${DATA_DIR}/wal/${name}`),
      blockPath(DATA_DIR, blockFiles(fs)[0]!),
    ];
    for (const path of paths) {
      const { length } = readWhole(fs, path)!;
      // A bit here and there; every bit: test/crash/damaged.test.ts, block/damage.test.ts.
      for (let offset = 0; offset < length; offset += length > 700 ? 23 : 5) {
        for (const bit of [offset % 8]) {
          fs.flip(path, offset, 1 << bit);
          const { damages, notes } = await verify(fs);
          // What follows the newest segment's last record may be a torn tail, which was never acknowledged.
          const found = [...damages, ...notes.filter((note) => note.includes("torn tail"))];
          expect(
            found.some((line) => line.includes(path)),
            `${path}, byte ${offset}, bit ${bit}: ${found}`,
          ).toBe(true);
          fs.flip(path, offset, 1 << bit);
        }
      }
    }
    expect((await verify(fs)).damages).toEqual([]);
  }, 600_000);

  test("files that are missing, shorter, unknown, or say something else", async () => {
    const fs = await directory();
    const [first, second] = blockFiles(fs) as [string, string];
    fs.rename(blockPath(DATA_DIR, first), blockPath(DATA_DIR, "notes.txt"));
    fs.open(blockPath(DATA_DIR, second), "update").truncate(100);
    fs.open(blockPath(DATA_DIR, "raw-000-1-2-00000000.tmb.tmp"), "create").close();
    const { damages, notes } = await verify(fs);
    expect(damages).toEqual([
      expect.stringMatching(new RegExp(`${first}: no such file; the registry names one of \\d+ bytes$`)),
      expect.stringMatching(new RegExp(`${second}: a file of 100 bytes; the registry names one of \\d+ bytes$`)),
    ]);
    expect(notes).toEqual([
      expect.stringMatching(/notes\.txt: no file of ours$/),
      expect.stringMatching(/00000000\.tmb\.tmp: left behind by a crash/),
    ]);
  });

  test("a registry that says something else than the blocks is named, well summed as it is", async () => {
    const fs = await directory();
    rewrite(fs, registryPath(DATA_DIR), (text) => {
      const body = text
        .replace(/"samples":(\d+)/, (_, n) => `"samples":${Number(n) + 1}`)
        .replace(/ {2}"checksum".*/s, "");
      return `${body}  "checksum": "${crc32(body).toString(16).padStart(8, "0")}"\n}\n`;
    });
    expect((await verify(fs)).damages).toEqual([
      expect.stringMatching(/\.tmb: samples 3 in the footer, 4 in the registry$/),
    ]);
  });

  test("no directory, and one that is in use, are refused", async () => {
    const fs = await directory();
    await expect(verify(fs, "/disk/none")).rejects.toThrow("cannot verify /disk/none: got no such folder; want");
    expect(fs.stat("/disk/none")).toBeUndefined();
    const db = await openDb(fs);
    const processes = { pid: 99, host: "test", startOf: () => "now" };
    const report = verifyDirectory({ fs, clock: new SimClock(NOW), processes, dataDir: DATA_DIR });
    await expect(report).rejects.toThrow(/cannot lock .* held by process/);
    await db.close();
  });

  test("a directory that nobody can write needs no lock", async () => {
    const fs = await directory();
    fs.faults = (call) => (call.path.endsWith("/LOCK") && call.kind === "open" ? "EACCES" : undefined);
    expect((await verify(fs)).damages).toEqual([]);
  });
});

describe("a directory marked suspect", () => {
  test("is read only until it was verified", async () => {
    const fs = await directory();
    markSuspect(fs, DATA_DIR, "the disk said EIO");
    const calls: string[] = [];
    const clock = new SimClock(NOW);
    const db = await openDb(fs, { clock, windowMs: 1000, lateWindowMs: 0 });
    fs.faults = (call) => {
      if (!["open", "read", "size", "stat", "list", "space"].includes(call.kind))
        calls.push(`${call.kind} ${call.path}`);
      return undefined;
    };
    expect(contents(db)).toEqual(lines([...ROWS, ...LATER]));
    const refusal = write(db, LATER);
    await expect(refusal).rejects.toThrow(UnavailableError);
    await expect(refusal).rejects.toThrow(
      /^cannot take writes: got a directory marked .*SUSPECT \(the disk said EIO\); want tidemark verify --data-dir \S+ to pass/,
    );
    await expect(db.flush()).rejects.toThrow("cannot take writes");
    expect(db.readOnlyReason).toContain("the disk said EIO");
    expect(db.report().wal.state).toBe("read-only");
    // Time passes, nothing is cut.
    await clock.advance(60_000);
    expect(calls.filter((call) => !call.includes("LOCK"))).toEqual([]);
    await db.close();
    expect(fs.stat(suspectPath(DATA_DIR))).toBeDefined();

    const { damages, notes } = await verify(fs);
    expect(damages).toEqual([]);
    expect(notes).toEqual([
      "marked SUSPECT: the disk said EIO",
      expect.stringMatching(/^the mark SUSPECT is removed: all is whole/),
    ]);
    const next = await openDb(fs);
    expect(next.readOnlyReason).toBeUndefined();
    await write(next, [[series(20), NOW - 1000, 1]]);
    expect(contents(next)).toEqual(lines([...ROWS, ...LATER, [series(20), NOW - 1000, 1]]));
    await next.close();
  });

  test("so is one on a disk that is mounted read only, marked or not", async () => {
    const fs = await directory();
    fs.faults = ({ kind, path }) => {
      const changes = ["write", "truncate", "makeDirectory", "rename", "link", "unlink", "removeDirectory"].includes(
        kind,
      );
      return changes || (kind === "open" && /LOCK|\.tmp$/.test(path)) ? "EROFS" : undefined;
    };
    for (const reason of ["EROFS", "the disk said EIO"]) {
      const db = await openDb(fs);
      expect(contents(db)).toEqual(lines([...ROWS, ...LATER]));
      expect(db.readOnlyReason).toContain(reason);
      await expect(write(db, LATER)).rejects.toThrow(reason);
      await db.close();
      const { faults } = fs;
      fs.faults = () => undefined;
      markSuspect(fs, DATA_DIR, "the disk said EIO");
      fs.faults = faults;
    }
  });

  test("with damage stays so, and what is damaged is said", async () => {
    const fs = await directory();
    markSuspect(fs, DATA_DIR, "x");
    const path = blockPath(DATA_DIR, blockFiles(fs)[0]!);
    fs.flip(path, 20, 4);
    const { damages, notes } = await verify(fs);
    expect(damages).toEqual([expect.stringContaining(path)]);
    expect(notes).toContain("the mark SUSPECT stays: a directory with damage takes no writes");
    expect(fs.stat(suspectPath(DATA_DIR))).toBeDefined();
  });

  test("what the failed sync had lost is written anew: a power cut after the verification takes nothing", async () => {
    for (let seed = 0; seed < 40; seed++) {
      const fs = new SimFileSystem();
      const db = await openDb(fs);
      await write(db, ROWS);
      // The page cache keeps what the disk never gets.
      fs.faults = (call) => (call.site === "wal-group" ? "EIO" : undefined);
      await expect(write(db, LATER)).rejects.toThrow("EIO");
      fs.faults = () => undefined;
      await db.close();
      expect(fs.stat(suspectPath(DATA_DIR))).toBeDefined();
      const seen = await openDb(fs);
      const shown = contents(seen);
      expect(shown).toEqual(lines([...ROWS, ...LATER]));
      await seen.close();
      expect((await verify(fs)).damages).toEqual([]);
      fs.crash(new SeededRandom(seed));
      const after = await openDb(fs);
      expect(after.readOnlyReason).toBeUndefined();
      expect(contents(after)).toEqual(shown);
      await after.close();
    }
  });

  test("a crash anywhere in the verification: it is suspect, or all is durable", async () => {
    let atAll = false;
    for (let n = 1; !atAll; n += 3) {
      const fs = await directory();
      const wanted = lines([...ROWS, ...LATER]);
      markSuspect(fs, DATA_DIR, "x");
      const start = fs.calls;
      fs.faults = (call) => (call.number === start + n ? "crash" : undefined);
      let report: VerifyReport | undefined;
      try {
        report = await verify(fs);
        atAll = true;
      } catch (error) {
        expect(errorCode(error)).toBeUndefined();
      }
      if (report !== undefined) expect(report.damages).toEqual([]);
      fs.faults = () => undefined;
      fs.crash(new SeededRandom(n));
      const after = await openDb(fs);
      expect(contents(after)).toEqual(wanted);
      if (report !== undefined) expect(after.readOnlyReason).toBeUndefined();
      await after.close();
    }
  }, 240_000);
});
