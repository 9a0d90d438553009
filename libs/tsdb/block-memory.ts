// libs/tsdb/block-memory.ts: bounds what opened blocks keep in memory: series tables, headers and times that were read.
// The blocks that were used last stay, up to a number of bytes; those that nobody has used for long go as well.
import type { Clock } from "../env/index.ts";

/** What keeps something that can be read again. */
export interface Droppable {
  readonly keptBytes: number;
  /** Whether somebody works with it now: then it stays. */
  readonly isInUse: boolean;
  drop(): void;
}

interface Kept {
  bytes: number;
  usedMs: number;
}

export class BlockMemory {
  private readonly clock: Clock;
  readonly bytesMax: number;
  private readonly idleMs: number;
  /** The one used longest ago comes first. */
  private readonly kept = new Map<Droppable, Kept>();
  private bytes = 0;

  constructor(clock: Clock, bytesMax: number, idleMs: number) {
    this.clock = clock;
    this.bytesMax = bytesMax;
    this.idleMs = idleMs;
  }

  /** Bytes kept, about; of blocks in use as they were before. */
  get sizeBytes(): number {
    return this.bytes;
  }

  /** Counts anew what a block keeps, now that it was used. */
  used(block: Droppable): void {
    this.forget(block);
    const bytes = block.keptBytes;
    if (bytes > 0) {
      this.kept.set(block, { bytes, usedMs: this.clock.monotonicMs() });
      this.bytes += bytes;
    }
    this.sweep();
  }

  /** Counts a block no longer. */
  forget(block: Droppable): void {
    const known = this.kept.get(block);
    if (known === undefined) return;
    this.kept.delete(block);
    this.bytes -= known.bytes;
  }

  /** Drops what is too much or was not used for long; to be called now and then when nobody asks. */
  sweep(): void {
    const oldest = this.clock.monotonicMs() - this.idleMs;
    for (const [block, { usedMs }] of this.kept) {
      if (this.bytes <= this.bytesMax && usedMs > oldest) return;
      if (block.isInUse) continue;
      this.forget(block);
      block.drop();
    }
  }
}
