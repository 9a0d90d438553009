// libs/promql/rollup.ts: evaluates any rollup of the leaf contract over one series, for storages and for subqueries.
// HOT: bench test/bench/rollup.bench.ts, twin test/promql/naive-rollup.ts.
// Invariants: the plan was made for `times`; but for rollups that see them (seesStale) values hold no stale marker
// (stripStale); out and present have a slot per step, and every slot is written.
import { InternalError, type Rollup } from "../model/index.ts";
import { rollupAnchoredEvents, rollupExtendedRate, rollupSmoothedInstant } from "./rollup-extended.ts";
import { rollupNewest } from "./rollup-instant.ts";
import {
  rollupCount,
  rollupEdge,
  rollupExtreme,
  rollupExtremeTime,
  rollupPresent,
  rollupSum,
} from "./rollup-over-time.ts";
import { rollupEvents, rollupExtrapolated, rollupLastTwo } from "./rollup-rate.ts";
import { rollupDeriv, rollupPredict, rollupSmoothing } from "./rollup-regression.ts";
import { rollupMad, rollupQuantile, rollupVariance } from "./rollup-spread.ts";
import type { WindowPlan } from "./window-plan.ts";

/** Scalar parameters of a rollup: a number, or a column with one per step. */
export type RollupArgs = readonly (number | Float64Array)[];

/** Whether the rollup wants to see stale markers. All others are given columns without them. */
export function seesStale(rollup: Rollup): boolean {
  return rollup === "last" || rollup === "timestamp" || rollup === "start_timestamp";
}

/** Rollups whose values depend on nothing but the times of the samples. */
const OF_TIMES: ReadonlySet<Rollup> = new Set<Rollup>([
  "timestamp",
  "start_timestamp",
  "count_over_time",
  "present_over_time",
  "ts_of_first_over_time",
  "ts_of_last_over_time",
]);

/** Whether a rollup over samples that are no stale markers needs their values at all: for the values of its result. */
export function readsValues(rollup: Rollup): boolean {
  return !OF_TIMES.has(rollup);
}

/**
 * Whether the times of the samples alone, as long as none is a stale marker, decide which steps have a value. So it is
 * for all rollups but those of extended selectors, which look further than their window, and raw samples.
 */
export function presenceFollowsTimes(rollup: Rollup): boolean {
  return rollup !== "samples" && !rollup.endsWith("_anchored") && !rollup.endsWith("_smoothed");
}

/**
 * Evaluates `rollup` for each step of `plan` over the values of the plan's timestamp column. Writes out[s] (0 where
 * there is no value) and present[s] (0 or 1), and returns the number of steps that have a value.
 * @param monotone the caller knows that no value is smaller than the one before it, so counters need no look for resets
 */
export function evaluateRollup(
  rollup: Rollup,
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  args: RollupArgs,
  out: Float64Array,
  present: Uint8Array,
  monotone = false,
): number {
  switch (rollup) {
    case "last":
      return rollupNewest(plan, times, values, out, present, false);
    case "timestamp":
      return rollupNewest(plan, times, values, out, present, true);
    case "start_timestamp": {
      // Series whose start times are known go through rollup-samples.ts.
      const points = rollupNewest(plan, times, values, out, present, true);
      out.fill(0, 0, plan.count);
      return points;
    }
    case "rate":
      return rollupExtrapolated(plan, times, values, out, present, true, true, monotone);
    case "increase":
      return rollupExtrapolated(plan, times, values, out, present, true, false, monotone);
    case "delta":
      return rollupExtrapolated(plan, times, values, out, present, false, false, monotone);
    case "irate":
      return rollupLastTwo(plan, times, values, out, present, true);
    case "idelta":
      return rollupLastTwo(plan, times, values, out, present, false);
    case "deriv":
      return rollupDeriv(plan, times, values, out, present);
    case "predict_linear":
      return rollupPredict(plan, times, values, args[0]!, out, present);
    case "changes":
      return rollupEvents(plan, values, out, present, false);
    case "resets":
      return rollupEvents(plan, values, out, present, true);
    case "avg_over_time":
      return rollupSum(plan, values, out, present, true);
    case "sum_over_time":
      return rollupSum(plan, values, out, present, false);
    case "min_over_time":
      return rollupExtreme(plan, values, out, present, false);
    case "max_over_time":
      return rollupExtreme(plan, values, out, present, true);
    case "count_over_time":
      return rollupCount(plan, out, present);
    case "stddev_over_time":
      return rollupVariance(plan, values, out, present, true);
    case "stdvar_over_time":
      return rollupVariance(plan, values, out, present, false);
    case "quantile_over_time":
      return rollupQuantile(plan, values, args[0]!, out, present);
    case "mad_over_time":
      return rollupMad(plan, values, out, present);
    case "last_over_time":
      return rollupEdge(plan, values, out, present, true, 1);
    case "first_over_time":
      return rollupEdge(plan, values, out, present, false, 1);
    case "present_over_time":
      return rollupPresent(plan, out, present);
    case "double_exponential_smoothing":
      return rollupSmoothing(plan, values, args[0]!, args[1]!, out, present);
    case "ts_of_min_over_time":
      return rollupExtremeTime(plan, times, values, out, present, false);
    case "ts_of_max_over_time":
      return rollupExtremeTime(plan, times, values, out, present, true);
    case "ts_of_last_over_time": {
      const points = rollupEdge(plan, times, out, present, true, 1000);
      // Prometheus takes the later of the last float and the last histogram, and 0 for the one there is not.
      if (times[0]! < 0) for (let s = 0; s < plan.count; s++) out[s] = Math.max(out[s]!, 0);
      return points;
    }
    case "ts_of_first_over_time":
      return rollupEdge(plan, times, out, present, false, 1000);
    default:
      return evaluateExtended(rollup, plan, times, values, args, out, present);
  }
}

/** The rollups of extended range selectors: args are the range and the reach past its end, both in ms. */
function evaluateExtended(
  rollup: Rollup,
  plan: WindowPlan,
  times: Float64Array,
  values: Float64Array,
  args: RollupArgs,
  out: Float64Array,
  present: Uint8Array,
): number {
  const rangeMs = args[0] as number;
  const aheadMs = args[1] as number;
  const smoothed = rollup.endsWith("_smoothed");
  switch (rollup) {
    case "rate_anchored":
    case "rate_smoothed":
      return rollupExtendedRate(
        plan,
        times,
        values,
        rangeMs,
        aheadMs,
        { smoothed, counter: true, perSecond: true },
        out,
        present,
      );
    case "increase_anchored":
    case "increase_smoothed":
      return rollupExtendedRate(
        plan,
        times,
        values,
        rangeMs,
        aheadMs,
        { smoothed, counter: true, perSecond: false },
        out,
        present,
      );
    case "delta_anchored":
    case "delta_smoothed":
      return rollupExtendedRate(
        plan,
        times,
        values,
        rangeMs,
        aheadMs,
        { smoothed, counter: false, perSecond: false },
        out,
        present,
      );
    case "changes_anchored":
      return rollupAnchoredEvents(plan, times, values, rangeMs, false, out, present);
    case "resets_anchored":
      return rollupAnchoredEvents(plan, times, values, rangeMs, true, out, present);
    case "last_smoothed":
      return rollupSmoothedInstant(plan, times, values, aheadMs, out, present);
    default:
      throw new InternalError(`cannot evaluate rollup: got ${JSON.stringify(rollup)}; want one with a value per step`);
  }
}
