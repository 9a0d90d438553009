// libs/promql/engine.ts: the PromQL engine: instant and range queries over any Queryable.
// Everything is evaluated column-wise over the whole grid: a query of n steps costs n slots per series, not n passes.
import {
  ExecutionError,
  type Grid,
  InvalidError,
  type LevelChoice,
  type Queryable,
  type QueryContext,
  type StepColumn,
} from "../model/index.ts";
import { Annotations } from "./annotations.ts";
import type { Expr, ValueType } from "./ast.ts";
import { asElements, asSeries, kindsOf, mergeEachKind, withTimes } from "./both-kinds.ts";
import { Budget, type QueryStats } from "./budget.ts";
import { anyPresent, byLabels, type Column, columnsOf, dropMetadata, scalarOf } from "./column.ts";
import { evaluate, evaluateRoot } from "./evaluate.ts";
import { insideSubquery } from "./evaluate-leaf.ts";
import type { Run, Scope } from "./evaluation.ts";
import { annotate } from "./leaf-notes.ts";
import { LeafRequests } from "./leaf-requests.ts";
import { ALL_OPTIONS, type ParserOptions } from "./options.ts";
import { ParsedQueries } from "./parsed-queries.ts";
import { planQuery } from "./plan.ts";
import type { MatrixPlan, Plan, SubqueryPlan } from "./plan-node.ts";
import { describePlan, hasOneLeaf } from "./plan-text.ts";
import type { QueryProgress } from "./progress.ts";
import { extendedPoints } from "./rollup-extended.ts";
import { SampleCounts } from "./sample-counts.ts";
import { Trace, type TraceNode, traceLeaf } from "./trace.ts";
import { valueType } from "./typecheck.ts";
import { walk } from "./walk.ts";

export interface EngineOptions {
  /** Wall-clock ms, of the clock that query deadlines refer to. */
  readonly now: () => number;
  /** Monotonic ms, for traces. Default `now`. */
  readonly monotonicMs?: () => number;
  /** How far back an instant selector looks for a sample. Default 5 minutes. */
  readonly lookbackMs?: number;
  /** Step of subqueries that name none. Default 1 minute. */
  readonly defaultSubqueryStepMs?: number;
  /** Prometheus' promql-delayed-name-removal: names go at the end of the query. Default false, as in a stock server. */
  readonly delayedNameRemoval?: boolean;
  /** Prometheus' use-start-timestamps: counters look at start times where storages know them. Default false. */
  readonly useStartTimestamps?: boolean;
  /** Whether storages aggregate their leaves. Default true; false is for comparing. */
  readonly pushDown?: boolean;
  /** The language accepted in query texts. Default all of it. */
  readonly parser?: ParserOptions;
}

/** What a single query may choose for itself. */
export interface QueryChoices {
  readonly lookbackMs?: number;
  /** Which level of resolution it is answered from. Default auto. */
  readonly level?: LevelChoice;
  /** Whether samples are counted step by step, which costs about as much again. */
  readonly countSamples?: boolean;
  /** Told how far the query is. */
  readonly progress?: QueryProgress;
  /** Whether the result says what each node did. */
  readonly trace?: boolean;
}

/** The value of a query. Columns of a matrix lie on the grid, unless they carry times of their own. */
export type QueryValue =
  | { readonly type: "scalar"; readonly timeMs: number; readonly value: number }
  | { readonly type: "string"; readonly timeMs: number; readonly value: string }
  | { readonly type: "vector"; readonly timeMs: number; readonly columns: readonly StepColumn[] }
  | { readonly type: "matrix"; readonly grid: Grid; readonly columns: readonly StepColumn[] };

export interface QueryResult {
  readonly value: QueryValue;
  /** Full texts, with positions in the query. */
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  readonly stats: QueryStats;
  /** When they were asked for. */
  readonly counts?: SampleCounts;
  /** Only when it was asked for. */
  readonly trace?: TraceNode;
}

const DOCUMENTED_TYPES: Readonly<Record<ValueType, string>> = {
  scalar: "scalar",
  vector: "instant vector",
  matrix: "range vector",
  string: "string",
  none: "none",
};

/** Functions and aggregations whose order of results is part of the answer of an instant query. */
const ORDERING: ReadonlySet<string> = new Set([
  "sort",
  "sort_desc",
  "sort_by_label",
  "sort_by_label_desc",
  "topk",
  "bottomk",
]);

/** Evaluates queries. Of what it has evaluated it keeps trees of queries only. */
export class Engine {
  readonly #options: Required<EngineOptions>;
  readonly #parsed: ParsedQueries;

  constructor(options: EngineOptions) {
    this.#options = {
      lookbackMs: 5 * 60_000,
      defaultSubqueryStepMs: 60_000,
      delayedNameRemoval: false,
      useStartTimestamps: false,
      pushDown: true,
      parser: ALL_OPTIONS,
      monotonicMs: options.now,
      ...options,
    };
    this.#parsed = new ParsedQueries(this.#options.parser);
  }

  /**
   * Evaluates a query at one time. Vectors are ordered by labels, or as sort and topk say.
   * Errors: ParseError and InvalidError for the query itself, ExecutionError, LimitError, TimeoutError, CanceledError.
   */
  async instant(
    queryable: Queryable,
    query: string | Expr,
    timeMs: number,
    context: QueryContext,
    choices: QueryChoices = {},
  ): Promise<QueryResult> {
    const expr = this.#parse(query);
    const grid: Grid = { startMs: timeMs, stepMs: 1, count: 1 };
    return this.#run(queryable, query, expr, grid, { startMs: timeMs, endMs: timeMs, stepMs: 0 }, context, choices);
  }

  /**
   * Evaluates a query at startMs, startMs + stepMs, … up to endMs. The result is a matrix, ordered by labels.
   * Errors: as instant; InvalidError also for a step that is not positive and for results that are no instant vectors.
   */
  async range(
    queryable: Queryable,
    query: string | Expr,
    startMs: number,
    endMs: number,
    stepMs: number,
    context: QueryContext,
    choices: QueryChoices = {},
  ): Promise<QueryResult> {
    const expr = this.#parse(query);
    const type = valueType(expr);
    if (type !== "scalar" && type !== "vector") {
      const got = DOCUMENTED_TYPES[type];
      throw new InvalidError(
        `invalid expression type ${JSON.stringify(got)} for range query, must be Scalar or instant Vector`,
      );
    }
    if (!(stepMs > 0)) throw new InvalidError(`cannot evaluate range: got a step of ${stepMs} ms; want more than 0`);
    if (endMs < startMs) throw new InvalidError(`cannot evaluate range: got end ${endMs}; want at least ${startMs}`);
    const grid: Grid = { startMs, stepMs, count: Math.floor((endMs - startMs) / stepMs) + 1 };
    return this.#run(queryable, query, expr, grid, { startMs, endMs, stepMs }, context, choices);
  }

  #parse(query: string | Expr): Expr {
    return typeof query === "string" ? this.#parsed.parse(query) : query;
  }

  async #run(
    queryable: Queryable,
    query: string | Expr,
    expr: Expr,
    grid: Grid,
    times: { startMs: number; endMs: number; stepMs: number },
    context: QueryContext,
    choices: QueryChoices,
  ): Promise<QueryResult> {
    const { delayedNameRemoval: delayedNames, defaultSubqueryStepMs, pushDown } = this.#options;
    const { useStartTimestamps: useStarts } = this.#options;
    const lookbackMs = choices.lookbackMs ?? this.#options.lookbackMs;
    const plan = planQuery(expr, { ...times, lookbackMs, defaultSubqueryStepMs, delayedNames, pushDown, useStarts });
    const { progress } = choices;
    if (progress !== undefined) progress.plan = () => describePlan(plan);
    const budget = new Budget(context, this.#options.now, progress);
    const trace = choices.trace === true ? new Trace(plan, this.#options.monotonicMs) : undefined;
    const notes = new Annotations();
    // When one leaf fails, the others have no reader any more. Most plans have one leaf and no others, and joined signals
    // are a good part of what a small query costs.
    const abort = hasOneLeaf(plan) ? undefined : new AbortController();
    const forward = abort && (() => abort.abort(context.signal.reason));
    if (forward !== undefined) context.signal.addEventListener("abort", forward, { once: true });
    const signal = abort?.signal ?? context.signal;
    const leaves = new LeafRequests(queryable, { ...context, signal }, budget, choices.level);
    const counts = choices.countSamples === true ? new SampleCounts(grid) : undefined;
    const run: Run = { leaves, budget, lookbackMs, delayedNames, useStarts, ...(trace === undefined ? {} : { trace }) };
    const node = trace === undefined ? {} : { node: trace.root };
    try {
      budget.check();
      budget.hold(grid.count);
      const value = await finish(
        plan,
        expr,
        { run, grid, ranged: times.startMs !== times.endMs, notes, counts, ...node },
        times.stepMs > 0,
      );
      await counts?.settle(queryable, { ...context, signal });
      budget.check();
      const text = typeof query === "string" ? query : "";
      return {
        value,
        warnings: notes.texts("warning", text),
        infos: notes.texts("info", text),
        stats: budget.stats(),
        ...(counts === undefined ? {} : { counts }),
        ...(trace === undefined ? {} : { trace: trace.finish(...sizeOf(value)) }),
      };
    } catch (error) {
      abort?.abort();
      throw error;
    } finally {
      if (forward !== undefined) context.signal.removeEventListener("abort", forward);
    }
  }
}

/** Series and points of a result. */
function sizeOf(value: QueryValue): [series: number, points: number] {
  if (value.type === "scalar" || value.type === "string") return [0, 1];
  return [value.columns.length, value.columns.reduce((points, column) => points + column.values.length, 0)];
}

/** Evaluates the root and shapes the result. */
async function finish(plan: Plan, expr: Expr, scope: Scope, isRange: boolean): Promise<QueryValue> {
  const { grid } = scope;
  const timeMs = grid.startMs;
  if (plan.kind === "matrix") return rawSamples(plan, scope);
  if (plan.kind === "subquery") return subqueryPoints(plan, scope);
  const value = await evaluateRoot(plan, scope);
  if (value.kind === "string") return { type: "string", timeMs, value: value.value };
  if (value.kind === "scalar") {
    if (!isRange) return { type: "scalar", timeMs, value: scalarOf(value)[0]! };
    return { type: "matrix", grid, columns: [{ labels: [], values: value.values, present: null }] };
  }
  const columns = finalNames(columnsOf(value), scope.run.delayedNames);
  if (isRange) return { type: "matrix", grid, columns: byLabels(asSeries(columns, grid)) };
  const elements = asElements(columns);
  return { type: "vector", timeMs, columns: isOrdered(expr) ? elements : byLabels(elements) };
}

/** Drops the names that were left for the end. Errors: ExecutionError when series become equal and overlap. */
function finalNames(columns: readonly Column[], delayedNames: boolean): readonly Column[] {
  const present = columns.filter((column) => anyPresent(column.present));
  if (!delayedNames) return present;
  const named = present.map((column) =>
    column.dropName ? { ...column, labels: dropMetadata(column.labels) } : column,
  );
  return mergeEachKind(named);
}

/** Whether anything in the query orders its results. What a subquery orders is out of order again. */
function isOrdered(expr: Expr): boolean {
  let found = false;
  walk(expr, (node) => {
    const name = node.kind === "call" ? node.func : node.kind === "aggregate" ? node.op : "";
    if (ORDERING.has(name)) found = true;
    return !found && node.kind !== "subquery";
  });
  return found;
}

/** A range selector: the samples themselves. */
async function rawSamples(plan: MatrixPlan, scope: Scope): Promise<QueryValue> {
  const { leaf, extended } = plan;
  const grid: Grid = { startMs: leaf.atMs ?? scope.grid.startMs, stepMs: 0, count: 1 };
  const result = await scope.run.leaves.evaluate({
    matchers: leaf.matchers,
    grid,
    rollup: "samples",
    rangeMs: leaf.rangeMs,
    offsetMs: leaf.offsetMs,
    args: [],
    dropName: false,
  });
  if (scope.node !== undefined) traceLeaf(scope.node, result);
  for (const warning of result.warnings) scope.notes.addStorageWarning(warning);
  annotate(result.notes ?? [], leaf.pos, leaf.aggregatedPos, "", scope.notes);
  const columns: StepColumn[] = [];
  for (const { labels, values, times, histograms } of result.columns) {
    if (histograms !== undefined) {
      const modifier = extended?.smoothed ? "smoothed" : "anchored";
      if (extended !== undefined) throw new ExecutionError(`${modifier} modifier is not supported with histograms`);
      columns.push({ labels, times: times!, values, present: null, histograms });
      continue;
    }
    let points = { times: times!, values };
    if (extended !== undefined) {
      const endMs = grid.startMs - leaf.offsetMs - extended.aheadMs;
      points = extendedPoints(times!, values, endMs - extended.rangeMs, endMs, extended.smoothed);
    }
    if (points.values.length > 0) columns.push({ labels, ...points, present: null });
  }
  const points = columns.reduce((sum, { values }) => sum + values.length, 0);
  scope.counts?.addAnswer(points);
  return { type: "matrix", grid: scope.grid, columns: byLabels(columns) };
}

/** A subquery as a query's result: the points of its own grid. */
async function subqueryPoints(plan: SubqueryPlan, scope: Scope): Promise<QueryValue> {
  const inside = insideSubquery(plan, scope.grid, scope);
  const { grid: inner } = inside;
  if (inner.count === 0) return { type: "matrix", grid: scope.grid, columns: [] };
  scope.run.budget.hold(inner.count);
  const counts = scope.counts?.within(inner, scope.grid, 0, 0);
  const value = await evaluate(plan.child, { ...scope, ...inside, counts });
  const columns = finalNames(columnsOf(value), scope.run.delayedNames);
  const series = kindsOf(columns).map((kinds) => withTimes(kinds, inner));
  return { type: "matrix", grid: scope.grid, columns: byLabels(series) };
}
