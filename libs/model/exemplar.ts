// libs/model/exemplar.ts: exemplars: single observations that a series points at, with labels such as a trace id.
import { compareLabels, type Labels } from "./labels.ts";

export interface Exemplar {
  /** Often few and long; they are the exemplar's own, not the series'. */
  readonly labels: Labels;
  readonly value: number;
  readonly timeMs: number;
}

/** The exemplars of one series, in the order of their times. */
export interface SeriesExemplars {
  readonly labels: Labels;
  readonly exemplars: readonly Exemplar[];
}

/** The order of exemplars: time, value, labels. 0: the same exemplar. */
export function compareExemplars(a: Exemplar, b: Exemplar): number {
  if (a.timeMs !== b.timeMs) return a.timeMs - b.timeMs;
  if (!Object.is(a.value, b.value)) {
    // NaN comes last; -0 before 0.
    if (Number.isNaN(a.value) || Number.isNaN(b.value)) return Number.isNaN(a.value) ? 1 : -1;
    return a.value - b.value || (Object.is(a.value, -0) ? -1 : 1);
  }
  return compareLabels(a.labels, b.labels);
}
