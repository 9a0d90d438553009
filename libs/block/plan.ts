// libs/block/plan.ts: which blocks to merge and which to drop: pure functions of the live blocks and the time.
// Days, like windows and blocks, are (start, end]: a sample at midnight belongs to the day that ends there.
import type { BlockEntry } from "./block-entry.ts";

const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** A day is merged when its last window is so old: cut, also when late. */
export const SETTLE_MS = HOUR_MS;

export interface MergeOptions {
  /** Of raw samples. */
  readonly retentionMs: number;
  /** What merges may take of the disk, beyond its reserve. A merge's inputs are on the disk and stay until its output is durable. */
  readonly freeBytes: number;
  /** What a merge writes besides its output. Left out: nothing. */
  readonly besideBytes?: (inputs: readonly BlockEntry[]) => number;
  /** Shards that have a merge at work. */
  readonly busyShards?: ReadonlySet<number>;
  /** Whether what a deletion hides may go for good. Left out: no. */
  readonly isDue?: (deletion: string) => boolean;
  /** Whether all that a block has of some tenant is past: it goes with the next merge, or by a merge of its own. Left out: never. */
  readonly hasPast?: (block: BlockEntry) => boolean;
}

/** Blocks of one shard and UTC day that are to become one; or one that is written anew without what deletions hide. */
export interface MergePlan {
  readonly shard: number;
  /** Where the day begins. */
  readonly dayMs: number;
  /** By time. */
  readonly inputs: readonly BlockEntry[];
  /** All that is written takes no more: what its inputs take, and what is written besides. */
  readonly sizeBytes: number;
}

/** The UTC day, by its start, that all samples of (minMs, maxMs] are in; undefined when they may be of several. */
export function dayOf({ minMs, maxMs }: Pick<BlockEntry, "minMs" | "maxMs">): number | undefined {
  const start = Math.floor(minMs / DAY_MS) * DAY_MS;
  return maxMs <= start + DAY_MS ? start : undefined;
}

/**
 * The merges to begin now, at most one per shard, together within the free bytes: all raw blocks of a day whose last window is an hour old,
 * also when one of them is such a merged block and the others came late. Of a shard's days the oldest that fits. Blocks past retention,
 * and those over several days, stay as they are. A block that deletions hide something of is left alone until one of them is due; then it is
 * merged with its day, or written anew by itself when another deletion is not due yet or there is nothing to merge it with. Blocks of coarser levels are only written anew.
 */
export function planMerges(blocks: readonly BlockEntry[], nowMs: number, options: MergeOptions): MergePlan[] {
  const { retentionMs, busyShards, isDue = () => false, hasPast = () => false } = options;
  const expired = new Set(planExpiry(blocks, nowMs, retentionMs));
  const days = new Map<string, BlockEntry[]>();
  const alone: BlockEntry[] = [];
  for (const block of blocks) {
    const day = dayOf(block);
    if (expired.has(block) || busyShards?.has(block.shard)) continue;
    const hides = new Set(block.tombstones?.map(({ deletion }) => isDue(deletion)));
    if (block.level !== "raw") {
      if (hides.has(true)) alone.push(block);
      continue;
    }
    const isSettled = day !== undefined && nowMs >= day + DAY_MS + SETTLE_MS;
    if (!isSettled || hides.has(false)) {
      if (hides.has(true) || hasPast(block)) alone.push(block);
      continue;
    }
    const name = `${block.shard} ${day}`;
    const sameDay = days.get(name);
    if (sameDay === undefined) days.set(name, [block]);
    else sameDay.push(block);
  }
  const merges = [...days.values()].filter(
    (inputs) => inputs.length > 1 || inputs[0]!.tombstones !== undefined || hasPast(inputs[0]!),
  );
  const wanted = [...merges, ...alone.map((block) => [block])].map(planOf);
  wanted.sort((a, b) => a.dayMs - b.dayMs || a.shard - b.shard);
  let freeBytes = options.freeBytes;
  const plans = new Map<number, MergePlan>();
  const { besideBytes = () => 0 } = options;
  for (const plan of wanted) {
    if (plans.has(plan.shard) || plan.sizeBytes > freeBytes) continue;
    const sizeBytes = plan.sizeBytes + besideBytes(plan.inputs);
    if (sizeBytes > freeBytes) continue;
    plans.set(plan.shard, { ...plan, sizeBytes });
    freeBytes -= sizeBytes;
  }
  return [...plans.values()];
}

function planOf(blocks: readonly BlockEntry[]): MergePlan {
  const inputs = [...blocks].sort((a, b) => a.minMs - b.minMs || a.maxMs - b.maxMs || (a.id < b.id ? -1 : 1));
  const [{ shard, minMs }] = inputs as [BlockEntry];
  const sizeBytes = inputs.reduce((sum, block) => sum + block.sizeBytes, 0);
  return { shard, dayMs: Math.floor(minMs / DAY_MS) * DAY_MS, inputs, sizeBytes };
}

/** The blocks whose samples are all past retention: a sample that is exactly so old is. */
export function planExpiry(blocks: readonly BlockEntry[], nowMs: number, retentionMs: number): BlockEntry[] {
  return blocks.filter((block) => block.maxMs <= nowMs - retentionMs);
}

/** Something that takes room, and how new the newest is that it has. */
export interface Sized {
  readonly maxMs: number;
  readonly sizeBytes: number;
}

/**
 * What to drop of all shards and levels so that the rest takes no more than `sizeBytesMax`: the oldest by their newest samples, whole, and no
 * more than that takes; undefined when nothing has to go. Nothing that is as old as `cutoffMs` is left whole: what else there is of that time
 * is not to be seen any more, so that no answer has some shards' samples of a time and not the others'. `from`: the cut-off of before, which
 * never goes back; what lies below it goes first. At most `most` go in one step: then the plan is made again.
 */
export function planShrink<T extends Sized>(
  blocks: readonly T[],
  sizeBytesMax: number,
  from = Number.NEGATIVE_INFINITY,
  most = Number.POSITIVE_INFINITY,
): { readonly remove: readonly T[]; readonly cutoffMs: number } | undefined {
  let bytes = blocks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (bytes <= sizeBytesMax && from === Number.NEGATIVE_INFINITY) return undefined;
  const oldestFirst = [...blocks].sort((a, b) => a.maxMs - b.maxMs);
  let cutoffMs = from;
  let count = 0;
  for (const { maxMs, sizeBytes } of oldestFirst) {
    if (count === most || (bytes <= sizeBytesMax && maxMs > cutoffMs)) break;
    cutoffMs = Math.max(cutoffMs, maxMs);
    bytes -= sizeBytes;
    count++;
  }
  return count === 0 ? undefined : { remove: oldestFirst.slice(0, count), cutoffMs };
}
