// test/unit/tsdb/head.test.ts: what the head promises, case by case: order does not matter, groups settle, a full head
// refuses, views tell the truth.
// The broad comparison with the twin (libs/kernel/twin/head.ts) is in head-fuzz.test.ts.
import { describe, expect, test } from "vitest";
import { type HeadDictionary, READ_HOLES, READ_NAN, READ_STALE } from "../../../libs/kernel/index.ts";
import { TwinHead } from "../../../libs/kernel/twin/head.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { Head, headFullError } from "../../../libs/tsdb/head.ts";
import { bitsOf, bitsOfColumn, columnsOf, encodeBatch, HOLE, type Sample, STALE } from "../kernel/head-batches.ts";
import { Draw } from "../kernel/head-programs.ts";

const MIN = -(2 ** 53);
const MAX = 2 ** 53;
const T0 = 1_700_000_000_000;

function makeHead(
  series: number,
  memoryBytes = 16 << 20,
  home: (i: number) => number = () => 0,
): [Head, HeadDictionary] {
  const head = new Head({ memoryBytes });
  const dictionary = head.makeDictionary()!;
  for (let i = 0; i < series; i++) dictionary.set(i, head.addSeries(home(i), 0));
  return [head, dictionary];
}

function bitsRead(head: Head, series: number): [number, bigint][] {
  const read = head.readSeries(series, MIN, MAX);
  return bitsOfColumn(read.values).map((bits, i) => [read.times[i]!, bits]);
}

function* permutations<T>(items: readonly T[]): Generator<T[]> {
  if (items.length === 0) yield [];
  for (let i = 0; i < items.length; i++) {
    for (const rest of permutations([...items.slice(0, i), ...items.slice(i + 1)])) yield [items[i]!, ...rest];
  }
}

describe("order does not matter", () => {
  const at = (time: number, bits: bigint): Sample => ({ ref: 0, time, bits });
  test.each<[string, Sample[]]>([
    ["six times", [1, 2, 3, 4, 5, 6].map((t) => at(t, bitsOf(t)))],
    [
      "contradictions",
      [at(1, bitsOf(1)), at(1, bitsOf(2)), at(1, STALE), at(2, bitsOf(NaN)), at(2, bitsOf(-1)), at(3, STALE)],
    ],
    [
      "NaNs and the hole's bits",
      [at(1, HOLE), at(1, STALE), at(2, HOLE), at(2, bitsOf(7)), at(3, HOLE), at(3, 0xfff8000000000001n)],
    ],
    [
      "two zeros and far times",
      [at(MIN, bitsOf(0)), at(MIN, bitsOf(-0)), at(MAX, bitsOf(5)), at(0, HOLE), at(0, bitsOf(-0)), at(1, STALE)],
    ],
  ])("all permutations of %s", (_, samples) => {
    // The samples before and after push the six into open buffers, into chunks, and out of step with their group.
    for (const crowd of [0, 20, 200]) {
      const want = new TwinHead();
      const dictionary = new Map([0, 1].map((i) => [i, i]));
      want.append(encodeBatch(samples), dictionary, MIN, MAX);
      const wanted = want.read(0, MIN, MAX).map((s) => [s.time, s.bits]);
      let head: Head | undefined;
      let references: HeadDictionary | undefined;
      let series = 0;
      for (const order of permutations(samples)) {
        if (head === undefined || series > 800) [head, references] = makeHead(0);
        const mine = head.addSeries(series, 1);
        const other = head.addSeries(series, 1);
        series = other;
        references!.set(0, mine);
        references!.set(1, other);
        for (let i = 0; i < crowd; i++)
          head.append(encodeBatch([{ ref: 1, time: i, bits: bitsOf(i) }]), references!, MIN, MAX);
        for (const sample of order) head.append(encodeBatch([sample]), references!, MIN, MAX);
        expect(bitsRead(head, mine)).toEqual(wanted);
      }
    }
  });
});

describe("groups", () => {
  test("series in step share one column and read by ordinal", () => {
    const [head, dictionary] = makeHead(100);
    for (let t = 0; t < 300; t++) {
      head.append(
        encodeBatch(Array.from({ length: 100 }, (_, ref) => ({ ref, time: T0 + t * 1000, bits: bitsOf(ref + t) }))),
        dictionary,
        MIN,
        MAX,
      );
    }
    expect(head.stats().groupCount).toBe(1);
    const column = head.timeColumn(head.groupOf(0), T0 + 10_000, T0 + 200_000);
    expect([column.from, column.to]).toEqual([10, 201]);
    expect(column.times[0]).toBe(T0 + 10_000);
    for (let series = 0; series < 100; series++) {
      expect(head.isInStep(series, column, T0 + 10_000, T0 + 200_000)).toBe(true);
      expect(head.isClean(series, column.from, column.to)).toBe(true);
      expect(head.readColumn(series, column.from, column.to)[5]).toBe(series + 15);
      expect(head.columnFlags).toBe(0);
    }
  });

  test("interleaved replicas part into two groups, and holes end", () => {
    // Two scrapers with external labels of their own: the same home, half a step apart.
    const [head, dictionary] = makeHead(40);
    for (let t = 0; t < 200; t++) {
      for (const replica of [0, 1]) {
        const samples = Array.from({ length: 20 }, (_, i) => ({
          ref: replica * 20 + i,
          time: T0 + t * 1000 + replica * 500,
          bits: bitsOf(t),
        }));
        head.append(encodeBatch(samples), dictionary, MIN, MAX);
      }
    }
    const groups = new Set(Array.from({ length: 40 }, (_, i) => head.groupOf(i)));
    expect(groups.size).toBe(2);
    for (let i = 0; i < 40; i++) {
      const column = head.timeColumn(head.groupOf(i), T0 + 100_000, MAX);
      expect(head.isClean(i, column.from, column.to)).toBe(true);
      expect(head.readSeries(i, MIN, MAX).count).toBe(200);
    }
  });

  test("series with times of their own get columns of their own: no N × N holes", () => {
    const series = 500;
    const [head, dictionary] = makeHead(series, 64 << 20);
    for (let t = 0; t < 100; t++) {
      for (let ref = 0; ref < series; ref++) {
        head.append(encodeBatch([{ ref, time: T0 + t * 15_000 + ref * 7, bits: bitsOf(t) }]), dictionary, MIN, MAX);
      }
    }
    const stats = head.stats();
    expect(stats.samples).toBe(series * 100);
    expect(stats.lateSamples).toBe(0);
    // The rest of their life is clean: few holes were ever kept, and one column each.
    expect(stats.holes).toBeLessThan(series * 40);
    expect(stats.groupCount).toBeLessThan(series * 3);
    for (let ref = 0; ref < series; ref++) {
      const column = head.timeColumn(head.groupOf(ref), T0 + 20 * 15_000, MAX);
      expect(head.isClean(ref, column.from, column.to)).toBe(true);
      expect(head.readSeries(ref, MIN, MAX).count).toBe(100);
    }
  });

  test("containers behind one target: series that share times stay together after they left", () => {
    // 20 containers of 10 series each behind one target, each container with its own times.
    const [head, dictionary] = makeHead(200);
    for (let t = 0; t < 60; t++) {
      for (let c = 0; c < 20; c++) {
        const samples = Array.from({ length: 10 }, (_, i) => ({
          ref: c * 10 + i,
          time: T0 + t * 15_000 + c * 31,
          bits: bitsOf(t),
        }));
        head.append(encodeBatch(samples), dictionary, MIN, MAX);
      }
    }
    for (let c = 0; c < 20; c++) {
      const own = new Set(Array.from({ length: 10 }, (_, i) => head.groupOf(c * 10 + i)));
      expect(own.size).toBe(1);
    }
    expect(head.stats().lateSamples).toBe(0);
  });

  test("shards of a sender that are behind each other fill the same column", () => {
    const [head, dictionary] = makeHead(30);
    const scrape = (from: number, t: number): void => {
      const samples = Array.from({ length: 10 }, (_, i) => ({ ref: from + i, time: T0 + t * 1000, bits: bitsOf(t) }));
      head.append(encodeBatch(samples), dictionary, MIN, MAX);
    };
    // Three queues: the second 5 scrapes behind, the third 150 behind.
    for (let t = 0; t < 400; t++) {
      scrape(0, t);
      if (t >= 5) scrape(10, t - 5);
      if (t >= 150) scrape(20, t - 150);
    }
    expect(head.stats()).toMatchObject({ groupCount: 1, lateSamples: 0, holes: 0 });
  });

  test("backfill of a new series below its group's times is no late data", () => {
    const [head, dictionary] = makeHead(2);
    head.append(encodeBatch([{ ref: 0, time: T0, bits: bitsOf(1) }]), dictionary, MIN, MAX);
    for (let t = 0; t < 500; t++) {
      head.append(encodeBatch([{ ref: 1, time: T0 - 10_000_000 + t * 1003, bits: bitsOf(t) }]), dictionary, MIN, MAX);
    }
    expect(head.stats().lateSamples).toBe(0);
    expect(head.readSeries(1, MIN, MAX).count).toBe(500);
  });
});

describe("flags", () => {
  test.each<[string, number, number, boolean]>([
    ["numbers", 0.5, 0, true],
    ["a NaN", NaN, READ_NAN, true],
  ])("%s", (_, value, flags, clean) => {
    for (const n of [3, 40]) {
      const [head, dictionary] = makeHead(1);
      for (let t = 0; t < n; t++)
        head.append(encodeBatch([{ ref: 0, time: t, bits: bitsOf(t === 1 ? value : t) }]), dictionary, MIN, MAX);
      head.readColumn(0, 0, n);
      expect([head.columnFlags, head.isClean(0, 0, n)]).toEqual([flags, clean]);
    }
  });

  test("a stale marker and a missed scrape are not clean, what follows is", () => {
    const [head, dictionary] = makeHead(2);
    for (let t = 0; t < 60; t++) {
      const batch: Sample[] = [{ ref: 0, time: t, bits: t === 5 ? STALE : bitsOf(t) }];
      if (t !== 7) batch.push({ ref: 1, time: t, bits: bitsOf(t) });
      head.append(encodeBatch(batch), dictionary, MIN, MAX);
    }
    expect([head.isClean(0, 0, 60), head.isClean(0, 5, 60), head.isClean(0, 6, 60)]).toEqual([false, false, true]);
    expect([head.isClean(1, 0, 60), head.isClean(1, 7, 60), head.isClean(1, 8, 60)]).toEqual([false, false, true]);
    expect(head.isClean(1, 8, 61)).toBe(false);
    expect(bitsOfColumn(head.readColumn(0, 0, 60))[5]).toBe(STALE);
    expect(head.columnFlags).toBe(READ_STALE);
    expect(bitsOfColumn(head.readColumn(1, 0, 60))[7]).toBe(HOLE);
    expect(head.columnFlags).toBe(READ_HOLES);
  });
});

describe("refusals", () => {
  test("bounds are inclusive, refusals are counted by reason", () => {
    const [head, dictionary] = makeHead(1);
    dictionary.refuse(5, "series-limit");
    dictionary.refuse(6, "id-collision");
    const samples = [9, 10, 20, 21].map((time) => ({ ref: 0, time, bits: bitsOf(1) }));
    samples.push({ ref: 5, time: 15, bits: bitsOf(1) }, { ref: 6, time: 15, bits: bitsOf(1) });
    const result = head.append(encodeBatch(samples), dictionary, 10, 20);
    expect(result).toMatchObject({ stored: 2, tooOld: 1, future: 1, refusedLimit: 1, refusedCollision: 1 });
  });

  test("an unknown reference refuses the whole batch and is named", () => {
    const [head, dictionary] = makeHead(2);
    const batch = encodeBatch([0, 1, 2, 4_194_305].map((ref) => ({ ref, time: 1, bits: bitsOf(1) })));
    const result = head.append(batch, dictionary, MIN, MAX);
    expect([result.status, [...result.unknownRefs], result.records]).toEqual(["unknown-refs", [2, 4_194_305], []]);
    expect(head.readSeries(0, MIN, MAX).count).toBe(0);
    dictionary.forget(1);
    expect([...head.append(encodeBatch([{ ref: 1, time: 1, bits: 0n }]), dictionary, MIN, MAX).unknownRefs]).toEqual([
      1,
    ]);
  });

  test.each([0, 100_000, 2 ** 32, Number.NaN])("a head of %d bytes", (memoryBytes) => {
    expect(() => new Head({ memoryBytes })).toThrow(InvalidError);
  });

  test("a batch beyond the region", () => {
    const [head, dictionary] = makeHead(1);
    expect(() => head.append(new Uint8Array(head.batchBytesMax + 1), dictionary, MIN, MAX)).toThrow(InvalidError);
  });
});

describe("a full head", () => {
  test("refuses new series, stores what fits, and says what it stored", () => {
    const head = new Head({ memoryBytes: 1 << 20, batchBytesMax: 4096 });
    const dictionary = head.makeDictionary()!;
    const twin = new TwinHead();
    const draw = new Draw(3);
    let series = 0;
    while (series < 300) {
      const number = head.addSeries(series >> 3, 0);
      if (number < 0) break;
      dictionary.set(series++, number);
    }
    const known = new Map(Array.from({ length: series }, (_, i) => [i, i]));
    let full = 0;
    for (let t = 0; t < 4000 && full < 50; t++) {
      const samples = Array.from({ length: 8 }, (_, i) => ({
        ref: ((t % 30) * 8 + i) % series,
        time: t * 1000,
        bits: draw.bits(),
      }));
      const batch = encodeBatch(samples);
      const result = head.append(batch, dictionary, MIN, MAX);
      let recorded = 0;
      for (const record of result.records) recorded += twin.replay(record, known).stored.length;
      expect(recorded).toBe(result.stored);
      if (result.status !== "full") continue;
      full++;
      // The same again: what was stored is a duplicate, nothing is stored twice.
      const again = head.append(batch, dictionary, MIN, MAX);
      expect([again.status, again.stored]).toEqual(["full", 0]);
      expect(again.duplicates).toBe(result.stored + result.duplicates);
    }
    expect(full).toBe(50);
    expect(head.addSeries(1_000_000, 0)).toBe(-1);
    for (let i = 0; i < series; i++) {
      expect(bitsRead(head, i)).toEqual(twin.read(i, MIN, MAX).map((s) => [s.time, s.bits]));
    }
    expect(headFullError().message).toContain("--head-memory");
  });

  test("no series beyond the table", () => {
    const head = new Head({ memoryBytes: 1 << 20 });
    let n = 0;
    while (head.addSeries(n % 5, 0) >= 0) n++;
    expect(n).toBe(1024);
    expect(head.stats()).toMatchObject({ seriesCount: 1024, groupCount: 5 });
  });

  test("no dictionary without memory; a dropped one gives its memory back", () => {
    const head = new Head({ memoryBytes: 1 << 20 });
    for (let i = 0; i < 1000; i++) {
      const dictionary = head.makeDictionary()!;
      expect(dictionary.set(i, 1)).toBe(true);
      dictionary.drop();
    }
    let n = 0;
    while (head.makeDictionary() !== undefined) n++;
    expect(n).toBeGreaterThan(10);
    expect(n).toBeLessThan(64);
  });
});

test("a record written with more memory is replayed in parts", () => {
  const [big, dictionary] = makeHead(100, 64 << 20);
  const [small] = makeHead(100, 1 << 20);
  const samples = Array.from({ length: 5000 }, (_, i) => ({
    ref: i % 100,
    time: T0 + Math.floor(i / 100),
    bits: bitsOf(i),
  }));
  const result = big.append(encodeBatch(samples), dictionary, MIN, MAX);
  const parts = small.replay(result.records[0]!.slice());
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.reduce((sum, p) => sum + p.stored, 0)).toBe(5000);
  for (let i = 0; i < 100; i++) expect(bitsRead(small, i)).toEqual(bitsRead(big, i));
});

test("reads of long series come in one piece", () => {
  const [head, dictionary] = makeHead(2);
  // Every other time has a gap of its own, so that there are many chunks.
  for (let t = 0; t < 30_000; t += 500) {
    const samples: Sample[] = [];
    for (let i = 0; i < 500; i++) {
      samples.push({ ref: 0, time: t + i, bits: bitsOf(t + i) });
      if ((t + i) % 40 === 0) samples.push({ ref: 1, time: t + i, bits: bitsOf(-t - i) });
    }
    head.append(encodeBatch(samples), dictionary, MIN, MAX);
  }
  const small = new Head({ memoryBytes: 16 << 20, readSamplesMax: 100 });
  const references = small.makeDictionary()!;
  for (let i = 0; i < 2; i++) references.set(i, small.addSeries(0, 0));
  for (let s = 0; s < 2; s++) {
    const read = head.readSeries(s, MIN, MAX);
    const columns = columnsOf(bitsOfColumn(read.values).map((bits, i) => ({ ref: s, time: read.times[i]!, bits })));
    for (let i = 0; i < columns.count; i += 1000) {
      const part = Array.from({ length: Math.min(1000, columns.count - i) }, (_, k) => ({
        ref: s,
        time: columns.times[i + k]!,
        bits: bitsOf(columns.values[i + k]!),
      }));
      small.append(encodeBatch(part), references, MIN, MAX);
    }
    expect(read.count).toBe(s === 0 ? 30_000 : 750);
    expect(bitsRead(small, s)).toEqual(bitsRead(head, s));
    const column = small.timeColumn(small.groupOf(s), MIN, MAX);
    expect(bitsOfColumn(small.readColumn(s, column.from, column.to)).filter((b) => b !== HOLE).length).toBeGreaterThan(
      0,
    );
  }
});
