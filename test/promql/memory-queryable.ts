// test/promql/memory-queryable.ts: a storage of plain arrays and the reference twin of every rollup and leaf
// aggregation: slow, obvious, written from the definitions, sharing no code with libs/promql/rollup*.ts or partial.ts.
import {
  compareLabels,
  compareUtf8,
  compileMatcher,
  type Labels,
  type Leaf,
  type LeafResult,
  labelsKey,
  labelValue,
  type Matcher,
  type MetadataEntry,
  matchLabels,
  type PartialOp,
  type Queryable,
  type QueryContext,
  type RawColumn,
  type RawRequest,
  type SeriesExemplars,
  type Statistics,
  type StepColumn,
  type TimeRange,
  tooManySamples,
  writeStale,
} from "../../libs/model/index.ts";
import { naiveStatistics } from "../contract/naive-statistics.ts";
import { naiveRollup, type Sample } from "./naive-rollup.ts";

interface StoredSeries {
  readonly labels: Labels;
  /** Ascending times. */
  readonly samples: Sample[];
}

/** An in-memory storage for tests. Not fast, not concurrent, never wrong on purpose. */
export class MemoryQueryable implements Queryable {
  readonly #series = new Map<string, StoredSeries>();
  /** How often a leaf matched a series that holds native histograms, which this storage keeps as marks only. */
  nativeMatches = 0;

  /** Adds samples to a series; a sample at a known time replaces it. */
  append(labels: Labels, samples: readonly Sample[]): void {
    const key = labelsKey(labels);
    const stored = this.#series.get(key) ?? { labels, samples: [] };
    this.#series.set(key, stored);
    for (const sample of samples) {
      const at = stored.samples.findIndex((known) => known.timeMs >= sample.timeMs);
      if (at < 0) stored.samples.push(sample);
      else stored.samples.splice(at, stored.samples[at]!.timeMs === sample.timeMs ? 1 : 0, sample);
    }
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const columns: StepColumn[] = [];
    let seriesCount = 0;
    let samplesRead = 0;
    for (const { labels, samples } of this.#matching([leaf.matchers])) {
      seriesCount++;
      if (samples.some((sample) => sample.histogram)) this.nativeMatches++;
      samplesRead += samples.length;
      if (samplesRead > context.samplesMax) throw tooManySamples();
      const column = leaf.rollup === "samples" ? rawColumn(labels, samples, leaf) : stepColumn(labels, samples, leaf);
      if (column !== undefined) columns.push(column);
    }
    const named = leaf.dropName
      ? columns.map((column) => ({ ...column, labels: withoutName(column.labels) }))
      : columns;
    const result = leaf.aggregation === undefined ? named : aggregate(leaf, named);
    return { columns: result, seriesCount, samplesRead, warnings: [] };
  }

  async *rawSamples({ matchers, range }: RawRequest): AsyncGenerator<RawColumn[], void, void> {
    for (const { labels, samples } of this.#matching([matchers])) {
      const kept = samples.filter(({ timeMs }) => timeMs >= range.minMs && timeMs <= range.maxMs);
      const values = Float64Array.from(kept, ({ value }) => value);
      kept.forEach(({ stale }, i) => {
        if (stale) writeStale(values, i);
      });
      const times = Float64Array.from(kept, ({ timeMs }) => timeMs);
      if (kept.length > 0) yield [{ labels, times, values, present: null }];
    }
  }

  async labelNames(sets: readonly (readonly Matcher[])[], range: TimeRange, limit: number): Promise<string[]> {
    const names = new Set<string>();
    for (const { labels } of this.#inRange(sets, range))
      for (let i = 0; i < labels.length; i += 2) names.add(labels[i]!);
    return limited([...names].sort(compareUtf8), limit);
  }

  async labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
  ): Promise<string[]> {
    const values = new Set<string>();
    for (const { labels } of this.#inRange(sets, range)) values.add(labelValue(labels, name));
    values.delete("");
    return limited([...values].sort(compareUtf8), limit);
  }

  async series(sets: readonly (readonly Matcher[])[], range: TimeRange, limit: number): Promise<Labels[]> {
    return limited(
      this.#inRange(sets, range).map((series) => series.labels),
      limit,
    );
  }

  async metadata(): Promise<MetadataEntry[]> {
    return [];
  }

  async exemplars(..._: Parameters<Queryable["exemplars"]>): Promise<SeriesExemplars[]> {
    return [];
  }

  async statistics(limit: number): Promise<Statistics> {
    return naiveStatistics(
      [...this.#series.values()].map((series) => series.labels),
      limit,
    );
  }

  #matching(sets: readonly (readonly Matcher[])[]): StoredSeries[] {
    const compiled = sets.map((set) => set.map(compileMatcher));
    const all = [...this.#series.values()].sort((a, b) => compareLabels(a.labels, b.labels));
    return all.filter(({ labels }) => compiled.length === 0 || compiled.some((set) => matchLabels(set, labels)));
  }

  #inRange(sets: readonly (readonly Matcher[])[], range: TimeRange): StoredSeries[] {
    const inside = (sample: Sample) => sample.timeMs >= range.minMs && sample.timeMs <= range.maxMs;
    return this.#matching(sets).filter((series) => series.samples.some(inside));
  }
}

function limited<T>(values: T[], limit: number): T[] {
  return limit > 0 ? values.slice(0, limit) : values;
}

function withoutName(labels: Labels): Labels {
  return labels.filter((_, i) => labels[i - (i % 2)] !== "__name__");
}

function rawColumn(labels: Labels, samples: readonly Sample[], leaf: Leaf): StepColumn | undefined {
  const end = leaf.grid.startMs - leaf.offsetMs;
  const inside = samples.filter((s) => s.timeMs > end - leaf.rangeMs && s.timeMs <= end && !s.stale && !s.histogram);
  if (inside.length === 0) return undefined;
  const times = Float64Array.from(inside, (s) => s.timeMs);
  return { labels, values: Float64Array.from(inside, (s) => s.value), present: null, times };
}

function stepColumn(labels: Labels, samples: readonly Sample[], leaf: Leaf): StepColumn | undefined {
  const { count, startMs, stepMs } = leaf.grid;
  const values = new Float64Array(count);
  const present = new Uint8Array(count);
  for (let step = 0; step < count; step++) {
    const timeMs = startMs + step * stepMs;
    const end = timeMs - leaf.offsetMs;
    const window = samples.filter((s) => s.timeMs > end - leaf.rangeMs && s.timeMs <= end);
    const args = leaf.args.map((arg) => (typeof arg === "number" ? arg : arg[step]!));
    const result = naiveRollup(leaf.rollup, window, { timeMs, endMs: end, rangeMs: leaf.rangeMs, args });
    if (result === undefined) continue;
    values[step] = result;
    present[step] = 1;
  }
  return present.includes(1) ? { labels, values, present } : undefined;
}

/** Groups columns, then aggregates the values of each step. Averages come as sums with weights. */
function aggregate(leaf: Leaf, columns: readonly StepColumn[]): StepColumn[] {
  const { op, without, labels: names } = leaf.aggregation!;
  const groups = new Map<string, { labels: Labels; members: StepColumn[] }>();
  for (const column of columns) {
    const kept: string[] = [];
    for (let i = 0; i < column.labels.length; i += 2) {
      const name = column.labels[i]!;
      const keep = without ? name !== "__name__" && !names.includes(name) : names.includes(name);
      if (keep) kept.push(name, column.labels[i + 1]!);
    }
    const key = JSON.stringify(kept);
    const group = groups.get(key) ?? { labels: kept, members: [] };
    groups.set(key, group);
    group.members.push(column);
  }
  return [...groups.values()].map(({ labels, members }) => aggregateGroup(op, labels, members, leaf.grid.count));
}

function aggregateGroup(op: PartialOp, labels: Labels, members: readonly StepColumn[], count: number): StepColumn {
  const values = new Float64Array(count);
  const present = new Uint8Array(count);
  const weights = new Float64Array(count);
  for (let step = 0; step < count; step++) {
    const inputs = members.filter((m) => m.present === null || m.present[step] === 1).map((m) => m.values[step]!);
    if (inputs.length === 0) continue;
    present[step] = 1;
    weights[step] = inputs.length;
    values[step] = aggregateValues(op, inputs);
  }
  return op === "avg" ? { labels, values, present, weights } : { labels, values, present };
}

function aggregateValues(op: PartialOp, inputs: readonly number[]): number {
  const numbers = inputs.filter((value) => !Number.isNaN(value));
  switch (op) {
    case "count":
      return inputs.length;
    case "group":
      return 1;
    case "min":
      return numbers.length === 0 ? Number.NaN : Math.min(...numbers);
    case "max":
      return numbers.length === 0 ? Number.NaN : Math.max(...numbers);
    default:
      return compensatedSum(inputs);
  }
}

/** Neumaier's sum. */
export function compensatedSum(values: readonly number[]): number {
  let sum = 0;
  let lost = 0;
  for (const value of values) {
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return Number.isFinite(sum) ? sum + lost : sum;
}
