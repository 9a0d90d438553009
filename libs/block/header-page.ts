// libs/block/header-page.ts: the headers of up to 512 columns, field by field, so that like stands beside like when the page is packed.
// FORMAT.md, "Header pages". All fields of the codec's header come back but the two that only the encoder tells.
import {
  COLUMN_HEADER_BYTES,
  ColumnHeader,
  COLUMN_FIELD as FIELD,
  FLAG_REFERENCE,
  KIND_CODED,
  KIND_CONSTANT,
  KIND_LINEAR,
  NO_INDEX,
} from "../kernel/index.ts";
import { ByteSink, ByteSource, putInteger } from "./byte-stream.ts";
import type { ColumnEntry, DecodedColumn } from "./column-entry.ts";
import { copyField, integerOf, readNumber, type Scale, writeNumber } from "./header-number.ts";

/** The streams of a page, in order. A statistic has a stream of tags and one of numbers. */
const STREAMS = [
  ...["counts", "kinds", "times", "exponents", "predictors", "shifts", "tables", "residualTables", "lengths"],
  ...["checksums", "references", "baseTags", "bases", "steps", "biases", "gcds", "odd"],
  ...["first", "last", "min", "max", "sum", "resetSum", "resets"],
  ...["firstN", "lastN", "minN", "maxN", "sumN", "resetSumN", "specials"],
] as const;
type Stream = (typeof STREAMS)[number];

const EXPONENT_MAX = 22;
/** 10^e as the text would be read, exact up to 22. */
const POWERS = Array.from({ length: EXPONENT_MAX + 1 }, (_, e) => Number(`1e${e}`));
const NORMAL_NAN = 0x7ff8000000000001n;
const float = new Float64Array(1);
const bits = new BigUint64Array(float.buffer);

function bitsOf(value: number): bigint {
  float[0] = value;
  return bits[0]!;
}

/** The sum of a column of one value; a NaN's bits must not be the machine's choice. */
function constantSum(first: number, samples: number): bigint {
  const sum = first * samples;
  return Number.isNaN(sum) ? NORMAL_NAN : bitsOf(sum);
}

function putNan(view: DataView, offset: number): void {
  view.setUint32(offset, 1, true);
  view.setUint32(offset + 4, 0x7ff80000, true);
}

/** The exponent that a column's statistics are written with: the codec's, or the least that suits the first value. */
function exponentOf(kind: number, own: number, first: number): number {
  if (kind === KIND_CODED || kind === KIND_LINEAR) return own;
  for (let e = 0; e <= EXPONENT_MAX; e++) if (integerOf(first, POWERS[e]!) !== undefined) return e;
  return 0;
}

/** What statistics are divided by: the gcd, where it is one of values and not of distances to a reference. */
function gcdOf(view: DataView, kind: number, flags: number): number {
  const gcd = view.getUint32(FIELD.GCD, true) + view.getUint32(FIELD.GCD + 4, true) * 2 ** 32;
  return kind === KIND_CODED && (flags & FLAG_REFERENCE) === 0 && gcd > 0 && gcd < 2 ** 40 ? gcd : 1;
}

/** An integer near that of the column's sum. */
function sumAnchor(samples: number, anchor: number): number {
  const sum = samples * anchor;
  return Math.abs(sum) <= 2 ** 51 ? sum : 0;
}

/** The base a header has when nothing else is said: a constant's value, or the integer of the first sample. */
function expectedBase(kind: number, flags: number, firstBits: bigint, anchor: number): bigint {
  if (kind === KIND_CONSTANT) return BigInt.asIntN(64, firstBits);
  return (kind === KIND_CODED || kind === KIND_LINEAR) && (flags & FLAG_REFERENCE) === 0 ? BigInt(anchor) : 0n;
}

/** Encodes entries of columns numbered from `firstColumn`. With `counts` each has a count of its own. */
export function encodeHeaderPage(entries: readonly ColumnEntry[], firstColumn: number, counts: boolean): Uint8Array {
  const s = Object.fromEntries(STREAMS.map((name) => [name, new ByteSink()])) as Record<Stream, ByteSink>;
  entries.forEach((entry, i) => {
    writeEntry(s, entry, firstColumn + i, counts);
  });
  const sink = new ByteSink();
  for (const name of STREAMS) sink.uvarint(s[name].length);
  for (const name of STREAMS) sink.raw(s[name].written());
  return sink.written();
}

function writeEntry(s: Record<Stream, ByteSink>, entry: ColumnEntry, column: number, counts: boolean): void {
  const { header } = entry;
  const { bytes, view } = header;
  const float64 = (offset: number): bigint => view.getBigUint64(offset, true);
  const [kind, flags] = [bytes[FIELD.KIND]!, bytes[FIELD.FLAGS]!];
  if (counts) s.counts.uvarint(header.count);
  s.kinds.u8(kind | (flags << 2));
  s.times.uvarint(entry.times);
  const coded = kind === KIND_CODED;
  const integers = coded || kind === KIND_LINEAR;
  if (coded) {
    s.predictors.u8(bytes[FIELD.PREDICTOR]!);
    s.shifts.u8(bytes[FIELD.SHIFT]!);
    s.tables.u8(bytes[FIELD.TABLE_ZERO]! | (bytes[FIELD.TABLE_OTHER]! << 4));
    s.biases.svarint64(view.getBigInt64(FIELD.BIAS, true));
    s.gcds.svarint64(view.getBigInt64(FIELD.GCD, true));
  }
  if (integers) {
    s.residualTables.u8(bytes[FIELD.TABLE_RESIDUAL]!);
    s.steps.svarint64(view.getBigInt64(FIELD.STEP, true));
  }
  s.lengths.uvarint(header.payloadBytes);
  if (header.payloadBytes > 0) s.checksums.u32(entry.checksum);
  if (header.hasReference) s.references.uvarint(column - entry.reference);
  const firstBits = float64(FIELD.FIRST);
  const exponent = exponentOf(kind, bytes[FIELD.EXPONENT]!, header.first);
  s.exponents.u8(exponent);
  const scale: Scale = { power: POWERS[exponent]!, gcd: gcdOf(view, kind, flags) };
  const anchor = integerOf(header.first, scale.power) ?? 0;
  writeNumber(s.first, s.firstN, firstBits, { power: scale.power, gcd: 1 }, 0, NORMAL_NAN);
  const lastBits = float64(FIELD.LAST);
  writeNumber(s.last, s.lastN, lastBits, scale, anchor, firstBits);
  writeNumber(s.min, s.minN, float64(FIELD.MIN), scale, anchor, firstBits, lastBits);
  writeNumber(s.max, s.maxN, float64(FIELD.MAX), scale, anchor, lastBits, firstBits);
  const sum = sumAnchor(header.samples, anchor);
  writeNumber(s.sum, s.sumN, float64(FIELD.SUM), scale, sum, constantSum(header.first, header.samples));
  writeNumber(s.resetSum, s.resetSumN, float64(FIELD.RESET_SUM), scale, 0, 0n);
  s.resets.uvarint(header.resets);
  const base = view.getBigInt64(FIELD.BASE, true);
  const plain = base === expectedBase(kind, flags, firstBits, anchor);
  s.baseTags.u8(plain ? 0 : 1);
  if (!plain) s.bases.svarint64(base);
  const special = header.stales + header.nans > 0;
  s.odd.u8(special ? 1 : 0);
  if (!special) return;
  s.specials.uvarint(header.stales);
  s.specials.uvarint(header.nans);
  if (header.isEmpty) return;
  s.specials.uvarint(header.firstIndex);
  s.specials.uvarint(header.count - 1 - header.lastIndex);
}

/**
 * Decodes the entries of a page. `countOf` gives the count of a value column from its time column; without it the page has counts.
 * Errors: CorruptionError.
 */
export function decodeHeaderPage(
  source: ByteSource,
  columns: number,
  firstColumn: number,
  path: string,
  offset: number,
  countOf?: (times: number) => number,
): DecodedColumn[] {
  const lengths = STREAMS.map(() => source.uvarint());
  const s = Object.fromEntries(
    STREAMS.map((name, i) => [name, new ByteSource(source.raw(lengths[i]!), `header stream ${name}`, path, offset)]),
  ) as Record<Stream, ByteSource>;
  source.end();
  // One buffer for all: thousands of small ones cost more than reading them.
  const bytes = new Uint8Array(columns * COLUMN_HEADER_BYTES);
  const entries = Array.from({ length: columns }, (_, i) => {
    const header = new ColumnHeader(bytes.subarray(i * COLUMN_HEADER_BYTES, (i + 1) * COLUMN_HEADER_BYTES));
    return readEntry(s, header, firstColumn + i, countOf);
  });
  for (const name of STREAMS) s[name].end();
  return entries;
}

function readEntry(
  s: Record<Stream, ByteSource>,
  header: ColumnHeader,
  column: number,
  countOf?: (times: number) => number,
): DecodedColumn {
  const { bytes, view } = header;
  const ownCount = countOf === undefined ? s.counts.uvarint() : 0;
  const packed = s.kinds.u8();
  const [kind, flags] = [packed & 3, packed >> 2];
  const times = s.times.uvarint();
  const count = countOf === undefined ? ownCount : countOf(times);
  view.setUint32(FIELD.COUNT, count, true);
  bytes[FIELD.KIND] = kind;
  bytes[FIELD.FLAGS] = flags;
  const coded = kind === KIND_CODED;
  const integers = coded || kind === KIND_LINEAR;
  bytes[FIELD.GCD] = 1;
  if (coded) {
    bytes[FIELD.PREDICTOR] = s.predictors.u8();
    bytes[FIELD.SHIFT] = s.shifts.u8();
    const tables = s.tables.u8();
    bytes[FIELD.TABLE_ZERO] = tables & 15;
    bytes[FIELD.TABLE_OTHER] = tables >> 4;
    s.biases.svarint64Into(view, FIELD.BIAS);
    s.gcds.svarint64Into(view, FIELD.GCD);
  }
  if (integers) {
    bytes[FIELD.TABLE_RESIDUAL] = s.residualTables.u8();
    s.steps.svarint64Into(view, FIELD.STEP);
  }
  const payloadBytes = s.lengths.uvarint();
  view.setUint32(FIELD.PAYLOAD_BYTES, payloadBytes, true);
  const checksum = payloadBytes > 0 ? s.checksums.u32() : 0;
  let reference = -1;
  if ((flags & FLAG_REFERENCE) !== 0) {
    reference = column - s.references.uvarint();
    if (reference < 0 || reference >= column)
      throw s.references.damage(`reference ${reference}`, `one below ${column}`);
  }
  const exponent = s.exponents.u8();
  if (exponent > EXPONENT_MAX) throw s.exponents.damage(`exponent ${exponent}`, `at most ${EXPONENT_MAX}`);
  if (integers) bytes[FIELD.EXPONENT] = exponent;
  const scale: Scale = { power: POWERS[exponent]!, gcd: gcdOf(view, kind, flags) };
  putNan(view, FIELD.FIRST);
  readNumber(s.first, s.firstN, { power: scale.power, gcd: 1 }, 0, view, FIELD.FIRST);
  const first = view.getFloat64(FIELD.FIRST, true);
  const anchor = integerOf(first, scale.power) ?? 0;
  copyField(view, FIELD.FIRST, FIELD.LAST);
  readNumber(s.last, s.lastN, scale, anchor, view, FIELD.LAST);
  copyField(view, FIELD.FIRST, FIELD.MIN);
  readNumber(s.min, s.minN, scale, anchor, view, FIELD.MIN, FIELD.LAST);
  copyField(view, FIELD.LAST, FIELD.MAX);
  readNumber(s.max, s.maxN, scale, anchor, view, FIELD.MAX, FIELD.FIRST);
  const resets = s.resets.uvarint();
  if (s.baseTags.u8() !== 0) s.bases.svarint64Into(view, FIELD.BASE);
  else if (kind === KIND_CONSTANT) copyField(view, FIELD.FIRST, FIELD.BASE);
  else if (integers && (flags & FLAG_REFERENCE) === 0) putInteger(view, FIELD.BASE, anchor);
  readIndexes(s, view, count);
  const samples = header.samples;
  if (Number.isNaN(first * samples)) putNan(view, FIELD.SUM);
  else view.setFloat64(FIELD.SUM, first * samples, true);
  readNumber(s.sum, s.sumN, scale, sumAnchor(samples, anchor), view, FIELD.SUM);
  readNumber(s.resetSum, s.resetSumN, scale, 0, view, FIELD.RESET_SUM);
  view.setUint32(FIELD.RESETS, resets, true);
  return { header, checksum, times, reference, offset: 0 };
}

function readIndexes(s: Record<Stream, ByteSource>, view: DataView, count: number): void {
  view.setUint32(FIELD.LAST_INDEX, count - 1, true);
  if (s.odd.u8() === 0) return;
  const stales = s.specials.uvarint();
  const nans = s.specials.uvarint();
  if (stales + nans > count) throw s.specials.damage(`${stales} stale markers, ${nans} NaNs`, `at most ${count}`);
  view.setUint32(FIELD.STALES, stales, true);
  view.setUint32(FIELD.NANS, nans, true);
  const empty = stales === count;
  const first = empty ? NO_INDEX : s.specials.uvarint();
  const last = empty ? NO_INDEX : count - 1 - s.specials.uvarint();
  if (!empty && !(first <= last && last < count))
    throw s.specials.damage(`samples ${first} to ${last}`, `below ${count}`);
  view.setUint32(FIELD.FIRST_INDEX, first, true);
  view.setUint32(FIELD.LAST_INDEX, last, true);
}
