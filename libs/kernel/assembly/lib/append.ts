// libs/kernel/assembly/lib/append.ts: one sample into the head: in order, into a hole, the same again, another value,
// late.
// HOT: bench test/bench/append.bench.ts, twin libs/kernel/twin/head.ts. The loop over a batch is in ../head.ts; it does
// the common
// case itself (the series' next ordinal, an ordinary number) and calls appendSample for everything else.
// Invariants: a series' samples ascend over all its chunks; what is published (H_NEXT, H_CURSOR) is complete. A full
// arena
// is noticed before anything is published.
import { CLASS_PAGE, takeSlot } from "./head-arena";
import { findValue, valueFound } from "./decode";
import { sealChunk, sealFrame, strike } from "./head-encode";
import {
  addTotal, CHUNK_COUNT, CHUNK_FIRST, CHUNK_GROUP, EXPONENT_BITS, G_COUNT, G_HOME, G_LAST_TIME, G_ORIGIN, G_RECENT,
  GAP_HOLES, GROUP_CAPACITY, GROUP_COUNT, groupAt, H_CLEAN_FROM, H_CURSOR, H_GROUP, H_NEXT, HOLE, HOT_BASE, hotOf,
  LEAVING, NONE, OPEN_BLOCK_BYTES, OPEN_BLOCK_SERIES, OPEN_ROW, OPEN_ROWS, openCount, R_SPILLED, S_FIRST_TIME,
  S_FLAGS, S_GROUP_FIRST, S_MOVES, S_SEALED, S_STRIKES, SERIES_HIDDEN, SERIES_LATE, SERIES_MOVED, SERIES_NAN, SERIES_SPECIAL,
  seriesAt, setWord, SPILL_SERIES, SPILL_TIMES, SPILL_VALUES, STALE, T_MOVES, T_SAMPLES, word,
} from "./head-layout";
import { firstAtOrAfter, ordinalOf, pushTime, timeOf } from "./head-times";

/** What became of a sample. */
export const STORED: u32 = 0;
export const DUPLICATE: u32 = 1;
export const OUTVOTED: u32 = 2;
export const SPILLED: u32 = 3;
export const NO_ROOM: u32 = 4;

/** Moves after which a series gets a column of its own, and after which it stays where it is. */
const MOVES_SHARED: u32 = 3;
const MOVES_MAX: u32 = 4;

/** The group and ordinal that the last sample went to: the loop's guess for its neighbours. */
export let enteredGroup: u32 = NONE;
export let enteredOrdinal: u32 = NONE;

/** Forgets the guess: the next samples have another time. */
export function beginTime(): void {
  enteredGroup = NONE;
  enteredOrdinal = NONE;
}

/** Makes a group with an empty column. Returns its number, NONE when there are too many. */
export function makeGroup(home: u64, origin: u32): u32 {
  const number = word(GROUP_COUNT);
  if (number == word(GROUP_CAPACITY)) return NONE;
  const group = groupAt(number);
  store<u32>(group, origin == NONE ? number : origin, G_ORIGIN);
  store<u32>(group, NONE, G_RECENT);
  store<u64>(group, home, G_HOME);
  setWord(GROUP_COUNT, number + 1);
  return number;
}

/** 0: stale marker, 1: any other NaN, 2: a number. */
// @ts-ignore: decorator
@inline
function kindOf(bits: u64): u32 {
  if (bits == STALE) return 0;
  return (bits & ~(<u64>1 << 63)) > EXPONENT_BITS ? 1 : 2;
}

/** Numbers in their order, -0 below 0. */
// @ts-ignore: decorator
@inline
function rankOf(bits: u64): i64 {
  const signed = <i64>bits;
  return signed < 0 ? ~(signed & i64.MAX_VALUE) : signed;
}

/**
 * Whether a wins over b at the same time: the greater number; any number over NaN, NaN over a stale marker. Among NaNs
 * the greater bits, so that there is one winner whatever the order of arrival.
 */
export function beats(a: u64, b: u64): bool {
  const kind = kindOf(a);
  const other = kindOf(b);
  if (kind != other) return kind > other;
  return kind == 2 ? rankOf(a) > rankOf(b) : a > b;
}

/** Stores one sample. `series` is a registered series number. */
export function appendSample(number: u32, time: i64, value: u64): u32 {
  const series = seriesAt(number);
  const hot = hotOf(series);
  if ((load<u32>(hot, H_GROUP) & LEAVING) != 0) leaveGroup(series, time);
  let groupNumber = load<u32>(hot, H_GROUP);
  let group = groupAt(groupNumber);
  let next = load<u32>(hot, H_NEXT);
  const count = load<u32>(group, G_COUNT);
  let ordinal: u32 = count;
  if (count != 0 && time <= load<i64>(group, G_LAST_TIME)) {
    ordinal = time == load<i64>(group, G_LAST_TIME) ? count - 1 : ordinalOf(group, time);
    if (ordinal == NONE) {
      // Between two times of the column. When it is news to the series, the series' times are not the group's.
      if (next != NONE && time <= timeOf(group, next - 1)) return appendPast(number, series, NONE, time, value);
      if (!moveOn(series, time, true)) {
        return load<u8>(series, S_MOVES) >= MOVES_MAX ? spill(number, series, time, value) : NO_ROOM;
      }
      groupNumber = load<u32>(hot, H_GROUP);
      group = groupAt(groupNumber);
      next = NONE;
      ordinal = load<u32>(group, G_COUNT);
      if (ordinal != 0 && load<i64>(group, G_LAST_TIME) == time) ordinal--;
    } else if (next != NONE && ordinal < next) return appendPast(number, series, ordinal, time, value);
  }
  // A first sample in this group may still be older than what the series has in another one.
  if (next == NONE && (load<u8>(series, S_FLAGS) & SERIES_MOVED) != 0 && time <= lastMovedTime(series)) {
    return appendPast(number, series, NONE, time, value);
  }
  if (ordinal == load<u32>(group, G_COUNT) && !pushTime(group, time)) return NO_ROOM;
  enteredGroup = groupNumber;
  enteredOrdinal = ordinal;
  if (!reach(series, next, ordinal, time)) return NO_ROOM;
  const own = value == HOLE;
  if (!put(series, ordinal, value)) return NO_ROOM;
  // A user's NaN with the bits of a hole: the head keeps the hole, the late store the value.
  return own ? spill(number, series, time, value) : STORED;
}

/** Time of the newest sample before the series came to its present, still empty group. */
function lastMovedTime(series: usize): i64 {
  const chunk: usize = load<u32>(series, S_SEALED);
  if (chunk == 0) return i64.MIN_VALUE;
  const end = load<u32>(chunk, CHUNK_FIRST) + load<u16>(chunk, CHUNK_COUNT);
  return timeOf(groupAt(load<u32>(chunk, CHUNK_GROUP)), end - 1);
}

/** Makes `ordinal` the series' next one: a first sample, holes for a short gap, a new chunk for a long one. */
function reach(series: usize, next: u32, ordinal: u32, time: i64): bool {
  const hot = hotOf(series);
  if (load<u32>(hot, H_CURSOR) == 0 && !openBuffer(hot)) return false;
  if (next == NONE) {
    if ((load<u8>(series, S_FLAGS) & SERIES_MOVED) == 0) store<i64>(series, time, S_FIRST_TIME);
    store<u32>(series, ordinal, S_GROUP_FIRST);
    store<u32>(hot, ordinal, H_CLEAN_FROM);
    store<u32>(hot, ordinal, H_NEXT);
    return true;
  }
  if (next == ordinal) return true;
  if (ordinal - next <= GAP_HOLES) {
    for (; next < ordinal; next++) if (!put(series, next, HOLE)) return false;
    return true;
  }
  if (!closeChunk(series)) return false;
  // One long gap is a pause; two in a row are times that are not the series' own.
  strike(series, true);
  store<u32>(hot, ordinal, H_CLEAN_FROM);
  store<u32>(hot, ordinal, H_NEXT);
  return true;
}

/** Gives a series its cells in the block of its neighbours, which is made when none of them has one. */
function openBuffer(hot: usize): bool {
  const number = <u32>((hot - <usize>word(HOT_BASE)) >> 4);
  const column = number & (OPEN_BLOCK_SERIES - 1);
  const neighbours = hot - (<usize>column << 4);
  let block: usize = 0;
  for (let i: usize = 0; i < OPEN_BLOCK_SERIES && block == 0; i++) {
    block = load<u32>(neighbours + (i << 4), H_CURSOR) & ~(OPEN_BLOCK_BYTES - 1);
  }
  if (block == 0) block = takeSlot(CLASS_PAGE);
  if (block == 0) return false;
  store<u32>(hot, <u32>block + (column << 3), H_CURSOR);
  return true;
}

/** Stores a value at the series' next ordinal. */
function put(series: usize, ordinal: u32, value: u64): bool {
  const hot = hotOf(series);
  let cursor: usize = load<u32>(hot, H_CURSOR);
  store<u64>(cursor, value);
  if ((value & EXPONENT_BITS) == EXPONENT_BITS && (value & 0xfffffffffffff) != 0) {
    const special = value == HOLE || value == STALE;
    store<u8>(series, load<u8>(series, S_FLAGS) | (special ? SERIES_SPECIAL : SERIES_NAN), S_FLAGS);
    if (special) store<u32>(hot, ordinal + 1, H_CLEAN_FROM);
  }
  cursor += OPEN_ROW;
  if ((cursor & OPEN_ROWS) == 0) {
    cursor -= OPEN_BLOCK_BYTES;
    if (!sealFrame(series, cursor, 16, ordinal - 15)) return false;
  }
  // Bytes first, then the count that lets readers see them.
  store<u32>(hot, <u32>cursor, H_CURSOR);
  store<u32>(hot, ordinal + 1, H_NEXT);
  if (value != HOLE) addTotal(T_SAMPLES, 1);
  return true;
}

/** Seals what is open, so that the next sample begins a new chunk. */
function closeChunk(series: usize): bool {
  const hot = hotOf(series);
  const cursor: usize = load<u32>(hot, H_CURSOR);
  const n = openCount(cursor);
  if (n > 0) {
    const start = cursor & ~OPEN_ROWS;
    if (!sealFrame(series, start, n, load<u32>(hot, H_NEXT) - n)) return false;
    store<u32>(hot, <u32>start, H_CURSOR);
  }
  return sealChunk(series);
}

/**
 * A series whose times are not its group's goes elsewhere if it can. It stays when the others seem to have left: then
 * no
 * ordinal of theirs lies between its newest one and now.
 */
function leaveGroup(series: usize, time: i64): void {
  const hot = hotOf(series);
  store<u32>(hot, load<u32>(hot, H_GROUP) & ~LEAVING, H_GROUP);
  const group = groupAt(load<u32>(hot, H_GROUP));
  const next = load<u32>(hot, H_NEXT);
  store<u8>(series, 0, S_STRIKES);
  if (next == NONE || next >= firstAtOrAfter(group, time)) return;
  moveOn(series, time, false);
}

/**
 * Moves a series to a group whose newest time is `time`, or to a new one: the group that series of the same home moved
 * to
 * last, so that those with common times stay together. After MOVES_SHARED moves it gets a column that nobody may join.
 * Returns false when there is no memory or, with S_MOVES at MOVES_MAX, when it has moved too often.
 */
function moveOn(series: usize, time: i64, must: bool): bool {
  const moves: u32 = load<u8>(series, S_MOVES);
  const hot = hotOf(series);
  const from = load<u32>(hot, H_GROUP);
  if (moves >= MOVES_MAX) return false;
  const alone = moves >= MOVES_SHARED || (must && moves + 1 >= MOVES_SHARED);
  const old = groupAt(from);
  const origin = load<u32>(old, G_ORIGIN);
  const recent = load<u32>(groupAt(origin), G_RECENT);
  let to: u32 = NONE;
  if (!alone) {
    if (recent != NONE && recent != from && load<i64>(groupAt(recent), G_LAST_TIME) == time) to = recent;
    else if (origin != from && load<i64>(groupAt(origin), G_LAST_TIME) == time) to = origin;
  }
  if (!closeChunk(series)) return false;
  if (to == NONE) {
    to = makeGroup(load<u64>(old, G_HOME), origin);
    if (to == NONE) {
      store<u8>(series, <u8>MOVES_MAX, S_MOVES);
      return false;
    }
    if (!alone) store<u32>(groupAt(origin), to, G_RECENT);
  }
  store<u32>(hot, to, H_GROUP);
  store<u32>(hot, NONE, H_NEXT);
  store<u8>(series, <u8>(moves + 1), S_MOVES);
  if (load<u32>(series, S_SEALED) != 0) store<u8>(series, load<u8>(series, S_FLAGS) | SERIES_MOVED, S_FLAGS);
  addTotal(T_MOVES, 1);
  return true;
}

/** A sample at or before the series' newest time. `ordinal` is that of its time in the present group, or NONE. */
function appendPast(number: u32, series: usize, ordinal: u32, time: i64, value: u64): u32 {
  // What a deletion hides is no duplicate, wins over nothing, and must not be written over: it may be restored.
  if ((load<u8>(series, S_FLAGS) & SERIES_HIDDEN) != 0) return spill(number, series, time, value);
  const hot = hotOf(series);
  const cursor: usize = load<u32>(hot, H_CURSOR);
  const next = load<u32>(hot, H_NEXT);
  const openFirst = next - openCount(cursor);
  if (ordinal != NONE && next != NONE && ordinal >= openFirst) {
    return appendOpen(number, series, (cursor & ~OPEN_ROWS) + <usize>(ordinal - openFirst) * OPEN_ROW, time, value);
  }
  if (!findValue(series, time)) return spill(number, series, time, value);
  const there = valueFound();
  if (there == value) return DUPLICATE;
  return beats(value, there) ? spill(number, series, time, value) : OUTVOTED;
}

/** A sample whose ordinal is still in the open buffer: holes are filled and losers replaced in place. */
function appendOpen(number: u32, series: usize, cell: usize, time: i64, value: u64): u32 {
  const there = load<u64>(cell);
  const flags = load<u8>(series, S_FLAGS);
  if (there == HOLE) {
    // The late store may know this time (a value with the bits of a hole): it decides then.
    if (value == HOLE || (flags & SERIES_LATE) != 0) return spill(number, series, time, value);
    addTotal(T_SAMPLES, 1);
  } else {
    if (there == value) return DUPLICATE;
    if (!beats(value, there)) return OUTVOTED;
    if (value == HOLE) return spill(number, series, time, value);
  }
  store<u64>(cell, value);
  if ((value & EXPONENT_BITS) == EXPONENT_BITS && (value & 0xfffffffffffff) != 0 && value != STALE) {
    store<u8>(series, flags | SERIES_NAN, S_FLAGS);
  }
  return STORED;
}

/** Hands a sample to the late store. */
function spill(number: u32, series: usize, time: i64, value: u64): u32 {
  store<u8>(series, load<u8>(series, S_FLAGS) | SERIES_LATE, S_FLAGS);
  const n: usize = word(R_SPILLED);
  store<u32>(<usize>word(SPILL_SERIES) + (n << 2), number);
  store<f64>(<usize>word(SPILL_TIMES) + (n << 3), <f64>time);
  store<u64>(<usize>word(SPILL_VALUES) + (n << 3), value);
  setWord(R_SPILLED, <u32>n + 1);
  return SPILLED;
}
