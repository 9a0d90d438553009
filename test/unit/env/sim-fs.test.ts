// test/unit/env/sim-fs.test.ts: what a simulated power loss may leave and what it must, and that faults come where told.
import { describe, expect, test } from "vitest";
import {
  ensureDirectory,
  errorCode,
  readWhole,
  replaceFile,
  SECTOR_BYTES,
  SeededRandom,
  SimCrash,
  SimFileSystem,
} from "../../../libs/env/index.ts";

const SEEDS = 300;
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

/** The outcomes of `SEEDS` crashes after `prepare`, as text by `look`. */
function outcomes(prepare: (fs: SimFileSystem) => void, look: (fs: SimFileSystem) => string): Set<string> {
  const seen = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed++) {
    const fs = new SimFileSystem();
    prepare(fs);
    fs.crash(new SeededRandom(seed));
    seen.add(look(fs));
  }
  return seen;
}

/** Each sector as one letter: its byte value if uniform, T if torn between two values, - if the file ends before. */
function sectors(fs: SimFileSystem, path: string, count: number): string {
  const bytes = readWhole(fs, path) ?? new Uint8Array(0);
  let out = "";
  for (let i = 0; i < count; i++) {
    const values = new Set(bytes.subarray(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES));
    out += values.size === 0 ? "-" : values.size === 1 ? String([...values][0]) : "T";
  }
  return out;
}

describe("power loss", () => {
  test("of a file with two names either name may be lost; its content is one", () => {
    const seen = outcomes(
      (fs) => {
        fs.makeDirectory("/d");
        fs.fsyncDir("/", "test");
        const file = fs.open("/f", "create");
        file.write(filled(SECTOR_BYTES, 1), 0);
        file.fdatasync("test");
        fs.fsyncDir("/", "test");
        fs.link("/f", "/d/g");
        file.write(filled(SECTOR_BYTES, 2), 0);
      },
      (fs) => `${sectors(fs, "/f", 1)}${sectors(fs, "/d/g", 1)}`,
    );
    expect([...seen].sort()).toEqual(["0-", "00", "1-", "11", "2-", "22", "T-", "TT"]);
  });

  test("a file with two names takes its room once", () => {
    const fs = new SimFileSystem();
    fs.capacityBytes = 100;
    fs.open("/f", "create").write(filled(30, 1), 0);
    fs.link("/f", "/g");
    expect(fs.space("/")).toEqual({ freeBytes: 70, sizeBytes: 100 });
    fs.unlink("/f");
    expect(fs.usedBytes).toBe(30);
  });

  test("what was synced stays, sector by sector", () => {
    const seen = outcomes(
      (fs) => {
        const file = fs.open("/f", "create");
        file.write(filled(4 * SECTOR_BYTES, 1), 0);
        file.fdatasync("test");
        fs.fsyncDir("/", "test");
        file.write(filled(SECTOR_BYTES, 2), 2 * SECTOR_BYTES);
      },
      (fs) => sectors(fs, "/f", 4),
    );
    // The third sector: old, new, torn or zeroed; nothing else moves.
    expect([...seen].sort()).toEqual(["1101", "1111", "1121", "11T1"]);
  });

  test("unsynced bytes beyond the durable size come back in any combination", () => {
    const seen = outcomes(
      (fs) => {
        const file = fs.open("/f", "create");
        fs.fsyncDir("/", "test");
        file.write(filled(SECTOR_BYTES, 1), 0);
        file.write(filled(SECTOR_BYTES, 2), SECTOR_BYTES);
      },
      (fs) => sectors(fs, "/f", 2),
    );
    for (const expected of ["--", "12", "02", "10", "1-", "T2"]) expect([...seen]).toContain(expected);
  });

  test("a name that was not synced may be lost with everything in the file", () => {
    const seen = outcomes(
      (fs) => {
        const file = fs.open("/f", "create");
        file.write(filled(SECTOR_BYTES, 1), 0);
        file.fdatasync("test");
      },
      (fs) => sectors(fs, "/f", 1),
    );
    expect([...seen].sort()).toEqual(["-", "1"]);
  });

  test("a rename happens or doesn't; with it synced, it has", () => {
    const prepare = (sync: boolean) => (fs: SimFileSystem) => {
      replaceFile(fs, "/f", filled(1, 1), "test");
      if (sync) replaceFile(fs, "/f", filled(1, 2), "test");
      else {
        fs.ignoreSync((call) => call.kind === "fsyncDir");
        replaceFile(fs, "/f", filled(1, 2), "test");
      }
    };
    const look = (fs: SimFileSystem): string => String(readWhole(fs, "/f"));
    expect([...outcomes(prepare(true), look)]).toEqual(["2"]);
    expect([...outcomes(prepare(false), look)].sort()).toEqual(["1", "2"]);
  });

  test("replaceFile without its fdatasync leaves damage", () => {
    const seen = outcomes(
      (fs) => {
        fs.ignoreSync((call) => call.site === "test-file");
        replaceFile(fs, "/f", filled(SECTOR_BYTES, 1), "test");
      },
      (fs) => sectors(fs, "/f", 1),
    );
    expect(seen.size).toBeGreaterThan(1);
  });

  test("an unlinked file may come back, a synced unlink does not", () => {
    const prepare = (sync: boolean) => (fs: SimFileSystem) => {
      replaceFile(fs, "/f", filled(1, 1), "test");
      fs.unlink("/f");
      if (sync) fs.fsyncDir("/", "test");
    };
    const look = (fs: SimFileSystem): string => fs.list("/").join();
    expect([...outcomes(prepare(true), look)]).toEqual([""]);
    expect([...outcomes(prepare(false), look)].sort()).toEqual(["", "f"]);
  });

  test("ensureDirectory: a folder that holds anything durable is durable itself", () => {
    for (let calls = 1; calls < 30; calls++) {
      for (let seed = 0; seed < 10; seed++) {
        const random = new SeededRandom(seed);
        const fs = new SimFileSystem();
        // Dies at some call, is started again on the surviving page cache, finishes, and only then the power fails.
        fs.faults = (call) => (call.number === calls ? "crash" : undefined);
        try {
          ensureDirectory(fs, "/a/b/c", "test");
        } catch (error) {
          expect(error).toBeInstanceOf(SimCrash);
        }
        fs.faults = () => undefined;
        fs.kill();
        ensureDirectory(fs, "/a/b/c", "test");
        fs.crash(random);
        expect(fs.stat("/a/b/c")?.kind).toBe("directory");
      }
    }
  });

  test("a failed fdatasync loses its pages for good, though reading shows them", () => {
    const seen = outcomes(
      (fs) => {
        const file = fs.open("/f", "create");
        fs.fsyncDir("/", "test");
        file.write(filled(SECTOR_BYTES, 1), 0);
        fs.faults = (call) => (call.kind === "fdatasync" ? "EIO" : undefined);
        expect(() => file.fdatasync("test")).toThrow("EIO");
        fs.faults = () => undefined;
        file.fdatasync("again");
        expect(sectors(fs, "/f", 1)).toBe("1");
      },
      (fs) => sectors(fs, "/f", 1),
    );
    expect([...seen]).toEqual(["0"]);
  });
});

describe("faults", () => {
  test("a full disk takes what fits and says ENOSPC; freeing helps", () => {
    const fs = new SimFileSystem();
    fs.capacityBytes = 100;
    const first = fs.open("/first", "create");
    first.write(filled(60, 1), 0);
    const second = fs.open("/second", "create");
    try {
      second.write(filled(60, 2), 0);
      expect.unreachable("wrote beyond the capacity");
    } catch (error) {
      expect(errorCode(error)).toBe("ENOSPC");
    }
    expect(second.sizeBytes()).toBe(40);
    first.write(filled(60, 3), 0);
    fs.unlink("/first");
    second.write(filled(60, 2), 0);
    expect(second.sizeBytes()).toBe(60);
  });

  test("a call that crashes, and all after it, throw until the start; old files stay dead", () => {
    const fs = new SimFileSystem();
    const file = fs.open("/f", "create");
    fs.faults = (call) => (call.kind === "write" ? "crash" : undefined);
    expect(() => file.write(filled(1, 1), 0)).toThrow(SimCrash);
    expect(fs.crashed).toBe(true);
    expect(() => fs.list("/")).toThrow(SimCrash);
    fs.faults = () => undefined;
    fs.kill();
    expect(fs.list("/")).toEqual(["f"]);
    expect(() => file.sizeBytes()).toThrow(SimCrash);
  });

  test("damage at rest survives power loss", () => {
    const fs = new SimFileSystem();
    replaceFile(fs, "/f", filled(2, 1), "test");
    fs.flip("/f", 1, 0x80);
    fs.crash(new SeededRandom(1));
    expect([...(readWhole(fs, "/f") ?? [])]).toEqual([1, 0x81]);
  });

  test("the same seed leaves the same disk", () => {
    const run = (): string => {
      const fs = new SimFileSystem();
      const file = fs.open("/f", "create");
      fs.fsyncDir("/", "test");
      for (let i = 0; i < 8; i++) file.write(filled(SECTOR_BYTES, i + 1), i * SECTOR_BYTES);
      fs.crash(new SeededRandom(99));
      return String(readWhole(fs, "/f"));
    };
    expect(run()).toBe(run());
  });
});
