// libs/tsdb/state.ts: everything mutable of one storage, owned by one event loop, and its counters.
import type { Level, LevelRetention } from "../block/index.ts";
import type { Clock } from "../env/index.ts";
import type { NumberedSide } from "../side/index.ts";
import type { DirectoryIdentity, Wal } from "../wal/index.ts";
import type { BlockMemory } from "./block-memory.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Deletions } from "./deletions.ts";
import type { DiskReserve } from "./disk-reserve.ts";
import type { Forgetting } from "./forgetting.ts";
import type { HeadAppend } from "./head.ts";
import type { HeadBudget } from "./head-budget.ts";
import type { MetadataStore } from "./metadata-store.ts";
import type { PieceIndex } from "./piece-index.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Retention } from "./retention.ts";
import type { Selector } from "./selector.ts";
import type { SeriesLimits } from "./series-limits.ts";
import type { DbSession } from "./session.ts";
import type { SideData } from "./side-data.ts";
import type { Sources } from "./sources.ts";
import type { Windows } from "./windows.ts";

/** Counters since the start, for metrics. */
export class DbStats {
  samplesReceived = 0;
  samplesStored = 0;
  samplesLate = 0;
  samplesDuplicate = 0;
  samplesOutvoted = 0;
  samplesFuture = 0;
  samplesTooOld = 0;
  samplesSeriesLimit = 0;
  samplesIdCollision = 0;
  idCollisions = 0;
  batches = 0;
  /** From a batch's arrival to its durability, all batches together and the slowest one. */
  appendSumMs = 0;
  appendMaxMs = 0;
  walGroups = 0;
  walBytes = 0;
  walSyncSumMs = 0;
  walSyncMaxMs = 0;
  histogramsStored = 0;
  exemplarsStored = 0;
  startsStored = 0;
  sideDuplicate = 0;
  sideOutvoted = 0;
  leaves = 0;
  /** By the level that answered. */
  readonly leavesOf: Record<Level, number> = { raw: 0, "1m": 0, "1h": 0 };
  /** Leaves and streams of raw samples under way. */
  leavesRunning = 0;
  samplesRead = 0;
  deletions = 0;
  deletionsUndone = 0;

  count(received: number, done: HeadAppend): void {
    this.batches++;
    this.samplesReceived += received;
    this.samplesStored += done.stored;
    this.samplesLate += done.late;
    this.samplesDuplicate += done.duplicates;
    this.samplesOutvoted += done.outvoted;
    this.samplesFuture += done.future;
    this.samplesTooOld += done.tooOld;
    this.samplesSeriesLimit += done.refusedLimit;
    this.samplesIdCollision += done.refusedCollision;
  }

  countSide(stored: readonly NumberedSide[], duplicates: number, outvoted: number): void {
    for (const { side } of stored) {
      this.histogramsStored += side.histograms.length;
      this.exemplarsStored += side.exemplars.length;
      this.startsStored += side.starts.length;
    }
    this.sideDuplicate += duplicates;
    this.sideOutvoted += outvoted;
  }

  appendMs(ms: number): void {
    this.appendSumMs += ms;
    if (ms > this.appendMaxMs) this.appendMaxMs = ms;
  }
}

export interface DbState {
  readonly identity: DirectoryIdentity;
  readonly clock: Clock;
  readonly windows: Windows;
  /** What queries read. Cuts and merges replace it as a whole, and retire its former blocks afterwards. */
  sources: Sources;
  readonly blockMemory: BlockMemory;
  readonly forgetting: Forgetting;
  /** The persistent index of the blocks. */
  readonly pieces: PieceIndex;
  /** Finds the series of queries. */
  readonly selector: Selector;
  readonly quarantine: Quarantine;
  readonly reserve: DiskReserve;
  readonly catalog: SeriesCatalog;
  readonly metadata: MetadataStore;
  /** Histograms, exemplars and start times. */
  readonly side: SideData;
  readonly deletions: Deletions;
  readonly wal: Wal;
  readonly stats: DbStats;
  readonly sessions: Set<DbSession>;
  readonly retention: Retention;
  /** Of each level. */
  readonly levelRetentionMs: LevelRetention;
  readonly maxFutureMs: number;
  readonly limits: SeriesLimits;
  readonly budget: HeadBudget;
  closing: boolean;
  /** Memory of the heads runs short: windows are to be sealed. */
  onPressure: () => void;
  /** There are blocks that were not there before. */
  onBlocks: () => void;
}
