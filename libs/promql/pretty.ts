// libs/promql/pretty.ts: syntax trees to text over several lines, the way Prometheus' format_query writes them.
// A part whose text on one line takes at most 100 bytes stays on it; a longer one is opened, its operands two spaces
// deeper, with the parentheses or the operator on lines of their own.
// Invariant: the text parses back to an equal tree, as that of printer.ts does. Left-deep chains are walked in loops.
import { InvalidError } from "../model/index.ts";
import type { Aggregate, Binary, Expr } from "./ast.ts";
import {
  hasInfiniteBase,
  INFINITE_BASE,
  printAggregateHead,
  printExpr,
  printOperator,
  printSubquerySuffix,
} from "./printer.ts";
import { children } from "./walk.ts";

const LINE_BYTES_MAX = 100;
const INDENT = "  ";

/** Longest text, in UTF-16 units: each operand of a long chain stands deeper than the one to its right. */
export const PRETTY_LENGTH_MAX = 1 << 24;

/** The expression over as many lines as it needs. Errors: InvalidError beyond PRETTY_LENGTH_MAX. */
export function prettyExpr(expr: Expr): string {
  const layout = new Layout();
  layout.write(expr, 0);
  return layout.text;
}

class Layout {
  readonly #out: string[] = [];
  #length = 0;
  /** Whether the next line break's indent is left out: a sign stands directly before its operand. */
  #isAttached = false;
  /** The text of parts that fit on a line; undefined for those that don't. */
  readonly #lines = new Map<Expr, string | undefined>();

  get text(): string {
    return this.#out.join("");
  }

  write(expr: Expr, level: number): void {
    const line = this.#line(expr);
    switch (expr.kind) {
      case "number":
      case "string":
      case "selector":
      case "matrix":
        this.#indent(level);
        this.#push(line ?? printExpr(expr));
        return;
      case "unary":
        this.#indent(level);
        this.#push(expr.op);
        this.#isAttached = true;
        this.write(expr.expr, level);
        return;
      case "subquery":
        // Without an indent, as in Prometheus.
        if (line !== undefined) this.#push(line);
        else {
          this.write(expr.expr, level);
          this.#push(printSubquerySuffix(expr));
        }
        return;
      case "binary":
        if (line === undefined) this.#writeChain(expr, level);
        else {
          this.#indent(level);
          this.#push(line);
        }
        return;
      default:
        this.#indent(level);
        if (line !== undefined) this.#push(line);
        else if (expr.kind === "paren") this.#writeInside("", [expr.expr], level);
        else if (expr.kind === "call") this.#writeInside(expr.func, expr.args, level);
        else this.#writeInside(printAggregateHead(expr), argumentsOf(expr), level);
    }
  }

  /** `head(`, each operand on lines of its own, `)`. */
  #writeInside(head: string, operands: readonly Expr[], level: number): void {
    this.#push(`${head}(\n`);
    operands.forEach((operand, i) => {
      if (i > 0) this.#push(",\n");
      this.write(operand, level + 1);
    });
    this.#push("\n");
    this.#indent(level);
    this.#push(")");
  }

  /** A chain that is too long for a line: its leftmost operand deepest, then operator, operand, operator, operand… */
  #writeChain(top: Binary, level: number): void {
    const chain: Binary[] = [];
    let node: Expr = top;
    while (node.kind === "binary" && this.#line(node) === undefined) {
      chain.push(node);
      node = node.left;
    }
    if (hasInfiniteBase(chain.at(-1)!)) {
      this.#indent(level + chain.length);
      this.#push(INFINITE_BASE);
    } else this.write(node, level + chain.length);
    for (let i = chain.length - 1; i >= 0; i--) {
      this.#push("\n");
      this.#indent(level + i);
      this.#push(`${printOperator(chain[i]!)}\n`);
      this.write(chain[i]!.right, level + i + 1);
    }
  }

  #indent(level: number): void {
    if (this.#isAttached) return;
    // Before the spaces are made: a chain may be as deep as a query is long.
    this.#grow(level * INDENT.length);
    this.#out.push(INDENT.repeat(level));
  }

  #push(text: string): void {
    this.#isAttached = false;
    this.#grow(text.length);
    this.#out.push(text);
  }

  #grow(length: number): void {
    this.#length += length;
    if (this.#length <= PRETTY_LENGTH_MAX) return;
    throw new InvalidError(
      `cannot format query: got more than ${PRETTY_LENGTH_MAX} characters; want at most ${PRETTY_LENGTH_MAX}`,
    );
  }

  /** The text of a part when it fits on one line. Each part is looked at once. */
  #line(expr: Expr): string | undefined {
    const pending: Expr[] = [];
    let node = expr;
    for (; !this.#lines.has(node) && node.kind === "binary"; node = node.left) pending.push(node);
    if (!this.#lines.has(node)) {
      const fits = children(node).every((child) => this.#line(child) !== undefined);
      this.#lines.set(node, fits ? shortened(printExpr(node)) : undefined);
    }
    for (let binary = pending.pop() as Binary | undefined; binary; binary = pending.pop() as Binary | undefined) {
      const left = hasInfiniteBase(binary) ? INFINITE_BASE : this.#lines.get(binary.left);
      const right = this.#line(binary.right);
      const fits = left !== undefined && right !== undefined;
      this.#lines.set(binary, fits ? shortened(`${left} ${printOperator(binary)} ${right}`) : undefined);
    }
    return this.#lines.get(expr);
  }
}

function shortened(text: string): string | undefined {
  return Buffer.byteLength(text) <= LINE_BYTES_MAX ? text : undefined;
}

function argumentsOf({ expr, param }: Aggregate): readonly Expr[] {
  return param === undefined ? [expr] : [param, expr];
}
