// libs/promql/rollup-histogram-extended.ts: rate, increase and delta of `anchored` and `smoothed` ranges of native
// histograms, and smoothed instant selectors. All samples of the wider window are histograms.
import { type FloatHistogram, HINT_GAUGE, HINT_UNKNOWN, hasCustomBounds } from "../model/index.ts";
import { combine, compact, divide, scale, wasReset, withHint } from "./histogram-arithmetic.ts";
import type { ExtendedRate } from "./rollup-extended.ts";
import type { HistogramWindow, Note } from "./rollup-histogram-rate.ts";

/** The extended rate, increase or delta over the range (startMs, endMs]. */
export function histogramExtendedRate(
  window: HistogramWindow,
  startMs: number,
  endMs: number,
  kind: ExtendedRate,
  note: Note,
): FloatHistogram | undefined {
  const { histograms, times } = window;
  let last = times.length - 1;
  let first = 0;
  while (first < last && times[first]! <= startMs) first++;
  if (first > 0) first--;
  if (kind.smoothed) {
    last = 0;
    while (last < times.length - 1 && times[last]! < endMs) last++;
  }
  if (times[last]! <= startMs || (kind.smoothed && times[first]! > endMs)) return undefined;
  if (!areAlike(histograms.slice(first, last + 1), kind.counter, note)) return undefined;
  const left =
    kind.smoothed && times[first]! < startMs ? between(window, first, startMs, kind.counter, note) : histograms[first]!;
  const right =
    kind.smoothed && last > 0 && times[last]! > endMs
      ? between(window, last - 1, endMs, kind.counter, note)
      : histograms[last]!;
  if (left === undefined || right === undefined) return undefined;
  if (!kind.counter && (left.hint !== HINT_GAUGE || right.hint !== HINT_GAUGE)) note("not_gauge");
  let result = noted(combine(right, left, -1), "reconciled_subtraction", note);
  if (result !== undefined && kind.counter) {
    const leftCrossesReset =
      kind.smoothed && times[first]! < startMs && wasReset(histograms[first + 1]!, histograms[first]!);
    result = addResets(window, first, last, left, right, leftCrossesReset, result, note);
  }
  if (result === undefined) return undefined;
  if (kind.perSecond) result = divide(result, (endMs - startMs) / 1000);
  return compact(withHint(result, HINT_GAUGE));
}

/** Whether all histograms are of the same kind of schema; notes gauges among counters. */
function areAlike(histograms: readonly FloatHistogram[], counter: boolean, note: Note): boolean {
  const custom = hasCustomBounds(histograms[0]!);
  for (const histogram of histograms) {
    if (hasCustomBounds(histogram) !== custom) {
      note("mixed_schemas");
      return false;
    }
    if (counter && histogram.hint === HINT_GAUGE) note("not_counter");
  }
  return true;
}

function noted(
  combined: ReturnType<typeof combine>,
  kind: "reconciled_addition" | "reconciled_subtraction",
  note: Note,
): FloatHistogram | undefined {
  if (combined === undefined) note("mixed_schemas");
  else if (combined.reconciled) note(kind);
  return combined?.histogram;
}

/**
 * The histogram at `atMs` on the line through samples i and i + 1. A counter that was reset between them counts as
 * having been at zero.
 */
function between(
  { histograms, times }: HistogramWindow,
  i: number,
  atMs: number,
  counter: boolean,
  note: Note,
): FloatHistogram | undefined {
  const a = histograms[i]!;
  const b = histograms[i + 1]!;
  if (atMs === times[i]) return a;
  if (atMs === times[i + 1]) return b;
  const fraction = (atMs - times[i]!) / (times[i + 1]! - times[i]!);
  if (counter && wasReset(b, a)) return scale(b, fraction);
  const difference = noted(combine(b, a, -1), "reconciled_subtraction", note);
  if (difference === undefined) return undefined;
  return noted(combine(scale(difference, fraction), a, 1), "reconciled_addition", note);
}

/** Adds what the counter lost in resets between the two edges to `result`. */
function addResets(
  { histograms }: HistogramWindow,
  first: number,
  last: number,
  left: FloatHistogram,
  right: FloatHistogram,
  leftCrossesReset: boolean,
  result: FloatHistogram,
  note: Note,
): FloatHistogram | undefined {
  // A reset that the left edge was interpolated across is part of it.
  let from = first + 1;
  let previous = left;
  if (leftCrossesReset) previous = histograms[from++]!;
  // The right edge takes the place of the last sample, whose hint it has.
  if (from > last) return result;
  let lost: FloatHistogram | undefined;
  for (let i = from; i <= last; i++) {
    const current = i === last ? right : histograms[i]!;
    if (wasReset(current, previous)) {
      lost = lost === undefined ? previous : noted(combine(lost, previous, 1), "reconciled_addition", note);
      if (lost === undefined) return undefined;
    }
    previous = current;
  }
  return lost === undefined ? result : noted(combine(result, lost, 1), "reconciled_addition", note);
}

/** A smoothed instant selector at `atMs`: interpolated, or the last histogram when none follows. */
export function histogramAtTime(window: HistogramWindow, atMs: number, note: Note): FloatHistogram | undefined {
  const { histograms, times } = window;
  let next = 0;
  while (next < times.length && times[next]! < atMs) next++;
  if (next < times.length && times[next] === atMs) return histograms[next];
  if (next === 0) return undefined;
  const before = histograms[next - 1]!;
  // The hint tells about neighbours, which a repeated histogram does not have.
  if (next === times.length) return withHint(before, HINT_UNKNOWN);
  const after = histograms[next]!;
  if (hasCustomBounds(before) !== hasCustomBounds(after)) {
    note("mixed_schemas");
    return undefined;
  }
  const counter = before.hint !== HINT_GAUGE || after.hint !== HINT_GAUGE;
  return between(window, next - 1, atMs, counter, note);
}
