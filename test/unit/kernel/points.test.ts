// test/unit/kernel/points.test.ts: columns as text by the kernel (points.ts) against their slow twin, value by value with formatValue; what
// stands behind the text is never written.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatValue, POINTS_PER_PIECE, PointsKernel, writeTimestamp } from "../../../libs/kernel/index.ts";

const kernel = new PointsKernel();
const scratch = new Uint8Array(64);

/** A column by the kernel, piece by piece, with canaries behind each piece. */
function rendered(times: Float64Array, values: Float64Array, present: Uint8Array | null): string {
  let text = "";
  for (let step = 0; step < values.length; ) {
    const next = kernel.render(times, values, present, step);
    expect(next).toBeGreaterThan(step);
    expect(next - step).toBeLessThanOrEqual(POINTS_PER_PIECE);
    step = next;
    text += Buffer.from(kernel.text).toString("latin1");
  }
  return text;
}

/** The same by the twin. */
function plain(times: Float64Array, values: Float64Array, present: Uint8Array | null): string {
  let text = "";
  for (const [i, value] of values.entries()) {
    if (present?.[i] === 0) continue;
    const time = Buffer.from(scratch.subarray(0, writeTimestamp(scratch, 0, times[i]!))).toString("latin1");
    text += `,[${time},"${formatValue(value)}"]`;
  }
  return text;
}

const bits = new BigUint64Array(1);
const float = new Float64Array(bits.buffer);
const anyBits = fc.bigInt(0n, 2n ** 64n - 1n).map((b) => {
  bits[0] = b;
  return float[0]!;
});
const decimal = fc
  .tuple(fc.integer({ min: -(10 ** 9), max: 10 ** 9 }), fc.integer({ min: -6, max: 12 }))
  .map(([n, e]) => n / 10 ** e);
const quotient = fc
  .tuple(fc.integer({ min: 1, max: 10 ** 9 }), fc.integer({ min: 1, max: 10 ** 6 }))
  .map(([a, b]) => a / b);
const odd = fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity, 5e-324, 1e15, 1e15 - 1, 1e-6, 1e21, 2 ** 53, 1e-7);
const value = fc.oneof(anyBits, decimal, quotient, odd, fc.double({ min: 1e-8, max: 1e16, noNaN: true }));
const timeMs = fc.oneof(
  fc.integer({ min: 1_600_000_000_000, max: 1_800_000_000_000 }),
  fc.maxSafeInteger(),
  fc.integer({ min: -2000, max: 2000 }),
);

test("a column reads as value by value", () => {
  const point = fc.tuple(timeMs, value, fc.boolean());
  const check = (points: [number, number, boolean][], whole: boolean): void => {
    const times = Float64Array.from(points, (p) => p[0]);
    const values = Float64Array.from(points, (p) => p[1]);
    const present = whole ? null : Uint8Array.from(points, (p) => Number(p[2]));
    expect(rendered(times, values, present)).toBe(plain(times, values, present));
  };
  fc.assert(fc.property(fc.array(point, { maxLength: 40 }), fc.boolean(), check), { seed: 7, numRuns: 3000 });
});

test("neighbours of powers of two and ten", () => {
  const values: number[] = [];
  for (let e = -30; e <= 60; e++) {
    for (const base of [2 ** e, 10 ** e, 3 * 10 ** e]) {
      for (let step = -3n; step <= 3n; step++) {
        float[0] = base;
        bits[0] = bits[0]! + step;
        values.push(float[0]!, -float[0]!);
      }
    }
  }
  const times = Float64Array.from(values, (_, i) => i);
  expect(rendered(times, Float64Array.from(values), null)).toBe(plain(times, Float64Array.from(values), null));
});

test("a column longer than the kept heads, and two answers by turns", () => {
  const length = 40_000;
  const times = Float64Array.from({ length }, (_, i) => 1_700_000_000_000 + i * 15_000);
  const values = Float64Array.from({ length }, (_, i) => i / 3);
  expect(rendered(times, values, null)).toBe(plain(times, values, null));
  const other = times.map((t) => t + 1);
  for (const column of [times, other, times]) {
    const part = [column.subarray(0, 300), values.subarray(0, 300), null] as const;
    expect(rendered(...part)).toBe(plain(...part));
  }
});

test("the longest points stay within the piece", () => {
  const times = new Float64Array(POINTS_PER_PIECE).fill(-Number.MAX_SAFE_INTEGER);
  const values = new Float64Array(POINTS_PER_PIECE).fill(-1.7976931348623157e308);
  kernel.render(times, values, null, 0);
  const behind = kernel.bytes.subarray(kernel.text.byteOffset + kernel.text.length);
  const short = new Float64Array(POINTS_PER_PIECE).fill(-0.000_001_234_567_890_123_4);
  const before = behind.slice();
  kernel.render(times, short, null, 0);
  expect(kernel.text.byteOffset + kernel.text.length).toBeLessThan(behind.byteOffset);
  expect(behind.subarray(0, before.length)).toEqual(before);
});
