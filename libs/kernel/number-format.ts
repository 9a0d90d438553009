// libs/kernel/number-format.ts: sample values and timestamps as JSON bytes, the way Prometheus writes them; the twin of
// assembly/lib/number-text.ts, for single numbers and for what that leaves alone.
// Values are Go's shortest 'f' form, or 'e' when |v| < 1e-6 (not 0) or |v| ≥ 1e21; NaN, +Inf, -Inf by name. JavaScript finds
// the same digits and switches at the same magnitudes; only -0, the exponent's width and the names differ.
// HOT: one call per value of an answer. Whole numbers and short decimals never become strings. Callers leave
// NUMBER_BYTES_MAX bytes of room at `at`.

/** No value or timestamp takes more bytes: a sign, 21 digits, a point, or 17 digits with point and exponent. */
export const NUMBER_BYTES_MAX = 32;

const ZERO = 48;
const MINUS = 45;
const POINT = 46;
/** "00" … "99" one after another. */
const PAIRS = new Uint8Array(200);
for (let i = 0; i < 100; i++) {
  PAIRS[2 * i] = ZERO + Math.floor(i / 10);
  PAIRS[2 * i + 1] = ZERO + (i % 10);
}
/** Decimals that are looked for before the general way: six of them cover seconds in µs and most quotients of people. */
const SHORT_DECIMALS = 6;
const SHORT_SCALE = 10 ** SHORT_DECIMALS;
/** Two decimals of at most 15 digits are never the same double, so one that reads back equal is the shortest form. */
const FIFTEEN_DIGITS = 1e15;

/** Writes a value without quotes. Returns the position after it. */
export function writeValue(out: Uint8Array, at: number, value: number): number {
  let v = value;
  let i = at;
  if (v < 0) {
    out[i++] = MINUS;
    v = -v;
  }
  if (v < FIFTEEN_DIGITS) {
    if (v === Math.floor(v)) {
      // -0 is not below 0, so its sign is still to be written.
      if (v === 0 && Object.is(value, -0)) out[i++] = MINUS;
      return writeDigits(out, i, v);
    }
    const scaled = Math.round(v * SHORT_SCALE);
    if (scaled >= 1 && scaled < FIFTEEN_DIGITS && scaled / SHORT_SCALE === v) return writeDecimal(out, i, scaled);
    if (v >= 1e-6) {
      const end = writeShortest(out, i, v);
      if (end > 0) return end;
    }
  }
  return writeAscii(out, at, formatValue(value));
}

/** Writes ms as seconds: whole, or with exactly three decimals. Returns the position after it. */
export function writeTimestamp(out: Uint8Array, at: number, ms: number): number {
  let t = ms;
  let i = at;
  if (t < 0) {
    out[i++] = MINUS;
    t = -t;
  }
  const seconds = Math.floor(t / 1000);
  const fraction = t - seconds * 1000;
  i = writeDigits(out, i, seconds);
  if (fraction === 0) return i;
  out[i] = POINT;
  out[i + 1] = ZERO + Math.floor(fraction / 100);
  const rest = fraction % 100;
  out[i + 2] = PAIRS[2 * rest]!;
  out[i + 3] = PAIRS[2 * rest + 1]!;
  return i + 4;
}

/** The same text as writeValue's, as a string. */
export function formatValue(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Math.abs(value) === Number.POSITIVE_INFINITY) return value > 0 ? "+Inf" : "-Inf";
  if (Object.is(value, -0)) return "-0";
  const text = String(value);
  // 1e-7 has a one-digit exponent where Go writes two.
  return text.charCodeAt(text.length - 3) === 101 ? `${text.slice(0, -1)}0${text.slice(-1)}` : text;
}

/** The digits of a whole number below 2^53. */
function writeDigits(out: Uint8Array, at: number, n: number): number {
  if (n < 1e8) return writeSmall(out, at, n);
  const high = Math.floor(n / 1e8);
  const i = high < 1e8 ? writeSmall(out, at, high) : writeDigits(out, at, high);
  writePadded(out, i, n - high * 1e8, 8);
  return i + 8;
}

/** The digits of a whole number below 1e8. */
function writeSmall(out: Uint8Array, at: number, n: number): number {
  if (n < 10) {
    out[at] = ZERO + n;
    return at + 1;
  }
  const length = n < 100 ? 2 : n < 1000 ? 3 : n < 1e4 ? 4 : n < 1e5 ? 5 : n < 1e6 ? 6 : n < 1e7 ? 7 : 8;
  writePadded(out, at, n, length);
  return at + length;
}

/** The last `length` digits of a whole number below 1e8, with leading zeros. */
function writePadded(out: Uint8Array, at: number, value: number, length: number): void {
  let n = value | 0;
  let i = at + length;
  while (i - at >= 2) {
    const quotient = (n / 100) | 0;
    const pair = 2 * (n - quotient * 100);
    i -= 2;
    out[i] = PAIRS[pair]!;
    out[i + 1] = PAIRS[pair + 1]!;
    n = quotient;
  }
  if (i > at) out[at] = ZERO + (n % 10);
}

/** A number with SHORT_DECIMALS decimals, given scaled by SHORT_SCALE, without trailing zeros. */
function writeDecimal(out: Uint8Array, at: number, scaled: number): number {
  const whole = Math.floor(scaled / SHORT_SCALE);
  let fraction = (scaled - whole * SHORT_SCALE) | 0;
  let length = SHORT_DECIMALS;
  while (fraction % 10 === 0) {
    fraction = (fraction / 10) | 0;
    length--;
  }
  const i = writeDigits(out, at, whole);
  out[i] = POINT;
  writePadded(out, i + 1, fraction, length);
  return i + 1 + length;
}

/** Exact powers of ten, 1 to 1e22. */
const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));
/** For a binary exponent e ≥ EXPONENT_MIN: the decimal exponent of 2^e, that of the next power of ten, and 2^(e − 53). */
const EXPONENT_MIN = -20;
const DECIMAL_EXPONENTS = Int8Array.from({ length: 71 }, (_, i) => Math.floor((i + EXPONENT_MIN) * Math.log10(2)));
const NEXT_POWERS = Float64Array.from(DECIMAL_EXPONENTS, (e) => Number(`1e${e + 1}`));
const HALF_ULPS = Float64Array.from({ length: 71 }, (_, i) => 2 ** (i + EXPONENT_MIN - 53));
const SPLITTER = 134_217_729; // 2^27 + 1
/** Far above the error of the sums below (2^-26), far below what decides between digits. */
const DOUBT = 1e-6;
const floatBits = new Float64Array(1);
const wordBits = new Uint32Array(floatBits.buffer);

/**
 * The shortest digits that read back as `v`, for 1e-6 ≤ v < 1e15 that is no whole number. v × 10^k with 17 digits before
 * the point is exact as a sum of two doubles (Dekker, "A floating-point technique", 1971); of the multiples of 100, 10, 1
 * within half an ulp, the first kind that has one gives the shortest form. Returns 0 where the choice is too close to call.
 */
function writeShortest(out: Uint8Array, at: number, v: number): number {
  floatBits[0] = v;
  const top = wordBits[1]!;
  // Below a power of two the gap is half as wide: left to the general way.
  if ((top & 0xfffff) === 0 && wordBits[0] === 0) return 0;
  const slot = (top >>> 20) - 1023 - EXPONENT_MIN;
  const exponent = DECIMAL_EXPONENTS[slot]! + (v >= NEXT_POWERS[slot]! ? 1 : 0);
  const power = POWERS[16 - exponent]!;
  const high = v * power;
  let t = SPLITTER * v;
  const vHigh = t - (t - v);
  const vLow = v - vHigh;
  t = SPLITTER * power;
  const pHigh = t - (t - power);
  const pLow = power - pHigh;
  const low = vLow * pLow - (high - vHigh * pHigh - vLow * pHigh - vHigh * pLow);
  let head = Math.floor(high * 1e-8);
  let tail = high - head * 1e8 + low;
  if (tail < 0) {
    head--;
    tail += 1e8;
  }
  const half = HALF_ULPS[slot]! * power;
  let digits = Math.floor(tail * 0.01 + 0.5) * 100;
  let distance = Math.abs(digits - tail);
  if (Math.abs(distance - half) < DOUBT) return 0;
  if (distance > half) {
    digits = Math.floor(tail * 0.1 + 0.5) * 10;
    distance = Math.abs(digits - tail);
    if (Math.abs(distance - half) < DOUBT || Math.abs(distance - 5) < DOUBT) return 0;
    if (distance > half) {
      digits = Math.floor(tail + 0.5);
      if (Math.abs(Math.abs(digits - tail) - 0.5) < DOUBT) return 0;
    }
  }
  if (digits >= 1e8) {
    head++;
    digits -= 1e8;
  }
  if (head >= 1e9 || head < 1e8) return 0;
  let i = at;
  if (exponent < 0) {
    out[i] = ZERO;
    out[i + 1] = POINT;
    i += 2;
    for (let zeros = -1 - exponent; zeros > 0; zeros--) out[i++] = ZERO;
    writePadded(out, i, head, 9);
    writePadded(out, i + 9, digits, 8);
    i += 17;
  } else {
    writePadded(out, i + 1, head, 9);
    writePadded(out, i + 10, digits, 8);
    for (let n = exponent; n >= 0; n--, i++) out[i] = out[i + 1]!;
    out[i] = POINT;
    i = at + 18;
  }
  while (out[i - 1] === ZERO) i--;
  return i;
}

function writeAscii(out: Uint8Array, at: number, text: string): number {
  const { length } = text;
  for (let i = 0; i < length; i++) out[at + i] = text.charCodeAt(i);
  return at + length;
}
