// libs/index/piece-value.ts: the keys of pieces, and their values under a checksum that covers the key as well. FORMAT.md, "Pieces".
import { crc32 } from "node:zlib";
import { damagedPiece } from "./piece-bytes.ts";
import { PieceReader } from "./piece-reader.ts";
import type { PieceStore, PieceValue } from "./piece-store.ts";

/** First byte of every value: another release's values are made anew. */
export const PIECE_VERSION = 1;
const HEADER_BYTES = 5;
/** Bytes of a key before the tenant: shard, day, block id, zero. */
export const PREFIX_BYTES = 23;
const DAY_MS = 86_400_000;
const DAY_ZERO = 2 ** 31;

const encoder = new TextEncoder();

/** What of a block its pieces' keys are made of. */
export interface PieceBlock {
  readonly id: Uint8Array;
  readonly shard: number;
  /** Its samples are later than this. */
  readonly minMs: number;
}

/** What the keys of all of a block's pieces begin with: big-endian, so that a shard's days are neighbours. */
export function piecePrefix({ id, shard, minMs }: PieceBlock): Uint8Array {
  const prefix = new Uint8Array(PREFIX_BYTES);
  const view = new DataView(prefix.buffer);
  view.setUint16(0, shard);
  view.setUint32(2, Math.floor(minMs / DAY_MS) + DAY_ZERO);
  prefix.set(id, 6);
  return prefix;
}

/** The key of one value of a tenant's piece: number 0 is the directory, the chunks follow. */
export function pieceKey(block: PieceBlock, tenant: string, number: number): Uint8Array {
  const text = encoder.encode(tenant);
  const key = new Uint8Array(PREFIX_BYTES + text.length + 5);
  key.set(piecePrefix(block));
  key.set(text, PREFIX_BYTES);
  new DataView(key.buffer).setUint32(PREFIX_BYTES + text.length + 1, number);
  return key;
}

/** Puts content under its checksum. */
export function sealPiece(key: Uint8Array, content: Uint8Array): PieceValue {
  const value = new Uint8Array(HEADER_BYTES + content.length);
  value[0] = PIECE_VERSION;
  value.set(content, HEADER_BYTES);
  new DataView(value.buffer).setUint32(1, checksumOf(key, value), true);
  return { key, value };
}

function checksumOf(key: Uint8Array, value: Uint8Array): number {
  return crc32(value.subarray(HEADER_BYTES), crc32(value.subarray(0, 1), crc32(key)));
}

/** The content of a value. Errors: CorruptionError. */
export function unsealPiece(key: Uint8Array, value: Uint8Array): Uint8Array {
  if (value.length < HEADER_BYTES) throw damagedPiece(`${value.length} bytes`);
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  if (view.getUint32(1, true) !== checksumOf(key, value)) throw damagedPiece("another checksum");
  if (value[0] !== PIECE_VERSION) throw damagedPiece(`version ${value[0]}`);
  return value.subarray(HEADER_BYTES);
}

/** A tenant's piece of a block; undefined when the store has none. Errors: CorruptionError; those of the store. */
export function openPiece(store: PieceStore, block: PieceBlock, tenant: string): PieceReader | undefined {
  const read = (number: number): Uint8Array | undefined => {
    const key = pieceKey(block, tenant, number);
    const value = store.get(key);
    return value === undefined ? undefined : unsealPiece(key, value);
  };
  const directory = read(0);
  if (directory === undefined) return undefined;
  return new PieceReader(directory, (chunk) => {
    const content = read(chunk + 1);
    if (content === undefined) throw damagedPiece(`no chunk ${chunk}`);
    return content;
  });
}
