// libs/kernel/assembly/column.ts: the codec of immutable columns: values to a header and a payload, and back, bit for bit.
// HOT: bench test/bench/column.bench.ts, twin libs/kernel/twin/column.ts. Wrapper: libs/kernel/column.ts. Format:
// libs/kernel/FORMAT.md, "Column". Memory: lib/column-layout.ts. A header and payload that were read from a disk may be anything:
// decode answers with a code, never outside its regions, in time proportional to the count it was given.
import {
  BAD_EXCEPTIONS, BAD_HEADER, BAD_LENGTH, BAD_STREAM, CAPACITY, DIFFERENCES, EXCEPTION, EXPONENT_MAX, F_BASE, F_BIAS,
  F_COUNT, F_EXPONENT, F_FINGERPRINT, F_FLAGS, F_GCD, F_KIND, F_PAYLOAD_BYTES, F_PREDICTOR, F_REFERENCE, F_SHIFT,
  F_STEP, F_TABLE_OTHER, F_TABLE_RESIDUAL, F_TABLE_ZERO, FLAG_EXCEPTIONS, FLAG_REFERENCE, FLAG_RESIDUALS,
  FLAG_RESIDUALS_ALL, HEADER, HEADER_BYTES, INTEGERS, KIND_CODED, KIND_CONSTANT, KIND_LINEAR, KIND_RAW, layOut,
  MULTIPLES, OK, PAYLOAD, PAYLOAD_CAPACITY, PREDICT_LINE, REFERENCE_STRIDE, REFERENCES, REFERENCES_MAX, RESIDUALS,
  TABLES, VALUES, word,
} from "./lib/column-layout";
import * as choose from "./lib/column-choose";
import {
  addResiduals, chooseExponent, countResiduals, exceptionCount, giveValues, NO_EXPONENT, residualCount,
  residualsEverywhere, takeIntegers,
} from "./lib/column-integers";
import { addReference, giveIntegers, giveLine, readExceptions, readStream } from "./lib/column-read";
import { writeConstantStatistics, writeStatistics } from "./lib/column-stats";
import { buildTables } from "./lib/column-tables";
import { writeExceptions, writeStream } from "./lib/column-write";

/** A reference must save more than naming it costs. */
const REFERENCE_BITS: f32 = 32;

/** Lays out the memory; the caller then writes the frequencies and calls prepare. Returns false when the memory is too small. */
export function init(capacity: u32, memoryBytes: u32): bool {
  return layOut(capacity, memoryBytes);
}

/** Derives the tables from the frequencies. Returns false when they are none. */
export function prepare(): bool {
  return buildTables();
}

/**
 * Encodes the first `count` values, which must be 1 to capacity, with the first `references` columns of as many values to choose a
 * reference from. Header and payload are in their regions then; the payload's length is returned.
 */
export function encode(count: u32, references: u32): u32 {
  const header = word(HEADER);
  const values = word(VALUES);
  memory.fill(header, 0, HEADER_BYTES);
  store<u32>(header, count, F_COUNT);
  store<u64>(header, 1, F_GCD);
  if (isConstant(values, count)) {
    store<u8>(header, <u8>KIND_CONSTANT, F_KIND);
    store<u64>(header, load<u64>(values), F_BASE);
    writeConstantStatistics(header, values, count);
    return 0;
  }
  writeStatistics(header, values, count);
  const e = chooseExponent(values, count);
  let length = e == NO_EXPONENT || !takeIntegers(values, count, e) ? u32.MAX_VALUE : encodeIntegers(count, e, references);
  if (length >= count << 3) {
    for (let at: usize = F_KIND; at < F_GCD; at += 4) store<u32>(header + at, 0);
    store<u64>(header, 1, F_GCD);
    store<u32>(header, 0, F_REFERENCE);
    length = count << 3;
    memory.copy(word(PAYLOAD), values, length);
  }
  store<u32>(header, length, F_PAYLOAD_BYTES);
  return length;
}

function isConstant(values: usize, count: u32): bool {
  const first = load<u64>(values);
  for (let i: u32 = 1; i < count; i++) if (load<u64>(values + (<usize>i << 3)) != first) return false;
  return true;
}

/** The plan that is best so far is in the header; this is its cost. */
let leastCost: f32 = 0;

function encodeIntegers(count: u32, e: u32, references: u32): u32 {
  const header = word(HEADER);
  store<u8>(header, <u8>e, F_EXPONENT);
  store<u64>(header, fingerprint(count, e), F_FINGERPRINT);
  choose.plan(count, 0, e);
  leastCost = choose.cost;
  keepPlan(header, 0);
  // A line costs nothing already.
  let planned: u32 = 0;
  if (choose.kind != KIND_LINEAR) {
    for (let r: u32 = 1; r <= min(references, REFERENCES_MAX); r++) {
      choose.plan(count, referenceAt(r), e);
      planned = r;
      if (choose.cost + REFERENCE_BITS >= leastCost) continue;
      leastCost = choose.cost + REFERENCE_BITS;
      keepPlan(header, r);
    }
  }
  const taken = load<u32>(header, F_REFERENCE);
  if (taken != planned) choose.plan(count, taken != 0 ? referenceAt(taken) : 0, e);
  return writePayload(header, count);
}

// @ts-ignore: decorator
@inline
function referenceAt(number: u32): usize {
  return word(REFERENCES) + <usize>(number - 1) * word(REFERENCE_STRIDE);
}

function keepPlan(header: usize, reference: u32): void {
  store<u32>(header, reference, F_REFERENCE);
  store<u8>(header, <u8>choose.kind, F_KIND);
  store<u8>(header, reference != 0 ? <u8>FLAG_REFERENCE : 0, F_FLAGS);
  store<i64>(header, choose.base, F_BASE);
  store<i64>(header, choose.step, F_STEP);
  store<u64>(header, choose.divisor, F_GCD);
  const coded = choose.kind == KIND_CODED;
  store<u8>(header, coded ? <u8>choose.predictor : 0, F_PREDICTOR);
  store<u8>(header, coded ? <u8>choose.shift : 0, F_SHIFT);
  store<u8>(header, coded ? <u8>choose.tableZero : 0, F_TABLE_ZERO);
  store<u8>(header, coded ? <u8>choose.tableOther : 0, F_TABLE_OTHER);
  store<i64>(header, coded ? choose.bias : 0, F_BIAS);
  if (coded) return;
  // A line's step is in integers, not in multiples.
  store<i64>(header, choose.step * <i64>choose.divisor, F_STEP);
  store<u64>(header, 1, F_GCD);
}

/** Writes the payload of the plan in the header, whose multiples are in their region. Returns its length. */
function writePayload(header: usize, count: u32): u32 {
  const payload = word(PAYLOAD);
  let flags: u32 = load<u8>(header, F_FLAGS);
  let p = payload;
  if (exceptionCount != 0) {
    flags |= FLAG_EXCEPTIONS;
    p = writeExceptions(p, word(VALUES), count);
  }
  if (load<u8>(header, F_KIND) == KIND_CODED) {
    const predictor: u32 = load<u8>(header, F_PREDICTOR);
    choose.takeDifferences(word(MULTIPLES), count, predictor, load<i64>(header, F_STEP), load<i64>(header, F_BIAS));
    choose.classify(count - 1);
    p = writeStream(p, count - 1, load<u8>(header, F_SHIFT), load<u8>(header, F_TABLE_ZERO), load<u8>(header, F_TABLE_OTHER));
  }
  if (residualCount != 0) {
    flags |= residualsEverywhere ? FLAG_RESIDUALS_ALL : FLAG_RESIDUALS;
    const n = takeResiduals(count);
    choose.classify(n);
    const table = choose.chooseTable(n);
    store<u8>(header, <u8>table, F_TABLE_RESIDUAL);
    p = writeStream(p, n, 0, table, table);
  }
  store<u8>(header, <u8>flags, F_FLAGS);
  return <u32>(p - payload);
}

/** Writes the residuals that are stored to DIFFERENCES. Returns how many there are. */
function takeResiduals(count: u32): u32 {
  const integers = word(INTEGERS);
  const residuals = word(RESIDUALS);
  const out = word(DIFFERENCES);
  let n: u32 = 0;
  let residual: i32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const r = load<i32>(residuals + (<usize>i << 2));
    const at = integers + (<usize>i << 3);
    if (r != EXCEPTION) residual = r;
    if (!residualsEverywhere && i != 0 && load<i64>(at) == load<i64>(at - 8)) continue;
    store<u64>(out + (<usize>n << 3), choose.zigzag(residual));
    n++;
  }
  return n;
}

/** A hash of the increments: columns that may be each other's reference have the same. */
function fingerprint(count: u32, e: u32): u64 {
  let hash: u64 = (<u64>count << 8) | e;
  let p = word(INTEGERS);
  const end = p + (<usize>count << 3);
  let previous = load<i64>(p);
  for (p += 8; p < end; p += 8) {
    const integer = load<i64>(p);
    hash = (hash ^ <u64>(integer - previous)) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
    previous = integer;
  }
  return hash;
}

/**
 * Decodes the header and payload in their regions, the reference column in the first of the reference regions where there is one.
 * OK, or what is wrong: then the values are undefined.
 */
export function decode(hasReference: bool): u32 {
  const header = word(HEADER);
  const count = load<u32>(header, F_COUNT);
  const kind: u32 = load<u8>(header, F_KIND);
  const flags: u32 = load<u8>(header, F_FLAGS);
  const e: u32 = load<u8>(header, F_EXPONENT);
  const length = load<u32>(header, F_PAYLOAD_BYTES);
  if (count == 0 || <usize>count > word(CAPACITY) || kind > KIND_CODED) return BAD_HEADER;
  if (<usize>length > word(PAYLOAD_CAPACITY)) return BAD_HEADER;
  const values = word(VALUES);
  const payload = word(PAYLOAD);
  if (kind == KIND_CONSTANT) {
    if (length != 0 || flags != 0) return BAD_HEADER;
    const bits = load<u64>(header, F_BASE);
    for (let i: usize = 0; i < <usize>count << 3; i += 8) store<u64>(values + i, bits);
    return OK;
  }
  if (kind == KIND_RAW) {
    if (length != count << 3 || flags != 0) return BAD_HEADER;
    memory.copy(values, payload, length);
    return OK;
  }
  const wanted = (flags & FLAG_REFERENCE) != 0;
  if (e > EXPONENT_MAX || flags > 15 || wanted != hasReference) return BAD_HEADER;
  if ((flags & FLAG_RESIDUALS) != 0 && (flags & FLAG_RESIDUALS_ALL) != 0) return BAD_HEADER;
  return decodeIntegers(header, count, kind, flags, e, payload + length);
}

function decodeIntegers(header: usize, count: u32, kind: u32, flags: u32, e: u32, end: usize): u32 {
  const values = word(VALUES);
  const payload = word(PAYLOAD);
  let p = payload;
  if ((flags & FLAG_EXCEPTIONS) != 0) {
    p = readExceptions(p, end, count, 0);
    if (p == 0) return BAD_EXCEPTIONS;
  }
  if (kind == KIND_CODED) {
    const predictor: u32 = load<u8>(header, F_PREDICTOR);
    const shift: u32 = load<u8>(header, F_SHIFT);
    const zero: u32 = load<u8>(header, F_TABLE_ZERO);
    const other: u32 = load<u8>(header, F_TABLE_OTHER);
    if (predictor > PREDICT_LINE || shift > 63 || zero >= TABLES || other >= TABLES || count < 2) return BAD_HEADER;
    p = readStream(p, end, count - 1, shift, zero, other);
    if (p == 0) return BAD_STREAM;
    giveIntegers(
      count, predictor, load<i64>(header, F_BASE), load<u64>(header, F_GCD), load<i64>(header, F_STEP),
      load<i64>(header, F_BIAS),
    );
  } else giveLine(count, load<i64>(header, F_BASE), load<i64>(header, F_STEP));
  if ((flags & FLAG_REFERENCE) != 0) addReference(count, word(REFERENCES), e);
  giveValues(values, count, e);
  if ((flags & (FLAG_RESIDUALS | FLAG_RESIDUALS_ALL)) != 0) {
    const everywhere = (flags & FLAG_RESIDUALS_ALL) != 0;
    const table: u32 = load<u8>(header, F_TABLE_RESIDUAL);
    if (table >= TABLES) return BAD_HEADER;
    p = readStream(p, end, countResiduals(count, everywhere), 0, table, table);
    if (p == 0) return BAD_STREAM;
    addResiduals(values, count, word(DIFFERENCES), everywhere);
  }
  if (p != end) return BAD_LENGTH;
  if ((flags & FLAG_EXCEPTIONS) != 0) readExceptions(payload, end, count, values);
  return OK;
}
