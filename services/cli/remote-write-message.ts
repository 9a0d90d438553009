// services/cli/remote-write-message.ts: our own metrics as a remote-write 1.0 message, before compression.
// Format: message prometheus.WriteRequest of proto/remote-write-v1 (fields 1 timeseries, 3 metadata).
import { compareUtf8, METRIC_NAME } from "../../libs/model/index.ts";
import type { ExposedFamily } from "../../libs/runtime/index.ts";

const METADATA_TYPES: Readonly<Record<string, number>> = { counter: 1, gauge: 2, histogram: 3, summary: 5 };

/** Room for a message, and for one inside it, before they have to grow. */
const MESSAGE_BYTES = 64 * 1024;
const INNER_BYTES = 512;

/** Appends protobuf to a buffer that grows. */
class ProtoWriter {
  #bytes: Buffer;
  #at = 0;

  constructor(sizeBytes: number) {
    this.#bytes = Buffer.allocUnsafe(sizeBytes);
  }

  get written(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#at + size));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }

  /** A whole number from 0 to 2^53. */
  varint(n: number): void {
    this.#reserve(10);
    let rest = n;
    while (rest > 127) {
      this.#bytes[this.#at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#at++] = rest;
  }

  text(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(field * 8 + 2);
    this.varint(length);
    this.#reserve(length);
    this.#at += this.#bytes.write(value, this.#at);
  }

  double(field: number, value: number): void {
    this.varint(field * 8 + 1);
    this.#reserve(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  number(field: number, value: number): void {
    this.varint(field * 8);
    this.varint(value);
  }

  /** A message field; `write` fills it. */
  message(field: number, write: (inner: ProtoWriter) => void): void {
    const inner = new ProtoWriter(INNER_BYTES);
    write(inner);
    this.varint(field * 8 + 2);
    this.varint(inner.written.length);
    this.#reserve(inner.written.length);
    inner.written.copy(this.#bytes, this.#at);
    this.#at += inner.written.length;
  }
}

/** One sample per value at one time; `target` holds the labels that every series gets. */
export function encodeSamples(
  families: readonly ExposedFamily[],
  target: Readonly<Record<string, string>>,
  timeMs: number,
): Buffer {
  const out = new ProtoWriter(MESSAGE_BYTES);
  for (const { name, labels, value } of families.flatMap((family) => family.values)) {
    const pairs = Object.entries({ ...labels, ...target, [METRIC_NAME]: name }).filter(([, v]) => `${v}` !== "");
    pairs.sort(([a], [b]) => compareUtf8(a, b));
    out.message(1, (series) => {
      for (const [labelName, labelValue] of pairs) {
        series.message(1, (label) => {
          label.text(1, labelName);
          label.text(2, `${labelValue}`);
        });
      }
      series.message(2, (sample) => {
        sample.double(1, value);
        sample.number(2, timeMs);
      });
    });
  }
  return out.written;
}

/** Type and help of every family. */
export function encodeMetadata(families: readonly ExposedFamily[]): Buffer {
  const out = new ProtoWriter(MESSAGE_BYTES);
  for (const { name, type, help } of families) {
    out.message(3, (metadata) => {
      metadata.number(1, METADATA_TYPES[type] ?? 0);
      metadata.text(2, name);
      metadata.text(4, help);
    });
  }
  return out.written;
}
