// libs/promql/evaluate-leaf.ts: leaves (asked of the storages) and range functions over subqueries (computed here).
import {
  ExecutionError,
  type FloatHistogram,
  type Grid,
  HINT_GAUGE,
  HINT_UNKNOWN,
  type HistogramColumn,
  type Labels,
  type Leaf,
  type LeafResult,
  labelValue,
  METRIC_NAME,
  packHistograms,
  type StepColumn,
} from "../model/index.ts";
import { aggregateSimply } from "./aggregate.ts";
import { quantileWarning } from "./annotations.ts";
import {
  anyPresent,
  byLabels,
  type Column,
  dropMetadata,
  hasFloats,
  hasPoint,
  hasSameLabels,
  histogramOf,
  replicate,
  SAME_LABELSET,
  scalarOf,
  type Value,
  type VectorValue,
} from "./column.ts";
import { gridSeconds, gridTimes, type Scope } from "./evaluation.ts";
import { quote } from "./go-text.ts";
import { withHint } from "./histogram-arithmetic.ts";
import { annotate, LeafNotes } from "./leaf-notes.ts";
import { finishPartials } from "./merge.ts";
import { metDiscord } from "./partial-histogram.ts";
import type { LeafPlan, RangePlan, SubqueryPlan } from "./plan-node.ts";
import { formatFixed } from "./quote.ts";
import { evaluateRollup } from "./rollup.ts";
import { evaluateSamples, readsStarts } from "./rollup-samples.ts";
import type { SeriesSamples } from "./series-samples.ts";
import { traceLeaf } from "./trace.ts";
import { createWindowPlan, planWindows, type WindowPlan } from "./window-plan.ts";

type Args = (number | Float64Array)[];

/** Where a rollup is evaluated, and with which scalar parameters. */
export interface Placement {
  readonly grid: Grid;
  readonly args: Args;
}

/** A selector or a range function over one; `params` are its evaluated scalar parameters. */
export async function evaluateLeaf(plan: LeafPlan, params: readonly Value[], scope: Scope): Promise<VectorValue> {
  const { run, notes } = scope;
  const { grid, args } = place(plan.rollup, params, plan.atMs, scope);
  const leaf: Leaf = {
    matchers: plan.matchers,
    grid,
    rollup: plan.rollup,
    rangeMs: plan.rangeMs,
    offsetMs: plan.offsetMs,
    args: [...plan.constants, ...args],
    dropName: !plan.keepsName && !run.delayedNames && plan.name !== "",
    ...(plan.countsOnly ? { countsOnly: true } : {}),
    ...(run.useStarts && readsStarts(plan.rollup) ? { useStarts: true } : {}),
    ...(plan.aggregation === undefined ? {} : { aggregation: plan.aggregation }),
  };
  scope.counts?.addLeaf(leaf);
  const result = await run.leaves.evaluate(leaf);
  if (scope.node !== undefined) traceLeaf(scope.node, result);
  for (const warning of result.warnings) notes.addStorageWarning(warning);
  if (plan.rollup === "double_exponential_smoothing" && result.seriesCount > 0) checkFactors(args);
  let columns: Column[];
  if (plan.aggregation === undefined) columns = seriesOf(plan, result, scope);
  else columns = await groupsOf(plan, leaf, result, scope);
  if (!result.notes?.some((note) => note.kind === "only_histograms")) noteRollup(plan, columns, args, scope);
  if (plan.aggregation === undefined && !plan.keepsName && !run.delayedNames)
    columns = withoutNames(columns, plan.name);
  return repeatOver({ kind: "vector", columns }, grid, scope.grid);
}

/** What was noted about samples, with places in the query. */
function noteSamples(plan: LeafPlan, noted: LeafResult["notes"], scope: Scope): void {
  annotate(noted ?? [], plan.pos, plan.aggregatedPos, plan.aggregation?.op ?? "", scope.notes);
}

/**
 * Columns of series, names as the storage sent them. With histograms they come in the order of their labels: what is
 * said of those that do not go together depends on it.
 */
function seriesOf(plan: LeafPlan, result: LeafResult, scope: Scope): Column[] {
  noteSamples(plan, result.notes, scope);
  const columns = asColumns(plan, result.columns, scope);
  return columns.some(({ histograms }) => histograms !== undefined) ? byLabels(columns) : columns;
}

function asColumns(plan: LeafPlan, found: readonly StepColumn[], scope: Scope): Column[] {
  const dropName = !plan.keepsName && scope.run.delayedNames;
  const out: Column[] = [];
  for (const { labels, values, present, histograms } of found) {
    if (!anyPresent(present)) continue;
    if (histograms === undefined) out.push({ labels, values, present, dropName });
    else out.push({ labels, values, present, dropName, histograms });
  }
  return out;
}

/**
 * Columns of groups. A leaf is asked for again without the aggregation where partials cannot tell all: the partial sums
 * of an average can overflow where Prometheus' incremental mean does not, and the order of what does not go together counts.
 */
async function groupsOf(plan: LeafPlan, leaf: Leaf, result: LeafResult, scope: Scope): Promise<Column[]> {
  const { op, without, labels: grouping } = plan.aggregation!;
  const noted = new LeafNotes();
  const columns = asColumns(plan, finishPartials(op, result.columns, noted), scope);
  if (!result.columns.some(metDiscord) && (op !== "avg" || columns.every(allFinite))) {
    noteSamples(plan, result.notes, scope);
    noteSamples(plan, noted.list(), scope);
    return columns;
  }
  const { aggregation: _, ...plain } = leaf;
  const series = seriesOf(plan, await scope.run.leaves.evaluate(plain), scope);
  const place = { pos: plan.aggregatedPos, notes: scope.notes };
  return aggregateSimply({ op, without, grouping }, series, leaf.grid.count, place);
}

function allFinite({ values, present, histograms }: Column): boolean {
  if (histograms !== undefined) {
    const { counts, sums, zeroCounts, buckets } = histograms;
    for (const numbers of [counts, sums, zeroCounts, buckets]) if (!numbers.every(Number.isFinite)) return false;
  }
  for (let s = 0; s < values.length; s++) if (!Number.isFinite(values[s]!) && hasPoint(present, s)) return false;
  return true;
}

/**
 * The grid and the scalar parameters of a rollup. With @ one step is enough, unless the parameters change from step to
 * step: then every step has the same time. predict_linear counts from the step, not from the fixed time.
 */
export function place(rollup: string, params: readonly Value[], atMs: number | undefined, scope: Scope): Placement {
  const args = params.map((param) => constantOf(scalarOf(param)));
  if (atMs === undefined) return { grid: scope.grid, args };
  if (rollup === "predict_linear") {
    const [ahead] = args;
    args[0] = gridSeconds(scope.grid).map(
      (seconds, s) => seconds - atMs / 1000 + (typeof ahead === "number" ? ahead : ahead![s]!),
    );
  }
  const count = args.some((arg) => typeof arg !== "number") ? scope.grid.count : 1;
  return { grid: { startMs: atMs, stepMs: 0, count }, args };
}

/** A number when all steps have the same one, so that equal leaves can be told. */
function constantOf(values: Float64Array): number | Float64Array {
  const [first] = values;
  return values.every((value) => Object.is(value, first)) ? first! : values;
}

function repeatOver(value: VectorValue, from: Grid, to: Grid): VectorValue {
  return from.count === to.count ? value : (replicate(value, to.count) as VectorValue);
}

/** Errors: ExecutionError when a factor of double_exponential_smoothing is outside (0, 1) at any step; NaN makes NaN. */
function checkFactors([smoothing, trend]: Args): void {
  const steps = Math.max(...[smoothing!, trend!].map((arg) => (typeof arg === "number" ? 1 : arg.length)));
  const check = (name: string, short: string, factor: number): void => {
    if (!(factor <= 0 || factor >= 1)) return;
    throw new ExecutionError(`invalid ${name}. Expected: 0 < ${short} < 1, got: ${formatFixed(factor)}`);
  };
  for (let step = 0; step < steps; step++) {
    check("smoothing factor", "sf", typeof smoothing === "number" ? smoothing : smoothing![step]!);
    check("trend factor", "tf", typeof trend === "number" ? trend : trend![step]!);
  }
}

/** The annotations of range functions: doubtful counters, and φ outside [0, 1]. */
function noteRollup(plan: LeafPlan | RangePlan, all: readonly Column[], args: Args, scope: Scope): void {
  const columns = all.filter(hasFloats);
  if (columns.length === 0) return;
  if (plan.func === "rate" || plan.func === "increase") {
    const known = plan.kind === "leaf" ? plan.name : "";
    const names = known === "" ? new Set(columns.map((column) => labelValue(column.labels, METRIC_NAME))) : [known];
    for (const name of names) {
      if (name === "" || /_(?:total|sum|count|bucket)$/.test(name)) continue;
      const text = `metric might not be a counter, name does not end in _total/_sum/_count/_bucket: ${quote(name)}`;
      scope.notes.info(text, plan.pos);
    }
  }
  if (plan.func !== "quantile_over_time") return;
  const phi = args[0]!;
  if (typeof phi === "number") {
    if (!(phi >= 0 && phi <= 1)) scope.notes.warn(quantileWarning(phi), plan.pos);
    return;
  }
  for (let s = 0; s < phi.length; s++) {
    if (phi[s]! >= 0 && phi[s]! <= 1) continue;
    if (columns.some((column) => hasPoint(column.present, s))) scope.notes.warn(quantileWarning(phi[s]!), plan.pos);
  }
}

/** Series of one metric stay distinct without their name. Errors: ExecutionError when any become equal. */
function withoutNames(columns: readonly Column[], name: string): Column[] {
  let typed = false;
  const out = columns.map((column) => {
    const labels = dropMetadata(column.labels);
    if (column.labels.length - labels.length > 2 || (labels !== column.labels && !hasName(column.labels))) typed = true;
    return labels === column.labels ? column : { ...column, labels };
  });
  if ((name === "" || typed) && hasSameLabels(out)) throw new ExecutionError(SAME_LABELSET);
  return out;
}

function hasName(labels: Labels): boolean {
  return labelValue(labels, METRIC_NAME) !== "";
}

/** The evaluation times of a subquery inside the given grid: multiples of its step that some window reaches. */
export function subqueryGrid(plan: SubqueryPlan, grid: Grid): Grid {
  const { stepMs, rangeMs, offsetMs } = plan;
  const first = (plan.atMs ?? grid.startMs) - offsetMs;
  const last = endOf(plan, grid);
  const startMs = (Math.floor((first - rangeMs) / stepMs) + 1) * stepMs;
  return { startMs, stepMs, count: Math.max(0, Math.floor((last - startMs) / stepMs) + 1) };
}

function endOf({ atMs, offsetMs }: SubqueryPlan, grid: Grid): number {
  return (atMs ?? grid.startMs + (grid.count - 1) * grid.stepMs) - offsetMs;
}

/** Whether a subquery inside the given grid, evaluated on `inner`, begins before the end of its last window. */
export function isRanged(plan: SubqueryPlan, grid: Grid, inner: Grid): boolean {
  return inner.startMs !== endOf(plan, grid);
}

/** A range function over a subquery whose expression has been evaluated on `inner`. */
export function evaluateRange(
  plan: RangePlan,
  placement: Placement,
  inner: Grid,
  series: readonly Column[],
  scope: Scope,
): VectorValue {
  const { source, rollup, keepsName } = plan;
  const { grid, args } = placement;
  const { run } = scope;
  if (rollup === "double_exponential_smoothing" && series.length > 0) checkFactors(args);
  const times = gridTimes(inner);
  const shared = planWindows(times, inner.count, grid, source.rangeMs, source.offsetMs, createWindowPlan());
  const own = createWindowPlan();
  const ownTimes = new Float64Array(inner.count);
  const ownValues = new Float64Array(inner.count);
  const noted = new LeafNotes();
  const windows = scope.counts === undefined ? undefined : new Float64Array(grid.count);
  const columns: Column[] = [];
  for (const column of series) {
    const values = new Float64Array(grid.count);
    const present = new Uint8Array(grid.count);
    let points: number;
    let histograms: HistogramColumn | undefined;
    if (column.histograms !== undefined) {
      const samples = samplesOf(times, column);
      planWindows(samples.times, samples.n, grid, source.rangeMs, source.offsetMs, own);
      countWindows(windows, own);
      const name = labelValue(column.labels, METRIC_NAME);
      ({ points, histograms } = evaluateSamples(rollup, own, samples, args, values, present, (k) =>
        noted.add(k, name),
      ));
    } else if (column.present === null) {
      countWindows(windows, shared);
      points = evaluateRollup(rollup, shared, times, column.values, args, values, present);
    } else {
      const n = compact(times, column, ownTimes, ownValues);
      planWindows(ownTimes, n, grid, source.rangeMs, source.offsetMs, own);
      countWindows(windows, own);
      points = evaluateRollup(rollup, own, ownTimes, ownValues, args, values, present);
    }
    if (points === 0) continue;
    const dropName = column.dropName || (!keepsName && run.delayedNames);
    const rolled = { labels: column.labels, values, present: points === grid.count ? null : present, dropName };
    columns.push(histograms === undefined ? rolled : { ...rolled, histograms });
  }
  if (windows !== undefined) scope.counts!.addPoints(windows);
  annotate(noted.list(), plan.pos, plan.pos, "", scope.notes);
  noteRollup(plan, columns, args, scope);
  const named = keepsName || run.delayedNames ? columns : withoutNames(columns, "");
  return repeatOver({ kind: "vector", columns: named }, grid, scope.grid);
}

function countWindows(sums: Float64Array | undefined, { from, to }: WindowPlan): void {
  if (sums === undefined) return;
  for (let step = 0; step < sums.length; step++) sums[step]! += to[step]! - from[step]!;
}

/** Copies the points of a column that are present; returns how many. */
function compact(times: Float64Array, column: Column, outTimes: Float64Array, outValues: Float64Array): number {
  let n = 0;
  for (let s = 0; s < times.length; s++) {
    if (!hasPoint(column.present, s)) continue;
    outTimes[n] = times[s]!;
    outValues[n++] = column.values[s]!;
  }
  return n;
}

/**
 * The points of a column with histograms as samples. Hints of counter resets are forgotten: a subquery may leave out
 * the sample that a hint refers to, or return one sample several times.
 */
function samplesOf(gridTimes: Float64Array, column: Column): SeriesSamples {
  const times = new Float64Array(gridTimes.length);
  const values = new Float64Array(gridTimes.length);
  const n = compact(gridTimes, column, times, values);
  const histograms: (FloatHistogram | undefined)[] = [];
  for (let s = 0; s < gridTimes.length; s++) {
    if (!hasPoint(column.present, s)) continue;
    const histogram = histogramOf(column, s);
    histograms.push(histogram && (histogram.hint === HINT_GAUGE ? histogram : withHint(histogram, HINT_UNKNOWN)));
  }
  return { n, times, values, histograms: packHistograms(histograms), starts: undefined };
}
