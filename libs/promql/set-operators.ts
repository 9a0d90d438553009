// libs/promql/set-operators.ts: and, or, unless: many-to-many, decided by who is present at each step.
import type { VectorMatching } from "./ast.ts";
import { anyPresent, bothPresent, type Column, normalizePresent, presenceCopy } from "./column.ts";
import { SIGNATURE_POINTS, signatures, unionOf } from "./matching.ts";
import { type Steps, Stride } from "./stride.ts";

/** Evaluates `left op right`. Results keep their labels and values; only their presence changes. */
export function* combineSets(
  op: "and" | "or" | "unless",
  matching: VectorMatching,
  left: readonly Column[],
  right: readonly Column[],
  count: number,
): Steps<Column[]> {
  const signature = signatures(matching);
  if (op === "or") {
    const taken = yield* presenceBySignature(left, signature, count);
    return [...left, ...(yield* restrict(right, signature, taken, count, false))];
  }
  return yield* restrict(left, signature, yield* presenceBySignature(right, signature, count), count, op === "and");
}

/** For every signature the steps where any of its series is present. */
function* presenceBySignature(
  columns: readonly Column[],
  signature: (labels: Column["labels"]) => string,
  count: number,
): Steps<Map<string, Uint8Array>> {
  const groups = new Map<string, Column[]>();
  const stride = new Stride();
  for (const column of columns) {
    if (stride.isOver(SIGNATURE_POINTS)) yield;
    const key = signature(column.labels);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [column]);
    else group.push(column);
  }
  const out = new Map<string, Uint8Array>();
  for (const [key, group] of groups) {
    out.set(key, unionOf(group, count));
    if (stride.isOver(group.length * count)) yield;
  }
  return out;
}

/** The columns at the steps where their signature is in `others` (wanted), or is not (!wanted). */
function* restrict(
  columns: readonly Column[],
  signature: (labels: Column["labels"]) => string,
  others: Map<string, Uint8Array>,
  count: number,
  wanted: boolean,
): Steps<Column[]> {
  const out: Column[] = [];
  const stride = new Stride();
  for (const column of columns) {
    if (stride.isOver(SIGNATURE_POINTS + count)) yield;
    const other = others.get(signature(column.labels));
    if (other === undefined) {
      if (!wanted) out.push(column);
      continue;
    }
    let present: Uint8Array | null;
    if (wanted) {
      present = bothPresent(column.present, normalizePresent(other));
    } else {
      const mask = presenceCopy(column.present, count);
      for (let s = 0; s < count; s++) if (other[s] === 1) mask[s] = 0;
      present = normalizePresent(mask);
    }
    if (anyPresent(present)) out.push(present === column.present ? column : { ...column, present });
  }
  return out;
}
