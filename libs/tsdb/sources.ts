// libs/tsdb/sources.ts: where a query's samples are: heads and blocks, seen as they are when it begins.
// A snapshot never changes: cuts and merges replace it as a whole, before they retire the blocks that are no longer in it. What is in a head
// and in blocks, or in several of either, is merged; at equal times the winner of libs/kernel/winner.ts counts.
import type { Head } from "./head.ts";
import type { StoredBlock } from "./stored-block.ts";

export interface Sources {
  /** Oldest first. */
  readonly heads: readonly Head[];
  /** In any order. */
  readonly blocks: readonly StoredBlock[];
  readonly pin?: SourcesPin;
}

/** Counts the queries at work on snapshots that know the same series of the catalogue. */
export class SourcesPin {
  users = 0;
}

/** What of a snapshot may have samples in [lowMs, highMs]. Its blocks stay open, and its heads what they are, until `release`. */
export class CapturedSources {
  readonly lowMs: number;
  readonly highMs: number;
  private readonly pin: SourcesPin | undefined;
  private readonly allHeads: readonly Head[];
  /** By their first times. */
  readonly blocks: readonly StoredBlock[];

  constructor({ heads, blocks, pin }: Sources, lowMs: number, highMs: number) {
    this.lowMs = lowMs;
    this.highMs = highMs;
    this.allHeads = heads;
    this.blocks = blocks
      .filter((block) => block.overlaps(lowMs, highMs))
      .sort((a, b) => a.reader.footer.minMs - b.reader.footer.minMs);
    for (const block of this.blocks) block.acquire();
    for (const head of heads) head.acquire();
    this.pin = pin;
    if (pin !== undefined) pin.users++;
  }

  /** Heads with samples in the range now; one at least. */
  heads(): readonly Head[] {
    const { allHeads, lowMs, highMs } = this;
    if (allHeads.length === 1) return allHeads;
    const found = allHeads.filter((head) => head.overlaps(lowMs, highMs));
    return found.length > 0 ? found : allHeads.slice(-1);
  }

  release(): void {
    for (const block of this.blocks) block.release();
    for (const head of this.allHeads) head.release();
    if (this.pin !== undefined) this.pin.users--;
  }
}
