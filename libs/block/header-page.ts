// libs/block/header-page.ts: the headers of up to 512 columns, field by field, so that like stands beside like when the page is packed.
// FORMAT.md, "Header pages". All fields of the codec's header come back but the two that only the encoder tells.
import {
  COLUMN_CODING_BYTES,
  COLUMN_HEADER_BYTES,
  ColumnHeader,
  COLUMN_FIELD as FIELD,
  FLAG_REFERENCE,
  KIND_CODED,
  KIND_CONSTANT,
  KIND_LINEAR,
  NO_INDEX,
} from "../kernel/index.ts";
import { ByteSink, ByteSource } from "./byte-stream.ts";
import type { ColumnEntry, StoredColumn } from "./column-entry.ts";
import {
  copyField,
  EXPONENT_MAX,
  integerOf,
  POWERS,
  readNumber,
  type Scale,
  skipTagged,
  writeNumber,
} from "./header-number.ts";
import { PageCodings } from "./page-codings.ts";

/** The streams of a page, in order. A statistic has a stream of tags and one of numbers. */
const STREAMS = [
  ...["counts", "kinds", "times", "exponents", "predictors", "shifts", "tables", "residualTables", "lengths"],
  ...["checksums", "references", "baseTags", "bases", "steps", "biases", "gcds", "odd"],
  ...["first", "last", "min", "max", "sum", "resetSum", "resets"],
  ...["firstN", "lastN", "minN", "maxN", "sumN", "resetSumN", "specials"],
] as const;
type Stream = (typeof STREAMS)[number];

/** What a column's entry takes in memory, about. */
const ENTRY_BYTES = 400;
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

/** Streams of statistics: with a byte for each column, and with numbers, which are as long as they are. */
const OF_ALL = ["exponents", "odd", "first", "last", "min", "max", "sum", "resetSum"] as const;
const VARYING = ["resets", "specials", "firstN", "lastN", "minN", "maxN", "sumN", "resetSumN"] as const;
const NUMBERS = ["first", "last", "min", "max", "sum", "resetSum"] as const;
export const HAS_STALES = 1;
export const HAS_NANS = 2;

/** Headers that share a buffer: many small ones cost more than reading them. */
const SLAB = 32;

/**
 * A page of headers, unpacked. What most queries ask of all columns is read at once, an entry with statistics when it is asked for: a page has
 * hundreds, and a query may want two. Errors of all methods: CorruptionError.
 */
export class HeaderPage {
  /** By column of the page: its time column. */
  readonly times: Uint32Array;
  /** By column of the page: HAS_STALES and HAS_NANS. */
  readonly odd: Uint8Array;
  private readonly streams: Record<Stream, ByteSource>;
  private readonly firstColumn: number;
  private readonly payloadOffset: number;
  private readonly countOf: ((times: number) => number) | undefined;
  private readonly onGrowth: (() => void) | undefined;
  /** On a page that has them. */
  private readonly counts: Uint32Array | undefined;
  private readonly entries: (StoredColumn | undefined)[];
  private readonly slabs: (Uint8Array | undefined)[] = [];
  private readonly sizeBytes: number;
  private read = 0;
  private knownCodings: PageCodings | undefined;
  /** Where each column's statistics begin in each stream that is not as long for all. */
  private positions: Uint32Array | undefined;
  private readonly specialStarts: Uint32Array;
  private ofAll: ByteSource[] | undefined;
  private varying: ByteSource[] | undefined;

  /**
   * Takes the bytes of a page of columns numbered from `firstColumn`. `countOf` gives the count of a value column from its time column;
   * without it the page has counts. `onGrowth` hears when keptBytes has become more.
   */
  constructor(
    source: ByteSource,
    columns: number,
    firstColumn: number,
    place: { readonly path: string; readonly offset: number; readonly payloadOffset: number },
    countOf?: (times: number) => number,
    onGrowth?: () => void,
  ) {
    const lengths = STREAMS.map(() => source.uvarint());
    this.streams = Object.fromEntries(
      STREAMS.map((name, i) => {
        const stream = new ByteSource(source.raw(lengths[i]!), `header stream ${name}`, place.path, place.offset);
        return [name, stream];
      }),
    ) as Record<Stream, ByteSource>;
    source.end();
    this.sizeBytes = source.at;
    this.firstColumn = firstColumn;
    this.payloadOffset = place.payloadOffset;
    this.countOf = countOf;
    this.onGrowth = onGrowth;
    this.counts = countOf === undefined ? new Uint32Array(columns) : undefined;
    this.entries = new Array<StoredColumn | undefined>(columns).fill(undefined);
    const { times, odd } = this.streams;
    this.times = new Uint32Array(columns);
    this.specialStarts = new Uint32Array(columns);
    for (let i = 0; i < columns; i++) this.times[i] = times.uvarint();
    times.end();
    this.odd = odd.raw(columns).slice();
    odd.end();
    this.readOdd();
  }

  /** Memory that it takes, about. */
  get keptBytes(): number {
    const { times, positions, knownCodings } = this;
    const found = (positions?.byteLength ?? 0) + (knownCodings?.sizeBytes ?? 0);
    return this.sizeBytes + times.byteLength + found + this.read * ENTRY_BYTES;
  }

  /** What decoding values takes. */
  get codings(): PageCodings {
    this.knownCodings ??= this.readCodings();
    return this.knownCodings;
  }

  private readCodings(): PageCodings {
    const { streams, entries, firstColumn, payloadOffset } = this;
    this.onGrowth?.();
    return new PageCodings(streams, entries.length, firstColumn, payloadOffset, (i) => this.countAt(i));
  }

  /** How many values a column has. */
  countAt(i: number): number {
    return this.counts === undefined ? this.countOf!(this.times[i]!) : this.counts[i]!;
  }

  /** The entry of a column of the page. */
  at(i: number): StoredColumn {
    let entry = this.entries[i];
    if (entry === undefined) {
      entry = this.decode(i);
      this.entries[i] = entry;
      this.read++;
      this.onGrowth?.();
    }
    return entry;
  }

  all(): StoredColumn[] {
    return Array.from(this.entries, (_, i) => this.at(i));
  }

  private decode(i: number): StoredColumn {
    const { codings, streams, entries } = this;
    this.positions ??= this.layOut();
    const { positions } = this;
    const columns = entries.length;
    this.ofAll ??= OF_ALL.map((name) => streams[name]);
    this.varying ??= VARYING.map((name) => streams[name]);
    for (const stream of this.ofAll) stream.at = i;
    for (let row = 0; row < VARYING.length; row++) this.varying[row]!.at = positions[row * columns + i]!;
    const slab = Math.floor(i / SLAB);
    const bytes = this.slabs[slab] ?? new Uint8Array(Math.min(SLAB, columns - slab * SLAB) * COLUMN_HEADER_BYTES);
    this.slabs[slab] = bytes;
    const from = (i % SLAB) * COLUMN_HEADER_BYTES;
    const header = new ColumnHeader(bytes.subarray(from, from + COLUMN_HEADER_BYTES));
    header.bytes.set(codings.headerAt(i).bytes.subarray(0, COLUMN_CODING_BYTES));
    readStatistics(streams, header);
    return {
      ...{ header, times: this.times[i]!, offset: codings.offsets[i]! },
      ...{ checksum: codings.checksumAt(i), reference: codings.referenceAt(i) },
    };
  }

  /** Finds where the statistics of each column begin, and that nothing is left behind the last ones. */
  private layOut(): Uint32Array {
    const { streams } = this;
    const columns = this.entries.length;
    const positions = new Uint32Array(VARYING.length * columns);
    const rowOf = (name: (typeof VARYING)[number]): Uint32Array => {
      const row = VARYING.indexOf(name) * columns;
      return positions.subarray(row, row + columns);
    };
    streams.resets.at = 0;
    streams.resets.skipNumbers(rowOf("resets"));
    streams.resets.end();
    rowOf("specials").set(this.specialStarts);
    for (const name of NUMBERS) {
      streams[name].at = 0;
      skipTagged(streams[name], streams[`${name}N`], columns, rowOf(`${name}N`));
      streams[name].end();
      streams[`${name}N`].end();
    }
    return positions;
  }

  /** What is odd about the columns that are. */
  private readOdd(): void {
    const { odd, streams, counts, specialStarts } = this;
    const { specials } = streams;
    for (let i = 0; i < odd.length; i++) {
      specialStarts[i] = specials.at;
      if (counts !== undefined) counts[i] = streams.counts.uvarint();
      if (odd[i] === 0) continue;
      const stales = specials.uvarint();
      const nans = specials.uvarint();
      odd[i] = (stales > 0 ? HAS_STALES : 0) | (nans > 0 ? HAS_NANS : 0);
      if (stales === this.countAt(i)) continue;
      specials.uvarint();
      specials.uvarint();
    }
    specials.end();
    streams.counts.end();
  }
}

/** Decodes the entries of a page without payloads of its own; as HeaderPage. */
export function decodeHeaderPage(
  source: ByteSource,
  columns: number,
  firstColumn: number,
  path: string,
  offset: number,
  countOf?: (times: number) => number,
): StoredColumn[] {
  return new HeaderPage(source, columns, firstColumn, { path, offset, payloadOffset: 0 }, countOf).all();
}

/** Adds the statistics to a header that has what decoding takes. Errors: CorruptionError. */
function readStatistics(s: Record<Stream, ByteSource>, header: ColumnHeader): void {
  const { bytes, view, count } = header;
  const [kind, flags] = [bytes[FIELD.KIND]!, bytes[FIELD.FLAGS]!];
  const exponent = s.exponents.u8();
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
  readIndexes(s, view, count);
  const samples = header.samples;
  if (Number.isNaN(first * samples)) putNan(view, FIELD.SUM);
  else view.setFloat64(FIELD.SUM, first * samples, true);
  readNumber(s.sum, s.sumN, scale, sumAnchor(samples, anchor), view, FIELD.SUM);
  readNumber(s.resetSum, s.resetSumN, scale, 0, view, FIELD.RESET_SUM);
  view.setUint32(FIELD.RESETS, resets, true);
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
