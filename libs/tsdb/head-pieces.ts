// libs/tsdb/head-pieces.ts: what a frozen head holds, as pieces for a block builder: a shard's series in the order of their keys, with the
// samples of (fromMs, toMs]. Series that follow their group's timestamps share one time column. Each piece is some 2 ms of work.
import { type BlockPiece, compareBytes, PieceWriter } from "../block/index.ts";
import { COLUMN_SAMPLES_MAX, READ_HOLES } from "../kernel/index.ts";
import { encodeSeriesKey } from "../model/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Head, TimeColumn } from "./head.ts";

interface Shared {
  readonly column: TimeColumn;
  /** Number of its times in the pieces; -1 until they are sent. */
  number: number;
}

/** A series has more samples in the range than a column of a block holds: to be asked for again in parts. */
export class RangeTooLong extends Error {}

/** The series of a head that have samples, by shard. Shards without any are left out. */
export function seriesByShard(head: Head, catalog: SeriesCatalog): Map<number, number[]> {
  const byShard = new Map<number, number[]>();
  for (let series = 0; series < head.seriesCount; series++) {
    // Samples whose series' registration was lost are no series'.
    if (!head.hasSamples(series) || !catalog.isLive(series)) continue;
    const shard = catalog.shardOf(series);
    const list = byShard.get(shard);
    if (list === undefined) byShard.set(shard, [series]);
    else list.push(series);
  }
  return byShard;
}

export class HeadPieces {
  private readonly head: Head;
  private readonly fromMs: number;
  private readonly toMs: number;
  private readonly ordered: { readonly series: number; readonly key: Uint8Array }[];
  private readonly shared = new Map<number, Shared>();
  private readonly writer = new PieceWriter();
  private at = 0;
  private timeColumns = 0;
  /** Samples given so far. */
  samples = 0;

  /** `series`: those of one shard, in any order; whoever has no sample in the range is left out. */
  constructor(head: Head, catalog: SeriesCatalog, series: readonly number[], fromMs: number, toMs: number) {
    this.head = head;
    this.fromMs = fromMs;
    this.toMs = toMs;
    const { index } = catalog;
    this.ordered = series
      .map((one) => ({ series: one, key: encodeSeriesKey(index.tenantOf(one), index.labelsOf(one)) }))
      .sort((a, b) => compareBytes(a.key, b.key));
  }

  /** The next piece, undefined after the last. */
  next(): BlockPiece | undefined {
    const before = this.samples;
    while (this.at < this.ordered.length && !this.writer.full) {
      const { series, key } = this.ordered[this.at++]!;
      this.add(series, key);
    }
    return this.samples === before ? undefined : this.writer.take();
  }

  private add(series: number, key: Uint8Array): void {
    const { head, writer } = this;
    const low = this.fromMs + 1;
    const shared = this.sharedOf(head.groupOf(series));
    const { column } = shared;
    if (column.times.length > COLUMN_SAMPLES_MAX) throw new RangeTooLong();
    if (column.times.length > 0 && head.isInStep(series, column, low, this.toMs)) {
      const values = head.readColumn(series, column.from, column.to);
      if ((head.columnFlags & READ_HOLES) === 0) {
        if (shared.number < 0) {
          shared.number = this.timeColumns++;
          writer.defineTimes(shared.number, column.times);
        }
        writer.addSeries(key, shared.number, values);
        this.samples += column.times.length;
        return;
      }
    }
    const { times, values, count } = head.readSeries(series, low, this.toMs);
    if (count === 0) return;
    if (count > COLUMN_SAMPLES_MAX) throw new RangeTooLong();
    const number = this.timeColumns++;
    writer.defineTimes(number, times.subarray(0, count)).addSeries(key, number, values.subarray(0, count));
    this.samples += count;
  }

  private sharedOf(group: number): Shared {
    let shared = this.shared.get(group);
    if (shared === undefined) {
      shared = { column: this.head.timeColumn(group, this.fromMs + 1, this.toMs), number: -1 };
      this.shared.set(group, shared);
    }
    return shared;
  }
}
