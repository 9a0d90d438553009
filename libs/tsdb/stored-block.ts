// libs/tsdb/stored-block.ts: a block on this node: its reader, and which of the node's series it has, found when first asked for.
// It is open as long as somebody uses it: its owner until it is retired, and every evaluation that captured it before.
import { type BlockReader, hiddenByPlace, type TimeRanges, type Tombstone } from "../block/index.ts";
import { InternalError, ROW_COLUMNS } from "../model/index.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import { BlockSeries } from "./block-series.ts";

/** The node's number of the series with a key: of a known one, or one registered with all heads and the catalogue for it. */
export type NumberOf = (key: Uint8Array) => number;

export class StoredBlock implements Droppable {
  /** Of samples, one column per series, or of rows. */
  readonly reader: BlockReader;
  private readonly numberOf: NumberOf;
  private readonly memory: BlockMemory;
  private series: BlockSeries | undefined;
  /** By place, as far as pages were read. */
  private numbers: Uint32Array | undefined;
  private pagesRead = 0;
  private registered = false;
  /** Evaluations that captured it, and the owner. */
  private users = 1;
  private retired = false;
  /** Whether it was read since its memory was counted: most blocks that a query captures it need not look into. */
  private touched = false;
  private tombstoneList: readonly Tombstone[] = [];
  private hiddenTimes: ReadonlyMap<number, TimeRanges> | undefined;

  /** Takes the reader over. Errors: InternalError for columns that are neither. */
  constructor(reader: BlockReader, numberOf: NumberOf, memory: BlockMemory) {
    const { columnsPerSeries, level } = reader.footer;
    if (columnsPerSeries !== 1 && (columnsPerSeries !== ROW_COLUMNS || level === "raw")) {
      throw new InternalError(
        `cannot use block: got ${columnsPerSeries} columns of level ${level}; want samples or rows`,
      );
    }
    this.reader = reader;
    this.numberOf = numberOf;
    this.memory = memory;
  }

  /** Whether it has rows; else samples, whatever its level. */
  get isRows(): boolean {
    return this.reader.footer.columnsPerSeries > 1;
  }

  /** What deletions hide of it. */
  get tombstones(): readonly Tombstone[] {
    return this.tombstoneList;
  }

  set tombstones(tombstones: readonly Tombstone[]) {
    this.tombstoneList = tombstones;
    this.hiddenTimes = hiddenByPlace(tombstones, this.reader.seriesCount);
  }

  /** By place: the times at which samples are hidden; undefined when nothing is. */
  get hidden(): ReadonlyMap<number, TimeRanges> | undefined {
    return this.hiddenTimes;
  }

  /** How much of a series is hidden in [lowMs, highMs]. For whoever keeps rows that were made of these samples. */
  hiddenShare(series: number, lowMs: number, highMs: number): "none" | "some" | "all" {
    const place = this.hiddenTimes === undefined ? -1 : this.loadAll().find(series);
    return this.hiddenTimes?.get(place)?.shareOf(lowMs, highMs) ?? "none";
  }

  /** Whether it may have samples in [lowMs, highMs]. */
  overlaps(lowMs: number, highMs: number): boolean {
    const { minMs, maxMs } = this.reader.footer;
    return minMs < highMs && maxMs >= lowMs;
  }

  /** Whether all of its series have got their numbers once, and so are in the catalogue. */
  get isRegistered(): boolean {
    return this.registered;
  }

  /**
   * Reads one more page of keys; a page takes about a millisecond. Returns the table of series when there is none left. Errors:
   * CorruptionError; those of numberOf.
   */
  load(): BlockSeries | undefined {
    this.touched = true;
    if (this.series !== undefined) return this.series;
    const { seriesPages } = this.reader.footer;
    const numbers = this.numbers ?? new Uint32Array(this.reader.seriesCount);
    this.numbers = numbers;
    if (this.pagesRead < seriesPages.length) {
      const { first } = seriesPages[this.pagesRead]!;
      for (const [i, key] of this.reader.keysOfPage(this.pagesRead).entries()) numbers[first + i] = this.numberOf(key);
      this.reader.forgetKeys();
      this.pagesRead++;
      if (this.pagesRead < seriesPages.length) return undefined;
    }
    this.series = new BlockSeries(numbers);
    this.numbers = undefined;
    this.pagesRead = 0;
    this.registered = true;
    return this.series;
  }

  /** The table of series, read in one piece. Errors as those of load. */
  loadAll(): BlockSeries {
    for (;;) {
      const series = this.load();
      if (series !== undefined) return series;
    }
  }

  get keptBytes(): number {
    return (this.series?.sizeBytes ?? 0) + (this.numbers?.byteLength ?? 0) + this.reader.keptBytes;
  }

  get isInUse(): boolean {
    return this.users > (this.retired ? 0 : 1);
  }

  /** Forgets what can be read again. */
  drop(): void {
    this.series = undefined;
    this.numbers = undefined;
    this.pagesRead = 0;
    this.reader.forget();
  }

  /** Keeps the block open until release. Errors: InternalError when it is closed already. */
  acquire(): void {
    if (this.users === 0) throw new InternalError("cannot use block: got one that is closed; want it captured before");
    this.users++;
  }

  release(): void {
    this.users--;
    if (this.users === 0) this.close();
    else if (this.touched && !this.isInUse) {
      this.touched = false;
      this.reader.forgetPayloads();
      this.memory.used(this);
    }
  }

  /** The owner lets the block go, after it has replaced the sources: it is closed when nobody uses it any more. */
  retire(): void {
    if (this.retired) return;
    this.retired = true;
    this.users--;
    if (this.users === 0) this.close();
  }

  private close(): void {
    this.memory.forget(this);
    this.drop();
    this.reader.close();
  }
}
