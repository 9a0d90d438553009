// test/unit/block/merge.test.ts: merged blocks hold what their parents held, each sample once, the winner of contradictions, in any order.
import { describe, expect, test } from "vitest";
import { type BlockReader, BlockWriter, mergeBlocks, mergedOptions, verifyBlock } from "../../../libs/block/index.ts";
import type { SimFileSystem } from "../../../libs/env/index.ts";
import { beats } from "../../../libs/kernel/index.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { AWKWARD_BITS, bitsOfValues, columnOf } from "../kernel/column-courses.ts";
import { Draw } from "../kernel/head-programs.ts";
import { kernel, keyOf, newDisk, openBlock, type optionsOf, type TestSeries, writeBlock } from "./block-fixture.ts";

const ID = new Uint8Array(16).fill(77);

function merge(fs: SimFileSystem, path: string, readers: readonly BlockReader[]): BlockReader {
  const writer = new BlockWriter(
    fs,
    path,
    mergedOptions(
      readers.map((r) => r.footer),
      ID,
    ),
    kernel,
  );
  mergeBlocks(readers, writer);
  writer.finish("test");
  return openBlock(fs, path);
}

/** Samples of a block: key → time → bits. */
type Samples = Map<string, Map<number, bigint>>;

function samplesOf(reader: BlockReader): Samples {
  const out: Samples = new Map();
  for (let i = 0; i < reader.seriesCount; i++) {
    const column = reader.column(i);
    const values = new Float64Array(column.header.count);
    reader.readValues(column, values);
    const bits = bitsOfValues(values);
    const times = reader.times(column.times);
    out.set(Buffer.from(reader.key(i)).toString("hex"), new Map(Array.from(times, (time, j) => [time, bits[j]!])));
  }
  return out;
}

const wins = (a: bigint, b: bigint): boolean =>
  beats(Number(a >> 32n), Number(a & 0xffffffffn), Number(b >> 32n), Number(b & 0xffffffffn));

/** The merge said plainly. */
function union(all: readonly Samples[]): Samples {
  const out: Samples = new Map();
  for (const samples of all) {
    for (const [key, column] of samples) {
      const mine = out.get(key) ?? new Map<number, bigint>();
      for (const [time, bits] of column) {
        const there = mine.get(time);
        if (there === undefined || wins(bits, there)) mine.set(time, bits);
      }
      out.set(key, new Map([...mine].sort((a, b) => a[0] - b[0])));
    }
  }
  return new Map([...out].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
}

const asText = (samples: Samples): string =>
  [...samples].map(([key, column]) => `${key}: ${[...column].map((pair) => pair.join("=")).join(" ")}`).join("\n");

/** Series of a fixed set of keys, each perhaps missing; times in (from, to], shared by some. */
function drawPart(draw: Draw, from: number, to: number): TestSeries[] {
  const draws = Array.from({ length: 3 }, () => {
    const times = new Set<number>();
    for (let n = 1 + draw.below(60); n > 0; n--) times.add(from + 1 + draw.below(to - from));
    return Float64Array.from([...times].sort((a, b) => a - b));
  });
  const series: TestSeries[] = [];
  for (let k = 0; k < 25; k++) {
    if (draw.chance(0.3)) continue;
    const times = draws[k % 3]!;
    const bits = Array.from(times, (time) => (draw.chance(0.2) ? draw.pick(AWKWARD_BITS) : BigInt(time % 50) << 52n));
    series.push({ key: keyOf(k < 12 ? "a" : "b", { __name__: `m${k}` }), times, columns: [columnOf(bits)] });
  }
  if (series.length === 0) {
    series.push({ key: keyOf("a", { __name__: "m" }), times: draws[0]!, columns: [draws[0]!.slice()] });
  }
  return series;
}

describe("merged blocks", () => {
  test("hold the union of their parents', adjacent, overlapping or both, whatever the order", () => {
    const draw = new Draw(41);
    for (let run = 0; run < 60; run++) {
      const fs = newDisk();
      const spans = draw.pick([
        [0, 100, 100, 200],
        [0, 100, 50, 150, 120, 300],
        [0, 40, 0, 40, 0, 40],
        [0, 1000, 300, 310],
      ]);
      const readers: BlockReader[] = [];
      for (let i = 0; i < spans.length; i += 2) {
        const [minMs, maxMs] = [spans[i]!, spans[i + 1]!];
        writeBlock(fs, `/${i}`, drawPart(draw, minMs, maxMs), { minMs, maxMs, id: new Uint8Array(16).fill(i) });
        readers.push(openBlock(fs, `/${i}`));
      }
      const wanted = asText(union(readers.map(samplesOf)));
      const merged = merge(fs, "/merged", readers);
      expect(asText(samplesOf(merged))).toBe(wanted);
      expect(asText(samplesOf(merge(fs, "/reversed", [...readers].reverse())))).toBe(wanted);
      expect(verifyBlock(fs, "/merged", kernel)).toEqual([]);
      expect(merged.footer.parents).toEqual(readers.map((r) => r.footer.id));
      expect([merged.footer.minMs, merged.footer.maxMs]).toEqual([
        Math.min(...readers.map((r) => r.footer.minMs)),
        Math.max(...readers.map((r) => r.footer.maxMs)),
      ]);
    }
  });

  test("of one block are that block; merging again changes nothing", () => {
    const fs = newDisk();
    writeBlock(fs, "/a", drawPart(new Draw(5), 0, 100));
    const once = merge(fs, "/once", [openBlock(fs, "/a")]);
    const twice = merge(fs, "/twice", [once, openBlock(fs, "/a")]);
    expect(asText(samplesOf(twice))).toBe(asText(samplesOf(openBlock(fs, "/a"))));
  });

  test("share their times as their parents did", () => {
    const fs = newDisk();
    const part = (from: number): TestSeries[] => {
      const times = Float64Array.from({ length: 20 }, (_, i) => from + 1 + i * 3 + (i % 2));
      return Array.from({ length: 30 }, (_, k) => ({
        key: keyOf("a", { __name__: `m${k}` }),
        times,
        columns: [times.map((t) => t * k)],
      }));
    };
    writeBlock(fs, "/a", part(0));
    writeBlock(fs, "/b", part(100));
    const merged = merge(fs, "/m", [openBlock(fs, "/b"), openBlock(fs, "/a")]);
    expect(merged.timeColumnEntries()).toHaveLength(1);
    expect(merged.times(0)).toHaveLength(40);
  });
});

describe("what a merged block says", () => {
  const footer = (more: Parameters<typeof optionsOf>[0]) => {
    const fs = newDisk();
    writeBlock(fs, "/b", drawPart(new Draw(1), 0, 100), more);
    return openBlock(fs, "/b").footer;
  };

  test("the newest position of the WAL", () => {
    const positions = [
      [3n, 9n],
      [4n, 1n],
      [4n, 0n],
    ] as const;
    const options = mergedOptions(
      positions.map((walPosition) => footer({ walPosition })),
      ID,
    );
    expect(options.walPosition).toEqual([4n, 1n]);
  });

  test.each([[{ shard: 4 }], [{ level: "1m" as const }], [{ shardCount: 128 }], [{ hashSeed: new Uint8Array(16) }]])(
    "nothing of others: %o",
    (other) => {
      expect(() => mergedOptions([footer({}), footer(other)], ID)).toThrow(InvalidError);
    },
  );

  test("nothing of nothing", () => {
    expect(() => mergedOptions([], ID)).toThrow(/got none/);
  });

  test("rows of a rollup with one time in two blocks are refused; others are merged", () => {
    const fs = newDisk();
    const rows = (path: string, from: number): void => {
      const times = Float64Array.of(from, from + 10);
      const series = [{ key: keyOf("a", { __name__: "m" }), times, columns: [times.slice(), times.map((t) => -t)] }];
      writeBlock(fs, path, series, { columnsPerSeries: 2, level: "1m" });
    };
    rows("/a", 10);
    rows("/b", 30);
    rows("/c", 20);
    const merged = merge(fs, "/m", [openBlock(fs, "/a"), openBlock(fs, "/b")]);
    const out = new Float64Array(4);
    merged.readValues(merged.column(0, 1), out);
    expect([...out]).toEqual([-10, -20, -30, -40]);
    expect(() => merge(fs, "/n", [openBlock(fs, "/a"), openBlock(fs, "/c")])).toThrow(InvalidError);
  });
});
