// libs/promql/plan.ts: turns a syntax tree into a plan for one query: start, end, step and lookback are known here.
// Step-invariant parts are found as Prometheus finds them: everything whose selectors all have @, unless a function in
// between depends on the evaluation time. Sums of any length are walked along their left spine, without recursion.
import { InternalError, type PartialOp, type Rollup } from "../model/index.ts";
import type { Aggregate, AtModifier, Binary, Call, Expr, MatrixSelector, Subquery, VectorSelector } from "./ast.ts";
import { METADATA_LABELS } from "./column.ts";
import { selectorsOfCounts } from "./counts-only.ts";
import { type DurationScope, foldDuration } from "./fold-duration.ts";
import {
  ANCHORED_FUNCTIONS,
  NAME_KEEPING,
  RANGE_FUNCTIONS,
  SMOOTHED_FUNCTIONS,
  TIME_DEPENDENT,
} from "./function-names.ts";
import { absentLabels } from "./functions-absent.ts";
import { isSetOperator, isTrim, scalarResult } from "./operators.ts";
import { withoutParens } from "./parens.ts";
import type { ChainLink, LeafPlan, MatrixPlan, Plan, RangePlan, SubqueryPlan } from "./plan-node.ts";
import { children } from "./walk.ts";

/** What of a query the plan depends on, in ms. An instant query has startMs = endMs and stepMs = 0. */
export interface PlanScope {
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
  readonly lookbackMs: number;
  readonly defaultSubqueryStepMs: number;
  readonly delayedNames: boolean;
  /** Whether aggregations are sent to the storages together with their leaf. */
  readonly pushDown: boolean;
  /** Whether start_timestamp() has results. */
  readonly useStarts: boolean;
}

interface Planned {
  readonly plan: Plan;
  /** The value is the same at every step. */
  readonly invariant: boolean;
  /** It is worth evaluating once; false for literals and for range vectors, which functions evaluate themselves. */
  readonly wrap: boolean;
}

/** Plans a whole query. Errors: InvalidError for durations that do not fold. */
export function planQuery(expr: Expr, scope: PlanScope): Plan {
  return wrapped(new Planner(scope, selectorsOfCounts(expr)).plan(expr));
}

function wrapped(planned: Planned): Plan {
  return planned.wrap ? { kind: "once", child: planned.plan } : planned.plan;
}

const PUSHED_OPS: ReadonlySet<string> = new Set<PartialOp>(["sum", "count", "min", "max", "avg", "group"]);

class Planner {
  readonly #scope: PlanScope;
  readonly #durations: DurationScope;
  readonly #countsOnly: ReadonlySet<VectorSelector>;

  constructor(scope: PlanScope, countsOnly: ReadonlySet<VectorSelector>) {
    this.#scope = scope;
    this.#countsOnly = countsOnly;
    this.#durations = { stepMs: scope.stepMs, rangeMs: scope.endMs - scope.startMs };
  }

  plan(written: Expr): Planned {
    const expr = withoutParens(written);
    switch (expr.kind) {
      case "number":
        return { plan: { kind: "number", value: expr.value }, invariant: true, wrap: false };
      case "string":
        return { plan: { kind: "string", value: expr.value }, invariant: true, wrap: false };
      case "selector": {
        const at = expr.at !== undefined;
        return { plan: this.#selector(expr), invariant: at, wrap: at };
      }
      case "matrix":
        return { plan: this.#matrix(expr), invariant: expr.selector.at !== undefined, wrap: false };
      case "subquery":
        return { plan: this.#subquery(expr), invariant: expr.at !== undefined, wrap: false };
      case "unary":
        return this.#unary(expr.op, expr.expr);
      case "call":
        return this.#call(expr);
      case "aggregate":
        return this.#aggregate(expr);
      case "binary":
        return this.#chain(expr);
      case "paren":
        throw new InternalError("cannot plan expression: got parentheses; want none around a planned expression");
    }
  }

  #atMs(at: AtModifier | undefined): number | undefined {
    if (at === undefined) return undefined;
    if (at.kind === "time") return at.ms;
    return at.kind === "start" ? this.#scope.startMs : this.#scope.endMs;
  }

  #selector(expr: VectorSelector): LeafPlan {
    const { lookbackMs } = this.#scope;
    const leaf = this.#leaf(expr, "last", lookbackMs);
    if (!expr.smoothed) return leaf;
    return {
      ...leaf,
      rollup: "last_smoothed",
      rangeMs: 2 * lookbackMs,
      offsetMs: leaf.offsetMs - lookbackMs,
      constants: [0, lookbackMs],
    };
  }

  #leaf(expr: VectorSelector, rollup: Rollup, rangeMs: number): LeafPlan {
    return {
      kind: "leaf",
      matchers: expr.matchers,
      rollup,
      rangeMs,
      offsetMs: expr.offset === undefined ? 0 : foldDuration(expr.offset, true, this.#durations),
      atMs: this.#atMs(expr.at),
      params: [],
      constants: [],
      keepsName: true,
      aggregation: undefined,
      countsOnly: this.#countsOnly.has(expr),
      name: expr.matchers.find((m) => m.name === "__name__" && m.type === "=" && m.value !== "")?.value ?? "",
      func: "",
      pos: expr.pos,
      aggregatedPos: expr.pos,
      refusal: undefined,
    };
  }

  /** A range selector as a query's result. */
  #matrix(expr: MatrixSelector): MatrixPlan {
    const rangeMs = foldDuration(expr.range, false, this.#durations);
    const leaf = this.#leaf(expr.selector, "samples", rangeMs);
    const window = this.#extendedWindow(expr.selector, rangeMs, leaf.offsetMs);
    if (window === undefined) return { kind: "matrix", leaf, extended: undefined };
    const { smoothed } = expr.selector;
    return {
      kind: "matrix",
      leaf: { ...leaf, rangeMs: window.rangeMs, offsetMs: window.offsetMs },
      extended: { smoothed, rangeMs, aheadMs: window.aheadMs },
    };
  }

  /** The wider window of an anchored or smoothed range; undefined for an ordinary one. */
  #extendedWindow(selector: VectorSelector, rangeMs: number, offsetMs: number) {
    const { lookbackMs } = this.#scope;
    if (selector.smoothed) {
      return { rangeMs: rangeMs + 2 * lookbackMs, offsetMs: offsetMs - lookbackMs, aheadMs: lookbackMs };
    }
    if (selector.anchored) return { rangeMs: rangeMs + lookbackMs, offsetMs, aheadMs: 0 };
    return undefined;
  }

  #subquery(expr: Subquery): SubqueryPlan {
    const child = this.plan(expr.expr);
    return {
      kind: "subquery",
      child: child.invariant && child.plan.kind !== "number" ? { kind: "once", child: child.plan } : child.plan,
      rangeMs: foldDuration(expr.range, false, this.#durations),
      stepMs:
        expr.step === undefined
          ? this.#scope.defaultSubqueryStepMs
          : foldDuration(expr.step, false, this.#durations) || this.#scope.defaultSubqueryStepMs,
      offsetMs: expr.offset === undefined ? 0 : foldDuration(expr.offset, true, this.#durations),
      atMs: this.#atMs(expr.at),
    };
  }

  #unary(op: "+" | "-", operand: Expr): Planned {
    const child = this.plan(operand);
    if (op === "+") return child;
    if (child.plan.kind === "number") return { ...child, plan: { kind: "number", value: -child.plan.value } };
    return { ...child, plan: { kind: "negate", child: child.plan } };
  }

  #aggregate(expr: Aggregate): Planned {
    const child = this.plan(expr.expr);
    const param = expr.param === undefined ? undefined : wrapped(this.plan(expr.param));
    const pushed = child.plan.kind === "leaf" ? this.#pushDown(expr, child.plan) : undefined;
    const plan = pushed ?? { kind: "aggregate" as const, child: child.plan, param, expr };
    return { plan, invariant: child.invariant, wrap: child.wrap };
  }

  /**
   * The leaf with the aggregation in it, when a storage can do both. A rollup that drops the name needs a matcher that
   * fixes it: two metrics that become one label set are an error, which an aggregation would hide.
   */
  #pushDown(expr: Aggregate, leaf: LeafPlan): LeafPlan | undefined {
    if (!this.#scope.pushDown || !PUSHED_OPS.has(expr.op) || leaf.aggregation !== undefined) return undefined;
    if (!leaf.keepsName && leaf.name === "") return undefined;
    let labels = expr.grouping;
    if (!leaf.keepsName && !this.#scope.delayedNames) {
      // The name, type and unit are gone before the aggregation sees the series.
      labels = expr.without
        ? [...labels, ...METADATA_LABELS.slice(1)]
        : labels.filter((name) => !METADATA_LABELS.includes(name));
    }
    const aggregatedPos = withoutParens(expr.expr).pos;
    return {
      ...leaf,
      aggregatedPos,
      aggregation: { op: expr.op as PartialOp, without: expr.without, labels: [...new Set(labels)] },
    };
  }

  #chain(root: Binary): Planned {
    const spine: Binary[] = [];
    let left: Expr = root;
    while (left.kind === "binary") {
      spine.push(left);
      left = withoutParens(left.left);
    }
    let current = this.plan(left);
    for (const node of spine.reverse()) current = this.#link(current, node);
    return current;
  }

  /** `current op right`: folded for numbers, else one more link of the chain. */
  #link(current: Planned, node: Binary): Planned {
    const right = this.plan(node.right);
    // A trim of numbers fails where it is evaluated, and only there.
    const folds = !isSetOperator(node.op) && !isTrim(node.op);
    if (current.plan.kind === "number" && right.plan.kind === "number" && folds) {
      const value = scalarResult(node.op, current.plan.value, right.plan.value);
      return { plan: { kind: "number", value }, invariant: true, wrap: false };
    }
    const invariant = current.invariant && right.invariant;
    const first = invariant ? current.plan : wrapped(current);
    const link: ChainLink = { node, right: invariant ? right.plan : wrapped(right) };
    if (first.kind === "chain") {
      // The array belongs to this chain alone, so it may grow in place: copying would make long sums quadratic.
      (first.links as ChainLink[]).push(link);
      return { plan: first, invariant, wrap: invariant };
    }
    return { plan: { kind: "chain", first, links: [link] }, invariant, wrap: invariant };
  }

  #call(call: Call): Planned {
    const { func } = call;
    const literal = this.#queryConstant(func);
    if (literal !== undefined) return { plan: { kind: "number", value: literal }, invariant: true, wrap: false };
    if (func === "info") return this.#info(call);
    const first = call.args[0] === undefined ? undefined : withoutParens(call.args[0]);
    if ((func === "timestamp" || func === "start_timestamp") && first?.kind === "selector") {
      return this.#timestamp(call, first);
    }
    const range = call.args.map(withoutParens).find((arg) => arg.kind === "matrix" || arg.kind === "subquery");
    if (range !== undefined) return this.#rangeCall(call, range as MatrixSelector | Subquery);
    const args = call.args.map((arg) => this.plan(arg));
    const invariant = !TIME_DEPENDENT.has(func) && args.every((arg) => arg.invariant);
    const plans = args.map((arg) => (invariant ? arg.plan : wrapped(arg)));
    return { plan: { kind: "call", func, args: plans, call }, invariant, wrap: invariant };
  }

  /** start(), end(), range() and step() in seconds; undefined for other functions. */
  #queryConstant(func: string): number | undefined {
    const { startMs, endMs, stepMs } = this.#scope;
    if (func === "start") return startMs / 1000;
    if (func === "end") return endMs / 1000;
    if (func === "range") return (endMs - startMs) / 1000;
    if (func === "step") return startMs === endMs ? 0 : stepMs / 1000;
    return undefined;
  }

  /**
   * timestamp of a selector is the time of the sample itself, not of the evaluation. With @ Prometheus forgets the offset
   * here: it looks at the fixed time, among the samples that it has read for the time the offset leads to.
   */
  #timestamp(call: Call, selector: VectorSelector): Planned {
    const at = selector.at !== undefined;
    if (call.func === "start_timestamp" && !this.#scope.useStarts) {
      const plan: Plan = { kind: "call", func: call.func, args: [], call };
      return { plan, invariant: at, wrap: at };
    }
    const { lookbackMs } = this.#scope;
    let leaf = this.#leaf(selector, call.func as Rollup, lookbackMs);
    if (at) {
      const offsetMs = Math.max(0, leaf.offsetMs - (selector.smoothed ? lookbackMs : 0));
      const rangeMs = Math.max(0, lookbackMs - offsetMs - Math.max(0, -leaf.offsetMs));
      leaf = { ...leaf, offsetMs, rangeMs };
    }
    return { plan: { ...leaf, keepsName: false, func: call.func }, invariant: at, wrap: at };
  }

  #rangeCall(call: Call, range: MatrixSelector | Subquery): Planned {
    const source = this.plan(range);
    const params = call.args.filter((arg) => withoutParens(arg) !== range).map((arg) => this.plan(arg));
    const invariant = !TIME_DEPENDENT.has(call.func) && source.invariant && params.every((param) => param.invariant);
    const plans = params.map((param) => (invariant ? param.plan : wrapped(param)));
    const absent = call.func === "absent_over_time";
    const rollup = absent ? "present_over_time" : call.func;
    if (!RANGE_FUNCTIONS.has(rollup)) throw new InternalError(`cannot plan function: got ${call.func}; want a rollup`);
    const inner =
      range.kind === "subquery"
        ? this.#overSubquery(call, rollup as Rollup, source.plan as SubqueryPlan, plans)
        : this.#overSelector(call, rollup as Rollup, range, plans);
    if (!absent) return { plan: inner, invariant, wrap: invariant };
    const plan: Plan = { kind: "absent-over-time", source: groupAll(inner), labels: absentLabels(range) };
    return { plan, invariant, wrap: invariant };
  }

  #overSubquery(call: Call, rollup: Rollup, source: SubqueryPlan, params: readonly Plan[]): RangePlan {
    const keepsName = NAME_KEEPING.has(call.func);
    // In Prometheus an evaluated subquery stands nowhere in the query.
    const first = withoutParens(call.args[0]!);
    const pos = first.kind === "subquery" ? { start: 0, end: 0 } : first.pos;
    return { kind: "range", rollup, source, params, keepsName, func: call.func, pos };
  }

  #overSelector(call: Call, rollup: Rollup, range: MatrixSelector, params: readonly Plan[]): LeafPlan {
    const { selector } = range;
    const rangeMs = foldDuration(range.range, false, this.#durations);
    const leaf = this.#leaf(selector, rollup, rangeMs);
    const named = {
      params,
      keepsName: NAME_KEEPING.has(call.func),
      func: call.func,
      pos: withoutParens(call.args[0]!).pos,
    };
    const window = this.#extendedWindow(selector, rangeMs, leaf.offsetMs);
    if (window === undefined) return { ...leaf, ...named };
    const known = selector.smoothed ? SMOOTHED_FUNCTIONS : ANCHORED_FUNCTIONS;
    const modifier = selector.smoothed ? "smoothed" : "anchored";
    if (!known.includes(call.func)) {
      const refusal = `${modifier} modifier can only be used with: ${known.join(", ")} - not with ${call.func}`;
      return { ...leaf, ...named, refusal };
    }
    return {
      ...leaf,
      ...named,
      rollup: `${call.func}_${modifier}` as Rollup,
      rangeMs: window.rangeMs,
      offsetMs: window.offsetMs,
      constants: [rangeMs, window.aheadMs],
    };
  }

  #info(call: Call): Planned {
    const base = this.plan(call.args[0]!);
    const selector = call.args[1] === undefined ? undefined : (withoutParens(call.args[1]) as VectorSelector);
    const invariant = base.invariant && selector === undefined;
    const reference = this.#infoReference(call.args[0]!, []) ?? { atMs: undefined, offsetMs: 0 };
    const plan: Plan = { kind: "info", base: invariant ? base.plan : wrapped(base), selector, ...reference };
    return { plan, invariant, wrap: invariant };
  }

  /**
   * The time at which info series are looked up: that of the first selector inside the first argument. The innermost @
   * among it and the subqueries around it counts, shifted by all offsets up to there.
   */
  #infoReference(expr: Expr, around: readonly Subquery[]): { atMs: number | undefined; offsetMs: number } | undefined {
    if (expr.kind === "selector") {
      let atMs = this.#atMs(expr.at);
      let offsetMs = expr.offset === undefined ? 0 : foldDuration(expr.offset, true, this.#durations);
      for (let i = around.length - 1; atMs === undefined && i >= 0; i--) {
        const { offset, at } = around[i]!;
        offsetMs += offset === undefined ? 0 : foldDuration(offset, true, this.#durations);
        atMs = this.#atMs(at);
      }
      return { atMs, offsetMs };
    }
    const path = expr.kind === "subquery" ? [...around, expr] : around;
    for (const child of children(expr)) {
      const found = this.#infoReference(child, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/**
 * present_over_time of all series as one series. Only a leaf can do that by itself; of a subquery they stay apart, with
 * their names, because nobody minds here if they are equal without.
 */
function groupAll(plan: LeafPlan | RangePlan): LeafPlan | RangePlan {
  if (plan.kind === "range") return { ...plan, keepsName: true };
  return { ...plan, aggregation: { op: "group", without: false, labels: [] } };
}
