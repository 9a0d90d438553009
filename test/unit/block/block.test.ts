// test/unit/block/block.test.ts: what was written is read: series, statistics, columns alone, shared times, references; odd calls are refused.
import { describe, expect, test } from "vitest";
import { BlockWriter } from "../../../libs/block/index.ts";
import { statisticsOf } from "../../../libs/kernel/twin/column.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { bitsOfValues, columnOf } from "../kernel/column-courses.ts";
import { STALE } from "../kernel/head-batches.ts";
import { Draw } from "../kernel/head-programs.ts";
import {
  byKey,
  contentOf,
  drawSeries,
  kernel,
  keyOf,
  newDisk,
  openBlock,
  optionsOf,
  textOf,
  writeBlock,
} from "./block-fixture.ts";

describe("what was written is read", () => {
  test("random series of several tenants, bit for bit, with their statistics", () => {
    for (let seed = 1; seed <= 12; seed++) {
      const draw = new Draw(seed);
      const series = drawSeries(draw, 1 + draw.below(12));
      const fs = newDisk();
      const summary = writeBlock(fs, "/b", series);
      const reader = openBlock(fs, "/b");
      const wanted = byKey(series);
      const from = draw.below(series.length);
      if (draw.chance(0.7)) reader.prefetch(from, draw.below(series.length - from + 1));
      expect(contentOf(reader)).toEqual(wanted.map((s) => textOf(s.key, s.times, s.columns)));
      expect(summary.series).toBe(series.length);
      expect(summary.samples).toBe(series.reduce((sum, s) => sum + s.times.length, 0));
      expect(summary.sizeBytes).toBe(fs.stat("/b")!.sizeBytes);
      wanted.forEach(({ columns }, i) => {
        const { header } = reader.column(i);
        const { stales, nans, min, max, sum, resets, resetSum, firstIndex, lastIndex } = header;
        const { firstBits: _, lastBits: __, ...rest } = statisticsOf(bitsOfValues(columns[0]!));
        expect({ stales, nans, min, max, sum, resets, resetSum, firstIndex, lastIndex }).toEqual(rest);
      });
    }
  });

  test("more series than a page holds; each is found by its key, and no other", () => {
    const series = Array.from({ length: 1500 }, (_, i) => ({
      key: keyOf("default", { __name__: "m", i: String(i) }),
      times: Float64Array.of(10, 20, 30),
      columns: [Float64Array.of(i, i + (i % 7), i * 2)],
    }));
    const fs = newDisk();
    writeBlock(fs, "/b", series);
    const reader = openBlock(fs, "/b");
    expect([
      reader.footer.seriesPages.length,
      reader.footer.headerPages.length,
      reader.footer.timePages.length,
    ]).toEqual([3, 3, 1]);
    const out = new Float64Array(3);
    for (const { key, columns } of series) {
      const found = reader.find(key);
      reader.readValues(reader.column(found), out);
      expect(out).toEqual(columns[0]);
    }
    expect(reader.find(keyOf("default", { __name__: "m", i: "1500" }))).toBe(-1);
    expect(reader.find(keyOf("default", { __name__: "m" }))).toBe(-1);
    reader.forget();
    expect(reader.labels(reader.find(series[700]!.key))).toEqual(["__name__", "m", "i", "700"]);
  });

  test("what is kept in memory is counted whenever it has become more, and no more when it is forgotten", () => {
    const fs = newDisk();
    const series = Array.from({ length: 40 }, (_, i) => ({
      key: keyOf("default", { __name__: "m", i: String(i) }),
      times: Float64Array.from({ length: 50 }, (_, k) => 1 + 100 * i + k),
      columns: [Float64Array.from({ length: 50 }, (_, k) => i + k * k)],
    }));
    writeBlock(fs, "/b", series);
    const reader = openBlock(fs, "/b");
    let before = reader.keptBytes;
    const out = new Float64Array(50);
    const steps = {
      labels: () => reader.rowsOfPage(0),
      headers: () => reader.headersOfPage(0),
      "a time column": () => reader.times(3),
      values: () => reader.readColumn(reader.headersOfPage(0), 3, out),
      "an entry": () => reader.headersOfPage(0).at(5),
      "its neighbour": () => reader.headersOfPage(0).at(6),
      keys: () => reader.keysOfPage(0),
    };
    expect(before).toBe(0);
    for (const [what, step] of Object.entries(steps)) {
      step();
      const now = reader.keptBytes;
      expect(now, what).toBeGreaterThan(before);
      step();
      expect(reader.keptBytes, what).toBe(now);
      before = now;
    }
    reader.prefetch(0, 40);
    expect(reader.keptBytes).toBe(before);
    reader.forgetKeys();
    expect(reader.keptBytes).toBeLessThan(before);
    reader.forget();
    expect(reader.keptBytes).toBe(0);
  });

  test("what the maker says, and each tenant's series", () => {
    const one = (tenant: string, n: number) => ({
      key: keyOf(tenant, { __name__: `m${n}` }),
      times: Float64Array.of(5, 6),
      columns: [Float64Array.of(1, 2)],
    });
    const fs = newDisk();
    const parents = [new Uint8Array(16).fill(8), new Uint8Array(16).fill(9)];
    writeBlock(fs, "/b", [one("b", 1), one("a", 1), one("a", 2), one("long-tenant", 1)], {
      parents,
      level: "1h",
      minMs: -5,
      maxMs: 6,
    });
    const { footer, ...reader } = openBlock(fs, "/b");
    expect(reader).toBeDefined();
    const { id, shard, shardCount, level, minMs, maxMs, walPosition, tenants } = footer;
    expect({ id, shard, shardCount, level, minMs, maxMs, walPosition }).toEqual({
      id: new Uint8Array(16).fill(1),
      shard: 3,
      shardCount: 64,
      level: "1h",
      minMs: -5,
      maxMs: 6,
      walPosition: [7n, 0xffff_ffff_ffff_fff0n],
    });
    expect(footer.parents).toEqual(parents);
    expect(tenants.map((t) => [t.tenant, t.first, t.count, t.samples])).toEqual([
      ["a", 0, 2, 4],
      ["b", 2, 1, 2],
      ["long-tenant", 3, 1, 2],
    ]);
    expect(openBlock(fs, "/b").tenant("b")?.first).toBe(2);
    expect(openBlock(fs, "/b").tenant("c")).toBeUndefined();
  });

  test("rows of a rollup: several columns per series over one column of times", () => {
    const draw = new Draw(5);
    const series = drawSeries(draw, 5, 4);
    const fs = newDisk();
    writeBlock(fs, "/b", series, { columnsPerSeries: 4, level: "1m" });
    expect(contentOf(openBlock(fs, "/b"))).toEqual(byKey(series).map((s) => textOf(s.key, s.times, s.columns)));
  });
});

describe("what is shared is stored once", () => {
  test("times, told by the array or by its content", () => {
    const times = Float64Array.from({ length: 100 }, (_, i) => 1000 + i * 1000 + (i % 7));
    const series = Array.from({ length: 50 }, (_, i) => ({
      key: keyOf("default", { __name__: `m${i}` }),
      times: i % 2 === 0 ? times : times.slice(),
      columns: [times.map((t) => t * i)],
    }));
    const fs = newDisk();
    expect(writeBlock(fs, "/b", series).timeColumns).toBe(1);
    const reader = openBlock(fs, "/b");
    expect(reader.times(reader.column(0).times)).toBe(reader.times(reader.column(1).times));
  });

  test("a histogram's buckets are coded against each other, columns that rise alike against the first", () => {
    const draw = new Draw(9);
    const times = Float64Array.from({ length: 400 }, (_, i) => (i + 1) * 1000);
    const counts = new Float64Array(400);
    for (let i = 1; i < 400; i++) counts[i] = counts[i - 1]! + draw.below(5000);
    const bucket = (le: string, share: number) => ({
      key: keyOf("default", { __name__: "wait_bucket", le, instance: "i", zone: "z" }),
      times,
      columns: [counts.map((v) => Math.floor(v * share))],
    });
    const buckets = [bucket("1", 0.25), bucket("2.5", 0.98), bucket("10", 0.99), bucket("+Inf", 1)];
    const count = { ...buckets[3]!, key: keyOf("default", { __name__: "wait_count", instance: "i", zone: "z" }) };
    const fs = newDisk();
    const alone = [...buckets, count]
      .map((one, i) => writeBlock(fs, `/${i}`, [one]).valueBytes)
      .reduce((a, b) => a + b);
    const together = writeBlock(fs, "/all", [...buckets, count]).valueBytes;
    expect(together).toBeLessThan(alone * 0.7);
    const reader = openBlock(fs, "/all");
    const references = Array.from({ length: 5 }, (_, i) => reader.column(i).reference);
    expect(references.filter((r) => r >= 0).length).toBeGreaterThanOrEqual(3);
    expect(contentOf(reader)).toEqual(byKey([...buckets, count]).map((s) => textOf(s.key, s.times, s.columns)));
  });
});

describe("what is refused", () => {
  const times = Float64Array.of(1, 2);
  const values = Float64Array.of(3, 4);
  const begin = (): BlockWriter => new BlockWriter(newDisk(), "/b", optionsOf({ maxMs: 100 }), kernel);
  const key = keyOf("default", { __name__: "m" });

  test.each<[string, (writer: BlockWriter) => void, RegExp]>([
    ["a key twice", (w) => w.addSeries(key, times, values).addSeries(key, times, values), /not after the one before/],
    [
      "columns of another length",
      (w) => w.addSeries(key, times, Float64Array.of(1)),
      /columns of 1 values; want 1 of 2/,
    ],
    ["too many columns", (w) => w.addSeries(key, times, values, values), /want 1 of 2/],
    ["times that stand", (w) => w.addSeries(key, Float64Array.of(5, 5), values), /got time 5 after 5/],
    ["a time at the lower bound", (w) => w.addSeries(key, Float64Array.of(0, 5), values), /got time 0/],
    ["a time beyond the upper bound", (w) => w.addSeries(key, Float64Array.of(5, 101), values), /got time 101/],
    ["a time between milliseconds", (w) => w.addSeries(key, Float64Array.of(5, 6.5), values), /got time 6.5/],
    ["no samples", (w) => w.addSeries(key, new Float64Array(0), new Float64Array(0)), /got 0 values/],
    ["a malformed key", (w) => w.addSeries(Uint8Array.of(9), times, values), /cannot read series key/],
    ["a block without series", (w) => w.finish("test"), /got no series/],
  ])("%s", (_, work, message) => {
    const writer = begin();
    expect(() => work(writer)).toThrow(InvalidError);
    expect(() => work(begin())).toThrow(message);
    writer.abandon();
  });

  test.each([
    [{ minMs: 5, maxMs: 5 }],
    [{ minMs: Number.NaN }],
    [{ shard: 64 }],
    [{ columnsPerSeries: 0 }],
    [{ id: new Uint8Array(3) }],
    [{ hashSeed: new Uint8Array(17) }],
    [{ parents: [new Uint8Array(17)] }],
  ])("odd options: %o", (options) => {
    expect(() => new BlockWriter(newDisk(), "/b", optionsOf(options), kernel)).toThrow(InvalidError);
  });

  test("an upper bound itself is inside; a sample there and a stale marker come back", () => {
    const fs = newDisk();
    const column = columnOf([1n, STALE]);
    writeBlock(fs, "/b", [{ key, times: Float64Array.of(1, 100), columns: [column] }], { maxMs: 100 });
    expect(contentOf(openBlock(fs, "/b"))).toEqual([textOf(key, Float64Array.of(1, 100), [column])]);
  });

  test("a place too short for a column", () => {
    const fs = newDisk();
    writeBlock(fs, "/b", [{ key, times, columns: [values] }]);
    const reader = openBlock(fs, "/b");
    expect(() => reader.readValues(reader.column(0), new Float64Array(1))).toThrow(InvalidError);
  });
});
