// libs/kernel/assembly/head.ts: the head's kernel: the newest samples in linear memory, appended, sealed, read.
// HOT: bench test/bench/head.bench.ts, twin libs/kernel/twin/head.ts. Wrapper: libs/kernel/head.ts. Formats:
// libs/kernel/FORMAT.md (batches
// and records), libs/chunk/FORMAT.md (chunks), lib/head-layout.ts (memory). One thread appends; the memory must be
// zeroed at first.
// Nothing that a batch says is believed: every count and length is checked before anything is stored.
import {
  appendSample, beginTime, DUPLICATE, enteredGroup, enteredOrdinal, makeGroup, NO_ROOM, OUTVOTED, STORED,
} from "./lib/append";
import * as decode from "./lib/decode";
import { CLASS_PAGE, CLASS_QUARTER, freeSlot, takeSlot } from "./lib/head-arena";
import { sealFrame } from "./lib/head-encode";
import {
  addTotal, ARENA_BASE, ARENA_END, ARENA_NEXT, BATCH_BASE, BATCH_CAPACITY, CONTROL, EXPONENT_BITS, FULL,
  GROUP_CAPACITY, GROUP_COUNT, groupAt, H_CURSOR,
  H_GROUP, H_NEXT, HOT_BASE, hotOf, layOut, MALFORMED, NONE, OK, OPEN_BLOCK_BYTES, OPEN_ROW, OPEN_ROWS, OUT_BASE,
  OUT_CAPACITY, R_CONSUMED, R_DUPLICATES, R_FROM, R_FUTURE, R_NEWEST, R_OUTVOTED, R_RECORD_BYTES, R_REFUSED_COLLISION,
  R_REFUSED_LIMIT, R_STORED, R_TO, R_TOO_OLD, R_UNKNOWN, REFUSED_COLLISION, REFUSED_LIMIT, SERIES_CAPACITY,
  SERIES_COUNT, seriesAt, setWord, SPILL_CAPACITY, T_SAMPLES, UNKNOWN, VALUES_BASE, word,
} from "./lib/head-layout";
import {
  closeRecord, closeRecordCopying, nextRun, openRecord, openRuns, runCount, runRef, runsDone, runTime, writeRun,
} from "./lib/head-runs";
import { readTimes } from "./lib/head-times";
import { isPacked, unpackColumn } from "./lib/packed";

const BATCH_MAGIC: u32 = 0x31424d54;
const BATCH_HEADER: u32 = 32;
const RECORD_HEADER: u32 = 12;
/** References of a dictionary: a directory of 4096 pages of 1024 entries. */
const PAGE_REFS_BITS: u32 = 10;
const PAGE_REFS: u32 = 1024;
const DICTIONARY_REFS: u32 = 4096 * PAGE_REFS;

/** Lays out a zeroed memory. Returns false when it is too small. */
export function init(memoryBytes: u32, batchBytes: u32, readSamples: u32): bool {
  return layOut(memoryBytes, batchBytes, readSamples);
}

/** A new group for a home, given as two words. Returns its number, NONE when there is no room. */
export function addGroup(homeLow: u32, homeHigh: u32): u32 {
  return makeGroup(<u64>homeLow | (<u64>homeHigh << 32), NONE);
}

/**
 * Whether another series fits, of a group of its own if need be: not when a table is full or 95 % of the arena are taken:
 * what is left belongs to the series that exist.
 */
export function hasSeriesRoom(): bool {
  const arena = word(ARENA_END) - word(ARENA_BASE);
  if (word(ARENA_NEXT) - word(ARENA_BASE) > arena - arena / 20) return false;
  return word(SERIES_COUNT) < word(SERIES_CAPACITY) && word(GROUP_COUNT) < word(GROUP_CAPACITY);
}

/** A new series of a group. Returns its number; NONE where hasSeriesRoom says there is none. */
export function addSeries(group: u32): u32 {
  const number = word(SERIES_COUNT);
  const arena = word(ARENA_END) - word(ARENA_BASE);
  if (number == word(SERIES_CAPACITY) || word(ARENA_NEXT) - word(ARENA_BASE) > arena - arena / 20) return NONE;
  const hot = hotOf(seriesAt(number));
  store<u32>(hot, group, H_GROUP);
  store<u32>(hot, NONE, H_NEXT);
  setWord(SERIES_COUNT, number + 1);
  return number;
}

/** An empty dictionary: reference → series + 1. Returns its address, 0 when the arena is full. */
export function makeDictionary(): usize {
  const directory = takeSlot(CLASS_PAGE);
  if (directory != 0) memory.fill(directory, 0, 16384);
  return directory;
}

/** Sets an entry. Returns false when the reference is too great or the arena is full. */
export function setReference(directory: usize, ref: u32, entry: u32): bool {
  if (ref >= DICTIONARY_REFS) return false;
  const at = directory + (<usize>(ref >> PAGE_REFS_BITS) << 2);
  let page: usize = load<u32>(at);
  if (page == 0) {
    page = takeSlot(CLASS_QUARTER);
    if (page == 0) return false;
    memory.fill(page, 0, 4096);
    store<u32>(at, <u32>page);
  }
  store<u32>(page + (<usize>(ref & (PAGE_REFS - 1)) << 2), entry);
  return true;
}

export function dropDictionary(directory: usize): void {
  for (let at = directory; at < directory + 16384; at += 4) {
    const page: usize = load<u32>(at);
    if (page != 0) freeSlot(page, CLASS_QUARTER);
  }
  freeSlot(directory, CLASS_PAGE);
}

function clearResults(): void {
  for (let at: usize = R_STORED; at <= R_CONSUMED; at += 4) setWord(at, 0);
  store<f64>(CONTROL + R_NEWEST, -Infinity);
}

/**
 * Appends the batch of `length` bytes in the batch region. `directory` is the connection's dictionary; samples outside
 * [minTime, maxTime] are counted and left out. OK, FULL (what came before is stored and recorded), UNKNOWN (nothing
 * stored, references in the out region), MALFORMED (nothing stored).
 */
export function append(length: u32, directory: usize, minTime: f64, maxTime: f64): u32 {
  clearResults();
  const batch: usize = word(BATCH_BASE);
  if (length < BATCH_HEADER || length > word(BATCH_CAPACITY)) return MALFORMED;
  if (load<u32>(batch) != BATCH_MAGIC || load<u32>(batch, 4) != length) return MALFORMED;
  const samples = load<u32>(batch, 12);
  const registered: u64 = load<u32>(batch, 24);
  const runBytes: u64 = load<u32>(batch, 28);
  if (<u64>BATCH_HEADER + registered + runBytes > length || samples > word(SPILL_CAPACITY)) return MALFORMED;
  const from = batch + BATCH_HEADER + <usize>registered;
  const to = from + <usize>runBytes;
  const end = batch + length;
  if (!isPacked(to, end, samples)) return MALFORMED;
  const status = checkBatch(from, to, samples, load<u32>(batch, 16), directory);
  return status != OK ? status : appendRuns(from, to, end, samples, directory, <i64>minTime, <i64>maxTime);
}

/** Decodes all runs without storing anything, and looks for references that the dictionary doesn't know. */
function checkBatch(from: usize, to: usize, samples: u32, runs: u32, directory: usize): u32 {
  let left = samples;
  let unknown: u32 = 0;
  const list: usize = word(OUT_BASE);
  const listMax = word(OUT_CAPACITY) >> 2;
  openRuns(from, to);
  while (!runsDone()) {
    if (runs == 0 || !nextRun(left)) return MALFORMED;
    runs--;
    left -= runCount;
    let ref = runRef;
    const end = ref + runCount;
    while (ref < end) {
      const page = pageOf(directory, ref);
      const stop = ref < DICTIONARY_REFS ? min(end, (ref | (PAGE_REFS - 1)) + 1) : end;
      let bad: u32 = page == 0 ? 1 : 0;
      if (page != 0) {
        const last = page + (<usize>((stop - 1) & (PAGE_REFS - 1)) << 2);
        for (let p = page + (<usize>(ref & (PAGE_REFS - 1)) << 2); p <= last; p += 4) bad |= <u32>(load<u32>(p) == 0);
      }
      if (bad != 0) {
        for (let r = ref; r < stop && unknown < listMax; r++) {
          if (page != 0 && load<u32>(page + (<usize>(r & (PAGE_REFS - 1)) << 2)) != 0) continue;
          store<u32>(list + (<usize>unknown << 2), r);
          unknown++;
        }
      }
      ref = stop;
    }
  }
  if (left != 0 || runs != 0) return MALFORMED;
  setWord(R_UNKNOWN, unknown);
  return unknown != 0 ? UNKNOWN : OK;
}

// @ts-ignore: decorator
@inline
function pageOf(directory: usize, ref: u32): usize {
  if (ref >= DICTIONARY_REFS) return 0;
  return load<u32>(directory + (<usize>(ref >> PAGE_REFS_BITS) << 2));
}

// @ts-ignore: decorator
@inline
function entryOf(directory: usize, ref: u32): usize {
  return pageOf(directory, ref) + (<usize>(ref & (PAGE_REFS - 1)) << 2);
}

/**
 * The loop over checked runs [from, to), whose values lie packed in [to, end): the common case here, everything else in
 * appendSample. With a directory it writes the samples record of what was stored; without (0) references are series
 * numbers, and nothing is written.
 */
function appendRuns(
  from: usize, to: usize, end: usize, samples: u32, directory: usize, minTime: i64, maxTime: i64,
): u32 {
  const recording = directory != 0;
  const values: usize = word(VALUES_BASE);
  unpackColumn(to, samples, values);
  const table: usize = word(HOT_BASE);
  let value = values;
  // Values of the record are gathered only once one of the batch is left out: mostly the packed column serves as it is.
  const gathered = <usize>word(OUT_BASE) + RECORD_HEADER + <usize>samples * 15 + 32;
  let out: usize = 0;
  // The run of the record that is being gathered: series [first, after).
  let first: u32 = 0;
  let after: u32 = 0;
  let time: i64 = i64.MIN_VALUE;
  let newest: i64 = i64.MIN_VALUE;
  // The group and ordinal of the sample before: those of its neighbours at the same time.
  let group = NONE;
  let ordinal = NONE;
  let special: u32 = 0;
  let stored: u32 = 0;
  let full = false;
  openRecord(recording);
  openRuns(from, to);
  while (!full && !runsDone()) {
    nextRun(samples);
    if (runTime < minTime || runTime > maxTime) {
      const reason = runTime < minTime ? R_TOO_OLD : R_FUTURE;
      setWord(reason, word(reason) + runCount);
      if (out == 0) out = beginGathering(gathered, values, value);
      value += <usize>runCount << 3;
      continue;
    }
    newest = max(newest, runTime);
    if (runTime != time) {
      if (first != after) writeRun(first, after, time);
      first = after;
      time = runTime;
      group = NONE;
      beginTime();
    }
    let ref = runRef;
    const stop = ref + runCount;
    for (let entries: usize = 0; ref < stop; ref++, entries += 4) {
      let number = ref;
      if (recording) {
        if (entries == 0 || (ref & (PAGE_REFS - 1)) == 0) entries = entryOf(directory, ref);
        number = load<u32>(entries) - 1;
        if (number >= REFUSED_COLLISION - 1) {
          const reason = number == REFUSED_LIMIT - 1 ? R_REFUSED_LIMIT : R_REFUSED_COLLISION;
          setWord(reason, word(reason) + 1);
          if (out == 0) out = beginGathering(gathered, values, value);
          value += 8;
          continue;
        }
      }
      const hot = table + (<usize>number << 4);
      const bits = load<u64>(value);
      if (
        load<u32>(hot, H_GROUP) == group && load<u32>(hot, H_NEXT) == ordinal &&
        (bits & EXPONENT_BITS) != EXPONENT_BITS
      ) {
        let cursor: usize = load<u32>(hot, H_CURSOR);
        store<u64>(cursor, bits);
        cursor += OPEN_ROW;
        if ((cursor & OPEN_ROWS) == 0) {
          cursor -= OPEN_BLOCK_BYTES;
          if (!sealFrame(seriesAt(number), cursor, 16, ordinal - 15)) {
            full = true;
            break;
          }
        }
        // Bytes first, then the count that lets readers see them.
        store<u32>(hot, <u32>cursor, H_CURSOR);
        store<u32>(hot, ordinal + 1, H_NEXT);
      } else {
        const result = appendSample(number, time, bits);
        if (result == NO_ROOM) {
          full = true;
          break;
        }
        group = enteredGroup;
        ordinal = enteredOrdinal;
        if (result != STORED) {
          if (result == DUPLICATE) setWord(R_DUPLICATES, word(R_DUPLICATES) + 1);
          else if (result == OUTVOTED) setWord(R_OUTVOTED, word(R_OUTVOTED) + 1);
          if (out == 0) out = beginGathering(gathered, values, value);
          value += 8;
          continue;
        }
        special++;
      }
      value += 8;
      stored++;
      if (out != 0) {
        store<u64>(out, bits);
        out += 8;
      }
      if (number != after) {
        if (first != after) writeRun(first, after, time);
        first = number;
      }
      after = number + 1;
    }
  }
  if (first != after) writeRun(first, after, time);
  // appendSample counted its own.
  addTotal(T_SAMPLES, stored - special);
  setWord(R_STORED, stored);
  if (newest != i64.MIN_VALUE) store<f64>(CONTROL + R_NEWEST, <f64>newest);
  const consumed = <u32>(value - values) >> 3;
  setWord(R_CONSUMED, consumed);
  if (recording && stored != 0) {
    if (out == 0 && consumed == samples) setWord(R_RECORD_BYTES, closeRecordCopying(to, end, stored));
    else setWord(R_RECORD_BYTES, closeRecord(out != 0 ? gathered : values, stored));
  }
  return full ? FULL : OK;
}

/** Copies the values so far, all of which were stored, to where the record gathers them. Returns where the next one goes. */
function beginGathering(gathered: usize, values: usize, value: usize): usize {
  memory.copy(gathered, values, value - values);
  return gathered + (value - values);
}

/**
 * Appends the samples of [minTime, maxTime] of the samples record of `length` bytes in the out region, whose series must
 * exist. OK, FULL or MALFORMED.
 */
export function replay(length: u32, minTime: f64, maxTime: f64): u32 {
  clearResults();
  const record: usize = word(OUT_BASE);
  if (length < RECORD_HEADER || length > word(OUT_CAPACITY)) return MALFORMED;
  const samples = load<u32>(record);
  let runs = load<u32>(record, 4);
  const runBytes: u64 = load<u32>(record, 8);
  if (<u64>RECORD_HEADER + runBytes > length || samples > word(SPILL_CAPACITY)) return MALFORMED;
  const from = record + RECORD_HEADER;
  const to = from + <usize>runBytes;
  const end = record + length;
  if (!isPacked(to, end, samples)) return MALFORMED;
  let left = samples;
  openRuns(from, to);
  while (!runsDone()) {
    if (runs == 0 || !nextRun(left) || <u64>runRef + runCount > word(SERIES_COUNT)) return MALFORMED;
    runs--;
    left -= runCount;
  }
  if (left != 0 || runs != 0) return MALFORMED;
  return appendRuns(from, to, end, samples, 0, <i64>minTime, <i64>maxTime);
}

/** Values of ordinals [from, to) of a series' present group to out, holes where it has none; see lib/decode.ts. */
export function readColumn(number: u32, from: u32, to: u32, out: usize): u32 {
  return decode.readColumn(seriesAt(number), from, to, out);
}

/** The head's samples with times in [low, high]: R_COUNT of them; see lib/decode.ts. */
export function readSeries(number: u32, low: f64, high: f64, times: usize, values: usize, capacity: u32): u32 {
  return decode.readSeries(seriesAt(number), low, high, times, values, capacity);
}

/** Finds the ordinals of a group with times in [low, high]: R_FROM and R_TO. */
export function timeRange(group: u32, low: f64, high: f64): void {
  const from = decode.ordinalsFrom(groupAt(group), low);
  setWord(R_FROM, from);
  setWord(R_TO, max(from, decode.ordinalsTo(groupAt(group), high)));
}

/** Writes the times of ordinals [from, to) of a group, which must exist, as f64 to out. */
export function groupTimes(group: u32, from: u32, to: u32, out: usize): void {
  readTimes(groupAt(group), from, to, out);
}
