// test/unit/kernel/samples-record.test.ts: samples records: golden bytes, a round trip of anything, and refusals.
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeSamplesRecord, encodeSamplesRecord, newestTimeOf } from "../../../libs/kernel/index.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { bitsOf, bitsOfColumn, columnsOf, type Sample, STALE } from "./head-batches.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("golden bytes", () => {
  const samples = [
    { ref: 5, time: 1000, bits: bitsOf(1) },
    { ref: 6, time: 1000, bits: STALE },
    { ref: 6, time: 999, bits: bitsOf(-0) },
  ];
  expect(hex(encodeSamplesRecord(columnsOf(samples)))).toBe(
    ["03000000", "02000000", "07000000", "0a02d00f", "010101", "8201", "f03f", "020000000000f07f", "80"].join(""),
  );
});

const sample = fc.record({
  ref: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 2 ** 32 - 2 })),
  time: fc.oneof(
    fc.integer({ min: 0, max: 3 }),
    fc.maxSafeInteger(),
    fc.constantFrom(-(2 ** 53), 2 ** 53, 2 ** 51, -(2 ** 51)),
  ),
  bits: fc.bigInt(0n, 2n ** 64n - 1n),
});

test("whatever goes in comes out", () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 50 }), (samples: Sample[]) => {
      const decoded = decodeSamplesRecord(encodeSamplesRecord(columnsOf(samples)));
      expect([...decoded.series]).toEqual(samples.map((s) => s.ref));
      expect([...decoded.times]).toEqual(samples.map((s) => s.time));
      expect(bitsOfColumn(decoded.values)).toEqual(samples.map((s) => s.bits));
    }),
    { seed: 3, numRuns: 2000 },
  );
});

test("every truncation and every wrong count is refused", () => {
  const record = encodeSamplesRecord(columnsOf([1, 2, 9].map((ref) => ({ ref, time: ref * 1e9, bits: bitsOf(ref) }))));
  for (let length = 0; length < record.length; length++) {
    expect(() => decodeSamplesRecord(record.subarray(0, length))).toThrow(InvalidError);
  }
  for (const at of [0, 4, 8]) {
    for (const delta of [1, -1]) {
      const spoilt = record.slice();
      spoilt[at] = spoilt[at]! + delta;
      expect(() => decodeSamplesRecord(spoilt)).toThrow(InvalidError);
    }
  }
});

test("the newest time is that of the columns, or unknown when times are too far apart", () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 20 }), (samples: Sample[]) => {
      const newest = newestTimeOf(encodeSamplesRecord(columnsOf(samples)));
      const times = samples.map((s) => s.time);
      const apart = times.map((time, i) => time - (times[i - 1] ?? 0));
      const far = apart.some((difference) => difference >= 2 ** 51 || difference < -(2 ** 51));
      expect(newest).toBe(far ? Number.POSITIVE_INFINITY : Math.max(...times));
    }),
    { seed: 4, numRuns: 2000 },
  );
  const near = [-(2 ** 51) + 1, -5, 2 ** 51 - 6, 1_700_000_000_000].map((time) => ({ ref: 1, time, bits: bitsOf(1) }));
  expect(newestTimeOf(encodeSamplesRecord(columnsOf(near)))).toBe(2 ** 51 - 6);
  expect(newestTimeOf(encodeSamplesRecord(columnsOf(near.slice(0, 1))))).toBe(-(2 ** 51) + 1);
  expect(newestTimeOf(encodeSamplesRecord(columnsOf([])))).toBe(Number.NEGATIVE_INFINITY);
});
