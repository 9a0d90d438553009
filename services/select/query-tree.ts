// services/select/query-tree.ts: a syntax tree as the JSON of `parse_query`, key by key as Prometheus 3.14 writes it.
// Keys are sorted, as Go sorts those of maps. Written from a stack, so that no chain of operators is too long.
import type { Matcher } from "../../libs/model/index.ts";
import {
  type AtModifier,
  type Duration,
  type Expr,
  formatPlain,
  SIGNATURES,
  type VectorMatching,
  type VectorSelector,
} from "../../libs/promql/index.ts";
import { goJson } from "./json-text.ts";

/** Pieces are collected to about this many characters. */
const CHUNK_LENGTH = 1 << 16;

/** The tree in chunks of JSON text. */
export function* renderTree(root: Expr): Generator<string> {
  const pending: (string | Expr)[] = [root];
  let text = "";
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (typeof part !== "string") {
      for (const piece of partsOf(part).reverse()) pending.push(piece);
      continue;
    }
    text += part;
    if (text.length < CHUNK_LENGTH) continue;
    yield text;
    text = "";
  }
  yield text;
}

/** A node as text and the nodes between. */
function partsOf(expr: Expr): (string | Expr)[] {
  switch (expr.kind) {
    case "number":
      return [`{"type":"numberLiteral","val":"${formatPlain(expr.value)}"}`];
    case "string":
      return [`{"type":"stringLiteral","val":${quoted(expr.value)}}`];
    case "selector":
      return [`{${selectorFields(expr, "")},"type":"vectorSelector"}`];
    case "matrix":
      return [`{${selectorFields(expr.selector, `${rangeFields(expr.range)},`)},"type":"matrixSelector"}`];
    case "paren":
      return ['{"expr":', expr.expr, ',"type":"parenExpr"}'];
    case "unary":
      return ['{"expr":', expr.expr, `,"op":"${expr.op}","type":"unaryExpr"}`];
    case "subquery": {
      const { range, step, offset, at } = expr;
      const end = `,${offsetFields(offset)},${rangeFields(range)},${startOrEndField(at)},"step":${wholeMs(step)}`;
      return ['{"expr":', expr.expr, `${end},"stepExpr":${unfolded(step)},${timestampField(at)},"type":"subquery"}`];
    }
    case "call": {
      const { args, name, variadic, returns } = SIGNATURES.get(expr.func)!;
      const func = `{"argTypes":${JSON.stringify(args)},"name":"${name}","returnType":"${returns}","variadic":${variadic}}`;
      const between = expr.args.flatMap((arg, i) => (i === 0 ? [arg] : [",", arg]));
      return ['{"args":[', ...between, `],"func":${func},"type":"call"}`];
    }
    case "aggregate": {
      const grouping = goJson(expr.grouping);
      const start = `,"grouping":${grouping},"op":"${expr.op}","param":`;
      return ['{"expr":', expr.expr, start, expr.param ?? "null", `,"type":"aggregation","without":${expr.without}}`];
    }
    case "binary": {
      const between = `,"matching":${matchingJson(expr.matching)},"op":"${expr.op}","rhs":`;
      return [`{"bool":${expr.bool},"lhs":`, expr.left, between, expr.right, ',"type":"binaryExpr"}'];
    }
  }
}

function quoted(text: string): string {
  return goJson(text);
}

/** `extra` are the fields between offsetExpr and smoothed. */
function selectorFields(selector: VectorSelector, extra: string): string {
  const { anchored, smoothed, name, matchers, offset, at } = selector;
  const start = `"anchored":${anchored},"matchers":[${matchers.map(matcherJson).join(",")}],"name":${quoted(name)}`;
  const middle = `${offsetFields(offset)},${extra}"smoothed":${smoothed}`;
  return `${start},${middle},${startOrEndField(at)},${timestampField(at)}`;
}

function matcherJson({ name, type, value }: Matcher): string {
  return `{"name":${quoted(name)},"type":"${type}","value":${quoted(value)}}`;
}

function matchingJson(matching: VectorMatching | undefined): string {
  if (matching === undefined) return "null";
  const { card, fillLeft, fillRight, include, labels, on } = matching;
  const fillValues = { lhs: fillLeft ?? null, rhs: fillRight ?? null };
  return goJson({ card, fillValues, include, labels, on });
}

function offsetFields(offset: Duration | undefined): string {
  return `"offset":${wholeMs(offset)},"offsetExpr":${unfolded(offset)}`;
}

function rangeFields(range: Duration): string {
  return `"range":${wholeMs(range)},"rangeExpr":${unfolded(range)}`;
}

function startOrEndField(at: AtModifier | undefined): string {
  return `"startOrEnd":${at === undefined || at.kind === "time" ? "null" : `"${at.kind}"`}`;
}

function timestampField(at: AtModifier | undefined): string {
  return `"timestamp":${at?.kind === "time" ? wholeMs(at) : "null"}`;
}

/** 0 for a duration that is missing, or an expression. */
function wholeMs(duration: { readonly ms: number } | undefined): string {
  return duration === undefined || Number.isNaN(duration.ms) ? "0" : BigInt(duration.ms).toString();
}

/** The expression that a duration was written as; null for a literal. */
function unfolded(duration: Duration | undefined): string {
  const isExpression = duration?.expr !== undefined && Number.isNaN(duration.ms);
  return isExpression ? durationJson(duration.expr!, false) : "null";
}

/** Duration expressions nest, and chain, at most NESTING_MAX levels. */
function durationJson(expr: Expr, wrapped: boolean): string {
  const operation = (op: string, left: Expr | undefined, right: Expr | undefined): string => {
    const lhs = left === undefined ? "null" : durationJson(left, false);
    const rhs = right === undefined ? "null" : durationJson(right, false);
    return `{"lhs":${lhs},"op":"${op}","rhs":${rhs},"type":"durationExpr","wrapped":${wrapped}}`;
  };
  switch (expr.kind) {
    case "number":
      // In parentheses it becomes an operation, as in Prometheus.
      if (wrapped) return operation("+", undefined, expr);
      return `{"duration":${expr.duration},"type":"numberLiteral","val":"${formatPlain(expr.value)}"}`;
    case "paren":
      return durationJson(expr.expr, true);
    case "unary":
      return operation(expr.op, undefined, expr.expr);
    case "binary":
      return operation(expr.op, expr.left, expr.right);
    case "call":
      return operation(expr.func, expr.args[0], expr.args[1]);
    default:
      return "null";
  }
}
