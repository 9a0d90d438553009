// services/insert/wire.ts: protobuf's wire format for what is rare: labels of a new series, metadata, histograms, exemplars.
// Float samples never pass here. Input may be hostile: every read is checked against the message's end.
import { InvalidError } from "../../libs/model/index.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;

/**
 * Reads the fields of one message in order. `bytes` holds a value of wire type 2, `number` one of wire type 0, which `uint64`, `int64` and
 * `sint64` read in full, `double` one of wire type 1.
 */
export class FieldReader {
  /** Number of the field just read. */
  field = 0;
  /** Whether the field just read is of wire type 2. */
  isBytes = false;
  /** The content of a bytes field. */
  bytes: Uint8Array = NOTHING;
  /** The value of a varint field, modulo 2^32. */
  number = 0;
  /** Whether the field just read is of wire type 1. */
  isFixed64 = false;
  /** Bits 32 to 63 of the varint just read. */
  private high = 0;
  private at = 0;
  private readonly message: Uint8Array;

  constructor(message: Uint8Array) {
    this.message = message;
  }

  /** Goes to the next field; false at the message's end. Errors: InvalidError when the message is malformed. */
  next(): boolean {
    if (this.at >= this.message.length) return false;
    const wire = this.tag();
    this.isBytes = wire === BYTES;
    this.isFixed64 = wire === FIXED64;
    if (wire === VARINT) this.number = this.varint();
    else if (wire === BYTES) this.bytes = this.take(this.length());
    else if (wire === FIXED64) this.bytes = this.take(8);
    else this.skip(wire);
    return true;
  }

  /** Goes to the next of varints that stand without tags, as in a packed field; false at the end. Errors: as next. */
  nextVarint(): boolean {
    if (this.at >= this.message.length) return false;
    this.number = this.varint();
    return true;
  }

  /** The varint just read, rounded beyond 2^53. */
  get uint64(): number {
    return this.high * 2 ** 32 + this.number;
  }

  get int64(): number {
    return (this.high | 0) * 2 ** 32 + this.number;
  }

  /** The varint just read as zig-zag. */
  get sint64(): number {
    const half = this.high * 2 ** 31 + (this.number >>> 1);
    return (this.number & 1) === 0 ? half : -half - 1;
  }

  /** The fixed64 just read. Its bits, for stale markers, are in `bytes`. */
  get double(): number {
    return doubleAt(this.bytes, 0);
  }

  private tag(): number {
    const tag = this.varint();
    this.field = tag >>> 3;
    if (this.field === 0 || this.high !== 0) throw malformed("a field number that does not exist");
    return tag & 7;
  }

  /** Groups are skipped by counting, so that nesting costs no stack. */
  private skip(wire: number): void {
    const own = this.field;
    let depth = 0;
    for (let kind = wire; ; kind = this.tag()) {
      if (kind === VARINT) this.varint();
      else if (kind === FIXED64) this.take(8);
      else if (kind === BYTES) this.take(this.length());
      else if (kind === FIXED32) this.take(4);
      else if (kind === GROUP) depth++;
      else if (kind === GROUP_END && depth > 0) depth--;
      else throw malformed(`wire type ${kind}`);
      if (depth === 0) break;
    }
    this.field = own;
  }

  /** A varint of at most ten bytes, modulo 2^32. */
  private varint(): number {
    let value = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.message.length) throw malformed("a varint that does not end");
      const byte = this.message[this.at++]!;
      const bits = byte & 0x7f;
      if (i < 5) value |= bits << (7 * i);
      if (i === 4) high = bits >> 4;
      else if (i > 4) high |= bits << (7 * i - 32);
      if (byte < 0x80) {
        this.high = high >>> 0;
        return value >>> 0;
      }
    }
    throw malformed("a varint of more than ten bytes");
  }

  /** A varint that must fit the rest of the message. */
  private length(): number {
    const value = this.varint();
    if (this.high !== 0 || value > this.message.length - this.at) throw malformed("a length beyond the message's end");
    return value;
  }

  private take(length: number): Uint8Array {
    if (length > this.message.length - this.at) throw malformed("a field beyond the message's end");
    this.at += length;
    return this.message.subarray(this.at - length, this.at);
  }
}

const NOTHING = new Uint8Array(0);

/** The little-endian double at `at`. */
export function doubleAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0, true);
}

function malformed(got: string): InvalidError {
  return new InvalidError(`cannot read protobuf message: got ${got}; want well-formed fields`);
}
