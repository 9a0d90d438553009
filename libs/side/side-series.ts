// libs/side/side-series.ts: what a series has besides float samples: histograms, exemplars, start times. As values, and merged.
// Invariants: histograms have ascending times, one at each; exemplars and starts are ordered and no two of them are the same. At one
// time a histogram counts rather than the end of a series; of two, the winner of histogram-bytes.ts; of two start times the greater.
import { compareExemplars, type Exemplar, type FloatHistogram } from "../model/index.ts";
import { compareHistograms } from "./histogram-bytes.ts";

/** A histogram sample; without a histogram a stale marker: the series ended. */
export interface HistogramSample {
  readonly timeMs: number;
  readonly histogram: FloatHistogram | undefined;
}

/** From this sample on, the series' samples were counted from startMs; 0: not known. */
export interface StartTime {
  readonly timeMs: number;
  readonly startMs: number;
}

export interface SideSeries {
  readonly histograms: readonly HistogramSample[];
  readonly exemplars: readonly Exemplar[];
  readonly starts: readonly StartTime[];
}

export type SidePart = keyof SideSeries;

export const NO_SIDE: SideSeries = { histograms: [], exemplars: [], starts: [] };

export function isEmptySide({ histograms, exemplars, starts }: SideSeries): boolean {
  return histograms.length === 0 && exemplars.length === 0 && starts.length === 0;
}

/** Which of two histogram samples of one time counts: above 0 the first. 0: they are the same. */
export function compareSamples(a: HistogramSample, b: HistogramSample): number {
  if (a.histogram === undefined || b.histogram === undefined) {
    return Number(a.histogram !== undefined) - Number(b.histogram !== undefined);
  }
  return compareHistograms(a.histogram, b.histogram);
}

/** Parts of one series as one. */
export function mergeSide(parts: readonly SideSeries[]): SideSeries {
  const some = parts.filter((part) => !isEmptySide(part));
  if (some.length === 0) return NO_SIDE;
  if (some.length === 1) return some[0]!;
  return {
    histograms: merged(
      some.map((part) => part.histograms),
      (a, b) => a.timeMs - b.timeMs,
      compareSamples,
    ),
    exemplars: merged(
      some.map((part) => part.exemplars),
      compareExemplars,
      () => 0,
    ),
    starts: merged(
      some.map((part) => part.starts),
      (a, b) => a.timeMs - b.timeMs,
      (a, b) => a.startMs - b.startMs,
    ),
  };
}

/** Lists in any order, as they must be: of what has one time, the winner. */
export function orderedSide({ histograms, exemplars, starts }: SideSeries): SideSeries {
  const byTime = (a: { readonly timeMs: number }, b: { readonly timeMs: number }): number => a.timeMs - b.timeMs;
  return {
    histograms: ordered(histograms, byTime, compareSamples),
    exemplars: ordered(exemplars, compareExemplars, () => 0),
    starts: ordered(starts, byTime, (a, b) => a.startMs - b.startMs),
  };
}

/** Ordered lists as one; of items that are equal in order the winner stays. */
function merged<T>(
  lists: readonly (readonly T[])[],
  order: (a: T, b: T) => number,
  winner: (a: T, b: T) => number,
): readonly T[] {
  const some = lists.filter((list) => list.length > 0);
  return some.length <= 1 ? (some[0] ?? []) : ordered(some.flat(), order, winner);
}

function ordered<T>(list: readonly T[], order: (a: T, b: T) => number, winner: (a: T, b: T) => number): readonly T[] {
  const out: T[] = [];
  for (const item of [...list].sort(order)) {
    const last = out.at(-1);
    if (last === undefined || order(last, item) !== 0) out.push(item);
    else if (winner(item, last) > 0) out[out.length - 1] = item;
  }
  return out;
}

/** The times of all that there is. */
export function sideTimesOf({ histograms, exemplars, starts }: SideSeries): Float64Array {
  return Float64Array.from([...histograms, ...exemplars, ...starts], ({ timeMs }) => timeMs);
}

/** The part of the times that are kept. */
export function partOfSide(
  { histograms, exemplars, starts }: SideSeries,
  keeps: (timeMs: number) => boolean,
): SideSeries {
  const isKept = ({ timeMs }: { readonly timeMs: number }): boolean => keeps(timeMs);
  return {
    histograms: histograms.filter(isKept),
    exemplars: exemplars.filter(isKept),
    starts: starts.filter(isKept),
  };
}

/** The part of (minMs, maxMs]. */
export function exactSide(side: SideSeries, minMs: number, maxMs: number): SideSeries {
  return partOfSide(side, (timeMs) => timeMs > minMs && timeMs <= maxMs);
}

/** How far back a start time is looked for: inserts repeat them in half of it. */
export const STARTS_REACH_MS = 3_600_000;

/**
 * What a query of [lowMs, highMs] needs: exemplars of that time; histograms too, and the one before, which tells about a reset; start
 * times from STARTS_REACH_MS earlier on.
 */
export function relevantSide({ histograms, exemplars, starts }: SideSeries, lowMs: number, highMs: number): SideSeries {
  const within = <T extends { readonly timeMs: number }>(list: readonly T[], fromMs: number): readonly T[] => {
    if (list.length === 0 || (list[0]!.timeMs >= fromMs && list.at(-1)!.timeMs <= highMs)) return list;
    return list.filter(({ timeMs }) => timeMs >= fromMs && timeMs <= highMs);
  };
  const before = histograms.findLast(({ timeMs }) => timeMs < lowMs);
  return {
    histograms: within(histograms, before?.timeMs ?? lowMs),
    exemplars: within(exemplars, lowMs),
    starts: within(starts, lowMs - STARTS_REACH_MS),
  };
}
