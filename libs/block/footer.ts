// libs/block/footer.ts: what a block says of itself: whose samples it holds, from where they came, and where its pages are.
// FORMAT.md, "Footer". The trailer at the file's end says how long the footer is; its checksum covers the file's first bytes, too.
import { crc32 } from "node:zlib";
import type { OpenFile } from "../env/index.ts";
import { CorruptionError, InvalidError } from "../model/index.ts";
import { ByteSink, ByteSource } from "./byte-stream.ts";
import { type PageEntry, readPageEntries, writePageEntry } from "./page.ts";

export const BLOCK_MAGIC = 0x424d4454;
export const BLOCK_VERSION = 1;
/** Features a reader of this version knows: none yet. */
export const BLOCK_FEATURES = 0;
export const PRELUDE_BYTES = 8;
export const TRAILER_BYTES = 12;
export const BLOCK_ID_BYTES = 16;
const FOOTER_BYTES_MAX = 1 << 26;
const TIME_MAX = 2 ** 53;

/** Resolutions of a block's samples, by number. */
export const LEVELS = ["raw", "1m", "1h"] as const;
export type Level = (typeof LEVELS)[number];

/** What the maker of a block says of it. */
export interface BlockOptions {
  /** Drawn by chance, 16 bytes. */
  readonly id: Uint8Array;
  readonly shard: number;
  readonly shardCount: number;
  /** The cluster's, 16 bytes: with it the ids of the series are hashes of their keys. */
  readonly hashSeed: Uint8Array;
  readonly level: Level;
  /** Samples have times in (minMs, maxMs]. */
  readonly minMs: number;
  readonly maxMs: number;
  /** The position in the WAL up to which the block covers its shard: two numbers that only the WAL understands. */
  readonly walPosition: readonly [bigint, bigint];
  /** Ids of the blocks it was merged from. */
  readonly parents: readonly Uint8Array[];
  /** Columns of each series: 1 for samples; rows of a rollup have several over the same times. */
  readonly columnsPerSeries: number;
}

/** A tenant's series are [first, first + count). */
export interface TenantEntry {
  readonly tenant: string;
  readonly first: number;
  readonly count: number;
  readonly samples: number;
}

export interface Footer extends BlockOptions {
  readonly seriesCount: number;
  readonly samples: number;
  readonly tenants: readonly TenantEntry[];
  readonly seriesPages: readonly PageEntry[];
  readonly headerPages: readonly PageEntry[];
  readonly timePages: readonly PageEntry[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Errors: InvalidError for what no block may say of itself. */
export function checkOptions(options: BlockOptions): void {
  const { minMs, maxMs, shard, shardCount, columnsPerSeries } = options;
  const times = Number.isInteger(minMs) && Number.isInteger(maxMs) && minMs < maxMs;
  if (!times || Math.abs(minMs) > TIME_MAX || Math.abs(maxMs) > TIME_MAX) {
    throw new InvalidError(`cannot make block: got times (${minMs}, ${maxMs}]; want ascending milliseconds`);
  }
  if (!(Number.isInteger(shard) && shard >= 0 && shard < shardCount)) {
    throw new InvalidError(`cannot make block: got shard ${shard}; want one of ${shardCount}`);
  }
  if (!(Number.isInteger(columnsPerSeries) && columnsPerSeries >= 1 && columnsPerSeries <= 64)) {
    throw new InvalidError(`cannot make block: got ${columnsPerSeries} columns per series; want 1 to 64`);
  }
  for (const id of [options.id, options.hashSeed, ...options.parents]) {
    if (id.length !== BLOCK_ID_BYTES) {
      throw new InvalidError(`cannot make block: got an id or seed of ${id.length} bytes; want ${BLOCK_ID_BYTES}`);
    }
  }
}

export function preludeBytes(): Uint8Array {
  const sink = new ByteSink();
  sink.u32(BLOCK_MAGIC);
  sink.u32(BLOCK_VERSION);
  return sink.written().slice();
}

/** The footer with its trailer: all that follows the pages. */
export function encodeFooter(footer: Footer): Uint8Array {
  const sink = new ByteSink();
  sink.u32(BLOCK_FEATURES);
  sink.raw(footer.id);
  sink.uvarint(footer.shard);
  sink.uvarint(footer.shardCount);
  sink.raw(footer.hashSeed);
  sink.u8(LEVELS.indexOf(footer.level));
  sink.f64(footer.minMs);
  sink.f64(footer.maxMs);
  sink.u64(footer.walPosition[0]);
  sink.u64(footer.walPosition[1]);
  sink.uvarint(footer.parents.length);
  for (const parent of footer.parents) sink.raw(parent);
  sink.uvarint(footer.columnsPerSeries);
  sink.uvarint(footer.seriesCount);
  sink.uvarint(footer.samples);
  sink.uvarint(footer.tenants.length);
  for (const { tenant, count, samples } of footer.tenants) {
    sink.blob(encoder.encode(tenant));
    sink.uvarint(count);
    sink.uvarint(samples);
  }
  for (const pages of [footer.seriesPages, footer.headerPages, footer.timePages]) {
    sink.uvarint(pages.length);
    for (const page of pages) writePageEntry(sink, page);
  }
  const length = sink.length;
  sink.u32(length);
  sink.u32(crc32(sink.written(), crc32(preludeBytes())));
  sink.u32(BLOCK_MAGIC);
  return sink.written();
}

/** Reads and checks prelude, trailer and footer. Errors: CorruptionError; InvalidError for a version or feature of a later release. */
export function readFooter(file: OpenFile): { footer: Footer; offset: number } {
  const size = file.sizeBytes();
  const damage = (got: string, want: string, offset: number): CorruptionError =>
    new CorruptionError(`cannot open block: got ${got}; want ${want}`, file.path, offset);
  if (size < PRELUDE_BYTES + TRAILER_BYTES) throw damage(`${size} bytes`, "a prelude and a trailer", 0);
  const prelude = new Uint8Array(PRELUDE_BYTES);
  const trailer = new Uint8Array(TRAILER_BYTES);
  file.read(prelude, 0);
  file.read(trailer, size - TRAILER_BYTES);
  const head = new DataView(prelude.buffer);
  const tail = new DataView(trailer.buffer);
  if (head.getUint32(0, true) !== BLOCK_MAGIC) throw damage("another magic number", "that of a block", 0);
  if (tail.getUint32(8, true) !== BLOCK_MAGIC) throw damage("no trailer", "one at the end", size - 4);
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
  // The checksum is right: what is unknown now is not damage but a later release's.
  const version = head.getUint32(4, true);
  if (version !== BLOCK_VERSION) {
    throw new InvalidError(`cannot open block ${file.path}: got version ${version}; want ${BLOCK_VERSION}`);
  }
  const source = new ByteSource(bytes.subarray(0, length), "block footer", file.path, offset);
  const features = source.u32();
  if (features !== BLOCK_FEATURES) {
    throw new InvalidError(`cannot open block ${file.path}: got features ${features}; want ${BLOCK_FEATURES}`);
  }
  return { footer: decodeFooter(source, offset), offset };
}

function decodeFooter(source: ByteSource, offset: number): Footer {
  const id = source.raw(BLOCK_ID_BYTES);
  const shard = source.uvarint();
  const shardCount = source.uvarint();
  const hashSeed = source.raw(BLOCK_ID_BYTES);
  const number = source.u8();
  const level = LEVELS[number];
  if (level === undefined) throw source.damage(`level ${number}`, `one below ${LEVELS.length}`);
  const minMs = source.f64();
  const maxMs = source.f64();
  const walPosition = [source.u64(), source.u64()] as const;
  const parents = Array.from({ length: checkedCount(source, BLOCK_ID_BYTES) }, () => source.raw(BLOCK_ID_BYTES));
  const columnsPerSeries = source.uvarint();
  const seriesCount = source.uvarint();
  const samples = source.uvarint();
  const tenants: TenantEntry[] = [];
  let first = 0;
  for (let left = checkedCount(source, 3); left > 0; left--) {
    const tenant = decodeName(source);
    const count = source.uvarint();
    tenants.push({ tenant, first, count, samples: source.uvarint() });
    first += count;
  }
  const seriesPages = readPageEntries(source, offset);
  const headerPages = readPageEntries(source, offset);
  const timePages = readPageEntries(source, offset);
  source.end();
  const footer: Footer = {
    id,
    shard,
    shardCount,
    hashSeed,
    level,
    minMs,
    maxMs,
    walPosition,
    parents,
    columnsPerSeries,
    seriesCount,
    samples,
    tenants,
    seriesPages,
    headerPages,
    timePages,
  };
  const itemsOf = (pages: readonly PageEntry[]): number => pages.reduce((sum, page) => sum + page.count, 0);
  const wanted = [seriesCount, seriesCount, seriesCount * columnsPerSeries];
  const got = [first, itemsOf(seriesPages), itemsOf(headerPages)];
  if (got.some((n, i) => n !== wanted[i]))
    throw source.damage(`${got.join(", ")} series and columns`, wanted.join(", "));
  return footer;
}

function decodeName(source: ByteSource): string {
  const bytes = source.blob();
  try {
    return decoder.decode(bytes);
  } catch {
    throw source.damage("a tenant that is no text", "UTF-8");
  }
}

/** A count of things of at least `size` bytes each. */
function checkedCount(source: ByteSource, size: number): number {
  const count = source.uvarint();
  if (count > FOOTER_BYTES_MAX / size) throw source.damage(`${count} entries`, "fewer");
  return count;
}
