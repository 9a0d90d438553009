// libs/tsdb/open-blocks.ts: the live blocks of a directory, opened.
import { type BlockEntry, BlockReader, type BlockRegistry, blockPath } from "../block/index.ts";
import { errorText, type FileSystem } from "../env/index.ts";
import { ColumnKernel } from "../kernel/index.ts";
import type { BlockMemory } from "./block-memory.ts";
import type { PieceIndex } from "./piece-index.ts";
import { StoredBlock } from "./stored-block.ts";

export interface OpenedBlocks {
  /** By file name. */
  readonly stored: Map<string, StoredBlock>;
  /** Opens a block that was made later. Errors: CorruptionError. */
  readonly openBlock: (entry: BlockEntry) => StoredBlock;
  /** Blocks that could not be opened, a sentence each. */
  readonly damaged: readonly string[];
}

/** Opens the live blocks; what is damaged is left out and told. */
export function openBlocks(
  fs: FileSystem,
  dataDir: string,
  registry: BlockRegistry,
  pieces: PieceIndex,
  memory: BlockMemory,
): OpenedBlocks {
  const kernel = new ColumnKernel();
  const openBlock = (entry: BlockEntry): StoredBlock => {
    return new StoredBlock(new BlockReader(fs, blockPath(dataDir, entry.file), kernel), pieces, memory);
  };
  const stored = new Map<string, StoredBlock>();
  const damaged: string[] = [];
  for (const entry of registry.blocks) {
    try {
      stored.set(entry.file, openBlock(entry));
    } catch (error) {
      damaged.push(`${entry.file}: ${errorText(error)}`);
    }
  }
  return { stored, openBlock, damaged };
}
