// libs/promql/functions.ts: functions of instant vectors and scalars, by name.
import { InternalError, labelValue, METRIC_NAME, setLabel } from "../model/index.ts";
import { quantileWarning } from "./annotations.ts";
import {
  type Column,
  columnsOf,
  hasPoint,
  mergeSameLabels,
  normalizePresent,
  presenceCopy,
  scalarOf,
  stepTime,
  type Value,
} from "./column.ts";
import { dropNames } from "./evaluate-binary.ts";
import { gridSeconds, type Scope } from "./evaluation.ts";
import { absentColumns, absentLabels } from "./functions-absent.ts";
import { labelJoin, labelReplace } from "./functions-label.ts";
import { clampTo, dateFunction, mathFunction, roundTo } from "./functions-math.ts";
import { sortByLabels, sortByValue } from "./functions-sort.ts";
import { formatOpenMetrics } from "./go-text.ts";
import { fractionColumns, groupBuckets, quantileColumns } from "./histogram-classic.ts";
import { maxGo, minGo } from "./operators.ts";
import { withoutParens } from "./parens.ts";
import type { CallPlan } from "./plan-node.ts";

/** Functions of native histograms and start timestamps: floats have neither, so they find nothing. */
const WITHOUT_FLOATS: ReadonlySet<string> = new Set([
  "histogram_avg",
  "histogram_count",
  "histogram_sum",
  "histogram_stddev",
  "histogram_stdvar",
  "start_timestamp",
]);

/** Calls a function with evaluated arguments. Errors: ExecutionError where Prometheus has one. */
export function callFunction(plan: CallPlan, args: readonly Value[], scope: Scope): Value {
  const { func } = plan;
  const { grid, run } = scope;
  const math = mathFunction(func);
  if (math !== undefined) return mapped(args[0]!, scope, (value) => math(value));
  const date = dateFunction(func);
  if (date !== undefined) return callDate(date, args, scope);
  if (WITHOUT_FLOATS.has(func)) return vector([]);
  switch (func) {
    case "time":
      return { kind: "scalar", values: gridSeconds(grid) };
    case "pi":
      return { kind: "scalar", values: new Float64Array(grid.count).fill(Math.PI) };
    case "min_of":
    case "max_of": {
      const b = scalarOf(args[1]!);
      const pick = func === "min_of" ? minGo : maxGo;
      return { kind: "scalar", values: scalarOf(args[0]!).map((value, s) => pick(value, b[s]!)) };
    }
    case "scalar":
      return { kind: "scalar", values: onlyElement(columnsOf(args[0]!), grid.count) };
    case "vector":
      return vector([{ labels: [], values: scalarOf(args[0]!), present: null, dropName: false }]);
    case "absent":
      return vector(
        absentColumns(columnsOf(args[0]!), absentLabels(withoutParens(plan.call.args[0]!)), grid.count, false),
      );
    case "timestamp": {
      const seconds = gridSeconds(grid);
      return vector(
        dropNames(
          columnsOf(args[0]!).map((c) => ({ ...c, values: seconds })),
          run.delayedNames,
        ),
      );
    }
    case "round": {
      const nearest = args[1] === undefined ? undefined : scalarOf(args[1]);
      return mapped(args[0]!, scope, (value, s) => roundTo(value, nearest === undefined ? 1 : nearest[s]!));
    }
    case "clamp":
      return clamp(args[0]!, scalarOf(args[1]!), scalarOf(args[2]!), scope);
    case "clamp_min":
      return mapped(args[0]!, scope, bounded(scalarOf(args[1]!), undefined));
    case "clamp_max":
      return mapped(args[0]!, scope, bounded(undefined, scalarOf(args[1]!)));
    case "sort":
    case "sort_desc":
    case "sort_by_label":
    case "sort_by_label_desc":
      return callSort(plan, args, scope);
    case "label_replace": {
      const [destination, replacement, source, pattern] = strings(args, 1) as [string, string, string, string];
      return vector(labelReplace(columnsOf(args[0]!), destination, replacement, source, pattern));
    }
    case "label_join": {
      const [destination, separator, ...sources] = strings(args, 1) as [string, string, ...string[]];
      return vector(labelJoin(columnsOf(args[0]!), destination, separator, sources));
    }
    case "histogram_quantile":
    case "histogram_quantiles":
    case "histogram_fraction":
      return callHistogram(plan, args, scope);
    default:
      throw new InternalError(`cannot call function: got ${JSON.stringify(func)}; want a known one`);
  }
}

function vector(columns: readonly Column[]): Value {
  return { kind: "vector", columns };
}

function strings(args: readonly Value[], from: number): string[] {
  return args.slice(from).map((arg) => (arg.kind === "string" ? arg.value : ""));
}

/** A new value for every point; the name goes. */
function mapped(arg: Value, scope: Scope, map: (value: number, step: number) => number): Value {
  const columns = columnsOf(arg).map((column) => {
    const values = new Float64Array(column.values.length);
    for (let s = 0; s < values.length; s++) values[s] = map(column.values[s]!, s);
    return { ...column, values };
  });
  return vector(dropNames(columns, scope.run.delayedNames));
}

function bounded(min: Float64Array | undefined, max: Float64Array | undefined) {
  return (value: number, s: number) => clampTo(value, min?.[s] ?? -Infinity, max?.[s] ?? Infinity);
}

/** clamp: a step whose maximum is below its minimum has no result. */
function clamp(arg: Value, min: Float64Array, max: Float64Array, scope: Scope): Value {
  const { count } = scope.grid;
  const impossible = min.some((value, s) => max[s]! < value);
  const clamped = columnsOf(mapped(arg, scope, bounded(min, max)));
  if (!impossible) return vector(clamped);
  const out: Column[] = [];
  for (const column of clamped) {
    const present = presenceCopy(column.present, count);
    for (let s = 0; s < count; s++) if (max[s]! < min[s]!) present[s] = 0;
    if (present.includes(1)) out.push({ ...column, present: normalizePresent(present) });
  }
  return vector(out);
}

/** A date function: of the evaluation time when it has no argument. */
function callDate(date: (seconds: number) => number, args: readonly Value[], scope: Scope): Value {
  if (args.length > 0) return mapped(args[0]!, scope, (value) => date(value));
  const values = gridSeconds(scope.grid).map((seconds) => date(seconds));
  return vector([{ labels: [], values, present: null, dropName: false }]);
}

/** scalar(): the value of a vector with one element, else NaN. */
function onlyElement(columns: readonly Column[], count: number): Float64Array {
  const values = new Float64Array(count).fill(Number.NaN);
  const elements = new Uint32Array(count);
  for (const column of columns) {
    for (let s = 0; s < count; s++) {
      if (!hasPoint(column.present, s)) continue;
      elements[s] = elements[s]! + 1;
      values[s] = elements[s] === 1 ? column.values[s]! : Number.NaN;
    }
  }
  return values;
}

function callSort(plan: CallPlan, args: readonly Value[], scope: Scope): Value {
  const columns = columnsOf(args[0]!);
  if (scope.grid.count > 1) {
    const text = "sort is ineffective for range queries since results are always ordered by labels";
    scope.notes.warn(text, plan.call.pos);
    return vector(columns);
  }
  const descending = plan.func.endsWith("_desc");
  if (plan.func.startsWith("sort_by_label")) return vector(sortByLabels(columns, strings(args, 1), descending));
  return vector(sortByValue(columns, descending));
}

/** histogram_quantile(φ, v), histogram_quantiles(v, label, φ…), histogram_fraction(lower, upper, v) on classic buckets. */
function callHistogram(plan: CallPlan, args: readonly Value[], scope: Scope): Value {
  const { run, notes, grid } = scope;
  const several = plan.func === "histogram_quantiles";
  const at = several ? 0 : args.length - 1;
  const { pos } = plan.call.args[at]!;
  const phis = several ? args.slice(2).map(scalarOf) : [scalarOf(args[0]!)];
  if (plan.func !== "histogram_fraction") {
    for (let i = 0; i < phis.length; i++) {
      const phiPos = plan.call.args[several ? i + 2 : 0]!.pos;
      for (const phi of phis[i]!) if (!(phi >= 0 && phi <= 1)) notes.warn(quantileWarning(phi), phiPos);
    }
  }
  const groups = groupBuckets(columnsOf(args[at]!), pos, run.delayedNames, notes);
  if (plan.func === "histogram_fraction") {
    return vector(dropNames(fractionColumns(groups, phis[0]!, scalarOf(args[1]!)), run.delayedNames));
  }
  const out: Column[] = [];
  for (const phi of phis) {
    const columns = quantileColumns(groups, phi, (labels, step, repairs) => {
      const name = run.delayedNames ? labelValue(labels, METRIC_NAME) : "";
      notes.repaired(name, pos, stepTime(grid, step), repairs.minBucket, repairs.maxBucket, repairs.maxDiff);
    });
    if (several) for (const column of columns) out.push(...labelledByQuantile(column, args[1]!, phi));
    else out.push(...columns);
  }
  const named = dropNames(out, run.delayedNames);
  return vector(several && grid.count > 1 ? mergeSameLabels(named) : named);
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
