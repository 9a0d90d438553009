// libs/kernel/assembly/lib/number-text.ts: sample values and timestamps as text, the way Prometheus writes them.
// Bench test/bench/points.bench.ts, twin libs/kernel/number-format.ts, which explains the forms. Every operation on doubles is
// the twin's, so that the digits are. Digits come eight at a time, as the bytes of one word. No number takes, and no store goes beyond, 32 bytes at `out`.

/**
 * Where the caller keeps the powers of ten from 10^-8 to 10^22, as doubles read from their decimal text. Not below 1024: the compiler
 * makes smaller constants of an address the offset of a load, which does not wrap around for a negative exponent.
 */
export const POWERS: usize = 1024;
const POWER_LEAST = -8;

const MINUS: u8 = 45;
const POINT: u8 = 46;
const ZEROS: u64 = 0x3030_3030_3030_3030;
const SHORT_SCALE = 1e6;
const FIFTEEN_DIGITS = 1e15;
const WHOLE_MAX = 9_007_199_254_740_992.0; // 2^53
const SPLITTER = 134_217_729.0; // 2^27 + 1
const DOUBT = 1e-6;

/** Writes a value. Returns where it ends, or 0 for one that is left to the twin: very large or small, or too close to call. */
export function writeValue(out: usize, value: f64): usize {
  if (value != value) {
    store<u32>(out, 0x4e_61_4e); // NaN
    return out + 3;
  }
  const v = abs(value);
  if (reinterpret<i64>(value) < 0) store<u8>(out++, MINUS);
  if (v < WHOLE_MAX) {
    const whole = <u64>v;
    if (<f64>whole == v) return writeDigits(out, whole);
    const scaled = floor(v * SHORT_SCALE + 0.5);
    if (scaled >= 1 && scaled < FIFTEEN_DIGITS && scaled / SHORT_SCALE == v) return writeDecimal(out, <u64>scaled);
    return v >= 1e-6 && v < FIFTEEN_DIGITS ? writeShortest(out, v) : 0;
  }
  if (v != Infinity) return 0;
  if (value > 0) store<u8>(out++, 43);
  store<u32>(out, 0x66_6e_49); // Inf
  return out + 3;
}

/** Writes whole milliseconds as seconds: whole, or with three decimals. */
export function writeTimestamp(out: usize, timeMs: f64): usize {
  const ms = <u64>abs(timeMs);
  if (timeMs < 0) store<u8>(out++, MINUS);
  const seconds = ms / 1000;
  const fraction = <u32>(ms - seconds * 1000);
  const end = writeDigits(out, seconds);
  if (fraction == 0) return end;
  store<u8>(end, POINT);
  store<u64>(end, eightDigits(fraction * 100_000) + ZEROS, 1);
  return end + 4;
}

/** The digits of a number below 10^8, the highest in the lowest byte. */
// @ts-ignore: decorator
@inline
function eightDigits(n: u32): u64 {
  const high = n / 10_000;
  const fours = <u64>high | (<u64>(n - high * 10_000) << 32);
  const hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
  const pairs = hundreds | ((fours - 100 * hundreds) << 16);
  const tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
  return tens | ((pairs - 10 * tens) << 8);
}

/** A number below 10^16. */
function writeDigits(out: usize, n: u64): usize {
  if (n < 100_000_000) return writeSmall(out, <u32>n);
  const high = n / 100_000_000;
  const end = writeSmall(out, <u32>high);
  store<u64>(end, eightDigits(<u32>(n - high * 100_000_000)) + ZEROS);
  return end + 8;
}

/** A number below 10^8. */
// @ts-ignore: decorator
@inline
function writeSmall(out: usize, n: u32): usize {
  const digits = eightDigits(n);
  const leading = min<u64>(ctz(digits) >> 3, 7);
  store<u64>(out, (digits + ZEROS) >> (leading << 3));
  return out + 8 - <usize>leading;
}

/** A number with six decimals, given scaled by 10^6, that is not whole; without trailing zeros. */
function writeDecimal(out: usize, scaled: u64): usize {
  const whole = scaled / 1_000_000;
  const digits = eightDigits(<u32>(scaled - whole * 1_000_000) * 100);
  const end = writeDigits(out, whole);
  store<u8>(end, POINT);
  store<u64>(end, digits + ZEROS, 1);
  return end + 9 - (<usize>clz(digits) >> 3);
}

// @ts-ignore: decorator
@inline
function powerOfTen(exponent: i32): f64 {
  return load<f64>(POWERS + (<usize>(exponent - POWER_LEAST) << 3));
}

/** The shortest digits that read back as `v`, for 1e-6 ≤ v < 1e15 that is no whole number; 0 where the choice is too close to call. */
function writeShortest(out: usize, v: f64): usize {
  const bits = reinterpret<u64>(v);
  if ((bits & 0xf_ffff_ffff_ffff) == 0) return 0;
  const binary = <i32>(bits >> 52) - 1023;
  // Floor of binary × log10 2.
  let exponent = (binary * 78_913) >> 18;
  if (v >= powerOfTen(exponent + 1)) exponent++;
  const power = powerOfTen(16 - exponent);
  const high = v * power;
  let t = SPLITTER * v;
  const vHigh = t - (t - v);
  const vLow = v - vHigh;
  t = SPLITTER * power;
  const pHigh = t - (t - power);
  const pLow = power - pHigh;
  const low = vLow * pLow - (high - vHigh * pHigh - vLow * pHigh - vHigh * pLow);
  let head = floor(high * 1e-8);
  let tail = high - head * 1e8 + low;
  if (tail < 0) {
    head -= 1;
    tail += 1e8;
  }
  const half = reinterpret<f64>(<u64>(binary - 53 + 1023) << 52) * power;
  let digits = floor(tail * 0.01 + 0.5) * 100;
  let distance = abs(digits - tail);
  if (abs(distance - half) < DOUBT) return 0;
  if (distance > half) {
    digits = floor(tail * 0.1 + 0.5) * 10;
    distance = abs(digits - tail);
    if (abs(distance - half) < DOUBT || abs(distance - 5) < DOUBT) return 0;
    if (distance > half) {
      digits = floor(tail + 0.5);
      if (abs(abs(digits - tail) - 0.5) < DOUBT) return 0;
    }
  }
  if (digits >= 1e8) {
    head += 1;
    digits -= 1e8;
  }
  if (head >= 1e9 || head < 1e8) return 0;
  const first = <u32>head / 100_000_000;
  const upper = eightDigits(<u32>head - first * 100_000_000) + ZEROS;
  const lower = eightDigits(<u32>digits) + ZEROS;
  let end: usize;
  if (exponent < 0) {
    store<u64>(out, ZEROS);
    store<u8>(out, POINT, 1);
    out += 1 - exponent;
    store<u8>(out, <u8>(48 + first));
    store<u64>(out, upper, 1);
    store<u64>(out, lower, 9);
    end = out + 17;
  } else {
    store<u8>(out, <u8>(48 + first), 1);
    store<u64>(out, upper, 2);
    store<u64>(out, lower, 10);
    end = out + 18;
    for (let i = exponent; i >= 0; i--, out++) store<u8>(out, load<u8>(out, 1));
    store<u8>(out, POINT);
  }
  while (load<u8>(end - 1) == 48) end--;
  return end;
}
