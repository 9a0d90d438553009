// libs/promql/matching.ts: binary operators between two instant vectors: one-to-one, many-to-one, fill.
// Series are matched once by their labels; what depends on the step is only who is present. One group holds all series
// of both sides that share a signature. In a group at most one series of the "one" side may be present per step.
import {
  compareLabels,
  ExecutionError,
  type FloatHistogram,
  type Labels,
  labelsKey,
  labelValue,
  METRIC_NAME,
  onlyLabels,
  setLabel,
  withoutLabels,
} from "../model/index.ts";
import type { Annotations } from "./annotations.ts";
import type { BinaryOp, Position, VectorMatching } from "./ast.ts";
import {
  anyPresent,
  bothPresent,
  byLabels,
  type Column,
  dropMetadata,
  hasPoint,
  histogramOf,
  METADATA_LABELS,
  normalizePresent,
  withHistograms,
} from "./column.ts";
import { formatLabels } from "./go-text.ts";
import { combineElements, StepNotes } from "./histogram-operators.ts";
import { arithmetic, asNumbers, compare, isComparison, isTrim } from "./operators.ts";
import { Slab } from "./slab.ts";
import { type Steps, Stride } from "./stride.ts";

/** What a signature takes, in points. */
export const SIGNATURE_POINTS = 500;

/** The operation and everything that decides about its result's labels. */
export interface VectorOperation {
  readonly op: BinaryOp;
  readonly bool: boolean;
  readonly matching: VectorMatching;
  readonly pos: Position;
  /** Number of steps. */
  readonly count: number;
  readonly delayedNames: boolean;
}

/** All series of both sides with one signature. `many` is the left side, or the right one of group_right. */
interface Group {
  readonly many: Column[];
  readonly one: Column[];
}

/** A function from labels to a key that equals for series that match. */
export function signatures(matching: VectorMatching): (labels: Labels) => string {
  const names = new Set(matching.on ? matching.labels : [...matching.labels, METRIC_NAME]);
  return matching.on
    ? (labels) => labelsKey(onlyLabels(labels, names))
    : (labels) => labelsKey(withoutLabels(labels, names));
}

/** The labels that two matching series have in common. */
function matchLabelsOf(matching: VectorMatching, labels: Labels): Labels {
  return matching.on
    ? onlyLabels(labels, new Set(matching.labels))
    : withoutLabels(labels, new Set([...matching.labels, METRIC_NAME]));
}

/** The result of a matching. */
export interface Matched {
  readonly columns: Column[];
  /** No two columns have the same labels. When false, the caller has to look. */
  readonly distinct: boolean;
}

/**
 * Evaluates `left op right` for arithmetic, comparison and trim operators.
 * Errors: ExecutionError with Prometheus' texts where the matching is ambiguous.
 */
export function* matchVectors(
  operation: VectorOperation,
  left: readonly Column[],
  right: readonly Column[],
  notes: Annotations,
): Steps<Matched> {
  const { matching } = operation;
  const swapped = matching.card === "one-to-many";
  const many = swapped ? right : left;
  const one = swapped ? left : right;
  const filled = matching.fillLeft !== undefined || matching.fillRight !== undefined;
  if (!filled && (many.length === 0 || one.length === 0)) return { columns: [], distinct: true };
  const groups = yield* groupBySignature(matching, many, one);
  rejectDuplicates(operation, groups, many, filled);
  const lost = namesLost(operation);
  const out: Column[] = [];
  const slab = new Slab(operation.count, many.length);
  const sink = { out, slab, notes: new StepNotes(), orderOf: new Map(many.map((column, i) => [column, i])) };
  // One-to-one results carry their group's signature, so only results of one group can be equal; unless they have lost
  // a part of it.
  let distinct = matching.card === "one-to-one";
  const stride = new Stride();
  for (const group of groups.values()) {
    const before = out.length;
    yield* combineGroup(operation, group, swapped, sink, stride);
    if (out.length - before > 1) distinct = false;
    const { labels } = (group.many[0] ?? group.one[0])!;
    if (lost.some((name) => labelValue(labels, name) !== "")) distinct = false;
  }
  sink.notes.report(notes, operation.pos);
  return { columns: out, distinct };
}

/** The labels that go with the name of a metric although they are matched by. */
function namesLost(operation: VectorOperation): readonly string[] {
  if (!dropsMetadata(operation)) return [];
  const { on, labels } = operation.matching;
  return METADATA_LABELS.filter((name) =>
    on ? labels.includes(name) : name !== METRIC_NAME && !labels.includes(name),
  );
}

function dropsMetadata({ op, bool, delayedNames }: VectorOperation): boolean {
  return (!isComparison(op) && !isTrim(op)) || (bool && !delayedNames);
}

/** Where results and notes go. */
interface Sink {
  readonly out: Column[];
  /** What columns are cut from. */
  readonly slab: Slab;
  readonly notes: StepNotes;
  /** Positions of the "many" side's series. */
  readonly orderOf: ReadonlyMap<Column, number>;
}

function* groupBySignature(
  matching: VectorMatching,
  many: readonly Column[],
  one: readonly Column[],
): Steps<Map<string, Group>> {
  const signature = signatures(matching);
  const groups = new Map<string, Group>();
  const stride = new Stride();
  for (const side of ["many", "one"] as const) {
    for (const column of side === "many" ? many : one) {
      groupFor(groups, signature(column.labels))[side].push(column);
      if (stride.isOver(SIGNATURE_POINTS)) yield;
    }
  }
  return groups;
}

function groupFor(groups: Map<string, Group>, key: string): Group {
  let group = groups.get(key);
  if (group === undefined) {
    group = { many: [], one: [] };
    groups.set(key, group);
  }
  return group;
}

/**
 * Two series of the "one" side with one signature at one step are an error, unless the other side is empty there. Of
 * several pairs Prometheus names the one whose second series comes first, at the first such step.
 */
function rejectDuplicates(
  operation: VectorOperation,
  groups: Map<string, Group>,
  many: readonly Column[],
  filled: boolean,
): void {
  const crowded = [...groups.values()].filter(({ one }) => one.length > 1);
  if (crowded.length === 0) return;
  const occupied = filled ? undefined : unionOf(many, operation.count);
  for (let s = 0; s < operation.count; s++) {
    if (occupied?.[s] === 0) continue;
    let found: readonly [Column, Column] | undefined;
    for (const { one } of crowded) {
      if (!isTwice(one, s)) continue;
      const [first, second] = byLabels(one.filter(({ present }) => hasPoint(present, s))) as [Column, Column];
      if (found === undefined || compareLabels(second.labels, found[1].labels) < 0) found = [first, second];
    }
    if (found !== undefined) throw duplicateError(operation.matching, ...found);
  }
}

/** Whether two of the columns are present at a step. */
function isTwice(columns: readonly Column[], step: number): boolean {
  let seen = false;
  for (const { present } of columns) {
    if (!hasPoint(present, step)) continue;
    if (seen) return true;
    seen = true;
  }
  return false;
}

/** The steps where any column is present. */
export function unionOf(columns: readonly Column[], count: number): Uint8Array {
  const out = new Uint8Array(count);
  for (const { present } of columns) {
    if (present === null) return out.fill(1);
    for (let s = 0; s < count; s++) out[s] = out[s]! | present[s]!;
  }
  return out;
}

function duplicateError(matching: VectorMatching, a: Column, b: Column): ExecutionError {
  const group = formatLabels(matchLabelsOf(matching, b.labels));
  const side = matching.card === "one-to-many" ? "left" : "right";
  const [first, second] = [formatLabels(a.labels), formatLabels(b.labels)].sort();
  return new ExecutionError(
    `found duplicate series for the match group ${group} on the ${side} hand-side of the operation: [${first}, ${second}]` +
      ";many-to-many matching not allowed: matching labels must be unique on one side",
  );
}

function* combineGroup(
  operation: VectorOperation,
  group: Group,
  swapped: boolean,
  sink: Sink,
  stride: Stride,
): Steps<void> {
  const { matching, count } = operation;
  const used = new Uses(operation, group);
  for (const many of group.many) {
    if (stride.isOver(group.one.length * count)) yield;
    for (const one of group.one) combinePair(operation, many, one, swapped, used, sink);
    if (matching.fillRight === undefined) continue;
    const missing = complement(many.present, unionOf(group.one, count));
    if (!anyPresent(missing)) continue;
    const labels = matchLabelsOf(matching, many.labels);
    const fill = {
      labels,
      values: new Float64Array(count).fill(matching.fillRight),
      present: missing,
      dropName: false,
    };
    combinePair(operation, many, fill, swapped, used, sink);
  }
  if (matching.fillLeft === undefined) return;
  for (const one of group.one) {
    if (stride.isOver(count)) yield;
    // What met something it does not go together with is filled as if it had met nothing.
    const missing = complement(one.present, used.matched!.slice());
    if (!anyPresent(missing)) continue;
    const labels = matchLabelsOf(matching, one.labels);
    const fill = { labels, values: new Float64Array(count).fill(matching.fillLeft), present: missing, dropName: false };
    combinePair(operation, fill, one, swapped, used, sink);
  }
}

/** Steps where `present` holds and `taken` does not. */
function complement(present: Uint8Array | null, taken: Uint8Array): Uint8Array {
  const out = new Uint8Array(taken.length);
  for (let s = 0; s < out.length; s++) out[s] = hasPoint(present, s) && taken[s] === 0 ? 1 : 0;
  return out;
}

/** Finds two results of one group at one step that Prometheus calls ambiguous. */
class Uses {
  readonly #operation: VectorOperation;
  /** With one series on each side nothing can collide. */
  readonly #trivial: boolean;
  readonly #oneToOne: boolean;
  readonly #steps = new Map<string, Uint8Array>();
  /** Steps at which any pair of the group has matched; kept only where missing ones are filled. */
  readonly matched: Uint8Array | undefined;

  constructor(operation: VectorOperation, group: Group) {
    this.matched = operation.matching.fillLeft === undefined ? undefined : new Uint8Array(operation.count);
    this.#operation = operation;
    this.#trivial = group.many.length < 2;
    this.#oneToOne = operation.matching.card === "one-to-one";
  }

  /** Notes the steps of a pair's result. Errors: ExecutionError when a step was taken before. */
  take(labels: Labels, present: Uint8Array | null): void {
    for (let s = 0; this.matched !== undefined && s < this.matched.length; s++) {
      if (hasPoint(present, s)) this.matched[s] = 1;
    }
    if (this.#trivial) return;
    const key = this.#oneToOne ? "" : labelsKey(labels);
    let taken = this.#steps.get(key);
    if (taken === undefined) {
      taken = new Uint8Array(this.#operation.count);
      this.#steps.set(key, taken);
    }
    for (let s = 0; s < taken.length; s++) {
      if (!hasPoint(present, s)) continue;
      if (taken[s] === 1) {
        throw new ExecutionError(
          this.#oneToOne
            ? "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            : "multiple matches for labels: grouping labels must ensure unique matches",
        );
      }
      taken[s] = 1;
    }
  }
}

function combinePair(
  operation: VectorOperation,
  many: Column,
  one: Column,
  swapped: boolean,
  used: Uses,
  sink: Sink,
): void {
  const { op } = operation;
  const both = bothPresent(many.present, one.present);
  if (!anyPresent(both)) return;
  if (isTrim(op) || many.histograms !== undefined || one.histograms !== undefined) {
    combineElementwise(operation, many, one, swapped, both, used, sink);
    return;
  }
  const { out, slab } = sink;
  const labels = resultLabels(operation, many.labels, one.labels);
  used.take(labels, both);
  const a = swapped ? one.values : many.values;
  const b = swapped ? many.values : one.values;
  if (!isComparison(op)) {
    out.push({ labels, values: arithmetic(op, a, b, slab.next()), present: both, dropName: false });
    return;
  }
  const holds = compare(op, a, b);
  if (operation.bool) {
    out.push({ labels, values: asNumbers(holds), present: both, dropName: true });
    return;
  }
  if (both !== null) for (let s = 0; s < holds.length; s++) holds[s] = holds[s]! & both[s]!;
  if (anyPresent(holds)) out.push({ labels, values: a, present: normalizePresent(holds), dropName: false });
}

/** A pair of which either may have histograms, step by step. */
function combineElementwise(
  operation: VectorOperation,
  many: Column,
  one: Column,
  swapped: boolean,
  both: Uint8Array | null,
  used: Uses,
  { out, notes, orderOf }: Sink,
): void {
  const { op, bool, count } = operation;
  const a = swapped ? one : many;
  const b = swapped ? many : one;
  const order = orderOf.get(many) ?? orderOf.size;
  const matched = new Uint8Array(count);
  const kept = new Uint8Array(count);
  const values = new Float64Array(count);
  const histograms: (FloatHistogram | undefined)[] = new Array(count).fill(undefined);
  for (let s = 0; s < count; s++) {
    if (!hasPoint(both, s)) continue;
    const x = histogramOf(a, s) ?? a.values[s]!;
    const { value, keep, note } = combineElements(op, x, histogramOf(b, s) ?? b.values[s]!);
    notes.add(s, order, note);
    if (value === undefined) continue;
    matched[s] = 1;
    kept[s] = keep || bool ? 1 : 0;
    if (bool) values[s] = keep ? 1 : 0;
    else if (typeof value === "number") values[s] = value;
    else histograms[s] = value;
  }
  const labels = resultLabels(operation, many.labels, one.labels);
  used.take(labels, matched);
  if (!kept.includes(1)) return;
  out.push(withHistograms({ labels, values, present: normalizePresent(kept), dropName: bool }, histograms));
}

/** The labels of a result: those of the "many" side, less or more what operator and matching say. */
function resultLabels(operation: VectorOperation, many: Labels, one: Labels): Labels {
  const { matching } = operation;
  let labels = dropsMetadata(operation) ? dropMetadata(many) : many;
  if (matching.card === "one-to-one") {
    const names = new Set(matching.labels);
    labels = matching.on ? onlyLabels(labels, names) : withoutLabels(labels, names);
  }
  for (const name of matching.include) labels = setLabel(labels, name, labelValue(one, name));
  return labels;
}
