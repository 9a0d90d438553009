// libs/promql/fold-duration.ts: duration expressions (`[5m*2]`, `offset (1m + step())`) to milliseconds.
import { InternalError, InvalidError } from "../model/index.ts";
import type { Duration, Expr } from "./ast.ts";
import { DURATION_SECONDS_MAX } from "./durations.ts";
import { maxGo, minGo, power } from "./operators.ts";

/** What step() and range() mean in a query, in ms; both 0 in an instant query. */
export interface DurationScope {
  readonly stepMs: number;
  readonly rangeMs: number;
}

/**
 * The duration in whole ms. Errors: InvalidError, with byte positions as Prometheus writes them, for results that are
 * not finite, out of range, or not positive where `signed` is false.
 */
export function foldDuration(duration: Duration, signed: boolean, scope: DurationScope): number {
  const { expr } = duration;
  if (expr === undefined || !Number.isNaN(duration.ms)) return duration.ms;
  const seconds = evaluate(expr, scope);
  const at = `${expr.pos.start}:${expr.pos.end}`;
  if (!Number.isFinite(seconds)) throw new InvalidError(`${at}: duration is NaN or infinite`);
  if (seconds <= 0 && !signed) throw new InvalidError(`${at}: duration must be greater than 0`);
  if (seconds > DURATION_SECONDS_MAX || seconds < -DURATION_SECONDS_MAX)
    throw new InvalidError(`${at}: duration is out of range`);
  return Math.trunc(seconds * 1000);
}

function evaluate(expr: Expr, scope: DurationScope): number {
  switch (expr.kind) {
    case "number":
      return expr.value;
    case "paren":
      return evaluate(expr.expr, scope);
    case "unary":
      return expr.op === "-" ? -evaluate(expr.expr, scope) : evaluate(expr.expr, scope);
    case "call":
      return evaluateCall(expr.func, expr.args, scope);
    case "binary":
      return evaluateBinary(expr, scope);
    default:
      throw new InternalError(`cannot fold duration: got ${expr.kind}; want an arithmetic expression`);
  }
}

function evaluateCall(func: string, args: readonly Expr[], scope: DurationScope): number {
  if (func === "step") return scope.stepMs / 1000;
  if (func === "range") return scope.rangeMs / 1000;
  const [a, b] = args.map((arg) => evaluate(arg, scope)) as [number, number];
  return func === "min_of" ? minGo(a, b) : maxGo(a, b);
}

function evaluateBinary(expr: Extract<Expr, { kind: "binary" }>, scope: DurationScope): number {
  const a = evaluate(expr.left, scope);
  const b = evaluate(expr.right, scope);
  const at = `${expr.pos.start}:${expr.pos.end}`;
  switch (expr.op) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      if (b === 0) throw new InvalidError(`${at}: division by zero`);
      return a / b;
    case "%":
      if (b === 0) throw new InvalidError(`${at}: modulo by zero`);
      return a % b;
    case "^":
      return power(a, b);
    default:
      throw new InternalError(`cannot fold duration: got operator ${expr.op}; want an arithmetic one`);
  }
}
