// libs/promql/aggregate-k.ts: aggregations that keep some of the series: topk, bottomk, limitk, limit_ratio.
// The series keep their labels; at every step a group keeps those with the best values, or the first ones by labels.
// limit_ratio keeps those that the hash of their labels tells.
import { compareLabels, ExecutionError } from "../model/index.ts";
import { type Aggregation, type ColumnGroup, groupColumns } from "./aggregate.ts";
import { anyPresent, byLabels, type Column, hasPoint, normalizePresent } from "./column.ts";
import { formatGeneral } from "./go-text.ts";
import { hashFraction } from "./label-hash.ts";
import { maxGo, minGo } from "./operators.ts";
import type { Steps } from "./stride.ts";

const INT64_LIMIT = 2 ** 63;

/** Of so many at most the best are found by putting each into its place: moving those behind it takes longer than sorting when there are more. */
const INSERTED_MAX = 64;

/** Checks k of topk, bottomk and limitk. Errors: ExecutionError with Prometheus' texts. */
export function checkCounts(counts: Float64Array): "none" | "some" {
  const { min, max, hasNan } = extremes(counts);
  if (max < 1) return "none";
  if (hasNan) throw new ExecutionError("Parameter value is NaN");
  if (min <= -INT64_LIMIT) throw new ExecutionError(`Scalar value ${formatGeneral(min)} underflows int64`);
  if (max >= INT64_LIMIT) throw new ExecutionError(`Scalar value ${formatGeneral(max)} overflows int64`);
  return "some";
}

/** Smallest and largest number of a column. As in Prometheus a NaN beats all of them but the infinities. */
export function extremes(values: Float64Array): { min: number; max: number; hasNan: boolean } {
  let min = Infinity;
  let max = -Infinity;
  let hasNan = false;
  for (const value of values) {
    min = minGo(min, value);
    max = maxGo(max, value);
    hasNan ||= Number.isNaN(value);
  }
  return { min, max, hasNan };
}

/** Work, a step at a time, that ends with the columns that are kept. */
type Keeping = Steps<Column[]>;

/** topk and bottomk: NaNs only where nothing else is left; of equal values those that Prometheus' heap keeps. */
export function keepBest(expr: Aggregation, columns: readonly Column[], k: Float64Array, count: number): Keeping {
  return keepPerStep(groupColumns(expr, columns), k, count, (members) => {
    const contest = new Contest(members, expr.op === "topk", count === 1);
    return (step, size, chosen) => contest.best(step, size, chosen);
  });
}

/**
 * The members of a group, of which the best are wanted at each step. As long as no two that count have the same value it
 * does not matter in which order they come. Then it does: Prometheus takes them by labels, and replaces the root of a heap.
 */
class Contest {
  private readonly members: readonly Column[];
  /** -1 for bottomk: then the greatest are the best for both. */
  private readonly sign: number;
  private readonly isOrdered: boolean;
  /** By member: its value at the step that is asked for, with that sign. */
  private readonly values: Float64Array;
  /** Members by labels. Known once two of them have tied. */
  private order: Uint32Array | undefined;

  /** `isOrdered`: the order of those that are kept matters too. */
  constructor(members: readonly Column[], isTop: boolean, isOrdered: boolean) {
    this.members = members;
    this.sign = isTop ? 1 : -1;
    this.isOrdered = isOrdered;
    this.values = new Float64Array(members.length);
  }

  /** Writes the best members at a step, `size` at most; returns how many. */
  best(step: number, size: number, chosen: Int32Array): number {
    if (!this.isOrdered && size === this.members.length) return this.all(step, chosen);
    const rank = size <= INSERTED_MAX ? this.insert : this.sortAll;
    const kept = this.order === undefined ? rank.call(this, step, size, chosen) : undefined;
    if (kept !== undefined) return kept;
    this.order ??= orderOf(this.members);
    const heaped = this.heap(this.order, step, size, chosen);
    if (this.isOrdered) this.sort(chosen.subarray(0, heaped));
    return heaped;
  }

  /** All that have a value, which nobody has to compare. */
  private all(step: number, chosen: Int32Array): number {
    const { members } = this;
    let kept = 0;
    for (let m = 0; m < members.length; m++) if (hasPoint(members[m]!.present, step)) chosen[kept++] = m;
    return kept;
  }

  /** The best in their order, for many: all of them sorted; undefined when the same value is there twice among the best or right behind them. */
  private sortAll(step: number, size: number, chosen: Int32Array): number | undefined {
    const { members, values, sign } = this;
    const found = this.all(step, chosen);
    for (let i = 0; i < found; i++) values[chosen[i]!] = sign * members[chosen[i]!]!.values[step]!;
    chosen.subarray(0, found).sort((a, b) => Number(this.isLess(a, b)) - Number(this.isLess(b, a)));
    for (let i = 1; i < Math.min(found, size + 1); i++) if (!this.isLess(chosen[i]!, chosen[i - 1]!)) return undefined;
    return Math.min(found, size);
  }

  /** The best in their order, for few; undefined when two have the same value. */
  private insert(step: number, size: number, chosen: Int32Array): number | undefined {
    const { members, values, sign } = this;
    let kept = 0;
    for (let m = 0; m < members.length; m++) {
      const { present, values: all } = members[m]!;
      if (!hasPoint(present, step)) continue;
      const value = sign * all[step]!;
      if (kept === size && value < values[chosen[size - 1]!]!) continue;
      values[m] = value;
      // The place behind all that are not worse; the last one falls out when there is no room.
      let at = 0;
      for (let high = kept; at < high; ) {
        const middle = (at + high) >>> 1;
        if (this.isLess(chosen[middle]!, m)) high = middle;
        else at = middle + 1;
      }
      if (at > 0 && !this.isLess(m, chosen[at - 1]!)) return undefined;
      if (at === size) continue;
      for (let i = Math.min(kept, size - 1); i > at; i--) chosen[i] = chosen[i - 1]!;
      chosen[at] = m;
      if (kept < size) kept++;
    }
    return kept;
  }

  /** Like Go's container/heap: the worst of those kept is the root, which a better one replaces. */
  private heap(order: Uint32Array, step: number, size: number, chosen: Int32Array): number {
    const { members, values, sign } = this;
    let kept = 0;
    for (let i = 0; i < order.length; i++) {
      const m = order[i]!;
      const { present, values: all } = members[m]!;
      if (!hasPoint(present, step)) continue;
      const value = sign * all[step]!;
      if (kept === size && value <= values[chosen[0]!]!) continue;
      values[m] = value;
      if (kept < size) {
        chosen[kept] = m;
        this.up(chosen, kept++);
      } else if (this.isLess(chosen[0]!, m)) {
        chosen[0] = m;
        this.down(chosen, kept);
      }
    }
    return kept;
  }

  private up(heap: Int32Array, from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >>> 1;
      if (!this.isLessInHeap(heap[at]!, heap[parent]!)) return;
      swap(heap, at, parent);
      at = parent;
    }
  }

  private down(heap: Int32Array, n: number): void {
    for (let at = 0; ; ) {
      let child = 2 * at + 1;
      if (child >= n) return;
      if (child + 1 < n && this.isLessInHeap(heap[child + 1]!, heap[child]!)) child++;
      if (!this.isLessInHeap(heap[child]!, heap[at]!)) return;
      swap(heap, at, child);
      at = child;
    }
  }

  /** Best first; equal values in the order of the heap, NaNs in the opposite one. */
  private sort(heap: Int32Array): void {
    const places = new Map(Array.from(heap, (m, i) => [m, i]));
    heap.sort((a, b) => {
      const nans = Number(Number.isNaN(this.values[a]!)) - Number(Number.isNaN(this.values[b]!));
      const bothNan = nans === 0 && Number.isNaN(this.values[a]!);
      const inPlace = places.get(a)! - places.get(b)!;
      return nans || (bothNan ? -inPlace : this.values[b]! - this.values[a]! || inPlace);
    });
  }

  /** NaNs are less than all numbers. */
  private isLess(a: number, b: number): boolean {
    const x = this.values[a]!;
    const y = this.values[b]!;
    return x < y || (Number.isNaN(x) && !Number.isNaN(y));
  }

  /** In Prometheus' heaps NaNs are less than other NaNs too. */
  private isLessInHeap(a: number, b: number): boolean {
    const x = this.values[a]!;
    return x < this.values[b]! || Number.isNaN(x);
  }
}

function swap(heap: Int32Array, a: number, b: number): void {
  const m = heap[a]!;
  heap[a] = heap[b]!;
  heap[b] = m;
}

/** Members in the order of their labels. */
function orderOf(members: readonly Column[]): Uint32Array {
  return Uint32Array.from(members.keys()).sort((a, b) => compareLabels(members[a]!.labels, members[b]!.labels));
}

/** limitk: the first k series of each group by labels. */
export function keepFirst(expr: Aggregation, columns: readonly Column[], k: Float64Array, count: number): Keeping {
  return keepPerStep(groupColumns(expr, byLabels(columns)), k, count, (members) => (step, size, chosen) => {
    let kept = 0;
    for (let m = 0; m < members.length && kept < size; m++) {
      if (hasPoint(members[m]!.present, step)) chosen[kept++] = m;
    }
    return kept;
  });
}

/** limit_ratio: series whose hash lies below the ratio, or above 1 + ratio for negative ones. */
export function keepRatio(columns: readonly Column[], ratio: Float64Array, count: number): Column[] {
  const out: Column[] = [];
  for (const column of columns) {
    const offset = hashFraction(column.labels);
    const present = new Uint8Array(count);
    for (let s = 0; s < count; s++) {
      const r = Math.min(1, Math.max(-1, ratio[s]!));
      const inside = r >= 0 ? offset < r : offset >= 1 + r;
      if (inside && hasPoint(column.present, s)) present[s] = 1;
    }
    if (anyPresent(present)) out.push({ ...column, present: normalizePresent(present) });
  }
  return out;
}

/** Writes the members of a group to keep at a step, `size` at most, in a single step best first; returns how many. */
type Choose = (step: number, size: number, chosen: Int32Array) => number;

/**
 * Runs what `chooserOf` makes for each group at every step. With a single step the result is ordered by that, group after group; else columns
 * keep the order of the groups.
 */
function* keepPerStep(
  groups: readonly ColumnGroup[],
  k: Float64Array,
  count: number,
  chooserOf: (members: readonly Column[]) => Choose,
): Keeping {
  const out: Column[] = [];
  for (const { members } of count === 1 ? groupsByLabels(groups) : groups) {
    const masks: (Uint8Array | undefined)[] = new Array(members.length);
    const chosen = new Int32Array(members.length);
    const choose = chooserOf(members);
    let order = new Int32Array(0);
    for (let s = 0; s < count; s++) {
      const size = Math.min(Math.trunc(k[s]!), members.length);
      if (!(size >= 1)) continue;
      const kept = choose(s, size, chosen);
      for (let i = 0; i < kept; i++) {
        const mask = masks[chosen[i]!] ?? new Uint8Array(count);
        masks[chosen[i]!] = mask;
        mask[s] = 1;
      }
      if (count === 1) order = chosen.slice(0, kept);
      yield;
    }
    if (count > 1) order = chosen.map((_, i) => i);
    for (const m of order) {
      const mask = masks[m];
      if (mask !== undefined) out.push({ ...members[m]!, present: normalizePresent(mask) });
    }
  }
  return out;
}

/** Groups in the order of their first members by labels: the order in which storages answer tells nothing. */
function groupsByLabels(groups: readonly ColumnGroup[]): readonly ColumnGroup[] {
  if (groups.length < 2) return groups;
  const first = (members: readonly Column[]): Column =>
    members.reduce((a, b) => (compareLabels(b.labels, a.labels) < 0 ? b : a));
  const ranked = groups.map((group) => ({ group, labels: first(group.members).labels }));
  return ranked.sort((a, b) => compareLabels(a.labels, b.labels)).map(({ group }) => group);
}
