// libs/kernel/assembly/lib/walk-v1.ts: walks a remote write 1.0 message (prometheus.WriteRequest) once, into rows and samples.
// A series that comes where the predictor expects it, with one sample, is done by comparing its labels with the remembered ones: no
// label is looked into. Every other valid encoding goes the general way: any field order, several samples, labels scattered
// over the series (they are gathered), unknown fields. What the labels say is read when a series is registered, in TypeScript.
// In a request without order prediction is given up. Then whatever stands before a sample in the usual form is guessed to be the labels,
// unread: a form with the very same bytes proves it. When one of the guesses finds no form, the caller has all walked without guesses.
import { equalBytes } from "./bytes";
import { LIMIT_METADATA, LIMIT_SAMPLES, LIMIT_SERIES, WIRE_TRUNCATED, WIRE_TYPE } from "./codes";
import { formAt } from "./forms";
import {
  FORM_BYTES, FORM_LENGTH, FORM_TENANT, IO_GUESSED, IO_METADATA, IO_METADATA_CAP, IO_METADATA_COUNT, IO_UNRESOLVED, IO_UNRESOLVED_COUNT, ROW,
} from "./layout";
import { arena, beginPrediction, endPrediction, expected, follow, isLost, recover } from "./predict";
import {
  beginRequest, checkLabel, countEmpty, countExemplar, countHistogram, endRequest, gather, gatherBytes, isSixByteVarint, isUsualLabel, pushRow,
  takeSample, rows, sampleCap, samples, series, seriesCap, setFieldAt, setTotals, sixByteVarint, timeRefused, times, values,
} from "./walk";
import { BYTES, next, problem, readLength, readTag, skipField, setNext } from "./wire";

let unresolved: usize = 0;
let unresolvedCount: u32 = 0;
let guessing = false;
let guessed: u32 = 0;

/**
 * Walks `len` bytes at `src`, guessing labels where allowed. Returns 0 or a negative code; counts and the error's place are in the
 * request block.
 */
export function walkV1(src: usize, len: u32, tenant: u32, forms: usize, io: usize, guess: bool): i32 {
  guessing = guess;
  guessed = 0;
  beginRequest(io);
  beginPrediction(forms);
  unresolved = load<u32>(io, IO_UNRESOLVED);
  unresolvedCount = 0;
  const end = src + len;
  let p = src;
  while (p < end) {
    p = walkExpected(p, end, tenant);
    if (p >= end) break;
    const code = walkField(p, end, tenant, forms, io);
    if (code != 0) return endRequest(io, src, code);
    p = next;
  }
  store<u32>(io, unresolvedCount, IO_UNRESOLVED_COUNT);
  store<u32>(io, guessed, IO_GUESSED);
  endPrediction(forms);
  return endRequest(io, src, 0);
}

/** Takes series as long as they are the expected ones with one sample in the usual form. Returns where the first other field begins. */
function walkExpected(p: usize, end: usize, tenant: u32): usize {
  let row = rows + <usize>series * ROW;
  const rowEnd = rows + <usize>seriesCap * ROW;
  let time = times + (<usize>samples << 3);
  const timeEnd = times + (<usize>sampleCap << 3);
  let value = values + (<usize>samples << 3);
  let sample = samples;
  while (p < end && expected != 0 && row < rowEnd && time < timeEnd) {
    const record = formAt(arena, expected);
    const n = <usize>load<u32>(record, FORM_LENGTH);
    // A length of one or two bytes, without a branch on which.
    const high = <usize>load<u8>(p, 2);
    const low = <usize>load<u8>(p, 1);
    const two = low >> 7;
    if ((high & (two << 7)) != 0) break;
    const length = (low & 127) | ((high << 7) & (0 - two));
    const labels = p + 2 + two;
    const body = labels + n;
    const size = length - n;
    if (load<u8>(p) != 0x0a || load<u32>(record, FORM_TENANT) != tenant) break;
    // A series is its labels and 18 bytes: tag, length 16, tag, double, tag, six bytes of time; the value 0 is left out.
    let rawTime: u64;
    let bits: u64;
    if (size == 18) {
      if (body + 18 > end || (load<u32>(body) & 0xff_ffff) != 0x09_1012 || load<u8>(body, 11) != 0x10) break;
      rawTime = load<u64>(body, 12) & 0xffff_ffff_ffff;
      bits = load<u64>(body, 3);
    } else {
      if (size != 9 || body + 9 > end || (load<u32>(body) & 0xff_ffff) != 0x10_0712) break;
      rawTime = load<u64>(body, 3) & 0xffff_ffff_ffff;
      bits = 0;
    }
    if (!isSixByteVarint(rawTime)) break;
    if (!equalBytes(record + FORM_BYTES, labels, <u32>n)) break;
    store<u32>(row, <u32>labels);
    store<u32>(row, <u32>n, 4);
    store<u32>(row, sample, 8);
    store<u32>(row, follow(expected), 12);
    store<f64>(time, sixByteVarint(rawTime));
    store<u64>(value, bits);
    row += ROW;
    time += 8;
    value += 8;
    sample++;
    p = body + size;
  }
  setTotals(<u32>((row - rows) / ROW), sample);
  return p;
}

/** One field of the request. Returns a code; `next` is where the field ends. */
function walkField(p: usize, end: usize, tenant: u32, forms: usize, io: usize): i32 {
  let tag = <u32>load<u8>(p);
  const low = <u32>load<u8>(p, 1);
  const high = <u32>load<u8>(p, 2);
  const two = low >> 7;
  let length = (low & 127) | ((high << 7) & (0 - two));
  let body = p + 2 + two;
  if (tag != 0x0a || (high & (two << 7)) != 0 || body + length > end) {
    setFieldAt(p);
    tag = readTag(p, end);
    if (problem != 0) return problem;
    if (tag >> 3 != 1 && tag >> 3 != 3) {
      skipField(next, end, tag);
      return problem;
    }
    if ((tag & 7) != BYTES) return WIRE_TYPE;
    length = readLength(next, end);
    if (problem != 0) return problem;
    body = next;
  }
  const bodyEnd = body + length;
  if (tag >> 3 == 1) {
    const code = walkSeries(body, bodyEnd, tenant, forms);
    if (code != 0) return code;
  } else {
    const count = load<u32>(io, IO_METADATA_COUNT);
    if (count >= load<u32>(io, IO_METADATA_CAP)) return LIMIT_METADATA;
    const entry = <usize>load<u32>(io, IO_METADATA) + (<usize>count << 3);
    store<u32>(entry, <u32>body);
    store<u32>(entry, length, 4);
    store<u32>(io, count + 1, IO_METADATA_COUNT);
  }
  setNext(bodyEnd);
  return 0;
}

/** One TimeSeries in [p, end), in any encoding. */
function walkSeries(p: usize, end: usize, tenant: u32, forms: usize): i32 {
  if (guessing && isLost() && guessSeries(p, end)) return 0;
  const first = samples;
  const refusedBefore = timeRefused;
  let labelAt: usize = 0;
  let labelEnd: usize = 0;
  let form: u32 = 0;
  let gathered = false;
  let withHistogram = false;
  if (expected != 0) {
    const record = formAt(arena, expected);
    const n = load<u32>(record, FORM_LENGTH);
    if (n <= <u32>(end - p) && load<u32>(record, FORM_TENANT) == tenant && equalBytes(record + FORM_BYTES, p, n)) {
      form = expected;
      labelAt = p;
      p += n;
      labelEnd = p;
    }
  }
  while (p < end) {
    const fieldStart = p;
    let tag = <u32>load<u8>(p);
    let length = <u32>load<u8>(p, 1);
    let body = p + 2;
    // Tag and length are a byte each in nearly every field; 0x0a, 0x12, 0x1a, 0x22 are the known ones.
    if ((tag & 0xc7) != BYTES || tag - 8 > 0x1a || length > 127 || body + length > end) {
      setFieldAt(p);
      tag = readTag(p, end);
      if (problem != 0) return problem;
      if (tag >> 3 > 4) {
        skipField(next, end, tag);
        if (problem != 0) return problem;
        p = next;
        continue;
      }
      if ((tag & 7) != BYTES) return WIRE_TYPE;
      length = readLength(next, end);
      if (problem != 0) return problem;
      body = next;
    }
    const field = tag >> 3;
    p = body + length;
    let code: i32 = 0;
    if (field == 2) {
      code = takeSample(body, p, 2);
    } else if (field == 1) {
      code = isUsualLabel(body, p) ? 0 : checkLabel(body, p);
      form = 0;
      if (labelAt == 0) labelAt = fieldStart;
      else if (!gathered && labelEnd != fieldStart) {
        // Something stands between two labels: from here on they are copied together.
        const start = gather;
        if (code == 0) code = gatherBytes(labelAt, <u32>(labelEnd - labelAt));
        labelAt = start;
        gathered = true;
      }
      if (gathered && code == 0) code = gatherBytes(fieldStart, <u32>(p - fieldStart));
      labelEnd = gathered ? gather : p;
    } else if (field == 3) {
      countExemplar();
    } else {
      countHistogram();
      withHistogram = true;
    }
    if (code != 0) return code;
  }
  if (samples == first) {
    if (!withHistogram && timeRefused == refusedBefore) countEmpty();
    return 0;
  }
  return finishSeries(labelAt, <u32>(labelEnd - labelAt), first, form, tenant, forms);
}

/** Takes a series that ends with one sample in the usual form for labels and that sample. Returns false when it does not end so. */
function guessSeries(p: usize, end: usize): bool {
  const size = end - p;
  if (size < 20 || load<u8>(p) != 0x0a || samples >= sampleCap || series >= seriesCap) return false;
  const raw = load<u64>(end - 6) & 0xffff_ffff_ffff;
  if (load<u8>(end - 7) != 0x10 || !isSixByteVarint(raw)) return false;
  // A value and a time, or the time alone.
  const whole = (load<u32>(end - 18) & 0xff_ffff) == 0x09_1012;
  if (!whole && load<u16>(end - 9) != 0x0712) return false;
  const labelEnd = whole ? end - 18 : end - 9;
  store<f64>(times + (<usize>samples << 3), sixByteVarint(raw));
  store<u64>(values + (<usize>samples << 3), whole ? load<u64>(end - 15) : 0);
  store<u32>(unresolved + (<usize>unresolvedCount << 2), series);
  unresolvedCount++;
  guessed++;
  pushRow(p, <u32>(labelEnd - p), samples, 0);
  setTotals(series, samples + 1);
  return true;
}

/** Gives a series with samples its row and, when that is cheap, its sid. */
function finishSeries(labelAt: usize, labelBytes: u32, first: u32, form: u32, tenant: u32, forms: usize): i32 {
  const sid = form != 0 ? follow(form) : recover(forms, tenant, labelAt, labelBytes);
  if (sid == 0) {
    store<u32>(unresolved + (<usize>unresolvedCount << 2), series);
    unresolvedCount++;
  }
  return pushRow(labelAt, labelBytes, first, sid);
}
