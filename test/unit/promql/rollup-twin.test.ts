// test/unit/promql/rollup-twin.test.ts: every rollup against its naive twin, on random columns with all that is odd.
// Covers the hot files window-plan, rollup, rollup-rate, rollup-over-time, rollup-instant, rollup-spread,
// rollup-regression, quantile.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  exponentialLayout,
  type Grid,
  isStale,
  type Leaf,
  packHistograms,
  type Rollup,
  writeStale,
} from "../../../libs/model/index.ts";
import {
  createWindowPlan,
  evaluateRollup,
  LeafNotes,
  planWindows,
  presenceFollowsTimes,
  readsValues,
  rollUpSeries,
  seesStale,
  stripStale,
} from "../../../libs/promql/index.ts";
import { naiveRollup, type Sample } from "../../promql/naive-rollup.ts";

const ROLLUPS: Readonly<Record<string, readonly Rollup[]>> = {
  exact: [
    "last",
    "timestamp",
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "present_over_time",
    "first_over_time",
    "last_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "quantile_over_time",
    "mad_over_time",
    "deriv",
    "predict_linear",
    "double_exponential_smoothing",
  ],
  extended: [
    "rate_anchored",
    "increase_anchored",
    "delta_anchored",
    "changes_anchored",
    "resets_anchored",
    "rate_smoothed",
    "increase_smoothed",
    "delta_smoothed",
    "last_smoothed",
  ],
};

interface Case {
  readonly times: Float64Array;
  readonly values: Float64Array;
  readonly grid: Grid;
  readonly rangeMs: number;
  readonly offsetMs: number;
}

/** Ways to fill a column: whole numbers, counters with resets, fractions, and everything a float can be. */
const VALUE_KINDS: readonly fc.Arbitrary<number>[] = [
  fc.integer({ min: -5, max: 5 }),
  fc.integer({ min: 0, max: 1_000_000 }),
  fc.double({ min: -1000, max: 1000, noNaN: true }),
  fc.double(),
  fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity, 1e308, -1e308, 5e-324, 1e-310, 0.1),
];

const cases: fc.Arbitrary<Case> = fc
  .record({
    kind: fc.integer({ min: 0, max: VALUE_KINDS.length - 1 }),
    gaps: fc.array(fc.constantFrom(1, 10, 10, 10, 10, 10, 9, 11, 37, 200), { maxLength: 90 }),
    counter: fc.boolean(),
    stale: fc.array(fc.nat(90), { maxLength: 3 }),
    start: fc.integer({ min: -50, max: 400 }),
    step: fc.constantFrom(0, 1, 7, 10, 40, 40, 300),
    count: fc.integer({ min: 1, max: 40 }),
    range: fc.constantFrom(0, 1, 10, 25, 50, 100, 100, 400, 2000),
    offset: fc.constantFrom(0, 0, 0, -30, 15),
  })
  .chain((shape) =>
    fc.array(VALUE_KINDS[shape.kind]!, { minLength: shape.gaps.length, maxLength: shape.gaps.length }).map((drawn) => {
      const n = drawn.length;
      const times = new Float64Array(n);
      const values = new Float64Array(n);
      let time = 0;
      let total = 0;
      for (let i = 0; i < n; i++) {
        time += shape.gaps[i]!;
        times[i] = time * 1000;
        total = drawn[i] === 3 ? 0 : total + Math.abs(drawn[i]!);
        values[i] = shape.counter ? total : drawn[i]!;
      }
      for (const at of shape.stale) if (at < n) writeStale(values, at);
      return {
        times,
        values,
        grid: { startMs: shape.start * 1000, stepMs: shape.step * 1000, count: shape.count },
        rangeMs: shape.range * 1000,
        offsetMs: shape.offset * 1000,
      };
    }),
  );

function samplesOf({ times, values }: Case): Sample[] {
  return Array.from(times, (timeMs, i) => ({
    timeMs,
    value: values[i]!,
    stale: isStaleAt(values, i),
    histogram: false,
  }));
}

function isStaleAt(values: Float64Array, i: number): boolean {
  return isStale(values[i]!) || new BigUint64Array(values.buffer)[i] === 0x7ff0000000000002n;
}

/** Both answers of a rollup, one entry per step. */
function bothWays(rollup: Rollup, c: Case, args: readonly (number | Float64Array)[]) {
  const { grid, rangeMs, offsetMs } = c;
  let { times, values } = c;
  let n = times.length;
  if (!seesStale(rollup)) {
    times = times.slice();
    values = values.slice();
    n = stripStale(times, values, n, times, values);
  }
  const plan = planWindows(times, n, grid, rangeMs, offsetMs, createWindowPlan());
  const out = new Float64Array(grid.count).fill(7);
  const present = new Uint8Array(grid.count).fill(7);
  const points = evaluateRollup(rollup, plan, times, values, args, out, present);
  const samples = samplesOf(c);
  const wanted = Array.from({ length: grid.count }, (_, step) => {
    const timeMs = grid.startMs + step * grid.stepMs;
    const endMs = timeMs - offsetMs;
    const window = samples.filter((s) => s.timeMs > endMs - rangeMs && s.timeMs <= endMs);
    const numbers = args.map((arg) => (typeof arg === "number" ? arg : arg[step]!));
    return naiveRollup(rollup, window, { timeMs, endMs, rangeMs, args: numbers });
  });
  const got = Array.from({ length: grid.count }, (_, step) => (present[step] === 1 ? out[step]! : undefined));
  return { got, wanted, points, present };
}

function closeEnough(a: number | undefined, b: number | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  return Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b));
}

function argsFor(rollup: Rollup, c: Case, perStep: boolean): (number | Float64Array)[] {
  const column = (value: (step: number) => number) => Float64Array.from({ length: c.grid.count }, (_, s) => value(s));
  if (rollup === "quantile_over_time") return [perStep ? column((s) => s / 10 - 0.5) : 0.3];
  if (rollup === "predict_linear") return [perStep ? column((s) => s * 60) : 3600];
  if (rollup === "double_exponential_smoothing") return [perStep ? column((s) => (s % 9) / 10 + 0.05) : 0.5, 0.3];
  if (rollup.endsWith("_smoothed")) return [c.rangeMs / 4, c.rangeMs / 4];
  return rollup.endsWith("_anchored") ? [c.rangeMs / 2, 0] : [];
}

describe("rollups agree with their naive twin", () => {
  for (const rollup of [...ROLLUPS.exact!, ...ROLLUPS.extended!]) {
    test(rollup, () => {
      fc.assert(
        fc.property(cases, fc.boolean(), (c, perStep) => {
          const { got, wanted, points, present } = bothWays(rollup, c, argsFor(rollup, c, perStep));
          for (let s = 0; s < got.length; s++) {
            if (!closeEnough(got[s], wanted[s])) expect({ step: s, got: got[s] }).toEqual({ step: s, got: wanted[s] });
          }
          expect(points).toBe(wanted.filter((value) => value !== undefined).length);
          expect(present.every((flag) => flag <= 1)).toBe(true);
        }),
        { seed: 20260821, numRuns: 500 },
      );
    });
  }
});

describe("series that have histograms or start times go another way", () => {
  /** Both ways over the same floats. Unknown starts, which are 0, change nothing. */
  function otherWay(rollup: Rollup, c: Case, withStarts: boolean) {
    const { grid, rangeMs, offsetMs } = c;
    const leaf: Leaf = {
      matchers: [],
      grid,
      rollup,
      rangeMs,
      offsetMs,
      args: argsFor(rollup, c, false),
      dropName: false,
      useStarts: withStarts,
    };
    const n = c.times.length;
    // A histogram before every window takes no part, but it is there.
    const far = { layout: exponentialLayout(0, 0, [], []), hint: 0, count: 0, sum: 0, zeroCount: 0 } as const;
    const before = -1e9;
    const samples = {
      n: n + 1,
      times: Float64Array.of(before, ...c.times),
      values: new Float64Array(n + 1),
      histograms: packHistograms([{ ...far, buckets: new Float64Array(0) }, ...new Array(n).fill(undefined)]),
      starts: withStarts ? new Float64Array(n + 1) : undefined,
    };
    samples.values.set(c.values, 1);
    const { column } = rollUpSeries(leaf, [], samples, new LeafNotes());
    const present = (s: number) => column !== undefined && (column.present === null || column.present[s] === 1);
    return Array.from({ length: grid.count }, (_, s) => (present(s) ? column!.values[s]! : undefined));
  }

  for (const rollup of [...ROLLUPS.exact!, ...ROLLUPS.extended!]) {
    test(`${rollup} of floats is the same there`, () => {
      fc.assert(
        fc.property(cases, fc.boolean(), (c, withStarts) => {
          const { got } = bothWays(rollup, c, argsFor(rollup, c, false));
          otherWay(rollup, c, withStarts).forEach((value, s) => {
            if (!closeEnough(value, got[s])) expect({ step: s, got: value }).toEqual({ step: s, got: got[s] });
          });
        }),
        { seed: 11, numRuns: 200 },
      );
    });
  }
});

describe("bit for bit", () => {
  const EXACT: readonly Rollup[] = ["rate", "increase", "delta", "sum_over_time", "avg_over_time", "max_over_time"];
  for (const rollup of EXACT) {
    test(rollup, () => {
      fc.assert(
        fc.property(cases, (c) => {
          const { got, wanted } = bothWays(rollup, c, []);
          expect(got).toEqual(wanted);
        }),
        { seed: 7, numRuns: 500 },
      );
    });
  }
});

test("a monotone counter needs no look for resets", () => {
  const times = Float64Array.from({ length: 50 }, (_, i) => i * 15_000);
  const values = Float64Array.from({ length: 50 }, (_, i) => i * i);
  const grid = { startMs: 60_000, stepMs: 30_000, count: 20 };
  const plan = planWindows(times, 50, grid, 120_000, 0, createWindowPlan());
  const run = (monotone: boolean) => {
    const out = new Float64Array(20);
    evaluateRollup("rate", plan, times, values, [], out, new Uint8Array(20), monotone);
    return out;
  };
  expect(run(true)).toEqual(run(false));
});

test("a plan is reusable, and counts what has to be read", () => {
  const times = Float64Array.from({ length: 10 }, (_, i) => i * 10_000);
  const plan = createWindowPlan();
  planWindows(times, 10, { startMs: 0, stepMs: 10_000, count: 100 }, 20_000, 0, plan);
  expect([plan.samplesRead, plan.windowSamples, plan.samplesMin]).toEqual([10, 20, 0]);
  planWindows(times, 10, { startMs: 50_000, stepMs: 10_000, count: 2 }, 20_000, 0, plan);
  expect([plan.samplesRead, plan.windowSamples, plan.samplesMin]).toEqual([3, 4, 2]);
  expect([...plan.from.subarray(0, 2), ...plan.to.subarray(0, 2)]).toEqual([4, 5, 6, 7]);
  // Windows that do not touch each other: what lies between is not read.
  planWindows(times, 10, { startMs: 20_000, stepMs: 40_000, count: 2 }, 10_000, 0, plan);
  expect(plan.samplesRead).toBe(2);
});

describe("what the times of samples tell without their values", () => {
  for (const rollup of [...ROLLUPS.exact!, ...ROLLUPS.extended!]) {
    test(`${rollup}: ${presenceFollowsTimes(rollup) ? "presence" : "nothing"}${readsValues(rollup) ? "" : " and values"}`, () => {
      if (!presenceFollowsTimes(rollup)) {
        expect(rollup).toMatch(/_anchored$|_smoothed$/);
        return;
      }
      fc.assert(
        fc.property(cases, (c) => {
          const values = c.values.map((value) => (Number.isNaN(value) ? Number.NaN : value));
          const args = [0.3, 0.6];
          const { count } = c.grid;
          const answers = [values, new Float64Array(values.length)].map((column) => {
            const plan = planWindows(c.times, c.times.length, c.grid, c.rangeMs, c.offsetMs, createWindowPlan());
            const out = new Float64Array(count);
            const present = new Uint8Array(count);
            evaluateRollup(rollup, plan, c.times, column, args, out, present);
            return { out, present };
          });
          expect(answers[1]!.present).toEqual(answers[0]!.present);
          if (!readsValues(rollup)) expect(answers[1]!.out).toEqual(answers[0]!.out);
        }),
        { numRuns: 300, seed: 7 },
      );
    });
  }
});
