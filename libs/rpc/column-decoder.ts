// libs/rpc/column-decoder.ts: column frames → step columns. Format: FORMAT.md beside this.
// Invariants: every length is checked before it is used; bits of numbers are copied, never read as JS numbers. One
// copy aligns a frame; vectors that need no expansion are views of it.
import { isAscii } from "node:buffer";
import {
  type HistogramColumn,
  histogramsOf,
  InternalError,
  type Labels,
  packHistograms,
  type StepColumn,
  tooManyBytes,
} from "../model/index.ts";
import {
  BITMAP,
  CONSTANT,
  CONSTANT_WEIGHTS,
  CONTINUED,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  HISTOGRAM_LOSSES,
  HISTOGRAMS,
  KNOWN_FLAGS,
  LOSSES,
  MORE,
  PIECE_HEADER_BYTES,
  PIECE_POINTS_MAX,
  STATES,
  TIMES,
  WEIGHTS,
} from "./column-frame.ts";
import { decodeBlock, type HistogramBlock } from "./column-histograms.ts";

function malformed(got: string, want: string): InternalError {
  return new InternalError(`cannot decode column frame: got ${got}; want ${want}`);
}

/** What a point of a column with histograms takes beside its value and its buckets. */
const HISTOGRAM_POINT_BYTES = 34;

/** The sections of one frame, over an aligned copy of it. */
interface Sections {
  readonly numbers: Float64Array;
  readonly pieces: Uint32Array;
  readonly labels: Uint32Array;
  readonly lengths: Uint32Array;
  readonly bitmaps: Uint8Array;
  readonly text: Buffer;
}

/** Where the next piece's parts begin in their sections. */
interface Cursor {
  number: number;
  label: number;
  bitmap: number;
}

/** Decodes the frames of one answer, in order. */
export class ColumnDecoder {
  readonly #bytesMax: number;
  #bytes = 0;
  readonly #strings: string[] = [];
  readonly #columns: StepColumn[] = [];
  /** Parts of a column that is not complete yet. */
  #parts: StepColumn[] = [];

  /** @param bytesMax what an answer may take in memory; more fails with LimitError */
  constructor(bytesMax = 1 << 30) {
    this.#bytesMax = bytesMax;
  }

  /** Takes one frame; its bytes are copied. Errors: InternalError for a malformed one, LimitError beyond `bytesMax`. */
  push(frame: Uint8Array): void {
    const sections = splitFrame(frame);
    this.#charge(frame.length);
    this.#takeStrings(sections);
    const { pieces, numbers, labels, bitmaps } = sections;
    const cursor: Cursor = { number: 0, label: 0, bitmap: 0 };
    for (let i = 0; i < pieces.length; i += 4) this.#takePiece(sections, i, cursor);
    if (cursor.number !== numbers.length || cursor.label !== labels.length || cursor.bitmap !== bitmaps.length) {
      throw malformed("sections that the pieces do not use up", "lengths that add up");
    }
  }

  /** All columns of the answer. Errors: InternalError when the last one is incomplete. */
  finish(): StepColumn[] {
    if (this.#parts.length > 0) throw malformed("the end within a column", "its last piece");
    return this.#columns;
  }

  #charge(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) {
      throw tooManyBytes(this.#bytesMax);
    }
  }

  #takeStrings({ lengths, text }: Sections): void {
    const encoding = isAscii(text) ? "latin1" : "utf8";
    let at = 0;
    for (let i = 0; i < lengths.length; i++) {
      const end = at + lengths[i]!;
      if (end > text.length) throw malformed("a string beyond the text", "lengths that add up");
      this.#strings.push(text.toString(encoding, at, end));
      at = end;
    }
    if (at !== text.length) throw malformed("text beyond the strings", "lengths that add up");
  }

  #takePiece(sections: Sections, at: number, cursor: Cursor): void {
    const flags = sections.pieces[at]!;
    const labelCount = sections.pieces[at + 1]!;
    const points = sections.pieces[at + 2]!;
    const present = sections.pieces[at + 3]!;
    if (flags > KNOWN_FLAGS) throw malformed(`flags ${flags}`, `at most ${KNOWN_FLAGS}`);
    if (points > PIECE_POINTS_MAX) throw malformed(`${points} points`, `at most ${PIECE_POINTS_MAX}`);
    const continued = (flags & CONTINUED) !== 0;
    if (continued !== this.#parts.length > 0)
      throw malformed("a piece out of place", "the pieces of a column in order");
    const bitmap = this.#takeBitmap(sections.bitmaps, flags, points, present, cursor);
    const labels = this.#takeLabels(sections.labels, labelCount, cursor);
    const numbers = sections.numbers;
    const vector = (constant: number): Float64Array =>
      this.#takeVector(numbers, (flags & constant) !== 0, bitmap, points, present, cursor);
    const values = vector(CONSTANT);
    const weights = (flags & WEIGHTS) === 0 ? undefined : vector(CONSTANT_WEIGHTS);
    const lost = (flags & LOSSES) === 0 ? undefined : vector(0);
    const times = (flags & TIMES) === 0 ? undefined : vector(0);
    let column = columnOf(labels, values, bitmap, weights, times);
    if (lost !== undefined) column = { ...column, lost };
    if ((flags & HISTOGRAMS) !== 0) column = this.#takeHistograms(column, numbers, flags, cursor);
    else if ((flags & (STATES | HISTOGRAM_LOSSES)) !== 0) {
      throw malformed("what belongs to histograms without them", "both");
    }
    if ((flags & MORE) !== 0) {
      this.#parts.push(column);
    } else if (continued) {
      this.#columns.push(joinParts([...this.#parts, column]));
      this.#parts = [];
    } else {
      this.#columns.push(column);
    }
  }

  #takeHistograms(column: StepColumn, numbers: Float64Array, flags: number, cursor: Cursor): StepColumn {
    const points = column.values.length;
    const block = (hasStates: boolean): HistogramBlock => {
      this.#charge(HISTOGRAM_POINT_BYTES * points);
      const decoded = decodeBlock(numbers.subarray(cursor.number), points, column.present, hasStates);
      cursor.number += decoded.numbers;
      return decoded;
    };
    const { histograms, states } = block((flags & STATES) !== 0);
    const losses = (flags & HISTOGRAM_LOSSES) === 0 ? undefined : block(false).histograms;
    return {
      ...{ ...column, histograms },
      ...(states === undefined ? {} : { states }),
      ...(losses === undefined ? {} : { histogramLosses: losses }),
    };
  }

  #takeLabels(indexes: Uint32Array, count: number, cursor: Cursor): Labels {
    const end = cursor.label + count;
    if (end > indexes.length || count % 2 !== 0) throw malformed(`${count} label indexes`, "pairs within the section");
    const labels: string[] = [];
    for (let i = cursor.label; i < end; i++) {
      const text = this.#strings[indexes[i]!];
      if (text === undefined) throw malformed(`string ${indexes[i]}`, `less than ${this.#strings.length}`);
      labels.push(text);
    }
    cursor.label = end;
    return labels;
  }

  /** One byte per point, or null when all are present. */
  #takeBitmap(bitmaps: Uint8Array, flags: number, points: number, present: number, cursor: Cursor): Uint8Array | null {
    if ((flags & BITMAP) === 0) {
      if (present !== points) throw malformed(`${present} present of ${points} points`, "a bitmap");
      return null;
    }
    const start = cursor.bitmap;
    cursor.bitmap += (points + 7) >> 3;
    if (cursor.bitmap > bitmaps.length) throw malformed("a bitmap beyond its section", "lengths that add up");
    this.#charge(points);
    const out = new Uint8Array(points);
    let ones = 0;
    for (let i = 0; i < points; i++) {
      const bit = (bitmaps[start + (i >> 3)]! >> (i & 7)) & 1;
      out[i] = bit;
      ones += bit;
    }
    if (ones !== present) throw malformed(`${ones} ones in a bitmap`, `${present}`);
    return out;
  }

  #takeVector(
    numbers: Float64Array,
    constant: boolean,
    bitmap: Uint8Array | null,
    points: number,
    present: number,
    cursor: Cursor,
  ): Float64Array {
    if (constant && present === 0) throw malformed("a constant without points", "a point");
    const start = cursor.number;
    cursor.number += constant ? 1 : present;
    if (cursor.number > numbers.length) throw malformed("numbers beyond their section", "lengths that add up");
    if (!constant && bitmap === null) return numbers.subarray(start, cursor.number);
    this.#charge(8 * points);
    const out = new Float64Array(points);
    const to = new Uint32Array(out.buffer);
    const from = new Uint32Array(numbers.buffer, numbers.byteOffset + 8 * start, 2 * (cursor.number - start));
    const step = constant ? 0 : 2;
    let at = 0;
    for (let i = 0; i < points; i++) {
      if (bitmap !== null && bitmap[i] === 0) continue;
      to[2 * i] = from[at]!;
      to[2 * i + 1] = from[at + 1]!;
      at += step;
    }
    return out;
  }
}

function splitFrame(frame: Uint8Array): Sections {
  if (frame.length < FRAME_HEADER_BYTES || frame.length % 8 !== 0) {
    throw malformed(`${frame.length} bytes`, `a multiple of 8, at least ${FRAME_HEADER_BYTES}`);
  }
  const memory = new ArrayBuffer(frame.length);
  new Uint8Array(memory).set(frame);
  const head = new Uint32Array(memory, 0, FRAME_HEADER_BYTES / 4);
  const [magic, length, pieceCount, stringCount, textBytes, labelCount, numberCount, bitmapBytes] = head as unknown as [
    ...number[],
  ] as [number, number, number, number, number, number, number, number];
  if (magic !== FRAME_MAGIC) throw malformed(`magic 0x${magic.toString(16)}`, `0x${FRAME_MAGIC.toString(16)}`);
  if (length !== frame.length) throw malformed(`length ${length} in ${frame.length} bytes`, "the same");
  const piecesAt = FRAME_HEADER_BYTES + 8 * numberCount;
  const labelsAt = piecesAt + PIECE_HEADER_BYTES * pieceCount;
  const lengthsAt = labelsAt + 4 * labelCount;
  const bitmapsAt = lengthsAt + 4 * stringCount;
  const textAt = bitmapsAt + bitmapBytes;
  const end = textAt + textBytes;
  if (end > length || end + 7 < length) throw malformed(`sections of ${end} bytes in ${length}`, "lengths that add up");
  return {
    numbers: new Float64Array(memory, FRAME_HEADER_BYTES, numberCount),
    pieces: new Uint32Array(memory, piecesAt, 4 * pieceCount),
    labels: new Uint32Array(memory, labelsAt, labelCount),
    lengths: new Uint32Array(memory, lengthsAt, stringCount),
    bitmaps: new Uint8Array(memory, bitmapsAt, bitmapBytes),
    text: Buffer.from(memory, textAt, textBytes),
  };
}

function joinVectors(vectors: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(vectors.reduce((n, v) => n + v.length, 0));
  let at = 0;
  for (const vector of vectors) {
    out.set(vector, at);
    at += vector.length;
  }
  return out;
}

function joinParts(parts: readonly StepColumn[]): StepColumn {
  const first = parts[0]!;
  const values = joinVectors(parts.map((p) => p.values));
  let present: Uint8Array | null = null;
  if (parts.some((p) => p.present !== null)) {
    present = new Uint8Array(values.length).fill(1);
    let at = 0;
    for (const part of parts) {
      if (part.present !== null) present.set(part.present, at);
      at += part.values.length;
    }
  }
  if (parts.some((p) => (p.weights === undefined) !== (first.weights === undefined))) {
    throw malformed("weights in some pieces of a column", "in all or none");
  }
  if (parts.some((p) => (p.times === undefined) !== (first.times === undefined))) {
    throw malformed("times in some pieces of a column", "in all or none");
  }
  if (parts.some((p) => (p.lost === undefined) !== (first.lost === undefined))) {
    throw malformed("losses in some pieces of a column", "in all or none");
  }
  const weights = first.weights && joinVectors(parts.map((p) => p.weights!));
  const times = first.times && joinVectors(parts.map((p) => p.times!));
  const column = columnOf(first.labels, values, present, weights, times);
  return joinHistograms(
    first.lost === undefined ? column : { ...column, lost: joinVectors(parts.map((p) => p.lost!)) },
    parts,
  );
}

/** The joined column with the histograms and states of its parts, of which any may have none. */
function joinHistograms(column: StepColumn, parts: readonly StepColumn[]): StepColumn {
  const joined = (of: (part: StepColumn) => HistogramColumn | undefined): HistogramColumn | undefined => {
    if (parts.every((part) => of(part) === undefined)) return undefined;
    return packHistograms(
      parts.flatMap((part) => {
        const own = of(part);
        return own === undefined ? new Array(part.values.length).fill(undefined) : histogramsOf(own);
      }),
    );
  };
  const histograms = joined((part) => part.histograms);
  if (histograms === undefined) return column;
  const losses = joined((part) => part.histogramLosses);
  const mixed = { ...column, histograms, ...(losses === undefined ? {} : { histogramLosses: losses }) };
  if (parts.every((part) => part.states === undefined)) return mixed;
  const states = new Uint8Array(column.values.length);
  let at = 0;
  for (const part of parts) {
    if (part.states !== undefined) states.set(part.states, at);
    at += part.values.length;
  }
  return { ...mixed, states };
}

/** A column with the optional vectors that it has; the usual one, which has none, is made without a detour. */
function columnOf(
  labels: Labels,
  values: Float64Array,
  present: Uint8Array | null,
  weights: Float64Array | undefined,
  times: Float64Array | undefined,
): StepColumn {
  if (weights === undefined && times === undefined) return { labels, values, present };
  if (times === undefined) return { labels, values, present, weights: weights! };
  if (weights === undefined) return { labels, values, present, times };
  return { labels, values, present, weights, times };
}
