// libs/promql/functions.ts: functions of instant vectors and scalars, by name.
import { InternalError } from "../model/index.ts";
import {
  type Column,
  columnsOf,
  floatsOf,
  hasPoint,
  normalizePresent,
  presenceCopy,
  scalarOf,
  type Value,
} from "./column.ts";
import { dropNames } from "./evaluate-binary.ts";
import { gridSeconds, type Scope } from "./evaluation.ts";
import { absentColumns, absentLabels } from "./functions-absent.ts";
import { callHistogram, histogramFunction, mapHistograms } from "./functions-histogram.ts";
import { clampTo, dateFunction, mathFunction, roundTo } from "./functions-math.ts";
import { sortByLabels, sortByValue } from "./functions-sort.ts";
import { maxGo, minGo } from "./operators.ts";
import { withoutParens } from "./parens.ts";
import type { CallPlan } from "./plan-node.ts";
import { type Steps, Stride } from "./stride.ts";

/** Calls a function with evaluated arguments. Errors: ExecutionError where Prometheus has one. */
export function* callFunction(plan: CallPlan, args: readonly Value[], scope: Scope): Steps<Value> {
  const { func } = plan;
  const { grid, run } = scope;
  const math = mathFunction(func);
  if (math !== undefined) return yield* mapped(args[0]!, scope, (value) => math(value));
  const date = dateFunction(func);
  if (date !== undefined) return yield* callDate(date, args, scope);
  const ofHistograms = histogramFunction(func);
  if (ofHistograms !== undefined)
    return vector(yield* mapHistograms(columnsOf(args[0]!), ofHistograms, run.delayedNames));
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
      return { kind: "scalar", values: onlyElement(floatsOf(columnsOf(args[0]!)), grid.count) };
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
          columnsOf(args[0]!).map(({ labels, present, dropName }) => ({ labels, values: seconds, present, dropName })),
          run.delayedNames,
        ),
      );
    }
    case "round": {
      const nearest = args[1] === undefined ? undefined : scalarOf(args[1]);
      return yield* mapped(args[0]!, scope, (value, s) => roundTo(value, nearest === undefined ? 1 : nearest[s]!));
    }
    case "clamp":
      return yield* clamp(args[0]!, scalarOf(args[1]!), scalarOf(args[2]!), scope);
    case "clamp_min":
      return yield* mapped(args[0]!, scope, bounded(scalarOf(args[1]!), undefined));
    case "clamp_max":
      return yield* mapped(args[0]!, scope, bounded(undefined, scalarOf(args[1]!)));
    case "sort":
    case "sort_desc":
    case "sort_by_label":
    case "sort_by_label_desc":
      return callSort(plan, args, scope);
    case "histogram_quantile":
    case "histogram_quantiles":
    case "histogram_fraction":
      return vector(yield* callHistogram(plan, args, scope));
    case "start_timestamp":
      // Of anything but a selector the start times are lost.
      return vector([]);
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

/** A new value for every float; histograms are left out, and the name goes. */
function* mapped(arg: Value, scope: Scope, map: (value: number, step: number) => number): Steps<Value> {
  const columns: Column[] = [];
  const stride = new Stride();
  for (const column of floatsOf(columnsOf(arg))) {
    const values = new Float64Array(column.values.length);
    for (let s = 0; s < values.length; s++) values[s] = map(column.values[s]!, s);
    columns.push({ ...column, values });
    if (stride.isOver(values.length)) yield;
  }
  return vector(dropNames(columns, scope.run.delayedNames));
}

function bounded(min: Float64Array | undefined, max: Float64Array | undefined) {
  return (value: number, s: number) => clampTo(value, min?.[s] ?? -Infinity, max?.[s] ?? Infinity);
}

/** clamp: a step whose maximum is below its minimum has no result, and so no two equal ones. */
function* clamp(arg: Value, min: Float64Array, max: Float64Array, scope: Scope): Steps<Value> {
  const { count } = scope.grid;
  if (!min.some((value, s) => max[s]! < value)) return yield* mapped(arg, scope, bounded(min, max));
  const possible: Column[] = [];
  for (const column of floatsOf(columnsOf(arg))) {
    const present = presenceCopy(column.present, count);
    for (let s = 0; s < count; s++) if (max[s]! < min[s]!) present[s] = 0;
    if (present.includes(1)) possible.push({ ...column, present: normalizePresent(present) });
  }
  return yield* mapped(vector(possible), scope, bounded(min, max));
}

/** A date function: of the evaluation time when it has no argument. */
function* callDate(date: (seconds: number) => number, args: readonly Value[], scope: Scope): Steps<Value> {
  if (args.length > 0) return yield* mapped(args[0]!, scope, (value) => date(value));
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
  const byLabels = plan.func.startsWith("sort_by_label");
  const columns = byLabels ? columnsOf(args[0]!) : floatsOf(columnsOf(args[0]!));
  if (scope.ranged) {
    const text = "sort is ineffective for range queries since results are always ordered by labels";
    scope.notes.warn(text, plan.call.pos);
    return vector(columns);
  }
  const descending = plan.func.endsWith("_desc");
  if (byLabels) return vector(sortByLabels(columns, strings(args, 1), descending));
  return vector(sortByValue(columns, descending));
}
