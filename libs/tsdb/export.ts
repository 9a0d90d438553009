// libs/tsdb/export.ts: all samples of series, one series after the other, from heads and blocks. Plain rather than fast: blocks' series are found
// by their labels, without the persistent index, and so are its twin in tests.
import { mergeColumns, planTimes, takeSpans } from "../block/index.ts";
import type { Labels, Matcher } from "../model/index.ts";
import { exactSide, NO_SIDE, type SideSeries } from "../side/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import { countBelow } from "./leaf-blocks.ts";
import { NO_SERIES } from "./selection.ts";
import { scanSeries } from "./selector.ts";
import type { SideData } from "./side-data.ts";
import { CapturedSide } from "./side-sources.ts";
import { CapturedSources, type Sources } from "./sources.ts";

export interface ExportedSeries {
  readonly labels: Labels;
  /** Ascending. */
  readonly times: Float64Array;
  /** Stale markers included, by their bits. */
  readonly values: Float64Array;
  /** Histograms, exemplars and start times with times in the range. */
  readonly side: SideSeries;
}

/**
 * The stored samples of every matching series of a tenant with times in [minMs, maxMs]. The columns are copies. Blocks stay open until the
 * generator ends or is told to return. Errors: CorruptionError.
 */
export function* exportSeries(
  catalog: SeriesCatalog,
  sources: Sources,
  sideData: Pick<SideData, "sources">,
  tenant: string,
  matchers: readonly Matcher[],
  minMs: number,
  maxMs: number,
): Generator<ExportedSeries> {
  const captured = new CapturedSources(sources, minMs, maxMs);
  const side = CapturedSide.of(sideData, ["histograms", "exemplars", "starts"], minMs, maxMs);
  try {
    side?.loadAll();
    const selection = scanSeries(catalog, captured.blocks, tenant, matchers);
    const placesOf = selection.blocks.map(({ indexes, places }) => {
      return new Map(Array.from(indexes, (index, k) => [index, places[k]!]));
    });
    for (let index = 0; index < selection.count; index++) {
      const times: Float64Array[] = [];
      const values: Float64Array[] = [];
      for (const [b, { block }] of selection.blocks.entries()) {
        const place = placesOf[b]!.get(index);
        if (place === undefined) continue;
        const { reader } = block;
        const column = reader.column(place);
        const all = new Float64Array(column.header.count);
        reader.readValues(column, all);
        const allTimes = reader.times(column.times);
        const [from, to] = [countBelow(allTimes, minMs), countBelow(allTimes, maxMs + 1)];
        const [someTimes, someValues] = [allTimes.slice(from, to), all.slice(from, to)];
        const spans = captured.hiddenOf(block)?.get(place)?.spansOutside(someTimes);
        times.push(spans === undefined ? someTimes : takeSpans(someTimes, spans));
        values.push(spans === undefined ? someValues : takeSpans(someValues, spans));
      }
      for (const view of captured.heads()) {
        const samples = view.readSeries(selection.numbers[index]!, minMs, maxMs);
        times.push(samples.times.slice(0, samples.count));
        values.push(samples.values.slice(0, samples.count));
      }
      const plan = planTimes(times);
      const number = selection.numbers[index]!;
      const isAside = side !== undefined && number !== NO_SERIES;
      const beside = isAside ? exactSide(side.read(number), minMs - 1, maxMs) : NO_SIDE;
      const labels = selection.labelsOf(index);
      yield { labels, times: plan.times, values: mergeColumns(values, plan), side: beside };
    }
  } finally {
    side?.release();
    captured.release();
  }
}
