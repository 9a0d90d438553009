// libs/tsdb/stored-side.ts: a file of side data on this node: which of the node's series it has is found when it is first asked for.
// It is open as long as somebody uses it: its owner until it is retired, and every query that captured it before.
import { hiddenByPlace, type SideTombstones, type TimeRanges, type Tombstone } from "../block/index.ts";
import { decodeSeriesKey, InternalError } from "../model/index.ts";
import {
  NO_SIDE,
  partOfSide,
  relevantSide,
  type SideEntry,
  type SideFileReader,
  type SidePart,
  type SideSeries,
} from "../side/index.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import type { SideSource, SideView } from "./side-data.ts";

/** The node's number of the series with a key: of a known one, or one registered with all heads and the catalogue for it. */
export type NumberOf = (key: Uint8Array) => number;

/** What a series of a file takes in memory, about. */
const ENTRY_BYTES = 600;

export class StoredSide implements SideSource, Droppable {
  /** Name of the file. */
  readonly file: string;
  readonly reader: SideFileReader;
  readonly sizeBytes: number;
  private readonly numberOf: NumberOf;
  private readonly memory: BlockMemory;
  private entries: ReadonlyMap<number, SideEntry> | undefined;
  private knownTenants: ReadonlySet<string> | undefined;
  private users = 1;
  private retired = false;
  private tombstoneList: readonly Tombstone[] = [];
  private hidden: HiddenTimes | undefined;

  /** Takes the reader over. */
  constructor(
    file: string,
    reader: SideFileReader,
    numberOf: NumberOf,
    memory: BlockMemory,
    tombstones: readonly Tombstone[] = [],
  ) {
    this.memory = memory;
    this.file = file;
    this.reader = reader;
    this.sizeBytes = reader.sizeBytes;
    this.numberOf = numberOf;
    this.tombstones = tombstones;
  }

  /** What deletions hide of it. */
  get tombstones(): readonly Tombstone[] {
    return this.tombstoneList;
  }

  set tombstones(tombstones: readonly Tombstone[]) {
    this.tombstoneList = tombstones;
    this.hidden = hiddenByPlace(tombstones, this.reader.footer.seriesCount);
  }

  /** What the registry is to say of it; undefined when that is nothing. */
  get registered(): SideTombstones | undefined {
    const { file, tombstones } = this;
    return tombstones.length === 0 ? undefined : { file, series: this.reader.footer.seriesCount, tombstones };
  }

  get shard(): number {
    return this.reader.footer.shard;
  }

  get minMs(): number {
    return this.reader.footer.minMs;
  }

  get maxMs(): number {
    return this.reader.footer.maxMs;
  }

  overlaps(part: SidePart, lowMs: number, highMs: number): boolean {
    return this.reader.footer.parts[part].span.overlaps(lowMs, highMs);
  }

  /** Whether it may have anything in [lowMs, highMs]. */
  overlapsAny(lowMs: number, highMs: number): boolean {
    return SIDE_PARTS.some((part) => this.overlaps(part, lowMs, highMs));
  }

  /** Whether a series has anything in [lowMs, highMs], hidden or not. Errors: CorruptionError. */
  hasIn(entry: SideEntry, lowMs: number, highMs: number): boolean {
    const spans = SIDE_PARTS.map((part) => entry.parts[part].span).filter((span) => span.overlaps(lowMs, highMs));
    if (spans.length === 0) return false;
    // Something lies at both ends.
    if (spans.some(({ low, high }) => low >= lowMs || high <= highMs)) return true;
    const { histograms, exemplars, starts } = this.reader.read(entry);
    const isIn = ({ timeMs }: { readonly timeMs: number }): boolean => timeMs >= lowMs && timeMs <= highMs;
    return histograms.some(isIn) || exemplars.some(isIn) || starts.some(isIn);
  }

  /** The tenants that have something in it. Errors: CorruptionError. */
  get tenants(): ReadonlySet<string> {
    this.knownTenants ??= new Set(this.reader.directory().map(({ key }) => decodeSeriesKey(key).tenant));
    return this.knownTenants;
  }

  /** Reads which series there are; all of them are in the catalogue afterwards. Errors: CorruptionError; those of numberOf. */
  load(): void {
    if (this.entries !== undefined) return;
    const entries = new Map<number, SideEntry>();
    for (const entry of this.reader.directory()) entries.set(this.numberOf(entry.key), entry);
    this.entries = entries;
  }

  /** Whether what is in memory of it says something of a series by its number, which therefore must stay the series'. */
  knows(series: number): boolean {
    return this.entries?.has(series) ?? false;
  }

  capture(): SideView {
    this.acquire();
    const { hidden } = this;
    return {
      load: () => this.load(),
      seriesWith: (part, lowMs, highMs) => this.seriesWith(part, lowMs, highMs, hidden),
      read: (series, lowMs, highMs) => this.read(series, lowMs, highMs, hidden),
      release: () => this.release(),
    };
  }

  private *seriesWith(
    part: SidePart,
    lowMs: number,
    highMs: number,
    hiddenTimes: HiddenTimes | undefined,
  ): Generator<number, void> {
    if (!this.overlaps(part, lowMs, highMs)) return;
    for (const [series, entry] of this.loaded) {
      const { span } = entry.parts[part];
      if (!span.overlaps(lowMs, highMs)) continue;
      const hidden = hiddenTimes?.get(entry.place);
      if (hidden !== undefined) {
        const share = hidden.shareOf(Math.max(span.low, lowMs), Math.min(span.high, highMs));
        const isSeen = ({ timeMs }: { readonly timeMs: number }): boolean =>
          timeMs >= lowMs && timeMs <= highMs && !hidden.covers(timeMs);
        if (share === "all" || (share === "some" && !this.reader.read(entry)[part].some(isSeen))) continue;
      }
      yield series;
    }
  }

  private read(series: number, lowMs: number, highMs: number, hiddenTimes: HiddenTimes | undefined): SideSeries {
    const entry = this.loaded.get(series);
    if (entry === undefined) return NO_SIDE;
    const hidden = hiddenTimes?.get(entry.place);
    const all = this.reader.read(entry);
    return relevantSide(hidden === undefined ? all : withoutTimes(all, hidden), lowMs, highMs);
  }

  private get loaded(): ReadonlyMap<number, SideEntry> {
    if (this.entries === undefined)
      throw new InternalError("cannot read side file: got one not loaded; want it loaded");
    return this.entries;
  }

  acquire(): void {
    if (this.users === 0)
      throw new InternalError("cannot use side file: got one that is closed; want it captured before");
    this.users++;
  }

  release(): void {
    this.users--;
    if (this.users === 0) this.close();
    else if (!this.isInUse) this.memory.used(this);
  }

  get isInUse(): boolean {
    return this.users > (this.retired ? 0 : 1);
  }

  get keptBytes(): number {
    return (this.entries?.size ?? 0) * ENTRY_BYTES;
  }

  /** Forgets what can be read again. */
  drop(): void {
    this.entries = undefined;
  }

  private close(): void {
    this.memory.forget(this);
    this.drop();
    this.reader.close();
  }

  /** The owner lets the file go: it is closed when nobody uses it any more. */
  retire(): void {
    if (this.retired) return;
    this.retired = true;
    this.users--;
    if (this.users === 0) this.close();
  }
}

/** By place. */
type HiddenTimes = ReadonlyMap<number, TimeRanges>;

const SIDE_PARTS: readonly SidePart[] = ["histograms", "exemplars", "starts"];

/** What ranges of times leave of side data. */
export function withoutTimes(side: SideSeries, hidden: TimeRanges): SideSeries {
  return partOfSide(side, (timeMs) => !hidden.covers(timeMs));
}
