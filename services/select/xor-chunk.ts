// services/select/xor-chunk.ts: samples → Prometheus' XOR chunks, as streamed remote reads carry them.
// HOT: bench test/bench/xor-chunk.bench.ts, twin: the decoder of test/unit/select/xor-chunk.test.ts. Format: Prometheus,
// "tsdb/docs/format/chunks.md", XOR chunk data: u16 big-endian sample count, then bits, most significant first. Times as
// deltas of deltas of 1, 2+14, 3+17, 4+20 or 4+64 bits, values as the bits in which they differ from the one before.

/** Samples of one chunk, at most: what Prometheus puts into its own. */
export const CHUNK_SAMPLES = 120;
/** A step of time beyond this begins a new chunk, so that differences of differences stay exact. */
const DELTA_MAX = 2 ** 51;
/** A sample takes at most 4 + 64 bits for its time and 2 + 5 + 6 + 64 for its value; the first two have varints of 10 bytes. */
const CHUNK_BYTES_MAX = 2 + 2 * 10 + CHUNK_SAMPLES * 19;
const HEADER_BYTES = 2;

/** Encodes one chunk at a time into memory of its own. */
export class XorChunkEncoder {
  /** The chunk is bytes[0 … size). */
  readonly bytes: Buffer = Buffer.alloc(CHUNK_BYTES_MAX);
  size = 0;
  /** Bits that are free in the last byte. */
  private room = 8;
  private leading = 255;
  private trailing = 0;

  /** Encodes samples from `from` on. Returns where the next chunk begins. Times ascend and are whole numbers. */
  encode(times: Float64Array, values: Float64Array, from: number): number {
    const { bytes } = this;
    const end = Math.min(times.length, from + CHUNK_SAMPLES);
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
    bytes.fill(0, 0, this.size + 1);
    this.size = HEADER_BYTES;
    this.room = 8;
    this.leading = 255;
    this.trailing = 0;
    let time = times[from]!;
    let low = bits[2 * from]!;
    let high = bits[2 * from + 1]!;
    this.varint(time);
    this.put(high, 32);
    this.put(low, 32);
    let delta = 0;
    let i = from + 1;
    for (; i < end; i++) {
      const next = times[i]! - time;
      if (next > DELTA_MAX) break;
      if (i === from + 1) this.uvarint(next);
      else this.timeStep(next - delta);
      delta = next;
      time = times[i]!;
      const nextLow = bits[2 * i]!;
      const nextHigh = bits[2 * i + 1]!;
      this.difference(nextHigh ^ high, nextLow ^ low);
      high = nextHigh;
      low = nextLow;
    }
    bytes.writeUInt16BE(i - from, 0);
    if (this.room < 8) this.size++;
    return i;
  }

  private timeStep(step: number): void {
    if (step === 0) {
      this.put(0, 1);
    } else if (step >= -8191 && step <= 8192) {
      this.put(0b10, 2);
      this.put(step, 14);
    } else if (step >= -65535 && step <= 65536) {
      this.put(0b110, 3);
      this.put(step, 17);
    } else if (step >= -524287 && step <= 524288) {
      this.put(0b1110, 4);
      this.put(step, 20);
    } else {
      this.put(0b1111, 4);
      this.put(Math.floor(step / 2 ** 32), 32);
      this.put(step >>> 0, 32);
    }
  }

  /** The bits in which a value differs: none, those within the last window, or a window of its own. */
  private difference(high: number, low: number): void {
    if (high === 0 && low === 0) {
      this.put(0, 1);
      return;
    }
    const leading = Math.min(31, high !== 0 ? Math.clz32(high) : 32 + Math.clz32(low));
    const trailing = low !== 0 ? 31 - Math.clz32(low & -low) : 63 - Math.clz32(high & -high);
    if (leading >= this.leading && trailing >= this.trailing) {
      this.put(0b10, 2);
    } else {
      this.leading = leading;
      this.trailing = trailing;
      this.put(0b11, 2);
      this.put(leading, 5);
      // 64 bits are written as 0.
      this.put(64 - leading - trailing, 6);
    }
    const shift = this.trailing;
    const length = 64 - this.leading - shift;
    const shifted = shift >= 32 ? high >>> (shift - 32) : shift === 0 ? low : (low >>> shift) | (high << (32 - shift));
    if (length > 32) {
      this.put(high >>> shift, length - 32);
      this.put(shifted, 32);
    } else {
      this.put(shifted, length);
    }
  }

  /** Appends the lowest `count` bits of a number, 1 to 32. */
  private put(value: number, count: number): void {
    const { bytes } = this;
    let { room, size } = this;
    let left = count;
    while (left > 0) {
      const take = left < room ? left : room;
      left -= take;
      room -= take;
      bytes[size]! |= ((value >>> left) & ((1 << take) - 1)) << room;
      if (room > 0) break;
      room = 8;
      bytes[++size] = 0;
    }
    this.room = room;
    this.size = size;
  }

  /** A whole number within ±2^53, its sign in the lowest bit. */
  private varint(value: number): void {
    const folded = value < 0 ? -value - 1 : value;
    // Twice a number of 53 bits is one too many, so the lowest seven bits are made apart.
    const lowest = (folded % 64) * 2 + (value < 0 ? 1 : 0);
    const rest = Math.floor(folded / 64);
    this.put(rest > 0 ? lowest | 128 : lowest, 8);
    if (rest > 0) this.uvarint(rest);
  }

  private uvarint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.put((rest % 128) | 128, 8);
      rest = Math.floor(rest / 128);
    }
    this.put(rest, 8);
  }
}
