// libs/promql/series-rollup.ts: what a storage does with one series of a leaf after reading its samples, whatever they are.
import { type Labels, type Leaf, labelValue, METRIC_NAME, type StepColumn } from "../model/index.ts";
import type { LeafNotes } from "./leaf-notes.ts";
import { evaluateRollup, seesStale } from "./rollup.ts";
import { hasStale } from "./rollup-instant.ts";
import { evaluateSamples, readsStarts } from "./rollup-samples.ts";
import { type SeriesSamples, withoutBuckets, withoutStale } from "./series-samples.ts";
import { createWindowPlan, planWindows } from "./window-plan.ts";

/** A series' part of a leaf's answer, and what it cost. */
export interface SeriesAnswer {
  /** Undefined when no step has a value. The labels are the series' own. */
  readonly column: StepColumn | undefined;
  readonly samplesRead: number;
}

/**
 * Rolls up the samples of one series, of any kinds, stale markers included. Slower than going through window plans that
 * series share: for the series that have histograms or start times, and for storages that are not fast anyway.
 */
export function rollUpSeries(leaf: Leaf, labels: Labels, samples: SeriesSamples, notes: LeafNotes): SeriesAnswer {
  const { rollup, grid } = leaf;
  let kept = seesStale(rollup) || !hasStale(samples.values, samples.n) ? samples : withoutStale(samples);
  if (leaf.countsOnly) kept = withoutBuckets(kept, leaf);
  if (rollup === "samples") return rawSamples(leaf, labels, kept);
  const plan = planWindows(kept.times, kept.n, grid, leaf.rangeMs, leaf.offsetMs, createWindowPlan());
  const values = new Float64Array(grid.count);
  const present = new Uint8Array(grid.count);
  const starts = rollup === "start_timestamp" || (leaf.useStarts && readsStarts(rollup)) ? kept.starts : undefined;
  if (kept.histograms === undefined && starts === undefined) {
    const points = evaluateRollup(rollup, plan, kept.times, kept.values, leaf.args, values, present);
    const column = { labels, values, present: points === grid.count ? null : present };
    return { column: points === 0 ? undefined : column, samplesRead: plan.samplesRead };
  }
  const metric = labelValue(labels, METRIC_NAME);
  const read = { ...kept, starts };
  const rolled = evaluateSamples(rollup, plan, read, leaf.args, values, present, (kind) => notes.add(kind, metric));
  const column = { labels, values, present: rolled.points === grid.count ? null : present };
  const { histograms } = rolled;
  const whole = histograms === undefined ? column : { ...column, histograms };
  return { column: rolled.points === 0 ? undefined : whole, samplesRead: plan.samplesRead };
}

function rawSamples({ grid, offsetMs, rangeMs }: Leaf, labels: Labels, samples: SeriesSamples): SeriesAnswer {
  const endMs = grid.startMs - offsetMs;
  const { times } = samples;
  let from = 0;
  while (from < samples.n && times[from]! <= endMs - rangeMs) from++;
  let to = from;
  while (to < samples.n && times[to]! <= endMs) to++;
  if (to === from) return { column: undefined, samplesRead: 0 };
  const column = { labels, times: times.slice(from, to), values: samples.values.slice(from, to), present: null };
  const { histograms } = samples;
  if (histograms === undefined) return { column, samplesRead: to - from };
  // The buckets stay one array: the rows that are left point into it.
  const cut = {
    ...histograms,
    layoutOf: histograms.layoutOf.slice(from, to),
    hints: histograms.hints.slice(from, to),
    counts: histograms.counts.slice(from, to),
    sums: histograms.sums.slice(from, to),
    zeroCounts: histograms.zeroCounts.slice(from, to),
    starts: histograms.starts.slice(from, to),
  };
  const any = cut.layoutOf.some((layout) => layout >= 0);
  return { column: any ? { ...column, histograms: cut } : column, samplesRead: to - from };
}
