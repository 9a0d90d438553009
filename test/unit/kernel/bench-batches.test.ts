// test/unit/kernel/bench-batches.test.ts: the batches that benches make are those of the format: the twin reads from them what was put in.
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBatch } from "../../../libs/kernel/twin/batch.ts";
import { runBatch, sampleBatch } from "../../bench/batches.ts";

const anyValues = fc.array(fc.double(), { minLength: 1, maxLength: 40 });
const anyTime = fc.integer({ min: 0, max: 2 ** 45 });

const bitsOf = (value: number): bigint => new BigUint64Array(Float64Array.of(value).buffer)[0]!;

test("a batch of one run", () => {
  const property = fc.property(fc.nat(1 << 20), anyTime, anyValues, (ref, time, values) => {
    const { samples } = decodeBatch(runBatch(ref, time, Float64Array.from(values)));
    expect(samples).toEqual(values.map((value, i) => ({ ref: ref + i, time, bits: bitsOf(value) })));
  });
  fc.assert(property);
});

test("a batch in which every sample is a run", () => {
  const anySamples = fc.array(fc.tuple(fc.nat(1 << 20), anyTime, fc.double()), { minLength: 1, maxLength: 40 });
  const property = fc.property(anySamples, (wanted) => {
    const refs = Uint32Array.from(wanted, ([ref]) => ref);
    const values = Float64Array.from(wanted, ([, , value]) => value);
    const { samples } = decodeBatch(sampleBatch(refs, (i) => wanted[i]![1], values));
    expect(samples).toEqual(wanted.map(([ref, time, value]) => ({ ref, time, bits: bitsOf(value) })));
  });
  fc.assert(property);
});
