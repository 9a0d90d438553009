// libs/promql/counts-only.ts: finds selectors whose histograms are asked for count and sum only, so that buckets need not be
// read or sent. Inside a subquery buckets are needed to find counter resets, whatever is made of the result. As in
// Prometheus a function of buckets further out counts too, although it never sees them.
import type { Expr, VectorSelector } from "./ast.ts";
import { children } from "./walk.ts";

const OF_COUNTS: ReadonlySet<string> = new Set(["histogram_count", "histogram_sum", "histogram_avg"]);
const OF_BUCKETS: ReadonlySet<string> = new Set(["histogram_quantile", "histogram_quantiles", "histogram_fraction"]);

/** The selectors below a function of counts with nothing around that needs buckets. */
export function selectorsOfCounts(expr: Expr): ReadonlySet<VectorSelector> {
  const found = new Set<VectorSelector>();
  collect(expr, false, found);
  return found;
}

function collect(top: Expr, around: boolean, found: Set<VectorSelector>): void {
  // Sums of any length are walked along their left spine, without recursion.
  let expr = top;
  while (expr.kind === "binary") {
    if (expr.op === "</" || expr.op === ">/") return;
    collect(expr.right, around, found);
    expr = expr.left;
  }
  if (expr.kind === "subquery" || (expr.kind === "call" && OF_BUCKETS.has(expr.func))) return;
  if (expr.kind === "selector") {
    if (around) found.add(expr);
    return;
  }
  const counts = around || (expr.kind === "call" && OF_COUNTS.has(expr.func));
  for (const child of children(expr)) collect(child, counts, found);
}
