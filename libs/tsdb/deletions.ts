// libs/tsdb/deletions.ts: the deletions of one storage: which there are, and what they do to heads and blocks.
// A deletion is executed in one go, where its record is in the log: it marks the samples that heads have, and gives a tombstone to each block
// and file of side data there is. So it hides what was stored before it and nothing that comes later, and a replay, which meets its record in the same place,
// hides the same. Invariant: the registry changes only by changes that `complete` has completed, so what blocks are written
// as having hidden and the number of the last deletion always belong together.
import {
  type BlockRegistry,
  type DeletionEntry,
  encodePlaces,
  type RegistryChange,
  type RegistryDeletions,
  type Tombstone,
} from "../block/index.ts";
import type { Clock } from "../env/index.ts";
import type { Hash128 } from "../model/index.ts";
import type { SideEntry } from "../side/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { DeletionRecord } from "./deletion-record.ts";
import { freshDaysOf } from "./fresh-rows.ts";
import type { Head } from "./head.ts";
import { HiddenRows } from "./hidden-rows.ts";
import { countBelow } from "./leaf-blocks.ts";
import type { SideData } from "./side-data.ts";
import type { SideWindows } from "./side-windows.ts";
import type { StoredBlock } from "./stored-block.ts";
import type { StoredSide } from "./stored-side.ts";

/** What tombstones are given to. */
type Hiding = StoredBlock | StoredSide;

const ID_BYTES = 16;

export class Deletions {
  private readonly clock: Clock;
  /** How long a deletion can be undone. */
  readonly undoMs: number;
  private readonly open = new Map<string, DeletionEntry>();
  private lastNumber: number;
  /** Up to this number blocks have been told of deletions when the storage was opened. */
  private readonly toldTo: number;
  /** Of the replay: deletions that blocks have not been told of yet. */
  private waiting: DeletionRecord[] = [];

  constructor(clock: Clock, undoMs: number, known: RegistryDeletions) {
    this.clock = clock;
    this.undoMs = undoMs;
    this.lastNumber = known.last;
    this.toldTo = known.last;
    for (const entry of known.open) this.open.set(entry.id, entry);
  }

  /** The number of the last deletion or undoing; 0 before the first. */
  get last(): number {
    return this.lastNumber;
  }

  /** Those that may still hide something. */
  get entries(): readonly DeletionEntry[] {
    return [...this.open.values()];
  }

  find(id: string): DeletionEntry | undefined {
    return this.open.get(id);
  }

  /** Whether a deletion can't be undone any more, so that what it hides may go. */
  isDue(id: string): boolean {
    const entry = this.open.get(id);
    return entry !== undefined && entry.madeMs + this.undoMs <= this.clock.nowMs();
  }

  /** Notes a deletion, or that one was undone. */
  note({ number, undo, deletion }: Omit<DeletionRecord, "ids">): void {
    this.lastNumber = Math.max(this.lastNumber, number);
    if (undo) this.open.delete(deletion.id);
    else this.open.set(deletion.id, deletion);
  }

  /** Executes a record of the log on the heads as they are now; blocks follow when they are open. */
  replay(record: DeletionRecord, heads: readonly Head[], side: SideWindows, catalog: SeriesCatalog): void {
    const { undo, deletion, ids } = record;
    const isKnown = record.number <= this.toldTo;
    if (undo) {
      for (const head of heads) head.unhide(deletion.id);
      side.unhide(deletion.id);
    } else {
      const { id, minMs, maxMs } = deletion;
      for (const series of numbersOf(ids, catalog)) {
        for (const head of heads) head.hide(series, id, minMs, maxMs);
        side.hide(series, { deletion: id, minMs, maxMs });
      }
    }
    this.note(record);
    if (!isKnown) this.waiting.push(record);
  }

  /**
   * Tells blocks, and files of side data, of the deletions that a crash has kept from them: those of now are those of then. `isLeftOut` is asked
   * about an error that one of them is damaged. Errors: CorruptionError, unless it says yes.
   */
  tellBlocks(
    blocks: readonly StoredBlock[],
    files: readonly StoredSide[],
    hash128: Hash128,
    isLeftOut: (error: unknown) => boolean,
  ): void {
    const tell = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        if (!isLeftOut(error)) throw error;
      }
    };
    for (const { undo, deletion, ids } of this.waiting) {
      const { minMs, maxMs } = deletion;
      for (const one of undo ? [...blocks, ...files] : []) dropTombstones(one, deletion.id);
      if (undo) continue;
      const texts = idTexts(ids);
      for (const block of blocks) {
        if (!block.overlaps(minMs, maxMs)) continue;
        tell(() => {
          if (block.isRows) hideRows(block, rowsWithin(block, blocks, texts, deletion, hash128), deletion.id);
          else addTombstone(block, deletion, placesWithin(block, texts, deletion, hash128));
        });
      }
      for (const file of files) {
        if (!file.overlapsAny(minMs, maxMs)) continue;
        tell(() => addTombstone(file, deletion, sidePlaces(file, texts, deletion, hash128)));
      }
    }
    this.waiting = [];
  }

  /** Completes a change of the registry by what it does not say of deletions yet; `made`: files of side data that are to be live. */
  complete(
    change: RegistryChange,
    registry: BlockRegistry,
    stored: ReadonlyMap<string, StoredBlock>,
    side: SideData,
    made: readonly StoredSide[] = [],
  ): RegistryChange {
    const gone = new Set(change.remove?.map(({ file }) => file));
    const tombstones = new Map<string, readonly Tombstone[]>();
    const used = new Set(change.add?.flatMap((entry) => entry.tombstones ?? []).map(({ deletion }) => deletion));
    for (const entry of registry.blocks) {
      if (gone.has(entry.file)) continue;
      const said = entry.tombstones ?? [];
      // A block that could not be opened knows nothing of later deletions, but of those that were undone.
      const known = stored.get(entry.file)?.tombstones ?? said.filter(({ deletion }) => this.open.has(deletion));
      if (known !== said && known.length + said.length > 0) tombstones.set(entry.file, known);
      for (const { deletion } of known) used.add(deletion);
    }
    const beside = [...side.files, ...made].flatMap(({ registered }) => registered ?? []);
    for (const one of beside) for (const { deletion } of one.tombstones) used.add(deletion);
    const open = this.entries.filter(({ id }) => used.has(id));
    return { ...change, tombstones, side: beside, deletions: { last: this.last, open } };
  }

  /** Forgets the deletions that hide nothing any more, once the registry says so: until then blocks that are live name them. */
  settle({ deletions }: RegistryChange, heads: readonly Head[], side: SideData): void {
    const said = new Set(deletions?.open.map(({ id }) => id));
    for (const id of [...this.open.keys()]) {
      const isInMemory = heads.some((head) => head.hides(id)) || side.windows.hides(id);
      if (!said.has(id) && !isInMemory) this.open.delete(id);
    }
  }
}

/** Hides places of a block, or of a file of side data. */
export function addTombstone(block: Hiding, deletion: DeletionEntry, places: ArrayLike<number>): void {
  if (places.length === 0) return;
  const { id, minMs, maxMs } = deletion;
  block.tombstones = [...block.tombstones, { deletion: id, minMs, maxMs, places: encodePlaces(places) }];
}

/** Hides rows of a block. */
export function hideRows(block: StoredBlock, rows: HiddenRows, deletion: string): void {
  const more = rows.tombstones(deletion);
  if (more.length > 0) block.tombstones = [...block.tombstones, ...more];
}

/** Ends a deletion for a block, or for a file of side data. */
export function dropTombstones(block: Hiding, deletion: string): void {
  const left = block.tombstones.filter((tombstone) => tombstone.deletion !== deletion);
  if (left.length < block.tombstones.length) block.tombstones = left;
}

/** Where in a block those series are that have samples in the range, ascending. In one piece: for starts. */
function placesWithin(
  block: StoredBlock,
  ids: ReadonlySet<string>,
  { minMs, maxMs }: DeletionEntry,
  hash128: Hash128,
): number[] {
  const { reader } = block;
  const found: number[] = [];
  for (let place = 0; place < reader.seriesCount; place++) {
    if (!ids.has(idText(hash128(reader.key(place))))) continue;
    const times = reader.times(reader.column(place).times);
    if (countBelow(times, minMs) < countBelow(times, maxMs + 1)) found.push(place);
  }
  return found;
}

/** Likewise the rows. In one piece: for starts. */
function rowsWithin(
  block: StoredBlock,
  blocks: readonly StoredBlock[],
  ids: ReadonlySet<string>,
  deletion: DeletionEntry,
  hash128: Hash128,
): HiddenRows {
  const rows = new HiddenRows(block, freshDaysOf(blocks, block).alone, deletion);
  const { reader } = block;
  for (let place = 0; place < reader.seriesCount; place++) {
    if (ids.has(idText(hash128(reader.key(place))))) rows.add(place);
  }
  return rows;
}

/** Likewise of a file of side data. */
function sidePlaces(
  file: StoredSide,
  ids: ReadonlySet<string>,
  { minMs, maxMs }: DeletionEntry,
  hash128: Hash128,
): number[] {
  const isHit = (entry: SideEntry): boolean => ids.has(idText(hash128(entry.key))) && file.hasIn(entry, minMs, maxMs);
  return file.reader
    .directory()
    .filter(isHit)
    .map(({ place }) => place);
}

/** An id as the key of a set. */
export function idText(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, ID_BYTES).toString("latin1");
}

/** Ids one after another, as texts. */
function idTexts(ids: Uint8Array): Set<string> {
  const found = new Set<string>();
  for (let at = 0; at < ids.length; at += ID_BYTES) found.add(idText(ids.subarray(at, at + ID_BYTES)));
  return found;
}

/** The numbers of the series with these ids; what nobody knows is left out. */
function numbersOf(ids: Uint8Array, catalog: SeriesCatalog): Uint32Array {
  const view = new DataView(ids.buffer, ids.byteOffset, ids.byteLength);
  const numbers: number[] = [];
  for (let at = 0; at < ids.length; at += ID_BYTES) {
    const series = catalog.find(view, at);
    if (series >= 0) numbers.push(series);
  }
  return Uint32Array.from(numbers);
}

/** Ids, one after another. */
export function idBytes(ids: ReadonlySet<string>): Uint8Array {
  return Buffer.concat([...ids].sort().map((text) => Buffer.from(text, "latin1")));
}
