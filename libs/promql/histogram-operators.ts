// libs/promql/histogram-operators.ts: arithmetic, comparison and trims where either operand may be a histogram.
// Only some pairs of kinds have a result; of the others, as of odd ones that have, an annotation tells.
import type { FloatHistogram } from "../model/index.ts";
import { HINT_GAUGE } from "../model/index.ts";
import type { Annotations } from "./annotations.ts";
import type { BinaryOp, Position } from "./ast.ts";
import { combine, compact, divide, sameHistogram, scale, withHint } from "./histogram-arithmetic.ts";
import { trim } from "./histogram-trim.ts";
import { collidedText, reconciledText } from "./leaf-notes.ts";
import { isComparison, isTrim, scalarResult } from "./operators.ts";

export type Element = number | FloatHistogram;

export interface ElementNote {
  readonly kind: "info" | "warning";
  readonly text: string;
}

/** The result for one pair of elements. */
export interface ElementResult {
  /** Undefined where the operands do not go together: then there is neither a result nor a 0 for `bool`. */
  readonly value: Element | undefined;
  /** Whether a comparison holds; true for everything else. */
  readonly keep: boolean;
  readonly note?: ElementNote;
}

const result = (value: Element): ElementResult => ({ value, keep: true });

/** Evaluates `a op b`. Comparisons answer their left operand. */
export function combineElements(op: BinaryOp, a: Element, b: Element): ElementResult {
  if (typeof a === "number" && typeof b === "number") {
    if (isTrim(op)) return incompatible(op, a, b);
    if (isComparison(op)) return { value: a, keep: scalarResult(op, a, b) === 1 };
    return result(scalarResult(op, a, b));
  }
  if (typeof a === "number") {
    return op === "*" ? result(compact(scale(b as FloatHistogram, a))) : incompatible(op, a, b);
  }
  if (typeof b === "number") {
    if (op === "*") return result(compact(scale(a, b)));
    if (op === "/") return result(compact(divide(a, b)));
    return isTrim(op) ? result(trim(a, b, op === "</")) : incompatible(op, a, b);
  }
  if (op === "+" || op === "-") return addOrSubtract(op, a, b);
  if (op === "==") return { value: a, keep: sameHistogram(a, b) };
  if (op === "!=") return { value: a, keep: !sameHistogram(a, b) };
  return incompatible(op, a, b);
}

function incompatible(op: BinaryOp, a: Element, b: Element): ElementResult {
  const kind = (element: Element) => (typeof element === "number" ? "float" : "histogram");
  const text = `incompatible sample types encountered for binary operator "${op}": ${kind(a)} ${op} ${kind(b)}`;
  return { value: undefined, keep: false, note: { kind: "info", text } };
}

function addOrSubtract(op: "+" | "-", a: FloatHistogram, b: FloatHistogram): ElementResult {
  const combined = combine(a, b, op === "+" ? 1 : -1);
  const during = op === "+" ? "addition" : "subtraction";
  if (combined === undefined) {
    const text = `incompatible bucket layout encountered for binary operator ${op}`;
    return { value: undefined, keep: false, note: { kind: "warning", text } };
  }
  if (combined.collided) {
    return { value: undefined, keep: false, note: { kind: "warning", text: collidedText(during) } };
  }
  const value = compact(op === "+" ? combined.histogram : withHint(combined.histogram, HINT_GAUGE));
  if (!combined.reconciled) return result(value);
  return { value, keep: true, note: { kind: "info", text: reconciledText(during) } };
}

/** Of all notes about one step only the last one is reported, in the order of the left operand's series. */
export class StepNotes {
  readonly #last = new Map<number, { readonly order: number; readonly note: ElementNote }>();

  add(step: number, order: number, note: ElementNote | undefined): void {
    if (note === undefined) return;
    const before = this.#last.get(step);
    if (before === undefined || before.order <= order) this.#last.set(step, { order, note });
  }

  report(notes: Annotations, pos: Position): void {
    for (const { note } of this.#last.values()) {
      if (note.kind === "info") notes.info(note.text, pos);
      else notes.warn(note.text, pos);
    }
  }
}
