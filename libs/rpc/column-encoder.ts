// libs/rpc/column-encoder.ts: step columns → column frames. Format: FORMAT.md beside this.
// Invariant: bits of numbers are copied as pairs of u32, never through a JS number, so NaN payloads survive.
import type { StepColumn } from "../model/index.ts";
import {
  BITMAP,
  CONSTANT,
  CONSTANT_WEIGHTS,
  CONTINUED,
  FRAME_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  HISTOGRAM_LOSSES,
  HISTOGRAMS,
  LOSSES,
  MORE,
  PIECE_HEADER_BYTES,
  PIECE_POINTS_MAX,
  STATES,
  TIMES,
  WEIGHTS,
} from "./column-frame.ts";
import { blockEnd, encodeBlock } from "./column-histograms.ts";

/** Points [from, to) of a column, and how they are written. */
interface Piece {
  readonly column: StepColumn;
  readonly from: number;
  readonly to: number;
  readonly flags: number;
  /** Points that are present. */
  readonly present: number;
  readonly numbers: number;
  readonly labels: number;
  /** The histograms, and what rounding took from them, encoded. */
  readonly blocks: readonly Float64Array[];
}

/** Yields the frames of an answer, none for no columns. Each is at most `frameBytes` long unless one label set is. */
export function* encodeColumns(columns: readonly StepColumn[], frameBytes = FRAME_BYTES): Generator<Buffer> {
  const frame = new FrameBuilder();
  for (const column of columns) {
    const points = column.values.length;
    let from = 0;
    do {
      let to = Math.min(from + PIECE_POINTS_MAX, points);
      for (const block of [column.histograms, column.histogramLosses]) {
        if (block !== undefined) to = blockEnd(block, from, to);
      }
      const full = frame.add(pieceOf(column, from, to), frameBytes);
      if (full !== undefined) yield full;
      from = to;
    } while (from < points);
  }
  if (!frame.isEmpty) yield frame.take();
}

function pieceOf(column: StepColumn, from: number, to: number): Piece {
  const { present: presence, weights, lost, times, histograms, histogramLosses, states } = column;
  let present = to - from;
  if (presence !== null) {
    present = 0;
    for (let i = from; i < to; i++) present += presence[i]!;
  }
  let flags = present < to - from ? BITMAP : 0;
  let numbers = present;
  if (present > 1 && isConstant(column.values, presence, from, to)) {
    flags |= CONSTANT;
    numbers = 1;
  }
  if (weights !== undefined) {
    flags |= WEIGHTS;
    const constant = present > 1 && isConstant(weights, presence, from, to);
    if (constant) flags |= CONSTANT_WEIGHTS;
    numbers += constant ? 1 : present;
  }
  if (lost !== undefined) {
    flags |= LOSSES;
    numbers += present;
  }
  if (times !== undefined) {
    flags |= TIMES;
    numbers += present;
  }
  const blocks: Float64Array[] = [];
  if (histograms !== undefined) {
    flags |= states === undefined ? HISTOGRAMS : HISTOGRAMS | STATES;
    blocks.push(encodeBlock(histograms, presence, states, from, to));
    if (histogramLosses !== undefined) {
      flags |= HISTOGRAM_LOSSES;
      blocks.push(encodeBlock(histogramLosses, presence, undefined, from, to));
    }
    for (const block of blocks) numbers += block.length;
  }
  if (to < column.values.length) flags |= MORE;
  if (from > 0) flags |= CONTINUED;
  return { column, from, to, flags, present, numbers, labels: from > 0 ? 0 : column.labels.length, blocks };
}

function bitsOf(values: Float64Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
}

/** Whether all present points of [from, to) have the same bits. */
function isConstant(values: Float64Array, presence: Uint8Array | null, from: number, to: number): boolean {
  const bits = bitsOf(values);
  let first = from;
  while (presence !== null && presence[first] === 0) first++;
  const low = bits[2 * first];
  const high = bits[2 * first + 1];
  for (let i = first + 1; i < to; i++) {
    if ((presence === null || presence[i] === 1) && (bits[2 * i] !== low || bits[2 * i + 1] !== high)) return false;
  }
  return true;
}

/** Collects pieces until a frame is full; numbers strings over the whole answer. */
class FrameBuilder {
  readonly #numberOf = new Map<string, number>();
  /** Strings that no frame has carried yet. */
  #fresh: string[] = [];
  #freshBytes = 0;
  #labels: number[] = [];
  #pieces: Piece[] = [];
  #numbers = 0;
  #bitmapBytes = 0;

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Adds a piece. Returns the frame before it, when the piece no longer fits in. */
  add(piece: Piece, frameBytes: number): Buffer | undefined {
    const strings = this.#fresh.length;
    const textBytes = this.#freshBytes;
    const labels = this.#labels.length;
    if ((piece.flags & CONTINUED) === 0) for (const text of piece.column.labels) this.#labels.push(this.#intern(text));
    const bitmap = (piece.flags & BITMAP) === 0 ? 0 : (piece.to - piece.from + 7) >> 3;
    const bytes =
      FRAME_HEADER_BYTES +
      8 * (this.#numbers + piece.numbers) +
      PIECE_HEADER_BYTES * (this.#pieces.length + 1) +
      4 * this.#labels.length +
      4 * this.#fresh.length +
      this.#bitmapBytes +
      bitmap +
      this.#freshBytes +
      7;
    const full = bytes > frameBytes && !this.isEmpty ? this.#cut(strings, textBytes, labels) : undefined;
    this.#pieces.push(piece);
    this.#numbers += piece.numbers;
    this.#bitmapBytes += bitmap;
    return full;
  }

  /** The frame of everything added so far. */
  take(): Buffer {
    return this.#cut(this.#fresh.length, this.#freshBytes, this.#labels.length);
  }

  #intern(text: string): number {
    const known = this.#numberOf.get(text);
    if (known !== undefined) return known;
    const number = this.#numberOf.size;
    this.#numberOf.set(text, number);
    this.#fresh.push(text);
    this.#freshBytes += Buffer.byteLength(text);
    return number;
  }

  /** Writes the pieces with the first of the fresh strings and labels; the rest belongs to the next frame. */
  #cut(stringCount: number, textBytes: number, labelCount: number): Buffer {
    const pieces = this.#pieces;
    const numbersAt = FRAME_HEADER_BYTES;
    const piecesAt = numbersAt + 8 * this.#numbers;
    const labelsAt = piecesAt + PIECE_HEADER_BYTES * pieces.length;
    const lengthsAt = labelsAt + 4 * labelCount;
    const bitmapsAt = lengthsAt + 4 * stringCount;
    const textAt = bitmapsAt + this.#bitmapBytes;
    const length = (textAt + textBytes + 7) & ~7;
    const memory = new ArrayBuffer(length);
    const words = new Uint32Array(memory);
    words.set(
      [FRAME_MAGIC, length, pieces.length, stringCount, textBytes, labelCount, this.#numbers, this.#bitmapBytes],
      0,
    );
    writePieces(pieces, words, piecesAt / 4);
    writeNumbers(pieces, words.subarray(numbersAt / 4, piecesAt / 4));
    words.set(labelCount === this.#labels.length ? this.#labels : this.#labels.slice(0, labelCount), labelsAt / 4);
    writeBitmaps(pieces, new Uint8Array(memory, bitmapsAt, this.#bitmapBytes));
    const frame = Buffer.from(memory);
    let at = textAt;
    for (let i = 0; i < stringCount; i++) {
      const written = frame.write(this.#fresh[i]!, at);
      words[lengthsAt / 4 + i] = written;
      at += written;
    }
    this.#fresh = this.#fresh.slice(stringCount);
    this.#freshBytes -= textBytes;
    this.#labels = this.#labels.slice(labelCount);
    this.#pieces = [];
    this.#numbers = 0;
    this.#bitmapBytes = 0;
    return frame;
  }
}

function writePieces(pieces: readonly Piece[], words: Uint32Array, start: number): void {
  let at = start;
  for (const piece of pieces) {
    words[at++] = piece.flags;
    words[at++] = piece.labels;
    words[at++] = piece.to - piece.from;
    words[at++] = piece.present;
  }
}

function writeNumbers(pieces: readonly Piece[], out: Uint32Array): void {
  let at = 0;
  for (const piece of pieces) {
    const { values, weights, lost, times } = piece.column;
    at = writeVector(out, at, values, piece, (piece.flags & CONSTANT) !== 0);
    if (weights !== undefined) at = writeVector(out, at, weights, piece, (piece.flags & CONSTANT_WEIGHTS) !== 0);
    if (lost !== undefined) at = writeVector(out, at, lost, piece, false);
    if (times !== undefined) at = writeVector(out, at, times, piece, false);
    for (const block of piece.blocks) {
      out.set(bitsOf(block), at);
      at += 2 * block.length;
    }
  }
}

/** Writes the present points of one vector, or just the first of them. Returns the index after the last word. */
function writeVector(out: Uint32Array, start: number, values: Float64Array, piece: Piece, constant: boolean): number {
  const { from, to } = piece;
  const presence = (piece.flags & BITMAP) === 0 ? null : piece.column.present;
  const bits = bitsOf(values);
  if (presence === null && !constant) {
    out.set(bits.subarray(2 * from, 2 * to), start);
    return start + 2 * (to - from);
  }
  let at = start;
  for (let i = from; i < to; i++) {
    if (presence !== null && presence[i] === 0) continue;
    out[at++] = bits[2 * i]!;
    out[at++] = bits[2 * i + 1]!;
    if (constant) break;
  }
  return at;
}

function writeBitmaps(pieces: readonly Piece[], out: Uint8Array): void {
  let at = 0;
  for (const { column, flags, from, to } of pieces) {
    if ((flags & BITMAP) === 0) continue;
    const presence = column.present!;
    for (let i = from; i < to; i++) {
      const bit = i - from;
      if (presence[i] === 1) out[at + (bit >> 3)]! |= 1 << (bit & 7);
    }
    at += (to - from + 7) >> 3;
  }
}
