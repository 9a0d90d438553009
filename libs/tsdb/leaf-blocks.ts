// libs/tsdb/leaf-blocks.ts: what a leaf reads of blocks: which columns belong to each selected series, and their times within its reach.
// Found for all series at once, before the first is read: a block that has few of them costs little, one that has none next to nothing.
import { type HeaderPage, pageOf, type TimeRanges } from "../block/index.ts";
import type { ColumnHeader } from "../kernel/index.ts";
import type { Pace } from "./pace.ts";
import type { BlockPart } from "./selection.ts";
import type { CapturedSources } from "./sources.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Reading a payload by itself takes as long as reading about this many bytes ahead. */
const AHEAD_BYTES = 16 << 10;
/** Payloads that one leaf keeps read ahead, over all blocks. */
export const AHEAD_BYTES_MAX = 64 << 20;

/** A column of times as far as the leaf reaches. */
export interface LeafTimes {
  readonly times: Float64Array;
  /** How many values of the column lie before and behind these times, and are decoded with them. */
  readonly before: number;
  readonly after: number;
}

/** The times of a leaf's columns, numbered from 0: equal ones of several blocks are one. */
export class LeafReach {
  /** By number. */
  readonly times: LeafTimes[] = [];
  private readonly lowMs: number;
  private readonly highMs: number;
  private readonly numbers = new Map<Float64Array, number>();

  /** The times in [lowMs, highMs]. */
  constructor(lowMs: number, highMs: number) {
    this.lowMs = lowMs;
    this.highMs = highMs;
  }

  /** The number of what is within reach of a column. */
  numberOf(all: Float64Array): number {
    let number = this.numbers.get(all);
    if (number === undefined) {
      number = this.times.length;
      const from = countBelow(all, this.lowMs);
      const to = Math.max(from, countBelow(all, this.highMs + 1));
      this.times.push({ times: all.subarray(from, to), before: from, after: all.length - to });
      this.numbers.set(all, number);
    }
    return number;
  }
}

/** Series of a selection that a block has: their indexes, and their places in the block, ascending. */
export interface Selected {
  readonly indexes: Uint32Array;
  readonly places: Uint32Array;
}

/** One block within the leaf's reach. */
export class LeafBlock {
  private readonly block: StoredBlock;
  /** Columns per series: 1 of samples, more of rows. */
  private readonly width: number;
  private readonly reach: LeafReach;
  /** By time column: the number of its times there. */
  private readonly numbers: (number | undefined)[] = [];
  /** Pages of headers that the leaf has touched: the reader may forget some, the leaf would come back to them. */
  private readonly pages: HeaderPage[] = [];
  /** The one that was used last, and its columns. */
  private page: HeaderPage | undefined;
  private pageFirst = 0;
  private pageEnd = 0;
  /** Places of the first and the last selected series, and how many there are. */
  private first = 0;
  private last = 0;
  private selected = 0;
  private isAhead = false;

  constructor(block: StoredBlock, reach: LeafReach) {
    this.block = block;
    this.width = block.reader.footer.columnsPerSeries;
    this.reach = reach;
  }

  /**
   * Looks up the headers of the series at these ascending places, one at least; a page that has to be read takes about a millisecond. Errors:
   * CorruptionError; those of the pace.
   */
  async lookUp(places: Uint32Array, pace: Pace): Promise<{ timeColumns: Uint32Array; odd: Uint8Array }> {
    const { reader } = this.block;
    const { headerPages } = reader.footer;
    const timeColumns = new Uint32Array(places.length);
    const odd = new Uint8Array(places.length);
    let page = -1;
    let begin = 0;
    let end = 0;
    let headers: HeaderPage | undefined;
    for (let i = 0; i < places.length; i++) {
      const column = places[i]! * this.width;
      if (column >= end) {
        if (pace.isDue) await pace.rest();
        page = pageOf(headerPages, column);
        begin = headerPages[page]!.first;
        end = begin + headerPages[page]!.count;
        headers = reader.headersOfPage(page);
        this.pages[page] = headers;
      }
      timeColumns[i] = headers!.times[column - begin]!;
      odd[i] = headers!.odd[column - begin]!;
    }
    this.first = places[0]!;
    this.last = places.at(-1)!;
    this.selected = places.length;
    return { timeColumns, odd };
  }

  /** The times of a time column; the same object for equal columns of all blocks with this reach. */
  timesOf(timeColumn: number): LeafTimes {
    return this.reach.times[this.numberOf(timeColumn)]!;
  }

  /** The numbers that time columns' times have within reach, in the place of these. Errors: CorruptionError; those of the pace. */
  async numberTimes(timeColumns: Uint32Array, pace: Pace): Promise<void> {
    for (let i = 0; i < timeColumns.length; i++) {
      const timeColumn = timeColumns[i]!;
      // The first time they may have to be decoded.
      if (this.numbers[timeColumn] === undefined && pace.isDue) await pace.rest();
      timeColumns[i] = this.numberOf(timeColumn);
    }
  }

  private numberOf(timeColumn: number): number {
    let number = this.numbers[timeColumn];
    if (number === undefined) {
      number = this.reach.numberOf(this.block.reader.times(timeColumn));
      this.numbers[timeColumn] = number;
    }
    return number;
  }

  /** Reads the payloads of the selected series ahead when they lie near each other; returns the bytes read. */
  readAhead(bytesMax: number): number {
    if (this.isAhead) return 0;
    this.isAhead = true;
    const { reader } = this.block;
    const { first, last } = this;
    const { start, end } = reader.payloadSpan(first, last - first + 1);
    const bytes = end - start;
    if (this.selected < 2 || bytes > Math.min(bytesMax, this.selected * AHEAD_BYTES)) return 0;
    reader.prefetch(first, last - first + 1);
    return bytes;
  }

  /** The header of a series that was looked up, of its first column. */
  headerOf(place: number): ColumnHeader {
    const column = place * this.width;
    const headers = this.pageWith(column);
    return headers.at(column - this.pageFirst).header;
  }

  /** Decodes all values of a series that was looked up, of one of its columns, into `out`. Errors: CorruptionError. */
  readValues(place: number, out: Float64Array, which = 0): void {
    const column = place * this.width + which;
    const headers = this.pageWith(column);
    this.block.reader.readColumn(headers, column - this.pageFirst, out);
  }

  /** The page that a column's header is on; it begins at pageFirst. */
  private pageWith(column: number): HeaderPage {
    if (column >= this.pageFirst && column < this.pageEnd) return this.page!;
    const { reader } = this.block;
    const { headerPages } = reader.footer;
    const number = pageOf(headerPages, column);
    const headers = this.pages[number] ?? reader.headersOfPage(number);
    this.pages[number] = headers;
    this.page = headers;
    this.pageFirst = headerPages[number]!.first;
    this.pageEnd = this.pageFirst + headerPages[number]!.count;
    return headers;
  }
}

/** The columns of all selected series. Those of the index-th are [starts[index], starts[index + 1]), oldest block first. */
export class LeafBlocks {
  readonly blocks: readonly LeafBlock[];
  readonly starts: Uint32Array;
  /** By number. */
  readonly times: readonly LeafTimes[];
  /** By column: its block's place in `blocks`, the series' place there, the number of its times, and HAS_STALES and HAS_NANS. */
  readonly blockOf: Uint32Array;
  readonly places: Uint32Array;
  readonly timesOf: Uint32Array;
  readonly odd: Uint8Array;
  /** By column: the times that deletions hide; undefined when they hide nothing. */
  hidden: Map<number, TimeRanges> | undefined;
  private aheadBytes = 0;

  private constructor(starts: Uint32Array, blocks: readonly LeafBlock[], times: readonly LeafTimes[]) {
    const count = starts.at(-1)!;
    this.starts = starts;
    this.blocks = blocks;
    this.times = times;
    this.blockOf = new Uint32Array(count);
    this.places = new Uint32Array(count);
    this.timesOf = new Uint32Array(count);
    this.odd = new Uint8Array(count);
  }

  /** No blocks for so many series. */
  static none(seriesCount: number): LeafBlocks {
    return new LeafBlocks(new Uint32Array(seriesCount + 1), [], []);
  }

  /**
   * Finds the columns of so many series in blocks that are in the order of their times; `wanted` may leave out some of what a block has.
   * Errors: CorruptionError; those of the pace.
   */
  static async find(
    seriesCount: number,
    selected: readonly BlockPart[],
    captured: Pick<CapturedSources, "hiddenOf">,
    lowMs: number,
    highMs: number,
    pace: Pace,
    wanted: (block: StoredBlock, found: Selected) => Selected = (_, found) => found,
  ): Promise<LeafBlocks> {
    const starts = new Uint32Array(seriesCount + 1);
    const reach = new LeafReach(lowMs, highMs);
    const blocks: LeafBlock[] = [];
    const parts: {
      block: StoredBlock;
      indexes: Uint32Array;
      places: Uint32Array;
      timesOf: Uint32Array;
      odd: Uint8Array;
    }[] = [];
    for (const part of selected) {
      const { block } = part;
      const { indexes, places } = wanted(block, part);
      if (indexes.length > 0) {
        const leafBlock = new LeafBlock(block, reach);
        const { timeColumns: timesOf, odd } = await leafBlock.lookUp(places, pace);
        await leafBlock.numberTimes(timesOf, pace);
        parts.push({ block, indexes, places, timesOf, odd });
        blocks.push(leafBlock);
        for (let k = 0; k < indexes.length; k++) starts[indexes[k]! + 1]!++;
      }
      if (pace.isDue) await pace.rest();
    }
    for (let i = 0; i < seriesCount; i++) starts[i + 1]! += starts[i]!;
    const found = new LeafBlocks(starts, blocks, reach.times);
    const next = starts.slice();
    for (const [b, { block, indexes, places, timesOf, odd }] of parts.entries()) {
      const hidden = captured.hiddenOf(block);
      for (let k = 0; k < indexes.length; k++) {
        const at = next[indexes[k]!]!++;
        found.blockOf[at] = b;
        found.places[at] = places[k]!;
        found.timesOf[at] = timesOf[k]!;
        found.odd[at] = odd[k]!;
        if (hidden !== undefined) found.hide(at, hidden.get(places[k]!), lowMs, highMs);
      }
    }
    return found;
  }

  private hide(column: number, times: TimeRanges | undefined, lowMs: number, highMs: number): void {
    if (!times?.overlaps(lowMs, highMs)) return;
    this.hidden ??= new Map();
    this.hidden.set(column, times);
  }

  /** Prepares a block for its values to be read. */
  readAhead(block: LeafBlock): void {
    this.aheadBytes += block.readAhead(AHEAD_BYTES_MAX - this.aheadBytes);
  }
}

/** How many of ascending times are below `limit`. */
export function countBelow(times: Float64Array, limit: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
