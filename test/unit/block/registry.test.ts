// test/unit/block/registry.test.ts: the registry holds the old list or the new one whatever happens, and no file of a live block goes missing.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type BlockEntry, BlockRegistry, blockFileName, blockPath, blocksFolder } from "../../../libs/block/index.ts";
import {
  ensureDirectory,
  readWhole,
  replaceFile,
  SeededRandom,
  SimCrash,
  SimFileSystem,
} from "../../../libs/env/index.ts";
import { CorruptionError, InternalError, InvalidError, UnavailableError } from "../../../libs/model/index.ts";
import { ROOT } from "../../needs.ts";

const DIR = "/data";
const PATH = blockPath(DIR, "registry.json");
const IDENTITY = { directoryId: new Uint8Array(16).fill(5), hashSeed: new Uint8Array(16).fill(6), shardCount: 64 };

function disk(): SimFileSystem {
  const fs = new SimFileSystem();
  ensureDirectory(fs, DIR, "setup");
  return fs;
}

const open = (fs: SimFileSystem): BlockRegistry => BlockRegistry.open(fs, DIR, IDENTITY);

function entry(number: number, more: Partial<BlockEntry> = {}): BlockEntry {
  const id = new Uint8Array(16).fill(number);
  const what = { shard: 7, level: "raw", minMs: 1_750_000_000_000, maxMs: 1_750_007_200_000, ...more } as const;
  const hex = Buffer.from(id).toString("hex");
  return { file: blockFileName({ ...what, id }), id: hex, series: 2, samples: 9, sizeBytes: 100 + number, ...what };
}

const [A, B, C, D] = [entry(1), entry(2), entry(3, { shard: 63 }), entry(4)];
const bytesOf = ({ id, sizeBytes }: BlockEntry): Uint8Array => new Uint8Array(sizeBytes).fill(Number.parseInt(id, 16));

/** A block, durably, as its writer leaves it. */
function make(fs: SimFileSystem, ...entries: BlockEntry[]): void {
  for (const one of entries) replaceFile(fs, blockPath(DIR, one.file), bytesOf(one), "block");
}

const filesOf = (registry: BlockRegistry): string[] => registry.blocks.map(({ file }) => file);
const names = (...entries: BlockEntry[]): string[] => entries.map(({ file }) => file);

describe("the registry", () => {
  test("of a new directory is empty, and there", () => {
    const fs = disk();
    const registry = open(fs);
    expect(registry.findings).toEqual({ made: true, orphans: [], strangers: [], damaged: [], problems: [] });
    expect([registry.blocks, registry.walFrom, registry.covered.segment]).toEqual([[], 1, 1]);
    expect(open(fs).findings.made).toBe(false);
  });

  test("keeps what was put into it, in order, and says it again", async () => {
    const fs = disk();
    const registry = open(fs);
    const early = entry(9, { minMs: -5, maxMs: 0, level: "1m" });
    make(fs, A, C, early);
    expect(
      await registry.replace({ add: [C, A, early], covered: { maxMs: 1_750_007_200_000, segment: 9 }, walFrom: 4 }),
    ).toEqual([]);
    const again = open(fs);
    expect(again.blocks).toEqual([A, early, C]);
    expect(again.blocks).toEqual(registry.blocks);
    expect([again.covered, again.walFrom]).toEqual([{ maxMs: 1_750_007_200_000, segment: 9 }, 4]);
    expect(again.findings.damaged).toEqual([]);
    expect(A.file).toBe("raw-007-1750000000000-1750007200000-01010101.tmb");
    expect(early.file).toBe("1m-007--5-0-09090909.tmb");
    expect(() => Object.assign(again.blocks[0]!, { sizeBytes: 1 })).toThrow(TypeError);
    expect(() => Object.assign(registry.blocks[0]!, { sizeBytes: 1 })).toThrow(TypeError);
  });

  test("a change takes files away only once the list without them is durable; the list before stays as it was", async () => {
    const fs = disk();
    const registry = open(fs);
    make(fs, A, B, C);
    await registry.replace({ add: [A, B] });
    const before = registry.blocks;
    const calls: string[] = [];
    fs.faults = ({ kind, site }) => void calls.push(site === "" ? kind : site);
    await registry.replace({ add: [C], remove: [A, B] });
    fs.faults = () => undefined;
    expect(calls.slice(-3)).toEqual(["block-registry-name", "unlink", "unlink"]);
    expect(before.map(({ file }) => file)).toEqual(names(A, B));
    expect(fs.list(blocksFolder(DIR)).sort()).toEqual([C.file, "registry.json"].sort());
  });

  test.each<[string, (fs: SimFileSystem, registry: BlockRegistry) => Promise<unknown>, string]>([
    ["a block that isn't live removed", (_, r) => r.replace({ remove: [B] }), "want a live block"],
    ["a block without a file", (_, r) => r.replace({ add: [B] }), "of no bytes; want a file of 102"],
    ["a live block again", (_, r) => r.replace({ add: [A] }), "got a block twice"],
    [
      "a block of another size",
      (fs, r) => {
        make(fs, B);
        return r.replace({ add: [{ ...B, sizeBytes: 7 }] });
      },
      "of 102 bytes",
    ],
    [
      "a shard that isn't",
      (fs, r) => {
        const wrong = entry(8, { shard: 64 });
        make(fs, wrong);
        return r.replace({ add: [wrong] });
      },
      "got the block",
    ],
    ["less covered", (_, r) => r.replace({ covered: { maxMs: 5, segment: 2 } }), "got less of the WAL"],
    ["an earlier segment", (_, r) => r.replace({ covered: { maxMs: 10, segment: 1 } }), "got less of the WAL"],
    ["an earlier WAL", (_, r) => r.replace({ walFrom: 1 }), "got less of the WAL"],
    ["a WAL cut beyond what is covered", (_, r) => r.replace({ walFrom: 4 }), "kept from segment 4 on"],
  ])("%s is refused and changes nothing", async (_name, change, message) => {
    const fs = disk();
    const registry = open(fs);
    make(fs, A);
    await registry.replace({ add: [A], covered: { maxMs: 10, segment: 3 }, walFrom: 2 });
    const bytes = readWhole(fs, PATH);
    await expect(change(fs, registry)).rejects.toThrow(InternalError);
    await expect(change(fs, registry)).rejects.toThrow(message);
    expect(readWhole(fs, PATH)).toEqual(bytes);
    await registry.replace({ walFrom: 3 });
  });

  test("is changed by one at a time", async () => {
    const fs = disk();
    const registry = open(fs);
    make(fs, A, B);
    const first = registry.replace({ add: [A] });
    await expect(registry.replace({ add: [B] })).rejects.toThrow("got two changes at once");
    await first;
    await registry.replace({ add: [B] });
    expect(filesOf(open(fs))).toEqual(names(A, B));
  });
});

test("the golden list of version 1 is written and read as ever", async () => {
  const golden = readFileSync(join(ROOT, "test/golden/block-registry-1.txt"));
  const fs = disk();
  const registry = open(fs);
  const blocks = [entry(9, { minMs: -5, maxMs: 0, level: "1m" }), A, entry(0xab, { level: "1h" }), C];
  make(fs, ...blocks);
  await registry.replace({ add: blocks, covered: { maxMs: 1_750_007_200_000, segment: 9 }, walFrom: 4 });
  expect(new TextDecoder().decode(readWhole(fs, PATH))).toBe(golden.toString());
  replaceFile(fs, PATH, golden, "test");
  const again = open(fs);
  expect([...again.blocks].sort((a, b) => a.sizeBytes - b.sizeBytes)).toEqual([A, C, blocks[0], blocks[2]]);
  expect([again.covered, again.walFrom]).toEqual([{ maxMs: 1_750_007_200_000, segment: 9 }, 4]);
});

describe("at the start", () => {
  test("drafts and blocks that no entry names go; what is not known stays and is told", async () => {
    const fs = disk();
    const registry = open(fs);
    make(fs, A, B);
    await registry.replace({ add: [A] });
    const strangers = ["notes.txt", "raw-7-1-2-01010101.tmb", `${A.file}.bak`, "registry.json.old"];
    for (const name of [...strangers, `${D.file}.tmp`, "registry.json.tmp"]) fs.open(blockPath(DIR, name), "create");
    fs.makeDirectory(blockPath(DIR, D.file));
    const { findings } = open(fs);
    expect(findings.orphans).toEqual([B.file, `${D.file}.tmp`, "registry.json.tmp"].sort());
    expect(findings.strangers).toEqual([...strangers, D.file].sort());
    expect(fs.list(blocksFolder(DIR))).toEqual([...strangers, A.file, D.file, "registry.json"].sort());
    expect(open(fs).findings.orphans).toEqual([]);
  });

  test("a live block without its file, or with a part of it, is told and stays listed", async () => {
    const fs = disk();
    const registry = open(fs);
    make(fs, A, B, C);
    await registry.replace({ add: [A, B, C] });
    fs.unlink(blockPath(DIR, A.file));
    fs.open(blockPath(DIR, C.file), "update").truncate(50);
    const again = open(fs);
    expect(again.findings.damaged).toEqual([A, C]);
    expect(filesOf(again)).toEqual(names(A, B, C));
  });

  test("a list that is missing beside blocks or drafts is no new directory", () => {
    for (const name of [A.file, `${A.file}.tmp`]) {
      const fs = disk();
      open(fs);
      make(fs, A);
      fs.unlink(PATH);
      fs.rename(blockPath(DIR, A.file), blockPath(DIR, name));
      expect(() => open(fs)).toThrow(CorruptionError);
      expect(() => open(fs)).toThrow(
        /^cannot open \/data\/blocks\/registry\.json: got no such file .* want it restored/,
      );
      expect(fs.list(blocksFolder(DIR))).toEqual([name]);
    }
  });

  test("every flipped bit of the list is noticed, and every part of it cut off", async () => {
    const fs = disk();
    const registry = open(fs);
    make(fs, A, C);
    await registry.replace({ add: [A, C], covered: { maxMs: 77, segment: 2 } });
    const size = fs.stat(PATH)!.sizeBytes;
    for (let bit = 0; bit < size * 8; bit++) {
      fs.flip(PATH, bit >> 3, 1 << (bit & 7));
      expect(() => open(fs), `bit ${bit}`).toThrow(CorruptionError);
      fs.flip(PATH, bit >> 3, 1 << (bit & 7));
    }
    expect(filesOf(open(fs))).toEqual(names(A, C));
    for (let end = size - 1; end >= 0; end--) {
      fs.open(PATH, "update").truncate(end);
      expect(() => open(fs)).toThrow(/registry\.json: got .* restore the blocks folder from a backup/);
    }
    expect(fs.list(blocksFolder(DIR))).toContain(A.file);
  });

  test.each([
    ["a later version", '"version": 1', '"version": 4', "got version 4; want at most 3"],
    ["another directory", '"directoryId": "05', '"directoryId": "04', "got directory id 04"],
    ["another seed", '"hashSeed": "06', '"hashSeed": "05', "got hash seed 05"],
    ["another shard count", '"shardCount": 64', '"shardCount": 65', "got shard count 65; want 64"],
  ])("%s is refused, though whole, and nothing is removed", async (_name, from, to, message) => {
    const { crc32 } = await import("node:zlib");
    const fs = disk();
    open(fs);
    make(fs, A);
    const text = new TextDecoder().decode(readWhole(fs, PATH)!).replace(from, to);
    const body = text.slice(0, text.indexOf('  "checksum"'));
    const sum = crc32(body).toString(16).padStart(8, "0");
    replaceFile(fs, PATH, new TextEncoder().encode(`${body}  "checksum": "${sum}"\n}\n`), "test");
    expect(() => open(fs)).toThrow(InvalidError);
    expect(() => open(fs)).toThrow(message);
    expect(fs.list(blocksFolder(DIR))).toContain(A.file);
  });
});

describe("a disk error", () => {
  async function changed(): Promise<{ fs: SimFileSystem; registry: BlockRegistry; change: () => Promise<unknown> }> {
    const fs = disk();
    const registry = open(fs);
    make(fs, A, B);
    await registry.replace({ add: [A] });
    return { fs, registry, change: () => registry.replace({ add: [B], remove: [A] }) };
  }

  test.each(["open", "write", "rename"])("no space at %s: nothing changed, and the next try succeeds", async (kind) => {
    const { fs, registry, change } = await changed();
    fs.faults = (call) => (call.kind === kind ? "ENOSPC" : undefined);
    await expect(change()).rejects.toThrow(UnavailableError);
    fs.faults = () => undefined;
    expect(filesOf(registry)).toEqual([A.file]);
    expect(fs.stat(blockPath(DIR, A.file))).toBeDefined();
    await change();
    expect(filesOf(open(fs))).toEqual([B.file]);
  });

  test.each(["block-registry-file", "block-registry-name"])(
    "a failed sync at %s ends all changes; no file goes",
    async (site) => {
      const { fs, change } = await changed();
      fs.faults = (call) => (call.site === site ? "EIO" : undefined);
      await expect(change()).rejects.toThrow(InternalError);
      fs.faults = () => undefined;
      await expect(change()).rejects.toThrow("want a new start");
      for (const one of [A, B]) expect(fs.stat(blockPath(DIR, one.file))).toBeDefined();
    },
  );

  test("a file that can't be removed is told, not fatal; one that is gone is no matter", async () => {
    const { fs, registry, change } = await changed();
    fs.faults = (call) => (call.kind === "unlink" && call.path.endsWith(".tmb") ? "EACCES" : undefined);
    expect(await change()).toEqual([
      { path: blockPath(DIR, A.file), message: expect.stringContaining("EACCES") as string },
    ]);
    expect(open(fs).findings.problems).toHaveLength(1);
    fs.faults = () => undefined;
    expect(open(fs).findings.orphans).toEqual([A.file]);
    fs.unlink(blockPath(DIR, B.file));
    expect(await registry.replace({ remove: [B] })).toEqual([]);
  });
});

/** The lists that the life below goes through. */
const LISTS = [[], [A, B], [C], [D, C]].map((entries) => names(...entries));

/** One process: opens the registry and takes it through the lists. Returns how far it came for sure. */
async function live(fs: SimFileSystem): Promise<number> {
  let reached = -1;
  try {
    const registry = open(fs);
    reached = 0;
    make(fs, A, B);
    await registry.replace({ add: [A, B], covered: { maxMs: 1, segment: 2 } });
    reached = 1;
    make(fs, C);
    await registry.replace({ add: [C], remove: [A, B], walFrom: 2 });
    reached = 2;
    make(fs, D);
    await registry.replace({ add: [D] });
    reached = 3;
  } catch (error) {
    if (!(error instanceof SimCrash)) throw error;
  }
  return reached;
}

/** What is wrong after lives that ended at the calls `stop` (and, of the next start, `again`); undefined when nothing is. */
async function trial(
  stop: number,
  again: number,
  seed: number,
  ignored: string,
): Promise<{ wrong?: string; state?: string }> {
  const random = new SeededRandom(seed);
  const fs = disk();
  fs.fsyncDir("/", "setup");
  fs.ignoreSync((call) => call.site === ignored);
  const start = fs.calls;
  fs.faults = (call) => (call.number === start + stop ? "crash" : undefined);
  const reached = await live(fs);
  fs.faults = () => undefined;
  try {
    // Half the time only the process dies; its successor dies with the power.
    if (random.chance(0.5)) fs.kill();
    else fs.crash(random);
    if (fs.stat(blocksFolder(DIR)) !== undefined) {
      const from = fs.calls;
      fs.faults = (call) => (call.number === from + again ? "crash" : undefined);
      try {
        open(fs);
      } catch (error) {
        if (!(error instanceof SimCrash)) throw error;
      }
      fs.faults = () => undefined;
    }
    fs.crash(random);
    const registry = open(fs);
    const state = LISTS.findIndex((list) => list.join() === filesOf(registry).join());
    if (state < 0) return { wrong: `a mixture: ${filesOf(registry)}` };
    if (state < reached) return { wrong: `list ${state} after ${reached} was promised` };
    if (state > reached + 1) return { wrong: `list ${state} where ${reached + 1} was the last begun` };
    const covered = registry.covered.segment === (state >= 1 ? 2 : 1) && registry.walFrom === (state >= 2 ? 2 : 1);
    if (!covered) return { wrong: "coverage of another list" };
    for (const one of registry.blocks) {
      const bytes = readWhole(fs, blockPath(DIR, one.file));
      if (bytes === undefined || Buffer.compare(bytes, bytesOf(one)) !== 0)
        return { wrong: `${one.file} is not there` };
    }
    const left = fs.list(blocksFolder(DIR)).filter((name) => name !== "registry.json");
    if (left.join() !== LISTS[state]!.join()) return { wrong: `orphans: ${left}` };
    return { state: `${state - Math.max(reached, 0)}` };
  } catch (error) {
    return { wrong: (error as Error).message };
  }
}

const CALLS = await (async () => {
  const fs = disk();
  const before = fs.calls;
  expect(await live(fs)).toBe(3);
  return fs.calls - before;
})();

/** All trials with one sync taken out, until one goes wrong. */
async function firstWrong(ignored: string, seeds: number): Promise<string | undefined> {
  const states = new Set<string>();
  for (let seed = 0; seed < seeds; seed++) {
    for (let stop = 1; stop <= CALLS + 1; stop++) {
      const { wrong, state } = await trial(stop, 1 + (seed % 24), stop * 1000 + seed, ignored);
      if (wrong !== undefined) return `${wrong} (stop ${stop}, seed ${seed})`;
      states.add(state!);
    }
  }
  // Both outcomes of a change that was cut off must have been seen.
  expect([...states].sort()).toEqual(["0", "1"]);
  return undefined;
}

describe("a crash at every call, and at every call of the start after it", () => {
  test("leaves the old list or the new one, with all of its files and no others", async () => {
    expect(CALLS).toBeGreaterThan(50);
    expect(await firstWrong("", 48)).toBeUndefined();
  });

  test.each(["blocks-folder", "block-registry-file", "block-registry-name", "block-registry-found"])(
    "would not, without the sync %s",
    async (site) => {
      expect(await firstWrong(site, 400)).toBeDefined();
    },
  );

  test("all of the registry's syncs are among these", async () => {
    const fs = disk();
    await live(fs);
    open(fs);
    const sites = [...fs.syncSites].filter((site) => site !== "setup" && !/^block-(file|name)$/.test(site)).sort();
    expect(sites).toEqual(["block-registry-file", "block-registry-found", "block-registry-name", "blocks-folder"]);
  });
});
