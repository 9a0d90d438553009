// libs/block/byte-stream.ts: numbers to bytes and back: little-endian words and LEB128, every read checked.
import { CorruptionError } from "../model/index.ts";

/** The greatest magnitude whose zig-zag form is an exact double. */
export const SVARINT_MAX = 2 ** 52;

/** Stores an integer up to 2^53 in magnitude as an i64. */
export function putInteger(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setInt32(offset + 4, Math.floor(value / 2 ** 32), true);
}

export class ByteSink {
  private bytes = new Uint8Array(256);
  private view = new DataView(this.bytes.buffer);
  length = 0;

  private room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  u8(value: number): void {
    this.room(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.room(4);
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }

  u64(value: bigint): void {
    this.room(8);
    this.view.setBigUint64(this.length, value, true);
    this.length += 8;
  }

  f64(value: number): void {
    this.room(8);
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** An integer from 0 to 2^53. */
  uvarint(value: number): void {
    this.room(8);
    let rest = value;
    while (rest > 127) {
      this.bytes[this.length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.length++] = rest;
  }

  /** An integer up to SVARINT_MAX in magnitude. */
  svarint(value: number): void {
    this.uvarint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  svarint64(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest > 127n) {
      this.u8(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.u8(Number(rest));
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Bytes after their length. */
  blob(bytes: Uint8Array): void {
    this.uvarint(bytes.length);
    this.raw(bytes);
  }

  /** A view; valid until the next write. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Reads what a ByteSink wrote. Errors: CorruptionError that names the file and where these bytes came from in it. */
export class ByteSource {
  private readonly bytes: Uint8Array;
  /** Made when it is needed: most sources have no words. */
  private words: DataView | undefined;
  private readonly path: string;
  private readonly offset: number;
  private readonly what: string;
  at = 0;

  constructor(bytes: Uint8Array, what: string, path: string, offset: number) {
    this.bytes = bytes;
    this.what = what;
    this.path = path;
    this.offset = offset;
  }

  private get view(): DataView {
    const { bytes } = this;
    this.words ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.words;
  }

  /** An error about these bytes. */
  damage(got: string, want: string): CorruptionError {
    return new CorruptionError(`cannot read ${this.what}: got ${got}; want ${want}`, this.path, this.offset);
  }

  private need(count: number): void {
    if (count > this.bytes.length - this.at) {
      throw this.damage(`${this.bytes.length - this.at} bytes left`, `${count} more`);
    }
  }

  u8(): number {
    this.need(1);
    return this.bytes[this.at++]!;
  }

  u32(): number {
    this.need(4);
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  u64(): bigint {
    this.need(8);
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }

  f64(): number {
    this.need(8);
    this.at += 8;
    return this.view.getFloat64(this.at - 8, true);
  }

  uvarint(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > 2 ** 53) break;
        return value;
      }
    }
    throw this.damage("a number beyond 2^53", "a smaller one");
  }

  svarint(): number {
    const z = this.uvarint();
    return z % 2 === 0 ? z / 2 : -(z + 1) / 2;
  }

  /** Stores an i64 at `offset` of `view`; without a BigInt where it is short. */
  svarint64Into(view: DataView, offset: number): void {
    const from = this.at;
    let z = 0;
    for (let scale = 1; scale <= 2 ** 42; scale *= 128) {
      const byte = this.u8();
      z += (byte & 127) * scale;
      if (byte < 128) {
        putInteger(view, offset, z % 2 === 0 ? z / 2 : -(z + 1) / 2);
        return;
      }
    }
    this.at = from;
    view.setBigInt64(offset, this.svarint64(), true);
  }

  svarint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    }
    throw this.damage("a number of more than 64 bits", "a shorter one");
  }

  /** Goes past a number in LEB128. */
  skipNumber(): void {
    while (this.u8() > 127);
  }

  /** Goes past a number for each of `starts`, and notes where it begins. */
  skipNumbers(starts: Uint32Array): void {
    const { bytes } = this;
    let at = this.at;
    for (let i = 0; i < starts.length; i++) {
      starts[i] = at;
      while (bytes[at++]! > 127);
    }
    this.need(at - this.at);
    this.at = at;
  }

  /** A view of the next `length` bytes. */
  raw(length: number): Uint8Array {
    this.need(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  blob(): Uint8Array {
    return this.raw(this.uvarint());
  }

  /** Throws unless all bytes were read. */
  end(): void {
    if (this.at !== this.bytes.length) throw this.damage(`${this.bytes.length - this.at} bytes too many`, "none");
  }
}
