// libs/promql/rollup-rows.ts: rollups over rows of downsampled series, for windows that whole rows make up.
// HOT: bench test/bench/rollup-rows.bench.ts, twin: the same rollup over the samples (test/unit/promql/rollup-rows.test.ts).
// The answer is that from samples, order of additions apart: rows keep first and last samples with their times, and what resets took.
// Invariants: the plan was made for the rows' ends; rows without samples are there for rollups that see stale markers only.
import { InternalError, ROW, type Rollup, type RowTable } from "../model/index.ts";
import { createExtrapolation, type Extrapolation, extrapolateStep, reserveSteps } from "./extrapolation.ts";
import { rollupEdge, rollupExtreme, rollupSum } from "./rollup-over-time.ts";
import type { WindowPlan } from "./window-plan.ts";

/** Which columns a rollup reads, beside the counts. */
const READS: ReadonlyMap<Rollup, readonly number[]> = new Map<Rollup, readonly number[]>([
  ["last", [ROW.LAST, ROW.LAST_MS, ROW.STALE]],
  ["timestamp", [ROW.LAST_MS, ROW.STALE]],
  ["rate", [ROW.FIRST, ROW.LAST, ROW.FIRST_MS, ROW.LAST_MS, ROW.RESETS]],
  ["increase", [ROW.FIRST, ROW.LAST, ROW.FIRST_MS, ROW.LAST_MS, ROW.RESETS]],
  ["delta", [ROW.FIRST, ROW.LAST, ROW.FIRST_MS, ROW.LAST_MS]],
  ["sum_over_time", [ROW.SUM]],
  ["avg_over_time", [ROW.SUM]],
  ["count_over_time", []],
  ["min_over_time", [ROW.MIN]],
  ["max_over_time", [ROW.MAX]],
  ["first_over_time", [ROW.FIRST]],
  ["last_over_time", [ROW.LAST, ROW.LAST_MS]],
  ["present_over_time", [ROW.LAST_MS]],
  ["ts_of_first_over_time", [ROW.FIRST_MS]],
  ["ts_of_last_over_time", [ROW.LAST_MS]],
]);

/** Rollups that only look at a window's newest sample: a window may begin inside a row. */
const OF_NEWEST: ReadonlySet<Rollup> = new Set<Rollup>([
  "last",
  "timestamp",
  "last_over_time",
  "present_over_time",
  "ts_of_last_over_time",
]);

/** The columns of rows that a rollup reads, the count first; undefined when it needs samples. */
export function columnsOfRows(rollup: Rollup): readonly number[] | undefined {
  const columns = READS.get(rollup);
  return columns === undefined ? undefined : [ROW.COUNT, ...columns];
}

export function looksAtNewest(rollup: Rollup): boolean {
  return OF_NEWEST.has(rollup);
}

// Per row: the samples before it; rows at which a counter fell, inside or since the row before. Grow with the longest table seen.
let samplesBefore = new Float64Array(1024);
let falls = new Int32Array(1024);

/**
 * Evaluates a rollup of `columnsOfRows` for each step. `rangeMs` is the window's length where it begins inside a row, else that of the plan.
 * Writes out and present, and returns the number of steps with a value, as evaluateRollup does.
 */
export function evaluateRows(
  rollup: Rollup,
  plan: WindowPlan,
  rows: RowTable,
  levelMs: number,
  rangeMs: number,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { columns } = rows;
  switch (rollup) {
    case "last":
    case "timestamp":
    case "last_over_time":
    case "present_over_time":
    case "ts_of_last_over_time":
      return newestOfRows(rollup, plan, rows, rangeMs, out, present);
    case "rate":
    case "increase":
    case "delta":
      return extrapolateRows(plan, rows, levelMs, rollup !== "delta", rollup === "rate", out, present);
    case "sum_over_time":
      return rollupSum(plan, columns[ROW.SUM]!, out, present, false);
    case "count_over_time":
      return rollupSum(plan, columns[ROW.COUNT]!, out, present, false);
    case "avg_over_time":
      return averageRows(plan, rows, out, present);
    case "min_over_time":
      return rollupExtreme(plan, columns[ROW.MIN]!, out, present, false);
    case "max_over_time":
      return rollupExtreme(plan, columns[ROW.MAX]!, out, present, true);
    case "first_over_time":
      return rollupEdge(plan, columns[ROW.FIRST]!, out, present, false, 1);
    case "ts_of_first_over_time":
      return firstTimes(plan, rows, levelMs, out, present);
    default:
      throw new InternalError(`cannot evaluate rows: got ${JSON.stringify(rollup)}; want one that reads rows`);
  }
}

function newestOfRows(
  rollup: Rollup,
  plan: WindowPlan,
  { ends, columns }: RowTable,
  rangeMs: number,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  const lasts = columns[ROW.LAST]!;
  const lastTimes = columns[ROW.LAST_MS]!;
  const stales = columns[ROW.STALE]!;
  const seesStale = rollup === "last" || rollup === "timestamp";
  const givesTimes = rollup === "timestamp" || rollup === "ts_of_last_over_time";
  const givesOne = rollup === "present_over_time";
  const earliest = rollup === "ts_of_last_over_time" ? 0 : -Infinity;
  let points = 0;
  let end = plan.startMs - plan.offsetMs;
  for (let s = 0; s < count; s++, end += plan.stepMs) {
    const l = to[s]! - 1;
    out[s] = 0;
    present[s] = 0;
    if (l < from[s]! || (seesStale && stales[l] === 1)) continue;
    const time = ends[l]! - lastTimes[l]!;
    if (time <= end - rangeMs) continue;
    out[s] = givesOne ? 1 : givesTimes ? Math.max(time, earliest) / 1000 : lasts[l]!;
    present[s] = 1;
    points++;
  }
  return points;
}

function firstTimes(
  plan: WindowPlan,
  { ends, columns }: RowTable,
  levelMs: number,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  const times = columns[ROW.FIRST_MS]!;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const has = to[s]! > f;
    out[s] = has ? (ends[f]! - levelMs + times[f]!) / 1000 : 0;
    present[s] = has ? 1 : 0;
    if (has) points++;
  }
  return points;
}

/** Sums the counts up. */
function countBefore(counts: Float64Array, low: number, high: number): void {
  if (samplesBefore.length <= high) samplesBefore = new Float64Array(2 * high + 1);
  const before = samplesBefore;
  before[low] = 0;
  for (let i = low; i < high; i++) before[i + 1] = before[i]! + counts[i]!;
}

/** avg_over_time: sums of sums over sums of counts; where those overflow, the rows' means by their weights. */
function averageRows(plan: WindowPlan, { columns }: RowTable, out: Float64Array, present: Uint8Array): number {
  const sums = columns[ROW.SUM]!;
  const counts = columns[ROW.COUNT]!;
  const points = rollupSum(plan, sums, out, present, false);
  countBefore(counts, plan.low, plan.high);
  const { count, from, to } = plan;
  for (let s = 0; s < count; s++) {
    if (present[s] === 0) continue;
    const n = samplesBefore[to[s]!]! - samplesBefore[from[s]!]!;
    const sum = out[s]!;
    let mean = sum / n;
    if (sum === Infinity || sum === -Infinity) {
      mean = 0;
      for (let i = from[s]!; i < to[s]!; i++) mean += sums[i]! / n;
    }
    out[s] = mean;
  }
  return points;
}

/** The extrapolation of a plan's windows for rows of as many samples, at the same distances from their ends. */
interface RowExtrapolation {
  /** That of the plan, and the rows that its windows cover: [low, high). */
  version: number;
  low: number;
  high: number;
  /** What it was worked out for, of these rows. */
  readonly keys: { readonly which: number; values: Float64Array }[];
  /** `sampled` is 0 where a window has fewer than two samples. */
  readonly steps: Extrapolation;
}

/** Series of several targets take turns: so many are kept. */
const known = Array.from({ length: 8 }, (): RowExtrapolation => {
  const keys = [ROW.FIRST_MS, ROW.LAST_MS, ROW.COUNT].map((which) => ({ which, values: new Float64Array(0) }));
  return { version: -1, low: 0, high: 0, keys, steps: createExtrapolation() };
});
let oldest = 0;

/**
 * rate, increase and delta, as rollup-rate.ts has them: Prometheus' order of operations for all but the sum of resets. The series of a
 * target have rows of the same times: extrapolation is worked out for the first of them.
 */
function extrapolateRows(
  plan: WindowPlan,
  rows: RowTable,
  levelMs: number,
  counter: boolean,
  perSecond: boolean,
  out: Float64Array,
  present: Uint8Array,
): number {
  const { count, from, to } = plan;
  const { columns } = rows;
  const firsts = columns[ROW.FIRST]!;
  const lasts = columns[ROW.LAST]!;
  const resets = columns[ROW.RESETS]!;
  const { sampled, toStart, toEnd, factor, rateFactor, zeroRatio } = extrapolationOf(plan, rows, levelMs);
  const factors = perSecond ? rateFactor : factor;
  const fallen = counter ? listFalls(firsts, lasts, resets, plan.low, plan.high) : 0;
  const at = falls;
  let next = 0;
  let points = 0;
  for (let s = 0; s < count; s++) {
    const f = from[s]!;
    const l = to[s]! - 1;
    // No time between first and last sample: fewer than two.
    if (l < f || !(sampled[s]! > 0)) {
      out[s] = 0;
      present[s] = 0;
      continue;
    }
    const first = firsts[f]!;
    let result = lasts[l]! - first;
    while (next < fallen && at[next]! < f) next++;
    for (let d = next; d < fallen && at[d]! <= l; d++) {
      const row = at[d]!;
      // A fall between two rows counts where both are in the window.
      if (row > f && firsts[row]! < lasts[row - 1]!) result += lasts[row - 1]!;
      result += resets[row]!;
    }
    let by = factors[s]!;
    if (counter && first <= zeroRatio[s]! * result && result > 0 && first >= 0) {
      const toZero = sampled[s]! * (first / result);
      if (toZero < toStart[s]!) {
        by = (sampled[s]! + toZero + toEnd[s]!) / sampled[s]!;
        if (perSecond) by /= plan.rangeMs / 1000;
      }
    }
    out[s] = result * by;
    present[s] = 1;
    points++;
  }
  return points;
}

function extrapolationOf(plan: WindowPlan, rows: RowTable, levelMs: number): Extrapolation {
  for (const one of known) if (isOf(one, plan, rows)) return one.steps;
  const next = known[oldest]!;
  oldest = (oldest + 1) % known.length;
  extrapolate(next, plan, rows, levelMs);
  return next.steps;
}

function isOf({ version, low, high, keys }: RowExtrapolation, plan: WindowPlan, { columns }: RowTable): boolean {
  if (version !== plan.version || low !== plan.low || high !== plan.high) return false;
  for (const { which, values } of keys) {
    const own = columns[which]!;
    for (let i = low; i < high; i++) if (own[i] !== values[i - low]) return false;
  }
  return true;
}

function extrapolate(one: RowExtrapolation, plan: WindowPlan, { ends, columns }: RowTable, levelMs: number): void {
  const { count, from, to, rangeMs, low, high } = plan;
  const { steps } = one;
  reserveSteps(steps, count);
  const firstMs = columns[ROW.FIRST_MS]!;
  const lastMs = columns[ROW.LAST_MS]!;
  countBefore(columns[ROW.COUNT]!, low, high);
  const before = samplesBefore;
  let end = plan.startMs - plan.offsetMs;
  for (let s = 0; s < count; s++, end += plan.stepMs) {
    const f = from[s]!;
    const l = to[s]! - 1;
    const n = l < f ? 0 : before[l + 1]! - before[f]!;
    if (n < 2) steps.sampled[s] = 0;
    else extrapolateStep(steps, s, ends[f]! - levelMs + firstMs[f]!, ends[l]! - lastMs[l]!, n, end, rangeMs);
  }
  for (const key of one.keys) {
    if (key.values.length < high - low) key.values = new Float64Array(high - low);
    key.values.set(columns[key.which]!.subarray(low, high));
  }
  one.version = plan.version;
  one.low = low;
  one.high = high;
}

/** Collects the rows of [low, high) at which a counter fell; returns how many. */
function listFalls(firsts: Float64Array, lasts: Float64Array, resets: Float64Array, low: number, high: number): number {
  if (falls.length < high - low) falls = new Int32Array(2 * (high - low));
  let count = 0;
  for (let i = low; i < high; i++) {
    if (resets[i] !== 0 || (i > low && firsts[i]! < lasts[i - 1]!)) falls[count++] = i;
  }
  return count;
}
