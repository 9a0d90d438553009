// libs/block/reader.ts: reads a block: series, what headers tell, and single columns, each by one read and one decoding.
// Opening reads the footer; pages are read when first needed, and some are kept. Every byte's checksum is verified when it is read.
import { crc32 } from "node:zlib";
import type { FileSystem, OpenFile } from "../env/index.ts";
import type { PairRows } from "../index/index.ts";
import type { ColumnHeader, ColumnKernel } from "../kernel/index.ts";
import { CorruptionError, decodeSeriesKey, InternalError, InvalidError, type Labels } from "../model/index.ts";
import { ByteSource } from "./byte-stream.ts";
import { REFERENCE_DEPTH_MAX } from "./column-cache.ts";
import type { StoredColumn } from "./column-entry.ts";
import { type Footer, readFooter, type TenantEntry } from "./footer.ts";
import { HeaderPage } from "./header-page.ts";
import { type PageEntry, pageOf, readChecked, readPage } from "./page.ts";
import { giveBuffer, takeBuffer } from "./payload-buffers.ts";
import { decodeSeriesPage, LabelPage } from "./series-page.ts";
import { TimesPool } from "./times-pool.ts";
import { compareBytes } from "./writer.ts";

const NOTHING = new Uint8Array(0);
/** Single payloads are read into it. */
const single = new Uint8Array(64 << 10);
/** Longest stretch of payloads that is read ahead. */
const PREFETCH_BYTES_MAX = 4 << 20;
/** Pages of series that a reader keeps: 16,384 series, a few megabytes. */
const PAGES_MAX = 32;
/** What an unpacked key takes in memory, about. */
const KEY_BYTES = 240;

export class BlockReader {
  readonly footer: Footer;
  /** Where the footer begins. */
  readonly footerOffset: number;
  private readonly file: OpenFile;
  private readonly kernel: ColumnKernel;
  private readonly keyPages = new Map<number, Uint8Array[]>();
  private readonly labelPages = new Map<number, LabelPage>();
  private readonly headerPages = new Map<number, HeaderPage>();
  private timePages: readonly HeaderPage[] | undefined;
  private readonly timeColumns: (Float64Array | undefined)[] = [];
  private readonly timesPool: TimesPool;
  /** What is kept, once it is counted; forgotten when something is added. */
  private countedBytes: number | undefined;
  private readonly grown = (): void => {
    this.countedBytes = undefined;
  };
  /** What was prefetched last: the first `size` bytes of a buffer. */
  private span = { start: 0, size: 0, bytes: NOTHING as Uint8Array };

  /**
   * Opens the block at `path`. Readers with the same pool have equal times as one array. Errors: CorruptionError; InvalidError when a later
   * release wrote it; those of the file system.
   */
  constructor(fs: FileSystem, path: string, kernel: ColumnKernel, timesPool = new TimesPool()) {
    this.kernel = kernel;
    this.timesPool = timesPool;
    this.file = fs.open(path, "read");
    try {
      const { footer, offset } = readFooter(this.file);
      this.footer = footer;
      this.footerOffset = offset;
    } catch (error) {
      this.file.close();
      throw error;
    }
  }

  get path(): string {
    return this.file.path;
  }

  close(): void {
    this.forgetTimes();
    this.file.close();
  }

  /** Forgets the pages and times that were read. */
  forget(): void {
    this.grown();
    this.keyPages.clear();
    this.labelPages.clear();
    this.headerPages.clear();
    this.timePages = undefined;
    this.forgetTimes();
    this.forgetPayloads();
  }

  private forgetTimes(): void {
    for (const times of this.timeColumns) if (times !== undefined) this.timesPool.give(times);
    this.timeColumns.length = 0;
  }

  /** Forgets the keys that were read: who has numbered the series needs them no more. */
  forgetKeys(): void {
    this.grown();
    this.keyPages.clear();
  }

  /** Forgets the payloads that were read ahead. */
  forgetPayloads(): void {
    const { bytes } = this.span;
    if (bytes.length === 0) return;
    this.span = { start: 0, size: 0, bytes: NOTHING };
    giveBuffer(bytes);
  }

  /** Memory of the pages and times that are kept, about. */
  get keptBytes(): number {
    this.countedBytes ??= this.countBytes();
    return this.countedBytes;
  }

  private countBytes(): number {
    let bytes = 0;
    for (const page of this.timePages ?? []) bytes += page.keptBytes;
    for (const keys of this.keyPages.values()) bytes += keys.length * KEY_BYTES;
    for (const page of this.labelPages.values()) bytes += page.keptBytes;
    for (const page of this.headerPages.values()) bytes += page.keptBytes;
    for (const times of this.timeColumns) bytes += times === undefined ? 0 : this.timesPool.bytesOf(times);
    return bytes;
  }

  /** Header pages that are kept: those of the series of as many pages of labels. */
  private get headerPagesMax(): number {
    return PAGES_MAX * this.footer.columnsPerSeries;
  }

  get seriesCount(): number {
    return this.footer.seriesCount;
  }

  /** Where a tenant's series are; undefined when it has none. */
  tenant(name: string): TenantEntry | undefined {
    return this.footer.tenants.find((entry) => entry.tenant === name);
  }

  private checkSeries(series: number): void {
    if (!(Number.isInteger(series) && series >= 0 && series < this.seriesCount)) {
      throw new InternalError(`cannot read series: got number ${series}; want one below ${this.seriesCount}`);
    }
  }

  /** The keys of a page. */
  keysOfPage(number: number): readonly Uint8Array[] {
    let keys = this.keyPages.get(number);
    if (keys === undefined) {
      this.grown();
      const page = this.footer.seriesPages[number]!;
      const bytes = readPage(this.file, page, `series page ${number}`);
      const source = new ByteSource(bytes, `series page ${number}`, this.path, page.offset);
      keys = decodeSeriesPage(source, page.count, this.path, page.offset);
      keep(this.keyPages, number, keys, PAGES_MAX);
    }
    return keys;
  }

  /** The labels of a page's series, all or those at these ascending places of the page. */
  rowsOfPage(number: number, places?: Uint32Array): PairRows {
    return this.labelsOfPage(number).rows(places);
  }

  /** Whether a page of series is the same, byte by byte, as one of another block. Errors: CorruptionError. */
  hasSamePage(number: number, other: BlockReader, otherNumber: number): boolean {
    const [a, b] = [this.footer.seriesPages[number]!, other.footer.seriesPages[otherNumber]!];
    if (a.checksum !== b.checksum || a.sizeBytes !== b.sizeBytes || a.count !== b.count) return false;
    return compareBytes(this.packedPage(number), other.packedPage(otherNumber)) === 0;
  }

  private packedPage(number: number): Uint8Array {
    const { offset, sizeBytes, checksum } = this.footer.seriesPages[number]!;
    return readChecked(this.file, offset, checksum, new Uint8Array(sizeBytes), `series page ${number}`);
  }

  private labelsOfPage(number: number): LabelPage {
    let labels = this.labelPages.get(number);
    if (labels === undefined) {
      this.grown();
      const page = this.footer.seriesPages[number]!;
      const bytes = readPage(this.file, page, `series page ${number}`);
      const source = new ByteSource(bytes, `series page ${number}`, this.path, page.offset);
      labels = new LabelPage(source, page.count, this.path, page.offset);
      keep(this.labelPages, number, labels, PAGES_MAX);
    }
    return labels;
  }

  /**
   * Reads what queries look at first, as far as it is kept: labels, headers and times, but no values; one page or column at each step, and
   * nothing twice. Errors of its steps: CorruptionError.
   */
  *readAhead(): Generator<void, void> {
    const { headerPages, seriesPages } = this.footer;
    this.timeHeaders();
    yield;
    for (let page = 0; page < Math.min(headerPages.length, this.headerPagesMax); page++) {
      if (this.headerPages.has(page)) continue;
      void this.headersOfPage(page).codings;
      yield;
    }
    for (let page = 0; page < Math.min(seriesPages.length, PAGES_MAX); page++) {
      if (this.labelPages.has(page)) continue;
      this.labelsOfPage(page);
      yield;
    }
    for (let column = 0; column < this.timeColumnCount; column++) {
      if (this.timeColumns[column] !== undefined) continue;
      this.times(column);
      yield;
    }
  }

  /** The key of a series. Series are numbered from 0 in the order of their keys. */
  key(series: number): Uint8Array {
    this.checkSeries(series);
    const number = pageOf(this.footer.seriesPages, series);
    return this.keysOfPage(number)[series - this.footer.seriesPages[number]!.first]!;
  }

  labels(series: number): Labels {
    return decodeSeriesKey(this.key(series)).labels;
  }

  /** The number of the series with a key, -1 when it isn't here. */
  find(key: Uint8Array): number {
    let low = 0;
    let high = this.seriesCount - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = compareBytes(this.key(middle), key);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** The headers of a page. */
  columnsOfPage(number: number): readonly StoredColumn[] {
    return this.headersOfPage(number).all();
  }

  headersOfPage(number: number): HeaderPage {
    let headers = this.headerPages.get(number);
    if (headers === undefined) {
      const page = this.footer.headerPages[number]!;
      const pages = this.timeHeaders();
      const count = this.timeColumnCount;
      headers = this.readHeaders(page, `header page ${number}`, (time) => {
        if (time < count) return countIn(pages, this.footer.timePages, time);
        const text = `cannot read header page ${number}: got time column ${time}; want one below ${count}`;
        throw new CorruptionError(text, this.path, page.offset);
      });
      keep(this.headerPages, number, headers, this.headerPagesMax);
    }
    return headers;
  }

  private readHeaders(page: PageEntry, what: string, countOf?: (times: number) => number): HeaderPage {
    const { file, path } = this;
    const source = new ByteSource(readPage(file, page, what), what, path, page.offset);
    this.grown();
    return new HeaderPage(source, page.count, page.first, { ...page, path }, countOf, this.grown);
  }

  private get timeColumnCount(): number {
    const last = this.footer.timePages.at(-1);
    return last === undefined ? 0 : last.first + last.count;
  }

  private timeHeaders(): readonly HeaderPage[] {
    this.timePages ??= this.footer.timePages.map((page, number) => this.readHeaders(page, `time page ${number}`));
    return this.timePages;
  }

  /** The headers of all time columns. */
  timeColumnEntries(): readonly StoredColumn[] {
    return this.timeHeaders().flatMap((page) => page.all().map((column) => this.checked(column)));
  }

  /** A time column that callers can make room for. */
  private checked(column: StoredColumn): StoredColumn {
    if (column.header.count > this.kernel.samplesMax)
      throw this.damaged(column.offset, `${column.header.count} values`);
    return column;
  }

  /** A series' column: `which` is below columnsPerSeries. Its header has the statistics; nothing is decoded. */
  column(series: number, which = 0): StoredColumn {
    this.checkSeries(series);
    return this.columnNumbered(series * this.footer.columnsPerSeries + which);
  }

  private columnNumbered(column: number): StoredColumn {
    const number = pageOf(this.footer.headerPages, column);
    return this.headersOfPage(number).at(column - this.footer.headerPages[number]!.first);
  }

  /**
   * The times of a time column, decoded once and shared by all who ask, and with equal columns of other blocks: do not change it. Errors: CorruptionError.
   */
  times(timeColumn: number): Float64Array {
    let times = this.timeColumns[timeColumn];
    if (times === undefined) {
      if (!(timeColumn < this.timeColumnCount))
        throw new InternalError(`cannot read times: got column ${timeColumn}; want one that is`);
      times = this.timesPool.take(this.decodeTimes(timeColumn));
      this.timeColumns[timeColumn] = times;
    }
    return times;
  }

  private decodeTimes(timeColumn: number): Float64Array {
    this.grown();
    const { timePages } = this.footer;
    const number = pageOf(timePages, timeColumn);
    const page = this.timeHeaders()[number]!;
    const i = timeColumn - timePages[number]!.first;
    const count = page.countAt(i);
    // Nobody makes room for more.
    if (count > this.kernel.samplesMax) throw this.damaged(page.codings.offsets[i]!, `${count} values`);
    const out = new Float64Array(count);
    this.decodeInto(page, i, out, undefined, `time column ${timeColumn}`);
    return out;
  }

  /** Where in the file the payloads of `count` series from `first` on are. Errors: CorruptionError. */
  payloadSpan(first: number, count: number): { start: number; end: number } {
    const { columnsPerSeries, headerPages } = this.footer;
    this.checkSeries(first);
    this.checkSeries(first + count - 1);
    const from = first * columnsPerSeries;
    const last = (first + count) * columnsPerSeries - 1;
    const [a, b] = [pageOf(headerPages, from), pageOf(headerPages, last)];
    const start = this.headersOfPage(a).codings.offsets[from - headerPages[a]!.first]!;
    const i = last - headerPages[b]!.first;
    const { codings } = this.headersOfPage(b);
    return { start, end: codings.offsets[i]! + codings.payloadBytesAt(i) };
  }

  /**
   * Reads the payloads of `count` series from `first` on at once, if they are not too many, and keeps them for the next reads of these
   * columns. Series of one metric are neighbours.
   */
  prefetch(first: number, count: number): void {
    if (count < 1) return;
    const { start, end } = this.payloadSpan(first, count);
    const size = end - start;
    if (size === 0 || size > PREFETCH_BYTES_MAX || end > this.footerOffset) return;
    const bytes = takeBuffer(size);
    this.forgetPayloads();
    try {
      if (this.file.read(bytes.subarray(0, size), start) === size) this.span = { start, size, bytes };
    } finally {
      if (this.span.bytes !== bytes) giveBuffer(bytes);
    }
  }

  /** A payload, its checksum verified; valid until the next one is read. */
  private payloadOf(offset: number, size: number, checksum: number, what: string): Uint8Array {
    if (size === 0) return NOTHING;
    const at = offset - this.span.start;
    if (at < 0 || at + size > this.span.size) {
      if (size > single.length) return readChecked(this.file, offset, checksum, new Uint8Array(size), what);
      return readChecked(this.file, offset, checksum, single.subarray(0, size), what);
    }
    const payload = this.span.bytes.subarray(at, at + size);
    if (crc32(payload) !== checksum) throw this.damaged(offset, "another checksum");
    return payload;
  }

  /**
   * Decodes a column into the first `header.count` places of `out`. Errors: CorruptionError; InvalidError when `out` is too short.
   */
  readValues(column: StoredColumn, out: Float64Array): void {
    this.checkRoom(column.header.count, out);
    const { header, offset, checksum, times } = column;
    const reference = this.referenceOf(column.reference, header.count, times, offset, 0);
    const payload = this.payloadWithin(offset, header.payloadBytes, checksum, "column");
    this.decodeTo(header, payload, offset, out, reference);
  }

  /** As readValues, of the i-th column of a page. */
  readColumn(page: HeaderPage, i: number, out: Float64Array): void {
    this.checkRoom(page.countAt(i), out);
    this.readInto(page, i, out, 0);
  }

  private checkRoom(count: number, out: Float64Array): void {
    if (out.length >= count) return;
    throw new InvalidError(`cannot read column: got ${out.length} places; want ${count}`);
  }

  private readInto(page: HeaderPage, i: number, out: Float64Array, depth: number): void {
    const { codings, times } = page;
    const number = codings.referenceAt(i);
    const reference =
      number < 0 ? undefined : this.referenceOf(number, page.countAt(i), times[i]!, codings.offsets[i]!, depth);
    this.decodeInto(page, i, out, reference, "column");
  }

  /** The values of the column that another one at `offset` is coded against; undefined when it is coded by itself. */
  private referenceOf(
    number: number,
    count: number,
    times: number,
    offset: number,
    depth: number,
  ): Float64Array | undefined {
    if (number < 0) return undefined;
    const { headerPages } = this.footer;
    const page = pageOf(headerPages, number);
    const i = number - headerPages[page]!.first;
    const headers = this.headersOfPage(page);
    if (depth >= REFERENCE_DEPTH_MAX || headers.times[i] !== times) {
      throw this.damaged(offset, "a reference too deep or over other times");
    }
    const values = new Float64Array(count);
    this.readInto(headers, i, values, depth + 1);
    return values;
  }

  private decodeInto(
    page: HeaderPage,
    i: number,
    out: Float64Array,
    reference: Float64Array | undefined,
    what: string,
  ): void {
    const { codings } = page;
    const offset = codings.offsets[i]!;
    const payload = this.payloadWithin(offset, codings.payloadBytesAt(i), codings.checksumAt(i), what);
    this.decodeTo(codings.headerAt(i), payload, offset, out, reference);
  }

  private payloadWithin(offset: number, size: number, checksum: number, what: string): Uint8Array {
    if (offset + size > this.footerOffset) throw this.damaged(offset, `${size} bytes`);
    return this.payloadOf(offset, size, checksum, what);
  }

  private decodeTo(
    header: ColumnHeader,
    payload: Uint8Array,
    offset: number,
    out: Float64Array,
    reference: Float64Array | undefined,
  ): void {
    const fault = this.kernel.decode(header, payload, out, reference);
    if (fault !== undefined) throw this.damaged(offset, `a wrong ${fault}`);
  }

  private damaged(offset: number, got: string): CorruptionError {
    return new CorruptionError(`cannot decode column: got ${got}; want what was written`, this.path, offset);
  }
}

/** Keeps a page, and lets the one go that was read first when there are too many. */
function keep<Page>(pages: Map<number, Page>, number: number, page: Page, most: number): void {
  if (pages.size === most) pages.delete(pages.keys().next().value!);
  pages.set(number, page);
}

/** The count of a time column, of pages that are all there. */
function countIn(headers: readonly HeaderPage[], pages: readonly PageEntry[], column: number): number {
  const number = pageOf(pages, column);
  return headers[number]!.countAt(column - pages[number]!.first);
}
