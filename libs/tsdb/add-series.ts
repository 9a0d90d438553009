// libs/tsdb/add-series.ts: a block's series, by their labels, into a table that joins the series of several blocks.
import { pageOf } from "../block/index.ts";
import type { SeriesTable } from "../index/index.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Adds the series at ascending places of a block to the table, a page at each step: only pages with some of them are read. */
export function* addInSteps(
  table: SeriesTable,
  block: StoredBlock,
  places: Uint32Array,
): Generator<void, Uint32Array, void> {
  const { reader } = block;
  const { seriesPages } = reader.footer;
  const series = new Uint32Array(places.length);
  let pairs = new Uint32Array(64);
  for (let at = 0; at < places.length; ) {
    const page = pageOf(seriesPages, places[at]!);
    const { first, count } = seriesPages[page]!;
    let end = at + 1;
    while (end < places.length && places[end]! < first + count) end++;
    const rows = reader.rowsOfPage(
      page,
      places.subarray(at, end).map((place) => place - first),
    );
    const numbers = new Int32Array(rows.names.length).fill(-1);
    for (let i = 0; at < end; at++, i++) {
      const start = rows.starts[i]!;
      const length = rows.starts[i + 1]! - start;
      if (length > pairs.length) pairs = new Uint32Array(length * 2);
      for (let k = 0; k < length; k++) {
        const own = rows.pairs[start + k]!;
        if (numbers[own]! < 0) numbers[own] = table.pairOf(rows.names[own]!, rows.values[own]!);
        pairs[k] = numbers[own]!;
      }
      series[at] = table.add(pairs, length);
    }
    yield;
  }
  return series;
}
