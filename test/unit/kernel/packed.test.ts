// test/unit/kernel/packed.test.ts: packed values: any bits come back, the kernel packs and accepts what its twin (packed-values.ts) does.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeSamplesRecord, HeadKernel, packValues, unpackValues } from "../../../libs/kernel/index.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { bitsOf, bitsOfColumn, columnsOf, encodeBatch, type Sample } from "./head-batches.ts";

const TIME = 1_750_000_000_000;
const bits = fc.oneof(
  fc.bigInt(0n, 2n ** 64n - 1n),
  fc.integer({ min: -300, max: 300 }).map(bitsOf),
  fc.tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.integer({ min: 0, max: 8 })).map(([b, kept]) => {
    return BigInt.asUintN(64, b << BigInt(64 - 8 * kept));
  }),
);
const column = (values: readonly bigint[]): Float64Array => new Float64Array(BigUint64Array.from(values).buffer);

test("whatever is packed comes out, in no more bytes than it should take", () => {
  fc.assert(
    fc.property(fc.array(bits, { maxLength: 70 }), (values) => {
      const packed = packValues(column(values));
      expect(bitsOfColumn(unpackValues(packed, values.length))).toEqual(values);
      const kept = values.map((b) => Buffer.from(b.toString(16).padStart(16, "0"), "hex"));
      const bytes = kept.reduce((sum, b) => sum + b.findLastIndex((byte) => byte !== 0) + 1, 0);
      expect(packed.length).toBe(Math.ceil(values.length / 2) + bytes);
    }),
    { seed: 5, numRuns: 2000 },
  );
});

test("part of a column", () => {
  const values = Float64Array.of(1, 2, 3, 4, 5.1);
  expect(packValues(values, 1, 4)).toEqual(packValues(values.slice(1, 4)));
});

describe("what is no packed column is refused", () => {
  const good = packValues(Float64Array.of(1, 0.1, -7));
  test.each<[string, Uint8Array, number]>([
    ["cut", good.subarray(0, good.length - 1), 3],
    ["longer", Uint8Array.of(...good, 0), 3],
    ["another count", good, 5],
    ["fewer control bytes than values", new Uint8Array(1), 3],
    ["nine bytes kept", Uint8Array.of(9, 1, 2, 3, 4, 5, 6, 7, 8, 9), 1],
    ["a value more than there are", Uint8Array.of(0x10, 1), 1],
    ["a count beyond all bytes", good, 0xffff_ffff],
  ])("%s", (_, packed, count) => {
    expect(() => unpackValues(packed, count)).toThrow(InvalidError);
  });
});

test("the kernel takes batches that the twin packed, and packs its records as the twin does, whatever is left out", () => {
  const kernel = new HeadKernel({ memoryBytes: 16 << 20 });
  const dictionary = kernel.makeDictionary()!;
  for (let i = 0; i < 100; i++) dictionary.set(i, kernel.addSeries(1, 1));
  let time = TIME;
  fc.assert(
    fc.property(fc.array(bits, { minLength: 1, maxLength: 90 }), fc.integer({ min: 0, max: 3 }), (values, holes) => {
      time += 1000;
      const samples = values.map((b, ref): Sample => ({ ref, time, bits: b }));
      const known = samples.filter((_, i) => holes > 0 && i % (holes + 1) === 0);
      if (known.length > 0) kernel.append(encodeBatch(known), dictionary, 0, 2 ** 53);
      const outcome = kernel.append(encodeBatch(samples), dictionary, 0, 2 ** 53);
      const spilled = new Set(outcome.spill.series);
      const stored = samples.filter((s) => !known.includes(s) && !spilled.has(s.ref));
      expect(outcome.stored).toBe(stored.length);
      if (stored.length > 0) expect(outcome.record.slice()).toEqual(encodeSamplesRecord(columnsOf(stored)));
    }),
    { seed: 6, numRuns: 1500 },
  );
});
