// libs/promql/duration-expressions.ts: durations in ranges, steps and offsets: literals, and arithmetic over them.
// Invariant: what these functions answer consists of number, unary, binary and paren nodes and of calls of step, range,
// min_of and max_of; a duration that is a plain literal is a number node (seconds).
// Positions follow Prometheus: parentheses do not count, min_of and max_of span from their first to their last argument.
import type { BinaryOp, Call, Duration, Expr, NumberLiteral, Position } from "./ast.ts";
import { DURATION_SECONDS_MAX, readDuration, secondsToMs } from "./durations.ts";
import { readNumber } from "./literals.ts";
import { NESTING_MAX } from "./options.ts";
import type { Expectation, TokenStream } from "./token-stream.ts";
import type { TokenType } from "./tokens.ts";

const PRECEDENCE: ReadonlyMap<TokenType, number> = new Map<TokenType, number>([
  ["+", 1],
  ["-", 1],
  ["*", 2],
  ["/", 2],
  ["%", 2],
  ["^", 3],
]);
const POWER = 3;

const DURATION_START_TYPES: ReadonlySet<TokenType> = new Set<TokenType>([
  "number",
  "duration",
  "+",
  "-",
  "(",
  "step",
  "range",
  "min_of",
  "max_of",
]);

export function startsDuration(type: TokenType): boolean {
  return DURATION_START_TYPES.has(type);
}

/** A number or duration token as seconds. */
export function parseNumberLiteral(stream: TokenStream): NumberLiteral {
  const token = stream.next();
  const pos = stream.position(token);
  const text = stream.written(token);
  if (token.type === "number") {
    const value = readNumber(text);
    if (typeof value === "string") return stream.fail(pos, value);
    return { kind: "number", pos, value, duration: false };
  }
  const ms = readDuration(text);
  if (typeof ms === "string") return stream.fail(pos, ms);
  return { kind: "number", pos, value: Math.floor(ms / 1000) + (ms % 1000) / 1000, duration: true };
}

/** A range or step inside brackets, which has to be positive when it is known. */
export function parsePositiveDuration(stream: TokenStream, expectation: Expectation): Expr {
  const expr = parseOperation(stream, 0, expectation);
  // Whether an operator follows has to be known before the value can be judged.
  stream.peek();
  if (expr.kind === "number" && expr.value <= 0) stream.fail(expr.pos, "duration must be greater than 0");
  return expr;
}

/**
 * The duration behind `offset`. A literal, a call or a signed operand ends it, so that `x offset 5m + y` adds y to x;
 * only behind a parenthesis (or two signs) does arithmetic continue: `x offset (5m) + 1m` is six minutes.
 */
export function parseOffsetDuration(stream: TokenStream, expectation: Expectation): Expr {
  const type = stream.type();
  if (type === "+" || type === "-") {
    const sign = takeSign(stream);
    const following = stream.type();
    if (following === "number" || following === "duration") return applySign(stream, sign, parseNumberLiteral(stream));
    if (following !== "+" && following !== "-") {
      const operand = parseOperand(stream, expectation);
      // Only here does Prometheus keep a plus, and only before a call.
      if (operand.kind !== "call") return applySign(stream, sign, operand);
      return { kind: "unary", pos: { start: sign.pos.start, end: operand.pos.end }, op: sign.op, expr: operand };
    }
    const inner = parseOperation(stream, POWER, expectation);
    return continueOperation(stream, applySign(stream, sign, inner), 0, expectation);
  }
  const first = parseOperand(stream, expectation);
  return type === "(" ? continueOperation(stream, first, 0, expectation) : first;
}

/** The AST's form of a duration: its ms, or NaN and the expression while start, end and step are not known. */
export function toDuration(expr: Expr): Duration {
  if (expr.kind !== "number") return { ms: Number.NaN, expr };
  // In Go NaN becomes the smallest integer of 64 bits: an offset of that many nanoseconds.
  if (Number.isNaN(expr.value)) return { ms: -Math.trunc(2 ** 63 / 1e6), expr };
  const { ms, exact } = secondsToMs(expr.value);
  return exact ? { ms } : { ms, expr };
}

interface Sign {
  readonly op: "+" | "-";
  readonly pos: Position;
}

function takeSign(stream: TokenStream): Sign {
  const token = stream.next();
  return { op: token.type === "-" ? "-" : "+", pos: stream.position(token) };
}

/** Operators of at least the given precedence; `^` is right-associative, all others left. */
function parseOperation(stream: TokenStream, precedenceMin: number, expectation: Expectation): Expr {
  stream.descend();
  const type = stream.type();
  let left: Expr;
  if (type === "+" || type === "-") {
    const sign = takeSign(stream);
    left = applySign(stream, sign, parseOperation(stream, POWER, expectation));
  } else left = parseOperand(stream, expectation);
  left = continueOperation(stream, left, precedenceMin, expectation);
  stream.ascend();
  return left;
}

function continueOperation(stream: TokenStream, first: Expr, precedenceMin: number, expectation: Expectation): Expr {
  let left = first;
  for (let terms = 1; ; terms++) {
    const operator = stream.peek();
    const precedence = PRECEDENCE.get(operator.type);
    if (precedence === undefined || precedence < precedenceMin) return left;
    if (terms > NESTING_MAX) {
      const reason = `cannot parse duration: got more than ${NESTING_MAX} operators; want at most ${NESTING_MAX}`;
      stream.fail(stream.position(operator), reason);
    }
    stream.next();
    const right = parseOperation(stream, operator.type === "^" ? precedence : precedence + 1, expectation);
    requireEnabled(stream, left);
    if (right.kind === "number" && right.value === 0) {
      if (operator.type === "/") stream.fail(stream.position(operator), "division by zero");
      if (operator.type === "%") stream.fail(stream.position(operator), "modulo by zero");
    }
    const pos = { start: left.pos.start, end: right.pos.end };
    left = { kind: "binary", pos, op: operator.type as BinaryOp, left, right, bool: false };
  }
}

/** A literal, a call, or an operation in parentheses. */
function parseOperand(stream: TokenStream, expectation: Expectation): Expr {
  const type = stream.type();
  switch (type) {
    case "number":
    case "duration": {
      const literal = parseNumberLiteral(stream);
      requireInRange(stream, literal.value, literal.pos);
      return literal;
    }
    case "step":
    case "range": {
      const name = stream.next();
      stream.expect("(", expectation);
      const call = callOf(type, [], stream.span(name, stream.expect(")", expectation)));
      requireEnabled(stream, call);
      return call;
    }
    case "min_of":
    case "max_of": {
      stream.next();
      stream.expect("(", expectation);
      const first = parseOperation(stream, 0, expectation);
      stream.expect(",", expectation);
      const second = parseOperation(stream, 0, expectation);
      stream.expect(")", expectation);
      const call = callOf(type, [first, second], { start: first.pos.start, end: second.pos.end });
      requireEnabled(stream, call);
      return call;
    }
    case "(": {
      const open = stream.next();
      const expr = parseOperation(stream, 0, expectation);
      stream.expect(")", expectation);
      requireEnabled(stream, expr);
      // Parentheses in parentheses are one pair, as in Prometheus.
      if (expr.kind === "paren") return expr;
      const pos = expr.kind === "number" ? { start: stream.position(open).start, end: expr.pos.end } : expr.pos;
      return { kind: "paren", pos, expr };
    }
  }
  return stream.unexpected(expectation);
}

function callOf(func: string, args: readonly Expr[], pos: Position): Call {
  return { kind: "call", pos, func, args };
}

/** A minus is folded into a literal; a plus leaves every operand as it is. */
function applySign(stream: TokenStream, sign: Sign, operand: Expr): Expr {
  const pos = { start: sign.pos.start, end: operand.pos.end };
  if (operand.kind !== "number") return sign.op === "-" ? { kind: "unary", pos, op: "-", expr: operand } : operand;
  const value = sign.op === "-" ? -operand.value : operand.value;
  requireInRange(stream, value, sign.pos);
  return { ...operand, pos, value };
}

function requireInRange(stream: TokenStream, seconds: number, pos: Position): void {
  // Not so NaN, which only offsets can bring here.
  if (Math.abs(seconds) > DURATION_SECONDS_MAX) stream.fail(pos, "duration out of range");
}

function requireEnabled(stream: TokenStream, expr: Expr): void {
  if (!stream.options.durationExpressions) stream.fail(expr.pos, "experimental duration expression is not enabled");
}
