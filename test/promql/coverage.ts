// test/promql/coverage.ts: what of the language queries use, counted: functions, operators, modifiers.
import {
  ALL_OPTIONS,
  type Duration,
  type Expr,
  parseExpr,
  type VectorSelector,
  walk,
} from "../../libs/promql/index.ts";
import { SIGNATURES } from "../../libs/promql/signatures.ts";

const AGGREGATIONS = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile"];
const ARITHMETIC = ["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="];
const SETS = ["and", "or", "unless"];
const MODIFIERS = [
  "offset",
  "offset -",
  "@ time",
  "@ start",
  "@ end",
  "anchored",
  "smoothed",
  "subquery",
  "subquery step",
];
const MATCHING = ["on", "ignoring", "group_left", "group_right", "bool", "fill", "by", "without"];

/** Everything that can be counted and that a peer answers in one way only. */
export const CONSTRUCTS: readonly string[] = [
  ...[...SIGNATURES.keys()].map((name) => `${name}()`),
  ...[...AGGREGATIONS, "count_values", "limit_ratio"].map((op) => `${op} of`),
  ...[...ARITHMETIC, ...COMPARISONS, ...SETS, "</", ">/", "unary -"],
  ...MODIFIERS,
  ...[...MATCHING, "duration expression", "= matcher", "!= matcher", "=~ matcher", "!~ matcher"],
];

export class Coverage {
  readonly counts = new Map<string, number>(CONSTRUCTS.map((name) => [name, 0]));

  /** Counts what a query uses, each construct once. Text that does not parse counts for nothing. */
  add(query: string): void {
    let root: Expr;
    try {
      root = parseExpr(query, ALL_OPTIONS);
    } catch {
      return;
    }
    const used = new Set<string>();
    walk(root, (expr) => see(expr, used));
    for (const name of used) this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  /** Constructs counted less often than that. */
  below(least: number): string[] {
    return CONSTRUCTS.filter((name) => this.counts.get(name)! < least);
  }

  /** A line of names and counts, the rarest first. */
  toString(): string {
    const sorted = [...this.counts].sort((a, b) => a[1] - b[1]);
    return sorted.map(([name, count]) => `${name} ${count}`).join(", ");
  }
}

function see(expr: Expr, used: Set<string>): void {
  switch (expr.kind) {
    case "call":
      used.add(`${expr.func}()`);
      return;
    case "aggregate":
      used.add(`${expr.op} of`);
      if (expr.grouping.length > 0) used.add(expr.without ? "without" : "by");
      return;
    case "unary":
      used.add(`unary ${expr.op}`);
      return;
    case "binary":
      used.add(expr.op);
      if (expr.bool) used.add("bool");
      seeMatching(expr.matching, used);
      return;
    case "selector":
      seeSelector(expr, used);
      return;
    case "matrix":
      seeDuration(expr.range, used);
      return;
    case "subquery":
      used.add(expr.step === undefined ? "subquery" : "subquery step");
      seeDuration(expr.range, used);
      seePlace(expr, used);
      return;
  }
}

function seeMatching(matching: Extract<Expr, { kind: "binary" }>["matching"], used: Set<string>): void {
  if (matching === undefined) return;
  if (matching.on) used.add("on");
  else if (matching.labels.length > 0) used.add("ignoring");
  if (matching.card === "many-to-one") used.add("group_left");
  if (matching.card === "one-to-many") used.add("group_right");
  if (matching.fillLeft !== undefined || matching.fillRight !== undefined) used.add("fill");
}

function seeSelector(selector: VectorSelector, used: Set<string>): void {
  seePlace(selector, used);
  if (selector.anchored) used.add("anchored");
  if (selector.smoothed) used.add("smoothed");
  for (const { name, type } of selector.matchers) if (name !== "__name__") used.add(`${type} matcher`);
}

function seePlace({ offset, at }: Pick<VectorSelector, "offset" | "at">, used: Set<string>): void {
  if (offset !== undefined) {
    seeDuration(offset, used);
    used.add(offset.ms < 0 ? "offset -" : "offset");
  }
  if (at !== undefined) used.add(`@ ${at.kind}`);
}

function seeDuration(duration: Duration, used: Set<string>): void {
  if (duration.expr !== undefined) used.add("duration expression");
}
