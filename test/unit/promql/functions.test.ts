// test/unit/promql/functions.test.ts: number texts, dates and natural order, one line per case.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dateFunction, roundTo } from "../../../libs/promql/functions-math.ts";
import { naturallyBefore } from "../../../libs/promql/functions-sort.ts";
import {
  formatGeneral,
  formatLabels,
  formatOpenMetrics,
  formatPlain,
  parseFloatGo,
  quote,
} from "../../../libs/promql/go-text.ts";

describe("numbers as Go writes them", () => {
  test.each([
    [0, "0", "0", "0.0"],
    [-0, "-0", "-0", "0.0"],
    [1, "1", "1", "1.0"],
    [0.1, "0.1", "0.1", "0.1"],
    [-2.5, "-2.5", "-2.5", "-2.5"],
    [123456, "123456", "123456", "123456.0"],
    [1e6, "1000000", "1e+06", "1e+06"],
    [1234567.5, "1234567.5", "1.2345675e+06", "1.2345675e+06"],
    [1e21, "1000000000000000000000", "1e+21", "1e+21"],
    [1e-5, "0.00001", "1e-05", "1e-05"],
    [0.0001, "0.0001", "0.0001", "0.0001"],
    [1.5e-7, "0.00000015", "1.5e-07", "1.5e-07"],
    [1e100, `1${"0".repeat(100)}`, "1e+100", "1e+100"],
    [Number.NaN, "NaN", "NaN", "NaN"],
    [Infinity, "+Inf", "+Inf", "+Inf"],
    [-Infinity, "-Inf", "-Inf", "-Inf"],
  ])("%s", (value, plain, general, openMetrics) => {
    expect([formatPlain(value), formatGeneral(value), formatOpenMetrics(value)]).toEqual([plain, general, openMetrics]);
  });

  test("with two digits", () => {
    expect([2, 0.123, 99.6, 1234, 0.00001234].map((value) => formatGeneral(value, 2))).toEqual([
      "2",
      "0.12",
      "1e+02",
      "1.2e+03",
      "1.2e-05",
    ]);
  });

  test.each([
    ["1", 1],
    ["+Inf", Infinity],
    ["-infinity", -Infinity],
    [".5", 0.5],
    ["1e3", 1000],
    ["0x1p-2", 0.25],
    ["0x1.8p1", 3],
    ["", undefined],
    ["1_0", undefined],
    ["0x", undefined],
    ["1e999", undefined],
    ["one", undefined],
    [" 1", undefined],
  ] as [string, number | undefined][])("parses %j", (text, want) => {
    expect(parseFloatGo(text)).toEqual(want);
  });

  test("every float reads back from its plain text", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Number(formatPlain(value))).toBe(value);
        expect(Number(formatGeneral(value))).toBe(value);
      }),
      { seed: 3 },
    );
  });

  test("strings and label sets", () => {
    expect(quote('a"\\\n\u0001é\u{e0001}')).toBe('"a\\"\\\\\\n\\x01é\\U000e0001"');
    expect(formatLabels(["a", "1", "b.c", "2"])).toBe('{a="1", "b.c"="2"}');
  });
});

describe("dates", () => {
  const NAMES = ["year", "month", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute"];

  test("agree with the calendar of the platform", () => {
    fc.assert(
      fc.property(fc.integer({ min: -60_000_000_000, max: 250_000_000_000 }), (seconds) => {
        const date = new Date(seconds * 1000);
        const year = date.getUTCFullYear();
        const first = new Date(0);
        first.setUTCFullYear(year, 0, 1);
        const next = new Date(0);
        next.setUTCFullYear(year, date.getUTCMonth() + 1, 0);
        const want = [
          year,
          date.getUTCMonth() + 1,
          date.getUTCDate(),
          date.getUTCDay(),
          Math.floor((date.getTime() - first.getTime()) / 86_400_000) + 1,
          next.getUTCDate(),
          date.getUTCHours(),
          date.getUTCMinutes(),
        ];
        expect(NAMES.map((name) => dateFunction(name)!(seconds))).toEqual(want);
      }),
      { seed: 11, numRuns: 2000 },
    );
  });

  test("fractions are cut towards 1970", () => {
    expect(dateFunction("minute")!(-0.5)).toBe(0);
    expect(dateFunction("minute")!(59.9)).toBe(0);
  });
});

test.each([
  [2.5, 1, 3],
  [-2.5, 1, -2],
  [7, 5, 5],
  [8, 5, 10],
  [0.15, 0.1, 0.2],
])("round(%d, %d)", (value, nearest, want) => {
  expect(roundTo(value, nearest)).toBeCloseTo(want, 12);
});

test.each([
  ["node2", "node10", true],
  ["node10", "node2", false],
  ["a", "b", true],
  ["10", "9", false],
  ["a1b", "a1c", true],
  ["", "a", true],
  ["a", "", false],
  ["1a", "1", false],
])("%s sorts before %s: %s", (a, b, want) => {
  expect(naturallyBefore(a, b)).toBe(want);
});
