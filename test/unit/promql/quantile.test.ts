// test/unit/promql/quantile.test.ts: quantiles by selection against their slow twin, by sorting (quantile.ts).
import fc from "fast-check";
import { expect, test } from "vitest";
import { quantileOf, quantileOfSorted, sortFloats } from "../../../libs/promql/quantile.ts";

const value = fc.oneof(
  fc.double(),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(Number.NaN, Infinity, -Infinity, -0),
);
const phi = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.constantFrom(0, 1, 0.5, -1, 2, Number.NaN, 1 - 2 ** -53),
);

test("selection gives what sorting gives", () => {
  const check = (values: number[], q: number): void => {
    const sorted = Float64Array.from(values);
    const nans = sortFloats(sorted, values.length);
    const want = quantileOfSorted(q, sorted, values.length, nans);
    // Zeros of either sign are equal to a sort as well: which of them comes first is left open.
    expect(quantileOf(q, Float64Array.from(values), values.length) + 0).toEqual(want + 0);
  };
  fc.assert(fc.property(fc.array(value, { maxLength: 120 }), phi, check), { seed: 3, numRuns: 20_000 });
});

test.each([
  ["ascending", (i: number) => i],
  ["descending", (i: number) => -i],
  ["all equal", () => 1],
  ["in waves", (i: number) => i % 7],
])("many values, %s", (_, make) => {
  const values = Float64Array.from({ length: 200_000 }, (_, i) => make(i));
  const sorted = values.slice().sort();
  expect(quantileOf(0.25, values.slice(), values.length)).toBe(quantileOfSorted(0.25, sorted, sorted.length, 0));
});
