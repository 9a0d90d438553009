// libs/kernel/assembly/lib/batch.ts: writes one owner's share of a request as an ingest batch (libs/kernel/FORMAT.md).
// HOT: one pass writes the runs (neighbouring references, one time) and lists the samples (reference, number), one packs the values.
// Samples in no order are put into one first (order.ts): a run a sample costs five bytes and a walk through the head's tables each.
import { FULL_BATCH } from "./codes";
import { IO_ROWS, IO_SAMPLES, IO_SERIES, IO_TIMES, IO_VALUES, ROW } from "./layout";
import { isScattered, orderSamples, SCRATCH_BYTES, timeAt } from "./order";
import { packColumn, packListed } from "./packed";

const MAGIC: u32 = 0x3142_4d54;
const HEADER: usize = 32;
/** A run takes at most 5 + 5 + 8 bytes, and a sample at most a run of its own and 8½ bytes of value. */
const SAMPLE_BYTES_MAX: u64 = 27;

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
export const BATCH_SCRATCH: usize = 36; // SCRATCH_BYTES of order.ts, then two lists of u32 pairs, each as long as a request has samples
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
/** Whether the samples listed last are neighbours in the request. */
let isUnbroken = false;

function beginRuns(at: usize): void {
  runsTo = at;
  runCount = 0;
  expectedRef = 0;
  previousTime = 0;
}

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
  const scratch = <usize>load<u32>(batch, BATCH_SCRATCH);
  const times = <usize>load<u32>(io, IO_TIMES);
  const values = <usize>load<u32>(io, IO_VALUES);
  const runsAt = out + HEADER + registrationBytes;
  let list = scratch + SCRATCH_BYTES;
  const count = writeRunsOfRows(io, batch, list, runsAt);
  if (load<u32>(batch, BATCH_MISSING_COUNT) != 0 || count == 0) return 0;
  if (isScattered(count, runCount)) {
    list = orderSamples(list, list + (<usize>load<u32>(io, IO_SAMPLES) << 3), count, times, scratch);
    writeRunsOfList(list, count, times, runsAt);
  } else if (isUnbroken) {
    list = 0;
  }
  const to = list == 0
    ? packColumn(values + (<usize>load<u32>(scratch + SCRATCH_BYTES, 4) << 3), count, runsTo)
    : packListed(values, list, count, runsTo);
  store<u32>(batch, count, BATCH_SAMPLES);
  store<u32>(out, MAGIC);
  store<u32>(out, <u32>(to - out), 4);
  store<u32>(out, load<u32>(batch, BATCH_SEQ), 8);
  store<u32>(out, count, 12);
  store<u32>(out, runCount, 16);
  store<u32>(out, load<u32>(batch, BATCH_REGISTRATIONS), 20);
  store<u32>(out, registrationBytes, 24);
  store<u32>(out, <u32>(runsTo - runsAt), 28);
  return <i32>(to - out);
}

/**
 * Writes the runs of the owner's rows, as they come, at `runsAt`; lists reference and number of each sample, and the sids without
 * a reference. Returns the number of samples.
 */
function writeRunsOfRows(io: usize, batch: usize, list: usize, runsAt: usize): u32 {
  const refs = <usize>load<u32>(batch, BATCH_REFS);
  const shards = <usize>load<u32>(batch, BATCH_SHARDS);
  const owned = <usize>load<u32>(batch, BATCH_OWNED);
  const missing = <usize>load<u32>(batch, BATCH_MISSING);
  const times = <usize>load<u32>(io, IO_TIMES);
  const series = load<u32>(io, IO_SERIES);
  const total = load<u32>(io, IO_SAMPLES);
  const from = load<u32>(batch, BATCH_FROM);
  const to = min<u32>(load<u32>(batch, BATCH_TO), series);
  let row = <usize>load<u32>(io, IO_ROWS) + <usize>from * ROW;
  let missingCount: u32 = 0;
  let at = list;
  let runRef: u32 = 0;
  let runLength: u32 = 0;
  let runTime: f64 = 0;
  let last: u32 = 0;
  beginRuns(runsAt);
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
    const stop = i + 1 < series ? load<u32>(row + ROW, 8) : total;
    for (let sample = load<u32>(row, 8); sample < stop; sample++, at += 8) {
      store<u32>(at, ref);
      store<u32>(at, sample, 4);
      last = sample;
      const time = load<f64>(times + (<usize>sample << 3));
      if (ref == runRef + runLength && time == runTime && runLength != 0) {
        runLength++;
      } else {
        if (runLength != 0) writeRun(runRef, runLength, runTime);
        runRef = ref;
        runLength = 1;
        runTime = time;
      }
    }
  }
  if (runLength != 0) writeRun(runRef, runLength, runTime);
  store<u32>(batch, missingCount, BATCH_MISSING_COUNT);
  const count = <u32>(at - list) >> 3;
  isUnbroken = count != 0 && last - load<u32>(list, 4) == count - 1;
  return count;
}

/** The same for a list of samples, which must not be empty. */
function writeRunsOfList(list: usize, count: u32, times: usize, runsAt: usize): void {
  let runRef = load<u32>(list);
  let runLength: u32 = 0;
  let runTime = timeAt(times, list);
  beginRuns(runsAt);
  const end = list + (<usize>count << 3);
  for (let at = list; at < end; at += 8) {
    const ref = load<u32>(at);
    const time = timeAt(times, at);
    if (ref == runRef + runLength && time == runTime) {
      runLength++;
    } else {
      writeRun(runRef, runLength, runTime);
      runRef = ref;
      runLength = 1;
      runTime = time;
    }
  }
  writeRun(runRef, runLength, runTime);
}
