// libs/wal/segment.ts: names and first record of a segment. Layout: FORMAT.md, "Segment".
import { type FileSystem, SECTOR_BYTES } from "../env/index.ts";
import { InvalidError } from "../model/index.ts";
import type { DirectoryIdentity } from "./identity.ts";
import { Checksums, frameBytes, HEADER_BYTES, openFrame, RECORD } from "./record.ts";

export const FORMAT_VERSION = 1;
/** Names have eight digits. */
export const SEGMENT_MAX = 99_999_999;
const NAME = /^([0-9]{8})\.wal$/;
const FIXED_BYTES = 72;

export function walFolder(dataDir: string): string {
  return `${dataDir}/wal`;
}

export function segmentPath(dataDir: string, segment: number): string {
  return `${walFolder(dataDir)}/${String(segment).padStart(8, "0")}.wal`;
}

/** The number in a segment's path; undefined when that names no segment. */
export function segmentNumberOf(path: string): number | undefined {
  const match = NAME.exec(path.slice(path.lastIndexOf("/") + 1));
  return match === null ? undefined : Number(match[1]);
}

/** Segment numbers in order, and the names that are no segment's. */
export function listSegments(fs: FileSystem, dataDir: string): { segments: number[]; strangers: string[] } {
  const segments: number[] = [];
  const strangers: string[] = [];
  if (fs.stat(walFolder(dataDir)) === undefined) return { segments, strangers };
  for (const name of fs.list(walFolder(dataDir))) {
    const match = NAME.exec(name);
    if (match === null) strangers.push(name);
    else segments.push(Number(match[1]));
  }
  return { segments: segments.sort((a, b) => a - b), strangers };
}

/** `bytes` rounded up to whole sectors: a group begins where no acknowledged byte shares its sector. */
export function wholeSectors(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}

export interface SegmentHeader {
  readonly segment: number;
  /** The segment before it and where its last intact record ended; 0 and 0 for the first. */
  readonly previous: SegmentEnd;
  readonly createdMs: number;
}

/** Up to where a segment is known to hold records. */
export interface SegmentEnd {
  readonly segment: number;
  readonly offset: number;
}

/** The first sectors of a segment: its header record, padded. */
export function encodeSegmentHead(header: SegmentHeader, identity: DirectoryIdentity): Uint8Array {
  const clusterId = new TextEncoder().encode(identity.clusterId);
  const nodeId = new TextEncoder().encode(identity.nodeId);
  const bodyBytes = FIXED_BYTES + 8 + clusterId.length + nodeId.length;
  const head = new Uint8Array(wholeSectors(frameBytes(bodyBytes)));
  openFrame(head, 0, RECORD.segmentHeader, bodyBytes);
  const view = new DataView(head.buffer, HEADER_BYTES);
  view.setUint32(0, FORMAT_VERSION, true);
  view.setUint32(4, 0, true);
  view.setUint32(8, header.segment, true);
  view.setUint32(12, identity.shardCount, true);
  view.setUint32(16, header.previous.segment, true);
  view.setBigUint64(24, BigInt(header.previous.offset), true);
  view.setBigInt64(32, BigInt(header.createdMs), true);
  head.set(identity.directoryId, HEADER_BYTES + 40);
  head.set(identity.hashSeed, HEADER_BYTES + 56);
  view.setUint32(FIXED_BYTES, clusterId.length, true);
  head.set(clusterId, HEADER_BYTES + FIXED_BYTES + 4);
  view.setUint32(FIXED_BYTES + 4 + clusterId.length, nodeId.length, true);
  head.set(nodeId, HEADER_BYTES + FIXED_BYTES + 8 + clusterId.length);
  new Checksums(identity.directoryId, header.segment).seal(head, frameBytes(bodyBytes), 0);
  return head;
}

/** Reads an intact header body. Errors: InvalidError for a newer format, which nothing else in the segment can be read by. */
export function decodeSegmentHeader(path: string, body: Uint8Array): SegmentHeader {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const version = view.getUint32(0, true);
  const features = view.getUint32(4, true);
  if (version !== FORMAT_VERSION || features !== 0) {
    throw new InvalidError(
      `cannot read ${path}: got format version ${version} with features ${features}; ` +
        `want version ${FORMAT_VERSION} without: start the release that wrote it, or a newer one`,
    );
  }
  return {
    segment: view.getUint32(8, true),
    previous: { segment: view.getUint32(16, true), offset: Number(view.getBigUint64(24, true)) },
    createdMs: Number(view.getBigInt64(32, true)),
  };
}

/**
 * The id of the data directory that the segment's first bytes were written for, if they are an intact header under that very
 * id: tells a foreign segment from a damaged one.
 */
export function claimedDirectory(head: Uint8Array, segment: number): Uint8Array | undefined {
  if (head.length < HEADER_BYTES + FIXED_BYTES) return undefined;
  const id = head.slice(HEADER_BYTES + 40, HEADER_BYTES + 56);
  const header = new Checksums(id, segment).openHeader(head, 0, 0);
  return header?.type === RECORD.segmentHeader ? id : undefined;
}
