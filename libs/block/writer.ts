// libs/block/writer.ts: writes one block, series by series in ascending order of their keys, into a draft that becomes the block at the end.
// Memory: the pages' headers and keys, one copy of each time column's bytes, and the column cache; never all samples.
// Crash-safe with its caller: until `finish` returns there is no file of the block's name; afterwards it is there whole, durably.
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { FileSystem, OpenFile } from "../env/index.ts";
import { parentOf } from "../env/index.ts";
import { type ColumnKernel, COLUMN_FIELD as FIELD, KIND_CODED } from "../kernel/index.ts";
import { assert, InvalidError, splitSeriesKey } from "../model/index.ts";
import { type Bucket, bucketOf, type Candidate, ColumnCache } from "./column-cache.ts";
import type { ColumnEntry } from "./column-entry.ts";
import {
  type BlockOptions,
  checkOptions,
  encodeFooter,
  PRELUDE_BYTES,
  preludeBytes,
  type TenantEntry,
} from "./footer.ts";
import { encodeHeaderPage } from "./header-page.ts";
import { PAGE_ITEMS, type PageEntry, packPage } from "./page.ts";
import { encodeSeriesPage } from "./series-page.ts";
import type { Tombstone } from "./tombstone.ts";

const BUFFER_BYTES = 1 << 20;
const CACHE_BYTES = 8 << 20;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Where the bytes of a block went. */
export interface BlockSummary {
  readonly sizeBytes: number;
  readonly series: number;
  readonly samples: number;
  readonly timeColumns: number;
  readonly valueBytes: number;
  readonly timeBytes: number;
  readonly headerBytes: number;
  readonly timeHeaderBytes: number;
  readonly seriesBytes: number;
  readonly footerBytes: number;
  /** Of a merge: the tombstones that still hide samples of what was written. */
  readonly tombstones?: readonly Tombstone[];
}

interface TimeColumn {
  readonly entry: ColumnEntry;
  readonly payload: Uint8Array;
}

export class BlockWriter {
  private readonly fs: FileSystem;
  private readonly path: string;
  private readonly draft: string;
  private readonly options: BlockOptions;
  private readonly kernel: ColumnKernel;
  private readonly file: OpenFile;
  private readonly buffer = new Uint8Array(BUFFER_BYTES);
  private buffered = 0;
  private offset = 0;
  private open = true;
  private draftGone = false;

  private previousKey: Uint8Array | undefined;
  private tenantBytes: Uint8Array | undefined;
  private keys: Uint8Array[] = [];
  private entries: ColumnEntry[] = [];
  private pagePayloadOffset = PRELUDE_BYTES;
  private readonly packedSeries: { page: Uint8Array; unpacked: number; count: number }[] = [];
  private readonly packedHeaders: { page: Uint8Array; unpacked: number; count: number; payloadOffset: number }[] = [];
  private columns = 0;
  private series = 0;
  private samples = 0;
  private readonly tenants: { tenant: string; first: number; count: number; samples: number }[] = [];
  private readonly timeColumns: TimeColumn[] = [];
  private readonly timesByDigest = new Map<string, number>();
  private readonly timesByArray = new WeakMap<Float64Array, number>();
  private readonly cache = new ColumnCache(CACHE_BYTES);

  /** Begins a draft beside `path`. Errors: InvalidError for odd options; those of the file system. */
  constructor(fs: FileSystem, path: string, options: BlockOptions, kernel: ColumnKernel) {
    checkOptions(options);
    this.fs = fs;
    this.path = path;
    this.draft = `${path}.tmp`;
    this.options = options;
    this.kernel = kernel;
    if (fs.stat(this.draft) !== undefined) fs.unlink(this.draft);
    this.file = fs.open(this.draft, "create");
    this.put(preludeBytes());
  }

  /**
   * Adds a series: its key, times in ms, strictly ascending, and its columns of as many values each. An array of times must not change
   * afterwards: giving it again for another series saves looking at it.
   * Errors: InvalidError for keys out of order, times out of the block's range or order, columns of other lengths.
   */
  addSeries(key: Uint8Array, times: Float64Array, ...columns: Float64Array[]): this {
    if (this.previousKey !== undefined && compareBytes(this.previousKey, key) >= 0) {
      throw new InvalidError("cannot add series: got a key not after the one before; want ascending keys");
    }
    if (columns.length !== this.options.columnsPerSeries || columns.some((c) => c.length !== times.length)) {
      const lengths = columns.map((c) => c.length).join(", ");
      throw new InvalidError(
        `cannot add series: got columns of ${lengths} values; want ${this.options.columnsPerSeries} of ${times.length}`,
      );
    }
    const parts = splitSeriesKey(key);
    const timeColumn = this.timeColumnOf(times);
    const bucket = bucketOf(parts);
    for (const values of columns) this.addColumn(values, timeColumn, bucket);
    this.previousKey = key.slice();
    this.keys.push(this.previousKey);
    if (this.tenantBytes === undefined || compareBytes(this.tenantBytes, parts[0]!) !== 0) {
      this.tenantBytes = parts[0]!;
      this.tenants.push({ tenant: decoder.decode(parts[0]!), first: this.series, count: 0, samples: 0 });
    }
    const current = this.tenants.at(-1)!;
    current.count++;
    current.samples += times.length;
    this.series++;
    this.samples += times.length;
    if (this.keys.length === PAGE_ITEMS) this.closeSeriesPage();
    return this;
  }

  private addColumn(values: Float64Array, times: number, bucket: Bucket | undefined): void {
    let encoded = this.kernel.encode(values);
    let candidates: Candidate[] = [];
    const { fingerprint } = encoded.header;
    const isCoded = encoded.header.bytes[FIELD.KIND] === KIND_CODED;
    if (isCoded) {
      const alike = this.cache.alike(fingerprint, times);
      if (alike !== undefined) candidates = [alike];
      else if (bucket !== undefined) candidates = this.cache.neighbours(bucket.histogram, bucket.bound, times);
      if (candidates.length > 0) {
        encoded = this.kernel.encode(
          values,
          candidates.map((candidate) => this.valuesOf(candidate)),
        );
      }
    }
    const { header, payload } = encoded;
    const taken = candidates[encoded.reference];
    const number = this.columns++;
    this.entries.push({
      header,
      checksum: payload.length > 0 ? crc32(payload) : 0,
      times,
      reference: taken?.column ?? -1,
    });
    this.put(payload);
    if (isCoded) {
      const depth = taken === undefined ? 0 : taken.depth + 1;
      this.cache.add(
        { column: number, times, depth, header, payload: payload.slice(), reference: taken },
        fingerprint,
        bucket,
      );
    }
    if (this.entries.length === PAGE_ITEMS) this.closeHeaderPage();
  }

  private valuesOf(candidate: Candidate): Float64Array {
    const reference = candidate.reference === undefined ? undefined : this.valuesOf(candidate.reference);
    const values = new Float64Array(candidate.header.count);
    const fault = this.kernel.decode(candidate.header, candidate.payload, values, reference);
    assert(fault === undefined, "a column just encoded can be decoded");
    return values;
  }

  /** The number of the column with these times: told by the array, or by what is in it. */
  private timeColumnOf(times: Float64Array): number {
    let number = this.timesByArray.get(times);
    if (number !== undefined) return number;
    const digest = createHash("sha256").update(new Uint8Array(times.buffer, times.byteOffset, times.byteLength));
    const text = digest.digest("base64");
    number = this.timesByDigest.get(text);
    if (number === undefined) {
      this.checkTimes(times);
      const { header, payload } = this.kernel.encode(times);
      number = this.timeColumns.length;
      const copy = payload.slice();
      const checksum = copy.length > 0 ? crc32(copy) : 0;
      this.timeColumns.push({ entry: { header, checksum, times: 0, reference: -1 }, payload: copy });
      this.timesByDigest.set(text, number);
    }
    this.timesByArray.set(times, number);
    return number;
  }

  private checkTimes(times: Float64Array): void {
    const { minMs, maxMs } = this.options;
    let previous = minMs;
    for (const time of times) {
      if (!(time > previous && time <= maxMs && Number.isInteger(time))) {
        throw new InvalidError(
          `cannot add series: got time ${time} after ${previous}; want ascending ones in (${minMs}, ${maxMs}]`,
        );
      }
      previous = time;
    }
  }

  private closeSeriesPage(): void {
    if (this.keys.length === 0) return;
    const bytes = encodeSeriesPage(this.keys);
    this.packedSeries.push({ page: packPage(bytes), unpacked: bytes.length, count: this.keys.length });
    this.keys = [];
  }

  private closeHeaderPage(): void {
    const count = this.entries.length;
    if (count === 0) return;
    const bytes = encodeHeaderPage(this.entries, this.columns - count, false);
    const payloadOffset = this.pagePayloadOffset;
    this.packedHeaders.push({ page: packPage(bytes), unpacked: bytes.length, count, payloadOffset });
    this.entries = [];
    this.pagePayloadOffset = this.position;
  }

  private get position(): number {
    return this.offset + this.buffered;
  }

  private put(bytes: Uint8Array): void {
    if (this.buffered + bytes.length > this.buffer.length) this.flush();
    if (bytes.length > this.buffer.length) {
      this.file.write(bytes, this.offset);
      this.offset += bytes.length;
      return;
    }
    this.buffer.set(bytes, this.buffered);
    this.buffered += bytes.length;
  }

  private flush(): void {
    if (this.buffered === 0) return;
    this.file.write(this.buffer.subarray(0, this.buffered), this.offset);
    this.offset += this.buffered;
    this.buffered = 0;
  }

  private putPages(
    pages: readonly { page: Uint8Array; unpacked: number; count: number; payloadOffset?: number }[],
  ): PageEntry[] {
    let first = 0;
    return pages.map(({ page, unpacked, count, payloadOffset = 0 }) => {
      const entry: PageEntry = {
        first,
        count,
        offset: this.position,
        sizeBytes: page.length,
        unpackedBytes: unpacked,
        checksum: crc32(page),
        payloadOffset,
      };
      this.put(page);
      first += count;
      return entry;
    });
  }

  /** Time columns' payloads and the pages of their headers. */
  private putTimes(): PageEntry[] {
    const packed: { page: Uint8Array; unpacked: number; count: number; payloadOffset: number }[] = [];
    for (let from = 0; from < this.timeColumns.length; from += PAGE_ITEMS) {
      const some = this.timeColumns.slice(from, from + PAGE_ITEMS);
      const payloadOffset = this.position;
      for (const { payload } of some) this.put(payload);
      const bytes = encodeHeaderPage(
        some.map(({ entry }) => entry),
        from,
        true,
      );
      packed.push({ page: packPage(bytes), unpacked: bytes.length, count: some.length, payloadOffset });
    }
    return this.putPages(packed);
  }

  /** Series added so far. */
  get seriesCount(): number {
    return this.series;
  }

  /**
   * Writes what is left, makes it durable and gives the draft its name. Sync sites: `${site}-file`, `${site}-name`. Errors: InvalidError
   * for a raw block without series (of a coarser level it says that no series has rows); those of the file system, after which the draft must be abandoned.
   */
  finish(site: string): BlockSummary {
    if (this.series === 0 && this.options.level === "raw")
      throw new InvalidError("cannot finish block: got no series; want one at least");
    this.closeSeriesPage();
    this.closeHeaderPage();
    const valuesEnd = this.position;
    const timePages = this.putTimes();
    const timesEnd = this.position;
    const headerPages = this.putPages(this.packedHeaders);
    const headersEnd = this.position;
    const seriesPages = this.putPages(this.packedSeries);
    const seriesEnd = this.position;
    const tenants: TenantEntry[] = this.tenants;
    const { series, samples } = this;
    this.put(
      encodeFooter({ ...this.options, seriesCount: series, samples, tenants, seriesPages, headerPages, timePages }),
    );
    this.flush();
    this.file.fdatasync(`${site}-file`);
    this.file.close();
    this.open = false;
    this.fs.rename(this.draft, this.path);
    this.draftGone = true;
    this.fs.fsyncDir(parentOf(this.path), `${site}-name`);
    const timeHeaderBytes = timePages.reduce((sum, page) => sum + page.sizeBytes, 0);
    return {
      sizeBytes: this.offset,
      series,
      samples,
      timeColumns: this.timeColumns.length,
      valueBytes: valuesEnd - PRELUDE_BYTES,
      timeBytes: timesEnd - valuesEnd - timeHeaderBytes,
      headerBytes: headersEnd - timesEnd,
      timeHeaderBytes,
      seriesBytes: seriesEnd - headersEnd,
      footerBytes: this.offset - seriesEnd + PRELUDE_BYTES,
    };
  }

  /** Gives the draft up, and its file. Harmless after finish. */
  abandon(): void {
    if (this.open) this.file.close();
    this.open = false;
    if (!this.draftGone) this.fs.unlink(this.draft);
    this.draftGone = true;
  }
}

/** Order of keys: as bytes, a prefix first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
