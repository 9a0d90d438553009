// test/unit/promql/histogram-twin.test.ts: arithmetic, counter resets and rates of native histograms against naive twins.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  customLayout,
  exponentialLayout,
  type FloatHistogram,
  histogramAt,
  type Leaf,
  packHistograms,
  type ResetHint,
  type Rollup,
} from "../../../libs/model/index.ts";
import {
  allBuckets,
  boundOf,
  combine,
  compact,
  HistogramSum,
  LeafNotes,
  rollUpSeries,
  sameHistogram,
  wasReset,
} from "../../../libs/promql/index.ts";
import { essence, naiveCombine, naiveIncrease, naiveOf, naiveWasReset } from "../../promql/naive-histogram.ts";

/** Whole numbers and eighths add up exactly in any order. */
const amount = fc.integer({ min: 0, max: 40 }).map((n) => n / 8);
const hint = fc.constantFrom<ResetHint>(0, 0, 0, 1, 2, 3);
const ascending = (min: number, max: number) =>
  fc.uniqueArray(fc.integer({ min, max }), { maxLength: 7 }).map((list) => list.sort((a, b) => a - b));

const exponential = fc
  .record({
    schema: fc.constantFrom(-2, -1, 0, 0),
    zeroThreshold: fc.constantFrom(0, 0.25, 0.3, 1, 3, 16),
    positive: ascending(-4, 6),
    negative: ascending(-4, 6),
  })
  .map(({ schema, zeroThreshold, positive, negative }) => {
    // What a zero bucket covers is in no other bucket.
    const outside = (index: number) => 2 ** ((index - 1) / 2 ** schema) >= zeroThreshold;
    return exponentialLayout(schema, zeroThreshold, positive.filter(outside), negative.filter(outside));
  });
const custom = ascending(-3, 8).chain((bounds) =>
  ascending(0, bounds.length).map((buckets) => customLayout(bounds, buckets)),
);

function histogramsOf(layouts: fc.Arbitrary<FloatHistogram["layout"]>): fc.Arbitrary<FloatHistogram> {
  return layouts.chain((layout) => {
    const size = layout.positive.length + layout.negative.length;
    const zeroCount = layout.bounds.length > 0 || layout.schema < -4 ? fc.constant(0) : amount;
    return fc
      .record({
        hint,
        count: amount,
        sum: amount,
        zeroCount,
        counts: fc.array(amount, { minLength: size, maxLength: size }),
      })
      .map(({ counts, ...rest }) => ({ layout, ...rest, buckets: Float64Array.from(counts) }));
  });
}

const histogram = fc.oneof(histogramsOf(exponential), histogramsOf(exponential), histogramsOf(custom));
const RUNS = { seed: 20260821, numRuns: 5000 };

describe("agrees with its naive twin", () => {
  test.each([1, -1] as const)("a + %i × b", (sign) => {
    fc.assert(
      fc.property(histogram, histogram, (a, b) => {
        const got = combine(a, b, sign);
        const want = naiveCombine(naiveOf(a), naiveOf(b), sign);
        expect(got && essence(naiveOf(got.histogram))).toEqual(want && essence(want));
      }),
      RUNS,
    );
  });

  test("a sum of many, whatever their order", () => {
    fc.assert(
      fc.property(fc.array(histogramsOf(exponential), { minLength: 1, maxLength: 6 }), (list) => {
        const sum = new HistogramSum(list[0]!);
        let want = naiveOf(list[0]!);
        for (const one of list.slice(1)) {
          expect(sum.add(one, 1)).toBe(true);
          want = naiveCombine(want, naiveOf(one), 1)!;
        }
        expect(essence(naiveOf(sum.result()))).toEqual(essence(want));
        expect(sum.isInfinite()).toBe(false);
      }),
      RUNS,
    );
  });

  test("counter resets", () => {
    let resets = 0;
    fc.assert(
      fc.property(histogram, histogram, fc.boolean(), (a, b, grown) => {
        // Half of the time the second one has grown out of the first.
        const current = grown ? { ...(combine(a, b, 1)?.histogram ?? b), hint: b.hint } : b;
        const want = naiveWasReset(naiveOf(current), naiveOf(a));
        expect(wasReset(current, a)).toBe(want);
        if (want) resets++;
      }),
      RUNS,
    );
    expect(resets).toBeGreaterThan(500);
    expect(resets).toBeLessThan(4500);
  });

  test("rates", () => {
    const windows = fc.oneof(
      fc.array(histogramsOf(exponential), { minLength: 2, maxLength: 6 }),
      fc.array(histogramsOf(custom), { minLength: 2, maxLength: 6 }),
      fc.array(histogram, { minLength: 2, maxLength: 6 }),
    );
    fc.assert(
      fc.property(windows, fc.boolean(), (drawn, rising) => {
        const list = rising ? risen(drawn) : drawn;
        const got = overWindow("increase", list);
        const want = naiveIncrease(list.map(naiveOf));
        if (want === undefined || got === undefined) expect(got).toBe(want);
        else {
          // Samples fill the window to its end, so all that is added is at its start: less than one interval.
          const factor = got.count === 0 ? Number.NaN : got.count / want.count;
          const scaled = essence(naiveOf(got));
          if (Number.isFinite(factor) && want.count !== 0) {
            expect(factor).toBeGreaterThanOrEqual(1);
            expect(factor).toBeLessThanOrEqual(1 + 1 / (list.length - 1) + 1e-12);
            expect(scaled.positive.map(([, n]) => n / factor)).toEqual(
              essence(want).positive.map(([, n]) => expect.closeTo(n, 9)),
            );
            expect(scaled.positive.map(([i]) => i)).toEqual(essence(want).positive.map(([i]) => i));
          }
        }
      }),
      RUNS,
    );
  });
});

/** Each histogram as what was added to the one before it, where that is possible. */
function risen(list: readonly FloatHistogram[]): FloatHistogram[] {
  const out = [list[0]!];
  for (const one of list.slice(1)) out.push({ ...(combine(out.at(-1)!, one, 1)?.histogram ?? one), hint: one.hint });
  return out;
}

/** A rollup over histograms that are a second apart, the last one at the window's end. */
function overWindow(rollup: Rollup, list: readonly FloatHistogram[]): FloatHistogram | undefined {
  const n = list.length;
  const leaf: Leaf = {
    matchers: [],
    grid: { startMs: n * 1000, stepMs: 0, count: 1 },
    rollup,
    rangeMs: n * 1000,
    offsetMs: 0,
    args: [],
    dropName: false,
  };
  const samples = {
    n,
    times: Float64Array.from(list, (_, i) => (i + 1) * 1000),
    values: new Float64Array(n),
    histograms: packHistograms(list),
    starts: undefined,
  };
  const { column } = rollUpSeries(leaf, [], samples, new LeafNotes());
  return column?.histograms && histogramAt(column.histograms, 0);
}

describe("columns", () => {
  test("give back the histograms they were packed from", () => {
    const list = fc.array(fc.option(histogram, { nil: undefined }), { maxLength: 20 });
    fc.assert(
      fc.property(list, (histograms) => {
        const column = packHistograms(histograms);
        if (column === undefined) expect(histograms.every((h) => h === undefined)).toBe(true);
        else
          histograms.forEach((h, i) => {
            expect(histogramAt(column, i)).toEqual(h);
          });
      }),
      { seed: 3, numRuns: 1000 },
    );
  });

  test("equal layouts are one", () => {
    const [a, b] = [exponentialLayout(0, 0, [1, 2], []), exponentialLayout(0, 0, [1, 2], [])];
    const of = (layout: typeof a): FloatHistogram => ({
      layout,
      hint: 0,
      count: 3,
      sum: 1,
      zeroCount: 0,
      buckets: Float64Array.of(1, 2),
    });
    expect(packHistograms([of(a), of(b), undefined])!.layouts).toEqual([a]);
    expect(sameHistogram(of(a), of(b))).toBe(true);
    expect(sameHistogram(of(a), { ...of(b), sum: 1.5 })).toBe(false);
  });
});

describe("bounds", () => {
  test.each([
    [0, 0, 1],
    [0, 1, 2],
    [0, -3, 0.125],
    [3, 4, Math.SQRT2],
    [-4, 1, 65536],
    [-1, -1, 0.25],
    [0, 1024, Number.MAX_VALUE],
    [0, 1025, Infinity],
    [8, 262_144, Number.MAX_VALUE],
    [-4, 64, Number.MAX_VALUE],
    [0, -1074, 5e-324],
  ])("schema %i, bucket %i ends at %f", (schema, index, want) => {
    expect(boundOf(exponentialLayout(schema, 0, [], []), index)).toBeCloseTo(want, 12);
  });

  test("halves of the finest schema are those of the coarser ones", () => {
    for (let schema = 1; schema <= 8; schema++) {
      for (let index = -40; index <= 40; index++) {
        const finer = boundOf(exponentialLayout(schema, 0, [], []), 2 * index);
        expect(finer).toBe(boundOf(exponentialLayout(schema - 1, 0, [], []), index));
        expect(finer).toBeCloseTo(2 ** ((2 * index) / 2 ** schema), 10);
      }
    }
  });

  test("all buckets come in the order of their values, and none is inside the zero bucket", () => {
    const h: FloatHistogram = {
      layout: exponentialLayout(0, 0.75, [0, 1], [0, 2]),
      hint: 0,
      count: 10,
      sum: 0,
      zeroCount: 4,
      buckets: Float64Array.of(1, 2, 3, 0),
    };
    expect(allBuckets(h)).toEqual([
      { lower: -4, upper: -2, count: 0 },
      { lower: -1, upper: -0.75, count: 3 },
      { lower: -0.75, upper: 0.75, count: 4 },
      { lower: 0.75, upper: 1, count: 1 },
      { lower: 1, upper: 2, count: 2 },
    ]);
    expect([...compact(h).layout.negative]).toEqual([0]);
  });
});
