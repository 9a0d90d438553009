// libs/promql/functions-histogram.ts: functions of histograms: of native ones alone, and those that take classic ones too.
import {
  type FloatHistogram,
  histogramAt,
  type Labels,
  labelsKey,
  labelValue,
  METRIC_NAME,
  setLabel,
} from "../model/index.ts";
import { forMetricName, quantileWarning } from "./annotations.ts";
import type { Position } from "./ast.ts";
import {
  anyPresent,
  type Column,
  columnsOf,
  floatsOf,
  hasPoint,
  histogramColumns,
  mergeSameLabels,
  normalizePresent,
  presenceCopy,
  scalarOf,
  stepTime,
  type Value,
} from "./column.ts";
import { dropNames } from "./evaluate-binary.ts";
import type { Scope } from "./evaluation.ts";
import { formatOpenMetrics } from "./go-text.ts";
import { type BucketGroup, fractionColumns, groupBuckets, quantileColumns } from "./histogram-classic.ts";
import { type Estimate, nativeFraction, nativeQuantile, nativeVariance } from "./histogram-native.ts";
import { withoutParens } from "./parens.ts";
import type { CallPlan } from "./plan-node.ts";
import { type Steps, Stride } from "./stride.ts";

type HistogramFunction = (histogram: FloatHistogram) => number;

const OF_HISTOGRAMS: ReadonlyMap<string, HistogramFunction> = new Map<string, HistogramFunction>([
  ["histogram_count", ({ count }) => count],
  ["histogram_sum", ({ sum }) => sum],
  ["histogram_avg", ({ sum, count }) => sum / count],
  ["histogram_stdvar", nativeVariance],
  ["histogram_stddev", (histogram) => Math.sqrt(nativeVariance(histogram))],
]);

/** The function of this name that makes a number of a native histogram, or undefined. */
export function histogramFunction(name: string): HistogramFunction | undefined {
  return OF_HISTOGRAMS.get(name);
}

/** A number for every histogram; floats are left out. The name goes, and only the name: labels of type and unit stay. */
export function* mapHistograms(
  columns: readonly Column[],
  map: HistogramFunction,
  delayedNames: boolean,
): Steps<readonly Column[]> {
  const out: Column[] = [];
  const stride = new Stride();
  for (const { labels, present, histograms, values } of histogramColumns(columns)) {
    if (stride.isOver(histograms.buckets.length)) yield;
    out.push({
      labels: delayedNames ? labels : setLabel(labels, METRIC_NAME, ""),
      values: values.map((_, s) => (hasPoint(present, s) ? map(histogramAt(histograms, s)!) : 0)),
      present,
      dropName: true,
    });
  }
  return delayedNames ? out : mergeSameLabels(out);
}

/** The histograms that a function is given, of both kinds. */
interface Input {
  readonly classic: readonly BucketGroup[];
  readonly native: ReturnType<typeof histogramColumns>;
  readonly pos: Position;
}

/** histogram_quantile(φ, v), histogram_quantiles(v, label, φ…), histogram_fraction(lower, upper, v). */
export function* callHistogram(plan: CallPlan, args: readonly Value[], scope: Scope): Steps<readonly Column[]> {
  const { notes, run } = scope;
  const several = plan.func === "histogram_quantiles";
  const at = several ? 0 : args.length - 1;
  const { pos } = withoutParens(plan.call.args[at]!);
  const phis = several ? args.slice(2).map(scalarOf) : [scalarOf(args[0]!)];
  if (plan.func !== "histogram_fraction") {
    for (let i = 0; i < phis.length; i++) {
      const phiPos = withoutParens(plan.call.args[several ? i + 2 : 0]!).pos;
      for (const phi of phis[i]!) if (!(phi >= 0 && phi <= 1)) notes.warn(quantileWarning(phi), phiPos);
    }
  }
  const input = divide(columnsOf(args[at]!), pos, scope);
  if (plan.func === "histogram_fraction") {
    const found = yield* fractions(input, phis[0]!, scalarOf(args[1]!), scope);
    return joined(dropNames(found, run.delayedNames), scope);
  }
  // Names go before the label comes, which may be the name's own.
  const out: (readonly Column[])[] = [];
  for (const phi of phis) {
    const columns = dropNames(yield* quantiles(input, phi, scope), run.delayedNames);
    out.push(several ? columns.flatMap((column) => labelledByQuantile(column, args[1]!, phi)) : columns);
  }
  return joined(out.flat(), scope);
}

/**
 * A classic and a native histogram of the same labels at different times are one series; only in an instant query with delayed
 * names, equal label sets are found when the names go.
 */
function joined(columns: readonly Column[], { run, ranged }: Scope): readonly Column[] {
  return ranged || !run.delayedNames ? mergeSameLabels(columns) : columns;
}

/** Where a classic and a native histogram have the same labels, neither counts. */
function divide(columns: readonly Column[], pos: Position, scope: Scope): Input {
  const { run, notes, grid } = scope;
  const classic = groupBuckets(floatsOf(columns), pos, run.delayedNames, notes);
  const native = histogramColumns(columns);
  if (classic.length === 0 || native.length === 0) return { classic, native, pos };
  const groups = new Map(classic.map((group) => [labelsKey(group.labels), group]));
  const apart = native.map((column) => {
    const group = groups.get(labelsKey(column.labels));
    if (group === undefined) return column;
    const present = presenceCopy(column.present, grid.count);
    const blocked = new Uint8Array(grid.count);
    for (let s = 0; s < grid.count; s++) {
      if (present[s] === 0 || !group.columns.some((bucket) => hasPoint(bucket.present, s))) continue;
      blocked[s] = 1;
      present[s] = 0;
    }
    if (!blocked.includes(1)) return column;
    const name = nameFor(column.labels, scope);
    notes.warn(`vector contains a mix of classic and native histograms${forMetricName(name)}`, pos);
    groups.set(labelsKey(column.labels), { ...group, blocked });
    return { ...column, present };
  });
  return { classic: [...groups.values()], native: apart.filter((column) => anyPresent(column.present)), pos };
}

/** A name for annotations: without delayed removal it is gone by now. */
function nameFor(labels: Labels, scope: Scope): string {
  return scope.run.delayedNames ? labelValue(labels, METRIC_NAME) : "";
}

function* quantiles({ classic, native, pos }: Input, phi: Float64Array, scope: Scope): Steps<Column[]> {
  const { notes, grid } = scope;
  const out = yield* estimates(native, scope, (histogram, s, name) => {
    const estimate = nativeQuantile(phi[s]!, histogram);
    if (estimate.nans !== "none") {
      const effect = estimate.nans === "result" ? "result is NaN" : "result is skewed higher";
      notes.info(`input to histogram_quantile has NaN observations, ${effect}${forMetricName(name)}`, pos);
    }
    return estimate;
  });
  const ofBuckets = yield* quantileColumns(classic, phi, (labels, step, { minBucket, maxBucket, maxDiff }) => {
    notes.repaired(nameFor(labels, scope), pos, stepTime(grid, step), minBucket, maxBucket, maxDiff);
  });
  return [...out, ...ofBuckets];
}

function* fractions(
  { classic, native, pos }: Input,
  lower: Float64Array,
  upper: Float64Array,
  scope: Scope,
): Steps<Column[]> {
  const out = yield* estimates(native, scope, (histogram, s, name) => {
    const estimate = nativeFraction(lower[s]!, upper[s]!, histogram);
    if (estimate.nans !== "none") {
      const text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
      scope.notes.info(`${text}${forMetricName(name)}`, pos);
    }
    return estimate;
  });
  return [...out, ...(yield* fractionColumns(classic, lower, upper))];
}

function* estimates(
  native: Input["native"],
  scope: Scope,
  estimate: (histogram: FloatHistogram, step: number, name: string) => Estimate,
): Steps<Column[]> {
  const out: Column[] = [];
  const stride = new Stride();
  for (const { labels, values, present, histograms } of native) {
    if (stride.isOver(histograms.buckets.length)) yield;
    const estimated = values.map((_, s) =>
      hasPoint(present, s) ? estimate(histogramAt(histograms, s)!, s, nameFor(labels, scope)).value : 0,
    );
    out.push({ labels, values: estimated, present, dropName: true });
  }
  return out;
}

/** The column as one column per distinct φ, which becomes a label. */
function labelledByQuantile(column: Column, label: Value, phi: Float64Array): Column[] {
  const name = label.kind === "string" ? label.value : "";
  const texts = Array.from(phi, formatOpenMetrics);
  return [...new Set(texts)].map((text) => {
    const present = presenceCopy(column.present, phi.length);
    for (let s = 0; s < phi.length; s++) if (texts[s] !== text) present[s] = 0;
    return { ...column, labels: setLabel(column.labels, name, text), present: normalizePresent(present) };
  });
}
