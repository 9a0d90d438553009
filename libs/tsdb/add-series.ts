// libs/tsdb/add-series.ts: a block's series, by their labels, into a table that joins the series of several blocks.
import { type BlockReader, pageOf } from "../block/index.ts";
import type { SeriesTable } from "../index/index.ts";

/** Fewer series of a page are added sooner than pages are compared. */
const SAME_MIN = 32;

/** Some series of a page, and their numbers in the table. */
interface KnownPage {
  readonly reader: BlockReader;
  readonly page: number;
  /** Their places on the page. */
  readonly offsets: Uint32Array;
  readonly series: Uint32Array;
}

/**
 * Pages of which series were added to a table. Blocks of a shard mostly have the same series from window to window, and rows those of their
 * samples; then their pages are the same, and nothing has to be unpacked to tell the series apart.
 */
export class KnownPages {
  private readonly pages = new Map<string, KnownPage>();

  /** The numbers of the series at these places of a page; undefined unless the same ones of such a page were added. Errors: CorruptionError. */
  find(reader: BlockReader, page: number, offsets: Uint32Array): Uint32Array | undefined {
    if (offsets.length < SAME_MIN) return undefined;
    const known = this.pages.get(nameOf(reader, page));
    if (known === undefined || known.offsets.length !== offsets.length) return undefined;
    if (!offsets.every((offset, i) => offset === known.offsets[i])) return undefined;
    return reader.hasSamePage(page, known.reader, known.page) ? known.series : undefined;
  }

  add(reader: BlockReader, page: number, offsets: Uint32Array, series: Uint32Array): void {
    if (offsets.length >= SAME_MIN) this.pages.set(nameOf(reader, page), { reader, page, offsets, series });
  }
}

function nameOf({ footer }: BlockReader, page: number): string {
  const { checksum, sizeBytes } = footer.seriesPages[page]!;
  return `${checksum} ${sizeBytes}`;
}

/** Adds the series at ascending places of a block to the table, a page at each step: only pages with some of them are read. */
export function* addInSteps(
  table: SeriesTable,
  { reader }: { readonly reader: BlockReader },
  places: Uint32Array,
  known?: KnownPages,
): Generator<void, Uint32Array, void> {
  const { seriesPages } = reader.footer;
  const series = new Uint32Array(places.length);
  let pairs = new Uint32Array(64);
  for (let at = 0; at < places.length; ) {
    const page = pageOf(seriesPages, places[at]!);
    const { first, count } = seriesPages[page]!;
    let end = at + 1;
    while (end < places.length && places[end]! < first + count) end++;
    const begin = at;
    const offsets = places.subarray(at, end).map((place) => place - first);
    const same = known?.find(reader, page, offsets);
    if (same !== undefined) {
      series.set(same, at);
      at = end;
      yield;
      continue;
    }
    const rows = reader.rowsOfPage(page, offsets);
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
    known?.add(reader, page, offsets, series.subarray(begin, end));
    yield;
  }
  return series;
}
