// libs/block/verify.ts: reads all of a block, every checksum and every column, and names what is damaged.
import { errorText, type FileSystem } from "../env/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { AppError, CorruptionError, splitSeriesKey } from "../model/index.ts";
import type { StoredColumn } from "./column-entry.ts";
import { PRELUDE_BYTES } from "./footer.ts";
import type { PageEntry } from "./page.ts";
import { BlockReader } from "./reader.ts";
import { compareBytes } from "./writer.ts";

/** One damaged part of a block. */
export interface BlockDamage {
  /** footer, layout, series page N, header page N, time page, time column N, column N */
  readonly part: string;
  readonly offset: number;
  readonly message: string;
  /** Series that can't be read for it; undefined when all of the block is affected. */
  readonly series?: { readonly first: number; readonly count: number };
}

/** What is wrong with the block at `path`; nothing when it is whole. Errors: those of the file system. */
export function verifyBlock(fs: FileSystem, path: string, kernel: ColumnKernel): BlockDamage[] {
  const damages: BlockDamage[] = [];
  /** Runs one part; its error becomes a damage. Returns whether there was none. */
  const attempt = (part: string, series: BlockDamage["series"], work: () => void): boolean => {
    try {
      work();
      return true;
    } catch (error) {
      // The file system's own errors are not damage to the block.
      if (!(error instanceof AppError)) throw error;
      const offset = error instanceof CorruptionError ? error.offset : 0;
      damages.push({ part, offset, message: errorText(error), ...(series === undefined ? {} : { series }) });
      return false;
    }
  };
  let reader: BlockReader | undefined;
  attempt("footer", undefined, () => {
    reader = new BlockReader(fs, path, kernel);
  });
  if (reader === undefined) return damages;
  try {
    verifyParts(reader, attempt);
  } finally {
    reader.close();
  }
  return damages;
}

const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

type Attempt = (part: string, series: BlockDamage["series"], work: () => void) => boolean;

function verifyParts(reader: BlockReader, attempt: Attempt): void {
  const { footer } = reader;
  let previous: Uint8Array | undefined;
  footer.seriesPages.forEach((page, number) => {
    attempt(`series page ${number}`, page, () => {
      for (const [i, key] of reader.keysOfPage(number).entries()) {
        const tenant = textDecoder.decode(splitSeriesKey(key)[0]!);
        const entry = reader.tenant(tenant);
        const series = page.first + i - (entry?.first ?? Number.NaN);
        if (!(series >= 0 && series < entry!.count)) throw disorder(reader, page.offset);
        if (previous !== undefined && compareBytes(previous, key) >= 0) throw disorder(reader, page.offset);
        previous = key;
      }
    });
  });
  const timed = attempt("time page", undefined, () => {
    reader.timeColumnEntries();
  });
  if (!timed) return;
  const bad = new Set<number>();
  reader.timeColumnEntries().forEach((column, number) => {
    if (!attempt(`time column ${number}`, undefined, () => checkTimes(reader, number, column))) bad.add(number);
  });
  const out = new Float64Array(Math.max(1, ...reader.timeColumnEntries().map((c) => c.header.count)));
  let samples = 0;
  let whole = bad.size === 0;
  const spans: [number, number][] = [];
  footer.headerPages.forEach((page, number) => {
    const first = Math.floor(page.first / footer.columnsPerSeries);
    const count = Math.ceil((page.first + page.count) / footer.columnsPerSeries) - first;
    let columns: readonly StoredColumn[] = [];
    const read = attempt(`header page ${number}`, { first, count }, () => {
      columns = reader.columnsOfPage(number);
    });
    whole = whole && read;
    columns.forEach((column, i) => {
      const series = Math.floor((page.first + i) / footer.columnsPerSeries);
      if ((page.first + i) % footer.columnsPerSeries === 0) samples += column.header.count;
      const fine = attempt(`column ${page.first + i}`, { first: series, count: 1 }, () => {
        reader.readValues(column, out);
      });
      whole = whole && fine;
    });
    const end = columns.reduce((at, column) => at + column.header.payloadBytes, page.payloadOffset);
    spans.push([page.payloadOffset, end]);
  });
  if (!whole) return;
  attempt("layout", undefined, () => {
    checkTiling(reader, spans);
    if (samples !== footer.samples) throw disorder(reader, reader.footerOffset);
  });
}

function disorder(reader: BlockReader, offset: number): CorruptionError {
  return new CorruptionError(
    "cannot use block: got parts that contradict each other; want one order",
    reader.path,
    offset,
  );
}

function checkTimes(reader: BlockReader, number: number, column: StoredColumn): void {
  const { minMs, maxMs } = reader.footer;
  let previous = minMs;
  for (const time of reader.times(number)) {
    if (!(time > previous && time <= maxMs)) throw disorder(reader, column.offset);
    previous = time;
  }
}

/** Every byte before the footer belongs to one part, so that every byte is under a checksum. */
function checkTiling(reader: BlockReader, values: readonly [number, number][]): void {
  const { footer } = reader;
  const spans: [number, number][] = [[0, PRELUDE_BYTES], ...values];
  let at = 0;
  for (const page of footer.timePages) {
    const columns = reader.timeColumnEntries().slice(at, at + page.count);
    const size = columns.reduce((sum, column) => sum + column.header.payloadBytes, 0);
    spans.push([page.payloadOffset, page.payloadOffset + size]);
    at += page.count;
  }
  const pages: PageEntry[] = [...footer.timePages, ...footer.headerPages, ...footer.seriesPages];
  for (const page of pages) spans.push([page.offset, page.offset + page.sizeBytes]);
  spans.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let end = 0;
  for (const [from, to] of spans) {
    if (from !== end) throw disorder(reader, end);
    end = to;
  }
  if (end !== reader.footerOffset) throw disorder(reader, end);
}
