// libs/tsdb/hidden-pieces.ts: what deletions hide of a frozen head, as pieces for a block builder: a block of its own, all of it hidden, that only
// undoing a deletion would bring back; and the tombstones which say so.
import { type BlockPiece, encodePlaces, PieceWriter, type Tombstone } from "../block/index.ts";
import { COLUMN_SAMPLES_MAX } from "../kernel/index.ts";
import type { Head } from "./head.ts";
import { RangeTooLong } from "./head-pieces.ts";
import type { KeyedSeries } from "./key-order.ts";

export class HiddenPieces {
  private readonly head: Head;
  private readonly layer: number;
  private readonly fromMs: number;
  private readonly toMs: number;
  private readonly isDue: (deletion: string) => boolean;
  private readonly ordered: KeyedSeries;
  private readonly writer = new PieceWriter();
  private readonly found = new Map<string, { tombstone: Omit<Tombstone, "places">; places: number[] }>();
  private at = 0;
  /** Series given so far: the next one's place in the block. */
  private given = 0;

  /** `ordered`: series of one shard; samples of (fromMs, toMs], without what is due and may go for good. */
  constructor(
    head: Head,
    ordered: KeyedSeries,
    layer: number,
    fromMs: number,
    toMs: number,
    isDue: (deletion: string) => boolean,
  ) {
    this.head = head;
    this.layer = layer;
    this.fromMs = fromMs;
    this.toMs = toMs;
    this.isDue = isDue;
    this.ordered = ordered;
  }

  /** The next piece, undefined after the last. Errors: RangeTooLong. */
  next(): BlockPiece | undefined {
    const before = this.given;
    const { series } = this.ordered;
    while (this.at < series.length && !this.writer.full) this.add(this.at++);
    return this.given === before ? undefined : this.writer.take();
  }

  /** The tombstones of the block that all pieces make. */
  tombstones(): Tombstone[] {
    return [...this.found.values()].map(({ tombstone, places }) => ({ ...tombstone, places: encodePlaces(places) }));
  }

  private add(at: number): void {
    const { head, layer, isDue, ordered } = this;
    const series = ordered.series[at]!;
    const { times, values } = head.readHidden(series, layer, this.fromMs + 1, this.toMs, isDue);
    if (times.length === 0) return;
    if (times.length > COLUMN_SAMPLES_MAX) throw new RangeTooLong();
    const place = this.given++;
    this.writer.defineTimes(place, times).addSeries(ordered.keyAt(at), place, values);
    for (const tombstone of head.hiddenSamples!.tombstonesOf(series, layer)) {
      const { deletion, minMs, maxMs } = tombstone;
      if (!times.some((time) => time >= minMs && time <= maxMs)) continue;
      const name = `${deletion} ${minMs} ${maxMs}`;
      const known = this.found.get(name);
      if (known === undefined) this.found.set(name, { tombstone, places: [place] });
      else known.places.push(place);
    }
  }
}
