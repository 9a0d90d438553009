// test/unit/select/xor-chunk.test.ts: XOR chunks (xor-chunk, bit-writer) against bytes counted out by hand, and against the decoder twin.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CHUNK_SAMPLES, XorChunkEncoder } from "../../../services/select/xor-chunk.ts";
import { decodeXorChunk } from "./xor-decoder.ts";

const encoder = new XorChunkEncoder();
const bitsOf = (values: Float64Array): bigint[] =>
  Array.from(new BigUint64Array(values.buffer, values.byteOffset, values.length));

function chunksOf(times: Float64Array, values: Float64Array): Buffer[] {
  const out: Buffer[] = [];
  for (let from = 0; from < times.length; ) {
    from = encoder.encode(times, values, from);
    out.push(Buffer.from(encoder.chunk));
  }
  return out;
}

function expectRoundTrip(times: Float64Array, values: Float64Array): void {
  const decoded = chunksOf(times, values).map(decodeXorChunk);
  expect(decoded.flatMap((chunk) => chunk.times)).toEqual(Array.from(times));
  expect(decoded.flatMap((chunk) => chunk.values)).toEqual(bitsOf(values));
  for (const chunk of decoded) expect(chunk.times.length).toBeLessThanOrEqual(CHUNK_SAMPLES);
}

const LAST = 2 ** 53 - 1;
const step = fc.oneof(
  fc.constantFrom(1, 15_000, 15_000, 8192, 8193, 65_536, 65_537, 524_288, 524_289, 2 ** 31, 2 ** 32, 2 ** 51, 2 ** 52),
  fc.integer({ min: 1, max: 1_000_000 }),
);
const bits = fc.oneof(
  fc.constantFrom(0n, 1n << 63n, 0x7ff0000000000002n, 0x7ff8000000000001n, 0x3ff0000000000000n, 1n, (1n << 64n) - 1n),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.integer({ min: -100, max: 100 }).map((n) => bitsOf(Float64Array.of(n))[0]!),
);

describe("XOR chunks", () => {
  test("have Prometheus' bytes", () => {
    // Counted out by hand from the format: 2 samples, varint 1000 (zigzag 2000), 1.0, delta 15000, equal value.
    const [chunk] = chunksOf(Float64Array.of(1000, 16_000), Float64Array.of(1, 1));
    expect(chunk!.toString("hex")).toBe("0002d00f3ff00000000000009875" + "00");
  });

  test("decode to what they were made of", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: -1000, max: 2e12 }), fc.constantFrom(-LAST, -(2 ** 52) - 1, 0, -1, 63, 64, LAST)),
        fc.array(fc.tuple(step, bits), { maxLength: 300 }),
        (start, rows) => {
          const times = [start];
          const values = [0x4045000000000000n];
          for (const [by, value] of rows) {
            const next = times.at(-1)! + by;
            if (next > LAST) break;
            times.push(next);
            values.push(value);
          }
          expectRoundTrip(Float64Array.from(times), new Float64Array(BigUint64Array.from(values).buffer));
        },
      ),
      { seed: 9, numRuns: 1000 },
    );
  });

  test("of the worst samples fit", () => {
    const times = Float64Array.from({ length: 240 }, (_, i) => i * 2 ** 40 + (i % 2) * 2 ** 39);
    const values = new Float64Array(
      BigUint64Array.from({ length: 240 }, (_, i) => (i % 2 ? (1n << 64n) - 1n : 0n)).buffer,
    );
    expectRoundTrip(times, values);
    expect(chunksOf(times, values).map((c) => c.length)).toEqual([expect.any(Number), expect.any(Number)]);
  });
});
