// libs/promql/evaluate-binary.ts: one binary operator between two evaluated operands of any kind.
import { type FloatHistogram, InternalError } from "../model/index.ts";
import type { Binary } from "./ast.ts";
import {
  anyPresent,
  type Column,
  dropMetadata,
  hasPoint,
  histogramOf,
  mergeSameLabels,
  normalizePresent,
  type Value,
  withHistograms,
} from "./column.ts";
import type { Scope } from "./evaluation.ts";
import { combineElements, StepNotes } from "./histogram-operators.ts";
import { matchVectors } from "./matching.ts";
import { arithmetic, asNumbers, compare, isComparison, isTrim } from "./operators.ts";
import { combineSets } from "./set-operators.ts";
import { Slab } from "./slab.ts";
import { type Steps, Stride } from "./stride.ts";

/** Evaluates `left op right`. Errors: ExecutionError for ambiguous matches and for results that are not distinct. */
export function* evaluateBinary(node: Binary, left: Value, right: Value, scope: Scope): Steps<Value> {
  if (left.kind === "scalar" && right.kind === "scalar") {
    const values = isComparison(node.op)
      ? asNumbers(compare(node.op, left.values, right.values))
      : arithmetic(node.op, left.values, right.values);
    return { kind: "scalar", values };
  }
  if (left.kind === "vector" && right.kind === "scalar") {
    return { kind: "vector", columns: yield* withScalar(node, left.columns, right.values, false, scope) };
  }
  if (left.kind === "scalar" && right.kind === "vector") {
    return { kind: "vector", columns: yield* withScalar(node, right.columns, left.values, true, scope) };
  }
  if (left.kind === "vector" && right.kind === "vector") {
    return { kind: "vector", columns: yield* betweenVectors(node, left.columns, right.columns, scope) };
  }
  throw new InternalError(`cannot evaluate operator: got ${left.kind} ${node.op} ${right.kind}; want numbers`);
}

function* betweenVectors(
  node: Binary,
  left: readonly Column[],
  right: readonly Column[],
  scope: Scope,
): Steps<readonly Column[]> {
  const { grid, run, notes, ranged } = scope;
  const matching = node.matching ?? { card: "one-to-one", on: false, labels: [], include: [] };
  // In an instant query with delayed names, equal label sets are found when the names go.
  const look = ranged || !run.delayedNames;
  if (node.op === "and" || node.op === "or" || node.op === "unless") {
    const columns = yield* combineSets(node.op, matching, left, right, grid.count);
    return node.op === "or" && look ? mergeSameLabels(columns) : columns;
  }
  const operation = {
    op: node.op,
    bool: node.bool,
    matching,
    pos: node.pos,
    count: grid.count,
    delayedNames: run.delayedNames,
  };
  const { columns, distinct } = yield* matchVectors(operation, left, right, notes);
  return look && !distinct ? mergeSameLabels(columns) : columns;
}

/** A vector and a scalar; `swapped` when the scalar stands on the left. */
function* withScalar(
  node: Binary,
  columns: readonly Column[],
  scalar: Float64Array,
  swapped: boolean,
  scope: Scope,
): Steps<readonly Column[]> {
  const { op, bool } = node;
  const out: Column[] = [];
  const stride = new Stride();
  const stepNotes = new StepNotes();
  const slab = new Slab(scalar.length, columns.length);
  for (let i = 0; i < columns.length; i++) {
    if (stride.isOver(scalar.length)) yield;
    const column = columns[i]!;
    if (isTrim(op) || column.histograms !== undefined) {
      const result = elementwise(node, column, scalar, swapped, i, stepNotes);
      if (result !== undefined) out.push(result);
      continue;
    }
    const a = swapped ? scalar : column.values;
    const b = swapped ? column.values : scalar;
    if (!isComparison(op)) {
      out.push({ ...column, values: arithmetic(op, a, b, slab.next()) });
      continue;
    }
    const holds = compare(op, a, b);
    if (bool) {
      out.push({ ...column, values: asNumbers(holds) });
      continue;
    }
    const { present } = column;
    if (present !== null) for (let s = 0; s < holds.length; s++) holds[s] = holds[s]! & present[s]!;
    if (anyPresent(holds)) out.push({ ...column, present: normalizePresent(holds) });
  }
  stepNotes.report(scope.notes, node.pos);
  const keepsName = (isComparison(op) && !bool) || isTrim(op);
  return keepsName ? out : dropNames(out, scope.run.delayedNames);
}

/** A series that may have histograms, and a scalar; undefined where nothing is left. */
function elementwise(
  { op, bool }: Binary,
  column: Column,
  scalar: Float64Array,
  swapped: boolean,
  order: number,
  notes: StepNotes,
): Column | undefined {
  const count = scalar.length;
  const present = new Uint8Array(count);
  const values = new Float64Array(count);
  const histograms: (FloatHistogram | undefined)[] = new Array(count).fill(undefined);
  for (let s = 0; s < count; s++) {
    if (!hasPoint(column.present, s)) continue;
    const element = histogramOf(column, s) ?? column.values[s]!;
    const number = scalar[s]!;
    const combined = swapped ? combineElements(op, number, element) : combineElements(op, element, number);
    notes.add(s, order, combined.note);
    if (combined.value === undefined || !(combined.keep || bool)) continue;
    present[s] = 1;
    // A comparison keeps the vector's element, on whichever side it stands.
    const value = bool ? Number(combined.keep) : isComparison(op) ? element : combined.value;
    if (typeof value === "number") values[s] = value;
    else histograms[s] = value;
  }
  if (!present.includes(1)) return undefined;
  const { labels, dropName } = column;
  return withHistograms({ labels, values, present: normalizePresent(present), dropName }, histograms);
}

/**
 * What functions and operators that make another metric do to names: note that they go, or drop them at once; `merge` joins
 * what becomes equal. Errors: ExecutionError when series become equal and overlap.
 */
export function dropNames(columns: readonly Column[], delayed: boolean, merge = mergeSameLabels): readonly Column[] {
  if (delayed) return columns.map((column) => (column.dropName ? column : { ...column, dropName: true }));
  const named = columns.map((column) => {
    const labels = dropMetadata(column.labels);
    return labels === column.labels ? column : { ...column, labels };
  });
  return named.every((column, i) => column === columns[i]) ? columns : merge(named);
}
