// libs/promql/rollup-histogram-sum.ts: sums and means of native histograms, over time and over series.
import { type FloatHistogram, HINT_NOT_RESET, HINT_RESET } from "../model/index.ts";
import { divide } from "./histogram-arithmetic.ts";
import { HistogramSum } from "./histogram-sum.ts";
import type { Note } from "./rollup-histogram-rate.ts";

/** The sum of at least one histogram; undefined, with a note, when their schemas do not go together. */
export function sumHistograms(histograms: readonly FloatHistogram[], note: Note): FloatHistogram | undefined {
  const sum = new HistogramSum(histograms[0]!);
  for (let i = 1; i < histograms.length; i++) {
    if (sum.add(histograms[i]!, 1)) continue;
    note("mixed_schemas");
    return undefined;
  }
  noteSum(histograms, sum.reconciled, note);
  return sum.result();
}

/** The mean of at least one histogram: the sum divided, or from where that would overflow a mean that is corrected. */
export function averageHistogram(histograms: readonly FloatHistogram[], note: Note): FloatHistogram | undefined {
  let sum = new HistogramSum(histograms[0]!);
  let reconciled = false;
  let direct = true;
  for (let i = 1; i < histograms.length; i++) {
    const n = i + 1;
    if (direct) {
      if (!sum.add(histograms[i]!, 1)) return unlike(note);
      if (!sum.isInfinite()) continue;
      direct = false;
      reconciled = sum.reconciled;
      sum = meanBefore(histograms, i);
    }
    sum.scale((n - 1) / n);
    if (!sum.add(divide(histograms[i]!, n), 1)) return unlike(note);
  }
  noteSum(histograms, reconciled || sum.reconciled, note);
  if (direct) sum.scale(1, histograms.length);
  return sum.result();
}

function unlike(note: Note): undefined {
  note("mixed_schemas");
  return undefined;
}

/** The mean of the first n histograms, whose sum is finite. */
function meanBefore(histograms: readonly FloatHistogram[], n: number): HistogramSum {
  const sum = new HistogramSum(histograms[0]!);
  for (let i = 1; i < n; i++) sum.add(histograms[i]!, 1);
  sum.scale(1, n);
  return sum;
}

function noteSum(histograms: readonly FloatHistogram[], reconciled: boolean, note: Note): void {
  const hints = new Set(histograms.map((histogram) => histogram.hint));
  if (hints.has(HINT_RESET) && hints.has(HINT_NOT_RESET)) note("collided_aggregation");
  if (reconciled) note("reconciled_aggregation");
}
