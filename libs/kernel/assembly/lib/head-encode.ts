// libs/kernel/assembly/lib/head-encode.ts: turns an open buffer of up to 16 values into a frame of the series' growing
// chunk,
// and seals chunks. The frames are described in libs/chunk/FORMAT.md. Called once per 16 appended samples.
// Every function returns false, with the samples still where they were, when the arena is full.
import { classBytes, classOf, freeSlot, takeSealed, takeSlot } from "./head-arena";
import {
  addTotal, CHUNK_BASE_VALUE, CHUNK_BYTES, CHUNK_CLASS, CHUNK_CONSTANT, CHUNK_COUNT, CHUNK_FIRST, CHUNK_FLAGS,
  CHUNK_GROUP, CHUNK_HEADER, CHUNK_HOLES, CHUNK_NAN, CHUNK_ORDINALS, CHUNK_ORDINALS_CONSTANT, CHUNK_PREVIOUS,
  CHUNK_STALE, copyOpen, EXPONENT_MAX, EXPONENT_NONE, FRAME_BASE, FRAME_DECIMAL, FRAME_DENSE, FRAME_HAS_HOLES,
  FRAME_HAS_STALE, FRAME_RUN, FRAME_SAME, FRAME_SAMPLES, FRAME_XOR, H_GROUP, HOLE, hotOf, LEAVING, S_CHUNK,
  S_EXPONENT, S_FLAGS, S_LAST, S_SEALED, S_STRIKES, SERIES_NAN, SERIES_RUN, SERIES_SPECIAL, STALE, T_GROWING_BYTES,
  T_HOLES, T_SEALED_BYTES, T_SEALED_CHUNKS, T_SEALED_SAMPLES, word,
} from "./head-layout";

/** Holes in a frame of 16 that count as a strike: about every other ordinal is someone else's. */
const STRIKE_HOLES: i32 = 7;
/** Where the 16 differences are, behind the 16 values of the frame's scratch. */
const DIFFERENCES: usize = 128;
/** Room behind a payload that is written in words of 8 bytes. */
const WRITE_SLACK: u32 = 8;

let holes: u32 = 0;
let stales: u32 = 0;

/** Appends the n values of the open buffer at `cell`, ordinals from `first` on, to the growing chunk of a series. */
export function sealFrame(series: usize, cell: usize, n: u32, first: u32): bool {
  const flags: u32 = load<u8>(series, S_FLAGS);
  let chunk: usize = load<u32>(series, S_CHUNK);
  const values: usize = word(FRAME_BASE);
  copyOpen(values, cell, n);
  holes = 0;
  stales = 0;
  if ((flags & SERIES_SPECIAL) != 0) splitSpecials(values, n, chunk != 0 ? load<u64>(series, S_LAST) : 0);
  if (n < FRAME_SAMPLES) padFrame(values, n);
  let last = chunk != 0 ? load<u64>(series, S_LAST) : load<u64>(values);
  let same = allEqual(values, last);
  const masks = holes | stales;
  if (chunk != 0) {
    const count: u32 = load<u16>(chunk, CHUNK_COUNT);
    if (count >= CHUNK_ORDINALS && !(same && masks == 0 && count + n <= CHUNK_ORDINALS_CONSTANT)) {
      if (!sealChunk(series)) return false;
      chunk = 0;
      last = load<u64>(values);
      same = allEqual(values, last);
    }
  }
  if (same) {
    if (!addSame(series, last, n, first)) return false;
  } else if (!addVarying(series, values, last, n, first)) return false;
  finishFrame(series, load<u64>(values + (<usize>(n - 1) << 3)), n, flags);
  return true;
}

/** Notes what the frame brought to the chunk's flags, and seals the chunk when it is full. */
function finishFrame(series: usize, last: u64, n: u32, flags: u32): void {
  const chunk: usize = load<u32>(series, S_CHUNK);
  let chunkFlags = load<u8>(chunk, CHUNK_FLAGS);
  if (holes != 0) chunkFlags |= CHUNK_HOLES;
  if (stales != 0) chunkFlags |= CHUNK_STALE;
  if ((flags & SERIES_NAN) != 0) chunkFlags |= CHUNK_NAN;
  store<u8>(chunk, chunkFlags, CHUNK_FLAGS);
  store<u64>(series, last, S_LAST);
  store<u8>(series, load<u8>(series, S_FLAGS) & ~(SERIES_SPECIAL | SERIES_NAN), S_FLAGS);
  const missing = popcnt<i32>(<i32>holes);
  if (missing != 0) addTotal(T_HOLES, missing);
  if (n == 16) strike(series, missing >= STRIKE_HOLES);
  const count: u32 = load<u16>(chunk, CHUNK_COUNT) + n;
  store<u16>(chunk, <u16>count, CHUNK_COUNT);
  // A chunk that can't be sealed now is sealed before its next frame.
  if (count >= CHUNK_ORDINALS && (chunkFlags & CHUNK_CONSTANT) == 0) sealChunk(series);
}

/** Counts frames in a row that were mostly someone else's times; two make the series leave its group. */
export function strike(series: usize, bad: bool): void {
  if (!bad) {
    store<u8>(series, 0, S_STRIKES);
    return;
  }
  const strikes = load<u8>(series, S_STRIKES) + 1;
  store<u8>(series, strikes, S_STRIKES);
  if (strikes >= 2) {
    const hot = hotOf(series);
    store<u32>(hot, load<u32>(hot, H_GROUP) | LEAVING, H_GROUP);
  }
}

/** Replaces the holes and stale markers of a frame by the value before them, and fills the masks. */
function splitSpecials(values: usize, n: u32, previous: u64): void {
  if (previous == 0) {
    // A chunk begins with its first real value, so that what precedes it costs nothing.
    for (let i: u32 = 0; i < n; i++) {
      const v = load<u64>(values + (<usize>i << 3));
      if (v != HOLE && v != STALE) {
        previous = v;
        break;
      }
    }
  }
  for (let i: u32 = 0; i < n; i++) {
    const v = load<u64>(values + (<usize>i << 3));
    if (v == HOLE) holes |= 1 << i;
    else if (v == STALE) stales |= 1 << i;
    else previous = v;
    store<u64>(values + (<usize>i << 3), previous);
  }
}

/** Repeats the last value of a short frame: analysis always sees 16 values. */
function padFrame(values: usize, n: u32): void {
  const last = load<u64>(values + (<usize>(n - 1) << 3));
  for (let i = n; i < FRAME_SAMPLES; i++) store<u64>(values + (<usize>i << 3), last);
}

function allEqual(values: usize, last: u64): bool {
  const want = i64x2.splat(last);
  let diff = v128.xor(v128.load(values), want);
  if (v128.any_true(diff)) return false;
  for (let i: usize = 16; i < 128; i += 16) diff = v128.or(diff, v128.xor(v128.load(values + i), want));
  return !v128.any_true(diff);
}

/** A run of the last value, or with masks a frame of it. */
function addSame(series: usize, last: u64, n: u32, first: u32): bool {
  if ((holes | stales) != 0) {
    const size = 1 + maskBytes();
    const p = roomFor(series, size, 0, last, first);
    if (p == 0) return false;
    writeHead(p, FRAME_SAME);
    notConstant(series);
    return true;
  }
  const chunk: usize = load<u32>(series, S_CHUNK);
  if (chunk != 0 && (load<u8>(series, S_FLAGS) & SERIES_RUN) != 0) {
    const end = chunk + load<u16>(chunk, CHUNK_BYTES);
    const run: u32 = load<u8>(end - 1) + n;
    if (run <= 255) {
      store<u8>(end - 1, <u8>run);
      return true;
    }
  }
  const p = roomFor(series, 2, 0, last, first);
  if (p == 0) return false;
  store<u8>(p, FRAME_RUN);
  store<u8>(p + 1, <u8>n);
  store<u8>(series, load<u8>(series, S_FLAGS) | SERIES_RUN, S_FLAGS);
  return true;
}

// @ts-ignore: decorator
@inline
function maskBytes(): u32 {
  return (holes != 0 ? 2 : 0) + (stales != 0 ? 2 : 0);
}

/** Writes a frame's first byte and its masks; returns where the rest goes. */
function writeHead(p: usize, kind: u32): usize {
  store<u8>(p, <u8>(kind | (holes != 0 ? FRAME_HAS_HOLES : 0) | (stales != 0 ? FRAME_HAS_STALE : 0)));
  p += 1;
  if (holes != 0) {
    store<u16>(p, <u16>holes);
    p += 2;
  }
  if (stales != 0) {
    store<u16>(p, <u16>stales);
    p += 2;
  }
  return p;
}

function notConstant(series: usize): void {
  const chunk: usize = load<u32>(series, S_CHUNK);
  store<u8>(chunk, load<u8>(chunk, CHUNK_FLAGS) & ~CHUNK_CONSTANT, CHUNK_FLAGS);
  store<u8>(series, load<u8>(series, S_FLAGS) & ~SERIES_RUN, S_FLAGS);
}

// What analyseDecimal and analyseXor found.
let lowest: i64 = 0;
let width: u32 = 0;
let exponent: u32 = 0;
let decimalBase: u64 = 0;
let differing: u64 = 0;
let changed: u32 = 0;

/** The bits in which neighbours differ, and which values differ from the one before. */
function analyseXor(values: usize, last: u64): void {
  let previous = i64x2.splat(last);
  let any = i64x2.splat(0);
  changed = 0;
  for (let i: u32 = 0; i < 16; i += 2) {
    const pair = v128.load(values + (<usize>i << 3));
    const x = v128.xor(pair, v128.shuffle<u64>(previous, pair, 1, 2));
    previous = pair;
    any = v128.or(any, x);
    changed |= <u32>(i64x2.bitmask(i64x2.eq(x, i64x2.splat(0))) ^ 3) << i;
  }
  differing = i64x2.extract_lane(any, 0) | i64x2.extract_lane(any, 1);
}

/** A frame of values that are not all equal, as XORs or as decimal differences, whichever is shorter. */
function addVarying(series: usize, values: usize, last: u64, n: u32, first: u32): bool {
  analyseXor(values, last);
  const shift = <u32>ctz(differing);
  const length = 64 - <u32>clz(differing) - shift;
  // Beyond 56 bits a value may cross nine bytes; whole words are simpler.
  const whole = length > 56;
  const bits = whole ? 64 : length;
  const sparse: u32 = 2 + ((popcnt<u32>(changed) * bits + 7) >> 3);
  const dense = (n * bits + 7) >> 3;
  const xorBytes = 3 + min(sparse, dense);
  if (analyseDecimal(series, values, last)) {
    const decimalBytes = 2 + (1 << lowestCode()) + ((n * width + 7) >> 3);
    if (decimalBytes <= xorBytes) {
      const p = roomFor(series, decimalBytes + maskBytes(), WRITE_SLACK, decimalBase, first);
      if (p == 0) return false;
      writeDecimal(p, n);
      notConstant(series);
      return true;
    }
  }
  const p = roomFor(series, xorBytes + maskBytes(), WRITE_SLACK, last, first);
  if (p == 0) return false;
  writeXor(p, values, last, n, whole ? 0 : shift, bits, dense <= sparse);
  notConstant(series);
  return true;
}

/** Bytes of `lowest` as a power of two: 0 → 1, 1 → 2, 2 → 4, 3 → 8. */
function lowestCode(): u32 {
  if (lowest == <i64>(<i8>lowest)) return 0;
  if (lowest == <i64>(<i16>lowest)) return 1;
  return lowest == <i64>(<i32>lowest) ? 2 : 3;
}

function writeXor(p: usize, values: usize, last: u64, n: u32, shift: u32, bits: u32, dense: bool): void {
  const head = p;
  p = writeHead(p, FRAME_XOR);
  if (dense) store<u8>(head, load<u8>(head) | <u8>FRAME_DENSE);
  store<u8>(p, <u8>shift);
  store<u8>(p + 1, <u8>bits);
  p += 2;
  let which: u32 = 0xffff;
  if (!dense) {
    which = changed;
    store<u16>(p, <u16>changed);
    p += 2;
  }
  let word: u64 = 0;
  let filled: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const v = load<u64>(values + (<usize>i << 3));
    const x = v ^ last;
    last = v;
    if (((which >> i) & 1) == 0) continue;
    if (bits == 64) {
      store<u64>(p, x);
      p += 8;
      continue;
    }
    word |= (x >> shift) << filled;
    store<u64>(p, word);
    filled += bits;
    p += filled >> 3;
    word >>= filled & 56;
    filled &= 7;
  }
}

/** Writes the differences that analyseDecimal left in scratch. */
function writeDecimal(p: usize, n: u32): void {
  const head = p;
  p = writeHead(p, FRAME_DECIMAL);
  store<u8>(head, load<u8>(head) | <u8>(exponent << 4));
  const code = lowestCode();
  store<u8>(p, <u8>(width | (code << 6)));
  p += 1;
  if (code == 0) store<i8>(p, <i8>lowest);
  else if (code == 1) store<i16>(p, <i16>lowest);
  else if (code == 2) store<i32>(p, <i32>lowest);
  else store<i64>(p, lowest);
  p += 1 << code;
  const differences = <usize>word(FRAME_BASE) + DIFFERENCES;
  const base = lowest;
  const size = width;
  let bits: u64 = 0;
  let filled: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    bits |= <u64>(load<i64>(differences + (<usize>i << 3)) - base) << filled;
    store<u64>(p, bits);
    filled += size;
    p += filled >> 3;
    bits >>= filled & 56;
    filled &= 7;
  }
}

/** 10^e, exact for e ≤ 22. */
export function powerOfTen(e: u32): f64 {
  let power: f64 = 1;
  for (let i: u32 = 0; i < e; i++) power *= 10;
  return power;
}

// Adding 1.5 × 2^52 rounds a small f64 to an integer and leaves it in the low bits.
const MAGIC: f64 = 6755399441055744;
const INTEGER_MAX: f64 = 2251799813685248;

/** The integer that value × scale rounds to, of values that isExact accepted. */
// @ts-ignore: decorator
@inline
export function integerOf(value: f64, scale: f64): i64 {
  return reinterpret<i64>(value * scale + MAGIC) - reinterpret<i64>(MAGIC);
}

/** Whether integer ÷ scale gives back exactly the bits of value, for integers up to 2^51. */
function isExact(value: f64, scale: f64): bool {
  const integer = value * scale + MAGIC - MAGIC;
  return abs(integer) <= INTEGER_MAX && reinterpret<u64>(integer / scale) == reinterpret<u64>(value);
}

/**
 * Whether all 16 values and the last one are integers ÷ 10^e for one e ≤ 12 (Clinger: one division of exact numbers is
 * correctly rounded, so decimals of up to 15 digits come back bit for bit), with differences of at most 56 bits, which
 * are left in scratch.
 */
function analyseDecimal(series: usize, values: usize, last: u64): bool {
  let e: u32 = load<u8>(series, S_EXPONENT);
  if (e > EXPONENT_MAX) return false;
  while (!takeDifferences(values, reinterpret<f64>(last), powerOfTen(e))) {
    const offender = findOffender(values, reinterpret<f64>(last), powerOfTen(e));
    do e++;
    while (e <= EXPONENT_MAX && !isExact(offender, powerOfTen(e)));
    if (e > EXPONENT_MAX) {
      // Not tried again before the next chunk.
      store<u8>(series, <u8>EXPONENT_NONE, S_EXPONENT);
      return false;
    }
  }
  store<u8>(series, <u8>e, S_EXPONENT);
  exponent = e;
  const differences = <usize>word(FRAME_BASE) + DIFFERENCES;
  let low = load<i64>(differences, 8);
  let high = low;
  for (let i: usize = 16; i < 128; i += 8) {
    const d = load<i64>(differences + i);
    low = min(low, d);
    high = max(high, d);
  }
  decimalBase = last;
  let begin = load<i64>(differences);
  if (load<u32>(series, S_CHUNK) == 0) begin = freeBase(reinterpret<f64>(last), powerOfTen(e), low, high);
  store<i64>(differences, begin);
  low = min(low, begin);
  high = max(high, begin);
  lowest = low;
  width = 64 - <u32>clz(high - low);
  return width <= 56;
}

/**
 * A new chunk may choose its base. One below the first value by what the others differ lets a slope start as it goes
 * on;
 * returns the first difference that follows.
 */
function freeBase(value: f64, scale: f64, low: i64, high: i64): i64 {
  const difference: i64 = low > 0 ? low : high < 0 ? high : 0;
  if (difference == 0) return 0;
  const base = <f64>(integerOf(value, scale) - difference) / scale;
  if (!isExact(base, scale) || integerOf(base, scale) != integerOf(value, scale) - difference) return 0;
  decimalBase = reinterpret<u64>(base);
  return difference;
}

/** Writes the differences of the integers to scratch. Returns false when a value is no such integer ÷ scale. */
function takeDifferences(values: usize, last: f64, scale: f64): bool {
  if (!isExact(last, scale)) return false;
  const out = <usize>word(FRAME_BASE) + DIFFERENCES;
  const scales = f64x2.splat(scale);
  const magic = f64x2.splat(MAGIC);
  const limit = f64x2.splat(INTEGER_MAX);
  let ok = i64x2.splat(-1);
  let previous = f64x2.splat(last * scale + MAGIC);
  for (let i: usize = 0; i < 128; i += 16) {
    const pair = v128.load(values + i);
    const shifted = f64x2.add(f64x2.mul(pair, scales), magic);
    const integers = f64x2.sub(shifted, magic);
    ok = v128.and(ok, i64x2.eq(f64x2.div(integers, scales), pair));
    ok = v128.and(ok, f64x2.le(f64x2.abs(integers), limit));
    v128.store(out + i, i64x2.sub(shifted, v128.shuffle<u64>(previous, shifted, 1, 2)));
    previous = shifted;
  }
  return i64x2.all_true(ok);
}

function findOffender(values: usize, last: f64, scale: f64): f64 {
  if (!isExact(last, scale)) return last;
  let i: usize = 0;
  while (isExact(load<f64>(values + i), scale)) i += 8;
  return load<f64>(values + i);
}

/**
 * Where `size` bytes at the end of the growing chunk go, counted in already; the chunk is made or moved to a bigger
 * slot
 * when need be. 0 when the arena is full.
 */
function roomFor(series: usize, size: u32, slack: u32, base: u64, first: u32): usize {
  const chunk: usize = load<u32>(series, S_CHUNK);
  const old: u32 = chunk == 0 ? 0 : load<u8>(chunk, CHUNK_CLASS);
  const used: u32 = chunk == 0 ? CHUNK_HEADER : load<u16>(chunk, CHUNK_BYTES);
  let slot = chunk;
  if (chunk == 0 || used + size + slack > classBytes(old)) {
    const c = classOf(used + size + slack);
    slot = takeSlot(c);
    if (slot == 0) return 0;
    addTotal(T_GROWING_BYTES, classBytes(c));
    if (chunk != 0) {
      memory.copy(slot, chunk, used);
      freeSlot(chunk, old);
      addTotal(T_GROWING_BYTES, -(<f64>classBytes(old)));
    } else {
      store<u32>(slot, load<u32>(series, S_SEALED), CHUNK_PREVIOUS);
      store<u32>(slot, load<u32>(hotOf(series), H_GROUP) & ~LEAVING, CHUNK_GROUP);
      store<u32>(slot, first, CHUNK_FIRST);
      store<u16>(slot, 0, CHUNK_COUNT);
      store<u8>(slot, CHUNK_CONSTANT, CHUNK_FLAGS);
      store<u64>(slot, base, CHUNK_BASE_VALUE);
      store<u8>(series, load<u8>(series, S_FLAGS) & ~SERIES_RUN, S_FLAGS);
      if (load<u8>(series, S_EXPONENT) == EXPONENT_NONE) store<u8>(series, 0, S_EXPONENT);
    }
    store<u32>(series, <u32>slot, S_CHUNK);
    store<u8>(slot, <u8>c, CHUNK_CLASS);
  }
  store<u16>(slot, <u16>(used + size), CHUNK_BYTES);
  return slot + used;
}

/** Copies the growing chunk to its final place and gives its slot back. */
export function sealChunk(series: usize): bool {
  const chunk: usize = load<u32>(series, S_CHUNK);
  if (chunk == 0) return true;
  const bytes: u32 = load<u16>(chunk, CHUNK_BYTES);
  const sealed = takeSealed(bytes);
  if (sealed == 0) return false;
  memory.copy(sealed, chunk, bytes);
  const c: u32 = load<u8>(chunk, CHUNK_CLASS);
  freeSlot(chunk, c);
  addTotal(T_GROWING_BYTES, -(<f64>classBytes(c)));
  addTotal(T_SEALED_BYTES, bytes);
  addTotal(T_SEALED_SAMPLES, load<u16>(sealed, CHUNK_COUNT));
  addTotal(T_SEALED_CHUNKS, 1);
  store<u32>(series, <u32>sealed, S_SEALED);
  store<u32>(series, 0, S_CHUNK);
  return true;
}
