// test/unit/block/tombstone.test.ts: places as text, ranges of times, merges that leave out what is due and keep what is not.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BlockEntry,
  BlockRegistry,
  blockPath,
  type DeletionEntry,
  decodePlaces,
  encodePlaces,
  hiddenByPlace,
  planMerges,
  TimeRanges,
  type Tombstone,
  takeSpans,
} from "../../../libs/block/index.ts";
import { ensureDirectory, readWhole, replaceFile, SimFileSystem } from "../../../libs/env/index.ts";
import { CorruptionError } from "../../../libs/model/index.ts";
import { ROOT } from "../../needs.ts";

const HOUR = 3_600_000;

describe("places", () => {
  test("come back as they were, in few characters when they are neighbours", () => {
    const ascending = fc.uniqueArray(fc.nat(100_000)).map((all) => Uint32Array.from(all).sort());
    fc.assert(
      fc.property(ascending, (places) => {
        expect(decodePlaces(encodePlaces(places), 100_001)).toEqual(places);
      }),
    );
    expect(encodePlaces(Uint32Array.from({ length: 50_000 }, (_, i) => i + 7)).length).toBeLessThanOrEqual(8);
  });

  test.each([
    ["beyond the block", encodePlaces([0, 9]), 9],
    ["an empty run", Buffer.from([1, 0]).toString("base64"), 100],
    ["a number without its end", Buffer.from([1, 0x81]).toString("base64"), 100],
    ["half a pair", Buffer.from([1]).toString("base64"), 100],
  ])("are refused: %s", (_name, text, count) => {
    expect(decodePlaces(text, count)).toBeUndefined();
  });
});

describe("ranges of times", () => {
  const range = fc.tuple(fc.nat(60), fc.nat(60));

  test("agree with looking at each time by itself", () => {
    fc.assert(
      fc.property(fc.array(range), fc.uniqueArray(fc.nat(60)), range, (ranges, times, [low, high]) => {
        const some = TimeRanges.of(ranges);
        const covered = (time: number): boolean => ranges.some(([a, b]) => a <= time && time <= b);
        const column = Float64Array.from(times).sort();
        expect([...takeSpans(column, some.spansOutside(column))]).toEqual([...column].filter((time) => !covered(time)));
        expect(some.isEmpty).toBe(!ranges.some(([a, b]) => a <= b));
        const meets = Array.from({ length: 61 }, (_, time) => time).some((t) => t >= low && t <= high && covered(t));
        if (low > high) return;
        expect(some.overlaps(low, high)).toBe(meets);
        // Ranges that touch are one only where they have a time in common.
        const share = some.shareOf(low, high);
        const isAll = ranges.some(([a, b]) => a <= low && b >= high);
        expect(share === "none").toBe(!meets);
        if (isAll) expect(share).toBe("all");
        if (share === "all") for (let time = low; time <= high; time++) expect(covered(time)).toBe(true);
      }),
    );
  });

  test("of several tombstones are one", () => {
    const hidden = hiddenByPlace(
      [
        { deletion: "a", minMs: 1, maxMs: 5, places: encodePlaces([0, 2]) },
        { deletion: "b", minMs: 4, maxMs: 9, places: encodePlaces([2]) },
      ],
      3,
    )!;
    expect([...hidden.keys()]).toEqual([0, 2]);
    expect([hidden.get(0)!.covers(6), hidden.get(2)!.covers(6), hidden.get(2)!.covers(10)]).toEqual([
      false,
      true,
      false,
    ]);
    expect(hiddenByPlace([], 3)).toBeUndefined();
  });
});

describe("the plan", () => {
  let number = 0;
  const block = (shard: number, at: number, deletions: readonly string[] = []): BlockEntry => {
    const id = (++number).toString(16).padStart(32, "0");
    const minMs = at * HOUR;
    const tombstones = deletions.map((deletion) => ({ deletion, minMs, maxMs: minMs + 1, places: encodePlaces([0]) }));
    const size = { series: 1, samples: 1, sizeBytes: 10 };
    const entry = {
      file: `${at}${deletions.join("")}`,
      id,
      shard,
      level: "raw",
      minMs,
      maxMs: minMs + HOUR,
      ...size,
    } as const;
    return tombstones.length === 0 ? entry : { ...entry, tombstones };
  };
  const plans = (nowHours: number, ...blocks: BlockEntry[]): string[] => {
    const options = { retentionMs: 1e12, freeBytes: 1e9, isDue: (id: string) => id === id.toUpperCase() };
    const hasPast = ({ tombstones = [] }: BlockEntry): boolean =>
      tombstones.some(({ deletion }) => deletion === "past");
    return planMerges(blocks, nowHours * HOUR, { ...options, hasPast }).map(({ inputs }) =>
      inputs.map(({ file }) => file).join(" "),
    );
  };

  // Upper case: due.
  test.each<[string, number, BlockEntry[], string[]]>([
    ["leaves alone what can still be undone", 48, [block(0, 1, ["a"])], []],
    ["also beside others", 48, [block(0, 1, ["a"]), block(0, 2), block(0, 3)], ["2 3"]],
    ["and merges nothing with it", 48, [block(0, 1, ["a"]), block(0, 2)], []],
    ["writes one anew that has nothing to be merged with", 48, [block(0, 1, ["A"])], ["1A"]],
    ["with its day where there is one", 48, [block(0, 1, ["A"]), block(0, 2)], ["1A 2"]],
    ["by itself before its day is over", 3, [block(0, 1, ["A"]), block(0, 2)], ["1A"]],
    ["by itself when another deletion is not due", 48, [block(0, 1, ["A", "b"]), block(0, 2)], ["1Ab"]],
    ["over several days, too", 99, [{ ...block(0, 1, ["A"]), maxMs: 60 * HOUR }], ["1A"]],
    ["one with a tenant whose samples are past by itself", 3, [block(0, 1, ["past"]), block(0, 2)], ["1past"]],
    ["each shard for itself", 3, [block(0, 1, ["A"]), block(1, 1, ["B"])], ["1A", "1B"]],
  ])("%s", (_name, now, blocks, wanted) => {
    expect(plans(now, ...blocks)).toEqual(wanted);
  });
});

describe("the registry", () => {
  const DIR = "/data";
  const PATH = blockPath(DIR, "registry.json");
  const IDENTITY = { directoryId: new Uint8Array(16).fill(5), hashSeed: new Uint8Array(16).fill(6), shardCount: 64 };
  const id = "01".repeat(16);
  const file = "raw-007-1750000000000-1750007200000-01010101.tmb";
  const times = { minMs: 1_750_000_000_000, maxMs: 1_750_007_200_000 };
  const entry: BlockEntry = { file, id, shard: 7, level: "raw", ...times, series: 20, samples: 90, sizeBytes: 101 };
  const deletion: DeletionEntry = {
    ...{ id: "00112233445566ff", tenant: "team-a", selectors: ['{job="ä"}', "up"], series: 3 },
    ...{ minMs: -9_007_199_254_740_991, maxMs: 1_750_003_600_000, madeMs: 1_750_007_300_000 },
  };
  const tombstone: Tombstone = {
    ...{ deletion: deletion.id, minMs: deletion.minMs, maxMs: deletion.maxMs, places: encodePlaces([1, 2, 3, 9]) },
  };

  function disk(): SimFileSystem {
    const fs = new SimFileSystem();
    ensureDirectory(fs, DIR, "setup");
    return fs;
  }
  const written = (fs: SimFileSystem): string => new TextDecoder().decode(readWhole(fs, PATH));
  const open = (fs: SimFileSystem): BlockRegistry => BlockRegistry.open(fs, DIR, IDENTITY);
  async function filled(): Promise<{ fs: SimFileSystem; registry: BlockRegistry }> {
    const fs = disk();
    const registry = open(fs);
    replaceFile(fs, blockPath(DIR, file), new Uint8Array(101), "block");
    await registry.replace({ add: [entry] });
    return { fs, registry };
  }
  const deletions = { last: 4, open: [deletion] };

  test("the golden list of version 2 is written and read as ever", async () => {
    const golden = readFileSync(join(ROOT, "test/golden/block-registry-2.txt"));
    const { fs, registry } = await filled();
    expect(written(fs)).toContain('"version": 1');
    await registry.replace({ tombstones: new Map([[file, [tombstone]]]), deletions });
    expect(written(fs)).toBe(golden.toString());
    replaceFile(fs, PATH, golden, "test");
    const again = open(fs);
    expect([again.deletions, again.blocks]).toEqual([deletions, [{ ...entry, tombstones: [tombstone] }]]);
  });

  test("the golden list of version 3, with tombstones of side files, is written and read as ever", async () => {
    const golden = readFileSync(join(ROOT, "test/golden/block-registry-3.txt"));
    const { fs, registry } = await filled();
    const side = [{ file: "003-1750000000000-1750086400000-01020304.tms", series: 20, tombstones: [tombstone] }];
    await registry.replace({ tombstones: new Map([[file, [tombstone]]]), deletions, side });
    expect(written(fs)).toBe(golden.toString());
    expect(open(fs).side).toEqual(side);
    for (const bad of [{ ...side[0]!, series: 0 }, { ...side[0]!, file: 7 as never }, undefined as never]) {
      await expect(registry.replace({ side: [bad] })).rejects.toThrow(/^cannot change/);
    }
    await registry.replace({ side: [] });
    expect([written(fs).includes('"version": 2'), open(fs).side]).toEqual([true, []]);
  });

  test("forgets tombstones that are taken away, and remembers that there were deletions", async () => {
    const { fs, registry } = await filled();
    await registry.replace({ tombstones: new Map([[file, [tombstone]]]), deletions });
    await registry.replace({ tombstones: new Map([[file, []]]), deletions: { last: 5, open: [] } });
    expect([registry.blocks, open(fs).blocks, open(fs).deletions]).toEqual([[entry], [entry], { last: 5, open: [] }]);
    await expect(registry.replace({ deletions: { last: 4, open: [] } })).rejects.toThrow("fewer deletions than before");
  });

  test("keeps a cut-off, which never goes back", async () => {
    const { fs, registry } = await filled();
    await registry.replace({ cutoffMs: 5 });
    expect([registry.cutoffMs, open(fs).cutoffMs, written(fs).includes('"version": 2')]).toEqual([5, 5, true]);
    await expect(registry.replace({ cutoffMs: 4 })).rejects.toThrow("an earlier cut-off than before");
    expect(open(disk()).cutoffMs).toBe(Number.NEGATIVE_INFINITY);
  });

  test.each<[string, Tombstone, DeletionEntry]>([
    ["of an unknown deletion", { ...tombstone, deletion: "aaaaaaaaaaaaaaaa" }, deletion],
    ["of places that are none", { ...tombstone, places: encodePlaces([20]) }, deletion],
    ["without times", { ...tombstone, minMs: Number.NaN }, deletion],
    ["of a deletion without a time", tombstone, { ...deletion, madeMs: Number.NaN }],
    ["of a deletion with another sort of id", tombstone, { ...deletion, id: "x" }],
  ])("takes no tombstone %s", async (_name, bad, of) => {
    const { registry } = await filled();
    const change = { tombstones: new Map([[file, [bad]]]), deletions: { last: 4, open: [of] } };
    await expect(registry.replace(change)).rejects.toThrow(/^cannot change/);
  });

  test("every flipped bit of one with tombstones is seen", async () => {
    const golden = readFileSync(join(ROOT, "test/golden/block-registry-2.txt"));
    const { fs } = await filled();
    for (let at = 0; at < golden.length; at++) {
      const bytes = Uint8Array.from(golden);
      bytes[at]! ^= 1 << (at % 8);
      replaceFile(fs, PATH, bytes, "test");
      expect(() => open(fs)).toThrow(CorruptionError);
    }
  });
});
