// libs/promql/typecheck.ts: value types, and the semantic checks of a parsed query with Prometheus' messages.
// Checks run in Prometheus' order, so that of several errors the same one is reported. Left-deep chains of operators
// are walked in a loop; everything else nests at most NESTING_MAX levels.
import { METRIC_NAME } from "../model/index.ts";
import type { Aggregate, Binary, BinaryOp, Call, Expr, Position, ValueType, VectorSelector } from "./ast.ts";
import { ParseError } from "./parse-error.ts";
import { quoteString } from "./quote.ts";
import { AGGREGATE_PARAMETERS, SIGNATURES } from "./signatures.ts";
import type { Draft } from "./token-stream.ts";

const COMPARISONS: ReadonlySet<BinaryOp> = new Set<BinaryOp>(["==", "!=", "<", "<=", ">", ">="]);
const SET_OPERATORS: ReadonlySet<BinaryOp> = new Set<BinaryOp>(["and", "or", "unless"]);

/** Whether an operator compares and so may carry `bool`; histogram trims do not compare. */
export function isComparison(op: BinaryOp): boolean {
  return COMPARISONS.has(op);
}

export function isSetOperator(op: BinaryOp): boolean {
  return SET_OPERATORS.has(op);
}

/** Whether an operation is scalar, found once per chain. */
const knownChains = new WeakMap<Binary, boolean>();

/** The type an expression evaluates to. */
export function valueType(expr: Expr): ValueType {
  let node = expr;
  for (;;) {
    switch (node.kind) {
      case "number":
        return "scalar";
      case "string":
        return "string";
      case "selector":
      case "aggregate":
        return "vector";
      case "matrix":
      case "subquery":
        return "matrix";
      case "call":
        return SIGNATURES.get(node.func)?.returns ?? "none";
      case "paren":
      case "unary":
        node = node.expr;
        break;
      case "binary":
        return isScalarChain(node) ? "scalar" : "vector";
    }
  }
}

/** An operation is scalar when both its sides are; each part of a left-deep chain is looked at once. */
function isScalarChain(top: Binary): boolean {
  const chain: Binary[] = [];
  let node: Expr = top;
  let scalar: boolean | undefined;
  while (scalar === undefined) {
    if (node.kind !== "binary") {
      scalar = valueType(node) === "scalar";
      break;
    }
    scalar = knownChains.get(node);
    if (scalar !== undefined) break;
    chain.push(node);
    if (valueType(node.right) !== "scalar") scalar = false;
    node = node.left;
  }
  // Every operation above the part that decided is of the same type as that part.
  for (const binary of chain) knownChains.set(binary, scalar);
  return scalar;
}

/** The type's name in messages. */
export function documentedType(type: ValueType): string {
  if (type === "vector") return "instant vector";
  return type === "matrix" ? "range vector" : type;
}

/**
 * Checks a freshly parsed tree and completes it: operations without two vectors lose their matching, set operations
 * become many-to-many. `text` is what was parsed, `emptySelectors` are the selectors that accept series without labels.
 * Errors: ParseError, the first one in Prometheus' order.
 */
export function checkTypes(expr: Expr, text: string, emptySelectors: ReadonlySet<VectorSelector>): void {
  new Checker(text, emptySelectors).check(expr);
}

class Checker {
  private readonly text: string;
  private readonly emptySelectors: ReadonlySet<VectorSelector>;

  constructor(text: string, emptySelectors: ReadonlySet<VectorSelector>) {
    this.text = text;
    this.emptySelectors = emptySelectors;
  }

  check(expr: Expr): ValueType {
    switch (expr.kind) {
      case "binary":
        return this.checkChain(expr);
      case "aggregate":
        this.checkAggregate(expr);
        break;
      case "call":
        this.checkCall(expr);
        break;
      case "paren":
        return this.check(expr.expr);
      case "unary": {
        const type = this.check(expr.expr);
        if (type !== "scalar" && type !== "vector") {
          const allowed = "unary expression only allowed on expressions of type scalar or instant vector";
          this.fail(expr.pos, `${allowed}, got ${quoteString(documentedType(type))}`);
        }
        return type;
      }
      case "subquery": {
        const type = this.check(expr.expr);
        if (type !== "vector") {
          this.fail(expr.pos, `subquery is only allowed on instant vector, got ${type} instead`);
        }
        break;
      }
      case "matrix":
        this.checkSelector(expr.selector);
        break;
      case "selector":
        this.checkSelector(expr);
        break;
    }
    return valueType(expr);
  }

  private fail(pos: Position, reason: string): never {
    throw new ParseError(this.text, pos, reason);
  }

  private expectType(expr: Expr, want: ValueType, context: string): void {
    const got = this.check(expr);
    if (got !== want) {
      this.fail(expr.pos, `expected type ${documentedType(want)} in ${context}, got ${documentedType(got)}`);
    }
  }

  private checkAggregate(aggregate: Aggregate): void {
    this.expectType(aggregate.expr, "vector", "aggregation expression");
    const parameter = AGGREGATE_PARAMETERS.get(aggregate.op);
    if (parameter !== undefined) this.expectType(aggregate.param!, parameter, "aggregation parameter");
  }

  /** Checks a chain of operations along its left operands, innermost first. */
  private checkChain(top: Binary): ValueType {
    const chain: Binary[] = [];
    let node: Expr = top;
    for (; node.kind === "binary"; node = node.left) chain.push(node);
    let type = this.check(node);
    for (let i = chain.length - 1; i >= 0; i--) {
      const binary = chain[i]!;
      const right = this.check(binary.right);
      this.checkBinary(binary, type, right);
      type = type === "scalar" && right === "scalar" ? "scalar" : "vector";
    }
    return type;
  }

  private checkBinary(binary: Draft<Binary>, left: ValueType, right: ValueType): void {
    const { op, pos } = binary;
    const matching = binary.matching!;
    const set = isSetOperator(op);
    const scalars = left === "scalar" && right === "scalar";
    if (binary.bool && !isComparison(op)) {
      this.fail(this.operatorPosition(binary), "bool modifier can only be used on comparison operators");
    }
    if (isComparison(op) && !binary.bool && scalars) {
      this.fail(this.operatorPosition(binary), "comparisons between scalars must use BOOL modifier");
    }
    if (matching.on) {
      const included = new Set(matching.include);
      const twice = matching.labels.find((label) => included.has(label));
      if (twice !== undefined) {
        const reason = `label ${quoteString(twice)} must not occur in ON and GROUP clause at once`;
        this.fail(this.operatorPosition(binary), reason);
      }
    }
    for (const [side, type] of [
      [binary.left, left],
      [binary.right, right],
    ] as const) {
      if (type !== "scalar" && type !== "vector") {
        this.fail(side.pos, "binary expression must contain only scalar and instant vector types");
      }
    }
    const filled = matching.fillLeft !== undefined || matching.fillRight !== undefined;
    if (left !== "vector" || right !== "vector") {
      if (matching.labels.length > 0) this.fail(pos, "vector matching only allowed between instant vectors");
      if (filled) this.fail(pos, "filling in missing series only allowed between instant vectors");
      if (set) this.fail(pos, `set operator ${quoteString(op)} not allowed in binary scalar expression`);
      delete binary.matching;
    } else if (set) {
      if (matching.card !== "one-to-one") this.fail(pos, `no grouping allowed for ${quoteString(op)} operation`);
      if (filled) this.fail(pos, "filling in missing series not allowed for set operators");
      binary.matching = { ...matching, card: "many-to-many" };
    }
  }

  /** Where the operator stands: the first byte behind the left operand that is no space. */
  private operatorPosition(binary: Binary): Position {
    const bytes = Buffer.from(this.text, "utf8");
    const space = (byte: number | undefined) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
    let { end: start } = binary.left.pos;
    while (space(bytes[start])) start++;
    let end = binary.right.pos.start;
    while (end > start && space(bytes[end - 1])) end--;
    return { start, end };
  }

  private checkCall(call: Call): void {
    const { args, variadic } = SIGNATURES.get(call.func)!;
    const got = call.args.length;
    const atLeast = variadic === 0 ? args.length : args.length - 1;
    const wrong = (bound: string, count: number) =>
      this.fail(call.pos, `expected ${bound}${count} argument(s) in call to ${quoteString(call.func)}, got ${got}`);
    if (variadic === 0 && got !== atLeast) wrong("", atLeast);
    if (got < atLeast) wrong("at least ", atLeast);
    if (variadic > 0 && got > atLeast + variadic) wrong("at most ", atLeast + variadic);
    const context = `call to function ${quoteString(call.func)}`;
    const infoSelector = call.func === "info" ? call.args[1] : undefined;
    if (infoSelector !== undefined) this.checkInfoSelector(call, infoSelector, context);
    for (let i = 0; i < got; i++) {
      const arg = call.args[i]!;
      if (arg !== infoSelector) this.expectType(arg, args[Math.min(i, args.length - 1)]!, context);
    }
  }

  /** The second argument of info() only lists labels: it has no metric name and may match everything. */
  private checkInfoSelector(call: Call, arg: Expr, context: string): void {
    const type = valueType(arg);
    if (type !== "vector") {
      this.fail(call.pos, `expected type instant vector in ${context}, got ${documentedType(type)}`);
    }
    if (arg.kind !== "selector") this.fail(arg.pos, "expected label selectors only");
    else if (arg.name !== "") this.fail(arg.pos, "expected label selectors only, got vector selector instead");
  }

  private checkSelector(selector: VectorSelector): void {
    const { name, matchers, pos } = selector;
    if (name !== "") {
      // The last matcher is the one the written name stands for.
      for (let i = 0; i < matchers.length - 1; i++) {
        const { name: label, value } = matchers[i]!;
        if (label === METRIC_NAME) {
          this.fail(pos, `metric name must not be set twice: ${quoteString(name)} or ${quoteString(value)}`);
        }
      }
    } else if (this.emptySelectors.has(selector)) {
      this.fail(pos, "vector selector must contain at least one non-empty matcher");
    }
  }
}
