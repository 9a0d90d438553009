// test/unit/side/any-side.ts: arbitrary histograms, exemplars and start times for property tests.
import fc from "fast-check";
import {
  customLayout,
  type Exemplar,
  exponentialLayout,
  type FloatHistogram,
  labelsFromRecord,
  type ResetHint,
} from "../../../libs/model/index.ts";
import { type HistogramSample, orderedSide, type SideSeries } from "../../../libs/side/index.ts";

const indexes = (min: number, max: number, most = 6): fc.Arbitrary<number[]> =>
  fc.uniqueArray(fc.integer({ min, max }), { maxLength: most }).map((list) => list.sort((a, b) => a - b));

const anyNumber = fc.oneof(
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-300, 2 ** 53),
  fc.double(),
  fc.integer(),
);

/** A histogram that is valid: integers add up, as a client's do; floats are whatever they are but not negative. */
export const anyHistogram: fc.Arbitrary<{ histogram: FloatHistogram; isFloat: boolean }> = fc
  .record({
    isFloat: fc.boolean(),
    schema: fc.integer({ min: -4, max: 8 }),
    custom: fc.boolean(),
    zeroThreshold: fc.constantFrom(0, 1e-128, 0.001),
    bounds: fc.uniqueArray(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }), { maxLength: 5 }),
    positive: indexes(-50, 50),
    negative: indexes(-50, 50),
    counts: fc.array(fc.oneof(fc.nat(5), fc.nat(1_000_000)), { minLength: 13, maxLength: 13 }),
    scale: fc.constantFrom(1, 0.5, 1e6),
    sum: anyNumber,
    hint: fc.constantFrom<ResetHint>(0, 1, 2, 3),
  })
  .map(({ isFloat, schema, custom, zeroThreshold, bounds, positive, negative, counts, scale, sum, hint }) => {
    const sorted = [...new Set(bounds.map((bound) => bound + 0))].sort((a, b) => a - b);
    const buckets = custom ? positive.map((_, i) => i).filter((i) => i <= sorted.length) : positive;
    const layout = custom ? customLayout(sorted, buckets) : exponentialLayout(schema, zeroThreshold, buckets, negative);
    const size = layout.positive.length + layout.negative.length;
    const values = Float64Array.from(counts.slice(0, size), (count) => (isFloat ? count * scale : count));
    const zeroCount = custom ? 0 : counts[12]!;
    const count = values.reduce((a, b) => a + b, zeroCount);
    return { isFloat, histogram: { layout, hint, count, sum, zeroCount, buckets: values } };
  });

const anyTime = fc.integer({ min: 0, max: 200 }).map((n) => n * 15_000);

export const anyExemplar: fc.Arbitrary<Exemplar> = fc.record({
  timeMs: anyTime,
  value: anyNumber,
  labels: fc
    .dictionary(fc.constantFrom("trace_id", "é", "𝒳"), fc.string({ unit: "binary", maxLength: 12 }), { maxKeys: 2 })
    .map(labelsFromRecord),
});

export const anySample: fc.Arbitrary<HistogramSample> = fc.oneof(
  { weight: 9, arbitrary: fc.record({ timeMs: anyTime, histogram: anyHistogram.map(({ histogram }) => histogram) }) },
  fc.record({ timeMs: anyTime, histogram: fc.constant(undefined) }),
);

export const anySide: fc.Arbitrary<SideSeries> = fc
  .record({
    histograms: fc.array(anySample, { maxLength: 12 }),
    exemplars: fc.array(anyExemplar, { maxLength: 6 }),
    starts: fc.array(fc.record({ timeMs: anyTime, startMs: fc.nat() }), { maxLength: 6 }),
  })
  .map(orderedSide);
