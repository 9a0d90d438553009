// test/promql/peer-series.ts: the series that generated queries are about: counters with resets, gauges, gaps, stale
// markers, classic and native histograms of several layouts, floats and histograms in one series, info metrics.
import {
  customLayout,
  exponentialLayout,
  type FloatHistogram,
  HINT_GAUGE,
  HINT_UNKNOWN,
  type Labels,
  labelsFromRecord,
  type ResetHint,
} from "../../libs/model/index.ts";
import type { Chance } from "./chance.ts";
import type { StoredSample, StoredSeries } from "./script-samples.ts";

/** How long the series are, and how often they are scraped. */
export const SPAN_MS = 40 * 60_000;
const SCRAPE_MS = 15_000;
const SCRAPES = SPAN_MS / SCRAPE_MS;

const ODD = [0, -0, 1, -2.5, Number.NaN, Infinity, -Infinity, 1e308, -1e308, 1e-300, "stale"] as const;

type Value = number | FloatHistogram | "stale" | undefined;

export interface PeerOptions {
  /** The time of the first scrape. */
  readonly baseMs: number;
  /** Native histograms and info metrics too. */
  readonly modern: boolean;
  /** Shifts all scrapes, so that no sample lies on the edge of a window. */
  readonly shiftMs: number;
}

/** All series, the same ones for the same chance. */
export function peerSeries(chance: Chance, { baseMs, modern, shiftMs }: PeerOptions): StoredSeries[] {
  const out: StoredSeries[] = [];
  const add = (labels: Record<string, string>, valueAt: (scrape: number) => Value) => {
    out.push({ labels: labelsFromRecord(labels), samples: samplesOf(valueAt, baseMs + shiftMs) });
  };
  for (const job of ["a", "b"]) {
    for (const instance of ["1", "2", "3"]) {
      const target = { job, instance };
      add({ __name__: "requests_total", ...target, kind: "x" }, counter(chance, 20));
      add({ __name__: "temperature", ...target }, () => Math.round((chance.next() - 0.4) * 1e6) / 1000);
      add({ __name__: "sparse", ...target }, (i) =>
        i % 40 > 25 ? (i % 40 === 26 ? "stale" : undefined) : chance.below(9),
      );
      addClassic(add, target, chance);
      if (modern) addNative(add, target, chance);
    }
    add({ __name__: "flat", job, zone: `z-${job}` }, () => 7);
    if (modern) add({ __name__: "odd", job, zone: `z-${job}` }, () => chance.pick(ODD));
  }
  if (!modern) return out;
  for (const instance of ["1", "2"]) {
    add({ __name__: "target_info", job: "a", instance, version: `v${instance}` }, () => 1);
    add({ __name__: "build_info", job: "a", instance, commit: "c", zone: "here" }, () => 1);
  }
  return out;
}

function samplesOf(valueAt: (scrape: number) => Value, firstMs: number): StoredSample[] {
  const samples: StoredSample[] = [];
  for (let i = 0; i < SCRAPES; i++) {
    const value = valueAt(i);
    if (value === undefined) continue;
    samples.push({
      timeMs: firstMs + i * SCRAPE_MS,
      value: typeof value === "number" ? value : 0,
      stale: value === "stale",
      histogram: typeof value === "object" ? value : undefined,
      startMs: 0,
    });
  }
  return samples;
}

/** Counters whose samples say since when they count: sensibly, doubtfully, impossibly, or not at all. */
export function startedSeries(chance: Chance, baseMs: number): StoredSeries[] {
  return ["1", "2", "3", "4"].map((instance) => {
    const valueAt = counter(chance, 20);
    let startMs = baseMs - 1000;
    const samples = samplesOf(valueAt, baseMs).map((sample) => {
      const { timeMs } = sample;
      const before = timeMs - SCRAPE_MS;
      if (chance.oneIn(8)) startMs = chance.pick([0, timeMs - 5000, before, before - 5000, timeMs, timeMs + 1]);
      return { ...sample, startMs };
    });
    return { labels: labelsFromRecord({ __name__: "started_total", job: "s", instance }), samples };
  });
}

/** Rises by up to 9 a scrape; starts again now and then. */
function counter(chance: Chance, resetOneIn: number): () => number {
  let total = chance.below(100);
  return () => {
    if (chance.oneIn(resetOneIn)) total = 0;
    total += chance.below(10);
    return total;
  };
}

type Add = (labels: Record<string, string>, valueAt: (scrape: number) => Value) => void;

function addClassic(add: Add, target: Record<string, string>, chance: Chance): void {
  const bounds = ["0.1", "0.5", "1", "+Inf"];
  // Counts of all buckets rise together, so they stay cumulative.
  const increases = Array.from({ length: SCRAPES }, () => bounds.map(() => chance.below(5)));
  const cumulative = increases.map(() => bounds.map(() => 0));
  for (let i = 0; i < SCRAPES; i++) {
    let row = 0;
    bounds.forEach((_, b) => {
      row += increases[i]![b]!;
      cumulative[i]![b] = row + (i === 0 ? 0 : cumulative[i - 1]![b]!);
    });
  }
  bounds.forEach((le, b) => {
    add({ __name__: "latency_bucket", ...target, le }, (i) => cumulative[i]![b]!);
  });
  add({ __name__: "latency_count", ...target }, (i) => cumulative[i]!.at(-1)!);
  add({ __name__: "latency_sum", ...target }, (i) => cumulative[i]!.at(-1)! * 0.375);
}

function addNative(add: Add, target: Record<string, string>, chance: Chance): void {
  const wide = target.instance === "2";
  const layout = exponentialLayout(wide ? 1 : 3, wide ? 0.001 : 0.01, [-3, -2, 0, 1, 5], [0, 2]);
  const finer = exponentialLayout(wide ? 1 : 3, wide ? 0.001 : 0.01, [-3, -2, 0, 1, 2, 5], [0, 2]);
  add(
    { __name__: "native", ...target },
    rising(chance, HINT_UNKNOWN, (i) => (i < SCRAPES / 2 ? layout : finer)),
  );
  add({ __name__: "native_gauge", ...target }, (i) => {
    // Gone for a while, now and then, with and without a marker.
    if (i % 50 > 40) return i % 50 === 41 && wide ? "stale" : undefined;
    return histogram(chance, layout, HINT_GAUGE, undefined);
  });
  const bounds = wide ? [0.1, 0.5, 1] : [0.1, 0.25, 0.5, 1];
  const custom = customLayout(bounds, wide ? [0, 1, 2, 3] : [0, 1, 2, 3, 4]);
  add(
    { __name__: "custom", ...target },
    rising(chance, HINT_UNKNOWN, () => custom),
  );
  const assorted = rising(chance, HINT_UNKNOWN, () => (target.job === "a" ? layout : custom));
  add({ __name__: "assorted", ...target }, (i) => (i % 30 < 12 ? chance.below(50) : assorted(i)));
}

function rising(chance: Chance, hint: ResetHint, layoutAt: (scrape: number) => FloatHistogram["layout"]) {
  let current: FloatHistogram | undefined;
  return (i: number): FloatHistogram => {
    const layout = layoutAt(i);
    const continues = current !== undefined && current.layout === layout && !chance.oneIn(25);
    current = histogram(chance, layout, hint, continues ? current : undefined);
    return current;
  };
}

/** A histogram that has at least what `before` has. */
function histogram(
  chance: Chance,
  layout: FloatHistogram["layout"],
  hint: ResetHint,
  before: FloatHistogram | undefined,
): FloatHistogram {
  const size = layout.positive.length + layout.negative.length;
  const buckets = Float64Array.from({ length: size }, (_, i) => (before?.buckets[i] ?? 0) + chance.below(4));
  const zeroCount = layout.bounds.length > 0 ? 0 : (before?.zeroCount ?? 0) + chance.below(2);
  const count = buckets.reduce((sum, n) => sum + n, zeroCount);
  const sum = (before?.sum ?? 0) + chance.below(100) / 8;
  return { layout, hint, count, sum, zeroCount, buckets };
}

/** Samples in stretches of one kind: a request's series has its floats before its histograms, whatever their times. */
export function stretches(samples: readonly StoredSample[]): StoredSample[][] {
  const out: StoredSample[][] = [];
  for (const sample of samples) {
    const last = out.at(-1)?.at(-1);
    if (last !== undefined && (last.histogram === undefined) === (sample.histogram === undefined))
      out.at(-1)!.push(sample);
    else out.push([sample]);
  }
  return out;
}

/** Label pairs in order. */
export function pairsOf(labels: Labels): [string, string][] {
  return Array.from({ length: labels.length / 2 }, (_, i) => [labels[2 * i]!, labels[2 * i + 1]!]);
}
