// services/select/xor-chunk.ts: samples → Prometheus' XOR chunks, as streamed remote reads carry them.
// HOT: bench test/bench/xor-chunk.bench.ts, twin: the decoder of test/unit/select/xor-chunk.test.ts. Format: Prometheus,
// "tsdb/docs/format/chunks.md", XOR chunk data: u16 big-endian sample count, then bits, most significant first. Times as
// deltas of deltas of 1, 2+14, 3+17, 4+20 or 4+64 bits, values as the bits in which they differ from the one before.

import { BitWriter, NO_WINDOW } from "./bit-writer.ts";

/** Samples of one chunk, at most: what Prometheus puts into its own. */
export const CHUNK_SAMPLES = 120;
/** A step of time beyond this begins a new chunk, so that differences of differences stay exact. */
const DELTA_MAX = 2 ** 51;
/** A sample takes at most 4 + 64 bits for its time and 2 + 5 + 6 + 64 for its value; the first two have varints of 10 bytes. */
const CHUNK_BYTES_MAX = 2 + 2 * 10 + CHUNK_SAMPLES * 19;
const HEADER_BYTES = 2;

/** Encodes one chunk at a time. */
export class XorChunkEncoder {
  readonly #bits = new BitWriter(CHUNK_BYTES_MAX);
  readonly #window = new Uint8Array(2);

  /** The chunk; valid until the next one. */
  get chunk(): Buffer {
    return this.#bits.bytes.subarray(0, this.#bits.size);
  }

  /**
   * Encodes samples from `from` on, before `limit` and as many as a chunk takes. Returns where the next chunk begins. Times ascend
   * and are whole numbers.
   */
  encode(times: Float64Array, values: Float64Array, from: number, limit = times.length): number {
    const writer = this.#bits;
    const window = this.#window;
    const end = Math.min(limit, from + CHUNK_SAMPLES);
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
    writer.begin(HEADER_BYTES);
    window[0] = NO_WINDOW;
    let time = times[from]!;
    let low = bits[2 * from]!;
    let high = bits[2 * from + 1]!;
    writer.varint(time);
    writer.put(high, 32);
    writer.put(low, 32);
    let delta = 0;
    let i = from + 1;
    for (; i < end; i++) {
      const next = times[i]! - time;
      if (next > DELTA_MAX) break;
      if (i === from + 1) writer.uvarint(next);
      else writeTimeStep(writer, next - delta);
      delta = next;
      time = times[i]!;
      const nextLow = bits[2 * i]!;
      const nextHigh = bits[2 * i + 1]!;
      writer.difference(nextHigh ^ high, nextLow ^ low, window, 0);
      high = nextHigh;
      low = nextLow;
    }
    writer.bytes.writeUInt16BE(i - from, 0);
    writer.finish();
    return i;
  }
}

function writeTimeStep(writer: BitWriter, step: number): void {
  if (step === 0) {
    writer.put(0, 1);
  } else if (step >= -8191 && step <= 8192) {
    writer.put(0b10, 2);
    writer.put(step, 14);
  } else if (step >= -65535 && step <= 65536) {
    writer.put(0b110, 3);
    writer.put(step, 17);
  } else if (step >= -524287 && step <= 524288) {
    writer.put(0b1110, 4);
    writer.put(step, 20);
  } else {
    writer.put(0b1111, 4);
    writer.put(Math.floor(step / 2 ** 32), 32);
    writer.put(step >>> 0, 32);
  }
}
