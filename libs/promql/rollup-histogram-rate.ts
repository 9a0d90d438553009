// libs/promql/rollup-histogram-rate.ts: rate, increase, delta, irate and idelta over windows of native histograms.
// All samples of a window are histograms. Annotations are in Prometheus' order of checks, so the same ones appear.
import { CUSTOM_SCHEMA, type FloatHistogram, HINT_GAUGE, hasCustomBounds, type LeafNoteKind } from "../model/index.ts";
import { coarser, combine, compact, divide, emptyLike, scale, withHint } from "./histogram-arithmetic.ts";
import { HistogramSum } from "./histogram-sum.ts";
import { extrapolate, startsOverlap } from "./rollup-starts.ts";

/** The histograms of one window, their times, and their start times where these are looked at. */
export interface HistogramWindow {
  readonly histograms: readonly FloatHistogram[];
  readonly times: readonly number[];
  /** Empty when start times do not count. */
  readonly starts: readonly number[];
  /** Whether the counter was reset between histograms i - 1 and i. */
  isReset(i: number): boolean;
}

export type Note = (kind: LeafNoteKind) => void;

/** rate (counter, perSecond), increase (counter) or delta over the window (startMs, endMs]. */
export function histogramRate(
  window: HistogramWindow,
  startMs: number,
  endMs: number,
  counter: boolean,
  perSecond: boolean,
  note: Note,
): FloatHistogram | undefined {
  const { histograms, times, starts } = window;
  const n = histograms.length;
  let result = n > 1 ? increaseOver(window, counter, note) : undefined;
  if (n > 1 && result === undefined) return undefined;
  const sampled = {
    firstMs: times[0]!,
    lastMs: times[n - 1]!,
    samples: n,
    start: starts[0] ?? 0,
    counter,
    first: histograms[0]!.count,
    increase: result === undefined ? 0 : result.count,
  };
  const extrapolation = extrapolate(sampled, startMs, endMs);
  if (extrapolation === undefined) return undefined;
  if (extrapolation.fromStart) {
    if (result === undefined) result = histograms[0]!;
    else {
      const sum = combine(result, histograms[0]!, 1);
      if (sum === undefined) {
        note("mixed_schemas");
        return undefined;
      }
      if (sum.reconciled) note("reconciled_addition");
      result = sum.histogram;
    }
  }
  const { factor } = extrapolation;
  return scale(result!, perSecond ? factor / ((endMs - startMs) / 1000) : factor);
}

/** The last histogram less the first one, plus what resets in between have lost, at the coarsest schema of them. */
function increaseOver(window: HistogramWindow, counter: boolean, note: Note): FloatHistogram | undefined {
  const { histograms } = window;
  const n = histograms.length;
  const last = histograms[n - 1]!;
  let first = histograms[0]!;
  let gauges = counter && (first.hint === HINT_GAUGE || last.hint === HINT_GAUGE);
  // Behind a reset the layout of the first histogram does not matter, nor do its counts.
  const begun = counter && window.isReset(1);
  if (begun) first = emptyLike(histograms[1]!);
  const custom = hasCustomBounds(first);
  if (hasCustomBounds(last) !== custom) {
    if (gauges) note("not_counter");
    note("mixed_schemas");
    return undefined;
  }
  let schema = Math.min(last.layout.schema, first.layout.schema);
  for (let i = 1; counter && i < n - 1; i++) {
    const { hint, layout } = histograms[i]!;
    if (hint === HINT_GAUGE) gauges = true;
    if ((layout.schema === CUSTOM_SCHEMA) !== custom) {
      note("mixed_schemas");
      return undefined;
    }
    schema = Math.min(schema, layout.schema);
  }
  if (gauges) note("not_counter");
  const sum = new HistogramSum(withHint(coarser(last, schema), HINT_GAUGE));
  sum.add(first, -1);
  if (sum.reconciled) note("reconciled_subtraction");
  if (counter) addResets(window, begun ? 2 : 1, sum, note);
  else if (histograms[0]!.hint !== HINT_GAUGE || last.hint !== HINT_GAUGE) note("not_gauge");
  return compact(sum.result());
}

/** Adds what the counter lost in resets, from the one before histogram `from` on. */
function addResets(window: HistogramWindow, from: number, sum: HistogramSum, note: Note): void {
  const { histograms, times, starts } = window;
  for (let i = from; i < histograms.length; i++) {
    if (!window.isReset(i)) continue;
    sum.reconciled = false;
    sum.add(histograms[i - 1]!, 1);
    if (sum.reconciled) note("reconciled_addition");
  }
  for (let i = 1; i < starts.length; i++) {
    if (!startsOverlap(starts[i - 1]!, times[i - 1]!, starts[i]!)) continue;
    note("start_overlap");
    return;
  }
}

/** irate (counter, perSecond) or idelta of the last two samples, both histograms. */
export function histogramLastTwo(window: HistogramWindow, counter: boolean, note: Note): FloatHistogram | undefined {
  const { histograms, times } = window;
  const [before, last] = histograms as [FloatHistogram, FloatHistogram];
  const gauges = Number(before.hint === HINT_GAUGE) + Number(last.hint === HINT_GAUGE);
  if (counter && gauges > 0) note("not_counter");
  if (!counter && gauges < 2) note("not_gauge");
  let result = last;
  if (!counter || !window.isReset(1)) {
    const difference = combine(last, before, -1);
    if (difference === undefined) {
      note("mixed_schemas");
      return undefined;
    }
    if (difference.reconciled) note("reconciled_subtraction");
    result = difference.histogram;
  }
  result = compact(withHint(result, HINT_GAUGE));
  return counter ? divide(result, (times[1]! - times[0]!) / 1000) : result;
}
