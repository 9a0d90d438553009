// libs/kernel/column-header.ts: the 128 bytes that say how a column is coded, and what they tell of its samples without decoding.
// FORMAT.md, "Column", defines the fields and what the statistics mean.
import {
  COLUMN_HEADER_BYTES,
  FIELD,
  FLAG_REFERENCE,
  KIND_CODED,
  KIND_CONSTANT,
  KIND_LINEAR,
  NO_INDEX,
} from "./column-layout.ts";

export type ColumnKind = "raw" | "constant" | "linear" | "coded";

/** A view of a header's bytes. Numbers that may be NaN are read as numbers: bits of first and last are in the bytes. */
export class ColumnHeader {
  readonly bytes: Uint8Array;
  /** The same bytes, for fields that are no bytes. */
  readonly view: DataView;

  constructor(bytes: Uint8Array = new Uint8Array(COLUMN_HEADER_BYTES)) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, COLUMN_HEADER_BYTES);
  }

  private float(offset: number): number {
    return this.view.getFloat64(offset, true);
  }

  private word(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  get kind(): ColumnKind {
    const kind = this.bytes[FIELD.KIND];
    return kind === KIND_CODED
      ? "coded"
      : kind === KIND_LINEAR
        ? "linear"
        : kind === KIND_CONSTANT
          ? "constant"
          : "raw";
  }

  /** The value of a constant column. */
  get base(): number {
    return this.float(FIELD.BASE);
  }

  /** Values of the column, stale markers included. */
  get count(): number {
    return this.word(FIELD.COUNT);
  }

  get payloadBytes(): number {
    return this.word(FIELD.PAYLOAD_BYTES);
  }

  /** Whether decoding wants the reference column's values. */
  get hasReference(): boolean {
    return (this.bytes[FIELD.FLAGS]! & FLAG_REFERENCE) !== 0;
  }

  /** Samples: values that are no stale markers. */
  get samples(): number {
    return this.count - this.stales;
  }

  get stales(): number {
    return this.word(FIELD.STALES);
  }

  /** Samples that are NaN. */
  get nans(): number {
    return this.word(FIELD.NANS);
  }

  get min(): number {
    return this.float(FIELD.MIN);
  }

  get max(): number {
    return this.float(FIELD.MAX);
  }

  get sum(): number {
    return this.float(FIELD.SUM);
  }

  get first(): number {
    return this.float(FIELD.FIRST);
  }

  get last(): number {
    return this.float(FIELD.LAST);
  }

  /** Positions of the first and the last sample in the column; NO_INDEX when there is none. */
  get firstIndex(): number {
    return this.word(FIELD.FIRST_INDEX);
  }

  get lastIndex(): number {
    return this.word(FIELD.LAST_INDEX);
  }

  get isEmpty(): boolean {
    return this.firstIndex === NO_INDEX;
  }

  /** How often a sample is less than the one before. */
  get resets(): number {
    return this.word(FIELD.RESETS);
  }

  /** The samples before a reset, summed up. */
  get resetSum(): number {
    return this.float(FIELD.RESET_SUM);
  }

  /** How much a counter with these samples has risen. */
  get increase(): number {
    return this.last - this.first + this.resetSum;
  }

  /** A hash of the increments; only of a column just encoded as integers, else 0. */
  get fingerprint(): bigint {
    return this.view.getBigUint64(FIELD.FINGERPRINT, true);
  }
}
