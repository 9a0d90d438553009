// test/unit/select/histogram-chunk.test.ts: chunks of native histograms against the decoder twin: any layout, hint and course.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BucketLayout,
  customLayout,
  exponentialLayout,
  type FloatHistogram,
  isStale,
  packHistograms,
  type ResetHint,
  writeStale,
} from "../../../libs/model/index.ts";
import { wasReset } from "../../../libs/promql/index.ts";
import { HistogramChunkEncoder } from "../../../services/select/histogram-chunk.ts";
import { type DecodedHistogram, decodeHistogramChunk } from "./histogram-decoder.ts";

const encoder = new HistogramChunkEncoder();
const bitsOf = (values: ArrayLike<number>): bigint[] =>
  Array.from(new BigUint64Array(Float64Array.from(values).buffer));

function chunksOf(times: Float64Array, histograms: readonly FloatHistogram[]): DecodedHistogram[][] {
  const column = packHistograms(histograms)!;
  const out: DecodedHistogram[][] = [];
  for (let from = 0; from < times.length; ) {
    from = encoder.encode(times, column, from);
    out.push(decodeHistogramChunk(encoder.chunk));
  }
  return out;
}

/** What a reader must get: a hint of "not reset" may be said where the histograms show it. */
function expectDecoded(times: Float64Array, histograms: readonly FloatHistogram[]): void {
  const decoded = chunksOf(times, histograms).flat();
  expect(decoded.map((d) => d.time)).toEqual(Array.from(times));
  histograms.forEach((h, i) => {
    const { layout, count, zeroCount, sum, buckets } = h;
    const got = decoded[i]!;
    if (isStale(h.sum)) {
      expect([got.numbers[2], got.positive, got.negative]).toEqual([0x7ff0000000000002n, [], []]);
      return;
    }
    expect(got).toMatchObject({
      ...{ schema: layout.schema, zeroThreshold: layout.zeroThreshold, bounds: Array.from(layout.bounds) },
      ...{ positive: Array.from(layout.positive), negative: Array.from(layout.negative) },
      numbers: bitsOf([count, zeroCount, sum, ...buckets]),
    });
    if (got.hint === h.hint) return;
    expect([got.hint, wasReset(h, histograms[i - 1]!)]).toEqual([2, false]);
  });
}

const ascending = (max: number) =>
  fc.uniqueArray(fc.integer({ min: -max, max }), { maxLength: 12 }).map((list) => list.sort((a, b) => a - b));
const layout: fc.Arbitrary<BucketLayout> = fc.oneof(
  fc
    .tuple(
      fc.integer({ min: -4, max: 8 }),
      fc.constantFrom(0, 2 ** -128, 0.001, 1, 2 ** 10, 2 ** 11, 2 ** -243, 2 ** -244, 5e-324),
      ascending(5000),
      ascending(40),
    )
    .map(([schema, threshold, positive, negative]) => exponentialLayout(schema, threshold, positive, negative)),
  fc
    .uniqueArray(
      fc.oneof(
        fc.constantFrom(0.1, 0.25, 33_554.43, 33_554.431, -1, 1e9, 1 / 3, 0),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
      ),
      { maxLength: 6 },
    )
    .map((list) =>
      customLayout(
        [...new Set(list.map((x) => x + 0))].sort((a, b) => a - b),
        Array.from({ length: list.length + 1 }, (_, i) => i),
      ),
    ),
);
const number = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.double());
const course = fc.record({
  layouts: fc.array(layout, { minLength: 1, maxLength: 2 }),
  start: fc.constantFrom(0, 1_700_000_000_000, -5, -(2 ** 40)),
  rows: fc.array(
    fc.record({
      ...{ layout: fc.nat(1), hint: fc.constantFrom<ResetHint>(0, 0, 1, 2, 2, 3), stale: fc.nat(20) },
      ...{
        step: fc.constantFrom(15_000, 15_000, 1, 4, 33, 40_000, 2 ** 31),
        seed: fc.array(number, { minLength: 3, maxLength: 40 }),
      },
    }),
    { minLength: 1, maxLength: 30 },
  ),
});

describe("chunks of histograms", () => {
  test("decode to what they were made of", () => {
    fc.assert(
      fc.property(course, ({ layouts, start, rows }) => {
        let time = start;
        const times: number[] = [];
        const histograms = rows.map(({ layout: number, hint, stale, step, seed }): FloatHistogram => {
          time += step;
          times.push(time);
          const own = layouts[number % layouts.length]!;
          const buckets = Float64Array.from(
            { length: own.positive.length + own.negative.length },
            (_, i) => seed[i % seed.length]!,
          );
          const sum = new Float64Array([seed[1]!]);
          if (stale === 0) writeStale(sum, 0);
          return {
            layout: own,
            hint,
            count: seed[0]!,
            zeroCount: own.bounds.length > 0 ? 0 : seed[2]!,
            sum: sum[0]!,
            buckets,
          };
        });
        expectDecoded(Float64Array.from(times), histograms);
      }),
      { seed: 6, numRuns: 400 },
    );
  });

  test("a counter that grows is one chunk for every 120, one that falls begins another", () => {
    const own = exponentialLayout(3, 0.001, [1, 2, 5], [3]);
    const histograms = Array.from({ length: 250 }, (_, i): FloatHistogram => {
      const n = i < 200 ? i : i - 200;
      return { layout: own, hint: 0, count: 5 * n, sum: n / 3, zeroCount: n, buckets: Float64Array.of(n, n, n, n) };
    });
    const times = Float64Array.from({ length: 250 }, (_, i) => 1_700_000_000_000 + i * 15_000);
    expect(chunksOf(times, histograms).map((chunk) => chunk.length)).toEqual([120, 80, 50]);
    expectDecoded(times, histograms);
  });
});
