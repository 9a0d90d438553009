// libs/tsdb/level-choice.ts: which level answers a leaf: a pure function of the leaf and of the days that have rows.
// Where whole rows make up all windows, the coarsest level answers; its answer is that of the samples. Where they don't, samples answer, and
// where those have expired, the finest level left does as well as it can.
import { DAY_MS } from "../block/index.ts";
import { type Leaf, ROW_LEVELS, ROW_MS, type RowLevel } from "../model/index.ts";
import { columnsOfRows, looksAtNewest } from "../promql/index.ts";

/** A block of rows, and the days on which they answer for the samples, or are, with samples that the level kept, all that is left. */
export interface RowSource {
  readonly level: RowLevel;
  readonly shard: number;
  /** Whether it has none: the level kept the samples of all series. */
  readonly isEmpty: boolean;
  readonly fresh: ReadonlySet<number>;
  readonly alone: ReadonlySet<number>;
}

export interface LevelPlan {
  readonly level: RowLevel;
  /** Whether the answer is that of samples. */
  readonly exact: boolean;
  /** Why it is none, when it is none. */
  readonly reason: "expired" | "asked";
  /** So many of the leaf's first steps are answered from this level, the others from samples. */
  readonly steps: number;
}

type LevelLeaf = Pick<Leaf, "grid" | "rollup" | "rangeMs" | "offsetMs" | "level">;

/** Whether whole rows make up the windows of a leaf, as far as its rollup looks into them. */
export function isAligned({ grid, rollup, rangeMs, offsetMs }: LevelLeaf, level: RowLevel): boolean {
  const ms = ROW_MS[level];
  if (columnsOfRows(rollup) === undefined) return false;
  if ((grid.startMs - offsetMs) % ms !== 0 || (grid.count > 1 && grid.stepMs % ms !== 0)) return false;
  return looksAtNewest(rollup) || rangeMs % ms === 0;
}

/** Undefined: samples answer all of it. */
export function planLevel(leaf: LevelLeaf, sources: readonly RowSource[]): LevelPlan | undefined {
  const { grid, rangeMs, offsetMs, level: asked = "auto" } = leaf;
  if (asked === "raw" || sources.length === 0) return undefined;
  const { count, startMs, stepMs } = grid;
  if (asked !== "auto") return { level: asked, exact: isAligned(leaf, asked), reason: "asked", steps: count };
  const lowMs = startMs - offsetMs - rangeMs;
  const highMs = startMs + (count - 1) * stepMs - offsetMs;
  const isWithin = (day: number): boolean => day < highMs && day + DAY_MS > lowMs;
  const have = new Map<RowLevel, Set<number>>(ROW_LEVELS.map((level) => [level, new Set()]));
  const useful = new Set<RowLevel>();
  const alone = new Set<number>();
  for (const source of sources) {
    const days = have.get(source.level)!;
    for (const day of source.fresh) {
      if (!isWithin(day)) continue;
      days.add(keyOf(source.shard, day));
      if (!source.isEmpty) useful.add(source.level);
    }
    for (const day of source.alone) if (isWithin(day)) alone.add(keyOf(source.shard, day));
  }
  const answersAll = (level: RowLevel): boolean => [...alone].every((key) => have.get(level)!.has(key));
  for (const level of ROW_LEVELS.toReversed()) {
    if (isAligned(leaf, level) && useful.has(level) && answersAll(level))
      return { level, exact: true, reason: "expired", steps: count };
  }
  if (alone.size === 0) return undefined;
  const level = ROW_LEVELS.find(answersAll) ?? "1h";
  if (!useful.has(level)) return undefined;
  const untilMs = Math.max(...[...alone].map(dayOfKey)) + DAY_MS;
  // Steps whose windows begin where samples are, on.
  const first = stepMs === 0 ? 0 : Math.ceil((untilMs - lowMs) / stepMs);
  const steps = stepMs === 0 && untilMs <= lowMs ? 0 : stepMs === 0 ? count : Math.min(count, Math.max(0, first));
  return steps === 0 ? undefined : { level, exact: false, reason: "expired", steps };
}

/** A day of a shard as one number. Shards are few. */
const SHARDS_MAX = 2 ** 20;

function keyOf(shard: number, day: number): number {
  return (day / DAY_MS) * SHARDS_MAX + shard;
}

function dayOfKey(key: number): number {
  return Math.floor(key / SHARDS_MAX) * DAY_MS;
}
