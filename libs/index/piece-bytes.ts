// libs/index/piece-bytes.ts: the bytes of pieces: numbers as LEB128, texts after their lengths; every read is checked.
import { CorruptionError } from "../model/index.ts";

/** Bytes that grow. */
export class PieceSink {
  private bytes = new Uint8Array(1024);
  length = 0;

  private room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** A u32. */
  uvarint(value: number): void {
    this.room(5);
    let rest = value;
    while (rest > 127) {
      this.bytes[this.length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
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

  /** A copy of what was written. */
  taken(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}

/** Errors of all reads: CorruptionError. */
export class PieceSource {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  uvarint(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
      if (this.at >= this.bytes.length) throw damagedPiece("a number beyond its end");
      const byte = this.bytes[this.at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value >= 2 ** 32) break;
        return value;
      }
    }
    throw damagedPiece("a number beyond 2^32");
  }

  skip(length: number): void {
    if (length > this.bytes.length - this.at) throw damagedPiece(`${this.bytes.length - this.at} of ${length} bytes`);
    this.at += length;
  }

  /** Goes past so many numbers. */
  skipNumbers(count: number): void {
    const { bytes } = this;
    let at = this.at;
    for (let left = count; left > 0; left--) while (bytes[at++]! > 127);
    if (at > bytes.length) throw damagedPiece("numbers beyond its end");
    this.at = at;
  }

  /** A text: what is under a checksum was UTF-8 when it was written. */
  text(): string {
    const { buffer, byteOffset } = this.bytes;
    const length = this.uvarint();
    const from = this.at;
    this.skip(length);
    return Buffer.from(buffer, byteOffset + from, length).toString("utf8");
  }

  /** A view of the next `length` bytes. */
  raw(length: number): Uint8Array {
    this.skip(length);
    return this.bytes.subarray(this.at - length, this.at);
  }

  blob(): Uint8Array {
    return this.raw(this.uvarint());
  }
}

export function damagedPiece(got: string): CorruptionError {
  return new CorruptionError(`cannot read piece: got ${got}; want what was written`, "index", 0);
}
