// libs/kernel/assembly/lib/decode.ts: from chunks and open buffers back to columns of values.
// HOT: bench test/bench/decode.bench.ts, twin libs/chunk/decode.ts. Frames are described in libs/chunk/FORMAT.md.
// Chunks are this kernel's own work, so decoding trusts them; every output is bounded by what the caller asked for.
import {
  CHUNK_BASE, CHUNK_BASE_VALUE, CHUNK_CONSTANT, CHUNK_COUNT, CHUNK_FIRST, CHUNK_FLAGS, CHUNK_GROUP, CHUNK_HEADER,
  CHUNK_HOLES, CHUNK_NAN, CHUNK_PREVIOUS, CHUNK_STALE, CONTROL, copyOpen, FRAME_DENSE, FRAME_HAS_HOLES,
  FRAME_HAS_STALE, FRAME_RUN, FRAME_SAME, FRAME_XOR, G_COUNT, groupAt, H_CURSOR, H_GROUP, H_NEXT, HOLE, hotOf,
  LEAVING, NONE, OPEN_ROW, OPEN_ROWS, openCount, R_COUNT, R_RESUME, READ_HOLES, READ_MORE, READ_NAN, READ_STALE,
  S_CHUNK, S_FIRST_TIME, S_FLAGS, S_SEALED, SERIES_NAN, SERIES_SPECIAL, setWord, STACK_BASE, STACK_ENTRIES, STALE,
  word,
} from "./head-layout";
import { integerOf, powerOfTen } from "./head-encode";
import { firstAtOrAfter, ordinalOf, readTimes, timeOf } from "./head-times";

/** Writes `n` times the value with these bits; may write one more. */
// @ts-ignore: decorator
@inline
function fill(out: usize, bits: u64, n: u32): void {
  const pair = i64x2.splat(bits);
  const end = out + (<usize>n << 3);
  for (; out < end; out += 16) v128.store(out, pair);
}

/**
 * Decodes the first `to` values of a chunk, rounded up to whole frames, to out. Writes up to CHUNK_ORDINALS values and
 * one more; a constant chunk that is longer is the caller's (fillConstant).
 */
export function decodeChunk(chunk: usize, to: u32, out: usize): void {
  const count: u32 = load<u16>(chunk, CHUNK_COUNT);
  let p = chunk + CHUNK_HEADER;
  let last = load<u64>(chunk, CHUNK_BASE_VALUE);
  let done: u32 = 0;
  while (done < to) {
    const head: u32 = load<u8>(p);
    const kind = head & 3;
    if (kind == FRAME_RUN) {
      const n: u32 = load<u8>(p, 1);
      fill(out, last, n);
      p += 2;
      out += <usize>n << 3;
      done += n;
      continue;
    }
    const n = min(<u32>16, count - done);
    let holes: u32 = 0;
    let stales: u32 = 0;
    p += 1;
    if ((head & (FRAME_HAS_HOLES | FRAME_HAS_STALE)) != 0) {
      if ((head & FRAME_HAS_HOLES) != 0) {
        holes = load<u16>(p);
        p += 2;
      }
      if ((head & FRAME_HAS_STALE) != 0) {
        stales = load<u16>(p);
        p += 2;
      }
    }
    if (kind == FRAME_XOR) {
      const shift: u64 = load<u8>(p);
      const bits: u32 = load<u8>(p, 1);
      p += 2;
      if ((head & FRAME_DENSE) != 0) last = decodeDense(p, last, n, shift, bits, out);
      else {
        const changed: u32 = load<u16>(p);
        p += 2;
        last = decodeSparse(p, last, n, shift, bits, changed, out);
        p += (popcnt<u32>(changed) * bits + 7) >> 3;
      }
      if ((head & FRAME_DENSE) != 0) p += (n * bits + 7) >> 3;
    } else if (kind == FRAME_SAME) fill(out, last, n);
    else {
      const widths: u32 = load<u8>(p);
      const width = widths & 63;
      const code = widths >> 6;
      p += 1;
      let lowest: i64;
      if (code == 0) lowest = load<i8>(p);
      else if (code == 1) lowest = load<i16>(p);
      else if (code == 2) lowest = load<i32>(p);
      else lowest = load<i64>(p);
      p += 1 << code;
      if (head >> 4 == 0) last = decodeIntegers(p, last, n, width, lowest, out);
      else last = decodeDecimals(p, last, n, width, lowest, head >> 4, out);
      p += (n * width + 7) >> 3;
    }
    if ((holes | stales) != 0) patch(out, n, holes, stales);
    out += <usize>n << 3;
    done += n;
  }
}

function patch(out: usize, n: u32, holes: u32, stales: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    if (((holes >> i) & 1) != 0) store<u64>(out + (<usize>i << 3), HOLE);
    if (((stales >> i) & 1) != 0) store<u64>(out + (<usize>i << 3), STALE);
  }
}

// @ts-ignore: decorator
@inline
function decodeDense(p: usize, last: u64, n: u32, shift: u64, bits: u32, out: usize): u64 {
  const mask = ~(<u64>0) >> (64 - bits);
  let at: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const x = (load<u64>(p + (at >> 3)) >> (at & 7)) & mask;
    at += bits;
    last ^= x << shift;
    store<u64>(out + (<usize>i << 3), last);
  }
  return last;
}

// @ts-ignore: decorator
@inline
function decodeSparse(p: usize, last: u64, n: u32, shift: u64, bits: u32, changed: u32, out: usize): u64 {
  const mask = ~(<u64>0) >> (64 - bits);
  let at: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const take = -<i32>((changed >> i) & 1);
    const x = (load<u64>(p + (at >> 3)) >> (at & 7)) & mask & <u64>(<i64>take);
    at += bits & take;
    last ^= x << shift;
    store<u64>(out + (<usize>i << 3), last);
  }
  return last;
}

// @ts-ignore: decorator
@inline
function decodeIntegers(p: usize, last: u64, n: u32, width: u32, lowest: i64, out: usize): u64 {
  const mask: u64 = ((<u64>1) << width) - 1;
  let integer = <i64>reinterpret<f64>(last);
  let at: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    integer += <i64>((load<u64>(p + (at >> 3)) >> (at & 7)) & mask) + lowest;
    at += width;
    store<f64>(out + (<usize>i << 3), <f64>integer);
  }
  return reinterpret<u64>(<f64>integer);
}

// @ts-ignore: decorator
@inline
function decodeDecimals(p: usize, last: u64, n: u32, width: u32, lowest: i64, exponent: u32, out: usize): u64 {
  const mask: u64 = ((<u64>1) << width) - 1;
  const scale = powerOfTen(exponent);
  let integer = integerOf(reinterpret<f64>(last), scale);
  let at: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    integer += <i64>((load<u64>(p + (at >> 3)) >> (at & 7)) & mask) + lowest;
    at += width;
    store<f64>(out + (<usize>i << 3), <f64>integer / scale);
  }
  return reinterpret<u64>(<f64>integer / scale);
}

/** Whether all values of a chunk are its base value. */
// @ts-ignore: decorator
@inline
function isConstant(chunk: usize): bool {
  return (load<u8>(chunk, CHUNK_FLAGS) & CHUNK_CONSTANT) != 0;
}

/**
 * Decodes values [from, to) of a chunk so that value `from` lands at out; writes READ_SLACK bytes around them at most.
 */
function decodeRange(chunk: usize, from: u32, to: u32, out: usize): void {
  if (isConstant(chunk)) fill(out, load<u64>(chunk, CHUNK_BASE_VALUE), to - from);
  else decodeChunk(chunk, to, out - (<usize>from << 3));
}

// @ts-ignore: decorator
@inline
function flagsOf(chunk: usize): u32 {
  const flags: u32 = load<u8>(chunk, CHUNK_FLAGS);
  return (
    ((flags & CHUNK_HOLES) != 0 ? READ_HOLES : 0) |
    ((flags & CHUNK_STALE) != 0 ? READ_STALE : 0) |
    ((flags & CHUNK_NAN) != 0 ? READ_NAN : 0)
  );
}

/** The newest chunk of a series, growing or sealed; 0 when all its samples are in the open buffer. */
// @ts-ignore: decorator
@inline
function newestChunk(series: usize): usize {
  const chunk: usize = load<u32>(series, S_CHUNK);
  return chunk != 0 ? chunk : load<u32>(series, S_SEALED);
}

/** Flags of the open buffer's values. */
function openFlags(series: usize, flags: u32): u32 {
  let found: u32 = (flags & SERIES_NAN) != 0 ? READ_NAN : 0;
  if ((flags & SERIES_SPECIAL) == 0) return found;
  const cursor: usize = load<u32>(hotOf(series), H_CURSOR);
  for (let p: usize = cursor & ~OPEN_ROWS; p < cursor; p += OPEN_ROW) {
    const v = load<u64>(p);
    if (v == HOLE) found |= READ_HOLES;
    if (v == STALE) found |= READ_STALE;
  }
  return found;
}

/**
 * Writes the values of ordinals [from, to) of the series' present group to out, holes where it has none, and returns
 * READ_* flags, which may also tell of ordinals just outside. At most READ_CAPACITY ordinals.
 */
export function readColumn(series: usize, from: u32, to: u32, out: usize): u32 {
  const hot = hotOf(series);
  const group = load<u32>(hot, H_GROUP) & ~LEAVING;
  const next = load<u32>(hot, H_NEXT);
  const cursor: usize = load<u32>(hot, H_CURSOR);
  let at = from;
  let flags: u32 = 0;
  if (next != NONE && from < to) {
    const openFirst = next - openCount(cursor);
    const stack: usize = word(STACK_BASE);
    let depth: usize = 0;
    let chunk = from < openFirst ? newestChunk(series) : 0;
    while (chunk != 0 && load<u32>(chunk, CHUNK_GROUP) == group) {
      const first = load<u32>(chunk, CHUNK_FIRST);
      if (first < to) store<u32>(stack + (depth++ << 2), <u32>chunk);
      if (first <= from || depth == STACK_ENTRIES) break;
      chunk = load<u32>(chunk, CHUNK_PREVIOUS);
    }
    while (depth > 0) {
      chunk = load<u32>(stack + (--depth << 2));
      const first = load<u32>(chunk, CHUNK_FIRST);
      const end = min(first + load<u16>(chunk, CHUNK_COUNT), to);
      if (end <= at) continue;
      if (at < first) {
        fill(out + (<usize>(at - from) << 3), HOLE, first - at);
        flags |= READ_HOLES;
        at = first;
      }
      flags |= flagsOf(chunk);
      decodeRange(chunk, at - first, end - first, out + (<usize>(at - from) << 3));
      at = end;
    }
    const end = min(next, to);
    if (at < end && openFirst < end) {
      if (at < openFirst) {
        fill(out + (<usize>(at - from) << 3), HOLE, openFirst - at);
        flags |= READ_HOLES;
        at = openFirst;
      }
      flags |= openFlags(series, load<u8>(series, S_FLAGS));
      const cell = (cursor & ~OPEN_ROWS) + <usize>(at - openFirst) * OPEN_ROW;
      copyOpen(out + (<usize>(at - from) << 3), cell, end - at);
      at = end;
    }
  }
  if (at < to) {
    fill(out + (<usize>(at - from) << 3), HOLE, to - at);
    flags |= READ_HOLES;
  }
  return flags;
}

let readFlags: u32 = 0;
let readCount: u32 = 0;

/** Drops holes and times outside [low, high] from n freshly decoded samples at the end of the output. */
function keepSamples(times: usize, values: usize, n: u32, low: f64, high: f64): void {
  let kept = readCount;
  for (let i: u32 = 0; i < n; i++) {
    const time = load<f64>(times + (<usize>(readCount + i) << 3));
    const v = load<u64>(values + (<usize>(readCount + i) << 3));
    if (time < low || time > high || v == HOLE) continue;
    if (v == STALE) readFlags |= READ_STALE;
    store<f64>(times + (<usize>kept << 3), time);
    store<u64>(values + (<usize>kept << 3), v);
    kept++;
  }
  readCount = kept;
}

/**
 * Writes the head's samples of a series with times in [low, high] (integers) to two columns, ascending, without holes,
 * whatever groups
 * they are in. Returns flags; READ_MORE when `capacity` did not hold them all: go on from the time at R_RESUME.
 */
export function readSeries(series: usize, low: f64, high: f64, times: usize, values: usize, capacity: u32): u32 {
  readFlags = 0;
  readCount = 0;
  const flags = collect(series, low, high, times, values, capacity);
  setWord(R_COUNT, readCount);
  return flags;
}

function collect(series: usize, low: f64, high: f64, times: usize, values: usize, capacity: u32): u32 {
  const hot = hotOf(series);
  const next = load<u32>(hot, H_NEXT);
  const stack: usize = word(STACK_BASE);
  const from = <i64>low;
  let depth: u32 = 0;
  let chunk = newestChunk(series);
  while (chunk != 0) {
    // Older chunks overwrite newer ones when the stack is full: the newer ones are read when the caller goes on.
    store<u32>(stack + (<usize>(depth++ & (STACK_ENTRIES - 1)) << 2), <u32>chunk);
    if (timeOf(groupAt(load<u32>(chunk, CHUNK_GROUP)), load<u32>(chunk, CHUNK_FIRST)) <= from) break;
    chunk = load<u32>(chunk, CHUNK_PREVIOUS);
  }
  let left = min(depth, STACK_ENTRIES);
  const cut = depth > STACK_ENTRIES;
  while (left > 0) {
    depth--;
    left--;
    chunk = load<u32>(stack + (<usize>(depth & (STACK_ENTRIES - 1)) << 2));
    const group = groupAt(load<u32>(chunk, CHUNK_GROUP));
    const first = load<u32>(chunk, CHUNK_FIRST);
    const end = first + load<u16>(chunk, CHUNK_COUNT);
    readFlags |= flagsOf(chunk) & READ_NAN;
    const start = max(first, firstAtOrAfter(group, from));
    if (!readPart(group, chunk, first, start, end, low, high, times, values, capacity)) {
      return readFlags | READ_MORE;
    }
  }
  if (cut) {
    // Everything up to the last chunk that was read is there; the next one begins later than that.
    const group = groupAt(load<u32>(chunk, CHUNK_GROUP));
    const end = load<u32>(chunk, CHUNK_FIRST) + load<u16>(chunk, CHUNK_COUNT);
    store<f64>(CONTROL, <f64>timeOf(group, end - 1) + 1, R_RESUME);
    return readFlags | READ_MORE;
  }
  const open = openCount(load<u32>(hot, H_CURSOR));
  if (next != NONE && open > 0) {
    const group = groupAt(load<u32>(hot, H_GROUP) & ~LEAVING);
    readFlags |= openFlags(series, load<u8>(series, S_FLAGS)) & READ_NAN;
    const first = next - open;
    if (!readPart(group, 0, first, first, next, low, high, times, values, capacity, series)) readFlags |= READ_MORE;
  }
  return readFlags;
}

/**
 * Appends ordinals [at, end) of a chunk, or of the open buffer when chunk is 0. Returns false when the output is full.
 */
function readPart(
  group: usize, chunk: usize, first: u32, at: u32, end: u32, low: f64, high: f64, times: usize, values: usize,
  capacity: u32, series: usize = 0,
): bool {
  while (at < end) {
    const room = capacity - readCount;
    if (room == 0) {
      store<f64>(CONTROL, <f64>timeOf(group, at), R_RESUME);
      return false;
    }
    const n = min(end - at, room);
    readTimes(group, at, at + n, times + (<usize>readCount << 3));
    if (load<f64>(times + (<usize>readCount << 3)) > high) return true;
    const out = values + (<usize>readCount << 3);
    if (chunk != 0) {
      // Decoding writes whole frames on both sides of what is kept: it must not touch the samples before.
      if (isConstant(chunk)) fill(out, load<u64>(chunk, CHUNK_BASE_VALUE), n);
      else {
        const scratch: usize = word(CHUNK_BASE);
        decodeChunk(chunk, at - first + n, scratch);
        memory.copy(out, scratch + (<usize>(at - first) << 3), <usize>n << 3);
      }
    } else {
      const cursor: usize = load<u32>(hotOf(series), H_CURSOR);
      copyOpen(out, (cursor & ~OPEN_ROWS) + <usize>(at - first) * OPEN_ROW, n);
    }
    keepSamples(times, values, n, low, high);
    at += n;
  }
  return true;
}

let foundValue: u64 = 0;

/** The value that findValue found. */
// @ts-ignore: decorator
@inline
export function valueFound(): u64 {
  return foundValue;
}

/** Looks the sample of a series at exactly this time up in its chunks; the open buffer is the caller's. */
export function findValue(series: usize, time: i64): bool {
  if (time < load<i64>(series, S_FIRST_TIME)) return false;
  let known: u32 = NONE;
  let ordinal: u32 = NONE;
  for (let chunk = newestChunk(series); chunk != 0; chunk = load<u32>(chunk, CHUNK_PREVIOUS)) {
    const number = load<u32>(chunk, CHUNK_GROUP);
    const group = groupAt(number);
    if (number != known) {
      known = number;
      ordinal = ordinalOf(group, time);
    }
    const first = load<u32>(chunk, CHUNK_FIRST);
    if (ordinal == NONE ? timeOf(group, first) < time : ordinal >= first) {
      if (ordinal == NONE || ordinal >= first + load<u16>(chunk, CHUNK_COUNT)) return false;
      if (isConstant(chunk)) foundValue = load<u64>(chunk, CHUNK_BASE_VALUE);
      else {
        const scratch: usize = word(CHUNK_BASE);
        decodeChunk(chunk, ordinal - first + 1, scratch);
        foundValue = load<u64>(scratch + (<usize>(ordinal - first) << 3));
      }
      return foundValue != HOLE;
    }
  }
  return false;
}

/** Ordinals [from, to) of a group with times in [low, high], and their number. */
export function ordinalsFrom(group: usize, low: f64): u32 {
  return firstAtOrAfter(group, <i64>low);
}

export function ordinalsTo(group: usize, high: f64): u32 {
  const count = load<u32>(group, G_COUNT);
  return count == 0 ? 0 : firstAtOrAfter(group, <i64>high + 1);
}
