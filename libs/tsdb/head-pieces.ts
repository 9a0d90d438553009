// libs/tsdb/head-pieces.ts: what a frozen head holds, as pieces for a block builder: a shard's series in the order of their keys, with the
// samples of (fromMs, toMs]. Series that follow their group's timestamps share one time column. Each piece is some 2 ms of work.
import { type BlockPiece, PieceWriter } from "../block/index.ts";
import { COLUMN_SAMPLES_MAX, READ_HOLES } from "../kernel/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Head, TimeColumn } from "./head.ts";
import type { KeyedSeries } from "./key-order.ts";

interface Shared {
  readonly column: TimeColumn;
  /** Number of its times in the pieces; -1 until they are sent. */
  number: number;
}

/** A series has more samples in the range than a column of a block holds: to be asked for again in parts. */
export class RangeTooLong extends Error {}

/** Series looked at in a step. */
const SERIES_PER_STEP = 4096;

/** The series of a head that have samples, by shard. Shards without any are left out. */
export function* seriesByShard(head: Head, catalog: SeriesCatalog): Generator<void, Map<number, number[]>> {
  const byShard = new Map<number, number[]>();
  for (let series = 0; series < head.seriesCount; series++) {
    if (series % SERIES_PER_STEP === SERIES_PER_STEP - 1) yield;
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
  private readonly ordered: KeyedSeries;
  private readonly shared = new Map<number, Shared>();
  private readonly writer = new PieceWriter();
  private at = 0;
  private timeColumns = 0;
  /** Samples given so far. */
  samples = 0;

  /** `ordered`: series of one shard; whoever has no sample in the range is left out. */
  constructor(head: Head, ordered: KeyedSeries, fromMs: number, toMs: number) {
    this.head = head;
    this.ordered = ordered;
    this.fromMs = fromMs;
    this.toMs = toMs;
  }

  /** The next piece, undefined after the last. */
  next(): BlockPiece | undefined {
    const before = this.samples;
    const { series } = this.ordered;
    while (this.at < series.length && !this.writer.full) this.add(this.at++);
    return this.samples === before ? undefined : this.writer.take();
  }

  private add(place: number): void {
    const { head, writer, ordered } = this;
    const series = ordered.series[place]!;
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
        writer.addSeries(ordered.keyAt(place), shared.number, values);
        this.samples += column.times.length;
        return;
      }
    }
    const { times, values, count } = head.readSeries(series, low, this.toMs);
    if (count === 0) return;
    if (count > COLUMN_SAMPLES_MAX) throw new RangeTooLong();
    const number = this.timeColumns++;
    writer
      .defineTimes(number, times.subarray(0, count))
      .addSeries(ordered.keyAt(place), number, values.subarray(0, count));
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
