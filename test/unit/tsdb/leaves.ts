// test/unit/tsdb/leaves.ts: all that a leaf may ask of a storage: rollups, aggregations, and arguments to try them with.
import type { SeededRandom } from "../../../libs/env/index.ts";
import type { PartialOp, Rollup } from "../../../libs/model/index.ts";

/** All but raw samples. */
export const ROLLUPS: readonly Rollup[] = [
  ...(["last", "timestamp", "rate", "increase", "delta", "irate", "idelta", "deriv", "predict_linear"] as const),
  ...(["changes", "resets", "avg_over_time", "min_over_time", "max_over_time", "sum_over_time"] as const),
  ...(["count_over_time", "stddev_over_time", "stdvar_over_time", "quantile_over_time", "mad_over_time"] as const),
  ...(["last_over_time", "first_over_time", "present_over_time", "double_exponential_smoothing"] as const),
  ...(["ts_of_min_over_time", "ts_of_max_over_time", "ts_of_last_over_time", "ts_of_first_over_time"] as const),
  ...(["rate_anchored", "increase_anchored", "delta_anchored", "changes_anchored", "resets_anchored"] as const),
  ...(["rate_smoothed", "increase_smoothed", "delta_smoothed", "last_smoothed"] as const),
];
export const OPS: readonly (PartialOp | undefined)[] = [undefined, "sum", "count", "min", "max", "avg", "group"];

/** Arguments that a rollup takes, scalar or with one for each step. */
export function argsFor(
  rollup: Rollup,
  random: SeededRandom,
  rangeMs: number,
  steps: number,
): (number | Float64Array)[] {
  const one = (choices: readonly number[]): number | Float64Array =>
    random.chance(0.5) ? random.pick(choices) : Float64Array.from({ length: steps }, () => random.pick(choices));
  if (rollup === "quantile_over_time") return [one([0, 0.3, 0.9, 1, -1, 2, Number.NaN])];
  if (rollup === "predict_linear") return [one([0, 60, 3600])];
  if (rollup === "double_exponential_smoothing") return [one([0.1, 0.5, 0.9]), random.pick([0.1, 0.5])];
  if (rollup.endsWith("_smoothed")) return [rangeMs / 4, rangeMs / 4];
  return rollup.endsWith("_anchored") ? [rangeMs / 2, 0] : [];
}
