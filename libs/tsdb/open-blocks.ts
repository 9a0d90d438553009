// libs/tsdb/open-blocks.ts: the live blocks of a directory, opened.
import { type BlockEntry, BlockReader, type BlockRegistry, blockPath, classifyingFileSystem } from "../block/index.ts";
import type { FileSystem } from "../env/index.ts";
import { ColumnKernel } from "../kernel/index.ts";
import { CorruptionError } from "../model/index.ts";
import type { DbState } from "./state.ts";
import { StoredBlock } from "./stored-block.ts";

export interface OpenedBlocks {
  /** By file name. */
  readonly stored: Map<string, StoredBlock>;
  /** Opens a block that was made later. Errors: CorruptionError. */
  readonly openBlock: (entry: BlockEntry) => StoredBlock;
  /** Live blocks that could not be opened, or are in quarantine already; and why. */
  readonly damaged: readonly { readonly entry: BlockEntry; readonly error: unknown }[];
}

/** Opens the live blocks; what is damaged is left out and told. */
export function openBlocks(fs: FileSystem, dataDir: string, state: DbState, registry: BlockRegistry): OpenedBlocks {
  const kernel = new ColumnKernel();
  const files = classifyingFileSystem(fs);
  const openBlock = (entry: BlockEntry): StoredBlock => {
    const { pieces, blockMemory } = state;
    const reader = new BlockReader(files, blockPath(dataDir, entry.file), kernel);
    const block = new StoredBlock(reader, pieces, blockMemory);
    block.tombstones = entry.tombstones ?? [];
    return block;
  };
  const stored = new Map<string, StoredBlock>();
  const damaged: { entry: BlockEntry; error: unknown }[] = [];
  for (const entry of registry.blocks) {
    try {
      if (state.quarantine.wasAside(entry.file)) throw new CorruptionError("found damaged before", entry.file, 0);
      stored.set(entry.file, openBlock(entry));
    } catch (error) {
      damaged.push({ entry, error });
    }
  }
  return { stored, openBlock, damaged };
}
