// test/unit/model/stale.test.ts: the stale marker is told from every other NaN and survives columns.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InternalError, isStale, writeStale } from "../../../libs/model/index.ts";

/** A column of one value with the given bits. */
function column(bits: bigint): Float64Array {
  const out = new Float64Array(1);
  new BigUint64Array(out.buffer)[0] = bits;
  return out;
}
const bitsOf = (values: Float64Array, i: number): bigint => new BigUint64Array(values.buffer, values.byteOffset)[i]!;

describe("isStale", () => {
  test.each<[string, bigint, boolean]>([
    ["the marker", 0x7ff0000000000002n, true],
    ["the marker, quieted", 0x7ff8000000000002n, true],
    ["Go's NaN", 0x7ff8000000000001n, false],
    ["JavaScript's NaN", 0x7ff8000000000000n, false],
    ["a signalling NaN", 0x7ff0000000000001n, false],
    ["the marker with a sign", 0xfff0000000000002n, false],
    ["a NaN with more bits", 0x7ff0000100000002n, false],
    ["infinity", 0x7ff0000000000000n, false],
    ["the smallest denormal but one", 2n, false],
    ["zero", 0n, false],
    ["-zero", 0x8000000000000000n, false],
  ])("%s", (_, bits, want) => {
    expect(isStale(column(bits)[0]!)).toBe(want);
  });

  test("only the two forms", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (bits) => {
        expect(isStale(column(bits)[0]!)).toBe(bits === 0x7ff0000000000002n || bits === 0x7ff8000000000002n);
      }),
      { seed: 20_240_605, numRuns: 20_000 },
    );
  });
});

describe("writeStale", () => {
  test("writes the exact bits, also into a view, and nothing beside", () => {
    const values = new Float64Array(5).fill(7);
    writeStale(values.subarray(1, 4), 1);
    expect([0, 1, 3, 4].map((i) => values[i])).toEqual([7, 7, 7, 7]);
    expect(bitsOf(values, 2)).toBe(0x7ff0000000000002n);
    expect(isStale(values[2]!)).toBe(true);
  });

  test.each([-1, 3, Number.NaN])("refuses index %d of a view of 3", (index) => {
    const values = new Float64Array(5).fill(7);
    expect(() => writeStale(values.subarray(1, 4), index)).toThrow(InternalError);
    expect([...values]).toEqual([7, 7, 7, 7, 7]);
  });

  test("copies between columns keep the bits", () => {
    const values = new Float64Array(3);
    for (let i = 0; i < 3; i++) writeStale(values, i);
    const copy = new Float64Array(3);
    copy.set(values);
    for (const kept of [copy, values.slice(), Float64Array.from(values)]) {
      for (let i = 0; i < 3; i++) expect(bitsOf(kept, i)).toBe(0x7ff0000000000002n);
    }
  });
});
