// libs/block/merge.ts: merges blocks of one shard and level into one, series by series in the order of their keys.
// Memory: one series' samples, the readers' page caches, and a plan per combination of time columns. Of samples at one time of one series
// the winner stays (libs/kernel/winner.ts), whatever the order of the blocks.
import { beats } from "../kernel/index.ts";
import { InvalidError } from "../model/index.ts";
import type { BlockOptions, Footer } from "./footer.ts";
import type { BlockReader } from "./reader.ts";
import type { TimeRanges } from "./tombstone.ts";
import { takeSpans } from "./tombstone.ts";
import { type BlockWriter, compareBytes } from "./writer.ts";

/** What a block merged from these says of itself: it covers their times, and the newest position of the WAL that one of them covers. */
export function mergedOptions(footers: readonly Footer[], id: Uint8Array): BlockOptions {
  const [one] = footers;
  if (one === undefined) throw new InvalidError("cannot merge blocks: got none; want one at least");
  for (const { shard, shardCount, level, columnsPerSeries, hashSeed } of footers) {
    const seeded = compareBytes(hashSeed, one.hashSeed) === 0;
    const same = shard === one.shard && shardCount === one.shardCount && level === one.level && seeded;
    if (!same || columnsPerSeries !== one.columnsPerSeries) {
      throw new InvalidError(
        `cannot merge blocks: got shard ${shard} ${level} beside shard ${one.shard} ${one.level}; want one cluster, shard and level`,
      );
    }
  }
  const positions = footers.map((footer) => footer.walPosition);
  return {
    id,
    shard: one.shard,
    shardCount: one.shardCount,
    hashSeed: one.hashSeed,
    level: one.level,
    minMs: Math.min(...footers.map((footer) => footer.minMs)),
    maxMs: Math.max(...footers.map((footer) => footer.maxMs)),
    walPosition: positions.reduce((a, b) => (b[0] > a[0] || (b[0] === a[0] && b[1] > a[1]) ? b : a)),
    parents: footers.map((footer) => footer.id),
    columnsPerSeries: one.columnsPerSeries,
  };
}

/** How the times of several columns, one after another, become one column. */
export interface TimesPlan {
  readonly times: Float64Array;
  /** Places in the columns one after another, by time; those of one time beside each other. Undefined: all, as they are. */
  readonly order: Uint32Array | undefined;
  /** Where in `order` each merged time begins; undefined when no time occurs twice. */
  readonly starts: Uint32Array | undefined;
}

/** Plans kept at once: about the targets of a shard. */
const PLANS_MAX = 512;

function concatenated(columns: readonly Float64Array[]): Float64Array {
  if (columns.length === 1) return columns[0]!;
  const all = new Float64Array(columns.reduce((sum, column) => sum + column.length, 0));
  let at = 0;
  for (const column of columns) {
    all.set(column, at);
    at += column.length;
  }
  return all;
}

/** Plans the merge of ascending columns of times. The only column of all is taken as it is, not copied. */
export function planTimes(columns: readonly Float64Array[]): TimesPlan {
  if (columns.length === 1) return { times: columns[0]!, order: undefined, starts: undefined };
  const all = concatenated(columns);
  let ascending = true;
  for (let i = 1; i < all.length; i++) if (all[i]! <= all[i - 1]!) ascending = false;
  if (ascending) return { times: all, order: undefined, starts: undefined };
  const order = Uint32Array.from(all, (_, i) => i).sort((a, b) => all[a]! - all[b]! || a - b);
  const starts: number[] = [];
  order.forEach((place, i) => {
    if (i === 0 || all[place] !== all[order[i - 1]!]) starts.push(i);
  });
  return {
    times: Float64Array.from(starts, (i) => all[order[i]!]!),
    order,
    starts: starts.length === order.length ? undefined : Uint32Array.from(starts),
  };
}

/** Merges columns by their times' plan. The only column of all is taken as it is, not copied. */
export function mergeColumns(columns: readonly Float64Array[], plan: TimesPlan): Float64Array {
  const all = concatenated(columns);
  return plan.order === undefined ? all : mergeValues(all, plan, new Float64Array(plan.times.length));
}

/**
 * Merges columns that lie one after another in `all` by their times' plan, into `room` unless they are merged already. Bits are moved as
 * words, because a NaN's might change in a number.
 */
export function mergeValues(all: Float64Array, plan: TimesPlan, room: Float64Array): Float64Array {
  const { order, starts, times } = plan;
  if (order === undefined) return all;
  const from = new Uint32Array(all.buffer, all.byteOffset, all.length * 2);
  const out = room.subarray(0, times.length);
  const to = new Uint32Array(out.buffer, out.byteOffset, out.length * 2);
  for (let i = 0; i < out.length; i++) {
    let best = order[starts === undefined ? i : starts[i]!]! * 2;
    const end = starts === undefined ? i + 1 : (starts[i + 1] ?? order.length);
    for (let j = (starts === undefined ? i : starts[i]!) + 1; j < end; j++) {
      const other = order[j]! * 2;
      if (beats(from[other + 1]!, from[other]!, from[best + 1]!, from[best]!)) best = other;
    }
    to[i * 2] = from[best]!;
    to[i * 2 + 1] = from[best + 1]!;
  }
  return out;
}

/** Columns that are used again for the next series: garbage of this size would cost more than the merge. */
class Scratch {
  private readonly columns: Float64Array[] = [];

  take(number: number, length: number): Float64Array {
    let column = this.columns[number];
    if (column === undefined || column.length < length) {
      column = new Float64Array(Math.max(length, 2 * (column?.length ?? 0)));
      this.columns[number] = column;
    }
    return column.subarray(0, length);
  }
}

interface Cursor {
  readonly reader: BlockReader;
  readonly number: number;
  series: number;
}

/**
 * Adds all series of the readers' blocks to the writer, which the caller finishes. Errors: CorruptionError for a damaged block;
 * InvalidError for a series with more samples than a column holds, and for rows of a rollup with the same time in two blocks.
 */
export function mergeBlocks(readers: readonly BlockReader[], writer: BlockWriter): void {
  const steps = mergeSteps(readers, writer);
  while (steps.next().done !== true);
}

/** What is left out of a merge: the times of the series with a place in a reader's block; undefined when nothing is. */
export type LeftOut = (reader: number, place: number) => TimeRanges | undefined;

const NOTHING_LEFT_OUT: LeftOut = () => undefined;

/** A series that was written: the places it had in the readers' blocks, and its times. */
export interface WrittenSeries {
  readonly places: readonly (readonly [reader: number, place: number])[];
  readonly times: Float64Array;
}

/** As mergeBlocks, a series at each step. A series of which everything is left out is not written, and undefined. */
export function* mergeSteps(
  readers: readonly BlockReader[],
  writer: BlockWriter,
  leftOut: LeftOut = NOTHING_LEFT_OUT,
): Generator<WrittenSeries | undefined, void> {
  const cursors: Cursor[] = readers.map((reader, number) => ({ reader, number, series: 0 }));
  const plans = new Map<string, TimesPlan>();
  const scratch = new Scratch();
  for (;;) {
    let key: Uint8Array | undefined;
    let present: Cursor[] = [];
    for (const cursor of cursors) {
      if (cursor.series >= cursor.reader.seriesCount) continue;
      const mine = cursor.reader.key(cursor.series);
      const order = key === undefined ? -1 : compareBytes(mine, key);
      if (order < 0) {
        key = mine;
        present = [cursor];
      } else if (order === 0) present.push(cursor);
    }
    if (key === undefined) return;
    const isCut = present.some(({ number, series }) => leftOut(number, series) !== undefined);
    const times = isCut ? addCut(key, present, leftOut, writer) : addMerged(key, present, plans, scratch, writer);
    const places = present.map(({ number, series }) => [number, series] as const);
    for (const cursor of present) cursor.series++;
    yield times === undefined ? undefined : { places, times };
  }
}

function addMerged(
  key: Uint8Array,
  present: readonly Cursor[],
  plans: Map<string, TimesPlan>,
  scratch: Scratch,
  writer: BlockWriter,
): Float64Array {
  const name = present.map(({ reader, number, series }) => `${number}:${reader.column(series).times}`).join(" ");
  let plan = plans.get(name);
  if (plan === undefined) {
    plan = planTimes(present.map(({ reader, series }) => reader.times(reader.column(series).times)));
    if (plans.size === PLANS_MAX) plans.delete(plans.keys().next().value!);
    plans.set(name, plan);
  }
  const width = present[0]!.reader.footer.columnsPerSeries;
  if (width > 1 && plan.starts !== undefined) {
    throw timeTwice();
  }
  const samples = present.reduce((sum, { reader, series }) => sum + reader.column(series).header.count, 0);
  const columns = Array.from({ length: width }, (_, which) => {
    const all = scratch.take(which * 2, samples);
    let at = 0;
    for (const { reader, series } of present) {
      const column = reader.column(series, which);
      reader.readValues(column, all.subarray(at));
      at += column.header.count;
    }
    return mergeValues(all, plan, scratch.take(which * 2 + 1, samples));
  });
  writer.addSeries(key, plan.times, ...columns);
  return plan.times;
}

/** As addMerged for a series of which samples are left out; rare, so plain. Undefined when nothing is left. */
function addCut(
  key: Uint8Array,
  present: readonly Cursor[],
  leftOut: LeftOut,
  writer: BlockWriter,
): Float64Array | undefined {
  const width = present[0]!.reader.footer.columnsPerSeries;
  const parts = present.map(({ reader, number, series }) => {
    const times = reader.times(reader.column(series).times);
    const spans = leftOut(number, series)?.spansOutside(times) ?? [0, times.length];
    const columns = Array.from({ length: width }, (_, which) => {
      const column = reader.column(series, which);
      const values = new Float64Array(column.header.count);
      reader.readValues(column, values);
      return takeSpans(values, spans);
    });
    return { times: takeSpans(times, spans), columns };
  });
  const plan = planTimes(parts.map(({ times }) => times));
  if (plan.times.length === 0) return undefined;
  if (width > 1 && plan.starts !== undefined) throw timeTwice();
  const merged = Array.from({ length: width }, (_, which) => {
    const columns = parts.map(({ columns: all }) => all[which]!);
    return mergeColumns(columns, plan);
  });
  writer.addSeries(key, plan.times, ...merged);
  return plan.times;
}

function timeTwice(): InvalidError {
  return new InvalidError("cannot merge blocks: got rows of one time in two of them; want each time once");
}
