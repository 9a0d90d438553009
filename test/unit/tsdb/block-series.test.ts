// test/unit/tsdb/block-series.test.ts: tables of a block's series against a plain Map.
import { describe, expect, test } from "vitest";
import { SeededRandom } from "../../../libs/env/index.ts";
import { BlockSeries } from "../../../libs/tsdb/block-series.ts";

function drawNumbers(random: SeededRandom, count: number, below: number): Uint32Array {
  const numbers = new Set<number>();
  while (numbers.size < count) numbers.add(random.below(below));
  return Uint32Array.from(numbers);
}

describe("the series of a block", () => {
  test("are found and intersected as a Map would have it", () => {
    const random = new SeededRandom(5);
    for (let run = 0; run < 300; run++) {
      const below = random.pick([50, 2000, 2 ** 32]);
      const ofPlace = drawNumbers(random, 1 + random.below(40), below);
      const series = new BlockSeries(ofPlace);
      const places = new Map(Array.from(ofPlace, (number, place) => [number, place]));
      const mixed = [...drawNumbers(random, random.below(40), below), ...ofPlace.filter(() => random.chance(0.3))];
      const selection = Uint32Array.from(new Set(mixed)).sort();
      for (const number of [...selection, 0, 2 ** 32 - 1]) expect(series.find(number)).toBe(places.get(number) ?? -1);
      const wanted = [...selection].flatMap((number, i) => (places.has(number) ? [[i, places.get(number)]] : []));
      const { indexes, places: found } = series.intersect(selection);
      expect(Array.from(indexes, (index, k) => [index, found[k]])).toEqual(wanted);
      expect(series.length).toBe(ofPlace.length);
    }
  });
});
