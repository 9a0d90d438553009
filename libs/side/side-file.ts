// libs/side/side-file.ts: immutable files of side data: one shard's, of one UTC day at most. FORMAT.md, "File".
// Until `finish` returns there is no file of the name; afterwards it is there whole, durably. Every byte is under a checksum that is
// verified when it is read.
import { brotliDecompressSync, crc32 } from "node:zlib";
import { ByteSink, ByteSource, classifyingFileSystem, compareBytes, packPage, readChecked } from "../block/index.ts";
import { type FileSystem, type OpenFile, parentOf } from "../env/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { assert, CorruptionError } from "../model/index.ts";
import { sideDraftOf } from "./side-folder.ts";
import {
  encodeSideFooter,
  type PagePlace,
  type PartSpan,
  type PartSpans,
  PRELUDE_BYTES,
  preludeBytes,
  readPlace,
  readSideFooter,
  readSpans,
  SIDE_PARTS,
  type SideFileOptions,
  type SideFooter,
  writePlace,
  writeSpans,
} from "./side-footer.ts";
import { decodeSection, encodeSectionSteps } from "./side-section.ts";
import type { SideSeries } from "./side-series.ts";
import { TimeSpan } from "./time-span.ts";

/** A series of a file. */
export interface SideEntry {
  /** Which it is of the file's series: tombstones name it so. */
  readonly place: number;
  readonly key: Uint8Array;
  readonly page: PagePlace;
  /** Payloads follow the page. */
  readonly payloadBytes: number;
  readonly parts: PartSpans;
}

function spansOf(side: SideSeries): PartSpans {
  const spanOf = (list: readonly { readonly timeMs: number }[]): PartSpan => {
    const span = new TimeSpan();
    for (const { timeMs } of list) span.add(timeMs);
    return { count: list.length, span };
  };
  return { histograms: spanOf(side.histograms), exemplars: spanOf(side.exemplars), starts: spanOf(side.starts) };
}

export class SideFileWriter {
  private readonly fs: FileSystem;
  private readonly path: string;
  private readonly draft: string;
  private readonly options: SideFileOptions;
  private readonly kernel: ColumnKernel;
  private readonly file: OpenFile;
  private readonly directory = new ByteSink();
  private readonly totals = SIDE_PARTS.map(() => ({ count: 0, span: new TimeSpan() }));
  private offset = 0;
  private series = 0;
  private lastKey: Uint8Array | undefined;

  /** Errors of all methods: those of libs/block's disk-errors.ts. */
  constructor(fs: FileSystem, path: string, options: SideFileOptions, kernel: ColumnKernel) {
    this.fs = classifyingFileSystem(fs);
    this.path = path;
    this.draft = sideDraftOf(path);
    this.options = options;
    this.kernel = kernel;
    if (this.fs.stat(this.draft) !== undefined) this.fs.unlink(this.draft);
    this.file = this.fs.open(this.draft, "create");
    try {
      this.put(preludeBytes());
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  get seriesCount(): number {
    return this.series;
  }

  private put(bytes: Uint8Array): number {
    const at = this.offset;
    this.file.write(bytes, at);
    this.offset += bytes.length;
    return at;
  }

  /** Keys ascend. In one piece. */
  add(key: Uint8Array, side: SideSeries): void {
    for (const steps = this.addSteps(key, side); steps.next().done !== true; );
  }

  /** As add, a column at each step: a day of a series may have many. */
  *addSteps(key: Uint8Array, side: SideSeries): Generator<void, void> {
    assert(this.lastKey === undefined || compareBytes(this.lastKey, key) < 0, "series of a side file ascend");
    this.lastKey = key.slice();
    const { page, payloads } = yield* encodeSectionSteps(side, this.kernel);
    const place = this.putPage(page);
    this.put(payloads);
    const parts = spansOf(side);
    this.directory.blob(key);
    writePlace(this.directory, place);
    this.directory.uvarint(payloads.length);
    writeSpans(this.directory, parts);
    SIDE_PARTS.forEach((part, i) => {
      const { count, span } = parts[part];
      if (count === 0) return;
      this.totals[i]!.count += count;
      this.totals[i]!.span.add(span.low);
      this.totals[i]!.span.add(span.high);
    });
    this.series++;
  }

  private putPage(page: Uint8Array): PagePlace {
    const packed = packPage(page);
    const offset = this.put(packed);
    return { offset, sizeBytes: packed.length, unpackedBytes: page.length, checksum: crc32(packed) };
  }

  /** Makes the file durable; returns its size. A draft keeps its draft's name until nameSideDraft. */
  async finish(isDraft = false): Promise<number> {
    const directory = this.putPage(this.directory.written());
    const [histograms, exemplars, starts] = this.totals as [PartSpan, PartSpan, PartSpan];
    const parts = { histograms, exemplars, starts };
    this.put(encodeSideFooter({ ...this.options, seriesCount: this.series, parts, directory }));
    await this.file.fdatasyncSoon("side-file");
    this.file.close();
    if (!isDraft) this.fs.rename(this.draft, this.path);
    await this.fs.fsyncDirSoon(parentOf(this.path), isDraft ? "side-draft-name" : "side-name");
    return this.offset;
  }

  /** Leaves nothing. */
  abandon(): void {
    this.file.close();
    if (this.fs.stat(this.draft) !== undefined) this.fs.unlink(this.draft);
  }
}

/** Gives a durable draft its file's name. Not synced: who finds the draft after a crash, and knows that it is wanted, does it again. */
export function nameSideDraft(fs: FileSystem, path: string): void {
  classifyingFileSystem(fs).rename(sideDraftOf(path), path);
}

export class SideFileReader {
  readonly footer: SideFooter;
  private readonly file: OpenFile;
  private readonly kernel: ColumnKernel;

  /** Errors: CorruptionError; InvalidError when a later release wrote it. */
  constructor(fs: FileSystem, path: string, kernel: ColumnKernel) {
    this.kernel = kernel;
    this.file = classifyingFileSystem(fs).open(path, "read");
    try {
      this.footer = readSideFooter(this.file);
    } catch (error) {
      this.file.close();
      throw error;
    }
  }

  get path(): string {
    return this.file.path;
  }

  get sizeBytes(): number {
    return this.file.sizeBytes();
  }

  close(): void {
    this.file.close();
  }

  /** The series, by their keys. Errors: CorruptionError. */
  directory(): SideEntry[] {
    const { directory, seriesCount } = this.footer;
    const source = new ByteSource(this.page(directory, "directory"), "directory", this.path, directory.offset);
    const entries: SideEntry[] = [];
    while (entries.length < seriesCount) {
      const key = source.blob();
      const page = readPlace(source, directory.offset);
      const payloadBytes = source.uvarint();
      if (page.offset < PRELUDE_BYTES || page.offset + page.sizeBytes + payloadBytes > directory.offset) {
        throw source.damage(`a section at ${page.offset}`, "one before the directory");
      }
      entries.push({ place: entries.length, key, page, payloadBytes, parts: readSpans(source) });
    }
    source.end();
    return entries;
  }

  /** All there is of a series. Errors: CorruptionError. */
  read({ page, payloadBytes }: SideEntry): SideSeries {
    const bytes = this.page(page, "section");
    const offset = page.offset + page.sizeBytes;
    const payloads = new Uint8Array(payloadBytes);
    if (this.file.read(payloads, offset) !== payloadBytes) {
      throw new CorruptionError("cannot read section: got the end of the file; want its payloads", this.path, offset);
    }
    return decodeSection(bytes, payloads, this.kernel, { path: this.path, offset: page.offset });
  }

  private page({ offset, sizeBytes, unpackedBytes, checksum }: PagePlace, what: string): Uint8Array {
    const packed = readChecked(this.file, offset, checksum, new Uint8Array(sizeBytes), what);
    try {
      const bytes = brotliDecompressSync(packed, { maxOutputLength: Math.max(1, unpackedBytes) });
      if (bytes.length === unpackedBytes) return bytes;
    } catch {
      // Said below.
    }
    throw new CorruptionError(`cannot unpack ${what}: got another length; want ${unpackedBytes}`, this.path, offset);
  }
}
