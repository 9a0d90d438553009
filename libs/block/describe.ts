// libs/block/describe.ts: blocks and registries part by part, for `tidemark inspect` and the golden files. FORMAT.md of this folder.
import {
  describeLines,
  errorText,
  type FileDescriber,
  type FilePart,
  type FileSystem,
  readWhole,
} from "../env/index.ts";
import { ColumnKernel } from "../kernel/index.ts";
import { AppError, CorruptionError, decodeSeriesKey } from "../model/index.ts";
import type { StoredColumn } from "./column-entry.ts";
import { BLOCK_MAGIC, PRELUDE_BYTES, TRAILER_BYTES } from "./footer.ts";
import type { PageEntry } from "./page.ts";
import { BlockReader } from "./reader.ts";
import { decodeRegistry } from "./registry-file.ts";

const registryDescriber: FileDescriber = {
  kind: "block registry",
  recognises: (name, head) =>
    name === "registry.json" || textOf(head).startsWith('{\n  "format": "tidemark block registry"'),
  *describe(fs, path) {
    const bytes = readWhole(fs, path)!;
    yield* describeLines(bytes, registryDamage(path, bytes));
  },
};

const blockDescriber: FileDescriber = {
  kind: "block",
  recognises: (name, head) => {
    const hasMagic = head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0, true) === BLOCK_MAGIC;
    return hasMagic || /\.tmb(\.|$)/.test(name);
  },
  *describe(fs, path) {
    let reader: BlockReader;
    try {
      reader = new BlockReader(fs, path, new ColumnKernel());
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      const sizeBytes = fs.stat(path)?.sizeBytes ?? 0;
      yield { offset: 0, sizeBytes, text: "block that can't be opened", damage: error.message };
      return;
    }
    try {
      const parts = new BlockParts(reader, sizeOf(fs, path)).parts;
      yield* parts.sort(inOrder);
    } finally {
      reader.close();
    }
  },
};

/** The describers of this folder's files. */
export const BLOCK_DESCRIBERS: readonly FileDescriber[] = [registryDescriber, blockDescriber];

/** By place; what is inside of a part after it, and what takes no room before what does. */
function inOrder(a: FilePart, b: FilePart): number {
  return a.offset - b.offset || (a.depth ?? 0) - (b.depth ?? 0) || a.sizeBytes - b.sizeBytes;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function sizeOf(fs: FileSystem, path: string): number {
  return fs.stat(path)?.sizeBytes ?? 0;
}

/** What is wrong with a registry, whosever it is. */
function registryDamage(path: string, bytes: Uint8Array): string | undefined {
  const field = (name: string): string => new RegExp(`"${name}": "?([0-9a-f]+)`).exec(textOf(bytes))?.[1] ?? "";
  const hex = (name: string): Uint8Array => new Uint8Array(Buffer.from(field(name), "hex"));
  const identity = {
    directoryId: hex("directoryId"),
    hashSeed: hex("hashSeed"),
    shardCount: Number(field("shardCount")),
  };
  try {
    decodeRegistry(path, bytes, identity);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

/** Collects a block's parts, in the order in which they are understood. */
class BlockParts {
  readonly parts: FilePart[] = [];
  private readonly reader: BlockReader;

  constructor(reader: BlockReader, sizeBytes: number) {
    this.reader = reader;
    const { footer, footerOffset } = reader;
    this.add(0, PRELUDE_BYTES, "prelude: magic TDMB, version 1");
    footer.timePages.forEach((page, number) => {
      this.addPage(page, `header page ${number} of times`, () => {});
    });
    this.attempt(() => this.addTimes());
    footer.headerPages.forEach((page, number) => {
      this.addPage(page, `header page ${number} of columns`, () => this.addColumns(page, number));
    });
    footer.seriesPages.forEach((page, number) => {
      this.addPage(page, `series page ${number}`, () => this.addSeries(page, number));
    });
    const { level, shard, shardCount, minMs, maxMs, seriesCount, samples, tenants, parents, columnsPerSeries } = footer;
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    this.add(
      footerOffset,
      sizeBytes - TRAILER_BYTES - footerOffset,
      `footer: block ${hex(footer.id)} of hash seed ${hex(footer.hashSeed)}`,
    );
    const inside = [
      `level ${level}, shard ${shard} of ${shardCount}, times (${minMs}, ${maxMs}]`,
      `${seriesCount} series of ${columnsPerSeries} columns, ${samples} samples, WAL position ${footer.walPosition.join(", ")}`,
      ...tenants.map((t) => `tenant ${t.tenant}: series ${t.first} to ${t.first + t.count - 1}, ${t.samples} samples`),
      ...parents.map((id) => `merged from block ${hex(id)}`),
    ];
    for (const text of inside) this.add(footerOffset, 0, text, 1);
    this.add(sizeBytes - TRAILER_BYTES, TRAILER_BYTES, "trailer: length of the footer, checksum, magic");
  }

  private add(offset: number, sizeBytes: number, text: string, depth = 0, damage?: string): void {
    this.parts.push({ offset, sizeBytes, text, depth, ...(damage === undefined ? {} : { damage }) });
  }

  /** What keeps `work` from its end; undefined when nothing does. */
  private attempt(work: () => void): string | undefined {
    try {
      work();
      return undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return errorText(error);
    }
  }

  private addPage({ offset, sizeBytes, count, unpackedBytes }: PageEntry, what: string, content: () => void): void {
    const damage = this.attempt(content);
    this.add(offset, sizeBytes, `${what}: ${count} entries, ${unpackedBytes} bytes unpacked`, 0, damage);
  }

  private addTimes(): void {
    this.reader.timeColumnEntries().forEach((column, number) => {
      let range = "";
      const damage = this.attempt(() => {
        const times = this.reader.times(number);
        range = `, ${times[0]} to ${times.at(-1)}`;
      });
      this.add(
        column.offset,
        column.header.payloadBytes,
        `time column ${number}: ${describeColumn(column)}${range}`,
        0,
        damage,
      );
    });
  }

  private addColumns(page: PageEntry, number: number): void {
    this.reader.columnsOfPage(number).forEach((column, i) => {
      const { count, first, last, min, max, sum, stales } = column.header;
      const out = new Float64Array(count);
      const damage = this.attempt(() => this.reader.readValues(column, out));
      const reference = column.reference < 0 ? "" : `, against column ${column.reference}`;
      const statistics = `first ${first}, last ${last}, min ${min}, max ${max}, sum ${sum}${stales > 0 ? `, ${stales} stale` : ""}`;
      const text = `column ${page.first + i}: ${describeColumn(column)} at time column ${column.times}${reference}; ${statistics}`;
      this.add(column.offset, column.header.payloadBytes, text, 0, damage);
    });
  }

  private addSeries(page: PageEntry, number: number): void {
    this.reader.keysOfPage(number).forEach((key, i) => {
      const { tenant, labels } = decodeSeriesKey(key);
      const pairs = labels.flatMap((name, at) => (at % 2 === 0 ? [`${name}=${JSON.stringify(labels[at + 1])}`] : []));
      this.add(page.offset, 0, `series ${page.first + i}: ${tenant} {${pairs.join(", ")}}`, 1);
    });
  }
}

function describeColumn({ header, checksum }: StoredColumn): string {
  const sum = header.payloadBytes === 0 ? "no payload" : `checksum ${checksum.toString(16).padStart(8, "0")}`;
  return `${header.count} ${header.kind} values, ${sum}`;
}
