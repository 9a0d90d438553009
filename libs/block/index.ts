// libs/block/index.ts: what other folders may use of immutable blocks.
export { type BlockEntry, blockFileName, entryOf, isBlockFile, isDraftFile, withTombstones } from "./block-entry.ts";
export {
  type BlockBuilder,
  type BuildJob,
  ChannelBlockBuilder,
  InlineBlockBuilder,
  type MergeJob,
  WorkerBlockBuilder,
} from "./builder.ts";
export { serveBuilder } from "./builder-server.ts";
export { ByteSink, ByteSource } from "./byte-stream.ts";
export type { ColumnEntry, StoredColumn } from "./column-entry.ts";
export { type Derivation, derivedOptions } from "./derive.ts";
export { BLOCK_DESCRIBERS } from "./describe.ts";
export { classifyingFileSystem } from "./disk-errors.ts";
export { foldSamples } from "./fold-rows.ts";
export { BLOCK_ID_BYTES, type BlockOptions, type Footer, LEVELS, type Level, type TenantEntry } from "./footer.ts";
export { decodeHeaderPage, encodeHeaderPage, HAS_NANS, HAS_STALES, type HeaderPage } from "./header-page.ts";
export { piecesOf } from "./index-pieces.ts";
export type { Floor, InputTombstones } from "./job.ts";
export { mergeBlocks, mergeColumns, mergedOptions, planTimes, type TimesPlan } from "./merge.ts";
export { packPage, pageOf, readChecked } from "./page.ts";
export { type BlockPiece, PIECE_BYTES, PieceWriter } from "./piece.ts";
export {
  DAY_MS,
  dayOf,
  type MergeOptions,
  type MergePlan,
  planExpiry,
  planMerges,
  planShrink,
  SETTLE_MS,
} from "./plan.ts";
export {
  daysOf,
  heldByLevels,
  type LevelBlock,
  type LevelRetention,
  type LevelStep,
  planLevels,
  type RowDays,
  rowDays,
} from "./plan-levels.ts";
export { BlockReader } from "./reader.ts";
export {
  BlockRegistry,
  blockPath,
  blocksFolder,
  type RegistryChange,
  type RegistryFindings,
  type RegistryProblem,
  readRegistry,
  registryPath,
} from "./registry.ts";
export {
  type DeletionEntry,
  NO_DELETIONS,
  type RegistryDeletions,
  type RegistryIdentity,
  type RegistryState,
  type SideTombstones,
  type WalCoverage,
} from "./registry-file.ts";
export { TimesPool } from "./times-pool.ts";
export {
  decodePlaces,
  dueAndKept,
  encodePlaces,
  hiddenByPlace,
  TimeRanges,
  type Tombstone,
  takeSpans,
} from "./tombstone.ts";
export { KeptTombstones } from "./tombstones-kept.ts";
export { type BlockDamage, verifyBlock } from "./verify.ts";
export { type BlockSummary, BlockWriter, compareBytes } from "./writer.ts";
