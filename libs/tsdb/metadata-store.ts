// libs/tsdb/metadata-store.ts: type, help and unit of metric families, per tenant. The newest entry of a family counts.
// WAL body (libs/wal/FORMAT.md, record type metadata): the entries as JSON text.
import { CorruptionError, type MetadataEntry, type MetricType } from "../model/index.ts";
import type { MetadataSource } from "../wal/index.ts";

/** Families kept per tenant; more are dropped and counted, because metadata only decorates. */
export const METADATA_FAMILIES_MAX = 50_000;
/** Longest help text kept, in characters. */
const HELP_LENGTH_MAX = 4096;
/** Text of one block of repeated entries, in characters of at most three bytes. */
const BLOCK_LENGTH = 100_000;

const TYPES: ReadonlySet<string> = new Set<MetricType>([
  "counter",
  "gauge",
  "histogram",
  "gaugehistogram",
  "summary",
  "info",
  "stateset",
  "unknown",
]);

export class MetadataStore implements MetadataSource {
  /** In the order in which families came; an entry that changes keeps its place. */
  private readonly entries: MetadataEntry[] = [];
  /** Places by tenant and family. */
  private readonly tenants = new Map<string, Map<string, number>>();
  private droppedCount = 0;

  /** Families that were not kept because of METADATA_FAMILIES_MAX. */
  get dropped(): number {
    return this.droppedCount;
  }

  get metadataEnd(): number {
    return this.entries.length;
  }

  repeatMetadata(from: number): { body: Uint8Array; end: number } {
    const rows: string[] = [];
    let length = 0;
    let end = from;
    for (; end < this.entries.length; end++) {
      const row = JSON.stringify(rowOf(this.entries[end]!));
      length += row.length;
      if (length > BLOCK_LENGTH && rows.length > 0) break;
      rows.push(row);
    }
    return { body: encoder.encode(`[${rows.join()}]`), end };
  }

  /** Takes entries over; returns those that were news, for the WAL. */
  put(entries: readonly MetadataEntry[]): MetadataEntry[] {
    const news: MetadataEntry[] = [];
    for (const entry of entries) {
      let families = this.tenants.get(entry.tenant);
      if (families === undefined) {
        families = new Map();
        this.tenants.set(entry.tenant, families);
      }
      const place = families.get(entry.family);
      const known = place === undefined ? undefined : this.entries[place];
      const kept = { ...entry, help: entry.help.slice(0, HELP_LENGTH_MAX) };
      if (known?.type === kept.type && known.help === kept.help && known.unit === kept.unit) continue;
      if (known === undefined && families.size >= METADATA_FAMILIES_MAX) {
        this.droppedCount++;
        continue;
      }
      families.set(kept.family, place ?? this.entries.length);
      this.entries[place ?? this.entries.length] = kept;
      news.push(kept);
    }
    return news;
  }

  /** Entries of one family, or of all when `family` is "". */
  find(tenant: string, family: string): MetadataEntry[] {
    const families = this.tenants.get(tenant);
    if (families === undefined) return [];
    if (family === "") return Array.from(families.values(), (place) => this.entries[place]!);
    const place = families.get(family);
    return place === undefined ? [] : [this.entries[place]!];
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeMetadata(entries: readonly MetadataEntry[]): Uint8Array {
  return encoder.encode(JSON.stringify(entries.map(rowOf)));
}

function rowOf({ tenant, family, type, help, unit }: MetadataEntry): string[] {
  return [tenant, family, type, help, unit];
}

/** Errors: CorruptionError when the text is not what encodeMetadata wrote. */
export function decodeMetadata(body: Uint8Array): MetadataEntry[] {
  let rows: unknown;
  try {
    rows = JSON.parse(decoder.decode(body));
  } catch (error) {
    throw corrupt(error instanceof Error ? error.message : String(error));
  }
  if (!Array.isArray(rows)) throw corrupt("no list");
  return rows.map((row: unknown) => {
    if (
      !Array.isArray(row) ||
      row.length !== 5 ||
      !row.every((part) => typeof part === "string") ||
      !TYPES.has(row[2])
    ) {
      throw corrupt(`entry ${JSON.stringify(row).slice(0, 100)}`);
    }
    const [tenant, family, type, help, unit] = row as [string, string, MetricType, string, string];
    return { tenant, family, type, help, unit };
  });
}

function corrupt(got: string): CorruptionError {
  return new CorruptionError(`cannot read metadata: got ${got}; want a list of families`, "", 0);
}
