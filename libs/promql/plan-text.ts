// libs/promql/plan-text.ts: plans in words, one line a node, for people who watch queries.
import { METRIC_NAME } from "../model/index.ts";
import { formatDuration } from "./durations.ts";
import type { LeafPlan, Plan } from "./plan-node.ts";
import { printMatcher } from "./printer.ts";

/** Lines of a long plan, at most; a chain may have thousands of operands. */
const LINES_MAX = 200;

/** What a node does, without its children. */
export function planText(plan: Plan): string {
  switch (plan.kind) {
    case "number":
      return `number ${plan.value}`;
    case "string":
      return "string";
    case "leaf":
      return leafText(plan);
    case "subquery":
      return `subquery [${formatDuration(plan.rangeMs)}:${formatDuration(plan.stepMs)}]`;
    case "range":
      return `${plan.func} over a subquery`;
    case "matrix":
      return `raw samples ${leafText(plan.leaf)}`;
    case "absent-over-time":
      return "absent_over_time";
    case "info":
      return "info";
    case "call":
      return `${plan.func}()`;
    case "aggregate":
      return plan.expr.op;
    case "chain":
      return `operators ${[...new Set(plan.links.map(({ node }) => node.op))].join(" ")}`;
    case "negate":
      return "negate";
    case "once":
      return "once for all steps";
  }
}

/** `leaf: sum by (job) of rate up{job="a"} [5m] offset 1m` */
function leafText({ aggregation, func, matchers, name, rangeMs, offsetMs, atMs }: LeafPlan): string {
  const parts = ["leaf:"];
  if (aggregation !== undefined) {
    const labels = aggregation.without || aggregation.labels.length > 0;
    const grouping = labels ? ` ${aggregation.without ? "without" : "by"} (${aggregation.labels.join(", ")})` : "";
    parts.push(`${aggregation.op}${grouping} of`);
  }
  if (func !== "") parts.push(func);
  const others = matchers.filter((m) => name === "" || m.name !== METRIC_NAME || m.type !== "=");
  parts.push(`${name}${others.length > 0 ? `{${others.map(printMatcher).join(",")}}` : ""}`);
  parts.push(`[${formatDuration(rangeMs)}]`);
  if (offsetMs !== 0) parts.push(`offset ${offsetMs < 0 ? "-" : ""}${formatDuration(Math.abs(offsetMs))}`);
  if (atMs !== undefined) parts.push(`@ ${(atMs / 1000).toFixed(3)}`);
  return parts.join(" ");
}

/** The nodes that a node takes its operands from. */
export function planChildren(plan: Plan): readonly Plan[] {
  switch (plan.kind) {
    case "leaf":
      return plan.params;
    case "subquery":
    case "negate":
    case "once":
      return [plan.child];
    case "range":
      return [...plan.params, plan.source];
    case "absent-over-time":
      return [plan.source];
    case "info":
      return [plan.base];
    case "call":
      return plan.args;
    case "aggregate":
      return plan.param === undefined ? [plan.child] : [plan.param, plan.child];
    case "chain":
      return [plan.first, ...plan.links.map(({ right }) => right)];
    default:
      return [];
  }
}

/** Whether storages are asked one question at most. */
export function hasOneLeaf(plan: Plan): boolean {
  let leaves = 0;
  const waiting: Plan[] = [plan];
  for (let next = waiting.pop(); next !== undefined && leaves < 2; next = waiting.pop()) {
    // The second argument of info is asked for once the first one is known.
    if (next.kind === "info") return false;
    if (next.kind === "leaf" || next.kind === "matrix") leaves++;
    waiting.push(...planChildren(next));
  }
  return leaves < 2;
}

/** A plan as lines, children indented below their node. */
export function describePlan(plan: Plan): string {
  const lines: string[] = [];
  const waiting: { plan: Plan; depth: number }[] = [{ plan, depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (lines.length === LINES_MAX) return `${lines.join("\n")}\n…`;
    lines.push("  ".repeat(next.depth) + planText(next.plan));
    const { depth } = next;
    waiting.push(
      ...planChildren(next.plan)
        .toReversed()
        .map((child) => ({ plan: child, depth: depth + 1 })),
    );
  }
  return lines.join("\n");
}
