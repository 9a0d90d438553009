// libs/kernel/assembly/lib/walk.ts: the columns that a walk fills: series rows, samples, gathered label bytes, counts.
// Both versions of remote write share samples and the general shape; what differs is in walk-v1.ts and walk-v2.ts.
// HOT: state lives in globals of the instance, written back to the request block once per request.
import { LIMIT_LABELS, LIMIT_SAMPLES, LIMIT_SERIES, WIRE_TYPE } from "./codes";
import {
  IO_EMPTY, IO_EXEMPLARS, IO_GATHER, IO_GATHER_CAP, IO_GATHERED, IO_GUESSED, IO_HISTOGRAMS, IO_METADATA_COUNT, IO_OFFSET, IO_REFS_REFUSED,
  IO_REFS_REFUSED_SAMPLES, IO_ROWS, IO_STARTS, IO_SAMPLES, IO_SAMPLE_CAP, IO_SERIES, IO_SERIES_CAP, IO_SYMBOL_COUNT, IO_TIMES, IO_TIME_REFUSED,
  IO_UNRESOLVED_COUNT, IO_VALUES, ROW,
} from "./layout";
import { BYTES, FIXED64, VARINT, clearProblem, next, problem, readTag, readVarint, skipField } from "./wire";

/** Times are whole milliseconds that a double holds exactly. */
const TIME_MAX: i64 = 1 << 53;

export let rows: usize = 0;
export let times: usize = 0;
export let values: usize = 0;
export let seriesCap: u32 = 0;
export let sampleCap: u32 = 0;
export let series: u32 = 0;
export let samples: u32 = 0;
export let exemplars: u32 = 0;
export let histograms: u32 = 0;
export let timeRefused: u32 = 0;
export let empty: u32 = 0;
export let refsRefused: u32 = 0;
export let refsRefusedSamples: u32 = 0;
export let starts: u32 = 0;
export let gather: usize = 0;
export let gatherEnd: usize = 0;
/** Where the field that is being read begins; a malformed message is reported there. */
export let fieldAt: usize = 0;

/** Points the columns at their regions and sets all counts to zero. */
export function beginRequest(io: usize): void {
  clearProblem();
  rows = load<u32>(io, IO_ROWS);
  times = load<u32>(io, IO_TIMES);
  values = load<u32>(io, IO_VALUES);
  seriesCap = load<u32>(io, IO_SERIES_CAP);
  sampleCap = load<u32>(io, IO_SAMPLE_CAP);
  gather = load<u32>(io, IO_GATHER);
  gatherEnd = gather + load<u32>(io, IO_GATHER_CAP);
  store<u32>(io, 0, IO_UNRESOLVED_COUNT);
  store<u32>(io, 0, IO_METADATA_COUNT);
  store<u32>(io, 0, IO_SYMBOL_COUNT);
  store<u32>(io, 0, IO_GUESSED);
  clearCounts();
}

/** Sets what was counted and filled to zero: a walk that must start over does that. */
export function clearCounts(): void {
  series = 0;
  samples = 0;
  exemplars = 0;
  histograms = 0;
  timeRefused = 0;
  empty = 0;
  refsRefused = 0;
  refsRefusedSamples = 0;
  starts = 0;
}

/** Writes the counts back; returns the code it is given. */
export function endRequest(io: usize, src: usize, code: i32): i32 {
  store<u32>(io, <u32>(fieldAt - src), IO_OFFSET);
  store<u32>(io, series, IO_SERIES);
  store<u32>(io, samples, IO_SAMPLES);
  store<u32>(io, exemplars, IO_EXEMPLARS);
  store<u32>(io, histograms, IO_HISTOGRAMS);
  store<u32>(io, timeRefused, IO_TIME_REFUSED);
  store<u32>(io, empty, IO_EMPTY);
  store<u32>(io, refsRefused, IO_REFS_REFUSED);
  store<u32>(io, refsRefusedSamples, IO_REFS_REFUSED_SAMPLES);
  store<u32>(io, starts, IO_STARTS);
  store<u32>(io, <u32>(gather - <usize>load<u32>(io, IO_GATHER)), IO_GATHERED);
  return code;
}

// @ts-ignore: decorator
@inline
export function setFieldAt(p: usize): void {
  fieldAt = p;
}

export function setTotals(seriesCount: u32, sampleCount: u32): void {
  series = seriesCount;
  samples = sampleCount;
}

export function countExemplar(): void {
  exemplars++;
}

export function countHistogram(): void {
  histograms++;
}

export function countEmpty(): void {
  empty++;
}

/** Takes back the samples from `first` on: their series has no readable labels. */
export function refuseRefs(first: u32): void {
  refsRefused++;
  refsRefusedSamples += samples - first;
  samples = first;
}

/** Whether six bytes are a varint of exactly six bytes: every time from 1971-02 to 2109. */
// @ts-ignore: decorator
@inline
export function isSixByteVarint(raw: u64): bool {
  return (raw & 0x8080_8080_8080) == 0x0080_8080_8080;
}

/** The value of a six-byte varint. */
// @ts-ignore: decorator
@inline
export function sixByteVarint(raw: u64): f64 {
  const pairs = (raw & 0x007f_007f_007f) | ((raw & 0x7f00_7f00_7f00) >> 1);
  return <f64>((pairs & 0x3fff) | ((pairs >> 2) & 0xfff_c000) | ((pairs >> 4) & 0x3ff_f000_0000));
}

function pushSample(time: f64, bits: u64): i32 {
  if (samples >= sampleCap) return LIMIT_SAMPLES;
  store<f64>(times + (<usize>samples << 3), time);
  store<u64>(values + (<usize>samples << 3), bits);
  samples++;
  return 0;
}

/** Reads the Sample in [p, end): `known` is the highest field number of this version's Sample. */
// @ts-ignore: decorator
@inline
export function takeSample(p: usize, end: usize, known: u32): i32 {
  const size = end - p;
  // Value and time, or, for the value 0, the time alone. Which of both differs from series to series: no branch on it.
  const whole = <u64>((<u32>(size == 16) & <u32>(load<u8>(p) == 0x09)) & <u32>(load<u8>(end - 7) == 0x10));
  const alone = <u32>(size == 7) & <u32>(load<u8>(p) == 0x10);
  const raw = load<u64>(end - 6) & 0xffff_ffff_ffff;
  const at = samples;
  if ((((<u32>whole | alone) & <u32>isSixByteVarint(raw)) & <u32>(at < sampleCap)) == 0) return readSample(p, end, known);
  store<f64>(times + (<usize>at << 3), sixByteVarint(raw));
  store<u64>(values + (<usize>at << 3), load<u64>(p, 1) & (0 - whole));
  samples = at + 1;
  return 0;
}

/** The same for any encoding of a Sample. */
export function readSample(p: usize, end: usize, known: u32): i32 {
  let bits: u64 = 0;
  let time: i64 = 0;
  while (p < end) {
    fieldAt = p;
    const tag = readTag(p, end);
    if (problem != 0) return problem;
    const field = tag >> 3;
    const body = next;
    if (field == 2 || (field == 3 && known == 3)) {
      if ((tag & 7) != VARINT) return WIRE_TYPE;
      const value = readVarint(body, end);
      if (field == 2) time = <i64>value;
      else if (value != 0) starts++;
    } else {
      if (field == 1 && (tag & 7) != FIXED64) return WIRE_TYPE;
      skipField(body, end, tag);
      if (field == 1 && problem == 0) bits = load<u64>(body);
    }
    if (problem != 0) return problem;
    p = next;
  }
  if (time > TIME_MAX || time < -TIME_MAX) {
    timeRefused++;
    return 0;
  }
  return pushSample(<f64>time, bits);
}

/** Adds a row for a series whose samples begin at `first`. */
// @ts-ignore: decorator
@inline
export function pushRow(labelAt: usize, labelBytes: u32, first: u32, sid: u32): i32 {
  if (series >= seriesCap) return LIMIT_SERIES;
  const row = rows + <usize>series * ROW;
  store<u32>(row, <u32>labelAt);
  store<u32>(row, labelBytes, 4);
  store<u32>(row, first, 8);
  store<u32>(row, sid, 12);
  series++;
  return 0;
}

/** Appends n bytes to the gathered label bytes. */
export function gatherBytes(p: usize, n: u32): i32 {
  if (n > <u32>(gatherEnd - gather)) return LIMIT_LABELS;
  memory.copy(gather, p, n);
  gather += n;
  return 0;
}

/** Moves the end of the gathered bytes; the caller has checked it against gatherEnd. */
// @ts-ignore: decorator
@inline
export function setGather(p: usize): void {
  gather = p;
}

/** Whether a Label in [p, end) has the form that every client writes: name, value, nothing else, lengths below 128. */
// @ts-ignore: decorator
@inline
export function isUsualLabel(p: usize, end: usize): bool {
  const name = <usize>load<u8>(p, 1);
  const value = p + 2 + name;
  if (load<u8>(p) != 0x0a || name > 127 || value + 2 > end || load<u8>(value) != 0x12) return false;
  const length = <usize>load<u8>(value, 1);
  return length < 128 && value + 2 + length == end;
}

/** Checks that the bytes of a Label in [p, end) are well-formed: name 1 and value 2 are bytes fields. */
export function checkLabel(p: usize, end: usize): i32 {
  while (p < end) {
    fieldAt = p;
    const tag = readTag(p, end);
    if (problem != 0) return problem;
    if (tag >> 3 <= 2 && (tag & 7) != BYTES) return WIRE_TYPE;
    skipField(next, end, tag);
    if (problem != 0) return problem;
    p = next;
  }
  return 0;
}
