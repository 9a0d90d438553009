// libs/kernel/packed-values.ts: packed values (FORMAT.md) in TypeScript, for what is not hot, and as the twin of assembly/lib/packed.ts.
// Invariant: unpack(pack(x)) is x, bit for bit: values are moved as bytes, because a NaN must not pass through a number.
import { InvalidError } from "../model/index.ts";

const VALUE_BYTES = 8;

/** Packs the values [from, to) of a column. */
export function packValues(values: Float64Array, from = 0, to = values.length): Uint8Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const out = new Uint8Array(packedBytesMax(to - from));
  let at = controlBytes(to - from);
  for (let i = from; i < to; i++) {
    const end = (i + 1) * VALUE_BYTES;
    let start = end - VALUE_BYTES;
    while (start < end && bytes[start] === 0) start++;
    out[(i - from) >> 1]! |= (end - start) << ((i - from) % 2 === 0 ? 0 : 4);
    // For so few bytes a loop is several times faster than a call.
    while (start < end) out[at++] = bytes[start++]!;
  }
  return out.slice(0, at);
}

/** A nibble a value. */
function controlBytes(count: number): number {
  return Math.ceil(count / 2);
}

/** Bytes that so many values take at most. */
export function packedBytesMax(count: number): number {
  return controlBytes(count) + count * VALUE_BYTES;
}

/** Unpacks `count` values that fill `packed`. Errors: InvalidError when they don't. */
export function unpackValues(packed: Uint8Array, count: number): Float64Array<ArrayBuffer> {
  let at = controlBytes(count);
  if (packed.length < at) throw malformed(`${packed.length} bytes for ${count} values`);
  const values = new Float64Array(count);
  const bytes = new Uint8Array(values.buffer);
  if (count % 2 === 1 && packed[count >> 1]! > 15) throw malformed(`bytes kept beyond value ${count}`);
  for (let i = 0; i < count; i++) {
    const kept = (packed[i >> 1]! >> (i % 2 === 0 ? 0 : 4)) & 15;
    if (kept > VALUE_BYTES) throw malformed(`${kept} bytes kept of a value`);
    if (at + kept > packed.length) throw malformed(`${packed.length} bytes`);
    bytes.set(packed.subarray(at, at + kept), (i + 1) * VALUE_BYTES - kept);
    at += kept;
  }
  if (at !== packed.length) throw malformed(`${packed.length} bytes; ${at} used`);
  return values;
}

function malformed(got: string): InvalidError {
  return new InvalidError(`cannot unpack values: got ${got}; want packed values as FORMAT.md describes them`);
}
