// libs/promql/counts-only.ts: finds selectors whose histograms are asked for count and sum only, so that buckets need not be
// read or sent. Inside a subquery buckets are needed to find counter resets, whatever is made of the result.
import type { Expr, VectorSelector } from "./ast.ts";
import { children } from "./walk.ts";

const OF_COUNTS: ReadonlySet<string> = new Set(["histogram_count", "histogram_sum", "histogram_avg"]);
const OF_BUCKETS: ReadonlySet<string> = new Set(["histogram_quantile", "histogram_quantiles", "histogram_fraction"]);

/** The selectors below a function of counts with nothing in between that needs buckets, and no subquery around. */
export function selectorsOfCounts(expr: Expr): ReadonlySet<VectorSelector> {
  const found = new Set<VectorSelector>();
  collect(expr, false, found);
  return found;
}

function collect(top: Expr, around: boolean, found: Set<VectorSelector>): void {
  // Sums of any length are walked along their left spine, without recursion.
  let expr = top;
  let counts = around;
  while (expr.kind === "binary") {
    if (expr.op === "</" || expr.op === ">/") counts = false;
    collect(expr.right, counts, found);
    expr = expr.left;
  }
  if (expr.kind === "selector") {
    if (counts) found.add(expr);
    return;
  }
  if (expr.kind === "subquery") return;
  if (expr.kind === "call" && OF_COUNTS.has(expr.func)) counts = true;
  if (expr.kind === "call" && OF_BUCKETS.has(expr.func)) counts = false;
  for (const child of children(expr)) collect(child, counts, found);
}
