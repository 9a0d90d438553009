// test/unit/index/selection-cache.test.ts: what the cache of selections keeps, for how long, and how much of it.
import { describe, expect, test } from "vitest";
import { SELECTION_SERIES_MAX, SELECTIONS_MAX, SelectionCache, SeriesIndex } from "../../../libs/index/index.ts";
import { encodeSeriesKey, type Matcher } from "../../../libs/model/index.ts";

const ODD: readonly Matcher[] = [{ type: "=~", name: "n", value: ".*[13579]" }];

describe("selection cache", () => {
  test("an entry is of use until its tenant has another series", () => {
    const cache = new SelectionCache();
    const series = Uint32Array.of(1, 2);
    cache.keep("k", 7, series);
    expect(cache.find("k", 7)).toBe(series);
    expect(cache.find("k", 8)).toBeUndefined();
    expect(cache.find("k", 7)).toBeUndefined();
    expect(cache.sizeBytes).toBe(0);
  });

  test("the least recently used entries go when there are too many", () => {
    const cache = new SelectionCache();
    for (let i = 0; i < SELECTIONS_MAX; i++) cache.keep(`k${i}`, 1, Uint32Array.of(i));
    cache.find("k0", 1);
    cache.keep("one more", 1, Uint32Array.of(9));
    expect(cache.find("k0", 1)).toBeDefined();
    expect(cache.find("k1", 1)).toBeUndefined();
    expect(cache.sizeBytes).toBe(SELECTIONS_MAX * 4);
  });

  test("the series of all entries are bounded, and an entry beyond the bound is not kept", () => {
    const cache = new SelectionCache();
    for (let i = 0; i < 5; i++) cache.keep(`k${i}`, 1, new Uint32Array(SELECTION_SERIES_MAX / 4));
    expect(cache.sizeBytes).toBe(SELECTION_SERIES_MAX * 4);
    expect(cache.find("k0", 1)).toBeUndefined();
    cache.keep("huge", 1, new Uint32Array(SELECTION_SERIES_MAX + 1));
    expect(cache.find("huge", 1)).toBeUndefined();
    expect(cache.find("k4", 1)).toBeDefined();
  });

  test("groupings are made once per kept selection, and each time for others", () => {
    const cache = new SelectionCache();
    const [kept, other] = [Uint32Array.of(1), Uint32Array.of(1)];
    cache.keep("k", 1, kept);
    let made = 0;
    const group = () => ({ groupOf: new Uint32Array(1), labels: [[String(made++)]] });
    const first = cache.grouping(kept, "by a", group);
    expect(cache.grouping(kept, "by a", group)).toBe(first);
    expect(cache.grouping(kept, "by b", group)).not.toBe(first);
    for (let i = 0; i < 4; i++) cache.grouping(kept, `by c${i}`, group);
    expect(cache.grouping(kept, "by a", group)).not.toBe(first);
    expect(cache.grouping(other, "by a", group)).not.toBe(cache.grouping(other, "by a", group));
  });

  test("an index that grows answers as a new one would", () => {
    const index = new SeriesIndex();
    const want: number[] = [];
    for (let i = 0; i < 200; i++) {
      index.add(i, index.read(encodeSeriesKey(i % 10 === 0 ? "other" : "t", ["n", String(i)])));
      if (i % 2 === 1) want.push(i);
      expect([...index.select("t", ODD)]).toEqual(want);
      expect(index.groupKeys(index.select("t", ODD), ["n"], false).labels.length).toBe(want.length);
    }
    expect(index.select("t", ODD)).toBe(index.select("t", ODD));
    expect([...index.select("other", ODD)]).toEqual([]);
    index.dispose();
  });
});
