// libs/tsdb/cutter.ts: what happens to heads and blocks as time goes by: windows end, closed ones are cut into blocks, blocks are merged
// and expire, the WAL is truncated behind them. One thing at a time; queries and writes go on meanwhile.
// Order of a cut: head frozen at a boundary of the WAL → blocks durable → registry durable → sources replaced → WAL truncated. Until the
// registry names the blocks the WAL has everything; a crash or a full disk anywhere costs the work, never a sample.
import {
  type BlockEntry,
  blockFileName,
  blockPath,
  derivedOptions,
  dueAndKept,
  entryOf,
  type Floor,
  mergedOptions,
  planExpiry,
  planMerges,
  planShrink,
  type RegistryChange,
} from "../block/index.ts";
import { eachInSlices, errorText } from "../env/index.ts";
import { InternalError, UnavailableError } from "../model/index.ts";
import { isSideFile, type SideStore } from "../side/index.ts";
import { BlockIndexer } from "./block-indexer.ts";
import { type CutReport, nothingDone } from "./cut-report.ts";
import type { CutterOptions } from "./cutter-options.ts";
import { inheritRows } from "./fresh-rows.ts";
import { HeadBlocks, type IsDue } from "./head-blocks.ts";
import { LevelKeeper } from "./level-keeper.ts";
import type { MissingBlock } from "./quarantine.ts";
import { linkAside } from "./quarantine-folder.ts";
import { linkSnapshot } from "./snapshot.ts";
import { SourcesPin } from "./sources.ts";
import type { StoredBlock } from "./stored-block.ts";
import type { StoredSide } from "./stored-side.ts";
import type { FrozenHead } from "./windows.ts";

/** Heads on their way into blocks. */
interface Cut {
  readonly frozen: readonly FrozenHead[];
  readonly side: readonly SideStore[];
  /** Every sample up to here that the WAL has below `segment` is in the heads, or in blocks already. */
  readonly maxMs: number;
  readonly segment: number;
}

/** Merges read and write what they merge: a few at a time leave room for the next cut. */
const MERGES_PER_TICK = 4;
const LEVEL_STEPS_PER_TICK = 4;
/** Files that go in one change of the registry, for want of room: each takes a call of the file system. */
const SHRUNK_AT_ONCE = 64;

export class Cutter {
  readonly totals: CutReport = nothingDone();
  private readonly options: CutterOptions;
  /** A cut whose blocks are not in the registry yet: the disk was full. */
  private pending: Cut | undefined;
  private running: Promise<unknown> = Promise.resolve();
  private busy = false;
  private closing = false;
  /** Heads whose samples are in blocks, but which queries still read. */
  private busyHeads = 0;
  private readonly levels: LevelKeeper;
  private readonly isDue: IsDue;
  private readonly indexer: BlockIndexer;
  private readonly blocks: HeadBlocks;
  /** Damaged blocks, and files of side data, that are to be put aside. */
  private readonly damaged = new Set<MissingBlock>();
  /** A new storage has no window before the one that it was opened in. */
  private readonly firstMs: number;

  constructor(options: CutterOptions) {
    this.options = options;
    this.indexer = new BlockIndexer(options, () => this.closing);
    this.blocks = new HeadBlocks(options);
    options.state.quarantine.attach((path) => this.takeOut(path));
    options.state.onPressure = () => this.relieve();
    const { state, windowMs, isNew, registry, builder, random, dataDir, stored, onProblem } = options;
    this.levels = new LevelKeeper({
      ...{ builder, random, dataDir, stored, onProblem },
      retentionMs: state.levelRetentionMs,
      nowMs: () => state.clock.nowMs(),
      blocks: () => registry.blocks,
      replaceBlocks: (change) => this.replaceBlocks(change),
      discard: (entries) => this.discard(entries),
      isQuarantined: (error) => state.quarantine.report(error),
      isDue: (deletion) => state.deletions.isDue(deletion),
      pause: () => state.clock.sleep(0),
      room: () => {
        state.reserve.look();
        return state.reserve;
      },
    });
    this.isDue = (deletion) => state.deletions.isDue(deletion);
    this.firstMs = isNew ? Math.floor(state.clock.nowMs() / windowMs) * windowMs : Number.NEGATIVE_INFINITY;
  }

  /** Takes a block that is live, and damaged, out of the sources, and sees to it that it is put aside. */
  private takeOut(path: string): MissingBlock | undefined {
    const side = this.options.sideFiles.takeOut(path);
    if (side !== undefined) this.putAside([side]);
    return side ?? this.takeBlockOut(path);
  }

  private takeBlockOut(path: string): BlockEntry | undefined {
    const { dataDir, registry, stored } = this.options;
    const entry = registry.blocks.find(({ file }) => blockPath(dataDir, file) === path);
    const block = entry === undefined ? undefined : stored.get(entry.file);
    if (entry === undefined || block === undefined) return undefined;
    stored.delete(entry.file);
    this.replaceSources();
    block.retire();
    this.putAside([entry]);
    return entry;
  }

  /** Moves damaged files that are no longer served into quarantine, soon: a disk that refuses is asked again and again. */
  putAside(entries: readonly MissingBlock[]): void {
    if (entries.length === 0) return;
    for (const entry of entries) this.damaged.add(entry);
    if (this.options.state.wal.state === "read-only") return;
    void this.exclusively(() => this.putDamagedAside()).catch(() => undefined);
  }

  private async putDamagedAside(): Promise<void> {
    const { fs, dataDir, registry } = this.options;
    for (const damaged of this.damaged) {
      if (isSideFile(damaged.file)) this.options.sideFiles.putAside(damaged.file);
      const entry = registry.blocks.find(({ file }) => file === damaged.file);
      // One whose file is gone stays in the list, so that the next start knows what is missing.
      if (entry !== undefined && linkAside(fs, dataDir, entry.file)) await this.replaceRegistry({ remove: [entry] });
      this.damaged.delete(damaged);
    }
  }

  /** Does what is due. Never rejects; what fails is tried again at the next tick, or ends the process by onFailure. */
  tick(): void {
    if (this.busy || this.closing || this.options.state.wal.state === "read-only") return;
    this.options.state.blockMemory.sweep();
    void this.exclusively(async (report) => {
      // First, because it makes room for the rest.
      await this.expire(report);
      await this.endWindowWhenDue();
      const { windows, side, clock } = this.options.state;
      const isWorth = windows.isWorthCut(this.options.lateWindowMs) || side.windows.hasOlder;
      const isDue = isWorth && clock.nowMs() >= windows.fromMs + this.options.lateWindowMs;
      if (isDue || this.pending !== undefined) await this.cut(report);
      if (side.isCrowded) await this.spillSide();
      await this.putDamagedAside();
      await this.merge(report, MERGES_PER_TICK);
      await this.mergeSide();
      report.rows += await this.levels.runWhenDue(LEVEL_STEPS_PER_TICK, () => this.closing);
      await this.indexer.indexNew();
      await this.indexer.reindex();
    }).catch(() => undefined);
  }

  /** Seals the windows before their time and cuts them, because memory runs short. Never rejects. */
  private relieve(): void {
    const { state } = this.options;
    if (this.busy || this.closing || state.wal.state === "read-only" || !state.budget.wantsSeal) return;
    this.busy = true;
    state.budget.earlySeals++;
    // What failed, for want of room on the disk most often, is tried again with the next batch.
    void this.flush().then(
      () => state.budget.relieved(),
      () => undefined,
    );
  }

  /** Cuts all samples there are into blocks now. Errors: UnavailableError (disk full, stopping), InternalError. */
  flush(): Promise<CutReport> {
    return this.exclusively(async (report) => {
      await this.cutAll(report, this.isDue);
      await this.clearLog();
    });
  }

  /** Merges and expires whatever the plan says now. Errors: as flush. */
  compact(): Promise<CutReport> {
    return this.exclusively(async (report) => {
      await this.expire(report);
      await this.merge(report, Number.POSITIVE_INFINITY);
      while (!this.closing && (await this.mergeSide()));
      report.rows += await this.levels.run(Number.POSITIVE_INFINITY, () => this.closing);
      // What had to wait for rows.
      await this.expire(report);
    });
  }

  /** Applies all deletions for good, also those that could be undone: none can be afterwards. Errors: as flush. */
  cleanTombstones(): Promise<CutReport> {
    const isDue: IsDue = () => true;
    return this.exclusively(async (report) => {
      await this.cutAll(report, isDue);
      await this.merge(report, Number.POSITIVE_INFINITY, isDue);
      while (!this.closing && (await this.mergeSide(isDue)));
      // Deleted samples are not to be found in the log either.
      await this.clearLog();
    });
  }

  private async cutAll(report: CutReport, isDue: IsDue): Promise<void> {
    const { state } = this.options;
    // While a cut had no room another window may have ended.
    if (this.pending !== undefined) await this.cut(report, isDue);
    if (state.windows.hasOlder || state.side.windows.hasOlder) await this.cut(report, isDue);
    await this.endWindow(state.clock.nowMs());
    await this.cut(report, isDue);
  }

  /** Tells of what is tried again later. */
  onProblem(problem: string): void {
    this.options.onProblem(problem);
  }

  /**
   * Makes a snapshot of everything acknowledged so far; its name. Cuts and merges wait; writes and queries go on. Errors: UnavailableError
   * (disk full, stopping).
   */
  async snapshot(): Promise<string> {
    let name = "";
    await this.exclusively(async () => {
      const { fs, dataDir, registry, state, random } = this.options;
      // The segments before the boundary are final, and hold all that the blocks don't.
      const next = await state.wal.rotate(() => {});
      name = linkSnapshot(fs, dataDir, registry, next - 1, state.clock.nowMs(), random);
    });
    return name;
  }

  /** Waits for what is at work; a build is given up. */
  async close(): Promise<void> {
    this.closing = true;
    await this.options.builder.close();
    await this.running;
  }

  /** Runs work while nothing is cut, merged or dropped. Errors: those of the work; UnavailableError when stopping. */
  exclusively(work: (report: CutReport) => Promise<void>): Promise<CutReport> {
    const report = nothingDone();
    const mine = this.running.then(async () => {
      if (this.closing) throw new UnavailableError("cannot cut blocks: got a storage that stops; want it running");
      const { wal } = this.options.state;
      // Says why.
      if (wal.state === "read-only") wal.admit(0);
      this.busy = true;
      try {
        await work(report);
      } catch (error) {
        this.report(error);
        throw error;
      } finally {
        this.busy = false;
        for (const name of Object.keys(report) as (keyof CutReport)[]) this.totals[name] += report[name];
        if (report.blocks + report.merged + report.rows > 0) this.options.state.onBlocks();
      }
      return report;
    });
    this.running = mine.catch(() => undefined);
    return mine;
  }

  private report(error: unknown): void {
    if (this.closing) return;
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof InternalError) this.options.onFailure(error);
    else this.options.onProblem(text);
  }

  private async endWindowWhenDue(): Promise<void> {
    const { state, windowMs } = this.options;
    const boundaryMs = Math.floor(state.clock.nowMs() / windowMs) * windowMs;
    if (boundaryMs <= state.windows.fromMs || boundaryMs <= this.firstMs || state.windows.hasPrevious) return;
    await this.endWindow(boundaryMs);
  }

  private async endWindow(toMs: number): Promise<void> {
    const { windows, side, wal } = this.options.state;
    await windows.prepare();
    // A segment of the WAL begins with the window, so that the older ones can go when the window before is cut.
    await wal.rotate(() => {
      windows.endWindow(toMs);
      side.windows.endWindow(toMs);
    });
  }

  private async cut(report: CutReport, isDue = this.isDue): Promise<void> {
    const { registry, state, stored } = this.options;
    const { windows, wal } = state;
    const { sideFiles } = this.options;
    const cut = this.pending ?? (await this.freeze());
    this.pending = cut;
    const entries: BlockEntry[] = [];
    let made: StoredSide[] = [];
    try {
      made = await sideFiles.cut(cut.side, isDue);
      for (const { head } of cut.frozen) await this.blocks.build(head, entries, isDue);
      // A query may have begun before the blocks are known, and read these heads: what they hold stays in the catalogue until a later cut.
      await state.forgetting.see(
        cut.frozen.map(({ head }) => head),
        cut.side,
      );
    } catch (error) {
      this.discard(entries);
      sideFiles.discard(made);
      throw error;
    }
    const covered = {
      maxMs: Math.max(cut.maxMs, registry.covered.maxMs),
      segment: Math.max(cut.segment, registry.covered.segment),
    };
    const walFrom = this.walFrom(covered.maxMs, covered.segment);
    const opened = await this.replaceRegistry({ add: entries, covered, walFrom }, made, () => sideFiles.discard(made));
    sideFiles.publish(made);
    for (const [file, block] of opened) stored.set(file, block);
    this.pending = undefined;
    windows.release(cut.frozen);
    state.side.adopt(made, cut.side);
    this.replaceSources();
    const olderAreRead = this.busyHeads > 0;
    this.busyHeads += cut.frozen.length;
    for (const { head } of cut.frozen) {
      head.whenIdle(() => {
        this.busyHeads--;
        void windows.recycle(head);
      });
    }
    for (const entry of entries) {
      report.blocks++;
      report.samples += entry.samples;
      report.sizeBytes += entry.sizeBytes;
    }
    this.indexer.note(entries, []);
    await this.indexer.indexNew();
    if (!olderAreRead) await this.forget();
    await state.forgetting.release(walFrom);
    await wal.truncate(walFrom);
  }

  /** Retires the series that were not written for a while. */
  private async forget(): Promise<void> {
    const { state, windowMs } = this.options;
    const { clock, forgetting, wal } = state;
    const gone = await forgetting.retire(clock.nowMs() - windowMs / 2);
    if (gone.length === 0) return;
    const { pin } = state.sources;
    state.sources = { ...state.sources, pin: new SourcesPin() };
    forgetting.wait(gone, wal.currentSegment, pin);
  }

  /** Puts side data into files before its window ends, because there is much of it. The WAL keeps it all the same, until the window is cut. */
  private async spillSide(): Promise<void> {
    const { side, forgetting } = this.options.state;
    const frozen = side.windows.freezeAll();
    try {
      await forgetting.see([], frozen);
      const { sideFiles } = this.options;
      const made = await sideFiles.cut(frozen, this.isDue);
      if (made.some(({ tombstones }) => tombstones.length > 0)) {
        await this.replaceRegistry({}, made, () => sideFiles.discard(made));
        sideFiles.publish(made);
      }
      side.adopt(made, frozen);
    } catch (error) {
      side.windows.thaw(frozen);
      throw error;
    }
  }

  private async freeze(): Promise<Cut> {
    const { windows, side, wal } = this.options.state;
    await windows.prepare();
    let frozen: readonly FrozenHead[] = [];
    let frozenSide: readonly SideStore[] = [];
    const maxMs = windows.fromMs;
    const segment = await wal.rotate(() => {
      frozen = windows.freeze();
      frozenSide = side.windows.freeze();
    });
    return { frozen, side: frozenSide, maxMs, segment };
  }

  /** The first segment that is still needed: it has newer samples, or what later ones don't repeat yet. */
  private walFrom(maxMs: number, segment: number): number {
    const { registry, state } = this.options;
    const end = Math.min(segment, state.wal.registeredFrom);
    let from = registry.walFrom;
    while (from < end && state.wal.newestMs(from) <= maxMs) from++;
    return from;
  }

  /** Removes what the log still has of samples that are in blocks, by repeating what its last segments need of it. */
  private async clearLog(): Promise<void> {
    const { registry, state } = this.options;
    const { maxMs, segment } = registry.covered;
    if (registry.walFrom >= segment) return;
    await state.wal.repeatNow();
    const walFrom = this.walFrom(maxMs, segment);
    await this.replaceRegistry({ walFrom });
    await state.wal.truncate(walFrom);
  }

  private async expire(report: CutReport): Promise<void> {
    const { registry, state } = this.options;
    this.options.sideFiles.expire();
    const raw = registry.blocks.filter((block) => block.level === "raw");
    let expired = planExpiry(raw, state.clock.nowMs(), state.retention.longestMs);
    if (expired.length > 0) {
      const held = this.levels.held(expired);
      expired = expired.filter((block) => !held.has(block));
    }
    if (expired.length > 0) await this.replaceBlocks({ remove: expired });
    report.expired += expired.length;
    await this.shrink(report);
    await this.indexer.indexNew();
  }

  /**
   * Drops the oldest blocks and files of side data when all together are too large; nothing that is as old is to be seen or written any more.
   * Some at a time, each step durable.
   */
  private async shrink(report: CutReport): Promise<void> {
    const { registry, state, retentionBytes, onNotice, sideFiles } = this.options;
    if (retentionBytes === Number.POSITIVE_INFINITY) return;
    let dropped = 0;
    let bytes = 0;
    while (!this.closing) {
      const all = [...registry.blocks, ...state.side.files];
      const plan = planShrink(all, retentionBytes, registry.cutoffMs, SHRUNK_AT_ONCE);
      if (plan === undefined) break;
      const { cutoffMs } = plan;
      const blocks = registry.blocks.filter((block) => plan.remove.includes(block));
      await this.replaceBlocks({ remove: blocks, cutoffMs });
      state.retention.cutoffMs = cutoffMs;
      sideFiles.drop(state.side.files.filter((file) => plan.remove.includes(file)));
      report.shrunk += plan.remove.length;
      dropped += plan.remove.length;
      bytes += plan.remove.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      await state.clock.sleep(0);
    }
    if (dropped === 0) return;
    const until = new Date(registry.cutoffMs).toISOString();
    onNotice(`dropped ${dropped} blocks of ${bytes} bytes, all up to ${until}: --retention-size is met`);
  }

  private async merge(report: CutReport, most: number, isDue = this.isDue): Promise<void> {
    const { registry, state, builder, dataDir, random, stored } = this.options;
    // Deletions that the registry could not be told of are not in its entries.
    if (registry.deletions.last !== state.deletions.last) await this.replaceBlocks({});
    for (let done = 0; done < most && !this.closing; done++) {
      state.reserve.look();
      // What is damaged or missing is merged with nothing.
      const served = registry.blocks.filter(({ file }) => stored.has(file));
      const [plan] = planMerges(served, state.clock.nowMs(), {
        // What is past raw retention may still be wanted by coarser levels, of a whole day.
        retentionMs: state.levelRetentionMs["1h"],
        freeBytes: state.reserve.spareBytes,
        besideBytes: (inputs) => this.levels.bytesBeside(inputs),
        isDue,
        hasPast: (entry) => this.floorsOf([entry]).some(({ floorMs }) => floorMs >= entry.maxMs),
      });
      if (plan === undefined) return;
      const inputs = plan.inputs.map((entry) => blockPath(dataDir, entry.file));
      const [one] = plan.inputs as [BlockEntry];
      const footers = plan.inputs.map((entry) => stored.get(entry.file)!.reader.footer);
      // A block of a coarser level is written anew by itself, and names the raw blocks that it was made from as before.
      const derivation = one.level === "raw" ? undefined : ({ kind: "purge" } as const);
      const options =
        derivation === undefined
          ? mergedOptions(footers, random.bytes(16))
          : derivedOptions(derivation, footers, random.bytes(16), one);
      const path = blockPath(dataDir, blockFileName(options));
      const tombstones = plan.inputs.map(({ tombstones: all = [] }) => dueAndKept(all, isDue));
      let made: BlockEntry[];
      try {
        const floors = derivation === undefined ? this.floorsOf(plan.inputs) : [];
        const summary = await builder.merge({ inputs, path, options, tombstones, floors, derivation });
        made = summary.series === 0 ? [] : [entryOf(options, summary)];
      } catch (error) {
        if (state.quarantine.report(error)) continue;
        throw error;
      }
      // A query has found an input damaged meanwhile.
      if (plan.inputs.some(({ file }) => !stored.has(file))) {
        this.discard(made);
        continue;
      }
      const rows = await this.rowsBeside(plan.inputs, made);
      if (rows === undefined) continue;
      await this.replaceBlocks({ add: [...made, ...rows.add], remove: [...plan.inputs, ...rows.remove] });
      await this.indexer.indexNew();
      report.merged += plan.inputs.length;
    }
  }

  /** What has to change of rows along with a merge; undefined when they turn out to be damaged, and the merge is given up. */
  private async rowsBeside(inputs: readonly BlockEntry[], merged: readonly BlockEntry[]) {
    try {
      const rows = await this.levels.withoutRowsOf(inputs);
      if ([...inputs, ...rows.remove].every(({ file }) => this.options.stored.has(file))) return rows;
      this.discard([...merged, ...rows.add]);
    } catch (error) {
      this.discard(merged);
      if (!this.options.state.quarantine.report(error)) throw error;
    }
    return undefined;
  }

  /** The tenants of which some of these blocks' samples are past. */
  private floorsOf(inputs: readonly BlockEntry[]): Floor[] {
    const { state, stored } = this.options;
    if (!state.retention.hasFloors) return [];
    const minMs = Math.min(...inputs.map((entry) => entry.minMs));
    const tenants = inputs.flatMap(({ file }) => stored.get(file)?.reader.footer.tenants ?? []);
    const names = new Set(tenants.map(({ tenant }) => tenant));
    return state.retention.floorsAbove(minMs, names, state.clock.nowMs());
  }

  /** Makes a change of the live blocks durable, with whatever deletions have not told the registry yet. Within exclusively. */
  async replaceBlocks(change: RegistryChange): Promise<void> {
    const { stored } = this.options;
    const opened = await this.replaceRegistry(change);
    const gone = (change.remove ?? []).map(({ file }) => stored.get(file)).filter((block) => block !== undefined);
    for (const { file } of change.remove ?? []) stored.delete(file);
    for (const [file, block] of opened) stored.set(file, block);
    this.replaceSources();
    for (const block of gone) block.retire();
    this.indexer.note(change.add ?? [], gone);
  }

  /** Merges the files of side data of a day, or takes out of one what deletions hide; false when there is nothing to be done. */
  private async mergeSide(isDue = this.isDue): Promise<boolean> {
    const { registry, state, sideFiles } = this.options;
    // Deletions that the registry could not be told of: a merged file would take them for older ones than its parents.
    if (registry.deletions.last !== state.deletions.last) await this.replaceRegistry({});
    try {
      if (await sideFiles.merge(isDue, (made) => this.replaceRegistry({}, made))) return true;
    } catch (error) {
      if (!state.quarantine.report(error)) throw error;
      return true;
    }
    const registered = state.side.files.filter((file) => file.registered !== undefined).length;
    // What was merged is not to be told of any more, nor deletions of which nothing is left.
    if (registry.side.length !== registered) await this.replaceRegistry({});
    return false;
  }

  /** Makes a change durable; returns the blocks it adds, opened. A change that the disk had no room for leaves nothing. */
  private async replaceRegistry(
    change: RegistryChange,
    made: readonly StoredSide[] = [],
    onGivenUp = (): void => {},
  ): Promise<Map<string, StoredBlock>> {
    const { registry, openBlock, onProblem, state, stored } = this.options;
    const opened = new Map<string, StoredBlock>();
    const giveUp = (): void => {
      for (const block of opened.values()) block.retire();
      this.discard(change.add ?? []);
      onGivenUp();
    };
    try {
      await eachInSlices(state.clock, change.add ?? [], (entry) => opened.set(entry.file, openBlock(entry)));
    } catch (error) {
      giveUp();
      throw error;
    }
    try {
      const complete = state.deletions.complete(change, registry, stored, state.side, made);
      for (const { message } of await registry.replace(complete)) onProblem(message);
      state.deletions.settle(complete, state.windows.heads, state.side);
    } catch (error) {
      // After a failed sync the disk may hold the new list: its files must stay.
      if (error instanceof UnavailableError) giveUp();
      throw error;
    }
    return opened;
  }

  /** Removes files that no registry names: tried again and again, they would fill a disk. What stays is removed at the next start. */
  private discard(entries: readonly BlockEntry[]): void {
    const { fs, dataDir, onProblem } = this.options;
    for (const { file } of entries) {
      try {
        fs.unlink(blockPath(dataDir, file));
      } catch (error) {
        onProblem(`cannot remove ${file}, which is not needed: got ${errorText(error)}`);
      }
    }
  }

  private replaceSources(): void {
    const { state, stored } = this.options;
    const blocks = [...stored.values()];
    inheritRows(state.sources.blocks, blocks);
    state.sources = { ...state.sources, heads: state.windows.heads, blocks };
  }
}
