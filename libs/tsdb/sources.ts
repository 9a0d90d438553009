// libs/tsdb/sources.ts: where a query's samples are: heads and blocks, seen as they are when it begins.
// A snapshot never changes: cuts and merges replace it as a whole, before they retire the blocks that are no longer in it. What is in a head
// and in blocks, or in several of either, is merged; at equal times the winner of libs/kernel/winner.ts counts.
import { daysOf as daysIn, type RowDays, type TimeRanges } from "../block/index.ts";
import { freshDaysOf } from "./fresh-rows.ts";
import type { Head } from "./head.ts";
import { HeadView } from "./head-view.ts";
import type { StoredBlock } from "./stored-block.ts";

export interface Sources {
  /** Oldest first. */
  readonly heads: readonly Head[];
  /** In any order, blocks of rows among them. */
  readonly blocks: readonly StoredBlock[];
  readonly pin?: SourcesPin;
}

type HiddenTimes = ReadonlyMap<number, TimeRanges>;

/** Counts the queries at work on snapshots that know the same series of the catalogue. */
export class SourcesPin {
  users = 0;
}

/**
 * What of a snapshot may have samples in [lowMs, highMs]. Its blocks stay open, and its heads what they are, until `release`; a deletion, or the
 * undoing of one, that is executed meanwhile is not seen.
 */
export class CapturedSources {
  readonly lowMs: number;
  readonly highMs: number;
  private readonly pin: SourcesPin | undefined;
  private readonly allHeads: readonly HeadView[];
  /** By their first times: those of samples, and those of rows. */
  readonly blocks: readonly StoredBlock[];
  readonly rows: readonly StoredBlock[];
  /** All of these: samples first, then rows. */
  readonly both: readonly StoredBlock[];
  private readonly all: readonly StoredBlock[];
  /** Of those blocks of which something is hidden: what. */
  private readonly hidden: ReadonlyMap<StoredBlock, HiddenTimes>;
  private knownHidden: ReadonlyMap<number, ReadonlySet<number>> | undefined;

  /** `rowsBackMs`: how far before `lowMs` rows are captured, too. */
  constructor({ heads, blocks, pin }: Sources, lowMs: number, highMs: number, rowsBackMs = 0) {
    this.lowMs = lowMs;
    this.highMs = highMs;
    const all = blocks
      .filter((block) => block.overlaps(block.isRows ? lowMs - rowsBackMs : lowMs, highMs))
      .sort((a, b) => a.reader.footer.minMs - b.reader.footer.minMs);
    this.blocks = all.filter((block) => !block.isRows);
    this.rows = all.filter((block) => block.isRows);
    this.both = [...this.blocks, ...this.rows];
    this.all = blocks;
    for (const block of this.both) block.acquire();
    this.allHeads = heads.map((head) => new HeadView(head));
    const hidden = new Map<StoredBlock, HiddenTimes>();
    for (const block of blocks) if (block.hidden !== undefined) hidden.set(block, block.hidden);
    this.hidden = hidden;
    this.pin = pin;
    if (pin !== undefined) pin.users++;
  }

  /** Heads with samples in the range now; one at least. A single one is not asked. */
  heads(): readonly HeadView[] {
    if (this.allHeads.length === 1) return this.allHeads;
    const found = this.headsWithin();
    return found.length > 0 ? found : this.allHeads.slice(-1);
  }

  /** Heads with samples in the range now. */
  headsWithin(): readonly HeadView[] {
    return this.allHeads.filter(({ head }) => head.overlaps(this.lowMs, this.highMs));
  }

  /** By place: the times at which deletions hide samples of a block; undefined when they hide nothing. */
  hiddenOf(block: StoredBlock): HiddenTimes | undefined {
    return this.hidden.get(block);
  }

  /** On which days a block of rows answers for samples: not where a deletion hides some of these. */
  daysOf(rows: StoredBlock): RowDays {
    const days = freshDaysOf(this.all, rows);
    const gone = this.hiddenDays.get(rows.reader.footer.shard);
    if (gone === undefined) return days;
    const without = (set: ReadonlySet<number>): Set<number> => new Set([...set].filter((day) => !gone.has(day)));
    return { fresh: without(days.fresh), alone: without(days.alone) };
  }

  /** By shard: the days on which deletions hide raw samples. Of all that there is: rows are looked for before `lowMs`, too. */
  private get hiddenDays(): ReadonlyMap<number, ReadonlySet<number>> {
    if (this.knownHidden !== undefined) return this.knownHidden;
    const found = new Map<number, Set<number>>();
    for (const { reader } of this.hidden.keys()) {
      const { level, shard } = reader.footer;
      if (level !== "raw") continue;
      const days = found.get(shard) ?? new Set();
      for (const day of daysIn(reader.footer)) days.add(day);
      found.set(shard, days);
    }
    this.knownHidden = found;
    return found;
  }

  release(): void {
    for (const block of this.both) block.release();
    for (const view of this.allHeads) view.release();
    if (this.pin !== undefined) this.pin.users--;
  }
}
