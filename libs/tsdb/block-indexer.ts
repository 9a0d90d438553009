// libs/tsdb/block-indexer.ts: keeps the persistent index at the live blocks: pieces come with new blocks, go with old ones, and are made again where
// they are lost. Queries read the blocks' labels until it is done.
import { type BlockBuilder, type BlockEntry, blockPath, compareBytes } from "../block/index.ts";
import { errorText } from "../env/index.ts";
import type { PieceValue } from "../index/index.ts";
import { CorruptionError } from "../model/index.ts";
import type { IndexedBlock } from "./piece-index.ts";
import type { DbState } from "./state.ts";
import type { StoredBlock } from "./stored-block.ts";

/** A store is not opened anew with less room: it could not be, and what it has would be out of reach. */
const RECOVERY_BYTES = 16 << 20;

export interface BlockIndexerOptions {
  readonly state: Pick<DbState, "pieces" | "reserve">;
  readonly dataDir: string;
  readonly builder: BlockBuilder;
  /** The live blocks by file name. */
  readonly stored: ReadonlyMap<string, StoredBlock>;
  readonly onProblem: (problem: string) => void;
}

export class BlockIndexer {
  private readonly options: BlockIndexerOptions;
  private readonly isClosing: () => boolean;
  /** Blocks that the index does not know yet, and that it still knows. */
  private added: BlockEntry[] = [];
  private gone: StoredBlock[] = [];

  constructor(options: BlockIndexerOptions, isClosing: () => boolean) {
    this.options = options;
    this.isClosing = isClosing;
  }

  /** Notes what became of the live blocks. */
  note(added: readonly BlockEntry[], gone: readonly StoredBlock[]): void {
    this.added.push(...added);
    this.gone.push(...gone);
  }

  /** Brings the index up to what was noted. Never rejects. */
  async indexNew(): Promise<void> {
    const { builder, dataDir, stored, state, onProblem } = this.options;
    const [added, gone] = [this.added, this.gone];
    [this.added, this.gone] = [[], []];
    const made: { block: IndexedBlock; pieces: readonly PieceValue[] }[] = [];
    for (const { file } of added) {
      const block = stored.get(file)?.reader.footer;
      if (block === undefined || this.isClosing()) continue;
      try {
        made.push({ block, pieces: await builder.index(blockPath(dataDir, file)) });
      } catch (error) {
        if (!this.isClosing()) onProblem(`cannot index ${file}: got ${errorText(error)}; want it read`);
      }
    }
    if (made.length + gone.length === 0) return;
    await state.pieces.replace(
      made,
      gone.map(({ reader }) => reader.footer),
    );
  }

  /** Makes pieces that are missing: those that a disk has lost, or a crash kept from being written. Never rejects. */
  async reindex(): Promise<void> {
    const { builder, dataDir, state, stored } = this.options;
    if (state.pieces.isRefusing && state.reserve.freeBytes >= RECOVERY_BYTES) await state.pieces.recover();
    if (state.pieces.isRefusing || state.pieces.missing === 0) return;
    const make = ({ id }: IndexedBlock): Promise<readonly PieceValue[]> => {
      for (const [file, { reader }] of stored) {
        if (compareBytes(reader.footer.id, id) === 0) return builder.index(blockPath(dataDir, file));
      }
      return Promise.reject(new CorruptionError("cannot index block: got one out of service; want it served", "", 0));
    };
    await state.pieces.rebuild(make, this.isClosing);
  }
}
