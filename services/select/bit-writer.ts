// services/select/bit-writer.ts: bits, most significant first, and the numbers that Prometheus' chunks make of them.
// HOT: bench test/bench/bit-writer.bench.ts, twin: the decoder of test/unit/select/xor-chunk.test.ts.
// Format: Prometheus, "tsdb/docs/format/chunks.md".

/** No window of bits yet. */
export const NO_WINDOW = 255;

export class BitWriter {
  /** What was written is bytes[0 … size), once `finish` was called; the byte at `size` is 0 or begun. */
  bytes: Buffer;
  size = 0;
  /** Bits that are free in the last byte. */
  private room = 8;

  constructor(capacity: number) {
    this.bytes = Buffer.alloc(capacity);
  }

  /** Begins anew behind a header that the caller writes. */
  begin(headerBytes: number): void {
    this.bytes.fill(0, 0, Math.min(this.bytes.length, Math.max(headerBytes, this.size) + 1));
    this.size = headerBytes;
    this.room = 8;
  }

  /** The last byte counts. */
  finish(): void {
    if (this.room < 8) this.size++;
    this.room = 8;
  }

  /** Makes sure that so many bytes can follow. */
  reserve(bytes: number): void {
    if (this.size + bytes < this.bytes.length) return;
    const larger = Buffer.alloc(2 * (this.size + bytes));
    this.bytes.copy(larger, 0, 0, this.size + 1);
    this.bytes = larger;
  }

  /**
   * The bits in which a value differs: none, those within its last window, or a window of its own. Windows are pairs of leading
   * and trailing zeros; this value's is the one at `index`.
   */
  difference(high: number, low: number, windows: Uint8Array, index: number): void {
    if (high === 0 && low === 0) {
      this.put(0, 1);
      return;
    }
    let leading = Math.min(31, high !== 0 ? Math.clz32(high) : 32 + Math.clz32(low));
    let trailing = low !== 0 ? 31 - Math.clz32(low & -low) : 63 - Math.clz32(high & -high);
    const last = 2 * index;
    if (leading >= windows[last]! && trailing >= windows[last + 1]!) {
      this.put(0b10, 2);
      leading = windows[last]!;
      trailing = windows[last + 1]!;
    } else {
      windows[last] = leading;
      windows[last + 1] = trailing;
      this.put(0b11, 2);
      this.put(leading, 5);
      // 64 bits are written as 0.
      this.put(64 - leading - trailing, 6);
    }
    const length = 64 - leading - trailing;
    const shifted =
      trailing >= 32 ? high >>> (trailing - 32) : trailing === 0 ? low : (low >>> trailing) | (high << (32 - trailing));
    if (length > 32) {
      this.put(high >>> trailing, length - 32);
      this.put(shifted, 32);
    } else {
      this.put(shifted, length);
    }
  }

  /** Appends the lowest `count` bits of a number, 1 to 32. */
  put(value: number, count: number): void {
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
  varint(value: number): void {
    const folded = value < 0 ? -value - 1 : value;
    // Twice a number of 53 bits is one too many, so the lowest seven bits are made apart.
    const lowest = (folded % 64) * 2 + (value < 0 ? 1 : 0);
    const rest = Math.floor(folded / 64);
    this.put(rest > 0 ? lowest | 128 : lowest, 8);
    if (rest > 0) this.uvarint(rest);
  }

  uvarint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.put((rest % 128) | 128, 8);
      rest = Math.floor(rest / 128);
    }
    this.put(rest, 8);
  }
}
