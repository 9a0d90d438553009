// libs/block/page-codings.ts: of each column of a header page what decoding its values takes: a header's first fields, and where its payload is.
// FORMAT.md, "Header pages". Read for a whole page at once, stream by stream, into one array: most queries want values of many columns and
// statistics of none, and an object for each column took longer than its values. Whole headers (header-page.ts) begin with what is read here.
import {
  COLUMN_CODING_BYTES,
  ColumnHeader,
  COLUMN_FIELD as FIELD,
  FLAG_REFERENCE,
  KIND_CODED,
  KIND_CONSTANT,
  KIND_LINEAR,
} from "../kernel/index.ts";
import { type ByteSource, putInteger } from "./byte-stream.ts";
import { EXPONENT_MAX, integerOf, POWERS, readNumber } from "./header-number.ts";

/** The streams that are read. */
const NAMES = [
  ...["kinds", "exponents", "predictors", "shifts", "tables", "residualTables", "lengths", "checksums"],
  ...["references", "baseTags", "bases", "steps", "biases", "gcds", "first", "firstN"],
] as const;
type Streams = Readonly<Record<(typeof NAMES)[number], ByteSource>>;

const WORDS = COLUMN_CODING_BYTES / 4;
/** In a column's words, behind the fields of its header. */
const CHECKSUM = WORDS;
const REFERENCE = WORDS + 1;
const STRIDE = WORDS + 2;
/** The first sample is wanted only for the base. */
const sample = new DataView(new ArrayBuffer(8));
const scale = { power: 1, gcd: 1 };

export class PageCodings {
  /** Where in the file the payloads begin. */
  readonly offsets: Float64Array;
  private readonly words: Uint32Array;
  private readonly header = new ColumnHeader();
  private readonly headerWords: Uint32Array;

  /** Reads so many columns numbered from `firstColumn`; `countAt` gives their counts of values. Errors: CorruptionError. */
  constructor(s: Streams, columns: number, firstColumn: number, payloadOffset: number, countAt: (i: number) => number) {
    this.offsets = new Float64Array(columns);
    this.words = new Uint32Array(columns * STRIDE);
    this.headerWords = new Uint32Array(this.header.bytes.buffer, 0, WORDS);
    for (const name of NAMES) s[name].at = 0;
    this.read(s, columns, firstColumn, payloadOffset, countAt);
    for (const name of NAMES) s[name].end();
  }

  private read(
    s: Streams,
    columns: number,
    firstColumn: number,
    payloadOffset: number,
    countAt: (i: number) => number,
  ): void {
    const { offsets, words } = this;
    const bytes = new Uint8Array(words.buffer);
    const view = new DataView(words.buffer);
    let payload = payloadOffset;
    for (let i = 0; i < columns; i++) {
      const at = 4 * STRIDE * i;
      const packed = s.kinds.u8();
      const [kind, flags] = [packed & 3, packed >> 2];
      view.setUint32(at + FIELD.COUNT, countAt(i), true);
      bytes[at + FIELD.KIND] = kind;
      bytes[at + FIELD.FLAGS] = flags;
      const coded = kind === KIND_CODED;
      const integers = coded || kind === KIND_LINEAR;
      bytes[at + FIELD.GCD] = 1;
      if (coded) {
        bytes[at + FIELD.PREDICTOR] = s.predictors.u8();
        bytes[at + FIELD.SHIFT] = s.shifts.u8();
        const tables = s.tables.u8();
        bytes[at + FIELD.TABLE_ZERO] = tables & 15;
        bytes[at + FIELD.TABLE_OTHER] = tables >> 4;
        s.biases.svarint64Into(view, at + FIELD.BIAS);
        s.gcds.svarint64Into(view, at + FIELD.GCD);
      }
      if (integers) {
        bytes[at + FIELD.TABLE_RESIDUAL] = s.residualTables.u8();
        s.steps.svarint64Into(view, at + FIELD.STEP);
      }
      const payloadBytes = s.lengths.uvarint();
      view.setUint32(at + FIELD.PAYLOAD_BYTES, payloadBytes, true);
      offsets[i] = payload;
      payload += payloadBytes;
      words[STRIDE * i + CHECKSUM] = payloadBytes > 0 ? s.checksums.u32() : 0;
      const hasReference = (flags & FLAG_REFERENCE) !== 0;
      words[STRIDE * i + REFERENCE] = hasReference ? readReference(s.references, firstColumn + i) + 1 : 0;
      const exponent = s.exponents.u8();
      if (exponent > EXPONENT_MAX) throw s.exponents.damage(`exponent ${exponent}`, `at most ${EXPONENT_MAX}`);
      if (integers) bytes[at + FIELD.EXPONENT] = exponent;
      scale.power = POWERS[exponent]!;
      sample.setUint32(0, 1, true);
      sample.setUint32(4, 0x7ff80000, true);
      readNumber(s.first, s.firstN, scale, 0, sample, 0);
      if (s.baseTags.u8() !== 0) s.bases.svarint64Into(view, at + FIELD.BASE);
      else if (kind === KIND_CONSTANT) {
        view.setUint32(at + FIELD.BASE, sample.getUint32(0, true), true);
        view.setUint32(at + FIELD.BASE + 4, sample.getUint32(4, true), true);
      } else if (integers && !hasReference) {
        putInteger(view, at + FIELD.BASE, integerOf(sample.getFloat64(0, true), scale.power) ?? 0);
      }
    }
  }

  get sizeBytes(): number {
    return this.words.byteLength + this.offsets.byteLength;
  }

  payloadBytesAt(i: number): number {
    return this.words[i * STRIDE + FIELD.PAYLOAD_BYTES / 4]!;
  }

  checksumAt(i: number): number {
    return this.words[i * STRIDE + CHECKSUM]!;
  }

  /** The number of the column that a column is coded against; -1 when there is none. */
  referenceAt(i: number): number {
    return this.words[i * STRIDE + REFERENCE]! - 1;
  }

  /** A header with a column's fields that decoding takes, without statistics; valid until the next call. */
  headerAt(i: number): ColumnHeader {
    const { words, headerWords } = this;
    const from = i * STRIDE;
    for (let k = 0; k < WORDS; k++) headerWords[k] = words[from + k]!;
    return this.header;
  }
}

/** The number of the column that column `column` is coded against. */
function readReference(references: ByteSource, column: number): number {
  const reference = column - references.uvarint();
  if (reference < 0 || reference >= column) throw references.damage(`reference ${reference}`, `one below ${column}`);
  return reference;
}
