// libs/kernel/assembly/lib/column-read.ts: reads what lib/column-write.ts wrote. Nothing is believed: positions are checked before
// every load, and loads may pass the payload's end by 16 bytes, which lie in the guard behind it.
import {
  CLASSES, DECODE_TABLES, DIFFERENCES, ESCAPE, INTEGERS, NEGATIVE_INFINITY, NEGATIVE_ZERO, NORMAL_NAN,
  POSITIVE_INFINITY, PREDICT_DELTA, PREDICT_FLOOR, PREDICT_LINE, PREDICT_MEDIAN, STALE, STATE_BITS, STATES, word,
} from "./column-layout";
import { median3 } from "./column-choose";
import { powerOf, referenceInteger } from "./column-integers";
import { entryBits, entryNext, entrySymbol } from "./column-tables";
import {
  CODE_BITS, CODE_NAN, CODE_NEGATIVE_INFINITY, CODE_NEGATIVE_ZERO, CODE_POSITIVE_INFINITY, CODE_STALE,
} from "./column-write";

let cursor: usize = 0;

/** Reads a number of up to 32 bits at the cursor. Returns -1 when it is longer, or passes the end. */
function readUvarint(end: usize): i64 {
  let value: u64 = 0;
  for (let shift: u32 = 0; shift < 35; shift += 7) {
    if (cursor >= end) return -1;
    const byte = <u64>load<u8>(cursor++);
    value |= (byte & 127) << shift;
    if (byte < 128) return value <= 0xffffffff ? <i64>value : -1;
  }
  return -1;
}

/**
 * Reads the exceptions at p; with `out` it writes them there. Returns their end, 0 when they are malformed: a run beyond the column,
 * a code that is none.
 */
export function readExceptions(p: usize, end: usize, count: u32, out: usize): usize {
  cursor = p;
  let runs = readUvarint(end);
  let i: u64 = 0;
  if (runs < 0) return 0;
  for (; runs > 0; runs--) {
    const gap = readUvarint(end);
    const more = readUvarint(end);
    if (gap < 0 || more < 0 || cursor >= end) return 0;
    const from = i + <u64>gap;
    i = from + <u64>more + 1;
    if (i > <u64>count) return 0;
    const code: u32 = load<u8>(cursor++);
    if (code > CODE_BITS) return 0;
    let bits = bitsOf(code);
    if (code == CODE_BITS) {
      if (end - cursor < 8) return 0;
      bits = load<u64>(cursor);
      cursor += 8;
    }
    if (out != 0) for (let j = from; j < i; j++) store<u64>(out + (<usize>j << 3), bits);
  }
  return cursor;
}

function bitsOf(code: u32): u64 {
  if (code == CODE_STALE) return STALE;
  if (code == CODE_NAN) return NORMAL_NAN;
  if (code == CODE_POSITIVE_INFINITY) return POSITIVE_INFINITY;
  return code == CODE_NEGATIVE_INFINITY ? NEGATIVE_INFINITY : NEGATIVE_ZERO;
}

/** Reads `count` differences to DIFFERENCES. Returns the end of the stream, 0 when it is damaged. */
export function readStream(
  p: usize, end: usize, count: u32, shift: u32, tableZero: u32, tableOther: u32,
): usize {
  const last = <u64>(end - p) << 3;
  if (!readStates(p, last, count, tableZero, tableOther) || !readRaw(p, last, count, shift)) return 0;
  return p + <usize>((bitCursor + 7) >> 3);
}

/** Symbols that one load of 64 bits is enough for: up to ten bits each, and up to seven before the first. */
const BURST: u32 = 5;

/**
 * Symbols to CLASSES, and the bit position behind the last one to bitCursor. The last state must be the one that encoding began with.
 * Returns false when the stream is damaged.
 */
function readStates(p: usize, last: u64, count: u32, tableZero: u32, tableOther: u32): bool {
  const symbols = word(CLASSES);
  const zero = word(DECODE_TABLES) + <usize>(tableZero * STATES * 4);
  const other = word(DECODE_TABLES) + <usize>(tableOther * STATES * 4);
  const toZero = zero - other;
  let state = load<u32>(p) & (STATES - 1);
  let at: u64 = STATE_BITS;
  let table = zero;
  let i: u32 = 0;
  while (i < count) {
    // Up to here all bits were there: what is read now may be the guard's, and is refused by the next check.
    if (at > last) return false;
    let bits = bitsAt(p, at);
    const end = min(i + BURST, count);
    for (; i < end; i++) {
      const entry = load<u32>(table + (<usize>state << 2));
      const symbol = entrySymbol(entry);
      store<u8>(symbols + i, <u8>symbol);
      state = entryNext(entry, <u32>bits);
      const n = <u64>entryBits(entry);
      bits >>= n;
      at += n;
      // Not a condition: it would be a jump that is hard to foresee.
      table = other + (<usize>(<i32>(symbol - 1) >> 31) & toZero);
    }
  }
  bitCursor = at;
  return at <= last && state == 0;
}

let bitCursor: u64 = 0;

// @ts-ignore: decorator
@inline
function bitsAt(p: usize, at: u64): u64 {
  return load<u64>(p + <usize>(at >> 3)) >> (at & 7);
}

/** The bits below each class's highest one, from bitCursor on; the differences to DIFFERENCES. Moves bitCursor. */
function readRaw(p: usize, last: u64, count: u32, shift: u32): bool {
  const symbols = word(CLASSES);
  let out = word(DIFFERENCES);
  let at = bitCursor;
  for (let i: u32 = 0; i < count; i++, out += 8) {
    let s: u64 = load<u8>(symbols + i);
    if (at > last) return false;
    if (s == ESCAPE) {
      s = bitsAt(p, at) & 63;
      at += 6;
      if (at > last) return false;
    }
    const top = <u64>(s != 0);
    const n = <u64>shift + s - top;
    if (n > 56) {
      if (n > 63 || at + n > last) return false;
      const low = bitsAt(p, at) & 0xffffffff;
      const high = bitsAt(p, at + 32) & ((<u64>1 << (n - 32)) - 1);
      store<u64>(out, low | (high << 32) | (top << n));
    } else {
      // The bits with a 1 above them, or without.
      store<u64>(out, (bitsAt(p, at) & ((<u64>1 << n) - 1)) | (top << n));
    }
    at += n;
  }
  bitCursor = at;
  return at <= last;
}

// @ts-ignore: decorator
@inline
function unzigzag(z: u64): i64 {
  return <i64>(z >> 1) ^ -<i64>(z & 1);
}

/** Turns DIFFERENCES into INTEGERS: base + gcd × multiples, all modulo 2^64. */
export function giveIntegers(count: u32, p: u32, base: i64, divisor: u64, step: i64, bias: i64): void {
  let z = word(DIFFERENCES);
  let out = word(INTEGERS);
  const g = <i64>divisor;
  store<i64>(out, base);
  const end = out + (<usize>count << 3);
  out += 8;
  let integer = base;
  if (p == PREDICT_DELTA) {
    for (; out < end; out += 8, z += 8) {
      integer += unzigzag(load<u64>(z)) * g;
      store<i64>(out, integer);
    }
  } else if (p == PREDICT_FLOOR) {
    for (; out < end; out += 8, z += 8) {
      integer += (<i64>load<u64>(z) + step) * g;
      store<i64>(out, integer);
    }
  } else if (p == PREDICT_LINE) {
    let along = bias;
    for (; out < end; out += 8, z += 8) {
      along += step;
      store<i64>(out, base + (unzigzag(load<u64>(z)) + along) * g);
    }
  } else if (p == PREDICT_MEDIAN) {
    let d1: i64 = 0;
    let d2: i64 = 0;
    let d3: i64 = 0;
    for (; out < end; out += 8, z += 8) {
      const d = unzigzag(load<u64>(z)) + median3(d1, d2, d3);
      integer += d * g;
      store<i64>(out, integer);
      d3 = d2;
      d2 = d1;
      d1 = d;
    }
  } else {
    let d: i64 = 0;
    for (; out < end; out += 8, z += 8) {
      d += unzigzag(load<u64>(z));
      integer += d * g;
      store<i64>(out, integer);
    }
  }
}

/** INTEGERS of a linear column. */
export function giveLine(count: u32, base: i64, step: i64): void {
  let out = word(INTEGERS);
  const end = out + (<usize>count << 3);
  for (; out < end; out += 8, base += step) store<i64>(out, base);
}

/** Adds the integers of a reference column. */
export function addReference(count: u32, reference: usize, exponent: u32): void {
  const integers = word(INTEGERS);
  const power = powerOf(exponent);
  let other: i64 = 0;
  for (let i: usize = 0; i < <usize>count << 3; i += 8) {
    other = referenceInteger(load<f64>(reference + i), power, other);
    store<i64>(integers + i, load<i64>(integers + i) + other);
  }
}
