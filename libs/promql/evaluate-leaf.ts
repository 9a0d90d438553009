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
import { pairsOf } from "./both-kinds.ts";
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
import type { Steps } from "./stride.ts";
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
  if (plan.refusal !== undefined) throw new ExecutionError(plan.refusal);
  const { grid, args } = place(plan.rollup, params, plan.atMs, scope);
  const leaf: Leaf = {
    matchers: plan.matchers,
    grid,
    rollup: plan.rollup,
    ...windowOf(plan, scope),
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
  if (plan.rollup === "double_exponential_smoothing") await checkFactors(leaf, scope);
  let columns: Column[];
  if (plan.aggregation === undefined) columns = seriesOf(plan, result, scope);
  else columns = await groupsOf(plan, leaf, result, scope);
  if (plan.aggregation === undefined) noteRollup(plan, columns.filter(hasFloats), args, scope);
  // A group of floats and histograms has no result, but its floats are noted.
  else if (!result.notes?.some((note) => note.kind === "only_histograms"))
    noteRollup(plan, result.columns, args, scope);
  if (plan.aggregation === undefined && !plan.keepsName && !run.delayedNames)
    columns = withoutNames(columns, plan.name);
  return repeatOver({ kind: "vector", columns }, grid, scope.grid);
}

/**
 * The window of a leaf. One that is looked up at another time has only the samples that Prometheus has read for its own time.
 * timestamp() knows its time by itself.
 */
function windowOf({ atMs, func, constants, rangeMs, offsetMs }: LeafPlan, { atShiftMs = 0 }: Scope) {
  if (atShiftMs === 0 || atMs === undefined || constants.length > 0 || /^(?:start_)?timestamp$/.test(func)) {
    return { rangeMs, offsetMs };
  }
  return { rangeMs: Math.max(0, rangeMs - Math.abs(atShiftMs)), offsetMs: offsetMs + Math.max(0, -atShiftMs) };
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
  return scope.run.budget.inSlices(aggregateSimply({ op, without, grouping }, series, leaf.grid.count, place));
}

function allFinite({ values, present, histograms }: Column): boolean {
  if (histograms !== undefined) {
    const { counts, sums, zeroCounts, buckets } = histograms;
    for (const numbers of [counts, sums, zeroCounts, buckets]) if (!numbers.every(Number.isFinite)) return false;
  }
  for (let s = 0; s < values.length; s++) {
    const value = values[s]!;
    if (value - value !== 0 && hasPoint(present, s)) return false;
  }
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

/** What is wrong with the factors of double_exponential_smoothing at a step. NaN is not: it makes NaN. */
function wrongFactor([smoothing, trend]: Leaf["args"], step: number): string | undefined {
  const check = (name: string, short: string, arg: number | Float64Array): string | undefined => {
    const factor = typeof arg === "number" ? arg : arg[step]!;
    if (!(factor <= 0 || factor >= 1)) return undefined;
    return `invalid ${name}. Expected: 0 < ${short} < 1, got: ${formatFixed(factor)}`;
  };
  return check("smoothing factor", "sf", smoothing!) ?? check("trend factor", "tf", trend!);
}

type FactorCheck = (hasSamples: (step: number) => boolean) => void;

/**
 * A check of the factors, undefined when they are right at all steps: only then nobody has to know where there are samples.
 * Errors of the check: ExecutionError when a factor is outside (0, 1) at a step whose window has samples, however few.
 */
function factorCheck(args: Leaf["args"], count: number): FactorCheck | undefined {
  const wrong = Array.from({ length: count }, (_, step) => wrongFactor(args, step));
  if (wrong.every((text) => text === undefined)) return undefined;
  return (hasSamples) => {
    const first = wrong.find((text, step) => text !== undefined && hasSamples(step));
    if (first !== undefined) throw new ExecutionError(first);
  };
}

/** Errors: those of the storages, and ExecutionError as factorCheck says. */
async function checkFactors(leaf: Leaf, { run }: Scope): Promise<void> {
  const check = factorCheck(leaf.args, leaf.grid.count);
  if (check === undefined) return;
  const aggregation = { op: "group", without: false, labels: [] } as const;
  const sampled = await run.leaves.evaluate({ ...leaf, rollup: "present_over_time", args: [], aggregation });
  for (const { present } of sampled.columns) check((step) => hasPoint(present, step));
}

/** The annotations of range functions about columns with floats: doubtful counters, and φ outside [0, 1]. */
function noteRollup(plan: LeafPlan | RangePlan, columns: LeafResult["columns"], args: Args, scope: Scope): void {
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

/** Where the expression of a subquery is evaluated. */
export function insideSubquery(
  plan: SubqueryPlan,
  grid: Grid,
  scope: Scope,
): Pick<Scope, "grid" | "ranged" | "atShiftMs"> {
  const { atMs } = plan;
  const placed = atMs === undefined ? plan : { ...plan, atMs: atMs + (scope.atShiftMs ?? 0) };
  const inner = subqueryGrid(placed, grid);
  return { grid: inner, ranged: inner.startMs !== endOf(placed, grid), atShiftMs: atShiftInside(plan, inner, scope) };
}

/**
 * Prometheus 3.14 turns @ into an offset from the start of the evaluation, as seen from outside of all subqueries, and sets it
 * anew for a subquery, but not for one that happens to start at that very time: then the offsets of subqueries count twice.
 */
function atShiftInside({ atMs, offsetMs }: SubqueryPlan, inner: Grid, { grid, atShiftMs = 0 }: Scope): number {
  if (inner.startMs !== grid.startMs) return 0;
  return offsetMs + (atMs === undefined ? atShiftMs : grid.startMs - atMs);
}

/** The evaluation times of a subquery inside the given grid: multiples of its step that some window reaches. */
function subqueryGrid(plan: SubqueryPlan, grid: Grid): Grid {
  const { stepMs, rangeMs, offsetMs } = plan;
  const first = (plan.atMs ?? grid.startMs) - offsetMs;
  const last = endOf(plan, grid);
  const startMs = (Math.floor((first - rangeMs) / stepMs) + 1) * stepMs;
  return { startMs, stepMs, count: Math.max(0, Math.floor((last - startMs) / stepMs) + 1) };
}

function endOf({ atMs, offsetMs }: SubqueryPlan, grid: Grid): number {
  return (atMs ?? grid.startMs + (grid.count - 1) * grid.stepMs) - offsetMs;
}

/** A range function over a subquery whose expression has been evaluated on `inner`. */
export function* evaluateRange(
  plan: RangePlan,
  placement: Placement,
  inner: Grid,
  series: readonly Column[],
  scope: Scope,
): Steps<VectorValue> {
  const { source, rollup, keepsName } = plan;
  const { grid, args } = placement;
  const { run } = scope;
  const times = gridTimes(inner);
  const shared = planWindows(times, inner.count, grid, source.rangeMs, source.offsetMs, createWindowPlan());
  const own = createWindowPlan();
  const ownTimes = new Float64Array(inner.count);
  const ownValues = new Float64Array(inner.count);
  const noted = new LeafNotes();
  const windows = scope.counts === undefined ? undefined : new Float64Array(grid.count);
  const check = rollup === "double_exponential_smoothing" ? factorCheck(args, grid.count) : undefined;
  const columns: Column[] = [];
  for (const { column, apart } of pairsOf(series) ?? series.map((column) => ({ column, apart: undefined }))) {
    yield;
    const values = new Float64Array(grid.count);
    const present = new Uint8Array(grid.count);
    const isMixed = column.histograms !== undefined || apart !== undefined;
    const used = !isMixed && column.present === null ? shared : own;
    let points: number;
    let histograms: HistogramColumn | undefined;
    if (isMixed) {
      const samples = samplesOf(times, column, apart);
      planWindows(samples.times, samples.n, grid, source.rangeMs, source.offsetMs, own);
      if (apart !== undefined) withoutPairsAtEnds(own, samples.times);
      const name = labelValue(column.labels, METRIC_NAME);
      ({ points, histograms } = evaluateSamples(rollup, own, samples, args, values, present, (k) =>
        noted.add(k, name),
      ));
    } else if (column.present === null) {
      points = evaluateRollup(rollup, shared, times, column.values, args, values, present);
    } else {
      const n = compact(times, column, ownTimes, ownValues);
      planWindows(ownTimes, n, grid, source.rangeMs, source.offsetMs, own);
      points = evaluateRollup(rollup, own, ownTimes, ownValues, args, values, present);
    }
    countWindows(windows, used);
    check?.((step) => used.to[step]! > used.from[step]!);
    if (points === 0) continue;
    const dropName = column.dropName || (!keepsName && run.delayedNames);
    const rolled = { labels: column.labels, values, present: points === grid.count ? null : present, dropName };
    columns.push(histograms === undefined ? rolled : { ...rolled, histograms });
  }
  if (windows !== undefined) scope.counts!.addPoints(windows);
  annotate(noted.list(), plan.pos, plan.pos, "", scope.notes);
  noteRollup(plan, columns.filter(hasFloats), args, scope);
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

/** Of a float and a histogram at the very end of a window Prometheus reads the float only. */
function withoutPairsAtEnds(plan: WindowPlan, times: Float64Array): void {
  for (let step = 0; step < plan.count; step++) {
    const last = plan.to[step]! - 1;
    const endMs = plan.startMs + step * plan.stepMs - plan.offsetMs;
    if (last > plan.from[step]! && times[last] === endMs && times[last - 1] === endMs) plan.to[step] = last;
  }
}

/**
 * The points of a column as samples, each before that of its histograms apart. Hints of counter resets are
 * forgotten: a subquery may leave out the sample that a hint refers to, or return one sample several times.
 */
function samplesOf(gridTimes: Float64Array, column: Column, apart: Column | undefined): SeriesSamples {
  const times: number[] = [];
  const values: number[] = [];
  const histograms: (FloatHistogram | undefined)[] = [];
  const kinds = apart === undefined ? [column] : [column, apart];
  for (let s = 0; s < gridTimes.length; s++) {
    for (const kind of kinds) {
      if (!hasPoint(kind.present, s)) continue;
      times.push(gridTimes[s]!);
      values.push(kind.values[s]!);
      const histogram = histogramOf(kind, s);
      histograms.push(histogram && (histogram.hint === HINT_GAUGE ? histogram : withHint(histogram, HINT_UNKNOWN)));
    }
  }
  const packed = packHistograms(histograms);
  const [ownTimes, ownValues] = [Float64Array.from(times), Float64Array.from(values)];
  return { n: times.length, times: ownTimes, values: ownValues, histograms: packed, starts: undefined };
}
