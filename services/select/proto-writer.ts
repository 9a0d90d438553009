// services/select/proto-writer.ts: protobuf fields into a buffer that grows. Samples pass through here.

export class ProtoWriter {
  bytes: Buffer;
  at = 0;

  constructor(size = 4096) {
    this.bytes = Buffer.allocUnsafeSlow(size);
  }

  /** A copy of what was written; the writer begins anew. */
  take(): Buffer {
    const out = Buffer.from(this.bytes.subarray(0, this.at));
    this.at = 0;
    return out;
  }

  reserve(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.at + size, 2 * this.bytes.length));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }

  /** A whole number within ±2^53; a negative one takes ten bytes. */
  varint(value: number): void {
    this.reserve(10);
    const { bytes } = this;
    if (value < 0) {
      // The two's complement of 64 bits: the lowest 63 of them in nine groups of seven, then the sign.
      let rest = -value - 1;
      for (let i = 0; i < 9; i++) {
        bytes[this.at++] = (127 - (rest % 128)) | 128;
        rest = Math.floor(rest / 128);
      }
      bytes[this.at++] = 1;
      return;
    }
    let rest = value;
    while (rest > 127) {
      bytes[this.at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    bytes[this.at++] = rest;
  }

  /** Tag and length of a field that holds bytes. */
  lead(field: number, length: number): void {
    this.varint(8 * field + 2);
    this.varint(length);
  }

  raw(part: Uint8Array): void {
    this.reserve(part.length);
    this.bytes.set(part, this.at);
    this.at += part.length;
  }

  text(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.lead(field, length);
    this.reserve(length);
    this.at += this.bytes.write(value, this.at);
  }

  /** A field with a whole number. */
  int(field: number, value: number): void {
    this.varint(8 * field);
    this.varint(value);
  }
}

/** How many bytes a number ≥ 0 takes. */
export function varintBytes(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
}

/** The fields `labels = 1` of a series: messages of name = 1 and value = 2. */
export function encodeLabels(labels: readonly string[]): Buffer {
  const writer = new ProtoWriter(512);
  for (let i = 0; i < labels.length; i += 2) {
    const [name, value] = [labels[i]!, labels[i + 1]!];
    const [nameBytes, valueBytes] = [Buffer.byteLength(name), Buffer.byteLength(value)];
    writer.lead(1, 2 + varintBytes(nameBytes) + nameBytes + varintBytes(valueBytes) + valueBytes);
    writer.text(1, name);
    writer.text(2, value);
  }
  return writer.take();
}
