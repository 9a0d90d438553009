// libs/promql/evaluate.ts: evaluates a plan over a grid: every node once, for all steps, operands first.
// Operands are requested together, so that the leaves of a query travel at the same time.
import { ExecutionError, type HistogramColumn, InternalError } from "../model/index.ts";
import { aggregateQuantile, aggregateSimply, aggregateVariance, countValues } from "./aggregate.ts";
import { checkCounts, extremes, keepBest, keepFirst, keepRatio } from "./aggregate-k.ts";
import { Annotations, quantileWarning } from "./annotations.ts";
import type { Aggregate } from "./ast.ts";
import { asMet, mergeEachKind } from "./both-kinds.ts";
import {
  type Column,
  columnsOf,
  floatsOf,
  hasPoint,
  histogramColumns,
  histogramOf,
  replicate,
  scalarOf,
  type Value,
  withHistograms,
} from "./column.ts";
import { dropNames, evaluateBinary } from "./evaluate-binary.ts";
import { evaluateLeaf, evaluateRange, insideSubquery, place } from "./evaluate-leaf.ts";
import type { Scope } from "./evaluation.ts";
import { callFunction } from "./functions.ts";
import { absentColumns } from "./functions-absent.ts";
import { evaluateInfo } from "./functions-info.ts";
import { isLabelName, relabelingOf } from "./functions-label.ts";
import { formatGeneral } from "./go-text.ts";
import { scale } from "./histogram-arithmetic.ts";
import { ignoredText } from "./leaf-notes.ts";
import { withoutParens } from "./parens.ts";
import type { AggregatePlan, ChainPlan, Plan, RangePlan } from "./plan-node.ts";
import { printExpr } from "./printer.ts";
import { type Steps, Stride } from "./stride.ts";

/** Aggregations that leave histograms out. */
const FLOATS_ONLY: ReadonlySet<string> = new Set(["stddev", "stdvar", "quantile", "topk", "bottomk", "min", "max"]);

/** What a histogram without buckets weighs, in points. */
const HISTOGRAM_POINTS = 3;

/** Operands of a long chain that are evaluated together. */
const CHAIN_BATCH = 16;

/**
 * Evaluates a plan on the scope's grid. Errors: ExecutionError, LimitError, TimeoutError, CanceledError, and whatever
 * the storages answer.
 */
export async function evaluate(plan: Plan, scope: Scope): Promise<Value> {
  const { trace } = scope.run;
  const opened = trace && scope.node && trace.open(scope.node, plan);
  if (opened === undefined) return evaluateRoot(plan, scope);
  const value = await evaluateRoot(plan, { ...scope, node: opened.node });
  trace!.close(opened, value.kind === "vector" ? value.columns.length : 0, pointsOf(value));
  return value;
}

/** Like evaluate; the node of the trace is the scope's own. */
export async function evaluateRoot(plan: Plan, scope: Scope): Promise<Value> {
  const { budget } = scope.run;
  budget.check();
  const value = await evaluateNode(plan, scope);
  hold(scope, value);
  return value;
}

function pointsOf(value: Value): number {
  if (value.kind === "string") return 0;
  if (value.kind === "scalar") return value.values.length;
  if (value.columns.length === 0) return 0;
  let points = value.columns.length * value.columns[0]!.values.length;
  for (const { histograms } of value.columns) if (histograms !== undefined) points += histogramPoints(histograms);
  return points;
}

/** A histogram weighs as much as floats of its size, each with its time, do. */
function histogramPoints({ layoutOf, buckets }: HistogramColumn): number {
  return HISTOGRAM_POINTS * layoutOf.length + Math.ceil(buckets.length / 2);
}

/** Tells the budget of a value. Errors: LimitError. */
function hold(scope: Scope, value: Value): void {
  scope.run.budget.hold(pointsOf(value), textBytesOf(value));
}

/** Tells the budget that operands have been used. */
function release(scope: Scope, ...values: Value[]): void {
  for (const value of values) scope.run.budget.release(pointsOf(value), textBytesOf(value));
}

function textBytesOf(value: Value): number {
  return value.kind === "vector" ? (value.textBytes ?? 0) : 0;
}

async function evaluateNode(plan: Plan, scope: Scope): Promise<Value> {
  switch (plan.kind) {
    case "number":
      return { kind: "scalar", values: new Float64Array(scope.grid.count).fill(plan.value) };
    case "string":
      return { kind: "string", value: plan.value };
    case "leaf": {
      const params = await evaluateAll(plan.params, scope);
      release(scope, ...params);
      return evaluateLeaf(plan, params, scope);
    }
    case "range":
      return evaluateOverSubquery(plan, scope);
    case "absent-over-time": {
      const source = await evaluate(plan.source, scope);
      release(scope, source);
      const dropName = scope.run.delayedNames;
      return { kind: "vector", columns: absentColumns(columnsOf(source), plan.labels, scope.grid.count, dropName) };
    }
    case "info": {
      const base = await evaluate(plan.base, scope);
      release(scope, base);
      return { kind: "vector", columns: await evaluateInfo(plan, columnsOf(base), scope) };
    }
    case "call": {
      const relabel = relabelingOf(plan.func, textsOf(plan.args));
      const args = await evaluateAll(plan.args, scope);
      const { budget } = scope.run;
      const relabeled = relabel && (await budget.inSlices(relabel(columnsOf(args[0]!), budget)));
      release(scope, ...args);
      return relabeled ?? budget.inSlices(callFunction(plan, args.map(met), scope));
    }
    case "aggregate":
      return evaluateAggregate(plan, scope);
    case "chain":
      return evaluateChain(plan, scope);
    case "negate": {
      const child = await evaluate(plan.child, scope);
      release(scope, child);
      return scope.run.budget.inSlices(negate(child, scope));
    }
    case "once": {
      if (scope.grid.count === 1) return evaluateNode(plan.child, { ...scope, ranged: false });
      const child = await evaluate(plan.child, { ...scope, grid: { ...scope.grid, count: 1 }, ranged: false });
      release(scope, child);
      return replicate(child, scope.grid.count);
    }
    default:
      throw new InternalError(`cannot evaluate expression: got a range vector; want an instant vector or a scalar`);
  }
}

/** An operand as what goes from step to step meets it. */
function met(value: Value): Value {
  return value.kind === "vector" ? { kind: "vector", columns: asMet(value.columns) } : value;
}

/** What stands in a call as a text. */
function textsOf(plans: readonly Plan[]): string[] {
  return plans.flatMap((plan) => (plan.kind === "string" ? [plan.value] : []));
}

/** A range function over a subquery: first the subquery, on a grid of its own. */
async function evaluateOverSubquery(plan: RangePlan, scope: Scope): Promise<Value> {
  const { budget } = scope.run;
  const params = await evaluateAll(plan.params, scope);
  const placement = place(plan.rollup, params, plan.source.atMs, scope);
  const inside = insideSubquery(plan.source, placement.grid, scope);
  const { grid: inner } = inside;
  if (inner.count === 0) return { kind: "vector", columns: [] };
  // Columns of the child are as long as the inner grid: one that cannot be held is refused before it is built.
  budget.hold(inner.count);
  const { offsetMs, rangeMs } = plan.source;
  const counts = scope.counts?.within(inner, placement.grid, offsetMs, rangeMs);
  const child = await evaluate(plan.source.child, { ...scope, ...inside, counts });
  budget.release(inner.count);
  release(scope, child, ...params);
  return budget.inSlices(evaluateRange(plan, placement, inner, columnsOf(child), scope));
}

/** Evaluates operands at the same time; their annotations are merged in the order of the operands. */
async function evaluateAll(plans: readonly Plan[], scope: Scope): Promise<Value[]> {
  if (plans.length === 1) return [await evaluate(plans[0]!, scope)];
  const operands = await evaluateApart(plans, scope);
  return operands.map((operand) => take(operand, scope));
}

/** An operand's value and annotations; or why it has none, which matters only once the operands before it are used. */
type Operand = { readonly value: Value; readonly notes: Annotations } | ExecutionError;

/** Evaluates operands at the same time, each with annotations of its own. Errors other than ExecutionError end them all. */
async function evaluateApart(plans: readonly Plan[], scope: Scope): Promise<Operand[]> {
  return Promise.all(
    plans.map(async (plan): Promise<Operand> => {
      const notes = new Annotations();
      try {
        return { value: await evaluate(plan, { ...scope, notes }), notes };
      } catch (error) {
        if (error instanceof ExecutionError) return error;
        throw error;
      }
    }),
  );
}

/** The next operand to be used: its annotations go to the scope's. Errors: the operand's. */
function take(operand: Operand, scope: Scope): Value {
  if (operand instanceof ExecutionError) throw operand;
  scope.notes.merge(operand.notes);
  return operand.value;
}

/** `first op right op right …`: operands in batches, operators from the left. */
async function evaluateChain(plan: ChainPlan, scope: Scope): Promise<Value> {
  const { first, links } = plan;
  let left: Value | undefined;
  for (let from = 0; from < links.length; from += CHAIN_BATCH) {
    const batch = links.slice(from, from + CHAIN_BATCH);
    const rights = batch.map((link) => link.right);
    const operands = await evaluateApart(left === undefined ? [first, ...rights] : rights, scope);
    left ??= take(operands.shift()!, scope);
    for (let i = 0; i < batch.length; i++) {
      // What an operator notes comes behind its own operands' annotations and before the next one's.
      const right = take(operands[i]!, scope);
      const steps = evaluateBinary(batch[i]!.node, met(left), met(right), scope);
      const result: Value = await scope.run.budget.inSlices(steps);
      hold(scope, result);
      release(scope, left, right);
      left = result;
    }
  }
  // The result is counted once more by the caller.
  release(scope, left!);
  return left!;
}

function* negate(child: Value, scope: Scope): Steps<Value> {
  if (child.kind === "scalar") return { kind: "scalar", values: child.values.map((value) => -value) };
  const columns: Column[] = [];
  const stride = new Stride();
  for (const column of columnsOf(child)) {
    if (stride.isOver(column.values.length)) yield;
    const negated = { ...column, values: column.values.map((value) => -value) };
    if (column.histograms === undefined) {
      columns.push(negated);
      continue;
    }
    const histograms = Array.from(column.values, (_, s) => {
      const histogram = hasPoint(column.present, s) ? histogramOf(column, s) : undefined;
      return histogram && scale(histogram, -1);
    });
    columns.push(withHistograms(negated, histograms));
  }
  return { kind: "vector", columns: dropNames(columns, scope.run.delayedNames, mergeEachKind) };
}

async function evaluateAggregate(plan: AggregatePlan, scope: Scope): Promise<Value> {
  const { expr, child, param } = plan;
  const label = param?.kind === "string" ? param.value : "";
  if (expr.op === "count_values" && !isLabelName(label)) {
    throw new ExecutionError(`invalid label name ${printExpr(withoutParens(expr.param!))}`);
  }
  const values = await evaluateAll(param === undefined ? [child] : [param, child], scope);
  release(scope, ...values);
  let columns = asMet(columnsOf(values.at(-1)!));
  const { count } = scope.grid;
  const { notes } = scope;
  const { budget } = scope.run;
  if (FLOATS_ONLY.has(expr.op)) {
    const k = expr.op === "topk" || expr.op === "bottomk" ? scalarOf(values[0]!) : undefined;
    if (meetsAny(histogramColumns(columns), k))
      notes.info(ignoredText(expr.op), k === undefined ? withoutParens(expr.expr).pos : expr.pos);
    columns = floatsOf(columns);
  }
  switch (expr.op) {
    case "stddev":
    case "stdvar":
      return { kind: "vector", columns: await budget.inSlices(aggregateVariance(expr, columns, count)) };
    case "quantile": {
      const phi = scalarOf(values[0]!);
      warnAboutQuantiles(expr, phi, scope);
      return { kind: "vector", columns: await budget.inSlices(aggregateQuantile(expr, columns, phi, count)) };
    }
    case "count_values":
      return budget.inSlices(countValues(expr, label, columns, count, budget));
    case "topk":
    case "bottomk":
    case "limitk": {
      const k = scalarOf(values[0]!);
      if (checkCounts(k) === "none") return { kind: "vector", columns: [] };
      const keep = expr.op === "limitk" ? keepFirst : keepBest;
      return { kind: "vector", columns: await budget.inSlices(keep(expr, columns, k, count)) };
    }
    case "limit_ratio":
      return { kind: "vector", columns: limitRatio(expr, columns, scalarOf(values[0]!), scope) };
    default: {
      const place = { pos: withoutParens(expr.expr).pos, notes };
      return { kind: "vector", columns: await budget.inSlices(aggregateSimply(expr, columns, count, place)) };
    }
  }
}

/** Whether an aggregation meets any of these points: with a k, Prometheus does not look where none is to be kept. */
function meetsAny(columns: readonly Column[], k: Float64Array | undefined): boolean {
  if (k === undefined) return columns.length > 0;
  return k.some((size, step) => size >= 1 && columns.some(({ present }) => hasPoint(present, step)));
}

function warnAboutQuantiles(expr: Aggregate, phi: Float64Array, scope: Scope): void {
  const { min, max, hasNan } = extremes(phi);
  const { pos } = withoutParens(expr.param!);
  if (hasNan) scope.notes.warn(quantileWarning(Number.NaN), pos);
  if (max > 1) scope.notes.warn(quantileWarning(max), pos);
  if (min < 0) scope.notes.warn(quantileWarning(min), pos);
}

function limitRatio(expr: Aggregate, columns: readonly Column[], ratio: Float64Array, scope: Scope): Column[] {
  const { min, max, hasNan } = extremes(ratio);
  if (min === 0 && max === 0) return [];
  if (hasNan) throw new ExecutionError("Ratio value is NaN");
  const { pos } = withoutParens(expr.param!);
  const text = "ratio value should be between -1 and 1, got";
  if (max > 1) scope.notes.warn(`${text} ${formatGeneral(max)}, capping to 1`, pos);
  if (min < -1) scope.notes.warn(`${text} ${formatGeneral(min)}, capping to -1`, pos);
  return keepRatio(columns, ratio, scope.grid.count);
}
