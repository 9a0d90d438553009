// libs/promql/function-names.ts: which functions are rollups, and which properties of functions planning depends on.
import type { Rollup } from "../model/index.ts";

/** Functions over a range vector that a storage evaluates; absent_over_time is built on present_over_time. */
export const RANGE_FUNCTIONS: ReadonlySet<string> = new Set<Rollup>([
  "rate",
  "increase",
  "delta",
  "irate",
  "idelta",
  "deriv",
  "predict_linear",
  "changes",
  "resets",
  "avg_over_time",
  "min_over_time",
  "max_over_time",
  "sum_over_time",
  "count_over_time",
  "stddev_over_time",
  "stdvar_over_time",
  "quantile_over_time",
  "mad_over_time",
  "last_over_time",
  "first_over_time",
  "present_over_time",
  "double_exponential_smoothing",
  "ts_of_min_over_time",
  "ts_of_max_over_time",
  "ts_of_last_over_time",
  "ts_of_first_over_time",
]);

/** Rollups whose result is still the metric: they act like an offset. */
export const NAME_KEEPING: ReadonlySet<string> = new Set(["last_over_time", "first_over_time"]);

/** Functions whose result changes with the evaluation time even when their arguments do not. */
export const TIME_DEPENDENT: ReadonlySet<string> = new Set([
  "days_in_month",
  "day_of_month",
  "day_of_week",
  "day_of_year",
  "end",
  "hour",
  "minute",
  "month",
  "year",
  "predict_linear",
  "range",
  "start",
  "step",
  "time",
  "timestamp",
]);

/** Functions that understand `anchored` ranges, sorted, as the error message lists them. */
export const ANCHORED_FUNCTIONS: readonly string[] = ["changes", "delta", "increase", "rate", "resets"];

/** Functions that understand `smoothed` ranges, sorted. */
export const SMOOTHED_FUNCTIONS: readonly string[] = ["delta", "increase", "rate"];
