// libs/tsdb/recover.ts: rebuilds catalogue, head and metadata from the WAL at the start.
// Series keep the numbers they were logged with. A number whose registration was lost to damage stays unused as long as its samples may still be
// in the log: another series that got the number would inherit them.
import type { BlockRegistry } from "../block/index.ts";
import type { Clock, FileSystem } from "../env/index.ts";
import { decodeSamplesRecord, newestTimeOf } from "../kernel/index.ts";
import { CorruptionError, InternalError, InvalidError } from "../model/index.ts";
import { decodeSideRecord, newestSideMs } from "../side/index.ts";
import { type DirectoryIdentity, Registration, type ReplayHandler, type ReplayReport, replay } from "../wal/index.ts";
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
  /** Entries as they lie in the log, and where each begins. */
  private bytes = new Uint8Array(1 << 16);
  private used = 0;
  private starts = new Float64Array(1024);
  private count = 0;

  constructor(catalog: SeriesCatalog, windows: Windows, nowMs: number) {
    this.nowMs = nowMs;
    this.catalog = catalog;
    this.windows = windows;
  }

  collect({ bytes, at, end }: Registration): void {
    if (this.used + end - at > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.used + end - at));
      grown.set(this.bytes.subarray(0, this.used));
      this.bytes = grown;
    }
    if (this.count === this.starts.length) {
      const grown = new Float64Array(this.count * 2);
      grown.set(this.starts);
      this.starts = grown;
    }
    this.bytes.set(bytes.subarray(at, end), this.used);
    this.starts[this.count++] = this.used;
    this.used += end - at;
  }

  finish(): void {
    if (this.count === 0) return;
    const { catalog, bytes, starts } = this;
    const entry = new Registration(bytes.subarray(0, this.used));
    const view = new DataView(bytes.buffer);
    const numberAt = (order: number): number => view.getUint32(starts[order]!, true);
    const orders = Uint32Array.from({ length: this.count }, (_, order) => order);
    // They mostly lie in order.
    if (orders.some((order) => order > 0 && numberAt(order - 1) >= numberAt(order))) {
      orders.sort((a, b) => numberAt(a) - numberAt(b));
    }
    const orderOf = new Uint32Array(numberAt(orders.at(-1)!) + 1);
    for (const order of orders) {
      entry.moveTo(starts[order]!);
      const { series, shard, idAt, homeAt, keyAt, end } = entry;
      while (catalog.seriesEnd < series) this.skip();
      const home = { low: view.getUint32(homeAt, true), high: view.getUint32(homeAt + 4, true) };
      this.addToHead(home.high, home.low);
      const name = catalog.index.read(bytes, keyAt, end);
      const other = catalog.find(view, idAt);
      if (other >= 0) {
        if (orderOf[other]! > order) {
          catalog.skip();
          continue;
        }
        catalog.retire(other);
      }
      orderOf[series] = order;
      catalog.add(view, idAt, name, shard, home, this.nowMs);
    }
    this.bytes = new Uint8Array(1 << 16);
    this.used = 0;
    this.count = 0;
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
