// libs/block/block-entry.ts: what the registry says of a live block, and the name of its file, which a person can read.
import type { BlockOptions, Level } from "./footer.ts";
import type { Tombstone } from "./tombstone.ts";
import type { BlockSummary } from "./writer.ts";

/** A live block; an immutable value. */
export interface BlockEntry {
  /** Name of its file in the blocks folder: blockFileName. */
  readonly file: string;
  /** Its id, 32 hex digits. */
  readonly id: string;
  readonly shard: number;
  readonly level: Level;
  /** Samples have times in (minMs, maxMs]. */
  readonly minMs: number;
  readonly maxMs: number;
  readonly series: number;
  readonly samples: number;
  readonly sizeBytes: number;
  /** What deletions hide of it; absent when nothing is. */
  readonly tombstones?: readonly Tombstone[];
}

const BLOCK_FILE = /^(?:raw|1m|1h)-\d{3,}-(?:0|-?[1-9]\d*)-(?:0|-?[1-9]\d*)-[0-9a-f]{8}\.tmb$/;
const DRAFT_FILE = new RegExp(`${BLOCK_FILE.source.slice(0, -1)}\\.tmp$`);

/** LEVEL-SHARD-MIN-MAX-ID.tmb: times in ms, the first 8 digits of the id. */
export function blockFileName(options: Pick<BlockOptions, "level" | "shard" | "minMs" | "maxMs" | "id">): string {
  return fileNameOf({ ...options, id: Buffer.from(options.id).toString("hex") });
}

export function fileNameOf(entry: Pick<BlockEntry, "level" | "shard" | "minMs" | "maxMs" | "id">): string {
  const { level, shard, minMs, maxMs, id } = entry;
  return `${level}-${String(shard).padStart(3, "0")}-${minMs}-${maxMs}-${id.slice(0, 8)}.tmb`;
}

export const isBlockFile = (name: string): boolean => BLOCK_FILE.test(name);

/** Whether a file is what a writer of a block leaves when it dies. */
export const isDraftFile = (name: string): boolean => DRAFT_FILE.test(name);

/** The entry of a block that was written with these options. */
export function entryOf(options: BlockOptions, summary: BlockSummary): BlockEntry {
  const { shard, level, minMs, maxMs } = options;
  const { series, samples, sizeBytes } = summary;
  const id = Buffer.from(options.id).toString("hex");
  return withTombstones(
    { file: blockFileName(options), id, shard, level, minMs, maxMs, series, samples, sizeBytes },
    summary.tombstones ?? [],
  );
}

/** The entry with these tombstones in the place of its own. */
export function withTombstones(entry: BlockEntry, tombstones: readonly Tombstone[]): BlockEntry {
  const { tombstones: _, ...rest } = entry;
  return tombstones.length === 0 ? rest : { ...rest, tombstones };
}
