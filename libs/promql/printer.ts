// libs/promql/printer.ts: syntax trees to text, the way Prometheus' String() writes them.
// Invariant: the text parses back to an equal tree (positions, the order of matchers and a plus behind `offset` aside). Where Prometheus' own text
// would not, ours differs: durations below a millisecond stay numbers, and arithmetic behind `offset` gets parentheses.
import { compareUtf8, type Matcher, METRIC_NAME } from "../model/index.ts";
import type {
  Aggregate,
  AtModifier,
  Binary,
  Duration,
  Expr,
  NumberLiteral,
  Subquery,
  VectorMatching,
  VectorSelector,
} from "./ast.ts";
import { formatDuration } from "./durations.ts";
import { formatGeneral, formatPlain } from "./go-text.ts";
import { quoteString } from "./quote.ts";

const BARE_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** The text of an expression, which parses back to an equal tree. */
export function printExpr(expr: Expr): string {
  const out: string[] = [];
  write(expr, out);
  return out.join("");
}

/** A matcher as it stands in braces: `name=~"value"`, the name quoted where it has to be. */
export function printMatcher(matcher: Matcher): string {
  return `${printLabelName(matcher.name)}${matcher.type}${quoteString(matcher.value)}`;
}

function printLabelName(name: string): string {
  return BARE_LABEL.test(name) ? name : quoteString(name);
}

function write(expr: Expr, out: string[]): void {
  switch (expr.kind) {
    case "number":
      out.push(printNumber(expr));
      return;
    case "string":
      out.push(quoteString(expr.value));
      return;
    case "selector":
      out.push(printBareSelector(expr), printAt(expr.at), printExtension(expr), printOffset(expr.offset));
      return;
    case "matrix": {
      const { selector } = expr;
      out.push(printBareSelector(selector), `[${printDuration(expr.range)}]`);
      out.push(printExtension(selector), printAt(selector.at), printOffset(selector.offset));
      return;
    }
    case "subquery":
      write(expr.expr, out);
      out.push(printSubquerySuffix(expr));
      return;
    case "call":
      out.push(expr.func, "(");
      writeList(expr.args, out);
      out.push(")");
      return;
    case "aggregate":
      out.push(printAggregateHead(expr), "(");
      writeList(expr.param === undefined ? [expr.expr] : [expr.param, expr.expr], out);
      out.push(")");
      return;
    case "paren":
      out.push("(");
      write(expr.expr, out);
      out.push(")");
      return;
    case "unary":
      out.push(expr.op);
      write(expr.expr, out);
      return;
    case "binary":
      writeChain(expr, out);
  }
}

function writeList(list: readonly Expr[], out: string[]): void {
  for (let i = 0; i < list.length; i++) {
    if (i > 0) out.push(", ");
    write(list[i]!, out);
  }
}

/** A left-deep chain of operations, innermost first, in a loop. */
function writeChain(top: Binary, out: string[]): void {
  const chain: Binary[] = [];
  let node: Expr = top;
  for (; node.kind === "binary"; node = node.left) chain.push(node);
  if (hasInfiniteBase(chain.at(-1)!)) out.push(INFINITE_BASE);
  else write(node, out);
  for (let i = chain.length - 1; i >= 0; i--) {
    out.push(" ", printOperator(chain[i]!), " ");
    write(chain[i]!.right, out);
  }
}

/** A number has no sign of its own in front of `^`, where the sign would apply to the power. */
export const INFINITE_BASE = "Inf";

/** Whether the left operand has to be written as INFINITE_BASE. */
export function hasInfiniteBase({ op, left }: Binary): boolean {
  return op === "^" && left.kind === "number" && left.value === Number.POSITIVE_INFINITY;
}

/** What stands between the operands: `/ on (job) group_left ()`. */
export function printOperator({ op, bool, matching }: Binary): string {
  return `${op}${bool ? " bool" : ""}${matching === undefined ? "" : printMatching(matching)}`;
}

function printNumber(literal: NumberLiteral): string {
  return literal.duration ? formatDuration(Math.round(literal.value * 1000)) : formatPlain(literal.value);
}

function printBareSelector(selector: VectorSelector): string {
  const { name } = selector;
  const printed: string[] = [];
  for (const matcher of selector.matchers) {
    const written = matcher.name === METRIC_NAME && matcher.type === "=" && matcher.value === name && name !== "";
    if (!written) printed.push(printMatcher(matcher));
  }
  if (printed.length === 0) return name === "" ? "{}" : name;
  return `${name}{${printed.sort(compareUtf8).join(",")}}`;
}

function printExtension(selector: VectorSelector): string {
  if (selector.anchored) return " anchored";
  return selector.smoothed ? " smoothed" : "";
}

function printAt(at: AtModifier | undefined): string {
  if (at === undefined) return "";
  return at.kind === "time" ? ` @ ${(at.ms / 1000).toFixed(3)}` : ` @ ${at.kind}()`;
}

function printDuration(duration: Duration): string {
  return duration.expr === undefined ? formatDuration(duration.ms) : printExpr(duration.expr);
}

function printOffset(offset: Duration | undefined): string {
  if (offset === undefined) return "";
  const { expr } = offset;
  // A plus before a call is in the tree and, as in Prometheus, not in the text.
  const text = expr?.kind === "unary" && expr.op === "+" ? printExpr(expr.expr) : printDuration(offset);
  return expr !== undefined && isCutByOffset(expr) ? ` offset (${text})` : ` offset ${text}`;
}

/** Behind `offset` an operator belongs to the duration only when the text begins with a parenthesis or two signs. */
function isCutByOffset(expr: Expr): boolean {
  if (expr.kind === "unary") return expr.expr.kind === "binary";
  let first: Expr = expr;
  while (first.kind === "binary") first = first.left;
  return first !== expr && first.kind !== "paren";
}

/** `[1h:5m] @ end() offset 1d` */
export function printSubquerySuffix(subquery: Subquery): string {
  const step = subquery.step === undefined ? "" : printDuration(subquery.step);
  return `[${printDuration(subquery.range)}:${step}]${printAt(subquery.at)}${printOffset(subquery.offset)}`;
}

/** What stands before the parenthesis: `sum by (job) `. */
export function printAggregateHead(aggregate: Aggregate): string {
  const labels = aggregate.grouping.map(printLabelName).join(", ");
  if (aggregate.without) return `${aggregate.op} without (${labels}) `;
  return aggregate.grouping.length > 0 ? `${aggregate.op} by (${labels}) ` : aggregate.op;
}

function printMatching(matching: VectorMatching): string {
  const { card, on, labels, include, fillLeft, fillRight } = matching;
  const grouped = card === "many-to-one" || card === "one-to-many";
  let out = "";
  if (labels.length > 0 || on || grouped) {
    out += ` ${on ? "on" : "ignoring"} (${labels.map(printLabelName).join(", ")})`;
  }
  if (grouped) {
    out += ` group_${card === "many-to-one" ? "left" : "right"} (${include.map(printLabelName).join(", ")})`;
  }
  // Equal, and of the same sign when zero. NaN equals nothing, so that it is written twice, as Prometheus does.
  if (fillLeft !== undefined && fillLeft === fillRight && Object.is(fillLeft, fillRight))
    return `${out} fill (${formatGeneral(fillLeft)})`;
  if (fillLeft !== undefined) out += ` fill_left (${formatGeneral(fillLeft)})`;
  if (fillRight !== undefined) out += ` fill_right (${formatGeneral(fillRight)})`;
  return out;
}
