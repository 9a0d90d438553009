// libs/promql/partial-histogram.ts: the histograms of a group while it is aggregated, step by step: sums, and what makes
// a step lose its value. Beside the floats of partial.ts; most groups have no histogram and nothing of this.
import {
  type FloatHistogram,
  HINT_NOT_RESET,
  HINT_RESET,
  type HistogramColumn,
  histogramAt,
  noHistograms,
  PARTIAL_INCOMPATIBLE,
  PARTIAL_MIXED,
  PARTIAL_NOT_RESET,
  PARTIAL_RESET,
  type PartialOp,
  packHistograms,
  type StepColumn,
} from "../model/index.ts";
import { compact, divide } from "./histogram-arithmetic.ts";
import { HistogramSum, withLoss } from "./histogram-sum.ts";
import type { LeafNotes } from "./leaf-notes.ts";

/** What a group of "sum", "avg", "count" or "group" has gathered of histograms. */
export class HistogramGroup {
  /** How many histograms were seen, per step. */
  readonly seen: Float64Array;
  readonly states: Uint8Array;
  readonly #sums: (HistogramSum | undefined)[];
  readonly #adds: boolean;

  constructor(op: PartialOp, count: number) {
    this.seen = new Float64Array(count);
    this.states = new Uint8Array(count);
    this.#sums = new Array(count).fill(undefined);
    this.#adds = op === "sum" || op === "avg";
  }

  /**
   * Takes the histograms of a series where they are present. Behind a float, as `floats` tells, a step's first histogram
   * is not looked at: the step is lost already. Behind histograms that do not go together nothing is, so a step is mixed
   * besides only when a float came before.
   */
  add(
    histograms: HistogramColumn,
    present: Uint8Array | null,
    floats: (step: number) => boolean,
    metric: string,
    notes: LeafNotes,
  ): void {
    for (let s = 0; s < this.seen.length; s++) {
      if (histograms.layoutOf[s]! < 0 || (present !== null && present[s] === 0)) continue;
      this.seen[s] = this.seen[s]! + 1;
      if (!this.#adds || this.#isIncompatible(s) || (this.#sums[s] === undefined && floats(s))) continue;
      this.addOne(s, histogramAt(histograms, s)!, metric, notes);
      if (this.#isIncompatible(s) && floats(s)) this.states[s]! |= PARTIAL_MIXED;
    }
  }

  #isIncompatible(step: number): boolean {
    return (this.states[step]! & PARTIAL_INCOMPATIBLE) !== 0;
  }

  addOne(step: number, histogram: FloatHistogram, metric: string, notes: LeafNotes): void {
    if (this.#isIncompatible(step)) return;
    this.states[step]! |= stateOf(histogram);
    const sum = this.#sums[step];
    if (sum === undefined) {
      this.#sums[step] = new HistogramSum(histogram);
      return;
    }
    const before = sum.reconciled;
    sum.reconciled = false;
    if (!sum.add(histogram, 1)) {
      notes.add("mixed_schemas", metric, true);
      this.states[step]! |= PARTIAL_INCOMPATIBLE;
    }
    if (sum.reconciled) notes.add("reconciled_aggregation", "", true);
    sum.reconciled ||= before;
  }

  /** Whether a sum overflowed. */
  isInfinite(step: number): boolean {
    return this.#sums[step]?.isInfinite() ?? false;
  }

  /** The sums so far, without what rounding has taken. */
  column(): HistogramColumn | undefined {
    return packHistograms(this.#sums.map((sum) => sum?.rounded()));
  }

  /** What rounding has taken from them; undefined for nothing. */
  losses(): HistogramColumn | undefined {
    return packHistograms(this.#sums.map((sum) => sum?.loss()));
  }
}

function stateOf({ hint }: FloatHistogram): number {
  if (hint === HINT_RESET) return PARTIAL_RESET;
  return hint === HINT_NOT_RESET ? PARTIAL_NOT_RESET : 0;
}

/** The partial of a sum or mean that met histograms: floats are present where `floats` says so. */
export function mixedPartial(
  column: StepColumn,
  floats: Float64Array,
  group: HistogramGroup,
  op: PartialOp,
): StepColumn | undefined {
  const count = floats.length;
  const present = new Uint8Array(count);
  const weights = new Float64Array(count);
  for (let s = 0; s < count; s++) {
    const histograms = group.seen[s]!;
    const mixed = floats[s]! > 0 && histograms > 0;
    if (mixed && (group.states[s]! & PARTIAL_INCOMPATIBLE) === 0) group.states[s]! |= PARTIAL_MIXED;
    weights[s] = floats[s]! + histograms;
    present[s] = weights[s]! > 0 ? 1 : 0;
  }
  if (!present.includes(1)) return undefined;
  const losses = group.losses();
  return {
    ...column,
    present: present.includes(0) ? present : null,
    histograms: group.column() ?? noHistograms(count),
    ...(losses === undefined ? {} : { histogramLosses: losses }),
    states: group.states,
    ...(op === "avg" ? { weights } : {}),
  };
}

/**
 * Whether a partial met what does not go together. What is to be said of that depends on the order of the series, which
 * partials do not know.
 */
export function metDiscord({ states }: StepColumn): boolean {
  return states?.some((state) => (state & (PARTIAL_MIXED | PARTIAL_INCOMPATIBLE)) !== 0) ?? false;
}

/**
 * Turns a merged partial with histograms into values: steps that met what does not go together are left out, means are
 * divided, empty buckets go.
 */
export function finishMixed(op: PartialOp, column: StepColumn, notes: LeafNotes): StepColumn | undefined {
  const { labels, states, weights, histogramLosses } = column;
  const count = column.values.length;
  const values = column.values.slice();
  const present = column.present === null ? new Uint8Array(count).fill(1) : column.present.slice();
  const histograms: (FloatHistogram | undefined)[] = new Array(count).fill(undefined);
  for (let s = 0; s < count; s++) {
    if (present[s] === 0) continue;
    const state = states?.[s] ?? 0;
    if ((state & (PARTIAL_MIXED | PARTIAL_INCOMPATIBLE)) !== 0) {
      if ((state & PARTIAL_MIXED) !== 0) notes.add("mixed_aggregation", "", true);
      present[s] = 0;
      continue;
    }
    if ((state & PARTIAL_RESET) !== 0 && (state & PARTIAL_NOT_RESET) !== 0) {
      notes.add("collided_aggregation", "", true);
    }
    const rounded = histogramAt(column.histograms!, s);
    values[s] = values[s]! + (column.lost?.[s] ?? 0);
    if (op === "avg") values[s] = values[s]! / weights![s]!;
    if (rounded === undefined) continue;
    const histogram = withLoss(rounded, histogramLosses && histogramAt(histogramLosses, s));
    values[s] = 0;
    histograms[s] = compact(op === "avg" ? divide(histogram, weights![s]!) : histogram);
  }
  if (!present.includes(1)) return undefined;
  const packed = packHistograms(histograms);
  const finished = { labels, values, present: present.includes(0) ? present : null };
  return packed === undefined ? finished : { ...finished, histograms: packed };
}
