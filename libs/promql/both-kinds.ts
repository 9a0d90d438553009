// libs/promql/both-kinds.ts: label sets that have a float and a histogram at one step. Prometheus' matrices hold the two kinds
// apart, and where it joins matrices it minds only two of one kind. Columns have one value per step: such a label set stays two
// columns, one of floats and one of histograms, until the answer is made.
import { type Grid, labelsKey, packHistograms, type StepColumn } from "../model/index.ts";
import {
  anyPresent,
  bothPresent,
  type Column,
  floatsOf,
  hasPoint,
  hasSameLabels,
  histogramColumns,
  histogramOf,
  mergeSameLabels,
  presenceCopy,
  stepTime,
} from "./column.ts";

/** Joins columns of the same labels. Errors: ExecutionError when two of them have a value of one kind at the same step. */
export function mergeEachKind(columns: readonly Column[]): readonly Column[] {
  if (!hasHistograms(columns) || !hasSameLabels(columns)) return mergeSameLabels(columns);
  const merged = new Map(mergeSameLabels(floatsOf(columns)).map((floats) => [labelsKey(floats.labels), floats]));
  const apart: Column[] = [];
  for (const histograms of mergeSameLabels(histogramColumns(columns))) {
    const key = labelsKey(histograms.labels);
    const floats = merged.get(key);
    if (floats === undefined) merged.set(key, histograms);
    else if (anyPresent(bothPresent(floats.present, histograms.present))) apart.push({ ...histograms, isApart: true });
    else merged.set(key, mergeSameLabels([floats, histograms])[0]!);
  }
  return [...merged.values(), ...apart];
}

/**
 * As what goes from step to step meets them: of both kinds at a step only the float, and no histogram from there on, since Prometheus
 * waits at the one that was passed over.
 */
export function asMet(columns: readonly Column[]): readonly Column[] {
  return (
    pairsOf(columns)?.map(({ column, apart }) =>
      apart === undefined ? column : mergeSameLabels([column, untilMeeting(apart, column)])[0]!,
    ) ?? columns
  );
}

/** Each column with its histograms where these are apart; undefined when none has any such. */
export function pairsOf(columns: readonly Column[]): { column: Column; apart: Column | undefined }[] | undefined {
  if (!columns.some((column) => column.isApart)) return undefined;
  const apart = new Map<string, Column>();
  for (const column of columns) if (column.isApart) apart.set(labelsKey(column.labels), column);
  const others = columns.filter((column) => !column.isApart);
  return others.map((column) => ({ column, apart: apart.get(labelsKey(column.labels)) }));
}

/** The histograms before the first step that has a float, too. */
function untilMeeting({ isApart: _, ...histograms }: Column, floats: Column): Column {
  const count = histograms.values.length;
  const present = presenceCopy(histograms.present, count);
  let step = 0;
  while (step < count && (present[step] === 0 || !hasPoint(floats.present, step))) step++;
  return { ...histograms, present: present.fill(0, step) };
}

function hasHistograms(columns: readonly Column[]): boolean {
  return columns.some((column) => column.histograms !== undefined);
}

/** As elements of an instant vector: a label set of both kinds is a histogram there. */
export function asElements(columns: readonly Column[]): readonly Column[] {
  if (!hasHistograms(columns) || !hasSameLabels(columns)) return columns;
  return [...new Map(columns.map((column) => [labelsKey(column.labels), column])).values()];
}

/** As series of a matrix on the grid. Those of both kinds have times of their own. */
export function asSeries(columns: readonly Column[], grid: Grid): readonly StepColumn[] {
  if (!hasHistograms(columns) || !hasSameLabels(columns)) return columns;
  return kindsOf(columns).map((kinds) => (kinds.length === 1 ? kinds[0]! : withTimes(kinds, grid)));
}

/** The columns of each label set. */
export function kindsOf(columns: readonly Column[]): readonly (readonly Column[])[] {
  const series = new Map<string, Column[]>();
  for (const column of columns) {
    const kinds = series.get(labelsKey(column.labels));
    if (kinds === undefined) series.set(labelsKey(column.labels), [column]);
    else kinds.push(column);
  }
  return [...series.values()];
}

/** The points of columns of one label set, with their times. */
export function withTimes(columns: readonly Column[], grid: Grid): StepColumn {
  const times: number[] = [];
  const values: number[] = [];
  const histograms: ReturnType<typeof histogramOf>[] = [];
  for (let s = 0; s < grid.count; s++) {
    for (const column of columns) {
      if (!hasPoint(column.present, s)) continue;
      times.push(stepTime(grid, s));
      values.push(column.values[s]!);
      histograms.push(histogramOf(column, s));
    }
  }
  const points = { values: Float64Array.from(values), present: null, times: Float64Array.from(times) };
  const packed = packHistograms(histograms);
  return { labels: columns[0]!.labels, ...points, ...(packed === undefined ? {} : { histograms: packed }) };
}
