// test/unit/block/series-rows.test.ts: the labels of some series of a page are those of their keys, whichever are asked for.
import { expect, test } from "vitest";
import { ByteSource } from "../../../libs/block/byte-stream.ts";
import { encodeSeriesPage, LabelPage } from "../../../libs/block/series-page.ts";
import { CorruptionError, encodeSeriesKey, type Labels } from "../../../libs/model/index.ts";
import { Draw } from "../kernel/head-programs.ts";

const sourceOf = (bytes: Uint8Array): ByteSource => new ByteSource(bytes, "page", "/b", 0);

/** Series of a few schemas; `values` is how many values a label may have: above 127 choices take two bytes. */
function drawSeries(draw: Draw, count: number, values: number): Labels[] {
  return Array.from({ length: count }, () =>
    ["a", "b", "c", "d"].flatMap((name) => (draw.chance(0.7) ? [name, `${name}${draw.below(values)}`] : [])),
  );
}

const open = (page: Uint8Array, count: number): LabelPage => new LabelPage(sourceOf(page), count, "/b", 0);

function rowsOf(page: LabelPage, places?: Uint32Array): string[][] {
  const { starts, pairs, names, values } = page.rows(places);
  return Array.from({ length: starts.length - 1 }, (_, i) =>
    [...pairs.subarray(starts[i], starts[i + 1])].flatMap((pair) => [names[pair]!, values[pair]!]),
  );
}

test.each([3, 127, 400])("of %d values", (values) => {
  const draw = new Draw(values);
  for (let run = 0; run < 40; run++) {
    const series = drawSeries(draw, 1 + draw.below(512), values);
    const page = open(encodeSeriesPage(series.map((labels) => encodeSeriesKey("t", labels))).slice(), series.length);
    // The same page is asked again and again, as one that is kept.
    for (const share of [draw.pick([0, 0.02, 0.5]), 1, draw.pick([0, 0.02, 0.5])]) {
      const places = Uint32Array.from(series.keys()).filter(() => draw.chance(share));
      expect(rowsOf(page, places)).toEqual([...places].map((place) => series[place]));
      expect(rowsOf(page)).toEqual(series);
    }
  }
});

test("of pages of spoilt bytes: refused or read, nothing else", () => {
  const draw = new Draw(9);
  let refused = 0;
  for (let run = 0; run < 600; run++) {
    const series = drawSeries(draw, 1 + draw.below(30), 5);
    const page = encodeSeriesPage(series.map((labels) => encodeSeriesKey("t", labels))).slice();
    for (let n = 1 + draw.below(4); n > 0; n--) page[draw.below(page.length)] = draw.below(256);
    try {
      expect(rowsOf(open(page, series.length))).toHaveLength(series.length);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(150);
});
