// libs/promql/walk.ts: visiting and rewriting syntax trees, in loops, so that no chain of operators is too long.
// Durations are not visited: their expressions are no part of the tree of values.
import type { Aggregate, Binary, Expr } from "./ast.ts";

const NONE: readonly Expr[] = [];

/** The child expressions in Prometheus' order: an aggregation's parameter comes behind its operand. */
export function children(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case "binary":
      return [expr.left, expr.right];
    case "call":
      return expr.args;
    case "aggregate":
      return expr.param === undefined ? [expr.expr] : [expr.expr, expr.param];
    case "matrix":
      return [expr.selector];
    case "subquery":
    case "paren":
    case "unary":
      return [expr.expr];
  }
  return NONE;
}

/** Visits a tree in pre-order. When `visit` answers false, the children of that node are left out. */
export function walk(root: Expr, visit: (expr: Expr) => unknown): void {
  const pending: Expr[] = [root];
  for (let expr = pending.pop(); expr !== undefined; expr = pending.pop()) {
    if (visit(expr) === false) continue;
    const below = children(expr);
    for (let i = below.length - 1; i >= 0; i--) pending.push(below[i]!);
  }
}

/**
 * Rewrites a tree from the top: where `replace` answers an expression, that one stands as it is; elsewhere the children
 * are rewritten. Parts without a replacement are shared with the old tree.
 */
export function transform(root: Expr, replace: (expr: Expr) => Expr | undefined): Expr {
  // Down the left spine of operators in a loop, then up again; everything else nests at most NESTING_MAX levels.
  const spine: Binary[] = [];
  let node = root;
  let replaced = replace(node);
  while (replaced === undefined && node.kind === "binary") {
    spine.push(node);
    node = node.left;
    replaced = replace(node);
  }
  let result = replaced ?? transformChildren(node, replace);
  for (let i = spine.length - 1; i >= 0; i--) {
    const binary = spine[i]!;
    const right = transform(binary.right, replace);
    result = result === binary.left && right === binary.right ? binary : { ...binary, left: result, right };
  }
  return result;
}

function transformChildren(expr: Expr, replace: (expr: Expr) => Expr | undefined): Expr {
  switch (expr.kind) {
    case "paren":
    case "unary":
    case "subquery": {
      const inner = transform(expr.expr, replace);
      return inner === expr.expr ? expr : { ...expr, expr: inner };
    }
    case "matrix": {
      const selector = transform(expr.selector, replace);
      return selector.kind === "selector" && selector !== expr.selector ? { ...expr, selector } : expr;
    }
    case "call": {
      const args = expr.args.map((arg) => transform(arg, replace));
      return args.every((arg, i) => arg === expr.args[i]) ? expr : { ...expr, args };
    }
    case "aggregate":
      return transformAggregate(expr, replace);
  }
  return expr;
}

function transformAggregate(expr: Aggregate, replace: (expr: Expr) => Expr | undefined): Aggregate {
  const inner = transform(expr.expr, replace);
  if (expr.param === undefined) return inner === expr.expr ? expr : { ...expr, expr: inner };
  const param = transform(expr.param, replace);
  return inner === expr.expr && param === expr.param ? expr : { ...expr, expr: inner, param };
}
