// libs/chunk/decode.ts: head chunks (FORMAT.md) decoded the slow, obvious way: the twin of
// libs/kernel/assembly/lib/decode.ts.
// Values are 64-bit integers here, so that no NaN payload is at risk.
import { CorruptionError } from "../model/index.ts";
import {
  CHUNK_HEADER_BYTES,
  FRAME_DENSE,
  FRAME_HAS_HOLES,
  FRAME_HAS_STALE,
  FRAME_RUN,
  FRAME_SAME,
  FRAME_SAMPLES,
  FRAME_XOR,
  HOLE_BITS,
  STALE_BITS,
} from "./constants.ts";

export interface DecodedChunk {
  /** Address of the series' previous chunk, 0 when there is none. */
  readonly previous: number;
  readonly group: number;
  readonly firstOrdinal: number;
  readonly flags: number;
  readonly sizeBytes: number;
  /** Bits of the values, holes and stale markers included. */
  readonly values: readonly bigint[];
}

const float = new DataView(new ArrayBuffer(8));

function toNumber(bits: bigint): number {
  float.setBigUint64(0, bits);
  return float.getFloat64(0);
}

function toBits(value: number): bigint {
  float.setFloat64(0, value);
  return float.getBigUint64(0);
}

/** `length` bits from bit `bit` behind `at` on. */
function readBits(view: DataView, at: number, bit: number, length: number): bigint {
  let value = 0n;
  for (let i = 0; i < length; i++) {
    const position = bit + i;
    value |= BigInt((view.getUint8(at + (position >> 3)) >> (position & 7)) & 1) << BigInt(i);
  }
  return value;
}

/**
 * Decodes the chunk at `start`. Errors: CorruptionError when frames and header disagree; RangeError when the chunk
 * reaches
 * beyond the view.
 */
export function decodeChunk(view: DataView, start: number): DecodedChunk {
  const count = view.getUint16(start + 12, true);
  const sizeBytes = view.getUint16(start + 14, true);
  const values: bigint[] = [];
  let last = view.getBigUint64(start + 20, true);
  let at = start + CHUNK_HEADER_BYTES;
  const end = start + sizeBytes;
  while (values.length < count && at < end) {
    const head = view.getUint8(at++);
    const kind = head & 3;
    if (kind === FRAME_RUN) {
      for (let n = view.getUint8(at++); n > 0; n--) values.push(last);
      continue;
    }
    const n = Math.min(FRAME_SAMPLES, count - values.length);
    const masks = [0, 0];
    for (const [i, flag] of [FRAME_HAS_HOLES, FRAME_HAS_STALE].entries()) {
      if ((head & flag) === 0) continue;
      masks[i] = view.getUint16(at, true);
      at += 2;
    }
    const frame: bigint[] = [];
    if (kind === FRAME_SAME) for (let i = 0; i < n; i++) frame.push(last);
    else if (kind === FRAME_XOR) at = decodeXor(view, at, (head & FRAME_DENSE) !== 0, n, last, frame);
    else at = decodeDecimal(view, at, head >> 4, n, last, frame);
    last = frame[n - 1]!;
    for (let i = 0; i < n; i++) {
      const hole = ((masks[0]! >> i) & 1) !== 0;
      values.push(hole ? HOLE_BITS : ((masks[1]! >> i) & 1) !== 0 ? STALE_BITS : frame[i]!);
    }
  }
  if (at !== end || values.length !== count) {
    throw new CorruptionError(
      `cannot decode chunk: got ${values.length} values in ${at - start} bytes; want ${count} in ${sizeBytes}`,
      "head",
      start,
    );
  }
  return {
    previous: view.getUint32(start, true),
    group: view.getUint32(start + 4, true),
    firstOrdinal: view.getUint32(start + 8, true),
    flags: view.getUint8(start + 16),
    sizeBytes,
    values,
  };
}

function decodeXor(view: DataView, start: number, dense: boolean, n: number, last: bigint, out: bigint[]): number {
  const shift = BigInt(view.getUint8(start));
  const length = view.getUint8(start + 1);
  let at = start + 2;
  let changed = 0xffff;
  if (!dense) {
    changed = view.getUint16(at, true);
    at += 2;
  }
  let bit = 0;
  let value = last;
  for (let i = 0; i < n; i++) {
    if (((changed >> i) & 1) !== 0) {
      value ^= readBits(view, at, bit, length) << shift;
      bit += length;
    }
    out.push(value);
  }
  return at + Math.ceil(bit / 8);
}

function decodeDecimal(
  view: DataView,
  start: number,
  exponent: number,
  n: number,
  last: bigint,
  out: bigint[],
): number {
  const widths = view.getUint8(start);
  const width = widths & 63;
  const size = 1 << (widths >> 6);
  let lowest = 0n;
  for (let i = 0; i < size; i++) lowest |= BigInt(view.getUint8(start + 1 + i)) << BigInt(8 * i);
  lowest = BigInt.asIntN(8 * size, lowest);
  const scale = 10 ** exponent;
  const at = start + 1 + size;
  let integer = BigInt(Math.round(toNumber(last) * scale));
  for (let i = 0; i < n; i++) {
    integer += readBits(view, at, i * width, width) + lowest;
    out.push(toBits(Number(integer) / scale));
  }
  return at + Math.ceil((n * width) / 8);
}
