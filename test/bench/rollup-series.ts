// test/bench/rollup-series.ts: the series that rollup benches run over, and how they time a piece of work.
// 1,600 series × 480 samples (a scrape every 15 s), 105 steps of 60 s, as 100 targets with 16 series each.
import type { Rollup } from "../../libs/model/index.ts";
import { createWindowPlan, evaluateRollup, planWindows, type WindowPlan } from "../../libs/promql/index.ts";

export const SERIES = 1600;
export const SAMPLES = 480;
export const GRID = { startMs: 1_700_000_000_000 + 15 * 60_000, stepMs: 60_000, count: 105 };
const START_MS = 1_700_000_000_000;
const INTERVAL_MS = 15_000;
const SERIES_PER_TARGET = 16;

/** Timestamp columns of all targets, each scraped at an offset of its own. */
export const TIMES: Float64Array[] = [];
/** Counters, gauges with fractions, and counters that reset now and then: one column per series. */
export const COUNTERS: Float64Array[] = [];
export const GAUGES: Float64Array[] = [];
export const RESETTING: Float64Array[] = [];

let seed = 12345;
function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
}

for (let i = 0; i < SERIES; i++) {
  if (i % SERIES_PER_TARGET === 0) {
    const offset = Math.floor(random() * INTERVAL_MS);
    TIMES.push(Float64Array.from({ length: SAMPLES }, (_, k) => START_MS + offset + k * INTERVAL_MS));
  }
  let counter = Math.floor(random() * 1e6);
  let resetting = 0;
  COUNTERS.push(Float64Array.from({ length: SAMPLES }, () => (counter += Math.floor(random() * 100))));
  let gauge = random() * 100;
  GAUGES.push(Float64Array.from({ length: SAMPLES }, () => (gauge += (random() - 0.5) * 3)));
  RESETTING.push(
    Float64Array.from({ length: SAMPLES }, () => (resetting = random() < 0.01 ? 0 : resetting + random())),
  );
}

/** The timestamp column of a series. */
export function timesOf(series: number): Float64Array {
  return TIMES[Math.floor(series / SERIES_PER_TARGET)]!;
}

/** A plan per target for one range. */
export function plansFor(rangeMs: number): WindowPlan[] {
  return TIMES.map((times) => planWindows(times, SAMPLES, GRID, rangeMs, 0, createWindowPlan()));
}

/** The plan of a series. */
export function planOf(plans: readonly WindowPlan[], series: number): WindowPlan {
  return plans[Math.floor(series / SERIES_PER_TARGET)]!;
}

/** Runs `work` until it is warm, then takes the best of ten, and prints ns per `units`. */
export function report(name: string, units: number, unit: string, work: () => void): void {
  for (let i = 0; i < 5; i++) work();
  let best = Infinity;
  for (let i = 0; i < 10; i++) {
    const start = process.hrtime.bigint();
    work();
    best = Math.min(best, Number(process.hrtime.bigint() - start));
  }
  console.log(`${name.padEnd(44)} ${(best / units).toFixed(2).padStart(9)} ns / ${unit}`);
}

/** Times one rollup over all series, its plans made before. */
export function reportRollup(
  rollup: Rollup,
  columns: readonly Float64Array[],
  rangeMs: number,
  args: number[] = [],
): void {
  const out = new Float64Array(GRID.count);
  const present = new Uint8Array(GRID.count);
  const plans = plansFor(rangeMs);
  report(`${rollup} [${rangeMs / 60_000}m]`, SERIES * GRID.count, "point", () => {
    for (let i = 0; i < SERIES; i++) {
      evaluateRollup(rollup, planOf(plans, i), timesOf(i), columns[i]!, args, out, present);
    }
  });
}
