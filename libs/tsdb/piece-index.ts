// libs/tsdb/piece-index.ts: the persistent index of the live blocks: their pieces in a store that may lose or damage any of them.
// Invariant: an answer never depends on it. A block whose piece is missing or damaged is read page by page until the piece is there again.

import type { PieceValue } from "../index/index.ts";
import {
  openPiece,
  type PieceBlock,
  type PieceReader,
  type PieceStore,
  PREFIX_BYTES,
  piecePrefix,
} from "../index/index.ts";
import { CorruptionError } from "../model/index.ts";

/** What is asked of a block here. */
export interface IndexedBlock extends PieceBlock {
  readonly tenants: readonly { readonly tenant: string }[];
}

export interface PieceStats {
  /** Blocks with pieces. */
  indexed: number;
  /** Blocks whose pieces were made again. */
  rebuilt: number;
}

/** Makes a block's pieces from its file. Errors: CorruptionError; CanceledError; InternalError. */
export type MakePieces = (block: IndexedBlock) => Promise<readonly PieceValue[]>;

const nameOf = ({ id }: PieceBlock): string => Buffer.from(id).toString("hex");

export class PieceIndex {
  readonly stats: PieceStats = { indexed: 0, rebuilt: 0 };
  private readonly store: PieceStore;
  private readonly onProblem: (problem: string) => void;
  /** Blocks that have no piece, or a damaged one, by id. */
  private readonly wanting = new Map<string, IndexedBlock>();
  private readonly indexed = new Set<string>();

  private readonly sizeOf: () => number;
  private refuses = false;

  constructor(store: PieceStore, onProblem: (problem: string) => void = () => {}, sizeOf: () => number = () => 0) {
    this.store = store;
    this.sizeOf = sizeOf;
    this.onProblem = onProblem;
  }

  /** A tenant's piece of a block; undefined when it can't be had, and is to be made again. */
  find(block: IndexedBlock, tenant: string): PieceReader | undefined {
    if (this.wanting.has(nameOf(block))) return undefined;
    try {
      const piece = openPiece(this.store, block, tenant);
      if (piece === undefined) this.lose(block, "nothing");
      return piece;
    } catch (error) {
      this.lose(block, reasonOf(error));
      return undefined;
    }
  }

  /**
   * Does something with a block's piece, one of those that `kept` has by tenant, or one that it has then; undefined when there is none, or it
   * turns out to be damaged.
   */
  with<T>(
    block: IndexedBlock,
    tenant: string,
    use: (piece: PieceReader) => T,
    kept?: Map<string, PieceReader>,
  ): T | undefined {
    const piece = kept?.get(tenant) ?? this.find(block, tenant);
    if (piece === undefined) return undefined;
    kept?.set(tenant, piece);
    try {
      return use(piece);
    } catch (error) {
      kept?.delete(tenant);
      this.lose(block, reasonOf(error));
      return undefined;
    }
  }

  private lose(block: IndexedBlock, got: string): void {
    const name = nameOf(block);
    if (this.wanting.has(name)) return;
    this.wanting.set(name, block);
    this.indexed.delete(name);
    this.stats.indexed = this.indexed.size;
    const text = `cannot read the index of block ${name} of shard ${block.shard}: got ${got}; want its piece, which is made again`;
    this.onProblem(text);
  }

  /** Adds blocks' pieces, and removes those of blocks that are gone. What can't be written now is made again later. Never rejects. */
  async replace(
    added: readonly { readonly block: IndexedBlock; readonly pieces: readonly PieceValue[] }[],
    removed: readonly PieceBlock[] = [],
  ): Promise<void> {
    for (const block of removed) {
      this.wanting.delete(nameOf(block));
      this.indexed.delete(nameOf(block));
    }
    try {
      await this.store.write(
        added.flatMap(({ pieces }) => pieces),
        removed.map(piecePrefix),
      );
      for (const { block } of added) {
        this.wanting.delete(nameOf(block));
        this.indexed.add(nameOf(block));
      }
    } catch (error) {
      this.refuses = true;
      for (const { block } of added) this.wanting.set(nameOf(block), block);
      this.onProblem(`cannot write the index: got ${reasonOf(error)}; want ${added.length} blocks in it`);
    }
    this.stats.indexed = this.indexed.size;
  }

  /** Notes which of the live blocks have pieces, and removes what is of no live block. */
  async compare(blocks: readonly IndexedBlock[]): Promise<void> {
    const live = new Map(blocks.map((block) => [nameOf(block), block]));
    try {
      const strangers: Uint8Array[] = [];
      for (let from: Uint8Array = new Uint8Array(0); ; ) {
        const key = await this.store.firstKey(from);
        if (key === undefined) break;
        const found = live.get(Buffer.from(key.subarray(6, 22)).toString("hex"));
        const prefix = key.slice(0, PREFIX_BYTES);
        if (found !== undefined && Buffer.compare(piecePrefix(found), prefix) === 0) this.indexed.add(nameOf(found));
        else strangers.push(prefix);
        // Nothing of ours that begins so is beyond.
        const beyond = Uint8Array.from([...prefix, 0xff]);
        from = Buffer.compare(beyond, key) > 0 ? beyond : Uint8Array.from([...key, 0]);
      }
      if (strangers.length > 0) await this.store.write([], strangers);
    } catch (error) {
      this.onProblem(`cannot look through the index: got ${reasonOf(error)}; want its keys`);
    }
    // A block of rows may have no series, and so no piece.
    for (const [name, { tenants }] of live) if (tenants.length === 0) this.indexed.add(name);
    this.stats.indexed = this.indexed.size;
    for (const [name, block] of live) if (!this.indexed.has(name)) this.wanting.set(name, block);
  }

  /** What it takes on disk. */
  get sizeBytes(): number {
    return this.sizeOf();
  }

  /** Whether the last write failed. */
  get isRefusing(): boolean {
    return this.refuses;
  }

  /** Once the disk has room again: the store writes again, or says that it can't. Never rejects. */
  async recover(): Promise<void> {
    try {
      await this.store.recover?.();
      this.refuses = false;
    } catch (error) {
      this.onProblem(`cannot open the index anew: got ${reasonOf(error)}; want it to be written again`);
    }
  }

  /** Blocks that want their pieces made. */
  get missing(): number {
    return this.wanting.size;
  }

  /** Makes the pieces that are missing, block by block, until `isOver`. Never rejects. */
  async rebuild(make: MakePieces, isOver: () => boolean): Promise<void> {
    for (const block of [...this.wanting.values()]) {
      if (isOver()) return;
      try {
        const pieces = await make(block);
        if (!this.wanting.has(nameOf(block))) continue;
        await this.replace([{ block, pieces }], [block]);
        if (this.refuses) return;
        this.stats.rebuilt++;
      } catch (error) {
        if (!(error instanceof CorruptionError)) return;
        // The block itself is damaged; whoever reads it says so.
        this.wanting.delete(nameOf(block));
      }
    }
  }

  close(): Promise<void> {
    return this.store.close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
