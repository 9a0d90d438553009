// libs/promql/merge.ts: joins what several storages answered to one leaf.
// Invariant: merging is associative up to floating-point order, so partials can be merged in stages; finishing is not.
import {
  type FloatHistogram,
  type HistogramColumn,
  histogramAt,
  type LeafNote,
  type LeafResult,
  labelsKey,
  type PartialOp,
  packHistograms,
  type StepColumn,
} from "../model/index.ts";
import { hasPoint, normalizePresent } from "./column.ts";
import { LeafNotes } from "./leaf-notes.ts";
import { lossOf } from "./partial.ts";
import { finishMixed, HistogramGroup, mixedPartial } from "./partial-histogram.ts";
import { Slab } from "./slab.ts";

/**
 * Merges the partials of an aggregated leaf: groups with the same labels become one. "avg" keeps its weights, so the
 * result is again a partial: finish it with finishPartials.
 */
export function mergePartials(op: PartialOp, results: readonly LeafResult[]): LeafResult {
  if (results.length === 1) return results[0]!;
  const byLabels = new Map<string, StepColumn[]>();
  for (const result of results) {
    for (const column of result.columns) {
      const key = labelsKey(column.labels);
      const group = byLabels.get(key);
      if (group === undefined) byLabels.set(key, [column]);
      else group.push(column);
    }
  }
  const columns: StepColumn[] = [];
  const notes = new LeafNotes();
  for (const group of byLabels.values()) {
    if (group.length === 1) columns.push(group[0]!);
    else if (group.some((column) => column.histograms !== undefined)) columns.push(mergeMixed(op, group, notes));
    else columns.push(mergeGroup(op, group));
  }
  return { ...totals(results, notes), columns };
}

/** A group of which some partials have histograms: floats and histograms apart, then put together again. */
function mergeMixed(op: PartialOp, group: readonly StepColumn[], notes: LeafNotes): StepColumn {
  const { labels, values } = group[0]!;
  const count = values.length;
  const merged = new HistogramGroup(op, count);
  const floats = new Float64Array(count);
  const floatColumns: StepColumn[] = [];
  for (const column of group) {
    const present = new Uint8Array(count);
    for (let s = 0; s < count; s++) {
      if (!hasPoint(column.present, s)) continue;
      const weight = column.weights?.[s] ?? 1;
      const histogram = column.histograms === undefined ? undefined : histogramAt(column.histograms, s);
      if (histogram === undefined) {
        present[s] = 1;
        floats[s] = floats[s]! + weight;
      } else {
        merged.seen[s] = merged.seen[s]! + weight;
        merged.addOne(s, histogram, "", notes);
        const loss = histogramOf({ histograms: column.histogramLosses }, s);
        if (loss !== undefined) merged.addOne(s, loss, "", notes);
      }
      merged.states[s]! |= column.states?.[s] ?? 0;
    }
    if (present.includes(1)) floatColumns.push({ ...floatsOf(column), present });
  }
  const sums =
    floatColumns.length === 0 ? { labels, values: new Float64Array(count) } : mergeGroup("sum", floatColumns);
  return mixedPartial({ ...floatsOf(sums), present: null }, floats, merged, op)!;
}

/** The sums of a partial and what they have lost. */
function floatsOf({ labels, values, lost }: Omit<StepColumn, "present">): Omit<StepColumn, "present"> {
  return lost === undefined ? { labels, values } : { labels, values, lost };
}

function mergeGroup(op: PartialOp, group: readonly StepColumn[]): StepColumn {
  const count = group[0]!.values.length;
  const values = new Float64Array(count);
  const present = new Uint8Array(count);
  const weights = new Float64Array(count);
  const lost = new Float64Array(count);
  for (const column of group) {
    for (let s = 0; s < count; s++) {
      if (!hasPoint(column.present, s)) continue;
      const value = column.values[s]!;
      if (column.lost !== undefined) lost[s] = lost[s]! + column.lost[s]!;
      if (column.weights !== undefined) weights[s] = weights[s]! + column.weights[s]!;
      const before = values[s]!;
      if (present[s] === 0) values[s] = value;
      else if (op === "min") values[s] = value < before || Number.isNaN(before) ? value : before;
      else if (op === "max") values[s] = value > before || Number.isNaN(before) ? value : before;
      else if (op !== "group") {
        const sum = before + value;
        const rounded = Math.abs(before) >= Math.abs(value) ? before - sum + value : value - sum + before;
        lost[s] = lost[s]! + rounded;
        values[s] = sum;
      }
      present[s] = 1;
    }
  }
  const loss = op === "sum" || op === "avg" ? lossOf(values, lost) : undefined;
  const merged = { labels: group[0]!.labels, values, present: normalizePresent(present), ...(loss && { lost: loss }) };
  return op === "avg" ? { ...merged, weights } : merged;
}

/** Turns merged partials into values: divides the sums of "avg" by their weights; most others are values already. */
export function finishPartials(
  op: PartialOp,
  columns: readonly StepColumn[],
  notes: LeafNotes = new LeafNotes(),
): readonly StepColumn[] {
  if (columns.some((column) => column.histograms !== undefined)) {
    return columns.flatMap((column) => {
      const finished = column.histograms === undefined ? finishFloats(op, [column])[0] : finishMixed(op, column, notes);
      return finished === undefined ? [] : [finished];
    });
  }
  return finishFloats(op, columns);
}

function finishFloats(op: PartialOp, columns: readonly StepColumn[]): readonly StepColumn[] {
  if (op !== "avg" && op !== "sum") return columns;
  const slab = new Slab(columns[0]?.values.length ?? 0, columns.length);
  return columns.map((column) => {
    const { labels, present, values, weights, lost } = column;
    const sums = lost === undefined ? values : addLosses(values, lost, slab.next());
    // A sum that has lost nothing stays as it is.
    if (op === "sum") return lost === undefined ? column : { labels, values: sums, present };
    return { labels, values: divide(sums, weights!, lost === undefined ? slab.next() : sums), present };
  });
}

function addLosses(values: Float64Array, lost: Float64Array, out: Float64Array): Float64Array {
  for (let s = 0; s < out.length; s++) out[s] = values[s]! + lost[s]!;
  return out;
}

/** Zero where there is no weight, as no value has come there. `out` may be `sums`. */
function divide(sums: Float64Array, weights: Float64Array, out: Float64Array): Float64Array {
  for (let s = 0; s < out.length; s++) out[s] = weights[s] === 0 ? 0 : sums[s]! / weights[s]!;
  return out;
}

/**
 * Joins the series of a leaf that is not aggregated. A series that several storages hold (replicas, a shard that is
 * moving) appears once; steps that the first one misses are taken from the next.
 */
export function mergeSeries(results: readonly LeafResult[]): LeafResult {
  if (results.length === 1) return results[0]!;
  const byLabels = new Map<string, number>();
  const columns: StepColumn[] = [];
  for (const result of results) {
    for (const column of result.columns) {
      const key = labelsKey(column.labels);
      const at = byLabels.get(key);
      if (at === undefined) {
        byLabels.set(key, columns.length);
        columns.push(column);
      } else {
        columns[at] = fillGaps(columns[at]!, column);
      }
    }
  }
  return { ...totals(results), columns };
}

function fillGaps(first: StepColumn, second: StepColumn): StepColumn {
  if (first.times !== undefined) return joinSamples(first, second);
  if (first.present === null) return first;
  const values = first.values.slice();
  const present = first.present.slice();
  for (let s = 0; s < values.length; s++) {
    if (present[s] === 1 || !hasPoint(second.present, s)) continue;
    values[s] = second.values[s]!;
    present[s] = 1;
  }
  const filled = { labels: first.labels, values, present: normalizePresent(present) };
  if (first.histograms === undefined && second.histograms === undefined) return filled;
  const histograms = packHistograms(
    Array.from(values, (_, s) => histogramOf(hasPoint(first.present, s) ? first : second, s)),
  );
  return histograms === undefined ? filled : { ...filled, histograms };
}

function histogramOf(
  { histograms }: { readonly histograms?: HistogramColumn | undefined },
  index: number,
): FloatHistogram | undefined {
  return histograms && histogramAt(histograms, index);
}

/** Raw samples of two replicas: every time once, the first one's value where both have it. */
function joinSamples(first: StepColumn, second: StepColumn): StepColumn {
  const n = first.values.length + second.values.length;
  const times = new Float64Array(n);
  const values = new Float64Array(n);
  const histograms: (FloatHistogram | undefined)[] = [];
  const a = first.times!;
  const b = second.times!;
  let i = 0;
  let j = 0;
  let out = 0;
  while (i < a.length || j < b.length) {
    const fromFirst = j >= b.length || (i < a.length && a[i]! <= b[j]!);
    const time = fromFirst ? a[i]! : b[j]!;
    times[out] = time;
    histograms.push(fromFirst ? histogramOf(first, i) : histogramOf(second, j));
    values[out++] = fromFirst ? first.values[i]! : second.values[j]!;
    if (i < a.length && a[i] === time) i++;
    if (j < b.length && b[j] === time) j++;
  }
  const joined = { labels: first.labels, values: values.slice(0, out), present: null, times: times.slice(0, out) };
  const packed = packHistograms(histograms);
  return packed === undefined ? joined : { ...joined, histograms: packed };
}

function totals(results: readonly LeafResult[], merging = new LeafNotes()): Omit<LeafResult, "columns"> {
  let seriesCount = 0;
  let samplesRead = 0;
  const warnings: string[] = [];
  for (const result of results) {
    seriesCount += result.seriesCount;
    samplesRead += result.samplesRead;
    warnings.push(...result.warnings);
    if (result.notes !== undefined) merging.addAll(result.notes);
  }
  const notes = merging.list().filter((note) => note.kind !== "only_histograms" || holdsForAll(note, results));
  return { seriesCount, samplesRead, warnings, ...(notes.length === 0 ? {} : { notes }) };
}

/** That there were no floats holds for all together only when every answer with series says it. */
function holdsForAll({ kind }: LeafNote, results: readonly LeafResult[]): boolean {
  return results.every((result) => result.columns.length === 0 || result.notes?.some((note) => note.kind === kind));
}
