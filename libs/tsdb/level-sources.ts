// libs/tsdb/level-sources.ts: from what is captured to what a leaf reads of a level: rows first, then the blocks of samples that are left.
import { type Leaf, type LeafNoteKind, ROW_MS, type RowLevel } from "../model/index.ts";
import { looksAtNewest } from "../promql/index.ts";
import { LeafRows } from "./leaf-rows.ts";
import { isAligned, type LevelPlan, type RowSource } from "./level-choice.ts";
import type { Pace } from "./pace.ts";
import { type BlockPart, NO_SERIES, type Selection } from "./selection.ts";
import type { Selector } from "./selector.ts";
import type { CapturedSources, Sources } from "./sources.ts";
import type { StoredBlock } from "./stored-block.ts";

interface Parts {
  readonly selector: Pick<Selector, "catalog">;
  readonly captured: CapturedSources;
  readonly pace: Pace;
  readonly floorMs: number;
}

/** The blocks of rows: one without any says only that no series' rows were small enough. */
export function rowSources(captured: CapturedSources): RowSource[] {
  return captured.rows.map((block) => {
    const { level, shard } = block.reader.footer;
    return { level: level as RowLevel, shard, isEmpty: block.reader.seriesCount === 0, ...captured.daysOf(block) };
  });
}

/** How far before a leaf's reach rows may still be asked for: two of the longest, where windows are widened. */
export function reachBack(leaf: Leaf, { blocks }: Sources): number {
  if (leaf.level === "raw" || isAligned(leaf, "1h") || !hasRows(blocks)) return 0;
  return 2 * ROW_MS["1h"];
}

const withRows = new WeakMap<readonly StoredBlock[], boolean>();

function hasRows(blocks: readonly StoredBlock[]): boolean {
  let found = withRows.get(blocks);
  if (found === undefined) {
    found = blocks.some((block) => block.isRows);
    withRows.set(blocks, found);
  }
  return found;
}

/** The rows of the selected series. */
export function findRows(
  { grid, offsetMs, rangeMs, rollup }: Leaf,
  { level, exact }: LevelPlan,
  selection: Selection,
  { captured, pace, floorMs }: Parts,
): Promise<LeafRows> {
  const { startMs, stepMs, count } = grid;
  const ms = ROW_MS[level];
  // Windows that are none of whole rows are widened.
  const isWhole = exact && !looksAtNewest(rollup);
  const reach = isWhole ? rangeMs : Math.max(2, Math.ceil(rangeMs / ms)) * ms;
  const highMs = startMs + (count - 1) * stepMs - offsetMs;
  // A row that begins before the floor has samples that are past.
  const firstMs = Number.isFinite(floorMs) ? Math.ceil(floorMs / ms) * ms + ms - 1 : Number.NEGATIVE_INFINITY;
  return LeafRows.find(level, selection, captured, Math.max(startMs - offsetMs - reach, firstMs), highMs, pace);
}

/** The blocks of samples. */
export function samplesOf(selection: Selection): readonly BlockPart[] {
  return selection.blocks.filter(({ block }) => !block.isRows);
}

/** The blocks of samples that have something that rows don't answer for. */
export function othersOf(rows: LeafRows, selection: Selection, { selector }: Pick<Parts, "selector">): BlockPart[] {
  const shards = shardsOf(selection, selector);
  const selected = new Map<number, number>();
  for (const shard of shards) selected.set(shard, (selected.get(shard) ?? 0) + 1);
  rows.groupByShard(Math.max(0, ...selected.keys()) + 1, (index) => shards[index]!);
  return samplesOf(selection).filter(({ block }) => rows.isNeeded(block, selected.get(block.reader.footer.shard)!));
}

/** By index: of which shard a series is. A block is of one. */
function shardsOf({ count, numbers, blocks }: Selection, { catalog }: Pick<Selector, "catalog">): Uint32Array {
  const shards = new Uint32Array(count);
  for (let i = 0; i < count; i++) if (numbers[i] !== NO_SERIES) shards[i] = catalog.shardOf(numbers[i]!);
  for (const { block, indexes } of blocks) {
    const { shard } = block.reader.footer;
    for (const index of indexes) shards[index] = shard;
  }
  return shards;
}

/** What is to be said of an answer that is not that of samples. */
export function noteOf({ level, exact, reason }: LevelPlan, rows: LeafRows): LeafNoteKind | undefined {
  if (exact || !rows.hasAny) return undefined;
  if (reason === "asked") return level === "1m" ? "asked_for_1m" : "asked_for_1h";
  if (!rows.isAlone) return undefined;
  return level === "1m" ? "expired_to_1m" : "expired_to_1h";
}
