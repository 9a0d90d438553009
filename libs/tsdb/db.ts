// libs/tsdb/db.ts: one storage: opens a data directory, takes batches, answers leaves, closes. No network here.
// Order of a start: lock, identity, replay, WAL open, ready. Order of a stop: no new work, WAL durable, lock released.
import {
  type BlockEntry,
  BlockRegistry,
  InlineBlockBuilder,
  LEVELS,
  type Level,
  WorkerBlockBuilder,
} from "../block/index.ts";
import {
  type Clock,
  errorCode,
  errorText,
  type FileSystem,
  type Processes,
  type Random,
  type Timer,
} from "../env/index.ts";
import { bitmapImplementation, type PieceStore } from "../index/index.ts";
import { createHash128 } from "../kernel/index.ts";
import {
  CorruptionError,
  type Deletable,
  type IngestSession,
  type Matcher,
  type Queryable,
  type RowLevel,
  UnavailableError,
} from "../model/index.ts";
import {
  type DirectoryIdentity,
  type DirectoryLock,
  describeDamage,
  identityPath,
  lockDirectory,
  markSuspect,
  openIdentity,
  openWal,
  type ReplayReport,
  suspectPath,
  suspicionOf,
  type WalState,
} from "../wal/index.ts";
import { BlockMemory } from "./block-memory.ts";
import { SeriesCatalog } from "./catalog.ts";
import type { CutReport } from "./cut-report.ts";
import { Cutter } from "./cutter.ts";
import { Deleter } from "./deleter.ts";
import { Deletions } from "./deletions.ts";
import { DiskReserve, type Reserve } from "./disk-reserve.ts";
import { type ExportedSeries, exportSeries } from "./export.ts";
import { Forgetting } from "./forgetting.ts";
import type { HeadStats } from "./head.ts";
import { HeadBudget } from "./head-budget.ts";
import { openIndex } from "./index-folder.ts";
import { MetadataStore } from "./metadata-store.ts";
import { openBlocks } from "./open-blocks.ts";
import type { PieceIndex, PieceStats } from "./piece-index.ts";
import { PlanPool } from "./plan-pool.ts";
import { Quarantine } from "./quarantine.ts";
import { DbQuerier } from "./querier.ts";
import { ReadAhead, type ReadAheadStats } from "./read-ahead.ts";
import { recover } from "./recover.ts";
import { Retention } from "./retention.ts";
import { Selector } from "./selector.ts";
import { type SeriesLimit, SeriesLimits } from "./series-limits.ts";
import { DbSession } from "./session.ts";
import { SideData } from "./side-data.ts";
import { SideFiles } from "./side-files.ts";
import { SourcesPin } from "./sources.ts";
import { type DbState, DbStats } from "./state.ts";
import { Windows } from "./windows.ts";

/** Windows that become blocks, how long they take late samples, and how often it is looked what is due. */
const WINDOW_MS = 2 * 3_600_000;
const LATE_WINDOW_MS = 15 * 60_000;
const TICK_MS = 5000;
/** How long a deletion can be undone. */
const DELETE_UNDO_MS = 24 * 3_600_000;
/** What opened blocks may keep in memory, as a share of the head's, and for how long without being asked. */
const BLOCK_MEMORY_SHARE = 4;
const BLOCK_IDLE_MS = 10 * 60_000;
/** What histograms and exemplars may take before they are in files, as a share of the head's memory. */
const SIDE_MEMORY_SHARE = 4;
const SIDE_MEMORY_MIN_BYTES = 1 << 20;

export interface DbOptions {
  readonly dataDir: string;
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly processes: Processes;
  readonly shardCount: number;
  /** Left out: as found in the directory, or drawn. */
  readonly clusterId?: string;
  readonly nodeId?: string;
  readonly hashSeed?: Uint8Array;
  /** Of one head; of all together, unless `headTotalBytes` says less. */
  readonly headMemoryBytes: number;
  /** Of all heads; no bound of its own when left out. */
  readonly headTotalBytes?: number;
  /** What is kept in memory of blocks that nobody reads; by default a quarter of a head's. */
  readonly blockMemoryBytes?: number;
  /** Of raw samples. */
  readonly retentionMs: number;
  /** Of coarser levels, none shorter than the one before; by default that of raw samples. */
  readonly rowRetentionMs?: Readonly<Record<RowLevel, number>>;
  /** Of tenants whose retention is another one. */
  readonly tenantRetentionMs?: ReadonlyMap<string, number>;
  /** What all blocks may take together; the oldest go beyond. By default whatever there is. */
  readonly retentionBytes?: number;
  readonly maxFutureMs: number;
  readonly seriesMax: number;
  /** Series of one tenant; left out: as many as of all. */
  readonly tenantSeriesMax?: number;
  /** What is kept free on the disk; nothing when left out. */
  readonly diskReserve?: Reserve;
  /** worker: write and sync in a thread of its own, on the real file system; inline: on `fs`, for simulations. */
  readonly walMode: "worker" | "inline";
  /** Length of a window that becomes a block; by default two hours. */
  readonly windowMs?: number;
  /** How long after its end a window takes late samples; by default 15 minutes. */
  readonly lateWindowMs?: number;
  /** How long a deletion can be undone; then merges apply it. By default 24 hours. */
  readonly deleteUndoMs?: number;
  /** Hears of what an operator wants to know. */
  readonly onNotice?: (notice: string) => void;
  /** Hears of what could not be done and is tried again. */
  readonly onProblem?: (problem: string) => void;
  /** Where the persistent index lies; by default in level below the data directory, or, with an inline WAL, in memory. */
  readonly pieceStore?: PieceStore;
  readonly walSegmentBytes?: number;
  /** Limit of what may wait for the disk. */
  readonly walBufferBytes?: number;
}

/** What a storage tells of itself, for metrics and status pages. */
export interface DbReport {
  readonly counters: DbStats;
  readonly head: HeadStats;
  readonly seriesCount: number;
  readonly seriesMax: number;
  /** Numbers that series have or had and that may pass to others; how many did, and how many series were forgotten since the start. */
  readonly catalogNumbers: number;
  readonly numbersReused: number;
  readonly forgotten: number;
  readonly tenantSeriesMax: number;
  /** New series refused, by the flag that refused them. */
  readonly seriesRefused: Readonly<Record<SeriesLimit, number>>;
  /** Windows sealed before their time, for want of memory. */
  readonly earlySeals: number;
  readonly labelPairs: number;
  readonly catalogBytes: number;
  readonly sessions: number;
  readonly wal: { state: WalState; segment: number; waitingBytes: number; refusals: number };
  readonly metadataDropped: number;
  readonly bitmaps: string;
  readonly disk: { readonly freeBytes: number; readonly reserveBytes: number };
  /** Heads with samples, and the memory they use. */
  readonly heads: number;
  readonly headsUsedBytes: number;
  readonly blocks: {
    readonly count: number;
    readonly sizeBytes: number;
    readonly samples: number;
    /** Blocks that are not served, and found to be so since the start. */
    readonly damaged: number;
    readonly damagedBytes: number;
    readonly quarantined: number;
  };
  /** The persistent index: blocks in it, blocks that are to be, blocks that were put in again, and its size on disk. */
  readonly index: Readonly<PieceStats> & { readonly missing: number; readonly sizeBytes: number };
  /** Histograms, exemplars and start times: not yet in files, and in them. */
  readonly side: { readonly memoryBytes: number; readonly files: number; readonly sizeBytes: number };
  /** What was read of blocks before queries asked for it, and what all that was read takes in memory. */
  readonly readAhead: Readonly<ReadAheadStats> & { readonly keptBytes: number };
  readonly levels: readonly { readonly level: Level; readonly count: number; readonly sizeBytes: number }[];
  /** Deletions whose samples are hidden and still there. */
  readonly openDeletions: number;
  /** Samples up to here were dropped for want of room; -Infinity when none were. */
  readonly cutoffMs: number;
  /** What was cut, merged and dropped since the start. */
  readonly cuts: Readonly<CutReport>;
}

export class Db {
  readonly identity: DirectoryIdentity;
  readonly queryable: Queryable;
  readonly deletable: Deletable;
  /** How the start went: counts, and the damage that was found. */
  readonly replayed: ReplayReport;
  /** Resolves with the reason when the storage can't go on: the process must stop. */
  readonly failed: Promise<Error>;
  private readonly state: DbState;
  private readonly lock: DirectoryLock;
  private readonly cutter: Cutter;
  private readonly registry: BlockRegistry;
  private readonly sideFiles: SideFiles;
  private readonly ticker: Timer;
  private readonly readAhead: ReadAhead;

  private constructor(
    state: DbState,
    lock: DirectoryLock,
    replayed: ReplayReport,
    cutter: Cutter,
    deleter: Deleter,
    registry: BlockRegistry,
    sideFiles: SideFiles,
    failure: Promise<Error>,
    onProblem: (problem: string) => void,
  ) {
    this.sideFiles = sideFiles;
    this.state = state;
    this.lock = lock;
    this.cutter = cutter;
    this.deletable = deleter;
    this.registry = registry;
    this.identity = state.identity;
    this.replayed = replayed;
    this.failed = Promise.race([state.wal.failed, failure]);
    this.ticker = state.clock.every(TICK_MS, () => {
      state.reserve.look();
      cutter.tick();
    });
    const plans = new PlanPool();
    this.queryable = new DbQuerier(state, plans);
    this.readAhead = new ReadAhead(state, plans);
    state.onBlocks = () => {
      this.readAhead.blocksCame().catch((error: unknown) => onProblem(`cannot read blocks ahead: ${String(error)}`));
    };
  }

  /**
   * Opens a data directory, or makes one; one marked suspect, or on a disk that can't be written, is read only. Errors: InvalidError when the directory is locked, foreign or of a
   * newer version; UnavailableError when its samples don't fit into --head-memory.
   */
  static async open(options: DbOptions): Promise<Db> {
    const { fs, clock, dataDir } = options;
    let cutter: Cutter | undefined;
    let pieces: PieceIndex | undefined;
    const { lock, whyNot } = await lockIfWritable(fs, clock, options.processes, dataDir);
    try {
      const { shardCount, clusterId, nodeId, hashSeed } = options;
      const identity = openIdentity(fs, dataDir, { shardCount, clusterId, nodeId, hashSeed }, options.random);
      const suspicion = suspicionOf(fs, dataDir);
      const readOnly = suspicion === undefined ? whyNot : suspectText(dataDir, suspicion);
      const isReadOnly = readOnly !== undefined;
      const registry = BlockRegistry.open(fs, dataDir, identity, isReadOnly);
      const { covered } = registry;
      const catalog = new SeriesCatalog(identity.hashSeed);
      const fromMs = registry.findings.made || covered.segment === 1 ? Number.NEGATIVE_INFINITY : covered.maxMs;
      const side = new SideData(fromMs, Math.max(SIDE_MEMORY_MIN_BYTES, options.headMemoryBytes / SIDE_MEMORY_SHARE));
      const windows: Windows = new Windows({
        clock,
        memoryBytes: options.headMemoryBytes,
        keepsIdle: (bytes) => budget.fits(bytes),
        seriesEnd: () => catalog.seriesEnd,
        homeOf: (series) => catalog.homeOf(series),
        fromMs,
        onChange: () => {
          if (opened !== undefined) opened.sources = { ...opened.sources, heads: windows.heads };
        },
      });
      const budget = new HeadBudget(options.headTotalBytes ?? Number.POSITIVE_INFINITY, () => windows.usedBytes);
      const metadata = new MetadataStore();
      const { onProblem = () => {} } = options;
      const quarantine = new Quarantine(fs, dataDir, onProblem);
      const reserve = new DiskReserve(fs, dataDir, options.diskReserve ?? { bytes: 0 });
      let opened: DbState | undefined;
      const deletions = new Deletions(clock, options.deleteUndoMs ?? DELETE_UNDO_MS, registry.deletions);
      const replayed = await recover(
        fs,
        clock,
        dataDir,
        identity,
        catalog,
        windows,
        metadata,
        deletions,
        side.windows,
        registry,
        isReadOnly,
      );
      const lost = replayed.damage.filter(({ mayLoseSamples }) => mayLoseSamples).map(describeDamage);
      if (lost.length > 0 && !isReadOnly) {
        const nowMs = clock.nowMs();
        // What is not in blocks, and what comes late for them as a rule.
        const { lateWindowMs = LATE_WINDOW_MS } = options;
        const minMs = Math.max(covered.maxMs - lateWindowMs, nowMs - options.retentionMs);
        quarantine.addLoss({ minMs: Math.floor(minMs), maxMs: nowMs + options.maxFutureMs }, lost);
      }
      const stats = new DbStats();
      const wal = openWal({
        fs,
        clock,
        dataDir,
        identity,
        replayed,
        registrations: catalog,
        metadata,
        mode: options.walMode,
        readOnly,
        ...(options.walSegmentBytes === undefined ? {} : { segmentBytes: options.walSegmentBytes }),
        ...(options.walBufferBytes === undefined ? {} : { bufferBytes: options.walBufferBytes }),
        onGroup: (group) => {
          stats.walGroups++;
          stats.walBytes += group.bytes;
          reserve.wrote(group.bytes);
          stats.walSyncSumMs += group.syncMs;
          stats.walSyncMaxMs = Math.max(stats.walSyncMaxMs, group.syncMs);
        },
      });
      const { maxFutureMs, seriesMax, tenantSeriesMax = seriesMax } = options;
      const retention = new Retention({
        defaultMs: options.retentionMs,
        ...(options.tenantRetentionMs === undefined ? {} : { byTenant: options.tenantRetentionMs }),
      });
      retention.cutoffMs = registry.cutoffMs;
      const { blockMemoryBytes = options.headMemoryBytes / BLOCK_MEMORY_SHARE } = options;
      const blockMemory = new BlockMemory(clock, blockMemoryBytes, BLOCK_IDLE_MS);
      pieces = await openIndex(options, onProblem);
      const { longestMs } = retention;
      const { rowRetentionMs = { "1m": longestMs, "1h": longestMs } } = options;
      const state: DbState = {
        ...{ identity, clock, windows, catalog, metadata, deletions, side, wal, stats, retention, maxFutureMs, budget },
        limits: new SeriesLimits({ seriesMax, tenantSeriesMax, budget }),
        forgetting: new Forgetting(catalog, windows, side, clock, replayed.end.segment),
        levelRetentionMs: {
          raw: longestMs,
          "1m": Math.max(longestMs, rowRetentionMs["1m"]),
          "1h": Math.max(longestMs, rowRetentionMs["1h"]),
        },
        sources: { heads: windows.heads, blocks: [], pin: new SourcesPin() },
        quarantine,
        reserve,
        ...{ blockMemory, pieces, selector: new Selector(catalog, blockMemory) },
        sessions: new Set(),
        closing: false,
        onPressure: () => {},
        onBlocks: () => {},
      };
      opened = state;
      const { stored, openBlock, kernel, numberOf, damaged } = openBlocks(fs, dataDir, state, registry);
      const { random } = options;
      const hidden = registry.side;
      const sideFiles = new SideFiles(state, { fs, dataDir, random, kernel, numberOf, hidden, onProblem, isReadOnly });
      state.sources = { ...state.sources, blocks: [...stored.values()] };
      await pieces.compare([...stored.values()].map(({ reader }) => reader.footer));
      const failure = new Promise<Error>((resolve) => {
        const builder = options.walMode === "worker" ? new WorkerBlockBuilder(clock) : new InlineBlockBuilder(fs);
        const { windowMs = WINDOW_MS, lateWindowMs = LATE_WINDOW_MS } = options;
        const { retentionBytes = Number.POSITIVE_INFINITY, onNotice = () => {} } = options;
        cutter = new Cutter({
          ...{
            state,
            fs,
            dataDir,
            registry,
            builder,
            random,
            windowMs,
            lateWindowMs,
            openBlock,
            stored,
            sideFiles,
            onProblem,
          },
          ...{ retentionBytes, onNotice },
          isNew: replayed.counts.samples === 0 && registry.blocks.length === 0,
          onFailure: (error) => {
            markSuspect(fs, dataDir, `${new Date(clock.nowMs()).toISOString()} ${error.message}`);
            resolve(error);
          },
        });
      });
      const isLeftOut = (error: unknown): boolean => quarantine.report(error);
      deletions.tellBlocks([...stored.values()], side.files, createHash128(identity.hashSeed), isLeftOut);
      const deleter = new Deleter(state, cutter!);
      const unopened = [...damaged, ...sideFiles.unopened];
      for (const { entry, error } of unopened) quarantine.add(entry, errorText(error));
      cutter!.putAside(unopened.filter(({ error }) => error instanceof CorruptionError).map(({ entry }) => entry));
      return new Db(state, lock, replayed, cutter!, deleter, registry, sideFiles, failure, onProblem);
    } catch (error) {
      await pieces?.close();
      lock.release();
      throw error;
    }
  }

  /** Files of the blocks that are damaged or missing. The rest is served. */
  get damagedBlocks(): readonly string[] {
    return this.state.quarantine.missing.map(({ file }) => file);
  }

  /** Why no writes are taken now, a sentence; undefined while they are. */
  get readOnlyReason(): string | undefined {
    return this.state.wal.refusal ?? this.state.reserve.refusal;
  }

  /** A connection for one insert. Errors: UnavailableError when closing or when the head is full. */
  openSession(): IngestSession {
    if (this.state.closing)
      throw new UnavailableError("cannot open session: got a storage that stops; want it running");
    const session = new DbSession(this.state);
    this.state.sessions.add(session);
    return session;
  }

  /** The stored samples of every matching series of a tenant, stale markers included. */
  export(
    tenant: string,
    matchers: readonly Matcher[],
    minMs = Number.NEGATIVE_INFINITY,
    maxMs = Number.POSITIVE_INFINITY,
  ): Generator<ExportedSeries> {
    const { catalog, sources, side, retention, clock } = this.state;
    const fromMs = Math.min(Math.max(minMs, retention.floorMs(tenant, clock.nowMs()) + 1), maxMs + 1);
    return this.watched(exportSeries(catalog, sources, side, tenant, matchers, fromMs, maxMs));
  }

  /** A block that is found damaged ends the export; the next one goes without it. */
  private *watched(series: Generator<ExportedSeries>): Generator<ExportedSeries> {
    try {
      yield* series;
    } catch (error) {
      this.state.quarantine.report(error);
      throw error;
    }
  }

  /** Cuts all samples there are into blocks now. Errors: UnavailableError (disk full, stopping), InternalError. */
  flush(): Promise<CutReport> {
    return this.cutter.flush();
  }

  /** Drops and merges blocks as is due now. Errors: as flush. */
  compact(): Promise<CutReport> {
    return this.cutter.compact();
  }

  /** Makes a snapshot of everything acknowledged so far, by hard links; its name in DIR/snapshots. Errors: as flush. */
  snapshot(): Promise<string> {
    return this.cutter.snapshot();
  }

  /** Reads the newest blocks ahead, for `budgetMs` at most, before there are queries. Errors: InternalError. */
  readAheadOfQueries(budgetMs: number): Promise<void> {
    return this.readAhead.beforeQueries(budgetMs);
  }

  /**
   * Goes on with that while no query is at work; settles when it is over, or the storage closes. Blocks that come later are read likewise.
   * Errors: as above.
   */
  readAheadBesideQueries(budgetMs: number): Promise<void> {
    return this.readAhead.besideQueries(budgetMs);
  }

  report(): DbReport {
    const { state, registry } = this;
    const total = (of: (entry: BlockEntry) => number): number => registry.blocks.reduce((sum, b) => sum + of(b), 0);
    const { wal, catalog } = state;
    const { missing } = state.quarantine;
    return {
      counters: state.stats,
      head: state.windows.current.stats(),
      seriesCount: catalog.index.size,
      seriesMax: state.limits.seriesMax,
      tenantSeriesMax: state.limits.tenantSeriesMax,
      seriesRefused: state.limits.refused,
      earlySeals: state.budget.earlySeals,
      labelPairs: catalog.index.pairsInUse,
      catalogNumbers: catalog.seriesEnd,
      numbersReused: catalog.reused,
      forgotten: state.forgetting.retired,
      catalogBytes: catalog.sizeBytes,
      sessions: state.sessions.size,
      wal: {
        state: wal.state,
        segment: wal.currentSegment,
        waitingBytes: wal.waitingBytes,
        refusals: wal.refusals,
      },
      metadataDropped: state.metadata.dropped,
      bitmaps: bitmapImplementation,
      disk: { freeBytes: state.reserve.freeBytes, reserveBytes: state.reserve.bytes },
      heads: state.windows.heads.length,
      headsUsedBytes: state.windows.usedBytes,
      blocks: {
        count: registry.blocks.length,
        sizeBytes: total((entry) => entry.sizeBytes),
        samples: total((entry) => (entry.level === "raw" ? entry.samples : 0)),
        damaged: missing.length,
        damagedBytes: missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        quarantined: state.quarantine.foundCount,
      },
      index: { ...state.pieces.stats, missing: state.pieces.missing, sizeBytes: state.pieces.sizeBytes },
      side: state.side.report(),
      readAhead: { ...this.readAhead.stats, keptBytes: state.blockMemory.sizeBytes },
      levels: LEVELS.map((level) => {
        const own = registry.blocks.filter((block) => block.level === level);
        return { level, count: own.length, sizeBytes: own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
      }),
      cutoffMs: state.retention.cutoffMs,
      openDeletions: state.deletions.entries.length,
      cuts: this.cutter.totals,
    };
  }

  /** Ends all sessions, makes everything appended durable, and releases the directory. */
  async close(): Promise<void> {
    if (this.state.closing) return;
    this.state.closing = true;
    this.ticker.cancel();
    await this.readAhead.stop();
    for (const session of [...this.state.sessions]) await session.close();
    await this.cutter.close();
    await this.state.wal.close();
    const { blocks } = this.state.sources;
    this.state.sources = { ...this.state.sources, blocks: [] };
    for (const block of blocks) block.retire();
    this.sideFiles.close();
    await this.state.pieces.close();
    this.state.catalog.index.dispose();
    this.lock.release();
  }
}

/** A disk that takes no lock, because it is mounted so or fails, takes no other process' writes either: it can be read. */
async function lockIfWritable(
  fs: FileSystem,
  clock: Clock,
  processes: Processes,
  dataDir: string,
): Promise<{ readonly lock: DirectoryLock; readonly whyNot?: string }> {
  try {
    return { lock: await lockDirectory(fs, clock, processes, dataDir) };
  } catch (error) {
    if (!["EROFS", "EIO"].includes(errorCode(error) ?? "") || fs.stat(identityPath(dataDir)) === undefined) throw error;
    const whyNot = `cannot take writes: got ${errorText(error)}; want a disk that can be written (--data-dir), then a new start; queries go on`;
    return { lock: { path: "", release: () => {} }, whyNot };
  }
}

function suspectText(dataDir: string, suspicion: string): string {
  return (
    `cannot take writes: got a directory marked ${suspectPath(dataDir)} (${suspicion}); ` +
    `want tidemark verify --data-dir ${dataDir} to pass on the stopped storage, then a new start; queries go on`
  );
}
