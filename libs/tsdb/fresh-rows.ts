// libs/tsdb/fresh-rows.ts: which days of which blocks of rows a query may use: worked out once for each snapshot of the blocks.
import { type BlockEntry, DAY_MS, type LevelBlock, type RowDays, rowDays } from "../block/index.ts";
import type { StoredBlock } from "./stored-block.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

export function levelBlockOf({ reader, isRows }: StoredBlock, entry: BlockEntry): LevelBlock {
  return { entry, parents: reader.footer.parents.map(hex), isRows };
}

/** A block's entry as far as its footer has it. */
function entryOfFooter({ reader }: StoredBlock): BlockEntry {
  const { id, shard, level, minMs, maxMs, seriesCount, samples } = reader.footer;
  return { file: reader.path, id: hex(id), shard, level, minMs, maxMs, series: seriesCount, samples, sizeBytes: 0 };
}

/** Blocks never change, and a list of blocks is replaced as a whole. */
const known = new WeakMap<readonly StoredBlock[], ReadonlyMap<StoredBlock, RowDays>>();

/** For each block of rows on which days it answers for samples. */
export function freshRows(blocks: readonly StoredBlock[]): ReadonlyMap<StoredBlock, RowDays> {
  let found = known.get(blocks);
  if (found === undefined) {
    const byLevel = new Map(blocks.map((block) => [levelBlockOf(block, entryOfFooter(block)), block]));
    found = new Map([...rowDays([...byLevel.keys()])].map(([one, days]) => [byLevel.get(one)!, days]));
    known.set(blocks, found);
  }
  return found;
}

/** The day that a time belongs to, by its begin: days are (start, end]. */
export const dayOfTime = (timeMs: number): number => (Math.ceil(timeMs / DAY_MS) - 1) * DAY_MS;
