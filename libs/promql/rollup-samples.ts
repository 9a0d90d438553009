// libs/promql/rollup-samples.ts: evaluates any rollup over a series that has histograms or start times among its samples.
// Series without either go through rollup.ts directly; this is the way for the others, window by window. Where functions
// see floats only, the floats are taken out and rolled up as a column of their own.
import {
  type FloatHistogram,
  type HistogramColumn,
  histogramsOf,
  packHistograms,
  type Rollup,
} from "../model/index.ts";
import { sameHistogram, wasReset } from "./histogram-arithmetic.ts";
import { evaluateRollup, type RollupArgs } from "./rollup.ts";
import { histogramAtTime, histogramExtendedRate } from "./rollup-histogram-extended.ts";
import { type HistogramWindow, histogramLastTwo, histogramRate, type Note } from "./rollup-histogram-rate.ts";
import { averageHistogram, sumHistograms } from "./rollup-histogram-sum.ts";
import { isStartReset, rollupRateFromStarts } from "./rollup-starts.ts";
import { WEIGHED, weightOf } from "./sample-weight.ts";
import type { SeriesSamples } from "./series-samples.ts";
import { createWindowPlan, planWindows, type WindowPlan } from "./window-plan.ts";

/** A rollup's result beside the floats and the presence that the caller's arrays receive. */
export interface RolledUp {
  /** Steps that have a value of either kind. */
  readonly points: number;
  readonly histograms: HistogramColumn | undefined;
  /** Whether any step has a float. */
  readonly hasFloats: boolean;
}

/** Functions that see floats only and note that they left histograms out. */
const FLOATS_ONLY: ReadonlySet<Rollup> = new Set<Rollup>([
  "deriv",
  "predict_linear",
  "min_over_time",
  "max_over_time",
  "stddev_over_time",
  "stdvar_over_time",
  "quantile_over_time",
  "mad_over_time",
  "double_exponential_smoothing",
  "ts_of_min_over_time",
  "ts_of_max_over_time",
]);

/** Functions that have no result where floats and histograms meet in a window. */
const ONE_KIND: ReadonlySet<Rollup> = new Set<Rollup>([
  "rate",
  "increase",
  "delta",
  "sum_over_time",
  "avg_over_time",
  "rate_anchored",
  "increase_anchored",
  "delta_anchored",
  "rate_smoothed",
  "increase_smoothed",
  "delta_smoothed",
  "last_smoothed",
]);

/** Of anchored ranges only resets are looked for in start times; rates are taken from the edges alone. */
const READ_STARTS: ReadonlySet<Rollup> = new Set<Rollup>(["rate", "increase", "irate", "resets", "resets_anchored"]);

/** Whether the rollup looks at start times. */
export function readsStarts(rollup: Rollup): boolean {
  return READ_STARTS.has(rollup);
}

/**
 * Evaluates a rollup for each step of `plan`, which was made for the samples' times. Floats go to out[s], presence of
 * either kind to present[s]; every slot is written. Samples hold no stale markers unless the rollup sees them.
 */
export function evaluateSamples(
  rollup: Rollup,
  plan: WindowPlan,
  samples: SeriesSamples,
  args: RollupArgs,
  out: Float64Array,
  present: Uint8Array,
  note: Note,
): RolledUp {
  return new SamplesRollup(rollup, plan, samples, args, out, present, note).run();
}

class SamplesRollup {
  readonly #rollup: Rollup;
  readonly #plan: WindowPlan;
  readonly #samples: SeriesSamples;
  readonly #args: RollupArgs;
  readonly #out: Float64Array;
  readonly #present: Uint8Array;
  readonly #note: Note;
  readonly #histograms: readonly (FloatHistogram | undefined)[];
  readonly #results: (FloatHistogram | undefined)[];
  /** How many histograms lie before each sample. */
  readonly #before: Int32Array;
  /** Whether there was a reset before each sample: 1 yes, 2 no, 0 not looked yet. */
  readonly #resets: Uint8Array;

  constructor(
    rollup: Rollup,
    plan: WindowPlan,
    samples: SeriesSamples,
    args: RollupArgs,
    out: Float64Array,
    present: Uint8Array,
    note: Note,
  ) {
    this.#rollup = rollup;
    this.#plan = plan;
    this.#samples = samples;
    this.#args = args;
    this.#out = out;
    this.#present = present;
    this.#note = note;
    const { n, histograms } = samples;
    this.#histograms = histograms === undefined ? new Array(n).fill(undefined) : histogramsOf(histograms);
    this.#results = new Array(plan.count).fill(undefined);
    this.#before = new Int32Array(n + 1);
    this.#resets = new Uint8Array(n);
    for (let i = 0; i < n; i++) this.#before[i + 1] = this.#before[i]! + (this.#histograms[i] === undefined ? 0 : 1);
  }

  run(): RolledUp {
    const rollup = this.#rollup;
    if (rollup === "start_timestamp") this.#startTimes();
    else if (FLOATS_ONLY.has(rollup)) this.#floatsOnly();
    else if (ONE_KIND.has(rollup)) this.#oneKind();
    else if (rollup === "irate" || rollup === "idelta") this.#eachWindow((f, t) => this.#lastTwo(f, t));
    else if (/^(?:resets|changes)/.test(rollup)) this.#eachWindow((f, t, s) => this.#events(f, t, s));
    else this.#ofEdges();
    let points = 0;
    let hasFloats = false;
    for (let s = 0; s < this.#plan.count; s++) {
      if (this.#present[s] === 0) continue;
      points++;
      if (this.#results[s] === undefined) hasFloats = true;
    }
    return { points, histograms: packHistograms(this.#results), hasFloats };
  }

  /** Writes what `evaluate` says about each window that has samples. */
  #eachWindow(evaluate: (from: number, to: number, step: number) => number | FloatHistogram | undefined): void {
    const { count, from, to } = this.#plan;
    for (let s = 0; s < count; s++) {
      const result = to[s]! > from[s]! ? evaluate(from[s]!, to[s]!, s) : undefined;
      this.#out[s] = typeof result === "number" ? result : 0;
      this.#present[s] = result === undefined ? 0 : 1;
      this.#results[s] = typeof result === "object" ? result : undefined;
    }
  }

  #histogramsIn(from: number, to: number): number {
    return this.#before[to]! - this.#before[from]!;
  }

  /** The floats as a column of their own, rolled up. */
  #evaluateFloats(): void {
    const { n, times, values, starts } = this.#samples;
    const { startMs, stepMs, count, rangeMs, offsetMs } = this.#plan;
    const rollup = this.#rollup;
    const positions: number[] = [];
    for (let i = 0; i < n; i++) if (this.#histograms[i] === undefined) positions.push(i);
    const floatTimes = Float64Array.from(positions, (i) => times[i]!);
    const floats = Float64Array.from(positions, (i) => values[i]!);
    const grid = { startMs, stepMs, count };
    const plan = planWindows(floatTimes, positions.length, grid, rangeMs, offsetMs, createWindowPlan());
    if (starts !== undefined && (rollup === "rate" || rollup === "increase")) {
      const floatStarts = Float64Array.from(positions, (i) => starts[i]!);
      const perSecond = rollup === "rate";
      rollupRateFromStarts(plan, floatTimes, floats, floatStarts, perSecond, this.#out, this.#present, (s) => {
        if (this.#histogramsIn(this.#plan.from[s]!, this.#plan.to[s]!) === 0) this.#note("start_overlap");
      });
    } else {
      evaluateRollup(rollup, plan, floatTimes, floats, this.#args, this.#out, this.#present);
    }
  }

  #floatsOnly(): void {
    this.#evaluateFloats();
    const { count, from, to } = this.#plan;
    for (let s = 0; s < count; s++) {
      const histograms = this.#histogramsIn(from[s]!, to[s]!);
      if (histograms > 0 && histograms < to[s]! - from[s]!) this.#note("ignored_histograms");
    }
  }

  #oneKind(): void {
    this.#evaluateFloats();
    const { count, from, to } = this.#plan;
    for (let s = 0; s < count; s++) {
      const f = from[s]!;
      const t = to[s]!;
      const histograms = this.#histogramsIn(f, t);
      if (histograms === 0) continue;
      const result = histograms === t - f ? this.#overHistograms(f, t, s) : undefined;
      if (histograms < t - f) this.#note("mixed_samples");
      this.#out[s] = 0;
      this.#present[s] = result === undefined ? 0 : 1;
      this.#results[s] = result;
    }
  }

  #window(from: number, to: number): HistogramWindow {
    const { times, starts } = this.#samples;
    return {
      histograms: this.#histograms.slice(from, to) as FloatHistogram[],
      times: Array.from(times.subarray(from, to)),
      starts: starts === undefined ? [] : Array.from(starts.subarray(from, to)),
      isReset: (i) => this.#isReset(from + i),
    };
  }

  #overHistograms(from: number, to: number, step: number): FloatHistogram | undefined {
    const window = this.#window(from, to);
    const { startMs, stepMs, offsetMs, rangeMs } = this.#plan;
    const endMs = startMs + step * stepMs - offsetMs;
    const note = this.#note;
    switch (this.#rollup) {
      case "sum_over_time":
        return sumHistograms(window.histograms, note);
      case "avg_over_time":
        return averageHistogram(window.histograms, note);
      case "rate":
        return histogramRate(window, endMs - rangeMs, endMs, true, true, note);
      case "increase":
        return histogramRate(window, endMs - rangeMs, endMs, true, false, note);
      case "delta":
        return histogramRate(window, endMs - rangeMs, endMs, false, false, note);
    }
    const [ownRangeMs, aheadMs] = this.#args as readonly [number, number];
    const ownEndMs = endMs - aheadMs;
    if (this.#rollup === "last_smoothed") return histogramAtTime(window, ownEndMs, note);
    const kind = {
      smoothed: this.#rollup.endsWith("_smoothed"),
      counter: !this.#rollup.startsWith("delta"),
      perSecond: this.#rollup.startsWith("rate"),
    };
    return histogramExtendedRate(window, ownEndMs - ownRangeMs, ownEndMs, kind, note);
  }

  #lastTwo(from: number, to: number): number | FloatHistogram | undefined {
    const f = to - 2;
    if (f < from) return undefined;
    const counter = this.#rollup === "irate";
    const { times, values, starts } = this.#samples;
    const histograms = this.#histogramsIn(f, to);
    if (histograms === 2) return histogramLastTwo(this.#window(f, to), counter, this.#note);
    if (histograms === 1) {
      this.#note("mixed_samples");
      return undefined;
    }
    const before = values[f]!;
    const last = values[f + 1]!;
    if (!counter) return last - before;
    const byStart = starts !== undefined && isStartReset(starts[f]!, times[f]!, starts[f + 1]!, times[f + 1]!);
    return (last < before || byStart ? last : last - before) / ((times[f + 1]! - times[f]!) / 1000);
  }

  /** resets and changes between neighbours of a window; from a float to a histogram or back is one of either. */
  #events(from: number, to: number, step: number): number | undefined {
    const { times } = this.#samples;
    let first = from;
    if (this.#rollup.endsWith("_anchored")) {
      const { startMs, stepMs, offsetMs } = this.#plan;
      const rangeStart = startMs + step * stepMs - offsetMs - (this.#args[0] as number);
      if (times[to - 1]! <= rangeStart) return undefined;
      while (times[first + 1]! <= rangeStart) first++;
    }
    const isEvent = this.#rollup.startsWith("resets") ? this.#isReset : this.#isChange;
    let events = 0;
    for (let i = first + 1; i < to; i++) if (isEvent.call(this, i)) events++;
    return events;
  }

  /** Windows overlap, so what was found out about two neighbours is remembered. */
  #isReset(i: number): boolean {
    if (this.#resets[i] === 0) this.#resets[i] = this.#findReset(i) ? 1 : 2;
    return this.#resets[i] === 1;
  }

  #findReset(i: number): boolean {
    const { times, values, starts } = this.#samples;
    const before = this.#histograms[i - 1];
    const now = this.#histograms[i];
    if ((before === undefined) !== (now === undefined)) return true;
    if (starts !== undefined && isStartReset(starts[i - 1]!, times[i - 1]!, starts[i]!, times[i]!)) return true;
    if (before === undefined || now === undefined) return values[i]! < values[i - 1]!;
    return wasReset(now, before);
  }

  #isChange(i: number): boolean {
    const { values } = this.#samples;
    const before = this.#histograms[i - 1];
    const now = this.#histograms[i];
    if (before !== undefined && now !== undefined) return !sameHistogram(before, now);
    if (before !== undefined || now !== undefined) return true;
    const a = values[i - 1]!;
    const b = values[i]!;
    return a !== b && !(Number.isNaN(a) && Number.isNaN(b));
  }

  /** What depends on times only, and the first or last sample of either kind. */
  #ofEdges(): void {
    const { times, values } = this.#samples;
    const { count, from, to } = this.#plan;
    const rollup = this.#rollup;
    evaluateRollup(rollup, this.#plan, times, values, this.#args, this.#out, this.#present);
    if (rollup === "count_over_time" && this.#args[0] === WEIGHED) this.#weigh();
    if (rollup === "timestamp") {
      for (let s = 0; s < count; s++) {
        if (this.#present[s] === 1 && this.#histograms[to[s]! - 1] !== undefined) this.#note("histogram_times");
      }
    }
    if (rollup !== "last" && rollup !== "last_over_time" && rollup !== "first_over_time") return;
    for (let s = 0; s < count; s++) {
      if (this.#present[s] === 0) continue;
      this.#results[s] = this.#histograms[rollup === "first_over_time" ? from[s]! : to[s]! - 1];
    }
  }

  /** The weights of all samples of a window in the place of their number. */
  #weigh(): void {
    const { count, from, to } = this.#plan;
    for (let s = 0; s < count; s++) {
      if (this.#present[s] === 0) continue;
      let weight = 0;
      for (let i = from[s]!; i < to[s]!; i++) weight += weightOf(this.#histograms[i]);
      this.#out[s] = weight;
    }
  }

  /** The start time of the newest sample, or its weight beyond 1. */
  #startTimes(): void {
    const { times, values, starts } = this.#samples;
    const { count, to } = this.#plan;
    evaluateRollup("timestamp", this.#plan, times, values, [], this.#out, this.#present);
    const weighs = this.#args[0] === WEIGHED;
    for (let s = 0; s < count; s++) {
      if (this.#present[s] === 0) continue;
      if (weighs) this.#out[s] = weightOf(this.#histograms[to[s]! - 1]) - 1;
      else this.#out[s] = starts === undefined ? 0 : starts[to[s]! - 1]! / 1000;
    }
  }
}
