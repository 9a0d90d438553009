// libs/promql/selectors.ts: matchers in braces, and what may follow a selector: ranges, subqueries, offset, @, extensions.
// A modifier completes the node it follows instead of wrapping it, as in Prometheus: the order of the modifiers is free.
import { type Matcher, type MatchType, METRIC_NAME } from "../model/index.ts";
import type { AtModifier, Duration, Expr, MatrixSelector, Subquery, VectorSelector } from "./ast.ts";
import {
  parseNumberLiteral,
  parseOffsetDuration,
  parsePositiveDuration,
  startsDuration,
  toDuration,
} from "./duration-expressions.ts";
import { readString } from "./literals.ts";
import { formatFixed } from "./quote.ts";
import type { Draft, Expectation, TokenStream } from "./token-stream.ts";
import type { Token } from "./tokens.ts";

const WHERE = "label matching";
const OFFSET: Expectation = { where: "offset", what: "number, duration, step(), or range()" };
const AT: Expectation = { where: "@", what: "timestamp" };
const RANGE: Expectation = { where: "subquery or range selector", what: OFFSET.what };
const RANGE_END: Expectation = { where: "subquery or range", what: '":" or "]"' };
const STEP: Expectation = { where: "subquery selector", what: 'number, duration, step(), range(), or "]"' };
const STEP_END: Expectation = { where: "subquery selector", what: '"]"' };
const INT64_LIMIT = 2 ** 63;

/** A selector that begins at the next token: `{…}`, or behind a metric name that was taken already. */
export function parseSelector(stream: TokenStream, name?: Token): VectorSelector {
  const list: MatcherList = { matchers: [], acceptEmpty: true };
  const first = name ?? stream.peek();
  let last = first;
  if (stream.type() === "{") last = parseMatchers(stream, list);
  const { matchers } = list;
  const written = name === undefined ? "" : stream.written(name);
  if (written !== "") matchers.push({ type: "=", name: METRIC_NAME, value: written });
  const pos = stream.span(first, last);
  const selector: VectorSelector = { kind: "selector", pos, name: written, matchers, anchored: false, smoothed: false };
  if (written === "" && list.acceptEmpty) stream.emptySelectors.add(selector);
  return selector;
}

interface MatcherList {
  readonly matchers: Matcher[];
  /** Whether every matcher accepts a series that lacks its label. */
  acceptEmpty: boolean;
}

/** `{a="b", "c.d"=~"e", "metric.name"}`; answers the closing brace. */
function parseMatchers(stream: TokenStream, list: MatcherList): Token {
  stream.next();
  if (stream.type() === "}") return stream.next();
  for (;;) {
    list.matchers.push(parseMatcher(stream, list));
    if (stream.take(",") === undefined) break;
    if (stream.type() === "}") break;
  }
  return stream.expect("}", { where: WHERE, what: '"," or "}"' });
}

function parseMatcher(stream: TokenStream, list: MatcherList): Matcher {
  const label = stream.peek();
  if (label.type !== "identifier" && label.type !== "string") {
    return stream.unexpected({ where: WHERE, what: 'identifier or "}"' });
  }
  stream.next();
  const quoted = label.type === "string";
  const name = quoted ? readString(stream.written(label)) : stream.written(label);
  const type = stream.type();
  if (type !== "=" && type !== "!=" && type !== "=~" && type !== "!~") {
    if (!quoted) return stream.unexpected({ where: WHERE, what: "label matching operator" });
    list.acceptEmpty &&= name === "";
    return { type: "=", name: METRIC_NAME, value: name };
  }
  stream.next();
  const token = stream.expect("string", { where: WHERE, what: "string" });
  const value = readString(stream.written(token));
  const regex = type === "=~" || type === "!~";
  const emptyMatches = regex ? stream.checkRegex(value, stream.span(label, token)) : value === "";
  list.acceptEmpty &&= emptyMatches === (type === "=" || type === "=~");
  return { type: type satisfies MatchType, name, value };
}

/** Everything that may follow an operand. */
export function parseModifiers(stream: TokenStream, operand: Expr): Expr {
  let expr = operand;
  for (;;) {
    switch (stream.type()) {
      case "[":
        expr = parseBrackets(stream, expr);
        break;
      case "offset":
        stream.next();
        applyOffset(stream, expr, parseOffsetDuration(stream, OFFSET));
        break;
      case "@":
        stream.next();
        applyAt(stream, expr);
        break;
      case "anchored":
      case "smoothed":
        applyExtension(stream, expr, stream.next().type as "anchored" | "smoothed");
        break;
      default:
        return expr;
    }
  }
}

function parseBrackets(stream: TokenStream, expr: Expr): MatrixSelector | Subquery {
  const open = stream.next();
  if (!startsDuration(stream.type())) stream.unexpected(RANGE);
  const range = parsePositiveDuration(stream, RANGE);
  const close = stream.take("]");
  if (close === undefined) return parseSubquery(stream, expr, toDuration(range));
  const selector = requireBareSelector(stream, expr, open, close);
  const pos = { start: expr.pos.start, end: stream.takenEnd() };
  return { kind: "matrix", pos, selector, range: toDuration(range) };
}

function requireBareSelector(stream: TokenStream, expr: Expr, open: Token, close: Token): VectorSelector {
  if (expr.kind !== "selector")
    return stream.fail(stream.span(open, close), "ranges only allowed for vector selectors");
  if (expr.offset !== undefined) stream.fail(stream.span(open, close), "no offset modifiers allowed before range");
  if (expr.at !== undefined) stream.fail(stream.span(open, close), "no @ modifiers allowed before range");
  return expr;
}

function parseSubquery(stream: TokenStream, expr: Expr, range: Duration): Subquery {
  stream.expect(":", RANGE_END);
  let step: Duration | undefined;
  if (stream.type() !== "]") {
    if (!startsDuration(stream.type())) stream.unexpected(STEP);
    const duration = toDuration(parsePositiveDuration(stream, STEP));
    // A step below a nanosecond is none: the engine's default applies.
    if (duration.ms !== 0 || duration.expr?.kind !== "number" || duration.expr.value >= 5e-10) step = duration;
  }
  stream.expect("]", STEP_END);
  const pos = { start: expr.pos.start, end: stream.takenEnd() };
  return { kind: "subquery", pos, expr: firstWrongSubquery(expr), range, ...(step === undefined ? {} : { step }) };
}

/**
 * A subquery directly over a subquery is never valid, and the innermost such pair is what gets reported. Chains of
 * them therefore need not be kept, and cannot make a deep tree.
 */
function firstWrongSubquery(expr: Expr): Expr {
  return expr.kind === "subquery" && expr.expr.kind === "subquery" ? expr.expr : expr;
}

/** The node that carries offset and @ of an operand: the selector itself, also inside a matrix, or the subquery. */
function requireCarrier(stream: TokenStream, expr: Expr, modifier: string): Draft<VectorSelector> | Draft<Subquery> {
  if (expr.kind === "matrix") return expr.selector;
  if (expr.kind === "selector" || expr.kind === "subquery") return expr;
  const carriers = "an instant vector selector or range vector selector or a subquery";
  return stream.fail(expr.pos, `${modifier} modifier must be preceded by ${carriers}`);
}

function applyOffset(stream: TokenStream, expr: Expr, offset: Expr): void {
  const carrier = requireCarrier(stream, expr, "offset");
  if (carrier.offset !== undefined) stream.fail(expr.pos, "offset may not be set multiple times");
  const duration = toDuration(offset);
  // An offset of zero is like none at all, and may be followed by another.
  if (duration.ms !== 0 || duration.expr !== undefined) carrier.offset = duration;
  extend(stream, expr);
}

function applyAt(stream: TokenStream, expr: Expr): void {
  const at = parseAt(stream, expr);
  const carrier = requireCarrier(stream, expr, "@");
  if (carrier.at !== undefined) stream.fail(expr.pos, "@ <timestamp> may not be set multiple times");
  carrier.at = at;
  extend(stream, expr);
}

function parseAt(stream: TokenStream, expr: Expr): AtModifier {
  const type = stream.type();
  if (type === "start" || type === "end") {
    stream.next();
    stream.expect("(", AT);
    stream.expect(")", AT);
    return { kind: type };
  }
  const signed = type === "+" || type === "-";
  if (signed) stream.next();
  if (stream.type() !== "number" && stream.type() !== "duration") return stream.unexpected(AT);
  const { value } = parseNumberLiteral(stream);
  const seconds = type === "-" ? -value : value;
  if (!(Math.abs(seconds) < INT64_LIMIT)) {
    stream.fail(expr.pos, `timestamp out of bounds for @ modifier: ${formatFixed(seconds)}`);
  }
  const magnitude = Math.round(Math.abs(seconds) * 1000);
  return { kind: "time", ms: seconds < 0 && magnitude !== 0 ? -magnitude : magnitude };
}

function applyExtension(stream: TokenStream, expr: Expr, kind: "anchored" | "smoothed"): void {
  if (!stream.options.extendedSelectors) stream.fail(expr.pos, `${kind} modifier is experimental and not enabled`);
  if (expr.kind === "subquery") stream.fail(expr.pos, `${kind} modifier is not supported for subqueries`);
  const selector: Draft<Expr> = expr.kind === "matrix" ? expr.selector : expr;
  if (selector.kind !== "selector") stream.fail(expr.pos, `${kind} modifier not implemented`);
  else {
    selector[kind] = true;
    if (selector.anchored && selector.smoothed) {
      stream.fail(expr.pos, "anchored and smoothed modifiers cannot be used together");
    }
  }
}

function extend(stream: TokenStream, expr: Draft<Expr>): void {
  expr.pos = { start: expr.pos.start, end: stream.takenEnd() };
}
