// libs/wal/record.ts: the frame around each WAL record: header, checksums, alignment. Layout: FORMAT.md, "Record".
// Both checksums start from the data directory's id, the segment's number and the record's offset: bytes that belong elsewhere
// (another directory, another segment, another place) never validate, whatever they say.
import { crc32 } from "node:zlib";

export const RECORD_MAGIC = 0x5754;
export const HEADER_BYTES = 16;
const ALIGN_BYTES = 8;
/** Set in the type of a group's last record: only after it may zeros fill up the sector. */
const LAST_OF_GROUP = 0x8000;

/** Stable numbers; never reused. */
export const RECORD = {
  registrations: 1,
  samples: 2,
  lateSamples: 3,
  metadata: 4,
  segmentHeader: 5,
  repeatedRegistrations: 6,
  deletion: 7,
  side: 12,
} as const;

export type RecordType = (typeof RECORD)[keyof typeof RECORD];

const KNOWN: ReadonlySet<number> = new Set(Object.values(RECORD));

export function isKnownType(type: number): type is RecordType {
  return KNOWN.has(type);
}

/** Bytes a record with such a body takes in a segment. */
export function frameBytes(bodyBytes: number): number {
  return Math.ceil((HEADER_BYTES + bodyBytes) / ALIGN_BYTES) * ALIGN_BYTES;
}

/** Writes a header without checksums at `at` and zeros the bytes between the body and the frame's end. */
export function openFrame(bytes: Uint8Array, at: number, type: number, bodyBytes: number): void {
  put16(bytes, at, RECORD_MAGIC);
  put16(bytes, at + 2, type);
  put32(bytes, at + 4, bodyBytes);
  bytes.fill(0, at + HEADER_BYTES + bodyBytes, at + frameBytes(bodyBytes));
}

/** A header that passed its checksum. */
export interface RecordHeader {
  readonly type: number;
  readonly lastOfGroup: boolean;
  readonly bodyBytes: number;
  readonly bodyChecksum: number;
  /** Start value of the body's checksum. */
  readonly headerChecksum: number;
}

/** Checksums of one segment's records. Not reentrant: it keeps a scratch buffer. */
export class Checksums {
  private readonly start: number;
  private readonly scratch = new Uint8Array(16);

  constructor(directoryId: Uint8Array, segment: number) {
    const number = new Uint8Array(4);
    put32(number, 0, segment);
    this.start = crc32(number, crc32(directoryId));
  }

  /**
   * Seals a group's records, which fill the first `length` bytes and will lie at `offset` of the segment: marks the last one and
   * fills in the checksums. Doing it again changes nothing.
   */
  seal(group: Uint8Array, length: number, offset: number): void {
    for (let at = 0; at < length; ) {
      const end = at + frameBytes(get32(group, at + 4));
      if (end >= length) group[at + 3]! |= LAST_OF_GROUP >> 8;
      const header = this.ofHeader(group, at, offset + at);
      put32(group, at + 8, header);
      put32(group, at + 12, crc32(group.subarray(at + HEADER_BYTES, end), header));
      at = end;
    }
  }

  /** The header at `at`, or undefined when these are not the 16 bytes of a record at `offset` of this segment. */
  openHeader(bytes: Uint8Array, at: number, offset: number): RecordHeader | undefined {
    if (get16(bytes, at) !== RECORD_MAGIC) return undefined;
    const headerChecksum = this.ofHeader(bytes, at, offset);
    if (get32(bytes, at + 8) !== headerChecksum) return undefined;
    const type = get16(bytes, at + 2);
    return {
      type: type & ~LAST_OF_GROUP,
      lastOfGroup: (type & LAST_OF_GROUP) !== 0,
      bodyBytes: get32(bytes, at + 4),
      bodyChecksum: get32(bytes, at + 12),
      headerChecksum,
    };
  }

  private ofHeader(bytes: Uint8Array, at: number, offset: number): number {
    put32(this.scratch, 0, offset % 2 ** 32);
    put32(this.scratch, 4, Math.floor(offset / 2 ** 32));
    for (let i = 0; i < 8; i++) this.scratch[8 + i] = bytes[at + i]!;
    return crc32(this.scratch, this.start);
  }
}

/** Whether `body`, with the zeros that fill up its frame, is what the header says. */
export function bodyIsIntact(header: RecordHeader, body: Uint8Array): boolean {
  return crc32(body, header.headerChecksum) === header.bodyChecksum;
}

export function get16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function get32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
