// test/unit/select/xor-decoder.ts: the decoder twin of services/select/xor-chunk.ts and bit-writer.ts: slow, obvious, 64-bit numbers as BigInt.
// Written from Prometheus' description of its chunk formats.

export class Bits {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, from: number) {
    this.#bytes = bytes;
    this.#at = 8 * from;
  }

  bits(count: number): bigint {
    let out = 0n;
    for (let i = 0; i < count; i++, this.#at++) {
      if (this.#at >= 8 * this.#bytes.length) throw new Error("cannot read chunk: got its end; want more bits");
      out = (out << 1n) | BigInt((this.#bytes[this.#at >> 3]! >> (7 - (this.#at & 7))) & 1);
    }
    return out;
  }

  uvarint(): bigint {
    let out = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.bits(8);
      out |= (byte & 127n) << shift;
      if (byte < 128n) return out;
    }
  }

  /** Whole bytes that were not read. */
  get left(): number {
    return this.#bytes.length - ((this.#at + 7) >> 3);
  }
}

/** The bits in which a value may differ from the one before. */
export class Window {
  #leading = 0;
  #trailing = 0;

  next(reader: Bits, before: bigint): bigint {
    if (reader.bits(1) === 0n) return before;
    if (reader.bits(1) === 1n) {
      this.#leading = Number(reader.bits(5));
      this.#trailing = 64 - this.#leading - (Number(reader.bits(6)) || 64);
    }
    return before ^ (reader.bits(64 - this.#leading - this.#trailing) << BigInt(this.#trailing));
  }
}

const SIZES = [0, 14, 17, 20, 64];

export interface DecodedChunk {
  readonly times: number[];
  /** Bits of the values. */
  readonly values: bigint[];
}

export function decodeXorChunk(bytes: Uint8Array): DecodedChunk {
  const count = (bytes[0]! << 8) | bytes[1]!;
  const reader = new Bits(bytes, 2);
  const times: number[] = [];
  const values: bigint[] = [];
  let time = 0n;
  let delta = 0n;
  let value = 0n;
  const window = new Window();
  for (let i = 0; i < count; i++) {
    if (i === 0) {
      const folded = reader.uvarint();
      time = folded & 1n ? -(folded >> 1n) - 1n : folded >> 1n;
      value = reader.bits(64);
    } else {
      if (i === 1) delta = reader.uvarint();
      else {
        let ones = 0;
        while (ones < 4 && reader.bits(1) === 1n) ones++;
        const size = SIZES[ones]!;
        let step = reader.bits(size);
        if (size === 64) step = BigInt.asIntN(64, step);
        else if (size > 0 && step > 1n << BigInt(size - 1)) step -= 1n << BigInt(size);
        delta += step;
      }
      time += delta;
      value = window.next(reader, value);
    }
    times.push(Number(time));
    values.push(value);
  }
  if (reader.left !== 0) throw new Error(`cannot read chunk: got ${reader.left} bytes too many`);
  return { times, values };
}
