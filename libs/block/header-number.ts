// libs/block/header-number.ts: a float of a column header in few bytes: as expected, or an integer in the column's own scale, or its bits.
// FORMAT.md, "Numbers". Statistics of a column of decimals are decimals, and near its first value.
import { type ByteSink, type ByteSource, SVARINT_MAX } from "./byte-stream.ts";

export const TAG_EXPECTED = 0;
export const TAG_MULTIPLE = 1;
export const TAG_INTEGER = 2;
export const TAG_BLURRED = 3;
export const TAG_BITS = 4;
export const TAG_EXPECTED_ELSE = 5;

export const EXPONENT_MAX = 22;
/** 10^e as the text would be read, exact up to 22. */
export const POWERS = Array.from({ length: EXPONENT_MAX + 1 }, (_, e) => Number(`1e${e}`));
const INTEGER_MAX = 2 ** 51;
const ULPS_MAX = 1n << 20n;

const float = new Float64Array(1);
const bits = new BigUint64Array(float.buffer);

/** The scale of a column's numbers: integers n ÷ 10^exponent, mostly multiples of gcd away from `anchor`. */
export interface Scale {
  readonly power: number;
  readonly gcd: number;
}

/** The integer n with n ÷ power equal to the value; undefined when there is none that is small. */
export function integerOf(value: number, power: number): number | undefined {
  // −0 is no integer.
  const n = Math.round(value * power) + 0;
  return Math.abs(n) <= INTEGER_MAX && Object.is(n / power, value) ? n : undefined;
}

/** As integerOf, or the nearest integer and how many ulps it is off. */
function blurredOf(value: number, power: number): { n: number; ulps: bigint } | undefined {
  const n = Math.round(value * power);
  if (!(Math.abs(n) <= INTEGER_MAX)) return undefined;
  float[0] = value;
  const mine = BigInt.asIntN(64, bits[0]!);
  float[0] = n / power;
  const ulps = mine - BigInt.asIntN(64, bits[0]!);
  return ulps <= ULPS_MAX && ulps >= -ULPS_MAX ? { n, ulps } : undefined;
}

/** Writes the number whose bits are `wanted`: its tag, and to `numbers` what the tag needs. `expected` are bits, too. */
export function writeNumber(
  tags: ByteSink,
  numbers: ByteSink,
  wanted: bigint,
  scale: Scale,
  anchor: number,
  expected: bigint,
  expectedElse: bigint = expected,
): void {
  if (wanted === expected || wanted === expectedElse) {
    tags.u8(wanted === expected ? TAG_EXPECTED : TAG_EXPECTED_ELSE);
    return;
  }
  bits[0] = wanted;
  const value = float[0]!;
  const away = (integerOf(value, scale.power) ?? Number.NaN) - anchor;
  if (Math.abs(away) <= SVARINT_MAX) {
    const divides = away % scale.gcd === 0;
    tags.u8(divides ? TAG_MULTIPLE : TAG_INTEGER);
    numbers.svarint(divides ? away / scale.gcd : away);
    return;
  }
  const blurred = blurredOf(value, scale.power);
  if (blurred !== undefined && Math.abs(blurred.n - anchor) <= SVARINT_MAX && value > 0) {
    tags.u8(TAG_BLURRED);
    numbers.svarint(blurred.n - anchor);
    numbers.svarint64(blurred.ulps);
    return;
  }
  tags.u8(TAG_BITS);
  numbers.u64(wanted);
}

/** Copies a field of eight bytes inside a header. */
export function copyField(view: DataView, from: number, to: number): void {
  view.setUint32(to, view.getUint32(from, true), true);
  view.setUint32(to + 4, view.getUint32(from + 4, true), true);
}

/**
 * Stores the number that writeNumber was given at `offset` of a header; what is expected stands there already, what is expected else at
 * `expectedElse`. Only numbers pass through a double that are no NaN.
 */
export function readNumber(
  tags: ByteSource,
  numbers: ByteSource,
  scale: Scale,
  anchor: number,
  view: DataView,
  offset: number,
  expectedElse = offset,
): void {
  const tag = tags.u8();
  if (tag === TAG_EXPECTED) return;
  if (tag === TAG_EXPECTED_ELSE) copyField(view, expectedElse, offset);
  else if (tag === TAG_BITS) {
    view.setUint32(offset, numbers.u32(), true);
    view.setUint32(offset + 4, numbers.u32(), true);
  } else {
    if (tag > TAG_BLURRED) throw tags.damage(`tag ${tag}`, "0 to 5");
    const away = numbers.svarint() * (tag === TAG_MULTIPLE ? scale.gcd : 1);
    view.setFloat64(offset, (anchor + away) / scale.power, true);
    if (tag !== TAG_BLURRED) return;
    const moved = view.getBigUint64(offset, true) + numbers.svarint64();
    view.setBigUint64(offset, BigInt.asUintN(64, moved), true);
  }
}

/** Goes past as many numbers as writeNumber was given, and notes where each begins. */
export function skipTagged(tags: ByteSource, numbers: ByteSource, count: number, starts: Uint32Array): void {
  const sizes = tags.raw(count);
  numbers.at = 0;
  for (let i = 0; i < count; i++) {
    starts[i] = numbers.at;
    const tag = sizes[i]!;
    if (tag === TAG_EXPECTED || tag === TAG_EXPECTED_ELSE) continue;
    if (tag === TAG_BITS) numbers.at += 8;
    else {
      numbers.skipNumber();
      if (tag === TAG_BLURRED) numbers.skipNumber();
    }
  }
}
