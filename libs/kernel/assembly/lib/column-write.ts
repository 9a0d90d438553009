// libs/kernel/assembly/lib/column-write.ts: writes a column's payload: exceptions, then for each stream the state bits and, from the next bit on, the raw bits.
// States are coded from the last value to the first, so that they are read from the first to the last; their bits are written from
// the end of a scratch region.
import {
  CLASSES, DIFFERENCES, ENCODE_STATES, ENCODE_SYMBOLS, ESCAPE, EXCEPTION, NEGATIVE_INFINITY, NEGATIVE_ZERO,
  NORMAL_NAN, POSITIVE_INFINITY, RESIDUALS, STALE, STATE_BITS, STATES, STREAM_END, SYMBOLS, word,
} from "./column-layout";
import { E_BITS, E_BYTES, E_OFFSET, E_THRESHOLD, NO_SYMBOL } from "./column-tables";

// Codes of exceptions.
export const CODE_STALE: u32 = 0;
export const CODE_NAN: u32 = 1;
export const CODE_POSITIVE_INFINITY: u32 = 2;
export const CODE_NEGATIVE_INFINITY: u32 = 3;
export const CODE_NEGATIVE_ZERO: u32 = 4;
export const CODE_BITS: u32 = 5;

export function writeUvarint(p: usize, value: u64): usize {
  while (value > 127) {
    store<u8>(p, <u8>(value | 128));
    value >>= 7;
    p++;
  }
  store<u8>(p, <u8>value);
  return p + 1;
}

function codeOf(bits: u64): u32 {
  if (bits == STALE) return CODE_STALE;
  if (bits == NORMAL_NAN) return CODE_NAN;
  if (bits == POSITIVE_INFINITY) return CODE_POSITIVE_INFINITY;
  if (bits == NEGATIVE_INFINITY) return CODE_NEGATIVE_INFINITY;
  return bits == NEGATIVE_ZERO ? CODE_NEGATIVE_ZERO : CODE_BITS;
}

/** Writes the exceptions as runs of equal values. Returns the end. */
export function writeExceptions(p: usize, values: usize, count: u32): usize {
  const residuals = word(RESIDUALS);
  let runs: u32 = 0;
  for (let i = nextException(residuals, 0, count); i < count; runs++) {
    i = nextException(residuals, endOfRun(residuals, values, i, count), count);
  }
  p = writeUvarint(p, runs);
  let end: u32 = 0;
  while (runs-- > 0) {
    const i = nextException(residuals, end, count);
    p = writeUvarint(p, i - end);
    end = endOfRun(residuals, values, i, count);
    p = writeUvarint(p, end - i - 1);
    const bits = load<u64>(values + (<usize>i << 3));
    const code = codeOf(bits);
    store<u8>(p, <u8>code);
    p++;
    if (code == CODE_BITS) {
      store<u64>(p, bits);
      p += 8;
    }
  }
  return p;
}

function nextException(residuals: usize, i: u32, count: u32): u32 {
  while (i < count && load<i32>(residuals + (<usize>i << 2)) != EXCEPTION) i++;
  return i;
}

function endOfRun(residuals: usize, values: usize, i: u32, count: u32): u32 {
  const bits = load<u64>(values + (<usize>i << 3));
  let end = i + 1;
  while (
    end < count && load<i32>(residuals + (<usize>end << 2)) == EXCEPTION && load<u64>(values + (<usize>end << 3)) == bits
  ) end++;
  return end;
}

// @ts-ignore: decorator
@inline
function symbolEntry(table: u32, symbol: u32): usize {
  return word(ENCODE_SYMBOLS) + <usize>(table * SYMBOLS + symbol) * E_BYTES;
}

/** Turns classes into the symbols that will be written: those without a symbol in their table into escapes. */
function takeSymbols(count: u32, shift: u32, tableZero: u32, tableOther: u32): void {
  const symbols = word(CLASSES);
  let table = tableZero;
  for (let i: u32 = 0; i < count; i++) {
    const c: u32 = load<u8>(symbols + i);
    let s = c > shift ? c - shift : 0;
    if (s > ESCAPE || load<u32>(symbolEntry(table, s), E_BITS) == NO_SYMBOL) s = ESCAPE;
    store<u8>(symbols + i, <u8>s);
    table = s == 0 ? tableZero : tableOther;
  }
}

/** Writes `count` differences whose classes are known. Returns the end. */
export function writeStream(p: usize, count: u32, shift: u32, tableZero: u32, tableOther: u32): usize {
  takeSymbols(count, shift, tableZero, tableOther);
  return writeRaw(p, writeStates(p, count, tableZero, tableOther), count, shift);
}

/** The first state and what each value adds to it. Returns how many bits. */
function writeStates(p: usize, count: u32, tableZero: u32, tableOther: u32): u32 {
  const symbols = word(CLASSES);
  const end = word(STREAM_END);
  let at = end;
  let bits: u64 = 0;
  let filled: u32 = 0;
  let state = STATES;
  const otherEntries = symbolEntry(tableOther, 0);
  const toZeroEntries = symbolEntry(tableZero, 0) - otherEntries;
  const otherStates = word(ENCODE_STATES) + <usize>(tableOther * STATES * 2);
  const toZeroStates = word(ENCODE_STATES) + <usize>(tableZero * STATES * 2) - otherStates;
  for (let i = <i32>count - 1; i >= 0; i--) {
    const symbol: u32 = load<u8>(symbols + i);
    // A mask instead of a condition: a jump would be hard to foresee.
    const zero = i == 0 ? usize.MAX_VALUE : <usize>(<i32>(<u32>load<u8>(symbols + i - 1) - 1) >> 31);
    const entry = otherEntries + (zero & toZeroEntries) + <usize>symbol * E_BYTES;
    const n = load<u32>(entry, E_BITS) - <u32>(state < load<u32>(entry, E_THRESHOLD));
    bits = (bits << n) | <u64>(state & ((1 << n) - 1));
    filled += n;
    const number = (state >> n) + load<i32>(entry, E_OFFSET);
    state = load<u16>(otherStates + (zero & toZeroStates) + (<usize>number << 1));
    if (filled >= 32) {
      filled -= 32;
      at -= 4;
      store<u32>(at, <u32>(bits >> filled));
      bits &= (1 << filled) - 1;
    }
  }
  bits = (bits << STATE_BITS) | <u64>(state - STATES);
  filled += STATE_BITS;
  // Whole bytes, unused bits below the first one; then moved so that the stream begins with a byte.
  const unused = (8 - (filled & 7)) & 7;
  bits <<= unused;
  for (filled += unused; filled != 0; ) {
    filled -= 8;
    at--;
    store<u8>(at, <u8>(bits >> filled));
  }
  const total = <u32>((end - at) << 3) - unused;
  for (let i: usize = 0; i < end - at; i += 4) store<u32>(p + i, <u32>(load<u64>(at + i) >> unused));
  return total;
}

/** Writes from bit `at` on the bits below each class's highest one, from the first value to the last. Returns the end. */
function writeRaw(p: usize, at: u32, count: u32, shift: u32): usize {
  const differences = word(DIFFERENCES);
  const symbols = word(CLASSES);
  p += at >> 3;
  let filled = at & 7;
  let bits = <u64>load<u8>(p) & ((1 << filled) - 1);
  store<u64>(p, bits);
  for (let i: u32 = 0; i < count; i++) {
    const z = load<u64>(differences + (<usize>i << 3));
    const length: u32 = 64 - <u32>clz(z);
    const s: u32 = length > shift ? length - shift : 0;
    if (load<u8>(symbols + i) == ESCAPE) {
      bits |= <u64>s << filled;
      filled += 6;
      store<u64>(p, bits);
      p += filled >> 3;
      bits >>= filled & 56;
      filled &= 7;
    }
    let n = shift + (s > 1 ? s - 1 : 0);
    let rest = z & ((<u64>1 << n) - 1);
    if (n > 48) {
      bits |= (rest & 0xffffffff) << filled;
      store<u64>(p, bits);
      p += 4;
      bits >>= 32;
      rest >>= 32;
      n -= 32;
    }
    bits |= rest << filled;
    filled += n;
    store<u64>(p, bits);
    p += filled >> 3;
    bits >>= filled & 56;
    filled &= 7;
  }
  return p + (filled != 0 ? 1 : 0);
}
