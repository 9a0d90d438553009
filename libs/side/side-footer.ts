// libs/side/side-footer.ts: what a file of side data says of itself: whose it is, from when to when there is what, and where its
// directory is. FORMAT.md, "File".
import { crc32 } from "node:zlib";
import { BLOCK_ID_BYTES, ByteSink, ByteSource } from "../block/index.ts";
import type { OpenFile } from "../env/index.ts";
import { CorruptionError, InvalidError } from "../model/index.ts";
import type { SidePart } from "./side-series.ts";
import { TimeSpan } from "./time-span.ts";

export const SIDE_FILE_MAGIC = 0x53534454;
export const SIDE_FILE_VERSION = 1;
export const PRELUDE_BYTES = 8;
const TRAILER_BYTES = 12;
const FOOTER_BYTES_MAX = 1 << 24;
const FEATURES = 0;
export const SIDE_PARTS: readonly SidePart[] = ["histograms", "exemplars", "starts"];

/** What the maker of a file says of it. */
export interface SideFileOptions {
  /** Drawn by chance, 16 bytes. */
  readonly id: Uint8Array;
  readonly shard: number;
  readonly shardCount: number;
  readonly hashSeed: Uint8Array;
  /** Times are in (minMs, maxMs]. */
  readonly minMs: number;
  readonly maxMs: number;
  /** Ids of the files that it was merged from: it stands for them. */
  readonly parents: readonly Uint8Array[];
}

/** How much there is of a sort, and from when to when. */
export interface PartSpan {
  readonly count: number;
  readonly span: TimeSpan;
}

export type PartSpans = Readonly<Record<SidePart, PartSpan>>;

/** Where a packed page is. */
export interface PagePlace {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly unpackedBytes: number;
  readonly checksum: number;
}

export interface SideFooter extends SideFileOptions {
  readonly seriesCount: number;
  readonly parts: PartSpans;
  readonly directory: PagePlace;
}

export function writePlace(sink: ByteSink, { offset, sizeBytes, unpackedBytes, checksum }: PagePlace): void {
  sink.uvarint(offset);
  sink.uvarint(sizeBytes);
  sink.uvarint(unpackedBytes);
  sink.u32(checksum);
}

export function readPlace(source: ByteSource, limit: number): PagePlace {
  const place = {
    offset: source.uvarint(),
    sizeBytes: source.uvarint(),
    unpackedBytes: source.uvarint(),
    checksum: source.u32(),
  };
  if (place.offset + place.sizeBytes > limit || place.unpackedBytes > 1 << 28) {
    throw source.damage(`a page of ${place.sizeBytes} bytes at ${place.offset}`, "one inside the file");
  }
  return place;
}

export function writeSpans(sink: ByteSink, parts: PartSpans): void {
  for (const part of SIDE_PARTS) {
    const { count, span } = parts[part];
    sink.uvarint(count);
    if (count === 0) continue;
    sink.f64(span.low);
    sink.f64(span.high);
  }
}

export function readSpans(source: ByteSource): PartSpans {
  const read = (): PartSpan => {
    const count = source.uvarint();
    const span = new TimeSpan();
    if (count > 0) {
      span.add(source.f64());
      span.add(source.f64());
    }
    return { count, span };
  };
  return { histograms: read(), exemplars: read(), starts: read() };
}

export function preludeBytes(): Uint8Array {
  const sink = new ByteSink();
  sink.u32(SIDE_FILE_MAGIC);
  sink.u32(SIDE_FILE_VERSION);
  return sink.written();
}

/** The footer with its trailer. */
export function encodeSideFooter(footer: SideFooter): Uint8Array {
  const sink = new ByteSink();
  sink.u32(FEATURES);
  sink.raw(footer.id);
  sink.uvarint(footer.shard);
  sink.uvarint(footer.shardCount);
  sink.raw(footer.hashSeed);
  sink.f64(footer.minMs);
  sink.f64(footer.maxMs);
  sink.uvarint(footer.parents.length);
  for (const parent of footer.parents) sink.raw(parent);
  sink.uvarint(footer.seriesCount);
  writeSpans(sink, footer.parts);
  writePlace(sink, footer.directory);
  const { length } = sink;
  sink.u32(length);
  sink.u32(crc32(sink.written(), crc32(preludeBytes())));
  sink.u32(SIDE_FILE_MAGIC);
  return sink.written();
}

/** Errors: CorruptionError; InvalidError for a version or feature of a later release. */
export function readSideFooter(file: OpenFile): SideFooter {
  const size = file.sizeBytes();
  const damage = (got: string, want: string, offset: number): CorruptionError =>
    new CorruptionError(`cannot open side file: got ${got}; want ${want}`, file.path, offset);
  if (size < PRELUDE_BYTES + TRAILER_BYTES) throw damage(`${size} bytes`, "a prelude and a trailer", 0);
  const prelude = new Uint8Array(PRELUDE_BYTES);
  const trailer = new Uint8Array(TRAILER_BYTES);
  file.read(prelude, 0);
  file.read(trailer, size - TRAILER_BYTES);
  const tail = new DataView(trailer.buffer);
  const head = new DataView(prelude.buffer);
  if (head.getUint32(0, true) !== SIDE_FILE_MAGIC || tail.getUint32(8, true) !== SIDE_FILE_MAGIC) {
    throw damage("other magic numbers", "those of a side file at both ends", 0);
  }
  const length = tail.getUint32(0, true);
  const offset = size - TRAILER_BYTES - length;
  if (length > FOOTER_BYTES_MAX || offset < PRELUDE_BYTES) {
    throw damage(`a footer of ${length} bytes`, `one within ${size}`, size - TRAILER_BYTES);
  }
  const bytes = new Uint8Array(length + 4);
  file.read(bytes, offset);
  if (crc32(bytes, crc32(prelude)) !== tail.getUint32(4, true)) {
    throw damage("another checksum of prelude and footer", "the trailer's", offset);
  }
  const source = new ByteSource(bytes.subarray(0, length), "side file's footer", file.path, offset);
  const version = head.getUint32(4, true);
  const features = source.u32();
  if (version !== SIDE_FILE_VERSION || features !== FEATURES) {
    throw new InvalidError(
      `cannot open side file ${file.path}: got version ${version} with features ${features}; want version ${SIDE_FILE_VERSION}`,
    );
  }
  const footer = {
    id: source.raw(BLOCK_ID_BYTES),
    shard: source.uvarint(),
    shardCount: source.uvarint(),
    hashSeed: source.raw(BLOCK_ID_BYTES),
    minMs: source.f64(),
    maxMs: source.f64(),
    parents: Array.from({ length: Math.min(source.uvarint(), length) }, () => source.raw(BLOCK_ID_BYTES)),
    seriesCount: source.uvarint(),
    parts: readSpans(source),
    directory: readPlace(source, offset),
  };
  source.end();
  return footer;
}
