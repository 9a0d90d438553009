// test/unit/kernel/number-format.test.ts: values and timestamps against Go's forms, and against the slow twin, formatValue,
// which takes JavaScript's own digits.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatValue, NUMBER_BYTES_MAX, writeTimestamp, writeValue } from "../../../libs/kernel/number-format.ts";

const out = new Uint8Array(NUMBER_BYTES_MAX + 8);

/** What writeValue writes; canaries behind the longest form must survive. */
function value(v: number): string {
  out.fill(0xee);
  const end = writeValue(out, 0, v);
  expect(end).toBeLessThanOrEqual(NUMBER_BYTES_MAX);
  expect(out.subarray(NUMBER_BYTES_MAX).every((b) => b === 0xee)).toBe(true);
  return Buffer.from(out.subarray(0, end)).toString("latin1");
}

// Expected texts are strconv.FormatFloat(v, 'f' or 'e', -1, 64) by hand.
const VALUES: readonly (readonly [number, string])[] = [
  [0, "0"],
  [-0, "-0"],
  [1, "1"],
  [-1, "-1"],
  [10, "10"],
  [99, "99"],
  [100, "100"],
  [12345678, "12345678"],
  [123456789, "123456789"],
  [99999999, "99999999"],
  [100000000, "100000000"],
  [9007199254740991, "9007199254740991"],
  [1e15, "1000000000000000"],
  [1e20, "100000000000000000000"],
  [1e21, "1e+21"],
  [1.5e21, "1.5e+21"],
  [1.7976931348623157e308, "1.7976931348623157e+308"],
  [5e-324, "5e-324"],
  [1e-6, "0.000001"],
  [9.99e-7, "9.99e-07"],
  [1e-7, "1e-07"],
  [-1e-7, "-1e-07"],
  [1.25e-9, "1.25e-09"],
  [1e-10, "1e-10"],
  [2.2250738585072014e-308, "2.2250738585072014e-308"],
  [0.1, "0.1"],
  [0.5, "0.5"],
  [-2.5, "-2.5"],
  [0.3, "0.3"],
  [0.1 + 0.2, "0.30000000000000004"],
  [1 / 3, "0.3333333333333333"],
  [2 / 3, "0.6666666666666666"],
  [100 / 3, "33.333333333333336"],
  [1435781451.781, "1435781451.781"],
  [123456.789, "123456.789"],
  [0.000123, "0.000123"],
  [0.0000123456789, "0.0000123456789"],
  [4.35, "4.35"],
  [9.5367431640625e-7, "9.5367431640625e-07"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "+Inf"],
  [Number.NEGATIVE_INFINITY, "-Inf"],
];

test.each(VALUES)("value %d is %s", (v, text) => {
  expect(value(v)).toBe(text);
  expect(formatValue(v)).toBe(text);
});

test("a stale marker and any other NaN print as NaN", () => {
  const bits = new BigUint64Array([0x7ff0000000000002n, 0xfff8000000000001n]);
  for (const v of new Float64Array(bits.buffer)) expect(value(v)).toBe("NaN");
});

test("every double reads back equal, with the digits and the form of the general way", () => {
  const anyDouble = fc.double({ noNaN: true });
  const everyday = fc.tuple(fc.integer({ min: -(10 ** 9), max: 10 ** 9 }), fc.integer({ min: 0, max: 9 }));
  const quotient = fc.tuple(fc.integer({ min: 1, max: 10 ** 9 }), fc.integer({ min: 1, max: 10 ** 6 }));
  const values = fc.oneof(
    anyDouble,
    everyday.map(([n, e]) => n / 10 ** e),
    quotient.map(([a, b]) => a / b),
  );
  const check = (v: number): void => {
    const text = value(v);
    expect(text).toBe(formatValue(v));
    expect(Object.is(Number(text.replace("Inf", "Infinity")), v)).toBe(true);
  };
  fc.assert(fc.property(values, check), { seed: 20_240_611, numRuns: 30_000 });
});

test("neighbours of powers of two and ten", () => {
  const float = new Float64Array(1);
  const bits = new BigInt64Array(float.buffer);
  for (let e = -30; e <= 60; e++) {
    for (const base of [2 ** e, 10 ** e, 3 * 10 ** e]) {
      for (let step = -3n; step <= 3n; step++) {
        float[0] = base;
        bits[0]! += step;
        expect(value(float[0]!)).toBe(formatValue(float[0]!));
      }
    }
  }
});

test.each([
  [0, "0"],
  [1, "0.001"],
  [10, "0.010"],
  [1500, "1.500"],
  [999, "0.999"],
  [1000, "1"],
  [-1, "-0.001"],
  [-1000, "-1"],
  [-1500, "-1.500"],
  [1435781430781, "1435781430.781"],
  [1435781430000, "1435781430"],
  [Number.MAX_SAFE_INTEGER, "9007199254740.991"],
  [-Number.MAX_SAFE_INTEGER, "-9007199254740.991"],
])("timestamp %d ms is %s", (ms, text) => {
  const end = writeTimestamp(out, 0, ms);
  expect(Buffer.from(out.subarray(0, end)).toString("latin1")).toBe(text);
});
