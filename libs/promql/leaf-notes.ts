// libs/promql/leaf-notes.ts: what rollups and aggregations note about samples, and how the engine words it.
import type { LeafNote, LeafNoteKind } from "../model/index.ts";
import type { Annotations } from "./annotations.ts";
import type { Position } from "./ast.ts";
import { quote } from "./go-text.ts";

/** Notes of one leaf, each kind and metric once. */
export class LeafNotes {
  readonly #notes = new Map<string, LeafNote>();

  add(kind: LeafNoteKind, metric: string, aggregated = false, count = 1): void {
    const key = `${kind} ${aggregated} ${metric}`;
    const before = this.#notes.get(key);
    if (before === undefined) this.#notes.set(key, { kind, metric, aggregated, count });
    else if (kind === "start_overlap") this.#notes.set(key, { ...before, count: before.count + count });
  }

  addAll(notes: readonly LeafNote[]): void {
    for (const { kind, metric, aggregated, count } of notes) this.add(kind, metric, aggregated, count);
  }

  has(kind: LeafNoteKind): boolean {
    for (const note of this.#notes.values()) if (note.kind === kind) return true;
    return false;
  }

  list(): LeafNote[] {
    return [...this.#notes.values()];
  }

  /** The notes as a part of a leaf's result. */
  asResult(): { notes?: readonly LeafNote[] } {
    return this.#notes.size === 0 ? {} : { notes: this.list() };
  }
}

/** Annotations for notes: at `pos` those of the rollup, at `aggregatedPos` those of the aggregation `op`. */
export function annotate(
  notes: readonly LeafNote[],
  pos: Position,
  aggregatedPos: Position,
  op: string,
  annotations: Annotations,
): void {
  for (const note of notes) {
    const at = note.aggregated ? aggregatedPos : pos;
    if (note.kind === "start_overlap") annotations.overlapped(note.metric, at, note.count);
    else if (note.kind === "ignored_in_aggregation") annotations.info(ignoredText(op), at);
    else if (note.kind !== "only_histograms" && note.kind !== "histogram_times")
      WORDING[note.kind](annotations, note.metric, at);
  }
}

/** What min, max and others say about histograms among their samples. */
export function ignoredText(op: string): string {
  return `ignored histogram in ${op} aggregation`;
}

type Word = (annotations: Annotations, metric: string, at: Position) => void;

/** A warning about one metric. */
function warning(text: string): Word {
  return (annotations, metric, at) => annotations.warn(`${text} ${quote(metric)}`, at);
}

/** An info about histograms whose custom bounds differ. */
function reconciled(during: string): Word {
  return (annotations, _, at) => annotations.info(reconciledText(during), at);
}

export function reconciledText(during: string): string {
  return `mismatched custom buckets were reconciled during ${during}`;
}

export function collidedText(during: string): string {
  return `conflicting counter resets during histogram ${during}`;
}

export const MIXED_SCHEMAS =
  "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";

/** Kinds that need more than a name, or say nothing. */
type Unworded = "start_overlap" | "histogram_times" | "only_histograms" | "ignored_in_aggregation";

const EXPIRED = "finer samples of a part of its range have expired, and its windows are not made of whole rows";
const ASKED_FOR = "the query asks for this level, and its windows are not made of whole rows";

/** An info that an answer is an estimate. */
function resolution(reason: string, level: string): Word {
  return (annotations, _, at) => annotations.info(`answered at a resolution of ${level}: ${reason}`, at);
}

const WORDING: Readonly<Record<Exclude<LeafNoteKind, Unworded>, Word>> = {
  mixed_samples: warning("encountered a mix of histograms and floats for metric name"),
  mixed_schemas: warning(MIXED_SCHEMAS),
  not_counter: warning("this native histogram metric is not a counter:"),
  not_gauge: warning("this native histogram metric is not a gauge:"),
  ignored_histograms: (annotations, metric, at) =>
    annotations.info(
      `ignored histograms in a range containing both floats and histograms for metric name ${quote(metric)}`,
      at,
    ),
  reconciled_addition: reconciled("addition"),
  reconciled_subtraction: reconciled("subtraction"),
  reconciled_aggregation: reconciled("aggregation"),
  mixed_aggregation: (annotations, _, at) =>
    annotations.warn("encountered a mix of histograms and floats for aggregation", at),
  expired_to_1m: resolution(EXPIRED, "1m"),
  expired_to_1h: resolution(EXPIRED, "1h"),
  asked_for_1m: resolution(ASKED_FOR, "1m"),
  asked_for_1h: resolution(ASKED_FOR, "1h"),
  collided_aggregation: (annotations, _, at) => annotations.warn(collidedText("aggregation"), at),
};
