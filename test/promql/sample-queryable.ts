// test/promql/sample-queryable.ts: a storage of samples of all kinds, in memory, that evaluates leaves by the rollups and
// aggregations that real storages use. Its slow twin for floats is memory-queryable.ts.
import {
  compareLabels,
  compileMatcher,
  type Labels,
  type Leaf,
  type LeafResult,
  LimitError,
  labelsKey,
  labelValue,
  METRIC_NAME,
  matchLabels,
  packHistograms,
  type QueryContext,
  type RawColumn,
  type RawRequest,
  type StepColumn,
  setLabel,
  writeStale,
} from "../../libs/model/index.ts";
import { LeafNotes, PartialAggregator, rollUpSeries, type SeriesSamples } from "../../libs/promql/index.ts";
import { MemoryQueryable } from "./memory-queryable.ts";
import type { StoredSample, StoredSeries } from "./script-samples.ts";

/** Lookups by label are the twin's; leaves are evaluated here. */
export class SampleQueryable extends MemoryQueryable {
  readonly #series = new Map<string, { labels: Labels; samples: StoredSample[] }>();

  /** Adds samples; one at a known time replaces it. */
  store({ labels, samples }: StoredSeries): void {
    const plain = samples.map((sample) => ({ ...sample, histogram: sample.histogram !== undefined }));
    this.append(labels, plain);
    const known = this.#series.get(labelsKey(labels))?.samples ?? [];
    const byTime = new Map([...known, ...samples].map((sample) => [sample.timeMs, sample]));
    const sorted = [...byTime.values()].sort((a, b) => a.timeMs - b.timeMs);
    this.#series.set(labelsKey(labels), { labels, samples: sorted });
  }

  override async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const matchers = leaf.matchers.map(compileMatcher);
    const notes = new LeafNotes();
    const columns: StepColumn[] = [];
    let seriesCount = 0;
    let samplesRead = 0;
    const matching = [...this.#series.values()].filter(({ labels }) => matchLabels(matchers, labels));
    for (const { labels, samples } of matching.sort((a, b) => compareLabels(a.labels, b.labels))) {
      seriesCount++;
      if (samples.some((sample) => sample.histogram !== undefined)) this.nativeMatches++;
      const answer = rollUpSeries(leaf, labels, columnsOf(samples), notes);
      samplesRead += answer.samplesRead;
      if (samplesRead > context.samplesMax) throw new LimitError("query-samples-max", "too many samples in a leaf");
      if (answer.column !== undefined) columns.push(answer.column);
    }
    const result = leaf.aggregation === undefined ? columns : aggregate(leaf, columns, notes);
    const named = leaf.aggregation === undefined && leaf.dropName ? result.map(withoutName) : result;
    return { columns: named, seriesCount, samplesRead, warnings: [], ...notes.asResult() };
  }

  override async *rawSamples({ matchers, range }: RawRequest): AsyncGenerator<RawColumn[], void, void> {
    const compiled = matchers.map(compileMatcher);
    const matching = [...this.#series.values()].filter(({ labels }) => matchLabels(compiled, labels));
    for (const { labels, samples } of matching.sort((a, b) => compareLabels(a.labels, b.labels))) {
      const kept = samples.filter(({ timeMs }) => timeMs >= range.minMs && timeMs <= range.maxMs);
      const { times, values, histograms } = columnsOf(kept);
      const column = { labels, times, values, present: null };
      if (kept.length > 0) yield [histograms === undefined ? column : { ...column, histograms }];
    }
  }
}

function withoutName(column: StepColumn): StepColumn {
  return { ...column, labels: setLabel(column.labels, METRIC_NAME, "") };
}

function columnsOf(samples: readonly StoredSample[]): SeriesSamples {
  const values = Float64Array.from(samples, (sample) => sample.value);
  samples.forEach((sample, i) => {
    if (sample.stale) writeStale(values, i);
  });
  return {
    n: samples.length,
    times: Float64Array.from(samples, (sample) => sample.timeMs),
    values,
    histograms: packHistograms(samples.map((sample) => sample.histogram)),
    starts: samples.some((s) => s.startMs !== 0) ? Float64Array.from(samples, (s) => s.startMs) : undefined,
  };
}

function aggregate(leaf: Leaf, columns: readonly StepColumn[], notes: LeafNotes): StepColumn[] {
  const aggregator = new PartialAggregator(leaf.aggregation!, leaf.grid.count);
  let hasFloats = false;
  for (const { labels, values, present, histograms } of columns) {
    const named = leaf.dropName ? setLabel(labels, METRIC_NAME, "") : labels;
    const group = aggregator.groupOf(named);
    if (histograms === undefined) aggregator.add(group, values, present);
    else aggregator.addMixed(group, values, present, histograms, labelValue(named, METRIC_NAME));
    hasFloats ||=
      histograms === undefined ||
      values.some((_, s) => histograms.layoutOf[s]! < 0 && (present === null || present[s] === 1));
  }
  if (columns.length > 0 && !hasFloats) notes.add("only_histograms", "");
  notes.addAll(aggregator.notes.list());
  return aggregator.columns();
}
