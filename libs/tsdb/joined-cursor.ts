// libs/tsdb/joined-cursor.ts: a leaf's way through heads and blocks: the columns of a series, one after another, become one column.
// HOT: bench test/bench/joined-cursor.bench.ts, twin: a single head with the same samples (test/unit/tsdb/joined-cursor.test.ts).
// A combination of time columns is a path in a tree, so that all series that follow the same ones share their times, and with them the
// window plan. Values are decoded to their place in one buffer. Columns whose times lie among each other are merged by a plan per combination.
import { HAS_NANS, HAS_STALES, mergeColumns, planTimes, type TimesPlan, takeSpans } from "../block/index.ts";
import { READ_HOLES, READ_STALE } from "../kernel/index.ts";
import type { RowTable } from "../model/index.ts";
import type { Head, SeriesSamples, TimeColumn } from "./head.ts";
import type { HeadView } from "./head-view.ts";
import { addHeader, foldWhole } from "./header-rows.ts";
import type { LeafBlock, LeafBlocks, LeafTimes } from "./leaf-blocks.ts";
import { type LeafCursor, SharedColumn } from "./leaf-cursor.ts";
import { NO_SERIES } from "./selection.ts";

/** Fewer values are decoded sooner than their header is looked at. */
const HEADER_SAMPLES_MIN = 512;

/** A head within the leaf's reach. */
class LeafHead {
  readonly head: Head;
  readonly view: HeadView;
  private readonly lowMs: number;
  private readonly highMs: number;
  private readonly groups = new Map<number, GroupTimes>();

  constructor(view: HeadView, lowMs: number, highMs: number) {
    this.head = view.head;
    this.view = view;
    this.lowMs = lowMs;
    this.highMs = highMs;
  }

  /** The times of the series' group; the same object for the same group. */
  timesOf(series: number): GroupTimes {
    const group = this.head.groupOf(series);
    let found = this.groups.get(group);
    if (found === undefined) {
      const column = this.head.timeColumn(group, this.lowMs, this.highMs);
      found = { times: column.times, before: 0, after: 0, column };
      this.groups.set(group, found);
    }
    return found;
  }
}

interface GroupTimes extends LeafTimes {
  readonly column: TimeColumn;
}

/** Where values of a part go in the buffer. */
interface Layout {
  readonly at: number;
  /** Whether all values of the part's column may be decoded there, those beyond the leaf's reach into room that is free. */
  readonly inPlace: boolean;
}

/** The times of a combination, and how values of its parts become one column. */
class JoinedColumn extends SharedColumn {
  readonly layouts: readonly Layout[];
  /** The parts' values are buffer[start … end); what lies around them is scratch. */
  readonly start: number;
  readonly end: number;
  readonly size: number;
  /** The parts by time, where they follow each other. */
  readonly order: readonly number[] | undefined;
  /** Only where times of parts lie among each other. */
  readonly merge: TimesPlan | undefined;

  constructor(parts: readonly LeafTimes[]) {
    const order = parts.map((_, i) => i).sort((a, b) => parts[a]!.times[0]! - parts[b]!.times[0]!);
    const apart = order.every((part, k) => k === 0 || parts[order[k - 1]!]!.times.at(-1)! < parts[part]!.times[0]!);
    const sorted = apart ? order.map((i) => parts[i]!) : parts;
    const plan = planTimes(sorted.map(({ times }) => times));
    super(plan.times);
    // Values before and after the leaf's reach find room only around all others.
    const first = sorted[0];
    const last = sorted.at(-1);
    this.start = first?.before ?? 0;
    const layouts: Layout[] = new Array(parts.length);
    let at = this.start;
    sorted.forEach((part, k) => {
      // By place: two parts may have the same times.
      const inPlace = (part.before === 0 || k === 0) && (part.after === 0 || k === sorted.length - 1);
      layouts[apart ? order[k]! : k] = { at, inPlace };
      at += part.times.length;
    });
    this.layouts = layouts;
    this.order = apart ? order : undefined;
    this.end = at;
    this.size = at + (last?.after ?? 0);
    this.merge = plan.order === undefined ? undefined : plan;
  }
}

/** A place in the tree of combinations. */
interface Combination {
  readonly next: Map<LeafTimes, Combination>;
  joined: JoinedColumn | undefined;
}

const newCombination = (): Combination => ({ next: new Map(), joined: undefined });

export class JoinedCursor implements LeafCursor {
  readonly stride = 8;
  flags = 0;
  private readonly heads: readonly LeafHead[];
  private readonly blocks: LeafBlocks;
  private readonly lowMs: number;
  private readonly highMs: number;
  private readonly root = newCombination();
  /** The combinations that begin with times of a block, by the number of those; the others begin at the root. */
  private readonly ofBlocks: (Combination | undefined)[] = [];
  private buffer = new Float64Array(0);
  private scratch = new Float64Array(0);
  private series = 0;
  /** The parts of the series: of blocks first, then of heads. */
  private parts = 0;
  private blockParts = 0;
  /** HAS_STALES and HAS_NANS of the blocks' parts. */
  private odd = 0;
  private readonly times: LeafTimes[] = [];
  private readonly partColumns: number[] = [];
  private readonly partHeads: Head[] = [];
  private readonly partGroups: TimeColumn[] = [];
  private joined: JoinedColumn | undefined;

  constructor(heads: readonly HeadView[], blocks: LeafBlocks, lowMs: number, highMs: number) {
    this.heads = heads.map((view) => new LeafHead(view, lowMs, highMs));
    this.blocks = blocks;
    this.lowMs = lowMs;
    this.highMs = highMs;
  }

  open(series: number, index: number): SharedColumn | undefined {
    const { blocks, heads, lowMs, highMs, times } = this;
    this.series = series;
    this.joined = undefined;
    let combination = this.root;
    let parts = 0;
    let odd = 0;
    let inStep = true;
    for (let i = blocks.starts[index]!; i < blocks.starts[index + 1]!; i++) {
      const number = blocks.timesOf[i]!;
      const part = blocks.times[number]!;
      if (part.times.length === 0) continue;
      if (blocks.hidden?.has(i)) inStep = false;
      this.partColumns[parts] = i;
      odd |= blocks.odd[i]!;
      if (parts > 0) combination = following(combination, part);
      else combination = this.ofBlocks[number] ??= newCombination();
      times[parts++] = part;
    }
    this.blockParts = parts;
    this.odd = odd;
    const headCount = series === NO_SERIES ? 0 : heads.length;
    for (let h = 0; h < headCount; h++) {
      const leafHead = heads[h]!;
      const part = leafHead.timesOf(series);
      if (!leafHead.view.isInStep(series, part.column, lowMs, highMs)) inStep = false;
      if (part.times.length === 0) continue;
      this.partHeads[parts] = leafHead.head;
      this.partGroups[parts] = part.column;
      times[parts++] = part;
      combination = following(combination, part);
    }
    this.parts = parts;
    if (!inStep) return undefined;
    let { joined } = combination;
    if (joined === undefined) {
      joined = new JoinedColumn(times.slice(0, parts));
      combination.joined = joined;
    }
    this.joined = joined;
    if (this.blockParts === parts || (parts === 1 && this.blockParts === 0)) return joined;
    // A merge takes values, not holes; and a block may have a NaN with the bits of a hole.
    const takesHoles = joined.merge === undefined && (odd & HAS_NANS) === 0;
    return takesHoles || this.areHeadsClean() ? joined : undefined;
  }

  private areHeadsClean(): boolean {
    for (let k = this.blockParts; k < this.parts; k++) {
      const { from, to } = this.partGroups[k]!;
      if (!this.partHeads[k]!.isClean(this.series, from, to)) return false;
    }
    return true;
  }

  isClean(): boolean {
    return (this.odd & HAS_STALES) === 0 && this.areHeadsClean();
  }

  readValues(): Float64Array {
    const { parts, blockParts, times, series } = this;
    const joined = this.joined!;
    if (parts === 1 && blockParts === 0) {
      const head = this.partHeads[0]!;
      const values = head.readColumn(series, this.partGroups[0]!.from, this.partGroups[0]!.to);
      this.flags = head.columnFlags;
      return values;
    }
    if (this.buffer.length < joined.size) this.buffer = new Float64Array(joined.size * 2);
    const { buffer } = this;
    let flags = (this.odd & HAS_STALES) === 0 ? 0 : READ_STALE;
    for (let k = 0; k < blockParts; k++) {
      const { at, inPlace } = joined.layouts[k]!;
      if (inPlace) this.decode(k, buffer, at - times[k]!.before);
      else buffer.set(this.decodeAside(k), at);
    }
    for (let k = blockParts; k < parts; k++) {
      const head = this.partHeads[k]!;
      const { from, to } = this.partGroups[k]!;
      buffer.set(head.readColumn(series, from, to), joined.layouts[k]!.at);
      flags |= head.columnFlags;
    }
    // The flags may tell of holes beside the leaf's reach; a block's NaN with their bits must not be taken for one.
    if ((flags & READ_HOLES) !== 0 && this.areHeadsClean()) flags &= ~READ_HOLES;
    this.flags = flags;
    const values = buffer.subarray(joined.start, joined.end);
    return joined.merge === undefined ? values : mergeColumns([values], joined.merge);
  }

  readRows(table: RowTable): number {
    const { order } = this.joined!;
    table.length = 0;
    // Among NaNs headers tell less than a rollup asks; a stale marker is none of the samples.
    if (order === undefined || this.odd !== 0 || !this.areHeadsClean()) return -1;
    let read = 0;
    for (const k of order) {
      const { times, before, after } = this.times[k]!;
      if (k >= this.blockParts) {
        const head = this.partHeads[k]!;
        const { from, to } = this.partGroups[k]!;
        foldWhole(times, head.readColumn(this.series, from, to), times.length, table);
        read += times.length;
      } else if (before === 0 && after === 0 && times.length >= HEADER_SAMPLES_MIN) {
        const place = this.blocks.places[this.partColumns[k]!]!;
        addHeader(this.blockOf(k).headerOf(place), times, table);
        read++;
      } else {
        foldWhole(times, this.decodeAside(k), times.length, table);
        read += times.length;
      }
    }
    return read;
  }

  readSamples(): SeriesSamples {
    const { series, lowMs, highMs, blockParts } = this;
    const times: Float64Array[] = [];
    const values: Float64Array[] = [];
    let flags = (this.odd & HAS_STALES) === 0 ? 0 : READ_STALE;
    for (let k = 0; k < blockParts; k++) {
      const part = this.times[k]!.times;
      const hidden = this.blocks.hidden?.get(this.partColumns[k]!);
      if (hidden === undefined) {
        times.push(part);
        values.push(this.decodeAside(k).slice());
      } else {
        const spans = hidden.spansOutside(part);
        times.push(takeSpans(part, spans));
        values.push(takeSpans(this.decodeAside(k), spans));
      }
    }
    for (const { view } of this.heads) {
      const samples = view.readSeries(series, lowMs, highMs);
      if (samples.count === 0) continue;
      flags |= samples.flags;
      if (times.length === 0 && this.heads.length === 1) return samples;
      times.push(samples.times.slice(0, samples.count));
      values.push(samples.values.slice(0, samples.count));
    }
    const plan = planTimes(times);
    return { times: plan.times, values: mergeColumns(values, plan), count: plan.times.length, flags };
  }

  private blockOf(part: number): LeafBlock {
    const { blocks, blockOf } = this.blocks;
    return blocks[blockOf[this.partColumns[part]!]!]!;
  }

  /** Decodes all values of a block's part into `out` from `at` on. */
  private decode(part: number, out: Float64Array, at: number): void {
    const block = this.blockOf(part);
    const { times, before, after } = this.times[part]!;
    this.blocks.readAhead(block);
    const values = out.subarray(at, at + before + times.length + after);
    block.readValues(this.blocks.places[this.partColumns[part]!]!, values);
  }

  /** A block's part decoded elsewhere: its values within the leaf's reach, valid until the next call. */
  private decodeAside(part: number): Float64Array {
    const { times, before, after } = this.times[part]!;
    const count = before + times.length + after;
    if (this.scratch.length < count) this.scratch = new Float64Array(count * 2);
    this.decode(part, this.scratch, 0);
    return this.scratch.subarray(before, before + times.length);
  }
}

function following(combination: Combination, part: LeafTimes): Combination {
  let found = combination.next.get(part);
  if (found === undefined) {
    found = newCombination();
    combination.next.set(part, found);
  }
  return found;
}
