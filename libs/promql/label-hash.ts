// libs/promql/label-hash.ts: Prometheus' hash of a label set: XXH64 over names and values, each behind its length.
// limit_ratio samples by it, so the same series are in a sample here and there.
// Reference: xxHash, "XXH64 algorithm description"; seed 0. BigInt is slow, and this is no hot path.
import type { Labels } from "../model/index.ts";

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const PRIME_5 = 0x27d4eb2f165667c5n;
const STRIPE = 32;
/** A length that one byte holds; longer ones take three bytes behind this one. */
const LENGTH_MARK = 255;

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotate = (value: bigint, by: bigint): bigint => u64((value << by) | (value >> (64n - by)));
const round = (lane: bigint, input: bigint): bigint => u64(rotate(u64(lane + input * PRIME_2), 31n) * PRIME_1);

/** A number in [0, 1] that depends on the labels only: their hash over the greatest one. */
export function hashFraction(labels: Labels): number {
  return Number(xxh64(encodeLabels(labels))) / 2 ** 64;
}

function encodeLabels(labels: Labels): DataView {
  const encoder = new TextEncoder();
  const parts = labels.map((text) => encoder.encode(text));
  const lengths = parts.map(({ length }) => (length < LENGTH_MARK ? 1 : 4) + length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    if (part.length < LENGTH_MARK) bytes[at++] = part.length;
    else {
      bytes.set([LENGTH_MARK, part.length & 255, (part.length >> 8) & 255, (part.length >> 16) & 255], at);
      at += 4;
    }
    bytes.set(part, at);
    at += part.length;
  }
  return new DataView(bytes.buffer);
}

/** XXH64 with seed 0. */
export function xxh64(data: DataView): bigint {
  const { byteLength } = data;
  let at = 0;
  let hash = PRIME_5;
  if (byteLength >= STRIPE) {
    const lanes = [u64(PRIME_1 + PRIME_2), PRIME_2, 0n, u64(-PRIME_1)];
    for (; at + STRIPE <= byteLength; at += STRIPE) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i]!, data.getBigUint64(at + 8 * i, true));
    }
    const [a, b, c, d] = lanes as [bigint, bigint, bigint, bigint];
    hash = u64(rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n));
    for (const lane of lanes) hash = u64((hash ^ round(0n, lane)) * PRIME_1 + PRIME_4);
  }
  hash = u64(hash + BigInt(byteLength));
  for (; at + 8 <= byteLength; at += 8) {
    hash = u64(rotate(hash ^ round(0n, data.getBigUint64(at, true)), 27n) * PRIME_1 + PRIME_4);
  }
  if (at + 4 <= byteLength) {
    hash = u64(rotate(hash ^ u64(BigInt(data.getUint32(at, true)) * PRIME_1), 23n) * PRIME_2 + PRIME_3);
    at += 4;
  }
  for (; at < byteLength; at++) hash = u64(rotate(hash ^ u64(BigInt(data.getUint8(at)) * PRIME_5), 11n) * PRIME_1);
  hash = u64((hash ^ (hash >> 33n)) * PRIME_2);
  hash = u64((hash ^ (hash >> 29n)) * PRIME_3);
  return hash ^ (hash >> 32n);
}
