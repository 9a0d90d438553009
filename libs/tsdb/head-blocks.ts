// libs/tsdb/head-blocks.ts: builds the blocks of a head that takes nothing any more: shard by shard and day by day, what deletions hide apart.
import {
  type BlockBuilder,
  type BlockEntry,
  type BlockOptions,
  type BlockPiece,
  blockFileName,
  blockPath,
  DAY_MS,
  entryOf,
  type Tombstone,
  withTombstones,
} from "../block/index.ts";
import { inSlices, type Random } from "../env/index.ts";
import type { Head } from "./head.ts";
import { HeadPieces, RangeTooLong, seriesByShard } from "./head-pieces.ts";
import { HiddenPieces } from "./hidden-pieces.ts";
import { orderByKey } from "./key-order.ts";
import type { DbState } from "./state.ts";

export interface HeadBlocksOptions {
  readonly state: Pick<DbState, "catalog" | "clock" | "identity">;
  readonly builder: BlockBuilder;
  readonly dataDir: string;
  readonly random: Random;
}

/** Whether a deletion can't be undone any more. */
export type IsDue = (deletion: string) => boolean;

/** What a block is built from. */
interface Pieces {
  next(): BlockPiece | undefined;
  /** What is hidden of the block; absent when nothing is. */
  tombstones?(): Tombstone[];
}

export class HeadBlocks {
  private readonly options: HeadBlocksOptions;

  constructor(options: HeadBlocksOptions) {
    this.options = options;
  }

  /** Adds what a head's blocks are to `entries`; on an error those that are there already. Errors: those of the builder. */
  async build(head: Head, entries: BlockEntry[], isDue: IsDue): Promise<void> {
    const { catalog, clock } = this.options.state;
    // Blocks don't reach over midnight, so that a day can be merged.
    const days = head.spans(DAY_MS);
    for (const [shard, series] of await inSlices(clock, seriesByShard(head, catalog))) {
      const ordered = await inSlices(clock, orderByKey(catalog, series));
      const hidden = series.filter((one) => (head.hiddenSamples?.layersOf(one) ?? 0) > 0);
      const layers = hidden.reduce((most, one) => Math.max(most, head.hiddenSamples!.layersOf(one)), 0);
      const orderedHidden = layers === 0 ? undefined : await inSlices(clock, orderByKey(catalog, hidden));
      for (const { firstMs, lastMs } of days) {
        const visible = (from: number, to: number): Pieces => new HeadPieces(head, ordered, from, to);
        await this.buildRange(shard, visible, firstMs - 1, lastMs, entries);
        for (let layer = 0; layer < layers; layer++) {
          const pieces = (from: number, to: number): Pieces =>
            new HiddenPieces(head, orderedHidden!, layer, from, to, isDue);
          await this.buildRange(shard, pieces, firstMs - 1, lastMs, entries);
        }
      }
    }
  }

  /** Builds the block of a shard's samples in (fromMs, toMs]: none when there are none, two when a series has too many for one. */
  private async buildRange(
    shard: number,
    piecesOf: (fromMs: number, toMs: number) => Pieces,
    fromMs: number,
    toMs: number,
    entries: BlockEntry[],
  ): Promise<void> {
    const { state, builder, dataDir } = this.options;
    const pieces = piecesOf(fromMs, toMs);
    const options = this.optionsOf(shard, fromMs, toMs);
    const path = blockPath(dataDir, blockFileName(options));
    try {
      const first = pieces.next();
      if (first === undefined) return;
      let waiting: BlockPiece | undefined = first;
      const next = (): BlockPiece | undefined => {
        const piece = waiting ?? pieces.next();
        waiting = undefined;
        return piece;
      };
      const entry = entryOf(options, await builder.build({ path, options, next }));
      entries.push(withTombstones(entry, pieces.tombstones?.() ?? []));
      await state.clock.sleep(0);
    } catch (error) {
      if (!(error instanceof RangeTooLong)) throw error;
      const middleMs = Math.floor(fromMs + (toMs - fromMs) / 2);
      await this.buildRange(shard, piecesOf, fromMs, middleMs, entries);
      await this.buildRange(shard, piecesOf, middleMs, toMs, entries);
    }
  }

  private optionsOf(shard: number, minMs: number, maxMs: number): BlockOptions {
    const { state, random } = this.options;
    const { shardCount, hashSeed } = state.identity;
    return {
      id: random.bytes(16),
      shard,
      shardCount,
      hashSeed,
      level: "raw",
      minMs,
      maxMs,
      walPosition: [0n, 0n],
      parents: [],
      columnsPerSeries: 1,
    };
  }
}
