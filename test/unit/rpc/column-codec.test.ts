// test/unit/rpc/column-codec.test.ts: column frames: golden bytes, bit-exact round trips, and nothing but errors for
// damaged ones.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AppError,
  customLayout,
  exponentialLayout,
  type FloatHistogram,
  type HistogramColumn,
  histogramAt,
  InternalError,
  LimitError,
  packHistograms,
  type ResetHint,
  type StepColumn,
} from "../../../libs/model/index.ts";
import { ColumnDecoder } from "../../../libs/rpc/column-decoder.ts";
import { encodeColumns } from "../../../libs/rpc/column-encoder.ts";
import { PIECE_POINTS_MAX } from "../../../libs/rpc/column-frame.ts";

function decode(frames: Iterable<Uint8Array>, bytesMax?: number): StepColumn[] {
  const decoder = new ColumnDecoder(bytesMax);
  for (const frame of frames) decoder.push(frame);
  return decoder.finish();
}

const hexOf = (v: Float64Array | undefined): string | undefined =>
  v && Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString("hex");

/** A column as data in which only present points count, bits included. */
function essence(column: StepColumn): unknown {
  const present = column.present?.includes(0) ? column.present : null;
  const pick = (v: Float64Array | undefined): string | undefined => {
    if (v === undefined || present === null) return hexOf(v);
    const kept = v.slice();
    const words = new Uint32Array(kept.buffer);
    present.forEach((p, i) => {
      if (p === 0) words.fill(0, 2 * i, 2 * i + 2);
    });
    return hexOf(kept);
  };
  return {
    labels: column.labels,
    present: present && [...present],
    values: pick(column.values),
    weights: pick(column.weights),
    lost: pick(column.lost),
    times: pick(column.times),
    histograms: column.histograms && presentHistograms(column.histograms, present),
    histogramLosses: column.histogramLosses && presentHistograms(column.histogramLosses, present),
    states: column.states && Array.from(column.states, (state, i) => (present?.[i] === 0 ? 0 : state)),
  };
}

/** What a column has at its present points, free of how it is kept; undefined when it is no histogram at all. */
function presentHistograms(column: HistogramColumn, present: Uint8Array | null): unknown {
  const list = Array.from(column.layoutOf, (_, i) => (present?.[i] === 0 ? undefined : histogramAt(column, i)));
  return list.map((h) => h && { ...h, buckets: hexOf(h.buckets), sum: hexOf(Float64Array.of(h.sum)) });
}

const sameBits = (a: readonly StepColumn[], b: readonly StepColumn[]): void =>
  expect(a.map(essence)).toEqual(b.map(essence));

/** Doubles by their bits, so that all NaNs occur. */
const double = fc
  .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0, 1, 0x7ff00000, 0x7ff80000, 0xfff12345, 0x3ff00000))
  .map(([low, high]) => [low, high] as const);

function vector(pairs: readonly (readonly [number, number])[]): Float64Array {
  const out = new Float64Array(pairs.length);
  new Uint32Array(out.buffer).set(pairs.flat());
  return out;
}

const count = fc.oneof(fc.nat(9), fc.double());
const indexes = fc
  .uniqueArray(fc.integer({ min: -40, max: 40 }), { maxLength: 6 })
  .map((list) => list.sort((a, b) => a - b));
const layout = fc.oneof(
  fc
    .tuple(fc.integer({ min: -4, max: 8 }), fc.constantFrom(0, 0.001, 1), indexes, indexes)
    .map((parts) => exponentialLayout(...parts)),
  indexes.chain((bounds) =>
    fc.subarray(Array.from({ length: bounds.length + 1 }, (_, i) => i)).map((buckets) => customLayout(bounds, buckets)),
  ),
);
const histogram: fc.Arbitrary<FloatHistogram> = fc
  .record({ layout, hint: fc.integer({ min: 0, max: 3 }), count, sum: count, zeroCount: count })
  .chain((parts) => {
    const size = parts.layout.positive.length + parts.layout.negative.length;
    return fc
      .array(count, { minLength: size, maxLength: size })
      .map((buckets) => ({ ...parts, hint: parts.hint as ResetHint, buckets: Float64Array.from(buckets) }));
  });

const column: fc.Arbitrary<StepColumn> = fc
  .record({
    labels: fc.array(fc.string({ unit: "grapheme", minLength: 0, maxLength: 12 }), { maxLength: 6 }),
    points: fc.integer({ min: 0, max: 70 }),
    constant: fc.boolean(),
    sparse: fc.boolean(),
    weights: fc.boolean(),
    lost: fc.boolean(),
    times: fc.boolean(),
    histograms: fc.array(fc.option(histogram, { nil: undefined }), { maxLength: 5 }),
    states: fc.boolean(),
    losses: fc.boolean(),
    doubles: fc.array(double, { minLength: 70, maxLength: 70 }),
    holes: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 70, maxLength: 70 }),
  })
  .map((r) => {
    const values = vector(r.doubles.slice(0, r.points).map((d) => (r.constant ? r.doubles[0]! : d)));
    const { length } = r.histograms;
    const histograms = packHistograms(
      Array.from(values, (_, i) => (length === 0 ? undefined : r.histograms[i % length])),
    );
    return {
      labels: r.labels.slice(0, r.labels.length & ~1),
      values,
      present: r.sparse ? Uint8Array.from(r.holes.slice(0, r.points)) : null,
      ...(r.weights ? { weights: Float64Array.from(values, (_, i) => (r.constant ? 3 : i)) } : {}),
      ...(r.lost ? { lost: vector(r.doubles.slice(0, r.points).reverse()) } : {}),
      ...(r.times ? { times: Float64Array.from(values, (_, i) => 1e12 + i) } : {}),
      ...(histograms === undefined ? {} : { histograms }),
      ...(histograms !== undefined && r.states ? { states: Uint8Array.from(values, (_, i) => i & 15) } : {}),
      ...(histograms !== undefined && r.losses ? { histogramLosses: histograms } : {}),
    };
  });

const EXAMPLES: readonly StepColumn[] = [
  { labels: ["__name__", "up", "job", "a"], values: Float64Array.of(1, 1, 1), present: null },
  { labels: ["__name__", "up", "job", "é"], values: Float64Array.of(2, 9, 3), present: Uint8Array.of(1, 0, 1) },
  { labels: ["job", "a"], values: Float64Array.of(6, 8), present: null, weights: Float64Array.of(2, 2) },
  { labels: [], values: Float64Array.of(5), present: null, times: Float64Array.of(1000) },
];

/** 1 2 4 in buckets 0, 1 and 3, and a float between two of those. */
const HISTOGRAM: FloatHistogram = {
  layout: exponentialLayout(2, 0.001, [0, 1], [3]),
  hint: 2,
  count: 7,
  sum: -1.5,
  zeroCount: 3,
  buckets: Float64Array.of(1, 2, 4),
};
const NATIVE: StepColumn = {
  labels: [],
  values: Float64Array.of(0, 9, 0),
  present: null,
  histograms: packHistograms([HISTOGRAM, undefined, { ...HISTOGRAM, hint: 3 }])!,
  states: Uint8Array.of(0, 1, 8),
};

describe("column frames", () => {
  test("golden bytes, version 1", () => {
    const frames = [...encodeColumns(EXAMPLES)].map((f) => f.toString("hex"));
    const head = "544d4331 f0000000 04000000 05000000 10000000 0a000000 08000000 01000000";
    const numbers = [1, 2, 3, 6, 8, 2, 5, 1000].map((n) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(n);
      return bytes.toString("hex");
    });
    const pieces = [
      "01000000 04000000 03000000 03000000",
      "02000000 04000000 03000000 02000000",
      "0c000000 02000000 02000000 02000000",
      "10000000 00000000 01000000 01000000",
    ];
    const labels = "00000000 01000000 02000000 03000000 00000000 01000000 02000000 04000000 02000000 03000000";
    const lengths = "08000000 02000000 03000000 01000000 02000000";
    const tail = ["05", Buffer.from("__name__upjobaé").toString("hex")];
    const bytes = [head, ...numbers, ...pieces, labels, lengths, ...tail].join("").replaceAll(" ", "");
    const length = 240;
    expect(frames).toEqual([bytes.padEnd(2 * length, "0")]);
    sameBits(decode([Buffer.from(frames[0]!, "hex")]), EXAMPLES);
  });

  test("golden numbers of a histogram block, version 1", () => {
    const [frame] = [...encodeColumns([NATIVE])];
    const words = [...new Uint32Array(frame!.buffer, frame!.byteOffset, 8)];
    expect(words.slice(2)).toEqual([1, 0, 0, 0, 33, 0]);
    const numbers = [...new Float64Array(frame!.buffer, frame!.byteOffset + 32, 33)];
    const row = (hint: number): number[] => [hint, 7, -1.5, 3, 1, 2, 4];
    expect(numbers.slice(0, 3)).toEqual([0, 9, 0]);
    expect(numbers.slice(3)).toEqual([30, 1, 2, 0.001, 0, 2, 1, 0, 1, 3, 0, 0, -1, 1, 0, 8, ...row(2), ...row(3)]);
    expect(frame!.readUInt32LE(32 + 8 * 33)).toBe(384);
    sameBits(decode([frame!]), [NATIVE]);
  });

  test("histograms too many for a frame are cut", () => {
    const long = Array.from({ length: 3000 }, (_, i) => (i % 7 === 0 ? undefined : { ...HISTOGRAM, sum: i }));
    const wide = exponentialLayout(8, 0, Array.from({ length: 50_000 }, (_, i) => i), []); // biome-ignore format: one row
    const huge = { ...HISTOGRAM, layout: wide, buckets: new Float64Array(50_000).fill(2) };
    const of = (list: (FloatHistogram | undefined)[]): StepColumn => ({
      labels: ["a", "b"],
      values: new Float64Array(list.length),
      present: null,
      histograms: packHistograms(list)!,
    });
    const columns = [of(long), of([huge, huge]), NATIVE];
    const frames = [...encodeColumns(columns)];
    expect(frames.length).toBeGreaterThan(3);
    expect(Math.max(...frames.map((f) => f.length))).toBeLessThan(1 << 20);
    sameBits(decode(frames), columns);
  });

  test("random columns survive bit for bit, in frames of any size and at any alignment", () => {
    fc.assert(
      fc.property(fc.array(column, { maxLength: 20 }), fc.constantFrom(1, 500, 1 << 20), (columns, frameBytes) => {
        const frames = [...encodeColumns(columns, frameBytes)].map((frame) => {
          const odd = Buffer.alloc(frame.length + 1);
          odd.set(frame, 1);
          return odd.subarray(1);
        });
        sameBits(decode(frames), columns);
        if (frameBytes === 1) expect(frames.length).toBe(columns.length);
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  test("long columns are cut and joined", () => {
    const points = 2 * PIECE_POINTS_MAX + 5;
    const values = Float64Array.from({ length: points }, (_, i) => i);
    const present = new Uint8Array(points).fill(1);
    present[PIECE_POINTS_MAX + 1] = 0;
    const long = (labels: string[], p: Uint8Array | null): StepColumn => ({
      labels,
      values,
      present: p,
      times: values,
    });
    const columns = [long(["a", "b"], null), long(["a", "c"], present), ...EXAMPLES];
    for (const frameBytes of [1000, 300_000, undefined]) {
      const frames = [...encodeColumns(columns, frameBytes)];
      expect(frames.length).toBeGreaterThan(1);
      expect(Math.max(...frames.map((f) => f.length))).toBeLessThan(1 << 20);
      sameBits(decode(frames), columns);
    }
  });

  test("strings travel once per answer", () => {
    const labels = ["__name__", "m".repeat(1000), "pod", "p".repeat(1000)];
    const columns = Array.from({ length: 500 }, (_, i) => ({
      labels: [...labels, "i", `${i}`],
      values: new Float64Array(20),
      present: null,
    }));
    const frames = [...encodeColumns(columns, 4096)];
    expect(frames.length).toBeGreaterThan(5);
    expect(frames.reduce((n, f) => n + f.length, 0)).toBeLessThan(500 * 80);
    sameBits(decode(frames), columns);
  });

  test("no columns are no frames", () => {
    expect([...encodeColumns([])]).toEqual([]);
    expect(decode([])).toEqual([]);
  });

  test("an answer beyond its memory is a limit", () => {
    const columns = [{ labels: [], values: new Float64Array(PIECE_POINTS_MAX).fill(1), present: null }];
    const frames = [...encodeColumns(columns)];
    expect(frames[0]!.length).toBeLessThan(100);
    expect(() => decode(frames, 100_000)).toThrow(LimitError);
  });

  test("a column without its end is malformed", () => {
    const values = new Float64Array(PIECE_POINTS_MAX + 1).map((_, i) => i);
    const frames = [...encodeColumns([{ labels: [], values, present: null }], 1)];
    expect(frames.length).toBe(2);
    expect(() => decode(frames.slice(0, 1))).toThrow(InternalError);
    expect(() => decode(frames.slice(1))).toThrow(InternalError);
  });

  test.each([
    ["floats", EXAMPLES],
    ["histograms", [NATIVE]],
  ])("every truncation of %s is malformed", (_, columns) => {
    const [frame] = [...encodeColumns(columns)];
    for (let length = 0; length < frame!.length; length++) {
      expect(() => decode([frame!.subarray(0, length)])).toThrow(InternalError);
    }
  });

  test.each([
    ["floats", EXAMPLES],
    ["histograms", [NATIVE]],
  ])("damaged frames of %s give columns or an error of ours, in bounded memory", (_, columns) => {
    const [frame] = [...encodeColumns(columns)];
    let errors = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(frame!.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (changes) => {
          const damaged = Buffer.from(frame!);
          for (const [at, byte] of changes) damaged[at] = byte;
          try {
            decode([damaged], 1 << 20);
          } catch (error) {
            if (!(error instanceof AppError)) throw error;
            errors++;
          }
        },
      ),
      { seed: 2, numRuns: 100_000 },
    );
    expect(errors).toBeGreaterThan(10_000);
  });
});
