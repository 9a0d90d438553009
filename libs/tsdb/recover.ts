// libs/tsdb/recover.ts: rebuilds catalogue, head and metadata from the WAL at the start.
// Series keep the numbers they were logged with. A number whose registration was lost to damage stays unused as long as its samples may still be
// in the log: another series that got the number would inherit them.
import type { BlockRegistry } from "../block/index.ts";
import type { Clock, FileSystem } from "../env/index.ts";
import { decodeSamplesRecord, newestTimeOf } from "../kernel/index.ts";
import { CorruptionError, decodeSeriesKey, InternalError, InvalidError } from "../model/index.ts";
import { decodeSideRecord, newestSideMs } from "../side/index.ts";
import {
  type DirectoryIdentity,
  type Registration,
  type ReplayHandler,
  type ReplayReport,
  replay,
} from "../wal/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import { decodeDeletion } from "./deletion-record.ts";
import type { Deletions } from "./deletions.ts";
import { headFullError } from "./head.ts";
import { decodeMetadata, type MetadataStore } from "./metadata-store.ts";
import type { SideWindows } from "./side-windows.ts";
import type { Windows } from "./windows.ts";

/**
 * Replays the WAL into empty structures, but for what is in blocks by `covered`. Errors: InvalidError for a directory that can't be read, UnavailableError
 * for a head that is too small.
 */
export async function recover(
  fs: FileSystem,
  clock: Clock,
  dataDir: string,
  identity: DirectoryIdentity,
  catalog: SeriesCatalog,
  windows: Windows,
  metadata: MetadataStore,
  deletions: Deletions,
  side: SideWindows,
  { covered, walFrom }: Pick<BlockRegistry, "covered" | "walFrom">,
  evenSuspect = false,
): Promise<ReplayReport> {
  const registered = new RegisteredSeries(catalog, windows, clock.nowMs());
  const handler: ReplayHandler = {
    registration: (entry) => registered.collect(entry),
    samples: (body, segment) => {
      registered.finish();
      const lost = replaySamples(windows, body, segment < covered.segment, registered);
      if (lost > 0) throw new CorruptionError(`samples of ${lost} series that have no registration`, "", 0);
      return newestTimeOf(body);
    },
    lateSamples: () => {
      throw new InternalError("cannot replay a late samples record: got one; want samples records only");
    },
    metadata: (body) => {
      metadata.put(decodeMetadata(body));
    },
    side: (body, segment) => {
      registered.finish();
      const parts = decodeSideRecord(body);
      const lost = registered.reserve(Uint32Array.from(parts, ({ series }) => series));
      side.replay(parts, segment < covered.segment);
      if (lost > 0) throw new CorruptionError(`histograms of ${lost} series that have no registration`, "", 0);
      return Math.max(...parts.map((part) => newestSideMs(part.side)));
    },
    deletion: (body) => {
      registered.finish();
      deletions.replay(decodeDeletion(body), windows.heads, side, catalog);
    },
  };
  const report = await replay(fs, clock, dataDir, identity, handler, { firstSegment: walFrom, evenSuspect });
  registered.finish();
  return report;
}

/**
 * Replays a samples record. Returns how many series, of numbers above all that are registered, it knows alone.
 * Errors: UnavailableError for a full head, CorruptionError for a record that is none.
 */
function replaySamples(
  windows: Windows,
  body: Uint8Array,
  olderAreInBlocks: boolean,
  registered: RegisteredSeries,
): number {
  try {
    windows.replay(body, olderAreInBlocks);
    return 0;
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
    const lost = registered.reserve(seriesOf(body));
    if (lost === 0) throw new CorruptionError(error.message, "", 0);
    replaySamples(windows, body, olderAreInBlocks, registered);
    return lost;
  }
}

/** Errors: CorruptionError for a samples record whose counts and lengths do not add up. */
function seriesOf(body: Uint8Array): Uint32Array {
  try {
    return decodeSamplesRecord(body).series;
  } catch (error) {
    throw error instanceof InvalidError ? new CorruptionError(error.message, "", 0) : error;
  }
}

/**
 * Registrations come in any order; the head wants ascending numbers. A series that was forgotten and came back has two: the later one counts. All
 * samples under the former number were in blocks when it was forgotten.
 */
class RegisteredSeries {
  private readonly catalog: SeriesCatalog;
  private readonly windows: Windows;
  private readonly nowMs: number;
  private entries: { series: number; shard: number; home: bigint; id: Uint8Array; key: Uint8Array; order: number }[] =
    [];

  constructor(catalog: SeriesCatalog, windows: Windows, nowMs: number) {
    this.nowMs = nowMs;
    this.catalog = catalog;
    this.windows = windows;
  }

  collect(entry: Registration): void {
    this.entries.push({
      series: entry.series,
      shard: entry.shard,
      home: entry.home,
      id: entry.id.slice(),
      key: entry.key.slice(),
      order: this.entries.length,
    });
  }

  finish(): void {
    if (this.entries.length === 0) return;
    this.entries.sort((a, b) => a.series - b.series);
    const orders = new Uint32Array(this.entries.at(-1)!.series + 1);
    for (const { series, shard, home, id, key, order } of this.entries) {
      while (this.catalog.seriesEnd < series) this.skip();
      const low = Number(home & 0xffffffffn);
      const high = Number(home >> 32n);
      this.addToHead(high, low);
      const { tenant, labels } = decodeSeriesKey(key);
      const view = new DataView(id.buffer, id.byteOffset, 16);
      const other = this.catalog.find(view, 0);
      if (other >= 0) {
        if (orders[other]! > order) {
          this.catalog.skip();
          continue;
        }
        this.catalog.retire(other);
      }
      orders[series] = order;
      this.catalog.add(view, 0, tenant, labels, shard, { low, high }, this.nowMs);
    }
    this.entries = [];
  }

  /** Leaves numbers unused up to the greatest of `series`; returns how many different ones of them were above all others. */
  reserve(series: Uint32Array): number {
    const { seriesEnd } = this.catalog;
    const unknown = new Set(series.filter((number) => number >= seriesEnd));
    for (const number of unknown) while (this.catalog.seriesEnd <= number) this.skip();
    return unknown.size;
  }

  private skip(): void {
    this.addToHead(0, 0);
    this.catalog.skip();
  }

  private addToHead(high: number, low: number): void {
    if (this.windows.addSeries(high, low) < 0) throw headFullError();
  }
}
