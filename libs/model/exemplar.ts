// libs/model/exemplar.ts: exemplars: single observations that a series points at, with labels such as a trace id.
import type { Labels } from "./labels.ts";

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
