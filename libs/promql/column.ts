// libs/promql/column.ts: what expressions evaluate to: series as columns over the whole grid, scalars as one column.
// Invariants: values and present have one slot per step; a column is never written after the node that made it has
// returned it, because several nodes may share it; present = null means that every step has a value.
import {
  compareLabels,
  ExecutionError,
  type FloatHistogram,
  type Grid,
  type HistogramColumn,
  histogramAt,
  InternalError,
  type Labels,
  labelsKey,
  METRIC_NAME,
  packHistograms,
} from "../model/index.ts";
import { floatPresence, histogramPresence } from "./float-presence.ts";

/** One series of an instant vector, at every step. */
export interface Column {
  readonly labels: Labels;
  readonly values: Float64Array;
  readonly present: Uint8Array | null;
  /** With delayed name removal: whether the name goes at the end of the query. */
  readonly dropName: boolean;
  /** Histograms, at the steps that have one; values and presence are as in StepColumn. */
  readonly histograms?: HistogramColumn;
  /** Whether it is the histograms of a label set whose floats, at some of these steps, are another column: see both-kinds.ts. */
  readonly isApart?: boolean;
}

export interface ScalarValue {
  readonly kind: "scalar";
  readonly values: Float64Array;
}
export interface VectorValue {
  readonly kind: "vector";
  readonly columns: readonly Column[];
  /** Memory of texts that were made for labels of these columns; absent for none. */
  readonly textBytes?: number;
}
export interface StringValue {
  readonly kind: "string";
  readonly value: string;
}
export type Value = ScalarValue | VectorValue | StringValue;

/** The columns of a value that the parser has checked to be a vector. */
export function columnsOf(value: Value): readonly Column[] {
  if (value.kind !== "vector") throw new InternalError(`cannot use operand: got a ${value.kind}; want a vector`);
  return value.columns;
}

/** The column of a value that the parser has checked to be a scalar. */
export function scalarOf(value: Value): Float64Array {
  if (value.kind !== "scalar") throw new InternalError(`cannot use operand: got a ${value.kind}; want a scalar`);
  return value.values;
}

/** Prometheus' text for two series that became one. */
export const SAME_LABELSET = "vector cannot contain metrics with the same labelset";

const TYPE_LABEL = "__type__";
const UNIT_LABEL = "__unit__";

/** The labels that name a metric rather than one of its series: they go together. */
export const METADATA_LABELS: readonly string[] = [METRIC_NAME, TYPE_LABEL, UNIT_LABEL];

/** The label set without its metric name, type and unit. */
export function dropMetadata(labels: Labels): Labels {
  let found = false;
  for (let i = 0; i < labels.length; i += 2) {
    const name = labels[i]!;
    if (name === METRIC_NAME || name === TYPE_LABEL || name === UNIT_LABEL) {
      found = true;
      break;
    }
  }
  if (!found) return labels;
  const kept: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    const name = labels[i]!;
    if (name !== METRIC_NAME && name !== TYPE_LABEL && name !== UNIT_LABEL) kept.push(name, labels[i + 1]!);
  }
  return kept;
}

/** Evaluation time of a step in ms. */
export function stepTime(grid: Grid, step: number): number {
  return grid.startMs + step * grid.stepMs;
}

/** How many steps have a value. */
export function pointCount(column: Column): number {
  const { present } = column;
  if (present === null) return column.values.length;
  let points = 0;
  for (let s = 0; s < present.length; s++) points += present[s]!;
  return points;
}

export function hasPoint(present: Uint8Array | null, step: number): boolean {
  return present === null || present[step] === 1;
}

/** The presence of `a` and `b` both; shares an input where it can. */
export function bothPresent(a: Uint8Array | null, b: Uint8Array | null): Uint8Array | null {
  if (a === null) return b;
  if (b === null || a === b) return a;
  const out = new Uint8Array(a.length);
  for (let s = 0; s < out.length; s++) out[s] = a[s]! & b[s]!;
  return out;
}

/** Null when every step is present, so that later nodes need not look. */
export function normalizePresent(present: Uint8Array): Uint8Array | null {
  for (let s = 0; s < present.length; s++) if (present[s] === 0) return present;
  return null;
}

/** Whether any step is present. */
export function anyPresent(present: Uint8Array | null): boolean {
  return present === null || present.includes(1);
}

/**
 * Joins columns that have the same label set. Errors: ExecutionError (SAME_LABELSET) when two of them have a value at
 * the same step.
 */
export function mergeSameLabels(columns: readonly Column[]): readonly Column[] {
  if (columns.length < 2) return columns;
  const positions = new Map<string, number>();
  let out: Column[] | undefined;
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i]!;
    const key = labelsKey(column.labels);
    const at = positions.get(key);
    if (at === undefined) {
      positions.set(key, out === undefined ? i : out.length);
      out?.push(column);
      continue;
    }
    if (out === undefined) out = columns.slice(0, i);
    out[at] = joinColumns(out[at]!, column);
  }
  return out ?? columns;
}

/** The earlier of the two says whether the name goes, as in Prometheus, which meets its points first. */
function joinColumns(a: Column, b: Column): Column {
  const values = a.values.slice();
  const present = new Uint8Array(values.length);
  let { dropName } = a;
  let met = false;
  for (let s = 0; s < values.length; s++) {
    const inA = hasPoint(a.present, s);
    const inB = hasPoint(b.present, s);
    if (inA && inB) throw new ExecutionError(SAME_LABELSET);
    if (!inA && !inB) continue;
    present[s] = 1;
    if (inB) values[s] = b.values[s]!;
    if (inB && !met) dropName = b.dropName;
    met = true;
  }
  const joined = { labels: a.labels, values, present: normalizePresent(present), dropName };
  if (a.histograms === undefined && b.histograms === undefined) return joined;
  return withHistograms(
    joined,
    Array.from(values, (_, s) => histogramOf(hasPoint(a.present, s) ? a : b, s)),
  );
}

/** The histogram of a column at a step where a value is present. */
export function histogramOf({ histograms }: Column, step: number): FloatHistogram | undefined {
  return histograms === undefined ? undefined : histogramAt(histograms, step);
}

/** The column with these histograms in place of its own. */
export function withHistograms(column: Column, list: readonly (FloatHistogram | undefined)[]): Column {
  const { labels, values, present, dropName } = column;
  const histograms = packHistograms(list);
  return histograms === undefined
    ? { labels, values, present, dropName }
    : { labels, values, present, dropName, histograms };
}

/** The floats of columns: histograms are left out. */
export function floatsOf(columns: readonly Column[]): readonly Column[] {
  if (columns.every((column) => column.histograms === undefined)) return columns;
  return columns.flatMap((column) => {
    if (column.histograms === undefined) return [column];
    const { labels, values, dropName } = column;
    const present = floatPresence(column.present, column.histograms);
    return present.includes(1) ? [{ labels, values, present: normalizePresent(present), dropName }] : [];
  });
}

/** The histograms of columns: floats are left out, and so are columns without histograms. */
export function histogramColumns(columns: readonly Column[]): (Column & { readonly histograms: HistogramColumn })[] {
  return columns.flatMap((column) => {
    const { histograms } = column;
    if (histograms === undefined) return [];
    const present = histogramPresence(column.present, histograms);
    return present.includes(1) ? [{ ...column, histograms, present: normalizePresent(present) }] : [];
  });
}

/** Whether any value is a float. */
export function hasFloats({ present, histograms }: Column): boolean {
  return histograms === undefined ? anyPresent(present) : floatPresence(present, histograms).includes(1);
}

/** Whether two columns have the same label set. */
export function hasSameLabels(columns: readonly Column[]): boolean {
  if (columns.length < 2) return false;
  const seen = new Set<string>();
  for (const column of columns) {
    const key = labelsKey(column.labels);
    if (seen.has(key)) return true;
    seen.add(key);
  }
  return false;
}

/** Columns in the order of their labels. */
export function byLabels<T extends { readonly labels: Labels }>(columns: readonly T[]): T[] {
  return [...columns].sort((a, b) => compareLabels(a.labels, b.labels));
}

/** Repeats one-step values over `count` steps. */
export function replicate(value: Value, count: number): Value {
  if (value.kind === "string" || count === 1) return value;
  if (value.kind === "scalar") {
    return { kind: "scalar", values: new Float64Array(count).fill(value.values[0]!) };
  }
  const columns: Column[] = [];
  for (const column of value.columns) {
    if (!hasPoint(column.present, 0)) continue;
    const values = new Float64Array(count).fill(column.values[0]!);
    const { labels, dropName, isApart } = column;
    const repeated = { labels, values, present: null, dropName, ...(isApart && { isApart }) };
    const histogram = histogramOf(column, 0);
    columns.push(histogram === undefined ? repeated : { ...repeated, histograms: repeatHistogram(histogram, count) });
  }
  return { kind: "vector", columns };
}

/** A boolean column to work on: a copy, or all ones. */
export function presenceCopy(present: Uint8Array | null, count: number): Uint8Array {
  return present === null ? new Uint8Array(count).fill(1) : present.slice();
}

/** One histogram at every position: all of them share its buckets. */
function repeatHistogram(histogram: FloatHistogram, count: number): HistogramColumn {
  return {
    layouts: [histogram.layout],
    layoutOf: new Int32Array(count),
    hints: new Uint8Array(count).fill(histogram.hint),
    counts: new Float64Array(count).fill(histogram.count),
    sums: new Float64Array(count).fill(histogram.sum),
    zeroCounts: new Float64Array(count).fill(histogram.zeroCount),
    starts: new Uint32Array(count),
    buckets: histogram.buckets,
  };
}
