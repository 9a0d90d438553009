// libs/promql/functions-absent.ts: absent and absent_over_time: one series where the argument has none.
import { type Labels, METRIC_NAME, setLabel } from "../model/index.ts";
import type { Expr, VectorSelector } from "./ast.ts";
import { anyPresent, type Column, normalizePresent } from "./column.ts";
import { unionOf } from "./matching.ts";

/**
 * The labels of an absent series: what the selector's equality matchers fix. A name that is matched twice, or in
 * another way too, is left out; so is the metric name. Other expressions have none.
 */
export function absentLabels(expr: Expr): Labels {
  const selector = selectorOf(expr);
  if (selector === undefined) return [];
  const seen = new Set<string>();
  let labels: Labels = [];
  for (const { name, type, value } of selector.matchers) {
    if (name === METRIC_NAME) continue;
    if (type === "=" && !seen.has(name)) {
      labels = setLabel(labels, name, value);
      seen.add(name);
    } else {
      labels = setLabel(labels, name, "");
    }
  }
  return labels;
}

function selectorOf(expr: Expr): VectorSelector | undefined {
  if (expr.kind === "selector") return expr;
  return expr.kind === "matrix" ? expr.selector : undefined;
}

/** A series with value 1 at the steps where no column has a value. */
export function absentColumns(columns: readonly Column[], labels: Labels, count: number, dropName: boolean): Column[] {
  const present = unionOf(columns, count);
  for (let s = 0; s < count; s++) present[s] = present[s] === 1 ? 0 : 1;
  if (!anyPresent(present)) return [];
  return [{ labels, values: new Float64Array(count).fill(1), present: normalizePresent(present), dropName }];
}
