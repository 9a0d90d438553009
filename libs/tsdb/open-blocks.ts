// libs/tsdb/open-blocks.ts: the live blocks of a directory, opened; and which of the node's series are those that files of side data name.
import {
  type BlockEntry,
  BlockReader,
  type BlockRegistry,
  blockPath,
  classifyingFileSystem,
  TimesPool,
} from "../block/index.ts";
import type { FileSystem } from "../env/index.ts";
import { ColumnKernel, createHash128 } from "../kernel/index.ts";
import { CorruptionError, type Hash128, placeSeries } from "../model/index.ts";
import { RegistrationBody } from "../wal/index.ts";
import { headFullError } from "./head.ts";
import { numberFor } from "./register.ts";
import type { DbState } from "./state.ts";
import { StoredBlock } from "./stored-block.ts";
import type { NumberOf } from "./stored-side.ts";

export interface OpenedBlocks {
  /** By file name. */
  readonly stored: Map<string, StoredBlock>;
  /** Opens a block that was made later. Errors: CorruptionError. */
  readonly openBlock: (entry: BlockEntry) => StoredBlock;
  readonly kernel: ColumnKernel;
  readonly numberOf: NumberOf;
  /** Live blocks that could not be opened, or are in quarantine already; and why. */
  readonly damaged: readonly { readonly entry: BlockEntry; readonly error: unknown }[];
}

/** Opens the live blocks; what is damaged is left out and told. */
export function openBlocks(fs: FileSystem, dataDir: string, state: DbState, registry: BlockRegistry): OpenedBlocks {
  const kernel = new ColumnKernel();
  const hash128 = createHash128(state.identity.hashSeed);
  const numberOf = (key: Uint8Array): number => numberOfKey(state, hash128, key);
  const files = classifyingFileSystem(fs);
  const timesPool = new TimesPool();
  const openBlock = (entry: BlockEntry): StoredBlock => {
    const { pieces, blockMemory } = state;
    const reader = new BlockReader(files, blockPath(dataDir, entry.file), kernel, timesPool);
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
  return { stored, openBlock, kernel, numberOf, damaged };
}

/** The number of a series. One that is not in the catalogue is registered anew, and logged, as if an insert had named it. */
function numberOfKey(state: DbState, hash128: Hash128, key: Uint8Array): number {
  const { catalog, clock, wal, identity } = state;
  const id = hash128(key);
  const idView = new DataView(id.buffer, id.byteOffset, id.length);
  const known = catalog.find(idView, 0);
  if (known >= 0) return known;
  const { shard, home } = placeSeries(hash128, key, identity.shardCount);
  const series = numberFor(state, home);
  if (series < 0) throw headFullError();
  catalog.add(idView, 0, catalog.index.read(key), shard, home, clock.nowMs(), series);
  const body = new RegistrationBody();
  body.add(series, shard, BigInt(home.low) | (BigInt(home.high) << 32n), id, key);
  // Nothing is logged while read-only: nothing will refer to it.
  if (wal.state !== "read-only") wal.register(body.body());
  return series;
}
