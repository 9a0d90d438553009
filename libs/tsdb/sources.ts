// libs/tsdb/sources.ts: where a query's samples are: heads and blocks, seen as they are when it begins.
// A snapshot never changes: cuts and merges replace it as a whole, before they retire the blocks that are no longer in it. What is in a head
// and in blocks, or in several of either, is merged; at equal times the winner of libs/kernel/winner.ts counts.
import { daysOf as daysIn, type RowDays } from "../block/index.ts";
import type { BlockSeries } from "./block-series.ts";
import { freshDaysOf } from "./fresh-rows.ts";
import type { Head } from "./head.ts";
import type { Pace } from "./pace.ts";
import type { StoredBlock } from "./stored-block.ts";

export interface Sources {
  /** Oldest first. Each knows all series numbers of the catalogue. */
  readonly heads: readonly Head[];
  /** In any order. */
  readonly blocks: readonly StoredBlock[];
}

/** A block with the table of its series. */
export interface LoadedBlock {
  readonly block: StoredBlock;
  readonly series: BlockSeries;
}

/** What of a snapshot may have samples in [lowMs, highMs]. Its blocks stay open, and its heads what they are, until `release`. */
export class CapturedSources {
  readonly lowMs: number;
  readonly highMs: number;
  private readonly allHeads: readonly Head[];
  /** By their first times: those of samples, and those of rows. */
  private readonly blocks: readonly StoredBlock[];
  readonly rows: readonly StoredBlock[];
  private readonly all: readonly StoredBlock[];

  /** `rowsBackMs`: how far before `lowMs` rows are captured, too. */
  constructor({ heads, blocks }: Sources, lowMs: number, highMs: number, rowsBackMs = 0) {
    this.lowMs = lowMs;
    this.highMs = highMs;
    this.allHeads = heads;
    const all = blocks
      .filter((block) => block.overlaps(block.isRows ? lowMs - rowsBackMs : lowMs, highMs))
      .sort((a, b) => a.reader.footer.minMs - b.reader.footer.minMs);
    this.blocks = all.filter((block) => !block.isRows);
    this.rows = all.filter((block) => block.isRows);
    this.all = blocks;
    for (const block of all) block.acquire();
    for (const head of heads) head.acquire();
  }

  /** Heads with samples in the range now; one at least. */
  heads(): readonly Head[] {
    const { allHeads, lowMs, highMs } = this;
    if (allHeads.length === 1) return allHeads;
    const found = allHeads.filter((head) => head.overlaps(lowMs, highMs));
    return found.length > 0 ? found : allHeads.slice(-1);
  }

  /** On which days a block of rows answers for samples: not where a deletion hides some of these. */
  daysOf(rows: StoredBlock): RowDays {
    const days = freshDaysOf(this.all, rows);
    const { shard } = rows.reader.footer;
    const hidden = this.blocks.filter((block) => block.hidden !== undefined && block.reader.footer.shard === shard);
    if (hidden.length === 0) return days;
    const gone = new Set(hidden.flatMap((block) => daysIn(block.reader.footer)));
    const without = (set: ReadonlySet<number>): Set<number> => new Set([...set].filter((day) => !gone.has(day)));
    return { fresh: without(days.fresh), alone: without(days.alone) };
  }

  /**
   * The blocks of samples, or those given, with their series, all of which are in the catalogue afterwards. Errors: CorruptionError; those
   * of the pace.
   */
  async load(pace: Pace, blocks = this.blocks): Promise<LoadedBlock[]> {
    const loaded: LoadedBlock[] = [];
    for (const block of blocks) {
      let series = block.load();
      while (series === undefined) {
        if (pace.isDue) await pace.rest();
        series = block.load();
      }
      loaded.push({ block, series });
      if (pace.isDue) await pace.rest();
    }
    return loaded;
  }

  /** Sees to it that all series of the blocks are in the catalogue. Errors as those of load. */
  async register(pace: Pace): Promise<void> {
    for (const block of [...this.blocks, ...this.rows]) {
      while (!block.isRegistered) {
        block.load();
        if (pace.isDue) await pace.rest();
      }
    }
  }

  /** The blocks of samples that `isNeeded` wants. */
  samples(isNeeded: (block: StoredBlock) => boolean): readonly StoredBlock[] {
    return this.blocks.filter(isNeeded);
  }

  /** Like load of the blocks of samples, in one piece. */
  loadAll(): LoadedBlock[] {
    return this.blocks.map((block) => ({ block, series: block.loadAll() }));
  }

  release(): void {
    for (const block of [...this.blocks, ...this.rows]) block.release();
    for (const head of this.allHeads) head.release();
  }
}
