// libs/wal/scan.ts: walks one segment: intact records, and the regions between them that are none.
// A damaged body loses its record only, because the header has a checksum of its own and says where the next one begins. After a
// damaged header the walk resumes at the next intact header. Memory is bounded by the window or the longest record.
import { errorCode, type OpenFile, SECTOR_BYTES } from "../env/index.ts";
import { bodyIsIntact, type Checksums, frameBytes, HEADER_BYTES, RECORD_MAGIC, type RecordHeader } from "./record.ts";
import { wholeSectors } from "./segment.ts";

const WINDOW_BYTES = 2 * 2 ** 20;
const PAGE_BYTES = 4096;
const MAGIC_LOW = RECORD_MAGIC & 255;
const MAGIC_HIGH = RECORD_MAGIC >> 8;

/** A record whose checksums hold, bytes that are no record, or a record that was not wanted. The body is valid until the scan goes on. */
export type Scanned =
  | {
      readonly kind: "record";
      readonly type: number;
      readonly offset: number;
      readonly end: number;
      readonly body: Uint8Array;
    }
  | {
      readonly kind: "region";
      readonly offset: number;
      readonly length: number;
      readonly reason: string;
      /** Of a record whose body alone is damaged. */
      readonly type?: number;
    }
  | { readonly kind: "skipped"; readonly offset: number };

/** A window over a file. Pages that cannot be read are zeros, which no record survives. */
export class SegmentReader {
  readonly sizeBytes: number;
  bytes = new Uint8Array(0);
  /** Pages that gave EIO. */
  unreadablePages = 0;
  private readonly file: OpenFile;
  private start = 0;
  private end = 0;
  private space = new Uint8Array(0);

  constructor(file: OpenFile) {
    this.file = file;
    this.sizeBytes = file.sizeBytes();
  }

  /** Where in `bytes` the `length` bytes at `offset` are, which must lie inside the file. */
  at(offset: number, length: number): number {
    if (offset < this.start || offset + length > this.end) this.move(offset, length);
    return offset - this.start;
  }

  private move(offset: number, length: number): void {
    const count = Math.min(this.sizeBytes - offset, Math.max(WINDOW_BYTES, length));
    if (count > this.space.length) this.space = new Uint8Array(count);
    this.bytes = this.space.subarray(0, count);
    this.start = offset;
    this.end = offset + count;
    try {
      this.bytes.fill(0, this.file.read(this.bytes, offset));
    } catch (error) {
      if (errorCode(error) !== "EIO") throw error;
      for (let at = 0; at < count; at += PAGE_BYTES)
        this.readPage(this.bytes.subarray(at, at + PAGE_BYTES), offset + at);
    }
  }

  private readPage(page: Uint8Array, offset: number): void {
    try {
      page.fill(0, this.file.read(page, offset));
    } catch (error) {
      if (errorCode(error) !== "EIO") throw error;
      page.fill(0);
      this.unreadablePages++;
    }
  }
}

/** All records of the types that `wanted` accepts, in order, and all regions that are no records. Other bodies are not verified. */
export function* scanSegment(
  reader: SegmentReader,
  checksums: Checksums,
  wanted: (type: number) => boolean,
): Generator<Scanned, void> {
  let offset = 0;
  let paddingMayFollow = false;
  while (offset < reader.sizeBytes) {
    const header = headerAt(reader, checksums, offset);
    if (header !== undefined) {
      yield wanted(header.type) ? readRecord(reader, header, offset) : { kind: "skipped", offset };
      offset += frameBytes(header.bodyBytes);
      paddingMayFollow = header.lastOfGroup;
      continue;
    }
    const sector = wholeSectors(offset);
    // Zeros elsewhere are records that were lost.
    if (paddingMayFollow && isZero(reader, offset, Math.min(sector, reader.sizeBytes))) {
      offset = sector;
      paddingMayFollow = false;
      continue;
    }
    paddingMayFollow = false;
    const resume = nextRecord(reader, checksums, offset);
    const zeros = isZero(reader, offset, resume);
    yield { kind: "region", offset, length: resume - offset, reason: zeros ? "zeros" : "no record header" };
    offset = resume;
  }
}

function readRecord(reader: SegmentReader, header: RecordHeader, offset: number): Scanned {
  const length = frameBytes(header.bodyBytes);
  const at = reader.at(offset, length);
  const body = reader.bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + header.bodyBytes);
  if (bodyIsIntact(header, reader.bytes.subarray(at + HEADER_BYTES, at + length))) {
    return { kind: "record", type: header.type, offset, end: offset + length, body };
  }
  return { kind: "region", offset, length, reason: `checksum of a record of type ${header.type}`, type: header.type };
}

/** The intact header at `offset` of a record that ends inside the file. */
function headerAt(reader: SegmentReader, checksums: Checksums, offset: number): RecordHeader | undefined {
  if (offset + HEADER_BYTES > reader.sizeBytes) return undefined;
  // `at` may replace `bytes`: it comes first.
  const at = reader.at(offset, HEADER_BYTES);
  const header = checksums.openHeader(reader.bytes, at, offset);
  return header !== undefined && offset + frameBytes(header.bodyBytes) <= reader.sizeBytes ? header : undefined;
}

/** Where the next intact record begins after `offset`, else the end of the file. */
function nextRecord(reader: SegmentReader, checksums: Checksums, offset: number): number {
  // Records are aligned to 8 bytes, whatever damage lies between.
  for (let at = offset + 8; at + HEADER_BYTES <= reader.sizeBytes; at += 8) {
    const i = reader.at(at, HEADER_BYTES);
    if (reader.bytes[i] !== MAGIC_LOW || reader.bytes[i + 1] !== MAGIC_HIGH) continue;
    if (headerAt(reader, checksums, at) !== undefined) return at;
  }
  return reader.sizeBytes;
}

function isZero(reader: SegmentReader, from: number, end: number): boolean {
  for (let at = from; at < end; at += SECTOR_BYTES) {
    const count = Math.min(SECTOR_BYTES, end - at);
    const i = reader.at(at, count);
    for (let k = i; k < i + count; k++) if (reader.bytes[k] !== 0) return false;
  }
  return true;
}
