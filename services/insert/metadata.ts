// services/insert/metadata.ts: metric family metadata: read from requests, remembered per tenant, sent on when it changed.
// Version 1 senders repeat all of it every minute, version 2 senders with every series; storage needs it once.
import { isUtf8 } from "node:buffer";
import type { MetadataEntry, MetricType } from "../../libs/model/index.ts";
import { LIMIT_FLAGS } from "./limits.ts";
import { FieldReader } from "./wire.ts";

/** Metric types by their number in both versions of remote write. */
const TYPES: readonly MetricType[] = [
  "unknown",
  "counter",
  "gauge",
  "histogram",
  "gaugehistogram",
  "summary",
  "info",
  "stateset",
];

/** The type with this number; numbers of the future are "unknown". */
export function metricType(number: number): MetricType {
  return TYPES[number] ?? "unknown";
}

/**
 * Reads a MetricMetadata message of version 1. Returns undefined, and why, for one that cannot be stored.
 * Errors: InvalidError for malformed bytes.
 */
export function readMetadata(tenant: string, message: Uint8Array, textMaxBytes: number): MetadataEntry | string {
  const texts: [family: Uint8Array, help: Uint8Array, unit: Uint8Array] = [NOTHING, NOTHING, NOTHING];
  let type = 0;
  const fields = new FieldReader(message);
  while (fields.next()) {
    if (fields.field === 1 && !fields.isBytes) type = fields.number;
    if (!fields.isBytes) continue;
    if (fields.field === 2) texts[0] = fields.bytes;
    else if (fields.field === 4) texts[1] = fields.bytes;
    else if (fields.field === 5) texts[2] = fields.bytes;
  }
  return makeEntry(tenant, type, texts, textMaxBytes);
}

/** An entry from UTF-8 parts of at most `textMaxBytes` each, or one sentence that says why not. */
export function makeEntry(
  tenant: string,
  type: number,
  texts: readonly [family: Uint8Array, help: Uint8Array, unit: Uint8Array],
  textMaxBytes: number,
): MetadataEntry | string {
  if (texts[0].length === 0) return "metadata without a family name";
  const longest = Math.max(...texts.map((text) => text.length));
  if (longest > textMaxBytes) {
    return `metadata with a text of ${longest} bytes; want at most ${textMaxBytes} (${LIMIT_FLAGS.labelValueMaxBytes})`;
  }
  if (!texts.every((text) => isUtf8(text))) return "metadata that is not UTF-8";
  const [family, help, unit] = texts.map((text) => Buffer.from(text).toString()) as [string, string, string];
  return { tenant, family, type: metricType(type), help, unit };
}

const NOTHING = new Uint8Array(0);
const SUFFIXES: { readonly [type in MetricType]?: RegExp } = {
  histogram: /_(?:bucket|sum|count)$/,
  gaugehistogram: /_(?:bucket|gsum|gcount)$/,
  summary: /_(?:sum|count)$/,
};

/** The family that a series' metric belongs to: version 2 sends a family's metadata with each of its series. */
export function familyOf(metricName: string, type: MetricType): string {
  const suffix = SUFFIXES[type];
  return suffix === undefined ? metricName : metricName.replace(suffix, "") || metricName;
}

/** Bytes that a Map entry takes beyond its text, roughly. */
const ENTRY_OVERHEAD_BYTES = 160;

/** What has been sent and acknowledged, per tenant and family. Past its cap it forgets everything: all is sent once more. */
export class MetadataCache {
  private readonly tenants = new Map<string, Map<string, MetadataEntry>>();
  private readonly maxBytes: number;
  private usedBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.usedBytes;
  }

  /** Whether storage may not have this entry yet. */
  isNews(entry: MetadataEntry): boolean {
    const known = this.tenants.get(entry.tenant)?.get(entry.family);
    return known === undefined || known.type !== entry.type || known.help !== entry.help || known.unit !== entry.unit;
  }

  /** Remembers entries that storage has acknowledged. */
  confirm(entries: readonly MetadataEntry[]): void {
    for (const entry of entries) {
      const families = this.tenants.get(entry.tenant) ?? new Map<string, MetadataEntry>();
      const before = families.get(entry.family);
      this.usedBytes += costOf(entry) - (before === undefined ? 0 : costOf(before));
      families.set(entry.family, entry);
      this.tenants.set(entry.tenant, families);
      if (this.usedBytes > this.maxBytes) this.clear();
    }
  }

  /** Forgets everything, because storage may have. */
  clear(): void {
    this.tenants.clear();
    this.usedBytes = 0;
  }
}

function costOf(entry: MetadataEntry): number {
  const characters = entry.tenant.length + entry.family.length + entry.help.length + entry.unit.length;
  return ENTRY_OVERHEAD_BYTES + 2 * characters;
}
