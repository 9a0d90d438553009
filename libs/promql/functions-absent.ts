// libs/promql/functions-absent.ts: absent and absent_over_time: one series where the argument has none.
import { compileMatcher, type Labels, type Matcher, METRIC_NAME, setLabel } from "../model/index.ts";
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
  for (const { name, type, value } of inOrderOfSelection(selector.matchers)) {
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

/** Prometheus' storage has put matchers that only take series away behind the others by then. */
function inOrderOfSelection(matchers: readonly Matcher[]): Matcher[] {
  const compiled = matchers.map((matcher) => ({ matcher, matchesEmpty: compileMatcher(matcher).matchesEmpty }));
  const required = new Set(compiled.filter((m) => !m.matchesEmpty).map((m) => m.matcher.name));
  const takesAway = ({ matcher, matchesEmpty }: (typeof compiled)[number]) =>
    !required.has(matcher.name) || (matcher.type.startsWith("!") && matchesEmpty);
  return [...compiled.filter((m) => !takesAway(m)), ...compiled.filter(takesAway)].map((m) => m.matcher);
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
