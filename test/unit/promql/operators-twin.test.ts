// test/unit/promql/operators-twin.test.ts: operators on columns against their naive twin, one element at a time.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BinaryOp } from "../../../libs/promql/index.ts";
import { arithmetic, compare, isComparison, maxGo, minGo, power } from "../../../libs/promql/operators.ts";

const TWINS: Readonly<Record<string, (a: number, b: number) => number | boolean>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "%": (a, b) => a % b,
  "^": (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b),
  atan2: (a, b) => Math.atan2(a, b),
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};
const number = fc.oneof(fc.double(), fc.integer({ min: -2, max: 2 }), fc.constantFrom(Infinity, -Infinity, Number.NaN));

describe("columns agree with the twin", () => {
  for (const [name, twin] of Object.entries(TWINS)) {
    test(name, () => {
      const op = name as BinaryOp;
      fc.assert(
        fc.property(fc.array(fc.tuple(number, number)), (pairs) => {
          const a = Float64Array.from(pairs, ([x]) => x);
          const b = Float64Array.from(pairs, ([, y]) => y);
          const got = isComparison(op) ? compare(op, a, b) : arithmetic(op, a, b);
          expect([...got]).toEqual(pairs.map(([x, y]) => Number(twin(x, y))));
        }),
        { seed: 5, numRuns: 300 },
      );
    });
  }
});

test("powers and extremes are Go's where JavaScript differs", () => {
  expect([power(1, Number.NaN), power(-1, Infinity), power(2, 3)]).toEqual([1, 1, 8]);
  expect([maxGo(Number.NaN, Infinity), maxGo(1, Number.NaN), maxGo(1, 2)]).toEqual([Infinity, Number.NaN, 2]);
  expect([minGo(Number.NaN, -Infinity), minGo(1, Number.NaN), minGo(1, 2)]).toEqual([-Infinity, Number.NaN, 1]);
});
