// libs/tsdb/split-leaf.ts: a leaf answered in two parts, its first steps and its last ones, and the answers put together again.
import { type Leaf, type LeafResult, labelsKey, type StepColumn } from "../model/index.ts";

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

/** The answers of both parts as one of `count` steps. Columns of floats, as storages have them; partials included. */
export function joinResults(count: number, early: LeafResult, late: LeafResult): LeafResult {
  const columns = new Map<string, StepColumn & { present: Uint8Array }>();
  const place = (result: LeafResult, from: number): void => {
    for (const { labels, values, present, weights } of result.columns) {
      const key = labelsKey(labels);
      let whole = columns.get(key);
      if (whole === undefined) {
        const empty = { labels, values: new Float64Array(count), present: new Uint8Array(count) };
        whole = weights === undefined ? empty : { ...empty, weights: new Float64Array(count) };
        columns.set(key, whole);
      }
      whole.values.set(values, from);
      if (present === null) whole.present.fill(1, from, from + values.length);
      else whole.present.set(present, from);
      if (weights !== undefined) whole.weights!.set(weights, from);
    }
  };
  const [first] = [...early.columns, ...late.columns];
  place(early, 0);
  if (first !== undefined) place(late, count - stepsOf(late));
  return {
    columns: [...columns.values()],
    seriesCount: Math.max(early.seriesCount, late.seriesCount),
    samplesRead: early.samplesRead + late.samplesRead,
    warnings: [...new Set([...early.warnings, ...late.warnings])],
    ...(early.notes === undefined ? {} : { notes: early.notes }),
  };
}

function stepsOf({ columns }: LeafResult): number {
  return columns[0]?.values.length ?? 0;
}
