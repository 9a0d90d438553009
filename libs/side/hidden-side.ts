// libs/side/hidden-side.ts: what deletions hide of a store of side data: it is taken out of the series' lists into parts, one for each deletion and
// series, from where undoing puts it back. Histograms stay the bytes they are: only their places move. What comes later is not hidden.
import type { Exemplar } from "../model/index.ts";
import type { StartTime } from "./side-series.ts";

/** A series' side data in a store. */
export interface StoredSeries {
  times: Float64Array;
  /** Where each histogram is; the store's business. */
  places: Float64Array;
  count: number;
  exemplars: Exemplar[];
  starts: StartTime[];
}

/** What one deletion hides of one series: what it found there, and of what others had hidden before what they would give back. */
interface HiddenPart {
  readonly deletion: string;
  readonly minMs: number;
  readonly maxMs: number;
  taken: StoredSeries;
}

/** A range of times that one deletion hides. */
export interface HiddenRange {
  readonly deletion: string;
  readonly minMs: number;
  readonly maxMs: number;
}

export const emptySeries = (room = 4): StoredSeries => ({
  ...{ times: new Float64Array(room), places: new Float64Array(room), count: 0 },
  ...{ exemplars: [], starts: [] },
});

export function isEmptySeries({ count, exemplars, starts }: StoredSeries): boolean {
  return count === 0 && exemplars.length === 0 && starts.length === 0;
}

export function copyOfSeries({ times, places, count, exemplars, starts }: StoredSeries): StoredSeries {
  return {
    ...{ times: times.slice(0, count), places: places.slice(0, count), count },
    ...{ exemplars: [...exemplars], starts: [...starts] },
  };
}

/** Takes what lies in [minMs, maxMs] out of a series. */
export function takeRange(from: StoredSeries, minMs: number, maxMs: number): StoredSeries {
  const isTaken = ({ timeMs }: { readonly timeMs: number }): boolean => timeMs >= minMs && timeMs <= maxMs;
  let first = 0;
  while (first < from.count && from.times[first]! < minMs) first++;
  let end = first;
  while (end < from.count && from.times[end]! <= maxMs) end++;
  const taken: StoredSeries = {
    times: from.times.slice(first, end),
    places: from.places.slice(first, end),
    count: end - first,
    exemplars: from.exemplars.filter(isTaken),
    starts: from.starts.filter(isTaken),
  };
  from.times.copyWithin(first, end, from.count);
  from.places.copyWithin(first, end, from.count);
  from.count -= end - first;
  if (taken.exemplars.length > 0) from.exemplars = from.exemplars.filter((one) => !isTaken(one));
  if (taken.starts.length > 0) from.starts = from.starts.filter((one) => !isTaken(one));
  return taken;
}

export class HiddenSide {
  /** By series: in the order in which the deletions were executed. */
  private readonly bySeries = new Map<number, HiddenPart[]>();

  get isEmpty(): boolean {
    return this.bySeries.size === 0;
  }

  get seriesNumbers(): number[] {
    return [...this.bySeries.keys()];
  }

  has(series: number): boolean {
    return this.bySeries.has(series);
  }

  /** Whether a deletion hides anything here. */
  hides(deletion: string): boolean {
    for (const parts of this.bySeries.values()) if (parts.some((part) => part.deletion === deletion)) return true;
    return false;
  }

  /** The series of which a deletion hides something. */
  seriesOf(deletion: string): number[] {
    return this.seriesNumbers.filter((series) => this.bySeries.get(series)!.some((part) => part.deletion === deletion));
  }

  /** Hides what was taken out of a series. False: there was nothing, nor had a deletion before hidden anything in the range. */
  hide(series: number, { deletion, minMs, maxMs }: HiddenRange, taken: StoredSeries): boolean {
    const parts = this.bySeries.get(series) ?? [];
    const isInRange = ({ timeMs }: { readonly timeMs: number }): boolean => timeMs >= minMs && timeMs <= maxMs;
    const hasInRange = ({ taken: { times, count, exemplars, starts } }: HiddenPart): boolean =>
      times.subarray(0, count).some((timeMs) => isInRange({ timeMs })) ||
      exemplars.some(isInRange) ||
      starts.some(isInRange);
    if (isEmptySeries(taken) && !parts.some(hasInRange)) return false;
    this.bySeries.set(series, [...parts, { deletion, minMs, maxMs, taken }]);
    return true;
  }

  /**
   * Ends a deletion. `giveBack` is called with what is to be seen again, `join` with what a later deletion had found hidden already: that
   * stays hidden by it.
   */
  remove(
    deletion: string,
    giveBack: (series: number, taken: StoredSeries) => void,
    join: (into: StoredSeries, more: StoredSeries) => StoredSeries,
  ): void {
    for (const [series, parts] of [...this.bySeries]) {
      const at = parts.findIndex((part) => part.deletion === deletion);
      if (at < 0) continue;
      const left = parts.filter((_, i) => i !== at);
      const { taken } = parts[at]!;
      for (const part of left.slice(at)) {
        const found = takeRange(taken, part.minMs, part.maxMs);
        if (!isEmptySeries(found)) part.taken = join(part.taken, found);
      }
      if (left.length === 0) this.bySeries.delete(series);
      else this.bySeries.set(series, left);
      if (!isEmptySeries(taken)) giveBack(series, taken);
    }
  }

  /** The deletions that took something, in the order in which they were executed on some series. */
  get deletions(): string[] {
    const found = new Set<string>();
    for (const parts of this.bySeries.values()) {
      for (const { deletion, taken } of parts) if (!isEmptySeries(taken)) found.add(deletion);
    }
    return [...found];
  }

  /** What a deletion took out of a series. */
  takenBy(deletion: string, series: number): StoredSeries | undefined {
    return this.bySeries.get(series)?.find((part) => part.deletion === deletion)?.taken;
  }

  /** The ranges that hide what a deletion took out of a series: its own, and those of later ones. */
  rangesOf(deletion: string, series: number): HiddenRange[] {
    const parts = this.bySeries.get(series) ?? [];
    const at = parts.findIndex((part) => part.deletion === deletion);
    return at < 0 ? [] : parts.slice(at).map(({ deletion: id, minMs, maxMs }) => ({ deletion: id, minMs, maxMs }));
  }
}
