// libs/kernel/assembly/lib/batch.ts: writes one owner's share of a request as an ingest batch (libs/kernel/FORMAT.md).
// HOT: rows become runs (neighbouring references, one time); values are copied in spans, in one piece when all samples go to one owner.
import { FULL_BATCH } from "./codes";
import { IO_ROWS, IO_SAMPLES, IO_SERIES, IO_TIMES, IO_VALUES, ROW } from "./layout";

const MAGIC: u32 = 0x3142_4d54;
const HEADER: usize = 32;
/** A run takes at most 5 + 5 + 8 bytes, and a sample at most a run of its own and 8 bytes of value. */
const SAMPLE_BYTES_MAX: u64 = 26;

// The batch block: u32 words between TypeScript and encodeBatch.
export const BATCH_OUT: usize = 0; // where the batch goes; registrations are already there, behind the header
export const BATCH_CAP: usize = 4;
export const BATCH_REFS: usize = 8; // u32 per sid: the connection's reference, 0 = none
export const BATCH_SHARDS: usize = 12; // u16 per sid
export const BATCH_OWNED: usize = 16; // u8 per shard: not 0 = this owner's; address 0 = every shard is
export const BATCH_SEQ: usize = 20;
export const BATCH_REGISTRATIONS: usize = 24;
export const BATCH_REGISTRATION_BYTES: usize = 28;
export const BATCH_MISSING: usize = 32; // out: u32 sids without a reference, in order, perhaps repeated
export const BATCH_SPANS: usize = 36; // scratch: u32 pairs
export const BATCH_SAMPLES: usize = 40; // out: samples in the batch
export const BATCH_MISSING_COUNT: usize = 44; // out
export const BATCH_FROM: usize = 48; // first row
export const BATCH_TO: usize = 52; // row behind the last

// @ts-ignore: decorator
@inline
function writeUvarint(to: usize, value: u64): usize {
  while (value > 127) {
    store<u8>(to++, <u8>(value | 128));
    value >>= 7;
  }
  store<u8>(to, <u8>value);
  return to + 1;
}

// @ts-ignore: decorator
@inline
function zigzag(value: i64): u64 {
  return <u64>((value << 1) ^ (value >> 63));
}

let runsTo: usize = 0;
let runCount: u32 = 0;
let expectedRef: u32 = 0;
let previousTime: i64 = 0;

function writeRun(ref: u32, count: u32, time: f64): void {
  runsTo = writeUvarint(runsTo, zigzag(<i64>ref - <i64>expectedRef));
  runsTo = writeUvarint(runsTo, count);
  runsTo = writeUvarint(runsTo, zigzag(<i64>time - previousTime));
  expectedRef = ref + count;
  previousTime = <i64>time;
  runCount++;
}

/** The number of the first sample of a row; behind the last row, of all samples. */
function sampleAt(io: usize, row: u32): u32 {
  if (row >= load<u32>(io, IO_SERIES)) return load<u32>(io, IO_SAMPLES);
  return load<u32>(<usize>load<u32>(io, IO_ROWS) + <usize>row * ROW, 8);
}

/**
 * Encodes the rows [from, to) that have a sid and a shard of this owner. Returns the batch's length, 0 when there is no such row, or FULL_BATCH.
 * When rows lack a reference nothing is encoded: 0 is returned and their sids are listed.
 */
export function encodeBatch(io: usize, batch: usize): i32 {
  const out = <usize>load<u32>(batch, BATCH_OUT);
  const registrationBytes = load<u32>(batch, BATCH_REGISTRATION_BYTES);
  store<u32>(batch, 0, BATCH_SAMPLES);
  store<u32>(batch, 0, BATCH_MISSING_COUNT);
  if (load<u32>(batch, BATCH_FROM) >= load<u32>(batch, BATCH_TO)) return 0;
  const total = sampleAt(io, load<u32>(batch, BATCH_TO)) - sampleAt(io, load<u32>(batch, BATCH_FROM));
  if (<u64>HEADER + registrationBytes + SAMPLE_BYTES_MAX * total > load<u32>(batch, BATCH_CAP)) return FULL_BATCH;
  const runsAt = out + HEADER + registrationBytes;
  const spans = writeRuns(io, batch, runsAt);
  if (load<u32>(batch, BATCH_MISSING_COUNT) != 0 || spans == 0) return 0;
  const values = <usize>load<u32>(io, IO_VALUES);
  const spanAt = <usize>load<u32>(batch, BATCH_SPANS);
  let to = runsTo;
  for (let i: u32 = 0; i < spans; i++) {
    const from = values + (<usize>load<u32>(spanAt + (<usize>i << 3)) << 3);
    const count = <usize>load<u32>(spanAt + (<usize>i << 3), 4);
    if (count < 8) for (let j: usize = 0; j < count << 3; j += 8) store<u64>(to + j, load<u64>(from + j));
    else memory.copy(to, from, count << 3);
    to += count << 3;
  }
  store<u32>(batch, <u32>((to - runsTo) >> 3), BATCH_SAMPLES);
  store<u32>(out, MAGIC);
  store<u32>(out, <u32>(to - out), 4);
  store<u32>(out, load<u32>(batch, BATCH_SEQ), 8);
  store<u32>(out, <u32>((to - runsTo) >> 3), 12);
  store<u32>(out, runCount, 16);
  store<u32>(out, load<u32>(batch, BATCH_REGISTRATIONS), 20);
  store<u32>(out, registrationBytes, 24);
  store<u32>(out, <u32>(runsTo - runsAt), 28);
  return <i32>(to - out);
}

/** Writes the runs at `runsAt`, lists spans of samples and sids without a reference. Returns the number of spans. */
function writeRuns(io: usize, batch: usize, runsAt: usize): u32 {
  const refs = <usize>load<u32>(batch, BATCH_REFS);
  const shards = <usize>load<u32>(batch, BATCH_SHARDS);
  const owned = <usize>load<u32>(batch, BATCH_OWNED);
  const missing = <usize>load<u32>(batch, BATCH_MISSING);
  const spans = <usize>load<u32>(batch, BATCH_SPANS);
  const times = <usize>load<u32>(io, IO_TIMES);
  const series = load<u32>(io, IO_SERIES);
  const total = load<u32>(io, IO_SAMPLES);
  const from = load<u32>(batch, BATCH_FROM);
  const to = min<u32>(load<u32>(batch, BATCH_TO), series);
  let row = <usize>load<u32>(io, IO_ROWS) + <usize>from * ROW;
  let missingCount: u32 = 0;
  let spanCount: u32 = 0;
  let spanStart: u32 = 0;
  let spanEnd: u32 = 0;
  let runRef: u32 = 0;
  let runLength: u32 = 0;
  let runTime: f64 = 0;
  runsTo = runsAt;
  runCount = 0;
  expectedRef = 0;
  previousTime = 0;
  for (let i = from; i < to; i++, row += ROW) {
    const sid = <usize>load<u32>(row, 12);
    if (sid == 0) continue;
    if (owned != 0 && load<u8>(owned + <usize>load<u16>(shards + (sid << 1))) == 0) continue;
    const ref = load<u32>(refs + (sid << 2));
    if (ref == 0) {
      store<u32>(missing + (<usize>missingCount << 2), <u32>sid);
      missingCount++;
      continue;
    }
    const first = load<u32>(row, 8);
    const stop = i + 1 < series ? load<u32>(row + ROW, 8) : total;
    for (let s = first; s < stop; s++) {
      const time = load<f64>(times + (<usize>s << 3));
      if (runLength != 0 && ref == runRef + runLength && time == runTime) {
        runLength++;
      } else {
        if (runLength != 0) writeRun(runRef, runLength, runTime);
        runRef = ref;
        runLength = 1;
        runTime = time;
      }
    }
    if (first != spanEnd) {
      if (spanEnd != spanStart) {
        store<u32>(spans + (<usize>spanCount << 3), spanStart);
        store<u32>(spans + (<usize>spanCount << 3), spanEnd - spanStart, 4);
        spanCount++;
      }
      spanStart = first;
    }
    spanEnd = stop;
  }
  if (runLength != 0) writeRun(runRef, runLength, runTime);
  if (spanEnd != spanStart) {
    store<u32>(spans + (<usize>spanCount << 3), spanStart);
    store<u32>(spans + (<usize>spanCount << 3), spanEnd - spanStart, 4);
    spanCount++;
  }
  store<u32>(batch, missingCount, BATCH_MISSING_COUNT);
  return spanCount;
}
