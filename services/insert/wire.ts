// services/insert/wire.ts: protobuf's wire format for what is rare: labels of a new series, metadata.
// Samples never pass here. Input may be hostile: every read is checked against the message's end.
import { InvalidError } from "../../libs/model/index.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;

/** Reads the fields of one message in order. `bytes` holds a value of wire type 2, `number` one of wire type 0. */
export class FieldReader {
  /** Number of the field just read. */
  field = 0;
  /** Whether the field just read is of wire type 2. */
  isBytes = false;
  /** The content of a bytes field. */
  bytes: Uint8Array = NOTHING;
  /** The value of a varint field, modulo 2^32. */
  number = 0;
  /** Whether the varint just read has bits beyond the lower 32. */
  private isWide = false;
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
    if (wire === VARINT) this.number = this.varint();
    else if (wire === BYTES) this.bytes = this.take(this.length());
    else this.skip(wire);
    return true;
  }

  private tag(): number {
    const tag = this.varint();
    this.field = tag >>> 3;
    if (this.field === 0 || this.isWide) throw malformed("a field number that does not exist");
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
    this.isWide = false;
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.message.length) throw malformed("a varint that does not end");
      const byte = this.message[this.at++]!;
      if (i < 5) value |= (byte & 0x7f) << (7 * i);
      if (i === 4 ? (byte & 0x70) !== 0 : i > 4 && (byte & 0x7f) !== 0) this.isWide = true;
      if (byte < 0x80) return value >>> 0;
    }
    throw malformed("a varint of more than ten bytes");
  }

  /** A varint that must fit the rest of the message. */
  private length(): number {
    const value = this.varint();
    if (this.isWide || value > this.message.length - this.at) throw malformed("a length beyond the message's end");
    return value;
  }

  private take(length: number): Uint8Array {
    if (length > this.message.length - this.at) throw malformed("a field beyond the message's end");
    this.at += length;
    return this.message.subarray(this.at - length, this.at);
  }
}

const NOTHING = new Uint8Array(0);

function malformed(got: string): InvalidError {
  return new InvalidError(`cannot read protobuf message: got ${got}; want well-formed fields`);
}
