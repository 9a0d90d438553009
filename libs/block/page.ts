// libs/block/page.ts: compressed, checksummed pages, and how a footer names them.
// FORMAT.md, "Pages". Brotli of quality 5: quality 11 is 10 % smaller and takes ten times as long.
import { brotliCompressSync, brotliDecompressSync, constants, crc32 } from "node:zlib";
import type { OpenFile } from "../env/index.ts";
import { CorruptionError } from "../model/index.ts";
import type { ByteSink, ByteSource } from "./byte-stream.ts";

/** Series of a series page, columns of a header page. */
export const PAGE_ITEMS = 512;
/** No page unpacks to more. */
export const PAGE_BYTES_MAX = 1 << 28;

/** Where a page is, and what is in it: items [first, first + count). */
export interface PageEntry {
  readonly first: number;
  readonly count: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly unpackedBytes: number;
  readonly checksum: number;
  /** Of a header page: where its columns' payloads begin; they follow each other. */
  readonly payloadOffset: number;
}

export function packPage(bytes: Uint8Array): Uint8Array {
  return brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 5,
      [constants.BROTLI_PARAM_LGWIN]: 18,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
}

export function writePageEntry(sink: ByteSink, page: PageEntry): void {
  sink.uvarint(page.count);
  sink.uvarint(page.offset);
  sink.uvarint(page.sizeBytes);
  sink.uvarint(page.unpackedBytes);
  sink.u32(page.checksum);
  sink.uvarint(page.payloadOffset);
}

/** The entries of one table of pages, whose items are numbered from 0; pages end at `limit`. */
export function readPageEntries(source: ByteSource, limit: number): PageEntry[] {
  const pages: PageEntry[] = [];
  let first = 0;
  for (let left = source.uvarint(); left > 0; left--) {
    const count = source.uvarint();
    const page = {
      first,
      count,
      offset: source.uvarint(),
      sizeBytes: source.uvarint(),
      unpackedBytes: source.uvarint(),
      checksum: source.u32(),
      payloadOffset: source.uvarint(),
    };
    const inside = page.offset + page.sizeBytes <= limit && page.unpackedBytes <= PAGE_BYTES_MAX;
    if (count === 0 || count > PAGE_ITEMS || !inside) {
      throw source.damage(
        `a page of ${count} items, ${page.sizeBytes} bytes at ${page.offset}`,
        "one inside the block",
      );
    }
    pages.push(page);
    first += count;
  }
  return pages;
}

/** Fills `bytes`; their checksum must be right. Returns them. Errors: CorruptionError. */
export function readChecked(
  file: OpenFile,
  offset: number,
  checksum: number,
  bytes: Uint8Array,
  what: string,
): Uint8Array {
  const got = file.read(bytes, offset);
  if (got !== bytes.length) {
    throw new CorruptionError(`cannot read ${what}: got ${got} bytes; want ${bytes.length}`, file.path, offset);
  }
  if (crc32(bytes) !== checksum) {
    throw new CorruptionError(`cannot read ${what}: got another checksum; want ${checksum}`, file.path, offset);
  }
  return bytes;
}

/** The unpacked bytes of a page. Errors: CorruptionError. */
export function readPage(file: OpenFile, page: PageEntry, what: string): Uint8Array {
  const packed = readChecked(file, page.offset, page.checksum, new Uint8Array(page.sizeBytes), what);
  let bytes: Uint8Array;
  try {
    bytes = brotliDecompressSync(packed, { maxOutputLength: Math.max(1, page.unpackedBytes) });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new CorruptionError(`cannot unpack ${what}: got ${text}; want a brotli stream`, file.path, page.offset);
  }
  if (bytes.length !== page.unpackedBytes) {
    throw new CorruptionError(
      `cannot unpack ${what}: got ${bytes.length} bytes; want ${page.unpackedBytes}`,
      file.path,
      page.offset,
    );
  }
  return bytes;
}

/** The page that holds an item. */
export function pageOf(pages: readonly PageEntry[], item: number): number {
  let low = 0;
  let high = pages.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pages[middle]!.first <= item) low = middle;
    else high = middle - 1;
  }
  return low;
}
