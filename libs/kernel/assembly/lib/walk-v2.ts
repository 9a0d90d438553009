// libs/kernel/assembly/lib/walk-v2.ts: walks a remote write 2.0 message (io.prometheus.write.v2.Request) into rows and samples.
// Each series' label bytes are written out as version 1 would encode them, so that one identification serves both versions.
// Symbols normally come first; when one follows a series, all symbols are collected first and the walk starts over.
import { copyWide, copyWide48 } from "./bytes";
import { LIMIT_LABELS, LIMIT_SYMBOLS, WIRE_TYPE } from "./codes";
import { IO_FAMILIES, IO_SYMBOLS, IO_SYMBOL_CAP, IO_SYMBOL_COUNT, IO_GATHER } from "./layout";
import {
  beginRequest, clearCounts, countEmpty, countExemplar, countHistogram, endRequest, gather, gatherEnd, pushRow, takeSample, refuseRefs, samples, series,
  setFieldAt, setGather, timeRefused,
} from "./walk";
import { BYTES, VARINT, next, problem, readLength, readTag, readVarint, skipField } from "./wire";

const SERIES_FIELD: u32 = 5;
const SYMBOL_FIELD: u32 = 4;
const SYMBOL_TAG: u32 = 0x22;
/** No symbol: the name of a pair that has not begun. */
const NONE: u32 = 0xffff_ffff;
/** A label whose name and value have 123 bytes together takes 129, and copies go up to 48 beyond. */
const SHORT_LABEL_ROOM: usize = 192;

let symbols: usize = 0;
let symbolCap: u32 = 0;
let symbolCount: u32 = 0;
let families: usize = 0;
/** The name of a label whose value reference has not come yet. */
let pendingName: u32 = NONE;
let refsBad: bool = false;
let metricType: u32 = 0;
let helpRef: u32 = 0;
let unitRef: u32 = 0;

/** Walks `len` bytes at `src`. Returns 0 or a negative code; counts and the error's place are in the request block. */
export function walkV2(src: usize, len: u32, io: usize): i32 {
  beginRequest(io);
  symbols = load<u32>(io, IO_SYMBOLS);
  symbolCap = load<u32>(io, IO_SYMBOL_CAP);
  symbolCount = 0;
  families = load<u32>(io, IO_FAMILIES);
  const end = src + len;
  let code = walkRequest(src, end, true, true);
  if (code == 1) {
    symbolCount = 0;
    clearCounts();
    setGather(load<u32>(io, IO_GATHER));
    code = walkRequest(src, end, true, false);
    if (code == 0) code = walkRequest(src, end, false, true);
  }
  store<u32>(io, symbolCount, IO_SYMBOL_COUNT);
  return endRequest(io, src, code);
}

/** The request's fields, taking symbols, series or both. Returns 1 when a symbol follows a series and both were wanted. */
function walkRequest(p: usize, end: usize, takeSymbols: bool, takeSeries: bool): i32 {
  let seriesSeen = false;
  while (p < end) {
    let field = <u32>load<u8>(p) >> 3;
    let length = <u32>load<u8>(p, 1);
    let body = p + 2;
    if (<u32>load<u8>(p) - SYMBOL_TAG > 8 || (load<u8>(p) & 7) != BYTES || length > 127 || body + length > end) {
      setFieldAt(p);
      const tag = readTag(p, end);
      if (problem != 0) return problem;
      field = tag >> 3;
      if (field != SYMBOL_FIELD && field != SERIES_FIELD) {
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
    p = body + length;
    if (field == SYMBOL_FIELD) {
      if (seriesSeen && takeSymbols && takeSeries) return 1;
      if (takeSymbols) {
        if (symbolCount >= symbolCap) return LIMIT_SYMBOLS;
        store<u32>(symbols + (<usize>symbolCount << 3), <u32>body);
        store<u32>(symbols + (<usize>symbolCount << 3), length, 4);
        symbolCount++;
      }
    } else {
      seriesSeen = true;
      if (takeSeries) {
        const code = walkSeries(body, p);
        if (code != 0) return code;
      }
    }
  }
  return 0;
}

/** One TimeSeries in [p, end). */
function walkSeries(p: usize, end: usize): i32 {
  const first = samples;
  const refusedBefore = timeRefused;
  const labelAt = gather;
  let withOther = false;
  pendingName = NONE;
  refsBad = false;
  metricType = 0;
  helpRef = 0;
  unitRef = 0;
  while (p < end) {
    let tag = <u32>load<u8>(p);
    let length = <u32>load<u8>(p, 1);
    let body = p + 2;
    if ((tag & 0xc7) != BYTES || tag - 8 > 0x22 || length > 127 || body + length > end) {
      setFieldAt(p);
      tag = readTag(p, end);
      if (problem != 0) return problem;
      if (tag == ((1 << 3) | VARINT)) {
        // References may also come one by one.
        const ref = readVarint(next, end);
        if (problem != 0) return problem;
        p = next;
        const code = takeRef(ref);
        if (code != 0) return code;
        continue;
      }
      if (tag >> 3 > 5) {
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
    if (field == 1) code = walkRefs(body, p);
    else if (field == 2) code = takeSample(body, p, 3);
    else if (field == 5) code = walkMetadata(body, p);
    else {
      if (field == 4) countExemplar();
      else countHistogram();
      withOther = true;
    }
    if (code != 0) return code;
  }
  if (refsBad || pendingName != NONE) {
    setGather(labelAt);
    refuseRefs(first);
    return 0;
  }
  if (samples == first) {
    setGather(labelAt);
    if (!withOther && timeRefused == refusedBefore) countEmpty();
    return 0;
  }
  const code = pushRow(labelAt, <u32>(gather - labelAt), first, 0);
  if (code != 0) return code;
  const family = families + <usize>(series - 1) * 12;
  store<u32>(family, metricType);
  store<u32>(family, helpRef, 4);
  store<u32>(family, unitRef, 8);
  return 0;
}

/** Packed label references. */
function walkRefs(p: usize, end: usize): i32 {
  let to = gather;
  // A name begins a pair, and most labels are short: both symbols are copied with their lengths as the message has them.
  while (pendingName == NONE && p + 4 <= end && to + SHORT_LABEL_ROOM <= gatherEnd) {
    // Two references of one or two bytes each, without a branch on which.
    const a = <u32>load<u8>(p);
    const aHigh = <u32>load<u8>(p, 1);
    const aTwo = a >> 7;
    const q = p + 1 + aTwo;
    const b = <u32>load<u8>(q);
    const bHigh = <u32>load<u8>(q, 1);
    const bTwo = b >> 7;
    if ((((aHigh & (aTwo << 7)) | (bHigh & (bTwo << 7))) != 0)) break;
    const name = (a & 127) | ((aHigh << 7) & (0 - aTwo));
    const value = (b & 127) | ((bHigh << 7) & (0 - bTwo));
    if (name >= symbolCount || value >= symbolCount) break;
    const nameBytes = load<u32>(symbols + (<usize>name << 3), 4);
    const valueBytes = load<u32>(symbols + (<usize>value << 3), 4);
    if (nameBytes + valueBytes > 123) break;
    const nameAt = <usize>load<u32>(symbols + (<usize>name << 3)) - 2;
    const valueAt = <usize>load<u32>(symbols + (<usize>value << 3)) - 2;
    store<u16>(to, <u16>(0x0a | ((nameBytes + valueBytes + 4) << 8)));
    to += 2;
    copyWide(to, nameAt, nameBytes + 2);
    store<u16>(to, <u16>(0x0a | (nameBytes << 8)));
    to += nameBytes + 2;
    copyWide48(to, valueAt, valueBytes + 2);
    store<u16>(to, <u16>(0x12 | (valueBytes << 8)));
    to += valueBytes + 2;
    p = q + 1 + bTwo;
  }
  setGather(to);
  while (p < end) {
    setFieldAt(p);
    const ref = readVarint(p, end);
    if (problem != 0) return problem;
    p = next;
    const code = takeRef(ref);
    if (code != 0) return code;
  }
  return 0;
}

/** One label reference: a name waits for its value, a value completes a label. */
function takeRef(ref: u64): i32 {
  if (ref >= <u64>symbolCount) {
    refsBad = true;
    return 0;
  }
  if (pendingName == NONE) {
    pendingName = <u32>ref;
    return 0;
  }
  const code = writeLabel(pendingName, <u32>ref);
  pendingName = NONE;
  return code;
}

/** Bytes of the varint of a length below 2^28. */
function varintBytes(n: u32): u32 {
  return n < 128 ? 1 : n < 16_384 ? 2 : n < 2_097_152 ? 3 : 4;
}

function writeVarint(to: usize, n: u32): usize {
  while (n > 127) {
    store<u8>(to++, <u8>(n | 128));
    n >>= 7;
  }
  store<u8>(to, <u8>n);
  return to + 1;
}

/** Appends a label as version 1 encodes it: 0a length (0a length name) (12 length value). */
function writeLabel(name: u32, value: u32): i32 {
  const nameAt = <usize>load<u32>(symbols + (<usize>name << 3));
  const nameBytes = load<u32>(symbols + (<usize>name << 3), 4);
  const valueAt = <usize>load<u32>(symbols + (<usize>value << 3));
  const valueBytes = load<u32>(symbols + (<usize>value << 3), 4);
  const length: u32 = 2 + varintBytes(nameBytes) + nameBytes + varintBytes(valueBytes) + valueBytes;
  if (length + 5 > <u32>(gatherEnd - gather)) return LIMIT_LABELS;
  let to = gather;
  store<u8>(to, 0x0a);
  to = writeVarint(to + 1, length);
  store<u8>(to, 0x0a);
  to = writeVarint(to + 1, nameBytes);
  memory.copy(to, nameAt, nameBytes);
  to += nameBytes;
  store<u8>(to, 0x12);
  to = writeVarint(to + 1, valueBytes);
  memory.copy(to, valueAt, valueBytes);
  setGather(to + valueBytes);
  return 0;
}

/** A series' Metadata: type 1, help_ref 3, unit_ref 4. References that no symbol has are left for the reader to notice. */
function walkMetadata(p: usize, end: usize): i32 {
  // Type in one byte and help in two or one is what most series have; what follows goes the general way.
  const high = <u32>load<u8>(p, 4);
  const low = <u32>load<u8>(p, 3);
  const two = low >> 7;
  if (p + 4 + two <= end && load<u8>(p) == 0x08 && load<u8>(p, 1) < 128 && load<u8>(p, 2) == 0x18 && (high & (two << 7)) == 0) {
    metricType = load<u8>(p, 1);
    helpRef = (low & 127) | ((high << 7) & (0 - two));
    p += 4 + two;
  }
  while (p < end) {
    setFieldAt(p);
    const tag = readTag(p, end);
    if (problem != 0) return problem;
    const field = tag >> 3;
    if (field == 1 || field == 3 || field == 4) {
      if ((tag & 7) != VARINT) return WIRE_TYPE;
      const value = readVarint(next, end);
      if (problem != 0) return problem;
      const word = value >> 32 == 0 ? <u32>value : NONE;
      if (field == 1) metricType = word;
      else if (field == 3) helpRef = word;
      else unitRef = word;
    } else {
      skipField(next, end, tag);
      if (problem != 0) return problem;
    }
    p = next;
  }
  return 0;
}
