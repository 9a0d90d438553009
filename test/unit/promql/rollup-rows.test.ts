// test/unit/promql/rollup-rows.test.ts: rollups over rows against their twin, the same rollups over the samples that the rows were made of.
// Covers the hot files fold-rows (twin naive-rows.ts) and rollup-rows.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { foldSamples } from "../../../libs/block/index.ts";
import { isStale, ROW, type Rollup, RowTable, writeStale } from "../../../libs/model/index.ts";
import {
  columnsOfRows,
  createWindowPlan,
  evaluateRollup,
  evaluateRows,
  looksAtNewest,
  planWindows,
  seesStale,
  stripStale,
} from "../../../libs/promql/index.ts";
import { naiveRows } from "../block/naive-rows.ts";

const LEVEL_MS = 60_000;
const ROLLUPS: readonly Rollup[] = [
  "last",
  "timestamp",
  "rate",
  "increase",
  "delta",
  "sum_over_time",
  "avg_over_time",
  "count_over_time",
  "min_over_time",
  "max_over_time",
  "first_over_time",
  "last_over_time",
  "present_over_time",
  "ts_of_first_over_time",
  "ts_of_last_over_time",
];

/** undefined: a stale marker. */
type Value = number | undefined;

interface Series {
  readonly times: Float64Array;
  readonly values: Float64Array;
}

const value: fc.Arbitrary<Value> = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 1000 }) },
  { weight: 6, arbitrary: fc.double({ min: -1e6, max: 1e6, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Infinity, -Infinity, 0, -0) },
  { weight: 2, arbitrary: fc.constant(undefined) },
);

/** Gaps in ms: regular ones, odd ones, and such as leave whole rows out; many samples lie on boundaries. */
const gap = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(15_000, 20_000, 30_000, 60_000) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 90_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(120_000, 600_000) },
);

const series: fc.Arbitrary<Series> = fc
  .tuple(
    fc.integer({ min: -3, max: 3 }),
    fc.constantFrom(0, 0, 1, -1, 7000),
    fc.array(fc.tuple(gap, value), { minLength: 1, maxLength: 120 }),
    fc.boolean(),
  )
  .map(([minute, offset, steps, counts]) => {
    let time = minute * LEVEL_MS + offset;
    let total = 0;
    const times = new Float64Array(steps.length);
    const values = new Float64Array(steps.length);
    steps.forEach(([ms, v], i) => {
      times[i] = time;
      time += ms;
      if (v === undefined) writeStale(values, i);
      else if (counts && v >= 0 && v < 900) values[i] = total += v;
      else values[i] = total = v;
    });
    return { times, values };
  });

function folded({ times, values }: Series, levelMs = LEVEL_MS): RowTable {
  const table = new RowTable();
  foldSamples(times, values, times.length, levelMs, table);
  return table;
}

/** The rows with samples: what rollups that see no stale markers are given. */
function counted(table: RowTable): RowTable {
  const out = new RowTable();
  out.reserve(table.length);
  for (let i = 0; i < table.length; i++) {
    if (table.columns[ROW.COUNT]![i] === 0) continue;
    out.ends[out.length] = table.ends[i]!;
    table.columns.forEach((column, c) => {
      out.columns[c]![out.length] = column[i]!;
    });
    out.length++;
  }
  return out;
}

const close = (a: number, b: number, scale: number): boolean =>
  Object.is(a, b) || a === b || Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b), scale);

describe("rows", () => {
  test("are their twin's", () => {
    fc.assert(
      fc.property(series, fc.constantFrom(LEVEL_MS, 3_600_000, 1000), (one, levelMs) => {
        const table = folded(one, levelMs);
        const twin = naiveRows(one.times, one.values, levelMs);
        expect(table.length).toBe(twin.length);
        twin.forEach((row, i) => {
          const column = (c: number): number => table.columns[c]![i]!;
          expect(table.ends[i]! + 0).toBe(row.end + 0);
          expect(column(ROW.COUNT)).toBe(row.count);
          expect(column(ROW.STALE)).toBe(row.stale ? 1 : 0);
          if (row.count === 0) return;
          expect(close(column(ROW.SUM), row.sum, 1e9)).toBe(true);
          for (const [c, wanted] of [
            [ROW.MIN, row.min],
            [ROW.MAX, row.max],
            [ROW.FIRST, row.first],
            [ROW.LAST, row.last],
          ] as const) {
            expect(column(c) + 0).toBe(wanted + 0);
            expect(isStale(column(c))).toBe(false);
          }
          expect(row.end - levelMs + column(ROW.FIRST_MS)).toBe(row.firstTime);
          expect(row.end - column(ROW.LAST_MS)).toBe(row.lastTime);
          expect(close(column(ROW.RESETS), row.resets, 1e9) || Number.isNaN(row.resets)).toBe(true);
        });
      }),
      { numRuns: 500 },
    );
  });

  test("go on where samples were folded before", () => {
    fc.assert(
      fc.property(series, fc.nat(), (one, at) => {
        // Between two rows.
        const ends = folded(one).ends;
        const boundary = ends[at % folded(one).length]!;
        const cut = one.times.filter((time) => time <= boundary).length;
        const table = new RowTable();
        foldSamples(one.times.subarray(0, cut), one.values.subarray(0, cut), cut, LEVEL_MS, table);
        foldSamples(one.times.slice(cut), one.values.slice(cut), one.times.length - cut, LEVEL_MS, table);
        expect(table.length).toBe(folded(one).length);
        expect(table.columns[ROW.SUM]!.subarray(0, table.length)).toEqual(
          folded(one).columns[ROW.SUM]!.subarray(0, table.length),
        );
      }),
    );
  });
});

describe("rollups over rows", () => {
  for (const rollup of ROLLUPS) {
    test(`${rollup} is its twin over samples`, () => {
      fc.assert(
        fc.property(
          series,
          fc.integer({ min: -5, max: 40 }),
          fc.integer({ min: 0, max: 5 }),
          fc.integer({ min: 1, max: 12 }),
          fc.constantFrom(0, 0, 60_000, -120_000),
          fc.integer({ min: 1, max: 59_999 }),
          (one, start, step, range, offsetMs, less) => {
            const grid = { startMs: start * LEVEL_MS, stepMs: step * LEVEL_MS, count: 20 };
            const planMs = range * LEVEL_MS;
            // A window that only asks for the newest sample may begin inside a row.
            const rangeMs = looksAtNewest(rollup) && less % 2 === 0 ? planMs - less : planMs;
            const wanted = new Float64Array(20);
            const wantedPresent = new Uint8Array(20);
            let { times, values } = one;
            if (!seesStale(rollup)) {
              times = times.slice();
              values = values.slice();
              const n = stripStale(times, values, times.length, times, values);
              times = times.subarray(0, n);
              values = values.subarray(0, n);
            }
            const plan = planWindows(times, times.length, grid, rangeMs, offsetMs, createWindowPlan());
            const points = evaluateRollup(rollup, plan, times, values, [], wanted, wantedPresent);
            const rows = seesStale(rollup) ? folded(one) : counted(folded(one));
            const rowPlan = planWindows(rows.ends, rows.length, grid, planMs, offsetMs, createWindowPlan());
            const out = new Float64Array(20).fill(7);
            const present = new Uint8Array(20).fill(7);
            expect(evaluateRows(rollup, rowPlan, rows, LEVEL_MS, rangeMs, out, present)).toBe(points);
            expect(present).toEqual(wantedPresent);
            out.forEach((got, s) => {
              if (!close(got, wanted[s]!, 1e6)) expect(got).toBe(wanted[s]);
            });
          },
        ),
        { numRuns: 400 },
      );
    });
  }

  test("one plan serves the series of many targets in turns, and other windows after that", () => {
    const n = 480;
    const targets = Array.from({ length: 12 }, (_, t) => {
      // As many samples in each row, but at distances of the target's own.
      const times = Float64Array.from({ length: n }, (_, i) => 1 + t * 911 + i * 15_000);
      const values = Float64Array.from({ length: n }, (_, i) => (i * (t + 3)) % (97 + t));
      return folded({ times, values });
    });
    const shared = createWindowPlan();
    const rate = (plan: typeof shared, rows: RowTable): Float64Array => {
      const out = new Float64Array(20);
      evaluateRows("rate", plan, rows, LEVEL_MS, 5 * LEVEL_MS, out, new Uint8Array(20));
      return out;
    };
    for (const stepMs of [LEVEL_MS, 3 * LEVEL_MS]) {
      const grid = { startMs: 10 * LEVEL_MS, stepMs, count: 20 };
      const { ends, length } = targets[0]!;
      planWindows(ends, length, grid, 5 * LEVEL_MS, 0, shared);
      for (const rows of [...targets, ...targets.toReversed(), targets[0]!, targets[1]!, targets[0]!]) {
        const own = planWindows(rows.ends, rows.length, grid, 5 * LEVEL_MS, 0, createWindowPlan());
        expect(rate(shared, rows)).toEqual(rate(own, rows));
      }
    }
  });

  test("those that need samples have no columns", () => {
    for (const rollup of ["irate", "deriv", "quantile_over_time", "changes", "samples", "last_smoothed"] as const)
      expect(columnsOfRows(rollup)).toBe(undefined);
    for (const rollup of ROLLUPS) expect(columnsOfRows(rollup)).toContain(ROW.COUNT);
  });
});
