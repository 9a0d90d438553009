// libs/block/plan-levels.ts: which rows to make, remake, join and drop, and what of finer blocks stays when they go: a pure function.
// A day of a shard has rows when its raw blocks are one, and settled. Rows name the raw blocks they were made from; where those have changed
// rows are made anew before anything else happens to them. Series whose rows would not be small enough have none: when the finer
// block goes, a block of the coarser level keeps their samples (a rest).
import { ROW_LEVELS, type RowLevel } from "../model/index.ts";
import type { BlockEntry } from "./block-entry.ts";
import type { Level } from "./footer.ts";
import { DAY_MS, dayOf, SETTLE_MS } from "./plan.ts";

/** How long each level is kept, in ms; none shorter than the one before. */
export type LevelRetention = Readonly<Record<Level, number>>;

/** A live block with what its footer says of its making. */
export interface LevelBlock {
  readonly entry: BlockEntry;
  /** Ids of the blocks it was made from; of rows and rests: raw blocks. */
  readonly parents: readonly string[];
  /** Rows; else samples. */
  readonly isRows: boolean;
}

export type LevelStep =
  /** Rows of a day. */
  | { readonly kind: "rows"; readonly level: RowLevel; readonly source: BlockEntry; readonly dayMs: number }
  /** Rows of a day that are no longer those of its samples: out of their block, the parents off its list. */
  | { readonly kind: "cut"; readonly block: BlockEntry; readonly dayMs: number; readonly parents: readonly string[] }
  /** What of a block past its retention the rows of the level don't have; it takes the block's place. */
  | {
      readonly kind: "rest";
      readonly level: RowLevel;
      readonly source: BlockEntry;
      readonly rows: readonly BlockEntry[];
    }
  | { readonly kind: "join"; readonly level: RowLevel; readonly inputs: readonly BlockEntry[] }
  | { readonly kind: "drop"; readonly blocks: readonly BlockEntry[] };

/** Rows of an hour are joined within periods of so many days, when there are so many blocks of them, or when the period is long over. */
const PERIOD_DAYS = 30;
const JOIN_MIN = 8;
const JOIN_SETTLE_MS = 2 * DAY_MS;

/** The days that a block may have something of. */
export function daysOf({ minMs, maxMs }: Pick<BlockEntry, "minMs" | "maxMs">): number[] {
  const days: number[] = [];
  for (let day = Math.floor(minMs / DAY_MS) * DAY_MS; day < maxMs; day += DAY_MS) days.push(day);
  return days;
}

/** Whether a deletion hides something of a block: first it is applied, or undone. */
const isHiding = ({ tombstones = [] }: BlockEntry): boolean => tombstones.length > 0;

/** The blocks of one shard, by what they are. */
class ShardLevels {
  /** Raw blocks by the days they may have something of. */
  readonly rawByDay = new Map<number, LevelBlock[]>();
  readonly raw: LevelBlock[] = [];
  readonly rows: LevelBlock[] = [];
  private readonly rowsByDay = new Map<string, LevelBlock[]>();
  readonly rests: LevelBlock[] = [];

  add(block: LevelBlock): void {
    const { level } = block.entry;
    if (level !== "raw" && !block.isRows) {
      this.rests.push(block);
      return;
    }
    (block.isRows ? this.rows : this.raw).push(block);
    for (const day of daysOf(block.entry)) {
      if (block.isRows) collect(this.rowsByDay, `${level} ${day}`, block);
      else collect(this.rawByDay, day, block);
    }
  }

  rowsOf(level: Level, dayMs: number): readonly LevelBlock[] {
    return this.rowsByDay.get(`${level} ${dayMs}`) ?? [];
  }

  /** Whether rows of a day are those of its samples: all raw blocks of the day that are left are among their parents. */
  areFresh(rows: LevelBlock, dayMs: number): boolean {
    return (this.rawByDay.get(dayMs) ?? []).every(({ entry }) => rows.parents.includes(entry.id));
  }

  /** The one raw block of a settled day. */
  settled(dayMs: number, nowMs: number): LevelBlock | undefined {
    const [one, ...more] = this.rawByDay.get(dayMs) ?? [];
    // What a deletion hides must not come into rows: first it is applied, or undone.
    if (one !== undefined && isHiding(one.entry)) return undefined;
    if (one === undefined || more.length > 0 || nowMs < dayMs + DAY_MS + SETTLE_MS) return undefined;
    return dayOf(one.entry) === dayMs ? one : undefined;
  }
}

function collect<Key>(lists: Map<Key, LevelBlock[]>, key: Key, block: LevelBlock): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [block]);
  else list.push(block);
}

function byShard(blocks: readonly LevelBlock[]): Map<number, ShardLevels> {
  const shards = new Map<number, ShardLevels>();
  for (const block of blocks) {
    let shard = shards.get(block.entry.shard);
    if (shard === undefined) {
      shard = new ShardLevels();
      shards.set(block.entry.shard, shard);
    }
    shard.add(block);
  }
  return shards;
}

/** Days, by their begin, of a block of rows. */
export interface RowDays {
  /** Its rows are those of the samples. */
  readonly fresh: ReadonlySet<number>;
  /** There are no raw samples any more: rows, and rests, are all there is. */
  readonly alone: ReadonlySet<number>;
}

export function rowDays(blocks: readonly LevelBlock[]): Map<LevelBlock, RowDays> {
  const found = new Map<LevelBlock, RowDays>();
  for (const shard of byShard(blocks).values()) {
    for (const rows of shard.rows) {
      const fresh = daysOf(rows.entry).filter((day) => shard.areFresh(rows, day));
      found.set(rows, { fresh: new Set(fresh), alone: new Set(fresh.filter((day) => !shard.rawByDay.has(day))) });
    }
  }
  return found;
}

/** The finest level that is kept longer than `level`, and for which times up to `maxMs` are not past retention. */
function heir(level: Level, maxMs: number, nowMs: number, retentionMs: LevelRetention): RowLevel | undefined {
  return ROW_LEVELS.find(
    (coarser) => retentionMs[coarser] > retentionMs[level] && coarser !== level && maxMs > nowMs - retentionMs[coarser],
  );
}

/** Raw blocks past their retention that have to stay until coarser levels have what they want of them. */
export function heldByLevels(
  blocks: readonly LevelBlock[],
  nowMs: number,
  retentionMs: LevelRetention,
): Set<BlockEntry> {
  const held = new Set<BlockEntry>();
  for (const shard of byShard(blocks).values()) {
    for (const raw of shard.raw) {
      const { entry } = raw;
      const level = heir("raw", entry.maxMs, nowMs, retentionMs);
      // A block over several days is none of ours: nobody makes rows of it.
      const day = dayOf(entry);
      if (level === undefined || day === undefined) continue;
      // What a deletion hides is in the rows still: they are remade of what it leaves.
      if (isHiding(entry) || !hasAll(shard, raw, day, nowMs, retentionMs)) held.add(entry);
    }
  }
  return held;
}

/** Whether rows of a day have every series of its block, on every level that wants it. */
function hasAll(
  shard: ShardLevels,
  { entry }: LevelBlock,
  dayMs: number,
  nowMs: number,
  retentionMs: LevelRetention,
): boolean {
  if (shard.rawByDay.get(dayMs)!.length > 1) return false;
  return ROW_LEVELS.filter((level) => entry.maxMs > nowMs - retentionMs[level]).every((level) =>
    shard
      .rowsOf(level, dayMs)
      .some((rows) => shard.areFresh(rows, dayMs) && dayOf(rows.entry) === dayMs && rows.entry.series === entry.series),
  );
}

/** What to do now, the most urgent first; after each step the plan is made anew. */
export function planLevels(blocks: readonly LevelBlock[], nowMs: number, retentionMs: LevelRetention): LevelStep[] {
  const steps: LevelStep[] = [];
  for (const shard of byShard(blocks).values()) {
    const made = [...shard.rawByDay.keys()]
      .sort((a, b) => a - b)
      .flatMap((day) => rowSteps(shard, day, nowMs, retentionMs));
    steps.push(...made);
    const unmade = new Set(made.map(({ dayMs }) => dayMs));
    steps.push(...restSteps(shard, unmade, nowMs, retentionMs));
    steps.push(...dropSteps(shard, nowMs, retentionMs));
    steps.push(...joinSteps(shard, unmade, nowMs));
  }
  const order = ["drop", "cut", "rows", "rest", "join"];
  return steps.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

type DayStep = Extract<LevelStep, { dayMs: number }>;

/** Rows of a day that are missing, or are not those of its samples. */
function rowSteps(shard: ShardLevels, dayMs: number, nowMs: number, retentionMs: LevelRetention): DayStep[] {
  const raw = shard.settled(dayMs, nowMs);
  if (raw === undefined) return [];
  const source = raw.entry;
  return ROW_LEVELS.flatMap((level): DayStep[] => {
    if (source.maxMs <= nowMs - retentionMs[level]) return [];
    const there = shard.rowsOf(level, dayMs);
    const stale = there.filter(
      (rows) => !rows.parents.includes(source.id) && rows.parents.some((id) => raw.parents.includes(id)),
    );
    const cuts = stale.map(
      ({ entry, parents }): DayStep => ({
        kind: "cut",
        block: entry,
        dayMs,
        parents: parents.filter((id) => raw.parents.includes(id)),
      }),
    );
    if (there.some((rows) => rows.parents.includes(source.id))) return cuts;
    return [...cuts, { kind: "rows", level, source, dayMs }];
  });
}

/** Blocks of samples past their retention that leave something to a coarser level. */
function restSteps(
  shard: ShardLevels,
  unmade: ReadonlySet<number>,
  nowMs: number,
  retentionMs: LevelRetention,
): LevelStep[] {
  return [...shard.raw, ...shard.rests].flatMap((block): LevelStep[] => {
    const { entry } = block;
    const day = dayOf(entry);
    if (entry.maxMs > nowMs - retentionMs[entry.level] || day === undefined || unmade.has(day)) return [];
    if (isHiding(entry)) return [];
    const level = heir(entry.level, entry.maxMs, nowMs, retentionMs);
    if (level === undefined) return [];
    if (entry.level === "raw") {
      if (shard.settled(day, nowMs) === undefined || hasAll(shard, block, day, nowMs, retentionMs)) return [];
    }
    const rows = shard.rowsOf(level, day).filter((one) => shard.areFresh(one, day));
    if (rows.length === 0) return [];
    return [{ kind: "rest", level, source: entry, rows: rows.map((one) => one.entry) }];
  });
}

/** Rows and rests that are past their retention, and that no coarser level misses. */
function dropSteps(shard: ShardLevels, nowMs: number, retentionMs: LevelRetention): LevelStep[] {
  const blocks = [...shard.rows, ...shard.rests]
    .filter(({ entry }) => entry.maxMs <= nowMs - retentionMs[entry.level])
    .filter(({ entry, isRows }) => {
      const level = heir(entry.level, entry.maxMs, nowMs, retentionMs);
      if (level === undefined) return true;
      return isRows && daysOf(entry).every((day) => shard.rowsOf(level, day).length > 0);
    })
    .map(({ entry }) => entry);
  return blocks.length === 0 ? [] : [{ kind: "drop", blocks }];
}

/** Short blocks of rows of an hour: read one by one they cost more than what is in them. */
function joinSteps(shard: ShardLevels, unmade: ReadonlySet<number>, nowMs: number): LevelStep[] {
  const periods = new Map<number, BlockEntry[]>();
  for (const rows of shard.rows) {
    const { entry } = rows;
    const days = daysOf(entry);
    if (entry.level !== "1h" || isHiding(entry) || days.some((day) => unmade.has(day) || !shard.areFresh(rows, day)))
      continue;
    const period = Math.floor(days[0]! / (PERIOD_DAYS * DAY_MS));
    const there = periods.get(period);
    if (there === undefined) periods.set(period, [entry]);
    else there.push(entry);
  }
  return [...periods].flatMap(([period, inputs]): LevelStep[] => {
    const isOver = nowMs >= (period + 1) * PERIOD_DAYS * DAY_MS + JOIN_SETTLE_MS;
    if (inputs.length < (isOver ? 2 : JOIN_MIN)) return [];
    return [{ kind: "join", level: "1h", inputs: [...inputs].sort((a, b) => a.minMs - b.minMs) }];
  });
}
