// test/promql/naive-rollup.ts: every rollup of the leaf contract for one window, from its definition in Prometheus'
// documentation and in notes of its semantics. The twin of libs/promql/rollup*.ts: plain arrays, no plan, no reuse.
import type { Rollup } from "../../libs/model/index.ts";

export interface Sample {
  readonly timeMs: number;
  readonly value: number;
  /** A staleness marker; `value` means nothing then. */
  readonly stale: boolean;
  /** A native histogram; `value` means nothing then. */
  readonly histogram: boolean;
}

/** Where a window lies: the evaluation time, and the window's own end and length. */
export interface WindowPlace {
  readonly timeMs: number;
  readonly endMs: number;
  readonly rangeMs: number;
  readonly args: readonly number[];
}

type Point = readonly [timeMs: number, value: number];

/** The rollup's value over the samples of a window, or undefined when there is none. */
export function naiveRollup(rollup: Rollup, window: readonly Sample[], place: WindowPlace): number | undefined {
  if (rollup === "last" || rollup === "timestamp") {
    const newest = window.at(-1);
    if (newest === undefined || newest.stale || newest.histogram) return undefined;
    return rollup === "last" ? newest.value : newest.timeMs / 1000;
  }
  const points = window.filter((s) => !s.stale && !s.histogram).map((s): Point => [s.timeMs, s.value]);
  return points.length === 0 ? undefined : overPoints(rollup, points, place);
}

function overPoints(rollup: Rollup, points: readonly Point[], place: WindowPlace): number | undefined {
  const values = points.map(([, value]) => value);
  const n = points.length;
  switch (rollup) {
    case "rate":
      return extrapolated(points, place, true, true);
    case "increase":
      return extrapolated(points, place, true, false);
    case "delta":
      return extrapolated(points, place, false, false);
    case "irate":
      return n < 2 ? undefined : lastIncrease(points) / ((points[n - 1]![0] - points[n - 2]![0]) / 1000);
    case "idelta":
      return n < 2 ? undefined : values[n - 1]! - values[n - 2]!;
    case "deriv":
      return n < 2 ? undefined : regression(points, points[0]![0]).slope;
    case "predict_linear": {
      if (n < 2) return undefined;
      const { slope, intercept } = regression(points, place.timeMs);
      return slope * place.args[0]! + intercept;
    }
    case "changes":
      return countPairs(values, (before, now) => before !== now && !(Number.isNaN(before) && Number.isNaN(now)));
    case "resets":
      return countPairs(values, (before, now) => now < before);
    case "sum_over_time":
      return neumaier(values);
    case "avg_over_time":
      return mean(values);
    case "min_over_time":
      return extreme(values, (a, b) => a < b);
    case "max_over_time":
      return extreme(values, (a, b) => a > b);
    case "count_over_time":
      return n;
    case "present_over_time":
      return 1;
    case "stddev_over_time":
      return Math.sqrt(variance(values));
    case "stdvar_over_time":
      return variance(values);
    case "quantile_over_time":
      return quantile(place.args[0]!, values);
    case "mad_over_time": {
      if (values.some(Number.isNaN)) return Number.NaN;
      const median = quantile(0.5, values);
      return quantile(
        0.5,
        values.map((value) => Math.abs(value - median)),
      );
    }
    case "last_over_time":
      return values[n - 1]!;
    case "first_over_time":
      return values[0]!;
    case "ts_of_last_over_time":
      return Math.max(points[n - 1]![0] / 1000, 0);
    case "ts_of_first_over_time":
      return points[0]![0] / 1000;
    case "ts_of_min_over_time":
      return (
        lastTimeOf(
          points,
          extreme(values, (a, b) => a < b),
        ) / 1000
      );
    case "ts_of_max_over_time":
      return (
        lastTimeOf(
          points,
          extreme(values, (a, b) => a > b),
        ) / 1000
      );
    case "double_exponential_smoothing":
      return smoothing(values, place.args[0]!, place.args[1]!);
    default:
      return extended(rollup, points, place);
  }
}

function countPairs(values: readonly number[], test: (before: number, now: number) => boolean): number {
  let pairs = 0;
  for (let i = 1; i < values.length; i++) if (test(values[i - 1]!, values[i]!)) pairs++;
  return pairs;
}

/** rate, increase and delta: the last value less the first, plus what resets lost, stretched to the whole range. */
function extrapolated(
  points: readonly Point[],
  place: WindowPlace,
  counter: boolean,
  perSecond: boolean,
): number | undefined {
  if (points.length < 2) return undefined;
  const [firstMs, first] = points[0]!;
  const [lastMs, last] = points.at(-1)!;
  let result = last - first;
  if (counter) {
    for (let i = 1; i < points.length; i++) if (points[i]![1] < points[i - 1]![1]) result += points[i - 1]![1];
  }
  const sampled = (lastMs - firstMs) / 1000;
  const average = sampled / (points.length - 1);
  let before = (firstMs - (place.endMs - place.rangeMs)) / 1000;
  let after = (place.endMs - lastMs) / 1000;
  if (before >= average * 1.1) before = average / 2;
  if (counter && result > 0 && first >= 0) before = Math.min(before, sampled * (first / result));
  if (after >= average * 1.1) after = average / 2;
  let factor = (sampled + before + after) / sampled;
  if (perSecond) factor /= place.rangeMs / 1000;
  return result * factor;
}

function lastIncrease(points: readonly Point[]): number {
  const before = points.at(-2)![1];
  const last = points.at(-1)![1];
  return last < before ? last : last - before;
}

/** Least squares with compensated sums; x in seconds from `originMs`. */
function regression(points: readonly Point[], originMs: number): { slope: number; intercept: number } {
  const first = points[0]![1];
  if (points.every(([, y]) => y === first)) {
    return Number.isFinite(first) ? { slope: 0, intercept: first } : { slope: Number.NaN, intercept: Number.NaN };
  }
  const n = points.length;
  const x = points.map(([timeMs]) => (timeMs - originMs) / 1000);
  const y = points.map(([, value]) => value);
  const sumX = neumaierOrNaN(x);
  const sumY = neumaierOrNaN(y);
  const sumXY = neumaierOrNaN(x.map((value, i) => value * y[i]!));
  const sumXX = neumaierOrNaN(x.map((value) => value * value));
  const slope = (sumXY - (sumX * sumY) / n) / (sumXX - (sumX * sumX) / n);
  return { slope, intercept: sumY / n - (slope * sumX) / n };
}

function step([sum, lost]: readonly [number, number], value: number): [number, number] {
  const next = sum + value;
  if (Math.abs(next) === Infinity) return [next, 0];
  return [next, lost + (Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum)];
}

function neumaierOrNaN(values: readonly number[]): number {
  const [sum, lost] = values.reduce(step, [0, 0] as [number, number]);
  return sum + lost;
}

function neumaier(values: readonly number[]): number {
  const [sum, lost] = values.reduce(step, [0, 0] as [number, number]);
  return Math.abs(sum) === Infinity ? sum : sum + lost;
}

/** The sum over the count; from where the sum would overflow, a mean that is corrected value by value. */
function mean(values: readonly number[]): number {
  let state: [number, number] = [values[0]!, 0];
  let i = 1;
  for (; i < values.length; i++) {
    const next = step(state, values[i]!);
    if (Math.abs(next[0]) === Infinity) break;
    state = next;
  }
  if (i === values.length) return state[0] / i + state[1] / i;
  state = [state[0] / i, state[1] / i];
  for (; i < values.length; i++) {
    const n = i + 1;
    const q = (n - 1) / n;
    state = step([q * state[0], q * state[1]], values[i]! / n);
  }
  return state[0] + state[1];
}

/** The first value that no other beats; NaN only when all are. */
function extreme(values: readonly number[], beats: (a: number, b: number) => boolean): number {
  const numbers = values.filter((value) => !Number.isNaN(value));
  return numbers.length === 0 ? Number.NaN : numbers.reduce((best, value) => (beats(value, best) ? value : best));
}

function lastTimeOf(points: readonly Point[], wanted: number): number {
  const found = points.filter(([, value]) => value === wanted || (Number.isNaN(value) && Number.isNaN(wanted)));
  return found.at(-1)![0];
}

function variance(values: readonly number[]): number {
  let average: [number, number] = [0, 0];
  let squares: [number, number] = [0, 0];
  values.forEach((value, i) => {
    const delta = value - (average[0] + average[1]);
    average = step(average, delta / (i + 1));
    squares = step(squares, delta * (value - (average[0] + average[1])));
  });
  return (squares[0] + squares[1]) / values.length;
}

/** Linear interpolation between ranks; NaN counts as the smallest value. */
export function quantile(phi: number, values: readonly number[]): number {
  if (values.length === 0 || Number.isNaN(phi)) return Number.NaN;
  if (phi < 0) return -Infinity;
  if (phi > 1) return Infinity;
  const order = (value: number) => (Number.isNaN(value) ? 0 : 1);
  const sorted = [...values].sort((a, b) => order(a) - order(b) || (a < b ? -1 : a > b ? 1 : 0));
  const rank = phi * (sorted.length - 1);
  const lower = Math.floor(rank);
  const upper = Math.min(sorted.length - 1, lower + 1);
  return sorted[lower]! * (1 - (rank - lower)) + sorted[upper]! * (rank - lower);
}

function smoothing(values: readonly number[], sf: number, tf: number): number | undefined {
  if (values.length < 2) return undefined;
  let previous = 0;
  let level = values[0]!;
  let trend = values[1]! - values[0]!;
  for (let i = 1; i < values.length; i++) {
    if (i > 1) trend = tf * (level - previous) + (1 - tf) * trend;
    [previous, level] = [level, sf * values[i]! + (1 - sf) * (level + trend)];
  }
  return level;
}

/** Anchored and smoothed ranges: (end - args[0], end], where end lies args[1] before the window's end. */
function extended(rollup: Rollup, points: readonly Point[], place: WindowPlace): number | undefined {
  const [rangeMs, aheadMs] = place.args as [number, number];
  const end = place.endMs - aheadMs;
  const start = end - rangeMs;
  if (rollup === "last_smoothed") return valueAt(points, end, false);
  const [func, mode] = rollup.split("_") as [string, "anchored" | "smoothed"];
  const counter = func === "rate" || func === "increase";
  const before = points.filter(([timeMs]) => timeMs <= start);
  const upTo = mode === "anchored" ? Infinity : end;
  const after = points.filter(([timeMs]) => timeMs > start && timeMs < upTo);
  const beyond = points.find(([timeMs]) => timeMs > start && timeMs >= upTo);
  const anchor = before.at(-1);
  if (after.length === 0 && beyond === undefined) return undefined;
  if (mode === "smoothed" && anchor === undefined && after.length === 0 && beyond![0] > end) return undefined;
  const chain = [...(anchor ? [anchor] : []), ...after];
  if (func === "changes" || func === "resets") {
    const values = chain.map(([, value]) => value);
    if (func === "resets") return countPairs(values, (x, y) => y < x);
    return countPairs(values, (x, y) => x !== y && !(Number.isNaN(x) && Number.isNaN(y)));
  }
  const all = beyond === undefined ? chain : [...chain, beyond];
  const left =
    mode === "smoothed" && anchor && anchor[0] < start ? between(all[0]!, all[1]!, start, counter) : all[0]![1];
  let right = all.at(-1)![1];
  if (mode === "smoothed" && beyond !== undefined && beyond[0] > end)
    right = between(all.at(-2)!, beyond, end, counter);
  let result = right - left;
  if (counter) {
    const inside = all.filter(([timeMs]) => timeMs > start && timeMs < end).map(([, value]) => value);
    const path = [left, ...inside, right];
    let lost = 0;
    for (let i = 1; i < path.length; i++) if (path[i]! < path[i - 1]!) lost += path[i - 1]!;
    result += lost;
  }
  return func === "rate" ? result / (rangeMs / 1000) : result;
}

function between(a: Point, b: Point, timeMs: number, counter: boolean): number {
  const from = counter && b[1] < a[1] ? 0 : a[1];
  return from + ((b[1] - from) * (timeMs - a[0])) / (b[0] - a[0]);
}

/** The value on the line through the neighbours of a time; the last value when nothing follows. */
function valueAt(points: readonly Point[], timeMs: number, counter: boolean): number | undefined {
  const next = points.find((point) => point[0] >= timeMs);
  const previous = points.filter((point) => point[0] < timeMs).at(-1);
  if (next !== undefined && next[0] === timeMs) return next[1];
  if (previous === undefined) return undefined;
  return next === undefined ? previous[1] : between(previous, next, timeMs, counter);
}
