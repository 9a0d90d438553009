// test/unit/select/histogram-decoder.ts: the decoder twin of services/select/histogram-chunk.ts: slow, obvious, bit by bit.
// Written from Prometheus' description of its chunk formats.
import { Bits, Window } from "./xor-decoder.ts";

const SIZES = [0, 3, 6, 9, 12, 18, 25, 56, 64];
const STALE = 0x7ff0000000000002n;

export interface DecodedHistogram {
  readonly time: number;
  /** unknown, reset, not reset or gauge, as a reader has to take it. */
  readonly hint: number;
  readonly schema: number;
  readonly zeroThreshold: number;
  /** Indexes of the buckets. */
  readonly positive: number[];
  readonly negative: number[];
  readonly bounds: number[];
  /** Bits of count, zero count, sum and buckets. */
  readonly numbers: bigint[];
}

function sized(reader: Bits): { bits: bigint; size: number } {
  let ones = 0;
  while (ones < 8 && reader.bits(1) === 1n) ones++;
  const size = SIZES[ones]!;
  return { bits: reader.bits(size), size };
}

function whole(reader: Bits): number {
  const { bits, size } = sized(reader);
  const isNegative = size === 64 ? bits >= 1n << 63n : size > 0 && bits > 1n << BigInt(size - 1);
  return Number(isNegative ? bits - (1n << BigInt(size)) : bits);
}

const positive = (reader: Bits): number => Number(sized(reader).bits);
const double = (bits: bigint): number => new Float64Array(BigUint64Array.of(bits).buffer)[0]!;

function threshold(reader: Bits): number {
  const byte = Number(reader.bits(8));
  if (byte === 255) return double(reader.bits(64));
  return byte === 0 ? 0 : 0.5 * 2 ** (byte - 243);
}

function indexes(reader: Bits): number[] {
  const out: number[] = [];
  let next = 0;
  for (let spans = positive(reader); spans > 0; spans--) {
    const length = positive(reader);
    next += whole(reader);
    for (let i = 0; i < length; i++) out.push(next++);
  }
  return out;
}

function bounds(reader: Bits): number[] {
  return Array.from({ length: positive(reader) }, () => {
    const coded = positive(reader);
    return coded === 0 ? double(reader.bits(64)) : (coded - 1) / 1000;
  });
}

export function decodeHistogramChunk(bytes: Uint8Array): DecodedHistogram[] {
  const count = (bytes[0]! << 8) | bytes[1]!;
  const first = [0, 2, 1, 3][bytes[2]! >> 6]!;
  const reader = new Bits(bytes, 3);
  const zeroThreshold = threshold(reader);
  const schema = whole(reader);
  const layout = { schema, zeroThreshold, positive: indexes(reader), negative: indexes(reader) };
  const custom = schema === -53 ? bounds(reader) : [];
  const width = 3 + layout.positive.length + layout.negative.length;
  const windows = Array.from({ length: width }, () => new Window());
  const out: DecodedHistogram[] = [];
  let time = 0;
  let delta = 0;
  let numbers: bigint[] = [];
  for (let i = 0; i < count; i++) {
    if (i === 0) {
      time = whole(reader);
      numbers = Array.from({ length: width }, () => reader.bits(64));
    } else {
      delta += whole(reader);
      time += delta;
      numbers = numbers.map((before, k) => windows[k]!.next(reader, before));
      if (numbers[2] === STALE) throw new Error("a stale marker behind a histogram");
    }
    const hint = i === 0 || first === 3 ? first : 2;
    out.push({ time, hint, ...layout, bounds: custom, numbers });
  }
  if (reader.left !== 0) throw new Error(`cannot read chunk: got ${reader.left} bytes too many`);
  return out;
}
