// libs/kernel/column.ts: the column codec, typed: a column of values to a header and a payload, and back, bit for bit.
// HOT: bench test/bench/column.bench.ts, twin libs/kernel/twin/column.ts. Kernel: assembly/column.ts. Format: FORMAT.md, "Column".
// Times are columns too: their milliseconds are integers.
import { InternalError, InvalidError } from "../model/index.ts";
import { ColumnHeader } from "./column-header.ts";
import {
  COLUMN_WORDS as C,
  COLUMN_HEADER_BYTES,
  FIELD,
  REFERENCES_MAX,
  SYMBOL_COUNT,
  TABLE_COUNT,
} from "./column-layout.ts";
import { FREQUENCIES } from "./column-tables.ts";
import { createMemory, loadKernel } from "./load.ts";

interface Exports {
  init(capacity: number, memoryBytes: number): number;
  prepare(): number;
  encode(count: number, references: number): number;
  decode(hasReference: boolean): number;
}

export interface EncodedColumn {
  readonly header: ColumnHeader;
  /** A view, valid until the next call. */
  readonly payload: Uint8Array;
  /** Which of the references was taken; -1 when none was. */
  readonly reference: number;
}

/** Why a header and payload are no column. */
export type ColumnFault = "header" | "exceptions" | "stream" | "length";
const FAULTS: readonly (ColumnFault | undefined)[] = [undefined, "header", "exceptions", "stream", "length"];

/** Columns of this many values are possible by default: a day of seconds. */
export const COLUMN_SAMPLES_MAX = 1 << 17;

/** Memory for columns of `samples` values: 140 bytes each, and the tables. */
function memoryBytes(samples: number): number {
  return (1 << 18) + samples * 144;
}

/** One instance with a memory of its own; pages that were never touched cost nothing. */
export class ColumnKernel {
  readonly memory: WebAssembly.Memory;
  readonly samplesMax: number;
  private readonly kernel: Exports;
  private readonly bytes: Uint8Array;
  private readonly floats: Float64Array;
  private readonly header: number;
  private readonly values: number;
  private readonly payload: number;
  private readonly payloadMax: number;
  private readonly references: number;
  private readonly stride: number;

  constructor(samplesMax = COLUMN_SAMPLES_MAX) {
    const size = memoryBytes(Math.max(samplesMax, 256));
    this.samplesMax = samplesMax;
    this.memory = createMemory(size);
    this.kernel = loadKernel<Exports>("column", this.memory);
    if (!this.kernel.init(Math.max(samplesMax, 256), size)) {
      throw new InternalError(`cannot make column kernel: got ${samplesMax} samples; want a memory that holds them`);
    }
    const words = new Uint32Array(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.floats = new Float64Array(this.memory.buffer);
    const frequencies = new Uint16Array(this.memory.buffer, words[C.FREQUENCIES]!, TABLE_COUNT * SYMBOL_COUNT);
    FREQUENCIES.forEach((row, i) => {
      frequencies.set(row, i * SYMBOL_COUNT);
    });
    if (!this.kernel.prepare())
      throw new InternalError("cannot make column kernel: got frequencies that sum up wrongly");
    this.header = words[C.HEADER]!;
    this.values = words[C.VALUES]! / 8;
    this.payload = words[C.PAYLOAD]!;
    this.payloadMax = words[C.PAYLOAD_CAPACITY]!;
    this.references = words[C.REFERENCES]! / 8;
    this.stride = words[C.REFERENCE_STRIDE]! / 8;
  }

  /**
   * Encodes a column. Up to four references, columns of as many values, may be offered; the one that saves most is taken, or none.
   * Errors: InvalidError for an empty or too long column.
   */
  encode(values: Float64Array, references: readonly Float64Array[] = []): EncodedColumn {
    const count = values.length;
    if (count === 0 || count > this.samplesMax) {
      throw new InvalidError(`cannot encode column: got ${count} values; want 1 to ${this.samplesMax}`);
    }
    this.floats.set(values, this.values);
    const offered = Math.min(references.length, REFERENCES_MAX);
    for (let i = 0; i < offered; i++) {
      if (references[i]!.length !== count) {
        throw new InvalidError(
          `cannot encode column: got a reference of ${references[i]!.length} values; want ${count}`,
        );
      }
      this.floats.set(references[i]!, this.references + i * this.stride);
    }
    const length = this.kernel.encode(count, offered) >>> 0;
    const header = new ColumnHeader(this.bytes.slice(this.header, this.header + COLUMN_HEADER_BYTES));
    const payload = this.bytes.subarray(this.payload, this.payload + length);
    return { header, payload, reference: header.bytes[FIELD.REFERENCE]! - 1 };
  }

  /**
   * Decodes a column into the first `header.count` places of `out`; `reference` holds the values of the reference column when the
   * header says that it has one. Returns what is wrong with header or payload, undefined when nothing is; then `out` is untouched.
   */
  decode(
    header: ColumnHeader,
    payload: Uint8Array,
    out: Float64Array,
    reference?: Float64Array,
  ): ColumnFault | undefined {
    const { count } = header;
    if (count === 0 || count > this.samplesMax || count > out.length) return "header";
    if (payload.length !== header.payloadBytes || payload.length > this.payloadMax) return "length";
    // Most columns are constant, and calls cost more than filling them. A NaN's bits must not pass through a number.
    if (header.kind === "constant") {
      const value = header.base;
      if (!Number.isNaN(value) && header.bytes[FIELD.FLAGS] === 0 && payload.length === 0 && count > 0) {
        out.fill(value, 0, count);
        return undefined;
      }
    }
    this.bytes.set(header.bytes, this.header);
    this.bytes.set(payload, this.payload);
    if (reference !== undefined) {
      if (reference.length < count) return "header";
      this.floats.set(reference.length === count ? reference : reference.subarray(0, count), this.references);
    }
    const code = this.kernel.decode(reference !== undefined);
    if (code === 0) out.set(this.floats.subarray(this.values, this.values + count));
    return FAULTS[code];
  }
}
