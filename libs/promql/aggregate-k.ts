// libs/promql/aggregate-k.ts: aggregations that keep some of the series: topk, bottomk, limitk, limit_ratio.
// The series keep their labels; at every step a group keeps those with the best values, or the first ones by labels.
// limit_ratio keeps those that the hash of their labels tells.
import { compareLabels, ExecutionError } from "../model/index.ts";
import { type Aggregation, type ColumnGroup, groupColumns } from "./aggregate.ts";
import { anyPresent, type Column, hasPoint, normalizePresent } from "./column.ts";
import { formatGeneral } from "./go-text.ts";
import { hashFraction } from "./label-hash.ts";
import { maxGo, minGo } from "./operators.ts";

const INT64_LIMIT = 2 ** 63;

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

/** topk and bottomk: NaNs only where nothing else is left; of equal values the first by labels. */
export function keepBest(expr: Aggregation, columns: readonly Column[], k: Float64Array, count: number): Column[] {
  return keepPerStep(groupColumns(expr, columns), k, count, (members) => {
    const contest = new Contest(members, expr.op === "topk");
    return (step, size, chosen) => contest.best(step, size, chosen);
  });
}

/** The members of a group, of which the best are wanted at each step. */
class Contest {
  private readonly members: readonly Column[];
  private readonly isTop: boolean;
  /** By member: its value at the step that is asked for. */
  private readonly values: Float64Array;
  /** By member: its place by labels. Known once two members have tied. */
  private ranks: Uint32Array | undefined;

  constructor(members: readonly Column[], isTop: boolean) {
    this.members = members;
    this.isTop = isTop;
    this.values = new Float64Array(members.length);
  }

  /** Writes the best members at a step, `size` at most, the best first; returns how many. */
  best(step: number, size: number, chosen: Int32Array): number {
    const { members, values } = this;
    let kept = 0;
    for (let m = 0; m < members.length; m++) {
      const { present, values: all } = members[m]!;
      if (!hasPoint(present, step)) continue;
      values[m] = all[step]!;
      if (kept === size && !this.beats(m, chosen[size - 1]!)) continue;
      // The place behind all that are better; the last one falls out when there is no room.
      let at = 0;
      for (let high = kept; at < high; ) {
        const middle = (at + high) >>> 1;
        if (this.beats(m, chosen[middle]!)) high = middle;
        else at = middle + 1;
      }
      for (let i = Math.min(kept, size - 1); i > at; i--) chosen[i] = chosen[i - 1]!;
      chosen[at] = m;
      if (kept < size) kept++;
    }
    return kept;
  }

  private beats(m: number, than: number): boolean {
    const value = this.values[m]!;
    const other = this.values[than]!;
    if (value > other) return this.isTop;
    if (value < other) return !this.isTop;
    if (Number.isNaN(value) !== Number.isNaN(other)) return Number.isNaN(other);
    this.ranks ??= ranksOf(this.members);
    return this.ranks[m]! < this.ranks[than]!;
  }
}

/** By member: its place in the order of labels. */
function ranksOf(members: readonly Column[]): Uint32Array {
  const order = members.map((_, m) => m).sort((a, b) => compareLabels(members[a]!.labels, members[b]!.labels));
  const ranks = new Uint32Array(members.length);
  for (let rank = 0; rank < order.length; rank++) ranks[order[rank]!] = rank;
  return ranks;
}

/** limitk: the first k series of each group by labels. */
export function keepFirst(expr: Aggregation, columns: readonly Column[], k: Float64Array, count: number): Column[] {
  const sorted = [...columns].sort((a, b) => compareLabels(a.labels, b.labels));
  return keepPerStep(groupColumns(expr, sorted), k, count, (members) => (step, size, chosen) => {
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

/** Writes the members of a group to keep at a step, `size` at most, best first; returns how many. */
type Choose = (step: number, size: number, chosen: Int32Array) => number;

/**
 * Runs what `chooserOf` makes for each group at every step. With a single step the result is ordered by that, group after group; else columns
 * keep the order of the groups.
 */
function keepPerStep(
  groups: readonly ColumnGroup[],
  k: Float64Array,
  count: number,
  chooserOf: (members: readonly Column[]) => Choose,
): Column[] {
  const out: Column[] = [];
  for (const { members } of count === 1 ? byLabels(groups) : groups) {
    const masks: (Uint8Array | undefined)[] = new Array(members.length);
    const chosen = new Int32Array(members.length);
    const choose = chooserOf(members);
    let order: number[] = [];
    for (let s = 0; s < count; s++) {
      const size = Math.min(Math.trunc(k[s]!), members.length);
      if (!(size >= 1)) continue;
      const kept = choose(s, size, chosen);
      for (let i = 0; i < kept; i++) {
        const mask = masks[chosen[i]!] ?? new Uint8Array(count);
        masks[chosen[i]!] = mask;
        mask[s] = 1;
      }
      if (count === 1) order = Array.from(chosen.subarray(0, kept));
    }
    if (count > 1) order = members.map((_, i) => i);
    for (const m of order) {
      const mask = masks[m];
      if (mask !== undefined) out.push({ ...members[m]!, present: normalizePresent(mask) });
    }
  }
  return out;
}

/** Groups in the order of their first members by labels: the order in which storages answer tells nothing. */
function byLabels(groups: readonly ColumnGroup[]): readonly ColumnGroup[] {
  if (groups.length < 2) return groups;
  const first = (members: readonly Column[]): Column =>
    members.reduce((a, b) => (compareLabels(b.labels, a.labels) < 0 ? b : a));
  const ranked = groups.map((group) => ({ group, labels: first(group.members).labels }));
  return ranked.sort((a, b) => compareLabels(a.labels, b.labels)).map(({ group }) => group);
}
