// services/insert/metadata-intake.ts: which metadata of a request storage has not seen yet.
// Version 1 has entries of its own. Version 2 repeats a family's metadata with each of its series: a series is looked at once a
// minute only, so that this costs two reads a series; a change is noticed with that delay.
import type { Clock } from "../../libs/env/index.ts";
import type { RequestView } from "../../libs/kernel/index.ts";
import { type MetadataEntry, splitSeriesKey } from "../../libs/model/index.ts";
import type { InsertLimits } from "./limits.ts";
import { familyOf, MetadataCache, makeEntry, metricType, readMetadata } from "./metadata.ts";
import type { Refusals } from "./refusals.ts";
import type { SeriesRegistry } from "./registry.ts";
import type { WireVersion } from "./request-form.ts";

const LOOK_AGAIN_S = 60;
const METRIC_NAME = Buffer.from("__name__");
const NOTHING = new Uint8Array(0);

export class MetadataIntake {
  private readonly cache: MetadataCache;
  private readonly textMaxBytes: number;
  private readonly clock: Clock;
  /** Per sid: the second, from 1 on, when its metadata was looked at. 0: never. */
  private lookedAt = new Uint32Array(4096);
  /** Sids looked at per entry on its way, to look again when it gets lost. */
  private readonly looks = new WeakMap<MetadataEntry, number>();

  constructor(limits: InsertLimits, clock: Clock) {
    this.cache = new MetadataCache(limits.metadataCacheMaxBytes);
    this.textMaxBytes = limits.labelValueMaxBytes;
    this.clock = clock;
  }

  get sizeBytes(): number {
    return this.cache.sizeBytes;
  }

  /** The request's entries that are news, each family once. What can't be stored is counted in `refusals`. */
  read(
    view: RequestView,
    version: WireVersion,
    tenant: string,
    registry: SeriesRegistry,
    refusals: Refusals,
  ): MetadataEntry[] {
    if (version === 2) return this.readSeries(view, tenant, registry, refusals);
    const news = new Map<string, MetadataEntry>();
    const count = view.metadataCount;
    for (let i = 0; i < count; i++) {
      const entry = readMetadata(tenant, view.metadataEntry(i), this.textMaxBytes);
      if (typeof entry === "string") refusals.add("metadata", 1, "metadata", entry);
      else if (this.cache.isNews(entry)) news.set(entry.family, entry);
    }
    return [...news.values()];
  }

  private readSeries(view: RequestView, tenant: string, registry: SeriesRegistry, refusals: Refusals): MetadataEntry[] {
    const news = new Map<string, MetadataEntry>();
    const { families } = view;
    const rows = view.seriesCount;
    const nowS = Math.floor(this.clock.monotonicMs() / 1000) + 1;
    this.grow(registry.highestSid);
    for (let row = 0; row < rows; row++) {
      const at = row * 3;
      const help = families[at + 1]!;
      const unit = families[at + 2]!;
      if (families[at] === 0 && help === 0 && unit === 0) continue;
      const sid = view.sid(row);
      const looked = this.lookedAt[sid]!;
      if (sid === 0 || (looked !== 0 && nowS - looked < LOOK_AGAIN_S)) continue;
      const type = metricType(families[at]!);
      const family = familyOf(metricNameOf(registry.key(sid)), type);
      const texts = [
        Buffer.from(family),
        help === 0 ? NOTHING : view.symbol(help),
        unit === 0 ? NOTHING : view.symbol(unit),
      ];
      const [name, helpText, unitText] = texts;
      const entry =
        helpText === undefined || unitText === undefined
          ? `metadata of ${JSON.stringify(family.slice(0, 80))} with references beyond the ${view.symbolCount} symbols`
          : makeEntry(tenant, families[at]!, [name!, helpText, unitText], this.textMaxBytes);
      if (typeof entry === "string") {
        refusals.add("metadata", 1, "metadata", entry);
        continue;
      }
      this.lookedAt[sid] = nowS;
      if (!this.cache.isNews(entry)) continue;
      news.set(family, entry);
      this.looks.set(entry, sid);
    }
    return [...news.values()];
  }

  /** Entries that `read` returned have been stored, or got lost. */
  settle(entries: readonly MetadataEntry[], stored: boolean): void {
    if (stored) {
      this.cache.confirm(entries);
      return;
    }
    for (const entry of entries) {
      const sid = this.looks.get(entry);
      if (sid !== undefined) this.lookedAt[sid] = 0;
    }
  }

  /** Drops series that the registry is about to forget. */
  forget(isIdle: (sid: number) => boolean, highestSid: number): void {
    const end = Math.min(highestSid, this.lookedAt.length - 1);
    for (let sid = 1; sid <= end; sid++) if (isIdle(sid)) this.lookedAt[sid] = 0;
  }

  /** All metadata is news again: a storage may have lost what it had. */
  forgetAll(): void {
    this.cache.clear();
    this.lookedAt.fill(0);
  }

  private grow(highestSid: number): void {
    if (highestSid < this.lookedAt.length) return;
    const wider = new Uint32Array(Math.max(highestSid + 1, this.lookedAt.length * 2));
    wider.set(this.lookedAt);
    this.lookedAt = wider;
  }
}

function metricNameOf(key: Uint8Array): string {
  const parts = splitSeriesKey(key);
  for (let i = 1; i < parts.length; i += 2) {
    if (Buffer.compare(parts[i]!, METRIC_NAME) === 0) return Buffer.from(parts[i + 1]!).toString();
  }
  return "";
}
