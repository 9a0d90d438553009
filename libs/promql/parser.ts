// libs/promql/parser.ts: PromQL text to syntax tree.
// A precedence-climbing parser of the grammar of Prometheus 3.14. It stops at the first error, which is the one that
// Prometheus reports; its text and position are Prometheus' own. Recursion is bounded by NESTING_MAX, chains of
// operators are loops, so that time is linear in the text and the call stack is safe.
import type { Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, VectorMatching } from "./ast.ts";
import { parseNumberLiteral } from "./duration-expressions.ts";
import { isValidLabelName, readString } from "./literals.ts";
import { ALL_OPTIONS, type ParserOptions, QUERY_LENGTH_MAX } from "./options.ts";
import { ParseError } from "./parse-error.ts";
import { quoteString } from "./quote.ts";
import { parseModifiers, parseSelector } from "./selectors.ts";
import { AGGREGATE_PARAMETERS, EXPERIMENTAL_AGGREGATES, SIGNATURES } from "./signatures.ts";
import { type Draft, type Expectation, TokenStream } from "./token-stream.ts";
import {
  AGGREGATOR_TYPES,
  EXPRESSION_START_TYPES,
  LABEL_NAME_TYPES,
  METRIC_NAME_TYPES,
  TIME_WORDS,
  type Token,
  type TokenType,
} from "./tokens.ts";
import { checkTypes } from "./typecheck.ts";

/** Binary operators by strength. */
const PRECEDENCE: ReadonlyMap<TokenType, number> = new Map(
  (
    [
      ["or"],
      ["and", "unless"],
      ["==", "!=", "<", "<=", ">", ">=", "</", ">/"],
      ["+", "-"],
      ["*", "/", "%", "atan2"],
      ["^"],
    ] as TokenType[][]
  ).flatMap((operators, level) => operators.map((operator): [TokenType, number] => [operator, level])),
);
/** `^` binds stronger than a sign, every other operator weaker or equally. */
const POWER = 5;

const CALLABLE_TYPES: ReadonlySet<TokenType> = new Set<TokenType>(["identifier", ...TIME_WORDS]);

const GROUPING: Expectation = { where: "grouping opts", what: '"("' };
const GROUPING_LABEL: Expectation = { where: "grouping opts", what: "label" };
const GROUPING_END: Expectation = { where: "grouping opts", what: '"," or ")"' };

/**
 * Parses and type-checks a query. Everything the options allow is accepted; without options, the whole language.
 * Errors: ParseError (status 400) with Prometheus' text, also for queries longer than QUERY_LENGTH_MAX bytes or nested
 * deeper than NESTING_MAX.
 */
export function parseExpr(text: string, options: ParserOptions = ALL_OPTIONS): Expr {
  requireLength(text);
  const stream = new TokenStream(text, options);
  if (stream.type() === "end of input") stream.fail({ start: 0, end: 0 }, "no expression found in input");
  const expr = parseOperation(stream, 0);
  stream.expect("end of input");
  checkTypes(expr, text, stream.emptySelectors);
  return expr;
}

/** Parses one vector selector without modifiers, as `match[]` parameters carry them. Errors: ParseError. */
export function parseMetricSelector(text: string): Expr & { readonly kind: "selector" } {
  requireLength(text);
  const stream = new TokenStream(text, ALL_OPTIONS);
  const type = stream.type();
  if (type !== "{" && !METRIC_NAME_TYPES.has(type)) return stream.unexpected();
  const selector = parseSelector(stream, type === "{" ? undefined : stream.next());
  stream.expect("end of input");
  return selector;
}

function requireLength(text: string): void {
  if (text.length * 3 <= QUERY_LENGTH_MAX) return;
  const length = Buffer.byteLength(text);
  if (length <= QUERY_LENGTH_MAX) return;
  const reason = `cannot parse query: got ${length} bytes; want at most ${QUERY_LENGTH_MAX}`;
  throw new ParseError(text, { start: 0, end: 0 }, reason);
}

/** Operands joined by operators of at least the given precedence. */
function parseOperation(stream: TokenStream, precedenceMin: number): Expr {
  stream.descend();
  let left = parseSigned(stream);
  for (;;) {
    const type = stream.type();
    const precedence = PRECEDENCE.get(type);
    if (precedence === undefined || precedence < precedenceMin) break;
    stream.next();
    const { bool, matching } = parseBinaryModifiers(stream);
    const right = parseOperation(stream, type === "^" ? precedence : precedence + 1);
    const pos = { start: left.pos.start, end: right.pos.end };
    const filled = matching.fillLeft !== undefined || matching.fillRight !== undefined;
    if (filled && !stream.options.fillModifiers) {
      stream.fail(pos, "binop fill modifiers are experimental and not enabled");
    }
    left = { kind: "binary", pos, op: type as BinaryOp, left, right, bool, matching } satisfies Binary;
  }
  stream.ascend();
  return left;
}

function parseSigned(stream: TokenStream): Expr {
  const type = stream.type();
  if (type !== "+" && type !== "-") return parseModifiers(stream, parseOperand(stream));
  const { start } = stream.position(stream.next());
  const operand = parseOperation(stream, POWER);
  const pos = { start, end: operand.pos.end };
  if (operand.kind !== "number") return { kind: "unary", pos, op: type, expr: operand };
  return { ...operand, pos, value: type === "-" ? -operand.value : operand.value };
}

function parseOperand(stream: TokenStream): Expr {
  const type = stream.type();
  if (type === "number" || type === "duration") return parseNumberLiteral(stream);
  if (type === "string") {
    const token = stream.next();
    return { kind: "string", pos: stream.position(token), value: readString(stream.written(token)) };
  }
  if (type === "(") {
    const open = stream.next();
    const expr = parseOperation(stream, 0);
    return { kind: "paren", pos: stream.span(open, stream.expect(")")), expr };
  }
  if (type === "{") return parseSelector(stream);
  if (!METRIC_NAME_TYPES.has(type)) return stream.unexpected();
  const word = stream.next();
  // What a word is shows in the token behind it: only there does a function or an aggregation differ from a metric.
  const following = stream.type();
  if (following === "(" && CALLABLE_TYPES.has(type)) return parseCall(stream, word);
  if (AGGREGATOR_TYPES.has(type) && (following === "(" || following === "by" || following === "without")) {
    return parseAggregate(stream, word);
  }
  return parseSelector(stream, word);
}

function parseCall(stream: TokenStream, word: Token): Call {
  const func = stream.written(word);
  const args = parseArguments(stream);
  const signature = SIGNATURES.get(func);
  if (signature === undefined) {
    return stream.fail(stream.position(word), `unknown function with name ${quoteString(func)}`);
  }
  if (signature.experimental && !stream.options.experimentalFunctions) {
    stream.fail(stream.position(word), `function ${quoteString(func)} is not enabled`);
  }
  return { kind: "call", pos: { start: stream.position(word).start, end: stream.takenEnd() }, func, args };
}

/** `(a, b)`, the parentheses included. */
function parseArguments(stream: TokenStream): Expr[] {
  const args: Expr[] = [];
  stream.expect("(");
  if (stream.take(")") !== undefined) return args;
  args.push(parseOperation(stream, 0));
  while (stream.type() === ",") {
    const comma = stream.next();
    if (!EXPRESSION_START_TYPES.has(stream.type())) {
      stream.fail(stream.position(comma), "trailing commas not allowed in function call args");
    }
    args.push(parseOperation(stream, 0));
  }
  stream.expect(")");
  return args;
}

function parseAggregate(stream: TokenStream, word: Token): Aggregate {
  stream.enterAggregation();
  let without = false;
  let grouping: string[] = [];
  const parseGrouping = () => {
    without = stream.next().type === "without";
    grouping = parseLabelList(stream);
  };
  const before = stream.type() !== "(";
  if (before) parseGrouping();
  const args = parseArguments(stream);
  let end = stream.takenEnd();
  if (!before && (stream.type() === "by" || stream.type() === "without")) {
    parseGrouping();
    end = stream.takenEnd();
  }
  stream.leaveAggregation();
  const pos = { start: stream.position(word).start, end };
  const op = stream.written(word).toLowerCase() as AggregateOp;
  if (args.length === 0) stream.fail(pos, "no arguments for aggregate expression provided");
  if (EXPERIMENTAL_AGGREGATES.has(op) && !stream.options.experimentalFunctions) {
    const flag = "--enable-feature=promql-experimental-functions";
    stream.fail(pos, `${op}() is experimental and must be enabled with ${flag}`);
  }
  const wanted = AGGREGATE_PARAMETERS.has(op) ? 2 : 1;
  if (args.length !== wanted) {
    const counts = `expected ${wanted}, got ${args.length}`;
    stream.fail(pos, `wrong number of arguments for aggregate expression provided, ${counts}`);
  }
  const param = wanted === 2 ? { param: args[0]! } : {};
  return { kind: "aggregate", pos, op, expr: args[wanted - 1]!, ...param, without, grouping };
}

/** `(a, "b.c", by,)`: label names in parentheses. */
function parseLabelList(stream: TokenStream): string[] {
  const names: string[] = [];
  stream.expect("(", GROUPING);
  if (stream.take(")") !== undefined) return names;
  for (;;) {
    names.push(parseLabelName(stream));
    if (stream.take(",") === undefined) break;
    if (stream.type() === ")") break;
  }
  stream.expect(")", GROUPING_END);
  return names;
}

function parseLabelName(stream: TokenStream): string {
  const type = stream.type();
  if (type !== "string")
    return LABEL_NAME_TYPES.has(type) ? stream.written(stream.next()) : stream.unexpected(GROUPING_LABEL);
  const token = stream.next();
  const name = readString(stream.written(token));
  if (!isValidLabelName(name)) {
    stream.fail(stream.position(token), `invalid label name for grouping: ${quoteString(name)}`);
  }
  return name;
}

/** What may stand between a binary operator and its right operand: bool, on, ignoring, group_left, group_right, fill. */
function parseBinaryModifiers(stream: TokenStream): { bool: boolean; matching: VectorMatching } {
  const matching: Draft<VectorMatching> = { card: "one-to-one", on: false, labels: [], include: [] };
  const bool = stream.take("bool") !== undefined;
  const type = stream.type();
  if (type === "on" || type === "ignoring") {
    stream.next();
    matching.on = type === "on";
    matching.labels = parseLabelList(stream);
    const side = stream.type();
    if (side === "group_left" || side === "group_right") {
      stream.next();
      matching.card = side === "group_left" ? "many-to-one" : "one-to-many";
      if (stream.type() === "(") matching.include = parseLabelList(stream);
      else if (!EXPRESSION_START_TYPES.has(stream.type())) stream.unexpected(GROUPING);
    }
  }
  parseFill(stream, matching);
  return { bool, matching };
}

function parseFill(stream: TokenStream, matching: Draft<VectorMatching>): void {
  const type = stream.type();
  if (type === "fill") {
    stream.next();
    const value = parseFillValue(stream);
    matching.fillLeft = value;
    matching.fillRight = value;
  } else if (type === "fill_left") {
    stream.next();
    matching.fillLeft = parseFillValue(stream);
    if (stream.take("fill_right") !== undefined) matching.fillRight = parseFillValue(stream);
  } else if (type === "fill_right") {
    stream.next();
    matching.fillRight = parseFillValue(stream);
    if (stream.take("fill_left") !== undefined) matching.fillLeft = parseFillValue(stream);
  }
}

function parseFillValue(stream: TokenStream): number {
  stream.expect("(");
  const sign = stream.take("-") ?? stream.take("+");
  if (stream.type() !== "number" && stream.type() !== "duration") return stream.unexpected();
  const { value } = parseNumberLiteral(stream);
  stream.expect(")");
  return sign?.type === "-" ? -value : value;
}
