// libs/promql/operators.ts: arithmetic and comparison of two columns of numbers, element by element.
// HOT: bench test/bench/operators.bench.ts, twin test/unit/promql/operators-twin.test.ts. Scalars are columns too, so one
// loop serves scalars, vectors and their mixtures.
import { ExecutionError, InternalError } from "../model/index.ts";
import type { BinaryOp } from "./ast.ts";

const COMPARISONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);

export function isComparison(op: BinaryOp): boolean {
  return COMPARISONS.has(op);
}

export function isSetOperator(op: BinaryOp): boolean {
  return op === "and" || op === "or" || op === "unless";
}

/** Histogram trims; on floats they have no result. */
export function isTrim(op: BinaryOp): boolean {
  return op === "</" || op === ">/";
}

/** Go's math.Pow: 1^y and (-1)^±Inf are 1, where JavaScript says NaN. */
export function power(x: number, y: number): number {
  if (x === 1) return 1;
  if (x === -1 && (y === Infinity || y === -Infinity)) return 1;
  return x ** y;
}

/** Go's math.Max: +Inf wins even over NaN. */
export function maxGo(a: number, b: number): number {
  return a === Infinity || b === Infinity ? Infinity : Math.max(a, b);
}

/** Go's math.Min: -Inf wins even over NaN. */
export function minGo(a: number, b: number): number {
  return a === -Infinity || b === -Infinity ? -Infinity : Math.min(a, b);
}

/**
 * a op b for every step of an arithmetic operator. Returns `out`, which is as long. Errors: ExecutionError with
 * Prometheus' text for trims, which numbers do not know.
 */
export function arithmetic(
  op: BinaryOp,
  a: Float64Array,
  b: Float64Array,
  out: Float64Array = new Float64Array(a.length),
): Float64Array {
  const n = a.length;
  switch (op) {
    case "+":
      for (let s = 0; s < n; s++) out[s] = a[s]! + b[s]!;
      return out;
    case "-":
      for (let s = 0; s < n; s++) out[s] = a[s]! - b[s]!;
      return out;
    case "*":
      for (let s = 0; s < n; s++) out[s] = a[s]! * b[s]!;
      return out;
    case "/":
      for (let s = 0; s < n; s++) out[s] = a[s]! / b[s]!;
      return out;
    case "%":
      for (let s = 0; s < n; s++) out[s] = a[s]! % b[s]!;
      return out;
    case "^":
      for (let s = 0; s < n; s++) out[s] = power(a[s]!, b[s]!);
      return out;
    case "atan2":
      for (let s = 0; s < n; s++) out[s] = Math.atan2(a[s]!, b[s]!);
      return out;
    default:
      throw new ExecutionError(`operator ${JSON.stringify(op)} not allowed for Scalar operations`);
  }
}

/** Whether a op b holds at every step of a comparison operator: 1 or 0. Returns a new column. */
export function compare(op: BinaryOp, a: Float64Array, b: Float64Array): Uint8Array {
  const n = a.length;
  const out = new Uint8Array(n);
  switch (op) {
    case "==":
      for (let s = 0; s < n; s++) out[s] = a[s]! === b[s]! ? 1 : 0;
      return out;
    case "!=":
      for (let s = 0; s < n; s++) out[s] = a[s]! !== b[s]! ? 1 : 0;
      return out;
    case "<":
      for (let s = 0; s < n; s++) out[s] = a[s]! < b[s]! ? 1 : 0;
      return out;
    case "<=":
      for (let s = 0; s < n; s++) out[s] = a[s]! <= b[s]! ? 1 : 0;
      return out;
    case ">":
      for (let s = 0; s < n; s++) out[s] = a[s]! > b[s]! ? 1 : 0;
      return out;
    case ">=":
      for (let s = 0; s < n; s++) out[s] = a[s]! >= b[s]! ? 1 : 0;
      return out;
    default:
      throw new InternalError(`cannot compute operator: got ${JSON.stringify(op)}; want a comparison`);
  }
}

/** 0 and 1 as numbers, for `bool`. */
export function asNumbers(flags: Uint8Array): Float64Array {
  return Float64Array.from(flags);
}

/** One element of an arithmetic or comparison operator between scalars. */
export function scalarResult(op: BinaryOp, a: number, b: number): number {
  const x = new Float64Array([a]);
  const y = new Float64Array([b]);
  return isComparison(op) ? compare(op, x, y)[0]! : arithmetic(op, x, y)[0]!;
}
