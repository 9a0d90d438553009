// libs/tsdb/fresh-rows.ts: which days of which blocks of rows a query may use: worked out once for each snapshot of the blocks, and only for
// the shards whose blocks are others than in the snapshot before.
import { type BlockEntry, DAY_MS, type LevelBlock, type RowDays, rowDays } from "../block/index.ts";
import type { StoredBlock } from "./stored-block.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

/** What footers say, in the words of plans. Blocks never change. */
const described = new WeakMap<StoredBlock, LevelBlock>();

function describe(block: StoredBlock): LevelBlock {
  let found = described.get(block);
  if (found === undefined) {
    const parents = block.reader.footer.parents.map(hex);
    found = { entry: entryOfFooter(block), parents, isRows: block.isRows };
    described.set(block, found);
  }
  return found;
}

/** A live block with its entry of the registry. */
export function levelBlockOf(block: StoredBlock, entry: BlockEntry): LevelBlock {
  return { ...describe(block), entry };
}

/** A block's entry as far as its footer has it. */
function entryOfFooter({ reader }: StoredBlock): BlockEntry {
  const { id, shard, level, minMs, maxMs, seriesCount, samples } = reader.footer;
  return { file: reader.path, id: hex(id), shard, level, minMs, maxMs, series: seriesCount, samples, sizeBytes: 0 };
}

/** One shard's blocks, and on which days those of rows answer for samples. */
interface ShardRows {
  readonly blocks: readonly StoredBlock[];
  readonly days: ReadonlyMap<StoredBlock, RowDays>;
}

type Known = ReadonlyMap<number, ShardRows>;

const known = new WeakMap<readonly StoredBlock[], Known>();
/** By snapshot: what was known of the one before it. */
const inherited = new WeakMap<readonly StoredBlock[], Known>();

/** Tells that one list of blocks takes the place of another. */
export function inheritRows(before: readonly StoredBlock[], next: readonly StoredBlock[]): void {
  const old = known.get(before) ?? inherited.get(before);
  if (old !== undefined) inherited.set(next, old);
}

/** On which days a block of rows of a snapshot answers for samples. */
export function freshDaysOf(blocks: readonly StoredBlock[], rows: StoredBlock): RowDays {
  let found = known.get(blocks);
  if (found === undefined) {
    found = findAll(blocks, inherited.get(blocks));
    known.set(blocks, found);
    inherited.delete(blocks);
  }
  return found.get(rows.reader.footer.shard)!.days.get(rows)!;
}

function findAll(blocks: readonly StoredBlock[], before: Known | undefined): Known {
  const shards = new Map<number, StoredBlock[]>();
  for (const block of blocks) {
    const { shard } = block.reader.footer;
    const own = shards.get(shard);
    if (own === undefined) shards.set(shard, [block]);
    else own.push(block);
  }
  const found = new Map<number, ShardRows>();
  for (const [shard, own] of shards) {
    const old = before?.get(shard);
    const isSame =
      old !== undefined && old.blocks.length === own.length && own.every((one, i) => one === old.blocks[i]);
    found.set(shard, isSame ? old : { blocks: own, days: daysIn(own) });
  }
  return found;
}

function daysIn(blocks: readonly StoredBlock[]): ReadonlyMap<StoredBlock, RowDays> {
  const byLevel = new Map(blocks.map((block) => [describe(block), block]));
  return new Map([...rowDays([...byLevel.keys()])].map(([one, days]) => [byLevel.get(one)!, days]));
}

/** The day that a time belongs to, by its begin: days are (start, end]. */
export const dayOfTime = (timeMs: number): number => (Math.ceil(timeMs / DAY_MS) - 1) * DAY_MS;
