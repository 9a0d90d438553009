// libs/tsdb/db.ts: one storage: opens a data directory, takes batches, answers leaves, closes. No network here.
// Order of a start: lock, identity, replay, WAL open, ready. Order of a stop: no new work, WAL durable, lock released.
import type { Clock, FileSystem, Processes, Random } from "../env/index.ts";
import { bitmapImplementation } from "../index/index.ts";
import { type IngestSession, type Labels, type Matcher, type Queryable, UnavailableError } from "../model/index.ts";
import {
  type DirectoryIdentity,
  type DirectoryLock,
  lockDirectory,
  openIdentity,
  openWal,
  type ReplayReport,
  type WalState,
} from "../wal/index.ts";
import { SeriesCatalog } from "./catalog.ts";
import type { HeadStats } from "./head.ts";
import { MetadataStore } from "./metadata-store.ts";
import { DbQuerier } from "./querier.ts";
import { recover } from "./recover.ts";
import { DbSession } from "./session.ts";
import { type DbState, DbStats } from "./state.ts";
import { Windows } from "./windows.ts";

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
  readonly headMemoryBytes: number;
  readonly retentionMs: number;
  readonly maxFutureMs: number;
  readonly seriesMax: number;
  /** worker: write and sync in a thread of its own, on the real file system; inline: on `fs`, for simulations. */
  readonly walMode: "worker" | "inline";
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
  readonly labelPairs: number;
  readonly catalogBytes: number;
  readonly sessions: number;
  readonly wal: { state: WalState; segment: number; waitingBytes: number; refusals: number };
  readonly metadataDropped: number;
  readonly bitmaps: string;
}

export class Db {
  readonly identity: DirectoryIdentity;
  readonly queryable: Queryable;
  /** How the start went: counts, and the damage that was found. */
  readonly replayed: ReplayReport;
  /** Resolves with the reason when the storage can't go on: the process must stop. */
  readonly failed: Promise<Error>;
  private readonly state: DbState;
  private readonly lock: DirectoryLock;

  private constructor(state: DbState, lock: DirectoryLock, replayed: ReplayReport) {
    this.state = state;
    this.lock = lock;
    this.identity = state.identity;
    this.replayed = replayed;
    this.failed = state.wal.failed;
    this.queryable = new DbQuerier(state);
  }

  /**
   * Opens a data directory, or makes one. Errors: InvalidError when the directory is locked, foreign, marked suspect or of a newer
   * version; UnavailableError when its samples don't fit into --head-memory.
   */
  static async open(options: DbOptions): Promise<Db> {
    const { fs, clock, dataDir } = options;
    const lock = await lockDirectory(fs, clock, options.processes, dataDir);
    try {
      const { shardCount, clusterId, nodeId, hashSeed } = options;
      const identity = openIdentity(fs, dataDir, { shardCount, clusterId, nodeId, hashSeed }, options.random);
      const catalog = new SeriesCatalog();
      const windows = new Windows({
        clock,
        memoryBytes: options.headMemoryBytes,
        seriesEnd: () => catalog.seriesEnd,
        homeOf: (series) => catalog.homeOf(series),
        fromMs: Number.NEGATIVE_INFINITY,
        onChange: () => {},
      });
      const metadata = new MetadataStore();
      const replayed = await recover(fs, clock, dataDir, identity, catalog, windows, metadata);
      const stats = new DbStats();
      const wal = openWal({
        fs,
        clock,
        dataDir,
        identity,
        replayed,
        registrations: catalog,
        mode: options.walMode,
        ...(options.walSegmentBytes === undefined ? {} : { segmentBytes: options.walSegmentBytes }),
        ...(options.walBufferBytes === undefined ? {} : { bufferBytes: options.walBufferBytes }),
        onGroup: (group) => {
          stats.walGroups++;
          stats.walBytes += group.bytes;
          stats.walSyncSumMs += group.syncMs;
          stats.walSyncMaxMs = Math.max(stats.walSyncMaxMs, group.syncMs);
        },
      });
      const { retentionMs, maxFutureMs, seriesMax } = options;
      const state: DbState = {
        ...{ identity, clock, windows, catalog, metadata, wal, stats, retentionMs, maxFutureMs, seriesMax },
        get head() {
          return windows.current;
        },
        sessions: new Set(),
        closing: false,
        seriesLimitText: () => seriesLimitText(catalog, seriesMax),
      };
      return new Db(state, lock, replayed);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** A connection for one insert. Errors: UnavailableError when closing or when the head is full. */
  openSession(): IngestSession {
    if (this.state.closing)
      throw new UnavailableError("cannot open session: got a storage that stops; want it running");
    const session = new DbSession(this.state);
    this.state.sessions.add(session);
    return session;
  }

  /**
   * The stored samples of every matching series of a tenant, stale markers included, one series after the other. The columns are
   * copies.
   */
  *export(
    tenant: string,
    matchers: readonly Matcher[],
    minMs = Number.NEGATIVE_INFINITY,
    maxMs = Number.POSITIVE_INFINITY,
  ): Generator<{ labels: Labels; times: Float64Array; values: Float64Array }> {
    const { catalog, head } = this.state;
    for (const series of catalog.index.select(tenant, matchers)) {
      const { times, values, count } = head.readSeries(series, minMs, maxMs);
      yield { labels: catalog.index.labelsOf(series), times: times.slice(0, count), values: values.slice(0, count) };
    }
  }

  report(): DbReport {
    const { state } = this;
    const { wal, catalog } = state;
    return {
      counters: state.stats,
      head: state.head.stats(),
      seriesCount: catalog.index.size,
      seriesMax: state.seriesMax,
      labelPairs: catalog.index.pairCount,
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
    };
  }

  /** Ends all sessions, makes everything appended durable, and releases the directory. */
  async close(): Promise<void> {
    if (this.state.closing) return;
    this.state.closing = true;
    for (const session of [...this.state.sessions]) await session.close();
    await this.state.wal.close();
    this.state.catalog.index.dispose();
    this.lock.release();
  }
}

function seriesLimitText({ seriesEnd, index }: SeriesCatalog, seriesMax: number): string {
  if (seriesEnd >= seriesMax) return `got ${seriesEnd} series; want at most ${seriesMax} (--series-max)`;
  if (index.isFullOfTenants) return `got ${index.tenantCount} tenants; want no more`;
  return `got ${seriesEnd} series and no memory for more (--head-memory)`;
}
