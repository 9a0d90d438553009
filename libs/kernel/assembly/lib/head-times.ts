// libs/kernel/assembly/lib/head-times.ts: the timestamp column of a group: ordinals 0, 1, 2, … with ascending times.
// The newest 1 to 16 times are raw (base + u32 offsets); older ones are frames in chunks of up to 128
// (libs/chunk/FORMAT.md).
// Invariant: times strictly ascend; an ordinal never changes once it exists.
import { classBytes, classOf, freeSlot, takeSealed, takeSlot } from "./head-arena";
import {
  addTotal, CHUNK_BYTES, CHUNK_COUNT, CHUNK_FIRST, CHUNK_GROUP, CHUNK_ORDINALS, CHUNK_PREVIOUS, FRAME_SAMPLES,
  G_CHUNK, G_CHUNK_CLASS, G_COUNT, G_LAST_TIME, G_OPEN, G_OPEN_COUNT, G_SEALED, NONE, OPEN_TIMES_BYTES,
  T_GROWING_BYTES, T_TIME_BYTES, TIMES_HEADER,
} from "./head-layout";

/** Appends a time later than the column's last. Returns false, with nothing changed, when the arena is full. */
export function pushTime(group: usize, time: i64): bool {
  let open: usize = load<u32>(group, G_OPEN);
  let n: u32 = load<u8>(group, G_OPEN_COUNT);
  if (open == 0) {
    open = takeSlot(classOf(OPEN_TIMES_BYTES));
    if (open == 0) return false;
    store<u32>(group, <u32>open, G_OPEN);
  } else if (n == FRAME_SAMPLES || time - load<i64>(open) > 0xffffffff) {
    if (!sealTimes(group, open, n)) return false;
    n = 0;
  }
  if (n == 0) store<i64>(open, time);
  store<u32>(open + (<usize>n << 2), <u32>(time - load<i64>(open)), 8);
  store<u8>(group, <u8>(n + 1), G_OPEN_COUNT);
  store<i64>(group, time, G_LAST_TIME);
  store<u32>(group, load<u32>(group, G_COUNT) + 1, G_COUNT);
  return true;
}

/** Moves the n open times into the growing chunk as one frame. */
function sealTimes(group: usize, open: usize, n: u32): bool {
  const last = load<u32>(open + (<usize>(n - 1) << 2), 8);
  let step: u32 = n > 1 ? last / (n - 1) : 0;
  let low: i64 = 0;
  let high: i64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const r = <i64>load<u32>(open + (<usize>i << 2), 8) - <i64>step * i;
    low = min(low, r);
    high = max(high, r);
  }
  let code: u32 = 0;
  if (low < -32768 || high > 32767) {
    code = 3;
    step = 0;
  } else if (low < -128 || high > 127) code = 2;
  else if (low != 0 || high != 0) code = 1;
  const size = 13 + n * widthOf(code);
  const chunk = roomForTimes(group, size);
  if (chunk == 0) return false;
  const used: u32 = load<u16>(chunk, CHUNK_BYTES);
  let p = chunk + used;
  store<u8>(p, <u8>((n - 1) | (code << 4)));
  store<i64>(p, load<i64>(open), 1);
  store<u32>(p, step, 9);
  p += 13;
  for (let i: u32 = 0; i < n; i++) {
    const r = <i64>load<u32>(open + (<usize>i << 2), 8) - <i64>step * i;
    if (code == 1) store<i8>(p + i, <i8>r);
    else if (code == 2) store<i16>(p + (i << 1), <i16>r);
    else if (code == 3) store<u32>(p + (i << 2), <u32>r);
  }
  store<u16>(chunk, <u16>(used + size), CHUNK_BYTES);
  store<u16>(chunk, <u16>(load<u16>(chunk, CHUNK_COUNT) + n), CHUNK_COUNT);
  store<u8>(group, 0, G_OPEN_COUNT);
  return true;
}

// @ts-ignore: decorator
@inline
function widthOf(code: u32): u32 {
  return code == 3 ? 4 : code;
}

/** The growing chunk with room for `size` more bytes, newly made or moved when need be; 0 when the arena is full. */
function roomForTimes(group: usize, size: u32): usize {
  let chunk: usize = load<u32>(group, G_CHUNK);
  if (chunk != 0 && load<u16>(chunk, CHUNK_COUNT) + FRAME_SAMPLES > CHUNK_ORDINALS) {
    const used: u32 = load<u16>(chunk, CHUNK_BYTES);
    const sealed = takeSealed(used);
    if (sealed == 0) return 0;
    memory.copy(sealed, chunk, used);
    const c: u32 = load<u8>(group, G_CHUNK_CLASS);
    freeSlot(chunk, c);
    addTotal(T_GROWING_BYTES, -(<f64>classBytes(c)));
    addTotal(T_TIME_BYTES, used);
    store<u32>(group, <u32>sealed, G_SEALED);
    store<u32>(group, 0, G_CHUNK);
    chunk = 0;
  }
  const used: u32 = chunk == 0 ? TIMES_HEADER : load<u16>(chunk, CHUNK_BYTES);
  const old: u32 = load<u8>(group, G_CHUNK_CLASS);
  if (chunk != 0 && used + size <= classBytes(old)) return chunk;
  const c = classOf(used + size);
  const slot = takeSlot(c);
  if (slot == 0) return 0;
  addTotal(T_GROWING_BYTES, classBytes(c));
  if (chunk != 0) {
    memory.copy(slot, chunk, used);
    freeSlot(chunk, old);
    addTotal(T_GROWING_BYTES, -(<f64>classBytes(old)));
  } else {
    store<u32>(slot, load<u32>(group, G_SEALED), CHUNK_PREVIOUS);
    store<u32>(slot, 0, CHUNK_GROUP);
    store<u32>(slot, load<u32>(group, G_COUNT) - <u32>load<u8>(group, G_OPEN_COUNT), CHUNK_FIRST);
    store<u16>(slot, 0, CHUNK_COUNT);
    store<u16>(slot, <u16>TIMES_HEADER, CHUNK_BYTES);
  }
  store<u32>(group, <u32>slot, G_CHUNK);
  store<u8>(group, <u8>c, G_CHUNK_CLASS);
  return slot;
}

// The frame that frameTime reads, found by a walk.
let residuals: usize = 0;
let base: i64 = 0;
let step: i64 = 0;
let code: u32 = 0;
let frameCount: u32 = 0;

/** Reads the frame header at p; returns the address of the next frame. */
function openFrame(p: usize): usize {
  const head: u32 = load<u8>(p);
  frameCount = (head & 15) + 1;
  code = head >> 4;
  base = load<i64>(p, 1);
  step = load<u32>(p, 9);
  residuals = p + 13;
  return residuals + frameCount * widthOf(code);
}

/** Time number i of the frame that was opened last. */
// @ts-ignore: decorator
@inline
function frameTime(i: u32): i64 {
  const regular = base + step * i;
  if (code == 0) return regular;
  if (code == 1) return regular + load<i8>(residuals + i);
  if (code == 2) return regular + load<i16>(residuals + (i << 1));
  return regular + load<u32>(residuals + (i << 2));
}

/** The time of an existing ordinal. */
export function timeOf(group: usize, ordinal: u32): i64 {
  const n: u32 = load<u8>(group, G_OPEN_COUNT);
  const openFirst = load<u32>(group, G_COUNT) - n;
  if (ordinal >= openFirst) {
    const open: usize = load<u32>(group, G_OPEN);
    return load<i64>(open) + load<u32>(open + (<usize>(ordinal - openFirst) << 2), 8);
  }
  let chunk = newestChunk(group);
  while (load<u32>(chunk, CHUNK_FIRST) > ordinal) chunk = load<u32>(chunk, CHUNK_PREVIOUS);
  let p = chunk + TIMES_HEADER;
  let first = load<u32>(chunk, CHUNK_FIRST);
  while (true) {
    p = openFrame(p);
    if (ordinal - first < frameCount) return frameTime(ordinal - first);
    first += frameCount;
  }
}

// @ts-ignore: decorator
@inline
function newestChunk(group: usize): usize {
  const chunk = load<u32>(group, G_CHUNK);
  return chunk != 0 ? chunk : load<u32>(group, G_SEALED);
}

/** The first ordinal whose time is ≥ time; the column's length when there is none. */
export function firstAtOrAfter(group: usize, time: i64): u32 {
  const count = load<u32>(group, G_COUNT);
  if (count == 0 || time > load<i64>(group, G_LAST_TIME)) return count;
  const n: u32 = load<u8>(group, G_OPEN_COUNT);
  const open: usize = load<u32>(group, G_OPEN);
  const openFirst = count - n;
  if (openFirst == 0 || (n > 0 && time >= load<i64>(open))) {
    let i: u32 = n;
    while (i > 0 && load<i64>(open) + load<u32>(open + (<usize>(i - 1) << 2), 8) >= time) i--;
    return openFirst + i;
  }
  // The chunk that begins at or before the time holds the answer, or ends just before it.
  let chunk = newestChunk(group);
  while (load<i64>(chunk + TIMES_HEADER, 1) > time) {
    const previous: usize = load<u32>(chunk, CHUNK_PREVIOUS);
    if (previous == 0) return load<u32>(chunk, CHUNK_FIRST);
    chunk = previous;
  }
  let first = load<u32>(chunk, CHUNK_FIRST);
  const end = first + load<u16>(chunk, CHUNK_COUNT);
  let p = chunk + TIMES_HEADER;
  while (first < end) {
    p = openFrame(p);
    if (frameTime(frameCount - 1) >= time) {
      for (let i: u32 = 0; ; i++) if (frameTime(i) >= time) return first + i;
    }
    first += frameCount;
  }
  return end;
}

/** The ordinal of exactly this time, or NONE. */
export function ordinalOf(group: usize, time: i64): u32 {
  const ordinal = firstAtOrAfter(group, time);
  if (ordinal == load<u32>(group, G_COUNT) || timeOf(group, ordinal) != time) return NONE;
  return ordinal;
}

/**
 * Writes the times of ordinals [from, to) as f64 to out; to is at most the column's length. Chunks are visited from the
 * newest to the oldest, so that only the wanted part of the chain is walked.
 */
export function readTimes(group: usize, from: u32, to: u32, out: usize): void {
  const n: u32 = load<u8>(group, G_OPEN_COUNT);
  const openFirst = load<u32>(group, G_COUNT) - n;
  if (to > openFirst) {
    const open: usize = load<u32>(group, G_OPEN);
    const openBase = load<i64>(open);
    for (let o = max(from, openFirst); o < to; o++) {
      const time = openBase + load<u32>(open + (<usize>(o - openFirst) << 2), 8);
      store<f64>(out + (<usize>(o - from) << 3), <f64>time);
    }
  }
  let chunk = from < openFirst ? newestChunk(group) : 0;
  while (chunk != 0) {
    let first = load<u32>(chunk, CHUNK_FIRST);
    const end = min(first + load<u16>(chunk, CHUNK_COUNT), to);
    const done = first <= from;
    let p = chunk + TIMES_HEADER;
    while (first < end) {
      p = openFrame(p);
      if (first + frameCount > from) {
        const stop = min(frameCount, end - first);
        for (let i: u32 = first < from ? from - first : 0; i < stop; i++) {
          store<f64>(out + (<usize>(first + i - from) << 3), <f64>frameTime(i));
        }
      }
      first += frameCount;
    }
    if (done) return;
    chunk = load<u32>(chunk, CHUNK_PREVIOUS);
  }
}
