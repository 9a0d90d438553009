// libs/tsdb/side-files.ts: the files of side data of a directory: opened, written when stores are cut, merged by day, dropped when they
// expire. Order: a file is durable before what it replaces goes; what a crash leaves twice counts once. A few milliseconds at a time.
import {
  classifyingFileSystem,
  compareBytes,
  DAY_MS,
  encodePlaces,
  hiddenByPlace,
  KeptTombstones,
  type SideTombstones,
  type Tombstone,
} from "../block/index.ts";
import { ensureDirectory, errorText, type FileSystem, type Random } from "../env/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { CorruptionError, decodeSeriesKey, encodeSeriesKey, InvalidError } from "../model/index.ts";
import {
  exactSide,
  type HiddenRange,
  isEmptySide,
  isSideDraft,
  isSideFile,
  mergeSide,
  nameSideDraft,
  partOfSide,
  planSideExpiry,
  planSideMerges,
  type SideFileName,
  type SideFileOptions,
  SideFileReader,
  SideFileWriter,
  type SideSeries,
  type SideStore,
  STARTS_REACH_MS,
  sideDraftOf,
  sideFileName,
  sideFolder,
  sideTimesOf,
} from "../side/index.ts";
import { linkAside } from "./quarantine-folder.ts";
import type { DbState } from "./state.ts";
import { type NumberOf, StoredSide, withoutTimes } from "./stored-side.ts";

export interface SideFilesOptions {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly random: Random;
  readonly kernel: ColumnKernel;
  readonly numberOf: NumberOf;
  /** What the registry says that deletions hide. */
  readonly hidden: readonly SideTombstones[];
  readonly onProblem: (problem: string) => void;
  /** Nothing is removed then. */
  readonly isReadOnly: boolean;
}

/** A series on its way into a file. */
interface KeyedSide {
  readonly key: Uint8Array;
  /** Its place in the only file that it comes from. */
  readonly place?: number;
  read(): SideSeries;
}

/** The longest stretch of work before others get their turn. */
const SLICE_MS = 4;

/** Whether a deletion can't be undone any more. */
type IsDue = (deletion: string) => boolean;
/** Up to where a tenant's samples are past. */
type FloorOf = (tenant: string) => number;
/** Told of a series that was written: its place in the new file. */
type OnWritten = (one: KeyedSide, place: number, side: SideSeries) => void;

/** A file that could not be opened. */
export interface UnopenedSide {
  readonly entry: SideFileName & { readonly sizeBytes: number };
  readonly error: unknown;
}

export class SideFiles {
  readonly unopened: UnopenedSide[] = [];
  private readonly state: DbState;
  private readonly options: SideFilesOptions;
  /** Files that have their draft's name until the registry knows what is hidden of them. */
  private readonly drafts = new Set<StoredSide>();

  /**
   * Opens the files of the folder, and removes what merged files stand for, and drafts; but one that the registry says something of is a file
   * whose naming a crash has forestalled.
   */
  constructor(state: DbState, options: SideFilesOptions) {
    this.state = state;
    this.options = options;
    const { fs, dataDir, hidden } = options;
    const folder = sideFolder(dataDir);
    if (fs.stat(folder) === undefined) return;
    const tombstones = new Map(hidden.map((entry) => [entry.file, entry.tombstones]));
    const opened: StoredSide[] = [];
    for (const name of this.named(fs.list(folder), tombstones)) {
      try {
        if (state.quarantine.wasAside(name)) throw new CorruptionError("found damaged before", this.path(name), 0);
        opened.push(this.open(name, tombstones.get(name)));
      } catch (error) {
        this.unopened.push({ entry: this.describe(name), error });
      }
    }
    const gone = new Set(opened.flatMap(({ reader }) => reader.footer.parents.map(hex)));
    for (const file of opened) {
      if (!gone.has(hex(file.reader.footer.id))) continue;
      file.retire();
      this.remove(file.file);
    }
    state.side.files = opened.filter((file) => !gone.has(hex(file.reader.footer.id)));
  }

  /** The files, drafts that are wanted among them; others are removed. */
  private *named(names: readonly string[], wanted: ReadonlyMap<string, unknown>): Generator<string> {
    const { fs, isReadOnly } = this.options;
    for (const name of names) {
      if (isSideFile(name)) yield name;
      if (!isSideDraft(name)) continue;
      const file = name.slice(0, -sideDraftOf("").length);
      if (!wanted.has(file)) this.remove(name);
      else if (!isReadOnly && !names.includes(file)) {
        nameSideDraft(fs, this.path(file));
        yield file;
      }
    }
  }

  /** What a name says of a file. */
  private describe(file: string): UnopenedSide["entry"] {
    const [shard, minMs, maxMs] = /^(\d+)-(-?\d+)-(-?\d+)-/.exec(file)!.slice(1).map(Number) as [
      number,
      number,
      number,
    ];
    return { file, shard, minMs, maxMs, sizeBytes: this.options.fs.stat(this.path(file))?.sizeBytes ?? 0 };
  }

  /** Where a file is, or will be. */
  path(name: string): string {
    return `${sideFolder(this.options.dataDir)}/${name}`;
  }

  private open(name: string, tombstones: readonly Tombstone[] = [], path = this.path(name)): StoredSide {
    const { fs, kernel, numberOf } = this.options;
    const reader = new SideFileReader(fs, path, kernel);
    const { shardCount, hashSeed } = this.state.identity;
    const { footer } = reader;
    if (footer.shardCount === shardCount && compareBytes(footer.hashSeed, hashSeed) === 0) {
      return new StoredSide(name, reader, numberOf, this.state.blockMemory, tombstones);
    }
    reader.close();
    throw new InvalidError(`cannot use ${name}: got a file of another cluster; want one of this directory's`);
  }

  /** Removes a file; what stays is removed at the next start. */
  private remove(name: string): void {
    if (this.options.isReadOnly) return;
    try {
      this.options.fs.unlink(this.path(name));
    } catch (error) {
      this.options.onProblem(`cannot remove ${name}, which is not needed: got ${errorText(error)}`);
    }
  }

  /**
   * Writes what frozen stores hold into files, which are durable, and live only after `adopt`: what is to be seen, and, in files of their own,
   * what deletions hide and may be undone, which wait for `publish`. Errors: UnavailableError (disk full); InternalError; then there are no files.
   */
  async cut(stores: readonly SideStore[], isDue: IsDue): Promise<StoredSide[]> {
    const made: StoredSide[] = [];
    try {
      for (const [shard, series] of this.byShard(stores.flatMap((store) => store.seriesNumbers))) {
        await this.cutShard(shard, series, stores, made);
      }
      for (const deletion of new Set(stores.flatMap(({ hidden }) => hidden.deletions))) {
        if (isDue(deletion)) continue;
        const series = stores.flatMap(({ hidden }) =>
          hidden.seriesNumbers.filter((one) => hidden.takenBy(deletion, one)),
        );
        for (const [shard, some] of this.byShard(series)) await this.cutShard(shard, some, stores, made, deletion);
      }
      return made;
    } catch (error) {
      this.discard(made);
      throw error;
    }
  }

  /** Of some series of a shard: what is to be seen, or what one deletion hides. */
  private async cutShard(
    shard: number,
    series: readonly number[],
    stores: readonly SideStore[],
    made: StoredSide[],
    deletion?: string,
  ): Promise<void> {
    const days = new Set(series.flatMap((one) => stores.flatMap((store) => store.daysOf(one, DAY_MS, deletion))));
    for (const day of [...days].sort((a, b) => a - b)) {
      const options = this.optionsOf(shard, day, day + DAY_MS, []);
      const hides = new HidingRanges();
      const numbers = new Map<KeyedSide, number>();
      for (const one of series) numbers.set(this.keyed(one, stores, day, deletion), one);
      const keyed = [...numbers.keys()].sort((a, b) => compareBytes(a.key, b.key));
      const onWritten: OnWritten = (one, place, side) => {
        if (deletion === undefined) return;
        for (const { hidden } of stores)
          hides.add(hidden.rangesOf(deletion, numbers.get(one)!), place, sideTimesOf(side));
      };
      const file = await this.write(options, keyed, onWritten, () => hides.tombstones());
      if (file !== undefined) made.push(file);
    }
  }

  /**
   * Names the files that waited for it: the registry knows now what is hidden of them. One that the disk does not let be named is read under
   * its draft's name, and named by the next start.
   */
  publish(files: readonly StoredSide[]): void {
    for (const file of files) {
      if (!this.drafts.delete(file)) continue;
      try {
        nameSideDraft(this.options.fs, this.path(file.file));
      } catch (error) {
        this.drafts.add(file);
        this.options.onProblem(`cannot name ${file.file}: got ${errorText(error)}; want it at the next start`);
      }
    }
  }

  /** Files that are not wanted after all. */
  discard(files: readonly StoredSide[]): void {
    for (const file of files) {
      file.retire();
      this.remove(this.drafts.delete(file) ? sideDraftOf(file.file) : file.file);
    }
  }

  /** Takes a damaged file out of use. Undefined when none has the path. */
  takeOut(path: string): StoredSide | undefined {
    const { side } = this.state;
    const found = side.files.find(({ file, reader }) => reader.path === path || this.path(file) === path);
    if (found === undefined) return undefined;
    side.files = side.files.filter((file) => file !== found);
    side.leave([found]);
    found.retire();
    return found;
  }

  /** Moves a damaged file, which is out of use, into quarantine, durably. Errors: as linkAside. */
  putAside(file: string): void {
    const { fs, dataDir } = this.options;
    const there = [this.path(file), sideDraftOf(this.path(file))].find((path) => fs.stat(path) !== undefined);
    if (there === undefined || !linkAside(fs, dataDir, file, there)) return;
    // What comes back after a crash is in quarantine already.
    this.remove(there.slice(sideFolder(dataDir).length + 1));
  }

  /** The series, by shard; numbers whose registration was lost have no key and are left out. */
  private byShard(numbers: readonly number[]): Map<number, number[]> {
    const { catalog } = this.state;
    const byShard = new Map<number, number[]>();
    for (const series of new Set(numbers)) {
      if (!catalog.isLive(series)) continue;
      const shard = catalog.shardOf(series);
      const list = byShard.get(shard);
      if (list === undefined) byShard.set(shard, [series]);
      else list.push(series);
    }
    return byShard;
  }

  private keyed(series: number, stores: readonly SideStore[], day: number, deletion?: string): KeyedSide {
    const { index } = this.state.catalog;
    const key = encodeSeriesKey(index.tenantOf(series), index.labelsOf(series));
    const partOf = (store: SideStore): SideSeries =>
      deletion === undefined ? store.read(series, day + 1, day + DAY_MS) : store.readHidden(deletion, series);
    const read = (): SideSeries => mergeSide(stores.map((store) => exactSide(partOf(store), day, day + DAY_MS)));
    return { key, read };
  }

  private optionsOf(shard: number, minMs: number, maxMs: number, parents: readonly Uint8Array[]): SideFileOptions {
    const { shardCount, hashSeed } = this.state.identity;
    return { id: this.options.random.bytes(16), shard, shardCount, hashSeed, minMs, maxMs, parents };
  }

  /** Writes one file; undefined when there is nothing to write. One of which something is hidden waits for `publish`. */
  private async write(
    options: SideFileOptions,
    series: readonly KeyedSide[],
    onWritten: OnWritten = () => {},
    tombstonesOf: () => readonly Tombstone[] = () => [],
  ): Promise<StoredSide | undefined> {
    const { fs, dataDir, kernel } = this.options;
    const folder = sideFolder(dataDir);
    // Also where it is there: who made it may have died before its name was durable.
    if (!this.isFolderDurable) ensureDirectory(classifyingFileSystem(fs), folder, "side-folder");
    this.isFolderDurable = true;
    const name = sideFileName(options);
    const writer = new SideFileWriter(fs, this.path(name), options, kernel);
    let tombstones: readonly Tombstone[] = [];
    const { clock } = this.state;
    let until = clock.monotonicMs() + SLICE_MS;
    try {
      for (const one of series) {
        const side = one.read();
        if (!isEmptySide(side)) {
          for (const steps = writer.addSteps(one.key, side); steps.next().done !== true; ) {
            if (clock.monotonicMs() < until) continue;
            await clock.sleep(0);
            until = clock.monotonicMs() + SLICE_MS;
          }
          onWritten(one, writer.seriesCount - 1, side);
        }
        await clock.sleep(0);
        until = clock.monotonicMs() + SLICE_MS;
      }
      if (writer.seriesCount === 0) {
        writer.abandon();
        return undefined;
      }
      tombstones = tombstonesOf();
      await writer.finish(tombstones.length > 0);
    } catch (error) {
      writer.abandon();
      throw error;
    }
    if (tombstones.length === 0) return this.open(name);
    const file = this.open(name, tombstones, sideDraftOf(this.path(name)));
    this.drafts.add(file);
    return file;
  }

  /** Drops files without anything within retention. */
  expire(): void {
    const { side, clock, retention } = this.state;
    this.drop(planSideExpiry(side.files, clock.nowMs(), retention.longestMs));
  }

  /** Drops files. */
  drop(files: readonly StoredSide[]): void {
    this.replace(files, []);
  }

  /**
   * Merges the files of one day, or writes one anew, without what deletions hide that are due, and what is past; false when the plan has none. `tell` says in
   * the registry what is hidden of a new file. Errors: as cut; CorruptionError.
   */
  async merge(isDue: IsDue, tell: (made: readonly StoredSide[]) => Promise<unknown>): Promise<boolean> {
    const { side, clock, retention } = this.state;
    const nowMs = clock.nowMs();
    const floorOf: FloorOf = (tenant) => retention.floorMs(tenant, nowMs);
    const past = await this.filesWithPast(floorOf, retention.highestFloorMs(nowMs));
    const hasPast = (file: StoredSide): boolean => past.has(file);
    const inputs = planSideMerges(side.files, nowMs, { isDue, hasPast });
    if (inputs === undefined) return false;
    for (const input of inputs) input.acquire();
    try {
      const parents = inputs.map(({ reader }) => reader.footer.id);
      const [{ shard, minMs, reader, tombstones }] = inputs as [StoredSide];
      const day = Math.floor(minMs / DAY_MS) * DAY_MS;
      const options = this.optionsOf(shard, day, day + DAY_MS, parents);
      // More than one file are merged only when all is due.
      const kept = new KeptTombstones(
        tombstones.filter(({ deletion }) => !isDue(deletion)),
        reader.footer.seriesCount,
      );
      const onWritten: OnWritten = ({ place }, at, one) => kept.add(place!, at, sideTimesOf(one));
      const merged = await this.write(options, keyedOf(inputs, isDue, floorOf), onWritten, () => kept.take());
      const made = merged === undefined ? [] : [merged];
      // A query has found an input damaged meanwhile: what is whole of it is merged without it next time.
      if (inputs.some((input) => !side.files.includes(input))) {
        this.discard(made);
        return true;
      }
      if (made.some((file) => this.drafts.has(file))) {
        try {
          await tell(made);
        } catch (error) {
          this.discard(made);
          throw error;
        }
        this.publish(made);
      }
      // One that a query has found damaged meanwhile is put aside.
      this.replace(
        inputs.filter((input) => side.files.includes(input)),
        made,
      );
      return true;
    } finally {
      for (const input of inputs) input.release();
    }
  }

  /** The files in which some tenant has nothing that is not past. Errors: CorruptionError. */
  private async filesWithPast(floorOf: FloorOf, highestFloorMs: number): Promise<ReadonlySet<StoredSide>> {
    const { side, clock } = this.state;
    const past = new Set<StoredSide>();
    let until = clock.monotonicMs() + SLICE_MS;
    for (const file of side.files) {
      if (!isAllPast(file.maxMs, highestFloorMs)) continue;
      if (clock.monotonicMs() >= until) {
        await clock.sleep(0);
        until = clock.monotonicMs() + SLICE_MS;
      }
      // It may have been found damaged meanwhile.
      if (!side.files.includes(file)) continue;
      if ([...file.tenants].some((tenant) => isAllPast(file.maxMs, floorOf(tenant)))) past.add(file);
    }
    return past;
  }

  private isFolderDurable = false;

  private replace(removed: readonly StoredSide[], added: readonly StoredSide[]): void {
    if (removed.length + added.length === 0) return;
    const { side } = this.state;
    side.files = [...side.files.filter((file) => !removed.includes(file)), ...added];
    side.leave(removed);
    this.discard(removed);
  }

  close(): void {
    for (const file of this.state.side.files) file.retire();
    this.state.side.files = [];
  }
}

/** Collects which places of a file which ranges hide. */
class HidingRanges {
  private readonly found = new Map<string, { readonly range: HiddenRange; readonly places: number[] }>();

  /** Ranges of the series at a place, that has these times. */
  add(ranges: readonly HiddenRange[], place: number, times: Float64Array): void {
    for (const range of ranges) {
      const { deletion, minMs, maxMs } = range;
      if (!times.some((time) => time >= minMs && time <= maxMs)) continue;
      const name = `${deletion} ${minMs} ${maxMs}`;
      const known = this.found.get(name);
      if (known === undefined) this.found.set(name, { range, places: [place] });
      else if (known.places.at(-1) !== place) known.places.push(place);
    }
  }

  tombstones(): Tombstone[] {
    return [...this.found.values()].map(({ range, places }) => ({ ...range, places: encodePlaces(places) }));
  }
}

/** The series of several files, by key, each once, without what deletions hide that are due, and what is past. */
function keyedOf(inputs: readonly StoredSide[], isDue: IsDue, floorOf: FloorOf): KeyedSide[] {
  const byKey = new Map<string, { key: Uint8Array; place: number; reads: (() => SideSeries)[] }>();
  for (const { reader, tombstones } of inputs) {
    const due = tombstones.filter(({ deletion }) => isDue(deletion));
    const leftOut = hiddenByPlace(due, reader.footer.seriesCount);
    for (const entry of reader.directory()) {
      const name = hex(entry.key);
      const known = byKey.get(name) ?? { key: entry.key, place: entry.place, reads: [] };
      const ranges = leftOut?.get(entry.place);
      known.reads.push(() => (ranges === undefined ? reader.read(entry) : withoutTimes(reader.read(entry), ranges)));
      byKey.set(name, known);
    }
  }
  return Array.from(byKey.values(), ({ key, place, reads }) => ({
    ...{ key, place },
    read: () => sideAfter(mergeSide(reads.map((read) => read())), floorOf(decodeSeriesKey(key).tenant)),
  })).sort((a, b) => compareBytes(a.key, b.key));
}

/** What of side data is not past. The start times of samples that are not may have been told before them. */
function sideAfter(side: SideSeries, floorMs: number): SideSeries {
  if (floorMs === Number.NEGATIVE_INFINITY) return side;
  const { histograms, exemplars } = partOfSide(side, (timeMs) => timeMs > floorMs);
  const { starts } = partOfSide(side, (timeMs) => timeMs > floorMs - STARTS_REACH_MS);
  return { histograms, exemplars, starts };
}

/** Whether sideAfter leaves nothing that is not later than a time. */
function isAllPast(maxMs: number, floorMs: number): boolean {
  return maxMs <= floorMs - STARTS_REACH_MS;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
