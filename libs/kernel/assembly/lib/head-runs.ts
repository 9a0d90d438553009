// libs/kernel/assembly/lib/head-runs.ts: the runs of ingest batches and samples records (libs/kernel/FORMAT.md), read
// and written.
// A reader never looks beyond `end`; a writer is given room for the worst case: 14 bytes a run.
import { OUT_BASE, word } from "./head-layout";
import { packColumn } from "./packed";

/** Times are within ±2^53. */
const TIME_MAX: i64 = 9007199254740992;

// Where nextRun reads, and what it read last.
let at: usize = 0;
let end: usize = 0;
let failed: bool = false;
export let runRef: u32 = 0;
export let runCount: u32 = 0;
export let runTime: i64 = 0;

export function openRuns(from: usize, to: usize): void {
  at = from;
  end = to;
  failed = false;
  runRef = 0;
  runCount = 0;
  runTime = 0;
}

export function runsDone(): bool {
  return at == end;
}

function uvarint(): u64 {
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < 64 && at < end; shift += 7) {
    const byte: u64 = load<u8>(at);
    at++;
    if (shift == 63 && byte > 1) break;
    value |= (byte & 127) << shift;
    if (byte < 128) return value;
  }
  failed = true;
  return 0;
}

// @ts-ignore: decorator
@inline
function svarint(): i64 {
  const value = uvarint();
  return <i64>(value >> 1) ^ -(<i64>(value & 1));
}

/** Reads the next run. Returns false when it is no valid run of at most `left` samples. */
export function nextRun(left: u32): bool {
  const expected = <i64>runRef + runCount;
  const jump = svarint();
  const count = uvarint();
  const delta = svarint();
  if (failed || count == 0 || count > left) return false;
  // 2^32 + 2^54 can't overflow, and a wilder jump is refused first.
  if (jump < -0xffffffff || jump > 0xffffffff || delta < -2 * TIME_MAX || delta > 2 * TIME_MAX) return false;
  const ref = expected + jump;
  const time = runTime + delta;
  if (ref < 0 || ref + <i64>count > 0xffffffff || time < -TIME_MAX || time > TIME_MAX) return false;
  runRef = <u32>ref;
  runCount = <u32>count;
  runTime = time;
  return true;
}

// The samples record being written.
let out: usize = 0;
let expectedSeries: u32 = 0;
let previousTime: i64 = 0;
let runs: u32 = 0;
let kept: bool = false;

/** Begins a record; one that is not kept only counts. */
export function openRecord(keep: bool): void {
  kept = keep;
  out = <usize>word(OUT_BASE) + 12;
  expectedSeries = 0;
  previousTime = 0;
  runs = 0;
}

function writeUvarint(value: u64): void {
  while (value > 127) {
    store<u8>(out++, <u8>value | 128);
    value >>= 7;
  }
  store<u8>(out++, <u8>value);
}

// @ts-ignore: decorator
@inline
function writeSvarint(value: i64): void {
  writeUvarint(<u64>((value << 1) ^ (value >> 63)));
}

/** Writes a run of the series [first, after). */
export function writeRun(first: u32, after: u32, time: i64): void {
  if (!kept) return;
  writeSvarint(<i64>first - <i64>expectedSeries);
  writeUvarint(after - first);
  writeSvarint(time - previousTime);
  expectedSeries = after;
  previousTime = time;
  runs++;
}

/**
 * Completes the record of `samples` values, which were gathered at `values`, far enough behind the runs to be packed
 * towards them (packed.ts). Returns its length.
 */
export function closeRecord(values: usize, samples: u32): u32 {
  return finishRecord(packColumn(values, samples, out), samples);
}

/** The same with the packed column of the batch in [from, end). */
export function closeRecordCopying(from: usize, end: usize, samples: u32): u32 {
  memory.copy(out, from, end - from);
  return finishRecord(out + (end - from), samples);
}

function finishRecord(end: usize, samples: u32): u32 {
  const start: usize = word(OUT_BASE);
  store<u32>(start, samples);
  store<u32>(start, runs, 4);
  store<u32>(start, <u32>(out - start) - 12, 8);
  return <u32>(end - start);
}
