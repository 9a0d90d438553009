// libs/tsdb/split-leaf.ts: a leaf answered in two parts, its first steps and its last ones, and the answers put together again.
import {
  type FloatHistogram,
  type HistogramColumn,
  histogramsOf,
  type Leaf,
  type LeafResult,
  labelsKey,
  packHistograms,
  type StepColumn,
} from "../model/index.ts";
import { LeafNotes } from "../promql/index.ts";

/** A leaf of the first `steps` steps, and one of the others. */
export function splitLeaf(leaf: Leaf, steps: number): [Leaf, Leaf] {
  const { startMs, stepMs, count } = leaf.grid;
  const part = (from: number, to: number): Leaf => ({
    ...leaf,
    grid: { startMs: startMs + from * stepMs, stepMs, count: to - from },
    args: leaf.args.map((arg) => (typeof arg === "number" ? arg : arg.slice(from, to))),
  });
  return [part(0, steps), part(steps, count)];
}

/** The answers of both parts, of `steps` steps and the others, as one of `count` steps; partials included. */
export function joinResults(count: number, steps: number, early: LeafResult, late: LeafResult): LeafResult {
  const columns = new Map<string, JoinedColumn>();
  for (const [result, from] of [
    [early, 0],
    [late, steps],
  ] as const) {
    for (const column of result.columns) {
      const key = labelsKey(column.labels);
      const known = columns.get(key);
      const whole = known ?? new JoinedColumn(column.labels, count);
      whole.place(column, from);
      if (known === undefined) columns.set(key, whole);
    }
  }
  const notes = new LeafNotes();
  notes.addAll([...(early.notes ?? []), ...(late.notes ?? [])]);
  return {
    columns: [...columns.values()].map((column) => column.whole()),
    seriesCount: Math.max(early.seriesCount, late.seriesCount),
    samplesRead: early.samplesRead + late.samplesRead,
    warnings: [...new Set([...early.warnings, ...late.warnings])],
    ...notes.asResult(),
  };
}

/** A column of all steps, of which one part or both are known. */
class JoinedColumn {
  private readonly labels: StepColumn["labels"];
  private readonly values: Float64Array;
  private readonly present: Uint8Array;
  private weights: Float64Array | undefined;
  private lost: Float64Array | undefined;
  private states: Uint8Array | undefined;
  private histograms: (FloatHistogram | undefined)[] | undefined;
  private losses: (FloatHistogram | undefined)[] | undefined;

  constructor(labels: StepColumn["labels"], count: number) {
    this.labels = labels;
    this.values = new Float64Array(count);
    this.present = new Uint8Array(count);
  }

  place(column: StepColumn, from: number): void {
    const { values, present, weights, lost, states, histograms, histogramLosses } = column;
    const { length } = this.values;
    this.values.set(values, from);
    if (present === null) this.present.fill(1, from, from + values.length);
    else this.present.set(present, from);
    if (weights !== undefined) {
      this.weights ??= new Float64Array(length);
      this.weights.set(weights, from);
    }
    if (lost !== undefined) {
      this.lost ??= new Float64Array(length);
      this.lost.set(lost, from);
    }
    if (states !== undefined) {
      this.states ??= new Uint8Array(length);
      this.states.set(states, from);
    }
    this.histograms = placed(this.histograms, histograms, from, length);
    this.losses = placed(this.losses, histogramLosses, from, length);
  }

  whole(): StepColumn {
    const { labels, values, weights, lost, states } = this;
    const histograms = this.histograms && packHistograms(this.histograms);
    const histogramLosses = this.losses && packHistograms(this.losses);
    return {
      ...{ labels, values, present: this.present.includes(0) ? this.present : null },
      ...(weights === undefined ? {} : { weights }),
      ...(lost === undefined ? {} : { lost }),
      ...(states === undefined ? {} : { states }),
      ...(histograms === undefined ? {} : { histograms }),
      ...(histogramLosses === undefined ? {} : { histogramLosses }),
    };
  }
}

/** The list, made when there is need of it, with a part's histograms at their steps. */
function placed(
  list: (FloatHistogram | undefined)[] | undefined,
  part: HistogramColumn | undefined,
  from: number,
  length: number,
): (FloatHistogram | undefined)[] | undefined {
  if (part === undefined) return list;
  const into = list ?? new Array<FloatHistogram | undefined>(length).fill(undefined);
  for (const [s, histogram] of histogramsOf(part).entries()) into[from + s] = histogram;
  return into;
}
