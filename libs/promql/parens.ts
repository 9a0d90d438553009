// libs/promql/parens.ts: parentheses mean nothing once a query is parsed.
import type { Expr } from "./ast.ts";

/** The expression inside any number of parentheses. */
export function withoutParens(expr: Expr): Expr {
  let inner = expr;
  while (inner.kind === "paren") inner = inner.expr;
  return inner;
}
