// libs/tsdb/stored-block.ts: a block on this node: its reader, and which of its series matchers select.
// It is open as long as somebody uses it: its owner until it is retired, and every evaluation that captured it before.
import { type BlockReader, hiddenByPlace, pageOf, type TimeRanges, type Tombstone } from "../block/index.ts";
import type { PairRows, PieceReader } from "../index/index.ts";
import { type CompiledMatcher, compareUtf8, InternalError, ROW_COLUMNS } from "../model/index.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import type { Pace } from "./pace.ts";
import type { PieceIndex } from "./piece-index.ts";

const NOTHING = new Uint32Array(0);

export class StoredBlock implements Droppable {
  /** Of samples, one column per series, or of rows. */
  readonly reader: BlockReader;
  private readonly pieces: PieceIndex;
  private readonly memory: BlockMemory;
  /** Its pieces of the index that were asked, by tenant. */
  private readonly askedPieces = new Map<string, PieceReader>();
  /** Evaluations that captured it, and the owner. */
  private users = 1;
  private retired = false;
  private tombstoneList: readonly Tombstone[] = [];
  private hiddenTimes: ReadonlyMap<number, TimeRanges> | undefined;

  /** Takes the reader over. Errors: InternalError for columns that are neither. */
  constructor(reader: BlockReader, pieces: PieceIndex, memory: BlockMemory) {
    const { columnsPerSeries, level } = reader.footer;
    if (columnsPerSeries !== 1 && (columnsPerSeries !== ROW_COLUMNS || level === "raw")) {
      throw new InternalError(
        `cannot use block: got ${columnsPerSeries} columns of level ${level}; want samples or rows`,
      );
    }
    this.reader = reader;
    this.pieces = pieces;
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

  /** How much of the series at a place is hidden in [lowMs, highMs]. For whoever keeps rows that were made of these samples. */
  hiddenShare(place: number, lowMs: number, highMs: number): "none" | "some" | "all" {
    return this.hiddenTimes?.get(place)?.shareOf(lowMs, highMs) ?? "none";
  }

  /** Whether it may have samples in [lowMs, highMs]. */
  overlaps(lowMs: number, highMs: number): boolean {
    const { minMs, maxMs } = this.reader.footer;
    return minMs < highMs && maxMs >= lowMs;
  }

  /** Whether all of its samples are in [lowMs, highMs]. */
  liesWithin(lowMs: number, highMs: number): boolean {
    const { minMs, maxMs } = this.reader.footer;
    return minMs >= lowMs - 1 && maxMs <= highMs;
  }

  /** The places of a tenant's series that satisfy all matchers, ascending. Errors: CorruptionError; those of the pace. */
  async select(tenant: string, matchers: readonly CompiledMatcher[], pace: Pace): Promise<Uint32Array> {
    const range = this.reader.tenant(tenant);
    if (range === undefined) return NOTHING;
    const { first, count } = range;
    const found = this.piece(tenant, (piece) => piece.select(matchers, first, count));
    if (found !== undefined) return found;
    const places: number[] = [];
    for (const page of this.pagesOf(first, count)) {
      if (pace.isDue) await pace.rest();
      this.scanPage(page, first, count, matchers, places);
    }
    return Uint32Array.from(places);
  }

  /** As select, by reading all of the tenant's labels, in one piece. Errors: CorruptionError. */
  scan(tenant: string, matchers: readonly CompiledMatcher[]): Uint32Array {
    const range = this.reader.tenant(tenant);
    if (range === undefined) return NOTHING;
    const places: number[] = [];
    for (const page of this.pagesOf(range.first, range.count)) {
      this.scanPage(page, range.first, range.count, matchers, places);
    }
    return Uint32Array.from(places);
  }

  /** Label names of a tenant's series, in byte order. Errors: as those of select. */
  labelNames(tenant: string, pace: Pace): Promise<string[]> {
    return this.texts(
      tenant,
      pace,
      () => this.piece(tenant, (piece) => piece.labelNames()),
      (rows, pair) => rows.names[pair]!,
    );
  }

  /** Values of a label over a tenant's series, in byte order. Errors: as those of select. */
  labelValues(tenant: string, name: string, pace: Pace): Promise<string[]> {
    return this.texts(
      tenant,
      pace,
      () => this.piece(tenant, (piece) => piece.labelValues(name)),
      (rows, pair) => (rows.names[pair] === name ? rows.values[pair] : undefined),
    );
  }

  private piece<T>(tenant: string, use: (piece: PieceReader) => T): T | undefined {
    return this.pieces.with(this.reader.footer, tenant, use, this.askedPieces);
  }

  private async texts(
    tenant: string,
    pace: Pace,
    indexed: () => string[] | undefined,
    textOf: (rows: PairRows, pair: number) => string | undefined,
  ): Promise<string[]> {
    const range = this.reader.tenant(tenant);
    if (range === undefined) return [];
    const known = indexed();
    if (known !== undefined) return known;
    const found = new Set<string>();
    for (const page of this.pagesOf(range.first, range.count)) {
      if (pace.isDue) await pace.rest();
      const rows = this.reader.rowsOfPage(page);
      const { from, to } = this.within(page, range.first, range.count);
      for (let k = rows.starts[from]!; k < rows.starts[to]!; k++) {
        const text = textOf(rows, rows.pairs[k]!);
        if (text !== undefined) found.add(text);
      }
    }
    return [...found].sort(compareUtf8);
  }

  private *pagesOf(first: number, count: number): Generator<number> {
    const { seriesPages } = this.reader.footer;
    for (let page = pageOf(seriesPages, first); seriesPages[page]!.first < first + count; page++) {
      yield page;
      if (page === seriesPages.length - 1) return;
    }
  }

  /** Which of a page's series are in [first, first + count). */
  private within(page: number, first: number, count: number): { from: number; to: number } {
    const { first: pageFirst, count: pageCount } = this.reader.footer.seriesPages[page]!;
    return { from: Math.max(0, first - pageFirst), to: Math.min(pageCount, first + count - pageFirst) };
  }

  private scanPage(
    page: number,
    first: number,
    count: number,
    matchers: readonly CompiledMatcher[],
    places: number[],
  ): void {
    const rows = this.reader.rowsOfPage(page);
    const { from, to } = this.within(page, first, count);
    const pageFirst = this.reader.footer.seriesPages[page]!.first;
    for (let i = from; i < to; i++) {
      if (matchers.every((m) => m.matches(valueIn(rows, i, m.name)))) places.push(pageFirst + i);
    }
  }

  /** As BlockReader.readAhead; the index, too. */
  *readAhead(): Generator<void, void, void> {
    for (const { tenant } of this.reader.footer.tenants) {
      const steps = this.piece(tenant, (piece) => piece.readAhead());
      while (steps !== undefined && this.piece(tenant, () => steps.next().done) === false) yield;
    }
    yield* this.reader.readAhead();
  }

  get keptBytes(): number {
    let bytes = this.reader.keptBytes;
    for (const piece of this.askedPieces.values()) bytes += piece.keptBytes;
    return bytes;
  }

  get isInUse(): boolean {
    return this.users > (this.retired ? 0 : 1);
  }

  /** Forgets what can be read again. */
  drop(): void {
    this.askedPieces.clear();
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
    else if (!this.isInUse) {
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

/** A series' value of a label, empty when it has none. */
function valueIn(rows: PairRows, series: number, name: string): string {
  for (let k = rows.starts[series]!; k < rows.starts[series + 1]!; k++) {
    if (rows.names[rows.pairs[k]!] === name) return rows.values[rows.pairs[k]!]!;
  }
  return "";
}
