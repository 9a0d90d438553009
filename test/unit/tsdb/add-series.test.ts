// test/unit/tsdb/add-series.test.ts: series of several blocks are told apart by their labels, whether or not the blocks have the same pages.
import { expect, test } from "vitest";
import { SimFileSystem } from "../../../libs/env/index.ts";
import { SeriesTable } from "../../../libs/index/index.ts";
import { addInSteps, KnownPages } from "../../../libs/tsdb/add-series.ts";
import { keyOf, openBlock, type TestSeries, writeBlock } from "../block/block-fixture.ts";
import { Draw } from "../kernel/head-programs.ts";

function seriesOf(numbers: readonly number[], value: number): TestSeries[] {
  return numbers.map((i) => ({
    key: keyOf("default", { __name__: `m${i % 7}`, pod: `pod-${String(i).padStart(5, "0")}` }),
    times: Float64Array.of(1000, 2000),
    columns: [Float64Array.of(value, i)],
  }));
}

function run<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

test("known pages change nothing but what is read", () => {
  const draw = new Draw(41);
  let same = 0;
  for (let round = 0; round < 12; round++) {
    const fs = new SimFileSystem();
    const all = Array.from({ length: 1300 }, (_, i) => i);
    // Some blocks have all series, some lack a few from a place on, so that only pages before it are the same.
    const blocks = Array.from({ length: 4 }, (_, b) => {
      const lacks = draw.chance(0.5) ? draw.below(1300) : -1;
      writeBlock(
        fs,
        `/${b}`,
        seriesOf(
          all.filter((i) => i !== lacks),
          b,
        ),
      );
      return openBlock(fs, `/${b}`);
    });
    const every = 1 + draw.below(3);
    const selected = blocks.map(({ seriesCount }) => {
      const places = Uint32Array.from({ length: seriesCount }, (_, i) => i).filter((i) => i % every === 0);
      return draw.chance(0.3) ? places.filter((i) => i % 5 !== 0) : places;
    });
    const [table, plain] = [new SeriesTable(), new SeriesTable()];
    const known = new KnownPages();
    blocks.forEach((reader, b) => {
      const before = reader.keptBytes;
      const series = run(addInSteps(table, { reader }, selected[b]!, known));
      if (reader.keptBytes === before) same++;
      expect(series).toEqual(run(addInSteps(plain, { reader }, selected[b]!)));
      for (let k = 0; k < series.length; k += 97) {
        expect(table.labelsOf(series[k]!)).toEqual(reader.labels(selected[b]![k]!));
      }
    });
    expect(table.size).toBe(plain.size);
  }
  expect(same).toBeGreaterThan(5);
});
