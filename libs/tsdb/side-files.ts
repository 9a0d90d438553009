// libs/tsdb/side-files.ts: the files of side data of a directory: opened, written when stores are cut, merged by day, dropped when they
// expire. Order: a file is durable before what it replaces goes; what a crash leaves twice counts once. A few milliseconds at a time.
import { classifyingFileSystem, compareBytes, DAY_MS } from "../block/index.ts";
import { ensureDirectory, errorText, type FileSystem, type Random } from "../env/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { encodeSeriesKey, InvalidError } from "../model/index.ts";
import {
  exactSide,
  isEmptySide,
  isSideDraft,
  isSideFile,
  mergeSide,
  planSideExpiry,
  planSideMerges,
  type SideFileOptions,
  SideFileReader,
  SideFileWriter,
  type SideSeries,
  type SideStore,
  sideFileName,
  sideFolder,
} from "../side/index.ts";
import type { DbState } from "./state.ts";
import { type NumberOf, StoredSide } from "./stored-side.ts";

export interface SideFilesOptions {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly random: Random;
  readonly kernel: ColumnKernel;
  readonly numberOf: NumberOf;
  readonly onProblem: (problem: string) => void;
  /** Nothing is removed then. */
  readonly isReadOnly: boolean;
}

/** A series on its way into a file. */
interface KeyedSide {
  readonly key: Uint8Array;
  read(): SideSeries;
}

export class SideFiles {
  /** Files that could not be opened: one sentence each. */
  readonly damaged: string[] = [];
  private readonly state: DbState;
  private readonly options: SideFilesOptions;

  /** Opens the files of the folder, and removes what merged files stand for, and drafts. */
  constructor(state: DbState, options: SideFilesOptions) {
    this.state = state;
    this.options = options;
    const { fs, dataDir } = options;
    const folder = sideFolder(dataDir);
    if (fs.stat(folder) === undefined) return;
    const opened: StoredSide[] = [];
    for (const name of fs.list(folder)) {
      if (isSideDraft(name)) this.remove(name);
      if (!isSideFile(name)) continue;
      try {
        opened.push(this.open(name));
      } catch (error) {
        this.damaged.push(`${name}: ${errorText(error)}`);
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

  private path(name: string): string {
    return `${sideFolder(this.options.dataDir)}/${name}`;
  }

  private open(name: string): StoredSide {
    const { fs, kernel, numberOf } = this.options;
    const reader = new SideFileReader(fs, this.path(name), kernel);
    const { shardCount, hashSeed } = this.state.identity;
    const { footer } = reader;
    if (footer.shardCount === shardCount && compareBytes(footer.hashSeed, hashSeed) === 0) {
      return new StoredSide(name, reader, numberOf, this.state.blockMemory);
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
   * Writes what frozen stores hold into files, which are durable, and live only after `adopt`. Errors: UnavailableError (disk full);
   * InternalError; then there are no files.
   */
  async cut(stores: readonly SideStore[]): Promise<StoredSide[]> {
    const made: StoredSide[] = [];
    try {
      for (const [shard, series] of this.byShard(stores)) {
        const days = new Set(series.flatMap((one) => stores.flatMap((store) => store.daysOf(one, DAY_MS))));
        for (const day of [...days].sort((a, b) => a - b)) {
          const keyed = series.map((one) => this.keyed(one, stores, day)).sort((a, b) => compareBytes(a.key, b.key));
          const file = await this.write(this.optionsOf(shard, day, day + DAY_MS, []), keyed);
          if (file !== undefined) made.push(file);
        }
      }
      return made;
    } catch (error) {
      this.discard(made);
      throw error;
    }
  }

  /** Files that are not wanted after all. */
  discard(files: readonly StoredSide[]): void {
    for (const file of files) {
      file.retire();
      this.remove(file.file);
    }
  }

  /** The series of stores, by shard; numbers whose registration was lost have no key and are left out. */
  private byShard(stores: readonly SideStore[]): Map<number, number[]> {
    const { catalog } = this.state;
    const byShard = new Map<number, number[]>();
    for (const series of new Set(stores.flatMap((store) => store.seriesNumbers))) {
      if (!catalog.isLive(series)) continue;
      const shard = catalog.shardOf(series);
      const list = byShard.get(shard);
      if (list === undefined) byShard.set(shard, [series]);
      else list.push(series);
    }
    return byShard;
  }

  private keyed(series: number, stores: readonly SideStore[], day: number): KeyedSide {
    const { index } = this.state.catalog;
    const key = encodeSeriesKey(index.tenantOf(series), index.labelsOf(series));
    const read = (): SideSeries =>
      mergeSide(stores.map((store) => exactSide(store.read(series, day + 1, day + DAY_MS), day, day + DAY_MS)));
    return { key, read };
  }

  private optionsOf(shard: number, minMs: number, maxMs: number, parents: readonly Uint8Array[]): SideFileOptions {
    const { shardCount, hashSeed } = this.state.identity;
    return { id: this.options.random.bytes(16), shard, shardCount, hashSeed, minMs, maxMs, parents };
  }

  /** Writes one file; undefined when there is nothing to write. */
  private async write(options: SideFileOptions, series: readonly KeyedSide[]): Promise<StoredSide | undefined> {
    const { fs, dataDir, kernel } = this.options;
    const folder = sideFolder(dataDir);
    // Also where it is there: who made it may have died before its name was durable.
    if (!this.isFolderDurable) ensureDirectory(classifyingFileSystem(fs), folder, "side-folder");
    this.isFolderDurable = true;
    const name = sideFileName(options);
    const writer = new SideFileWriter(fs, this.path(name), options, kernel);
    try {
      for (const one of series) {
        const side = one.read();
        if (!isEmptySide(side)) writer.add(one.key, side);
        await this.state.clock.sleep(0);
      }
      if (writer.seriesCount === 0) {
        writer.abandon();
        return undefined;
      }
      writer.finish();
    } catch (error) {
      writer.abandon();
      throw error;
    }
    return this.open(name);
  }

  /** Drops files without anything within retention. */
  expire(): void {
    const { side, clock, retention } = this.state;
    const expired = planSideExpiry(side.files, clock.nowMs(), retention.longestMs);
    this.replace(expired, []);
  }

  /** Merges the files of one day; false when the plan has none. Errors: as cut; CorruptionError. */
  async merge(): Promise<boolean> {
    const { side, clock } = this.state;
    const inputs = planSideMerges(
      side.files.filter((file) => !this.unmergeable.has(file.file)),
      clock.nowMs(),
    );
    if (inputs === undefined) return false;
    for (const input of inputs) input.acquire();
    try {
      const parents = inputs.map(({ reader }) => reader.footer.id);
      const { shard, minMs } = inputs[0]!;
      const day = Math.floor(minMs / DAY_MS) * DAY_MS;
      const merged = await this.write(this.optionsOf(shard, day, day + DAY_MS, parents), keyedOf(inputs));
      this.replace(inputs, merged === undefined ? [] : [merged]);
      return true;
    } catch (error) {
      // What is damaged is left as it is, and told when it is read.
      if ((error as { reaction?: unknown }).reaction === "corruption") {
        for (const { file } of inputs) this.unmergeable.add(file);
      }
      throw error;
    } finally {
      for (const input of inputs) input.release();
    }
  }

  private readonly unmergeable = new Set<string>();
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

/** The series of several files, by key, each once. */
function keyedOf(inputs: readonly StoredSide[]): KeyedSide[] {
  const byKey = new Map<string, { key: Uint8Array; reads: (() => SideSeries)[] }>();
  for (const { reader } of inputs) {
    for (const entry of reader.directory()) {
      const name = hex(entry.key);
      const known = byKey.get(name) ?? { key: entry.key, reads: [] };
      known.reads.push(() => reader.read(entry));
      byKey.set(name, known);
    }
  }
  return Array.from(byKey.values(), ({ key, reads }) => ({
    key,
    read: () => mergeSide(reads.map((read) => read())),
  })).sort((a, b) => compareBytes(a.key, b.key));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
