// libs/promql/aggregate.ts: aggregations over instant vectors that make new series: sum … quantile, count_values.
import { type Labels, labelValue, METRIC_NAME, type PartialOp, type StepColumn, setLabel } from "../model/index.ts";
import type { Annotations } from "./annotations.ts";
import type { AggregateOp, Position } from "./ast.ts";
import { type Budget, labelTextBytes } from "./budget.ts";
import { type Column, hasPoint, histogramOf, normalizePresent, type VectorValue, withHistograms } from "./column.ts";
import { formatPlain } from "./go-text.ts";
import { compact } from "./histogram-arithmetic.ts";
import { histogramText } from "./histogram-text.ts";
import { annotate } from "./leaf-notes.ts";
import { finishPartials } from "./merge.ts";
import { Grouping, PartialAggregator } from "./partial.ts";
import { quantileOf } from "./quantile.ts";
import { averageHistogram } from "./rollup-histogram-sum.ts";
import { type Steps, Stride } from "./stride.ts";

/** The parts of an aggregation expression that matter here. */
export interface Aggregation {
  readonly op: AggregateOp;
  readonly without: boolean;
  readonly grouping: readonly string[];
}

/** The columns of one group of an aggregation. */
export interface ColumnGroup {
  readonly labels: Labels;
  readonly members: readonly Column[];
}

/** Divides columns into groups, in the order of the groups' first columns. */
export function groupColumns(expr: Aggregation, columns: readonly Column[]): ColumnGroup[] {
  const grouping = new Grouping(expr.without, expr.grouping);
  const members: Column[][] = [];
  for (const column of columns) {
    const group = grouping.groupOf(column.labels);
    if (group === members.length) members.push([column]);
    else members[group]!.push(column);
  }
  return members.map((group, i) => ({ labels: grouping.groups[i]!, members: group }));
}

/** Where annotations about what is aggregated go: the place of the aggregated expression. */
export interface NotePlace {
  readonly pos: Position;
  readonly notes: Annotations;
}

/** sum, count, min, max, avg and group. */
export function aggregateSimply(
  expr: Aggregation,
  columns: readonly Column[],
  count: number,
  place: NotePlace,
): Steps<Column[]> {
  const op = expr.op as PartialOp;
  const stride = new Stride();
  return eachGroup(expr, columns, function* (members) {
    const aggregator = new PartialAggregator({ op, without: false, labels: [] }, count);
    const group = aggregator.groupOf([]);
    for (const { labels, values, present, histograms } of members) {
      if (stride.isOver(count)) yield;
      if (histograms === undefined) aggregator.add(group, values, present);
      else aggregator.addMixed(group, values, present, histograms, labelValue(labels, METRIC_NAME));
    }
    const { overflowed } = aggregator;
    const [result] = finishPartials(op, aggregator.columns(), aggregator.notes);
    annotate(aggregator.notes.list(), place.pos, place.pos, op, place.notes);
    if (result === undefined || op !== "avg") return result;
    repairMeans(result, members);
    return overflowed ? repairHistograms(result, members) : result;
  });
}

type GroupResult = Pick<StepColumn, "values" | "present" | "histograms"> | undefined;

function* eachGroup(
  expr: Aggregation,
  columns: readonly Column[],
  aggregate: (members: readonly Column[]) => Steps<GroupResult>,
): Steps<Column[]> {
  const out: Column[] = [];
  for (const { labels, members } of groupColumns(expr, columns)) {
    const result = yield* aggregate(members);
    if (result !== undefined) out.push(groupColumn(labels, members, result));
  }
  return out;
}

function groupColumn(labels: Labels, members: readonly Column[], result: NonNullable<GroupResult>): Column {
  const { values, present, histograms } = result;
  const dropName = dropsName(members, present, values.length);
  return histograms === undefined
    ? { labels, values, present, dropName }
    : { labels, values, present, dropName, histograms };
}

/** Whether a group loses its name: when a member does that had a part in its last result, as in Prometheus. */
function dropsName(members: readonly Column[], present: Uint8Array | null, count: number): boolean {
  const last = present === null ? count - 1 : present.lastIndexOf(1);
  return members.some((member) => member.dropName && hasPoint(member.present, last));
}

/** A mean whose sum overflowed is computed again, incrementally, as Prometheus does it. */
function repairMeans(means: StepColumn, members: readonly Column[]): void {
  for (let s = 0; s < means.values.length; s++) {
    if (!hasPoint(means.present, s) || Number.isFinite(means.values[s]!)) continue;
    means.values[s] = incrementalMean(members, s);
  }
}

/** Likewise means of histograms. Their members have gone together before, so there is nothing to note. */
function repairHistograms(means: StepColumn, members: readonly Column[]): GroupResult {
  const column = { ...means, dropName: false };
  const list = Array.from(means.values, (_, s) => {
    const mean = hasPoint(means.present, s) ? histogramOf(column, s) : undefined;
    if (mean === undefined) return undefined;
    const histograms = members.flatMap((m) => (hasPoint(m.present, s) ? [histogramOf(m, s)!] : []));
    return compact(averageHistogram(histograms, () => {}) ?? mean);
  });
  return withHistograms(column, list);
}

function incrementalMean(members: readonly Column[], step: number): number {
  let mean = 0;
  let lost = 0;
  let n = 0;
  let direct = true;
  for (const { values, present } of members) {
    if (!hasPoint(present, step)) continue;
    let value = values[step]!;
    n++;
    if (n === 1) {
      mean = value;
      continue;
    }
    if (direct && Math.abs(mean + value) === Infinity) {
      direct = false;
      mean /= n - 1;
      lost /= n - 1;
    }
    if (!direct) {
      const q = (n - 1) / n;
      value /= n;
      mean *= q;
      lost *= q;
    }
    const next = mean + value;
    if (Math.abs(next) === Infinity) lost = 0;
    else if (Math.abs(mean) >= Math.abs(value)) lost += mean - next + value;
    else lost += value - next + mean;
    mean = next;
  }
  return direct ? mean / n + lost / n : mean + lost;
}

/** stddev and stdvar, by Welford's method. A group whose first value is not finite has no variance: NaN. */
export function aggregateVariance(expr: Aggregation, columns: readonly Column[], count: number): Steps<Column[]> {
  const stride = new Stride();
  return eachGroup(expr, columns, function* (members) {
    const n = new Float64Array(count);
    const mean = new Float64Array(count);
    const squares = new Float64Array(count);
    for (const { values, present } of members) {
      if (stride.isOver(count)) yield;
      for (let s = 0; s < count; s++) {
        if (!hasPoint(present, s)) continue;
        const value = values[s]!;
        n[s] = n[s]! + 1;
        if (n[s] === 1) {
          mean[s] = value;
          squares[s] = Number.isFinite(value) ? 0 : Number.NaN;
          continue;
        }
        const delta = value - mean[s]!;
        mean[s] = mean[s]! + delta / n[s]!;
        squares[s] = squares[s]! + delta * (value - mean[s]!);
      }
    }
    for (let s = 0; s < count; s++) {
      const variance = squares[s]! / n[s]!;
      squares[s] = expr.op === "stddev" ? Math.sqrt(variance) : variance;
    }
    return present(squares, n);
  });
}

/** The values at the steps where n is not 0. */
function present(values: Float64Array, n: Float64Array): GroupResult {
  const flags = Uint8Array.from(n, (value) => (value > 0 ? 1 : 0));
  return flags.includes(1) ? { values, present: normalizePresent(flags) } : undefined;
}

/** quantile(φ, …); φ holds one value per step. */
export function* aggregateQuantile(
  expr: Aggregation,
  columns: readonly Column[],
  phi: Float64Array,
  count: number,
): Steps<Column[]> {
  const out: Column[] = [];
  const stride = new Stride();
  for (const { labels, members } of groupColumns(expr, columns)) {
    const scratch = new Float64Array(members.length);
    const values = new Float64Array(count);
    const sizes = new Float64Array(count);
    for (let s = 0; s < count; s++) {
      let n = 0;
      for (const column of members) if (hasPoint(column.present, s)) scratch[n++] = column.values[s]!;
      if (n === 0) continue;
      values[s] = quantileOf(phi[s]!, scratch, n);
      sizes[s] = n;
      if (stride.isOver(n)) yield;
    }
    const result = present(values, sizes);
    if (result !== undefined) out.push(groupColumn(labels, members, result));
  }
  return out;
}

/**
 * count_values(label, …): one series per group and distinct value, which becomes a label. The label set of the group is
 * found after the value has been set, so that the value's label may be among those grouped by, or replace one.
 */
export function* countValues(
  expr: Aggregation,
  label: string,
  columns: readonly Column[],
  count: number,
  budget: Budget,
): Steps<VectorValue> {
  const stride = new Stride();
  let textBytes = 0;
  const grouping = new Grouping(expr.without, expr.without ? expr.grouping : [...expr.grouping, label]);
  const counts: Float64Array[] = [];
  const groupOf = (labels: Labels, text: string): number => {
    const group = grouping.groupOf(setLabel(labels, label, text));
    if (counts[group] === undefined) {
      // Every distinct value makes a series: this is where a query can explode.
      const bytes = labelTextBytes(text.length);
      budget.hold(count, bytes);
      textBytes += bytes;
      counts[group] = new Float64Array(count);
    }
    return group;
  };
  for (const column of columns) {
    const known = new Map<number, number>();
    for (let s = 0; s < count; s++) {
      if (!hasPoint(column.present, s)) continue;
      const histogram = histogramOf(column, s);
      const value = column.values[s]!;
      // -0 and 0 are one Map key but two texts.
      const rememberable = histogram === undefined && !Object.is(value, -0);
      let group = rememberable ? known.get(value) : undefined;
      if (group === undefined) {
        group = groupOf(column.labels, histogram === undefined ? formatPlain(value) : histogramText(histogram));
        if (rememberable) known.set(value, group);
      }
      const into = counts[group]!;
      into[s] = into[s]! + 1;
    }
    if (stride.isOver(count)) yield;
  }
  // The result is counted by whoever asked for it.
  budget.release(counts.length * count, textBytes);
  const out = counts.map((values, i): Column => {
    const labels = grouping.groups[i]!;
    return { labels, ...present(values, values)!, dropName: false };
  });
  return { kind: "vector", columns: out, textBytes };
}
