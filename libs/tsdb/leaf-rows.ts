// libs/tsdb/leaf-rows.ts: what a leaf reads of rows: for each selected series, which stretches of which blocks, and on which days these
// answer for its samples. A series has rows of a whole day, or of nothing of it; where it has none, its samples are read.
// Days on which a head has samples of a series are given back to samples: rows are never added to.
import { DAY_MS, dayOf, type TimeRanges } from "../block/index.ts";
import { ROW, ROW_MS, type RowLevel, type RowTable } from "../model/index.ts";
import { dayOfTime } from "./fresh-rows.ts";
import type { HeadView } from "./head-view.ts";
import { AHEAD_BYTES_MAX, LeafBlock, LeafReach, type Selected } from "./leaf-blocks.ts";
import type { Pace } from "./pace.ts";
import { NO_SERIES, type Selection } from "./selection.ts";
import type { CapturedSources } from "./sources.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Series between two looks at the clock. */
const STRIDE = 64;

/** Consecutive rows of a block's time column, of days that follow each other. */
interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly firstEnd: number;
}

/** What a leaf may use of the rows of one time column. */
interface ColumnRows {
  readonly ends: Float64Array;
  readonly stretches: readonly Stretch[];
  readonly days: readonly number[];
}

/** One series' rows in one block. */
interface Part {
  readonly block: LeafBlock;
  readonly place: number;
  readonly rows: ColumnRows;
}

export class LeafRows {
  readonly level: RowLevel;
  readonly levelMs: number;
  /** Whether rows were found of days that have no raw samples any more. */
  isAlone = false;
  /** Whether any rows were found. */
  hasAny = false;
  private readonly parts: (Part[] | undefined)[];
  /** By day: which series, by index, its rows answer for. */
  private readonly covered = new Map<number, Uint8Array>();
  /** By index: days that a head has samples of. */
  private readonly given = new Map<number, Set<number>>();
  private scratch = new Float64Array(0);
  private aheadBytes = 0;

  private constructor(level: RowLevel, seriesCount: number) {
    this.level = level;
    this.levelMs = ROW_MS[level];
    this.parts = new Array(seriesCount);
  }

  /** Finds the rows with ends in (lowMs, highMs]. Errors: CorruptionError; those of the pace. */
  static async find(
    level: RowLevel,
    { count, numbers, blocks }: Selection,
    captured: CapturedSources,
    lowMs: number,
    highMs: number,
    pace: Pace,
  ): Promise<LeafRows> {
    const found = new LeafRows(level, count);
    for (const part of blocks) {
      const { block } = part;
      if (!block.isRows || block.reader.footer.level !== level || captured.daysOf(block).fresh.size === 0) continue;
      await found.addBlock(block, part, captured, lowMs, highMs, pace);
      if (pace.isDue) await pace.rest();
    }
    await found.giveBack(numbers, captured.heads(), pace);
    return found;
  }

  private async addBlock(
    block: StoredBlock,
    { indexes, places }: Selected,
    captured: CapturedSources,
    lowMs: number,
    highMs: number,
    pace: Pace,
  ): Promise<void> {
    const leafBlock = new LeafBlock(block, new LeafReach(lowMs + 1, highMs));
    const { timeColumns } = await leafBlock.lookUp(places, pace);
    const { fresh, alone } = captured.daysOf(block);
    const known = new Map<number, ColumnRows>();
    for (let k = 0; k < indexes.length; k++) {
      let rows = known.get(timeColumns[k]!);
      if (rows === undefined) {
        rows = rowsWithin(block.reader.times(timeColumns[k]!), fresh, lowMs, highMs);
        known.set(timeColumns[k]!, rows);
        if (rows.days.some((day) => alone.has(day))) this.isAlone = true;
      }
      if (rows.days.length === 0) continue;
      const index = indexes[k]!;
      for (const day of rows.days) this.coverageOf(day)[index] = 1;
      const parts = this.parts[index];
      this.hasAny = true;
      const hidden = captured.hiddenOf(block)?.get(places[k]!);
      const seen = hidden === undefined ? rows : withoutHidden(rows, hidden, this.levelMs);
      const part = { block: leafBlock, place: places[k]!, rows: seen };
      if (parts === undefined) this.parts[index] = [part];
      else parts.push(part);
    }
  }

  private coverageOf(day: number): Uint8Array {
    let covered = this.covered.get(day);
    if (covered === undefined) {
      covered = new Uint8Array(this.parts.length);
      this.covered.set(day, covered);
    }
    return covered;
  }

  private async giveBack(numbers: Uint32Array, heads: readonly HeadView[], pace: Pace): Promise<void> {
    if (this.covered.size === 0) return;
    const days = [...this.covered.keys()];
    const lowMs = Math.min(...days) + 1;
    const highMs = Math.max(...days) + DAY_MS;
    for (const view of heads) {
      if (!view.head.overlaps(lowMs, highMs)) continue;
      for (let index = 0; index < numbers.length; index++) {
        if (index % STRIDE === 0 && pace.isDue) await pace.rest();
        if (this.parts[index] === undefined || numbers[index] === NO_SERIES) continue;
        const { times, count } = view.readSeries(numbers[index]!, lowMs, highMs);
        for (let i = 0; i < count; i++) {
          const day = dayOfTime(times[i]!);
          const covered = this.covered.get(day);
          if (covered?.[index] !== 1) continue;
          covered[index] = 0;
          const given = this.given.get(index);
          if (given === undefined) this.given.set(index, new Set([day]));
          else given.add(day);
        }
      }
    }
  }

  /** Whether a block of samples has anything that rows don't answer for: it may be left out, if all selected series of its shard have rows. */
  isNeeded(block: StoredBlock, selectedOfShard: number): boolean {
    const day = dayOf(block.reader.footer);
    const covered = day === undefined ? undefined : this.covered.get(day);
    if (covered === undefined) return true;
    return this.countOf(day!, block.reader.footer.shard) < selectedOfShard;
  }

  private readonly counts = new Map<number, Uint32Array>();
  private shardOf: (index: number) => number = () => 0;
  private shardCount = 1;

  /** Tells of which shard each selected series is. */
  groupByShard(shardCount: number, shardOf: (index: number) => number): void {
    this.shardCount = shardCount;
    this.shardOf = shardOf;
  }

  private countOf(day: number, shard: number): number {
    let counts = this.counts.get(day);
    if (counts === undefined) {
      counts = new Uint32Array(this.shardCount);
      const covered = this.covered.get(day)!;
      for (let i = 0; i < covered.length; i++) if (covered[i] === 1) counts[this.shardOf(i)]!++;
      this.counts.set(day, counts);
    }
    return counts[shard]!;
  }

  /** Leaves out of a block of samples the series that have rows of its day. */
  readonly withoutCovered = (block: StoredBlock, found: Selected): Selected => {
    const day = dayOf(block.reader.footer);
    const covered = day === undefined ? undefined : this.covered.get(day);
    if (covered === undefined) return found;
    const keeps = (_: number, k: number): boolean => covered[found.indexes[k]!] === 0;
    return { indexes: found.indexes.filter(keeps), places: found.places.filter(keeps) };
  };

  has(index: number): boolean {
    return this.parts[index] !== undefined;
  }

  /**
   * Fills `table` with the rows of a series and those that its other samples were folded to, by time; only the columns asked for. Rows
   * without samples only where `keepsEmpty`.
   */
  gather(index: number, folded: RowTable, which: readonly number[], keepsEmpty: boolean, table: RowTable): void {
    table.length = 0;
    let next = 0;
    const parts = this.parts[index]!;
    const [first] = parts;
    // Most series have rows in one block, and short ones in one stretch.
    const isSingle = parts.length === 1 && first!.rows.stretches.length === 1 && !this.given.has(index);
    if (isSingle) next = this.add(first!, first!.rows.stretches[0]!, folded, next, which, table);
    else {
      for (const one of this.stretchesOf(index)) next = this.add(one.part, one, folded, next, which, table);
    }
    append(folded, next, folded.length, which, table);
    if (!keepsEmpty) dropEmpty(table, which);
  }

  /** Adds a stretch, and before it what was folded and not yet added, from `next` on. Returns what is to be added next. */
  private add(
    part: Part,
    { from, to, firstEnd }: Stretch,
    folded: RowTable,
    next: number,
    which: readonly number[],
    table: RowTable,
  ): number {
    let end = next;
    while (end < folded.length && folded.ends[end]! < firstEnd) end++;
    append(folded, next, end, which, table);
    this.read(part, from, to, which, table);
    // Samples that came while the query went on: the next one sees them.
    const last = part.rows.ends[to - 1]!;
    while (end < folded.length && folded.ends[end]! <= last) end++;
    return end;
  }

  private stretchesOf(index: number): (Stretch & { readonly part: Part })[] {
    const given = this.given.get(index);
    const all = this.parts[index]!.flatMap((part) => {
      const { ends, stretches } = part.rows;
      const kept = given === undefined ? stretches : stretches.flatMap((one) => without(ends, one, given));
      return kept.map(({ from, to, firstEnd }) => ({ from, to, firstEnd, part }));
    });
    return all.length < 2 ? all : all.sort((a, b) => a.firstEnd - b.firstEnd);
  }

  private read(
    { block, place, rows }: Part,
    from: number,
    to: number,
    which: readonly number[],
    table: RowTable,
  ): void {
    const { ends } = rows;
    const at = table.length;
    const n = to - from;
    this.aheadBytes += block.readAhead(AHEAD_BYTES_MAX - this.aheadBytes);
    table.reserve(at + n);
    table.ends.set(n === ends.length ? ends : ends.subarray(from, to), at);
    if (this.scratch.length < ends.length) this.scratch = new Float64Array(2 * ends.length);
    for (const c of which) {
      const out = table.columns[c]!;
      if (n === ends.length) block.readValues(place, out.subarray(at, at + n), c);
      else {
        block.readValues(place, this.scratch, c);
        out.set(this.scratch.subarray(from, to), at);
      }
    }
    table.length = at + n;
  }
}

/** The rows of fresh days with ends in (lowMs, highMs]. A day counts as theirs even where the leaf sees little of it. */
function rowsWithin(ends: Float64Array, fresh: ReadonlySet<number>, lowMs: number, highMs: number): ColumnRows {
  const stretches: { from: number; to: number; firstEnd: number }[] = [];
  const days: number[] = [];
  let day = Number.NaN;
  let isFresh = false;
  let follows = false;
  for (let i = 0; i < ends.length; i++) {
    const end = ends[i]!;
    if (Number.isNaN(day) || end > day + DAY_MS) {
      const mine = dayOfTime(end);
      follows = isFresh && mine === day + DAY_MS;
      day = mine;
      isFresh = fresh.has(day);
      if (isFresh) days.push(day);
    }
    if (!isFresh || end <= lowMs || end > highMs) {
      follows = false;
      continue;
    }
    const last = stretches.at(-1);
    if (last !== undefined && last.to === i && (follows || dayOfTime(ends[i - 1]!) === day)) last.to = i + 1;
    else stretches.push({ from: i, to: i + 1, firstEnd: end });
    follows = true;
  }
  return { ends, stretches, days };
}

/** Rows of which a deletion hides something are not to be seen: what is left of them is not known. */
function withoutHidden({ ends, stretches, days }: ColumnRows, hidden: TimeRanges, levelMs: number): ColumnRows {
  const isSeen = (end: number): boolean => hidden.shareOf(end - levelMs + 1, end) === "none";
  return { ends, days, stretches: stretches.flatMap((one) => partsOf(ends, one, isSeen)) };
}

/** The rest of a stretch when some days are taken out. */
function without(ends: Float64Array, stretch: Stretch, days: ReadonlySet<number>): Stretch[] {
  return partsOf(ends, stretch, (end) => !days.has(dayOfTime(end)));
}

/** The parts of a stretch whose ends are kept. */
function partsOf(ends: Float64Array, { from, to }: Stretch, isKept: (end: number) => boolean): Stretch[] {
  const rest: { from: number; to: number; firstEnd: number }[] = [];
  for (let i = from; i < to; i++) {
    if (!isKept(ends[i]!)) continue;
    const last = rest.at(-1);
    if (last !== undefined && last.to === i) last.to = i + 1;
    else rest.push({ from: i, to: i + 1, firstEnd: ends[i]! });
  }
  return rest;
}

function append(source: RowTable, from: number, to: number, which: readonly number[], table: RowTable): void {
  if (to <= from) return;
  const at = table.length;
  table.reserve(at + to - from);
  table.ends.set(source.ends.subarray(from, to), at);
  for (const c of which) table.columns[c]!.set(source.columns[c]!.subarray(from, to), at);
  table.length = at + to - from;
}

function dropEmpty(table: RowTable, which: readonly number[]): void {
  const counts = table.columns[ROW.COUNT]!;
  let n = 0;
  while (n < table.length && counts[n] !== 0) n++;
  for (let i = n; i < table.length; i++) {
    if (counts[i] === 0) continue;
    table.ends[n] = table.ends[i]!;
    for (const c of which) table.columns[c]![n] = table.columns[c]![i]!;
    n++;
  }
  table.length = n;
}
