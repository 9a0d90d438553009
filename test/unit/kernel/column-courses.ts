// test/unit/kernel/column-courses.ts: columns of bits for the tests of the column codec: plain courses, and all that is awkward.
import { bitsOf, STALE } from "./head-batches.ts";
import type { Draw } from "./head-programs.ts";

export const AWKWARD_BITS: readonly bigint[] = [
  ...[0, -0, 1, -1, 0.1, 0.1 + 0.2, 1e-300, 5e-324, -5e-324, Infinity, -Infinity, 1e22, 1e-22, 1e-12].map(bitsOf),
  ...[2 ** 51, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, -(2 ** 53), 2 ** 58, 2 ** 63, Number.MAX_VALUE, -1e308].map(bitsOf),
  ...[STALE, 0x7ff8000000000000n, 0x7ff8000000000001n, 0x7ff0000000000001n, 0xfff8000000000000n],
  ...[0xffffffffffffffffn, 0xfff0000000000002n, 0x7ff8000000000002n, 0x7fffffffffffffffn],
];

export function columnOf(bits: readonly bigint[]): Float64Array {
  return new Float64Array(BigUint64Array.from(bits).buffer);
}

export function bitsOfValues(values: Float64Array): bigint[] {
  return [...new BigUint64Array(values.buffer, values.byteOffset, values.length)];
}

type Course = (i: number) => bigint;

function course(draw: Draw): Course {
  const base = draw.below(1e6) - 2e5;
  const scale = 10 ** draw.below(16);
  const pace = 10 ** draw.below(9);
  let sum = base;
  const rise = (by: number): number => {
    sum += by;
    return sum;
  };
  const quantum = 1 + draw.below(5000);
  switch (draw.below(14)) {
    case 0:
      return () => bitsOf(base / scale);
    case 1:
      return (i) => bitsOf((base + i * quantum) / scale);
    case 2:
      return () => bitsOf(rise(draw.below(pace)));
    case 3:
      return () => bitsOf(rise(draw.below(pace) * quantum));
    case 4:
      return () => bitsOf((base + draw.below(pace) * quantum) / scale);
    case 5:
      return () => bitsOf(rise(draw.chance(0.1) ? draw.below(pace) : 0));
    case 6:
      return () => bitsOf(draw.unit());
    case 7:
      // Sums of decimals in floating point are off by some ulps.
      return () => bitsOf(rise(draw.below(1000) / 1000));
    case 8:
      return () => bitsOf(rise(1) * 1e-9);
    case 9:
      return () => draw.bits();
    case 10:
      return () => bitsOf(2 ** 53 - 3 + draw.below(6));
    case 11:
      return () => bitsOf((draw.chance(0.5) ? 1 : -1) * 2 ** draw.below(64));
    case 12:
      return () => draw.pick(AWKWARD_BITS);
    default:
      return (i) => bitsOf(1_700_000_000_000 + i * 15_000 + (draw.chance(0.2) ? draw.below(41) - 20 : 0));
  }
}

/** A column of 1 to `most` values: one course or two, perhaps with special values, runs of them, and repetitions in between. */
export function drawColumn(draw: Draw, most: number): bigint[] {
  const count = 1 + draw.below(draw.chance(0.2) ? 4 : most);
  const first = course(draw);
  const second = draw.chance(0.2) ? course(draw) : first;
  const change = draw.below(count);
  const special = draw.chance(0.3) ? draw.unit() * 0.2 : 0;
  const repeat = draw.chance(0.3) ? draw.unit() : 0;
  const out: bigint[] = [];
  while (out.length < count) {
    const i = out.length;
    if (draw.chance(special)) {
      const bits = draw.pick(AWKWARD_BITS);
      for (let run = 1 + draw.below(draw.pick([1, 20])); run > 0; run--) out.push(bits);
    } else if (i > 0 && draw.chance(repeat)) out.push(out[i - 1]!);
    else out.push((i < change ? first : second)(i));
  }
  out.length = count;
  return out;
}
