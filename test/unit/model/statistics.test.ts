// test/unit/model/statistics.test.ts: counts of several storages together: sums, distinct values of a union, the greatest.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DistinctCounter,
  HASHES_KEPT,
  hashText,
  labelsFromRecord,
  mergeDistinct,
  mergeStatistics,
  TopCounts,
} from "../../../libs/model/index.ts";
import { naiveStatistics } from "../../contract/naive-statistics.ts";

const countOf = (texts: Iterable<string>) => {
  const counter = new DistinctCounter();
  for (const text of new Set(texts)) counter.add(text);
  return counter.count;
};
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `instance-${from + i}:9100`);

describe("distinct counts", () => {
  test("of few texts add up exactly", () => {
    const texts = fc.array(fc.string({ maxLength: 3 }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.array(texts, { minLength: 1, maxLength: 4 }), (lists) => {
        expect(mergeDistinct(lists.map(countOf)).value).toBe(new Set(lists.flat()).size);
      }),
      { seed: 5 },
    );
  });

  test.each([
    ["apart", 0, 100_000, 100_000, 200_000],
    ["the same", 0, 50_000, 0, 50_000],
    ["overlapping", 0, 60_000, 30_000, 90_000],
    ["one small", 0, 500, 400, 20_000],
  ])("of many texts, %s, are close", (_, a, b, c, d) => {
    const merged = mergeDistinct([countOf(range(a, b)), countOf(range(c, d))]);
    const want = Math.max(b, d) - a;
    expect(Math.abs(merged.value - want) / want).toBeLessThan(0.08);
    expect(merged.hashes.length).toBe(HASHES_KEPT);
  });

  test("never fall below one storage's own, nor beyond the sum", () => {
    const one = { value: 5000, hashes: countOf(range(0, 5000)).hashes };
    expect(mergeDistinct([one, countOf([])]).value).toBe(5000);
    expect(mergeDistinct([one, countOf(["x"])]).value).toBeGreaterThanOrEqual(5000);
    expect(mergeDistinct([one, countOf(["x"])]).value).toBeLessThanOrEqual(5001);
  });

  test("rest on hashes that lie evenly", () => {
    const buckets = new Uint32Array(64);
    for (const text of range(0, 64_000)) buckets[Math.floor((hashText(text) / 2 ** 53) * 64)]!++;
    for (const size of buckets) expect(Math.abs(size - 1000)).toBeLessThan(150);
    expect(new Set(range(0, 64_000).map(hashText)).size).toBe(64_000);
  });
});

test("the greatest counts are those of sorting all", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 400 }), fc.integer({ min: 1, max: 20 }), (values, limit) => {
      const counts = values.map((value, i) => ({ name: `n${i}`, value }));
      const top = new TopCounts(limit);
      for (const count of counts) if (top.accepts(count.value)) top.add(count);
      const want = [...counts].sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : 1)).slice(0, limit);
      expect(top.sorted()).toEqual(want);
    }),
    { seed: 6 },
  );
});

test("statistics of parts are those of the whole", () => {
  const label = fc.constantFrom("a", "b", "c");
  const record = fc.record({
    __name__: fc.constantFrom("up", "down"),
    job: label,
    instance: fc.string({ maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.uniqueArray(record, { selector: (r) => JSON.stringify(r), maxLength: 60 }), (records) => {
      const series = records.map(labelsFromRecord);
      const parts = [0, 1, 2].map((part) => naiveStatistics(series.filter((_, i) => i % 3 === part), 1000));
      expect(mergeStatistics(parts, 5)).toEqual(naiveStatistics(series, 5));
    }),
    { seed: 7 },
  ); // biome-ignore format: one line per step
});
