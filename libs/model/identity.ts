// libs/model/identity.ts: what a series is called in bytes: its key, and the hash of it; homes and shards: series-placer.ts.
// Key layout: libs/kernel/FORMAT.md, "Series key". The 128-bit id is the cluster's keyed hash of the key. A home is the hash
// of the key of {instance, job} alone, a lane the hash of the key without `le` and the histogram suffix, so that both are
// hashes of ordinary keys and need no layout of their own. The hash is passed in: this folder knows no kernel.
import { InvalidError } from "./errors.ts";
import { compareUtf8, type Labels } from "./labels.ts";

/** A keyed 64-bit hash as two unsigned 32-bit words, because neither a double nor a typed array lane holds 64 bits. */
export interface Hash64 {
  readonly low: number;
  readonly high: number;
}

/** A keyed 128-bit hash: 16 bytes. Tidemark's is SipHash-2-4-128 keyed by the cluster's hash seed. */
export type Hash128 = (bytes: Uint8Array) => Uint8Array;

/** Series of one target spread over this many neighbouring shards. */
export const LANES = 8;
/** Shard numbers are taken from two 32-bit halves in doubles, which is exact up to this count. */
export const SHARDS_MAX = 65_536;
export const SERIES_ID_BYTES = 16;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of `value` as an unsigned LEB128 varint, for 0 ≤ value < 2^32. */
function uvarintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

/**
 * Writes a series key from parts that are already UTF-8: `parts` is tenant, name0, value0, name1, value1, … with the names
 * in byte order, none twice, no value empty. The parts are not checked.
 */
export function encodeKeyParts(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += uvarintBytes(part.length) + part.length;
  const key = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    let rest = part.length;
    while (rest >= 0x80) {
      key[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    key[at++] = rest;
    // For the few bytes of a name or value a loop is several times faster than a call.
    if (part.length > 64) key.set(part, at);
    else for (let i = 0; i < part.length; i++) key[at + i] = part[i]!;
    at += part.length;
  }
  return key;
}

/** Where keys are built before their length is known. */
let scratch = new Uint8Array(1 << 10);

/** Writes a part of a key at a place of the scratch; returns the place after it. */
function writePart(text: string, at: number): number {
  const { length } = text;
  // A length of up to five bytes, and at most three bytes for each code unit.
  if (at + 5 + 3 * length > scratch.length) growScratch(at + 5 + 3 * length);
  const start = at + uvarintBytes(length);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return writeLongPart(text, at);
    scratch[start + i] = code;
  }
  writeLength(length, at);
  return start + length;
}

/** As writePart, for text that is not ASCII. */
function writeLongPart(text: string, at: number): number {
  const bytes = encoder.encode(text);
  const start = at + uvarintBytes(bytes.length);
  writeLength(bytes.length, at);
  scratch.set(bytes, start);
  return start + bytes.length;
}

function writeLength(length: number, at: number): void {
  let rest = length;
  let place = at;
  while (rest >= 0x80) {
    scratch[place++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  scratch[place] = rest;
}

function growScratch(sizeBytes: number): void {
  const longer = new Uint8Array(Math.max(scratch.length * 2, sizeBytes));
  longer.set(scratch);
  scratch = longer;
}

/** The series key of a label set: a view that is valid until the next key is made. */
export function viewSeriesKey(tenant: string, labels: Labels): Uint8Array {
  let at = writePart(tenant, 0);
  for (let i = 0; i < labels.length; i++) at = writePart(labels[i]!, at);
  return scratch.subarray(0, at);
}

/** The series key of a label set. */
export function encodeSeriesKey(tenant: string, labels: Labels): Uint8Array {
  return viewSeriesKey(tenant, labels).slice();
}

/**
 * The parts of a series key, views into it: tenant, name0, value0, …
 * Errors: InvalidError when the lengths do not add up or a label has no value.
 */
export function splitSeriesKey(key: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at < key.length) {
    let length = 0;
    let scale = 1;
    let byte: number;
    do {
      if (at >= key.length || scale > 0x1000_0000) throw malformed("a length that does not end");
      byte = key[at++]!;
      length += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80);
    if (scale > 128 && byte === 0) throw malformed("a length with padding");
    if (length > key.length - at) throw malformed("a length beyond the key's end");
    parts.push(key.subarray(at, at + length));
    at += length;
  }
  if (parts.length % 2 !== 1) throw malformed(`${parts.length} parts; a tenant and pairs are an odd number`);
  return parts;
}

/**
 * The tenant and the labels of a series key: the inverse of encodeSeriesKey, and of nothing else.
 * Errors: InvalidError for bytes that encodeSeriesKey cannot have written (order, repetition, emptiness, UTF-8).
 */
export function decodeSeriesKey(key: Uint8Array): { readonly tenant: string; readonly labels: Labels } {
  const parts = splitSeriesKey(key);
  const texts: string[] = [];
  try {
    for (const part of parts) texts.push(decoder.decode(part));
  } catch (cause) {
    throw malformed("bytes that are not UTF-8", cause);
  }
  const labels = texts.slice(1);
  for (let i = 0; i < labels.length; i += 2) {
    if (labels[i] === "" || labels[i + 1] === "") throw malformed("an empty name or value");
    if (i > 0 && compareUtf8(labels[i - 2]!, labels[i]!) >= 0) throw malformed("names out of order");
  }
  return { tenant: texts[0]!, labels };
}

function malformed(got: string, cause?: unknown): InvalidError {
  return new InvalidError(
    `cannot read series key: got ${got}; want tenant, names and values, each after its length`,
    cause === undefined ? undefined : { cause },
  );
}

/** The low 64 bits of a key's hash: the hash's first eight bytes, little-endian. */
export function hash64(hash128: Hash128, key: Uint8Array): Hash64 {
  return low64(hash128(key));
}

/** The low 64 bits of a hash. */
export function low64(h: Uint8Array): Hash64 {
  return {
    low: (h[0]! | (h[1]! << 8) | (h[2]! << 16) | (h[3]! << 24)) >>> 0,
    high: (h[4]! | (h[5]! << 8) | (h[6]! << 16) | (h[7]! << 24)) >>> 0,
  };
}

/** `hash mod divisor` in doubles, exact for 1 ≤ divisor ≤ SHARDS_MAX. */
export function hashMod(hash: Hash64, divisor: number): number {
  return ((hash.high % divisor) * (2 ** 32 % divisor) + (hash.low % divisor)) % divisor;
}
