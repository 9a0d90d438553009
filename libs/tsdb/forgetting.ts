// libs/tsdb/forgetting.ts: how series that nobody writes any more leave the catalogue, so that it holds what is written and not all that ever was.
// A number passes from one series to another only when three things are past: samples of the former in any head, records of it that a replay
// would read, and queries that began while it was known. Until then it waits, in the order in which numbers were retired.
// A series that side data in memory knows by its number stays.
import type { Clock } from "../env/index.ts";
import type { SideStore } from "../side/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Head } from "./head.ts";
import type { SideData } from "./side-data.ts";
import type { SourcesPin } from "./sources.ts";
import type { Windows } from "./windows.ts";

/** Records that are appended now may still go into the segment after the next. */
const SEGMENTS_AHEAD = 2;
/** Series looked at, and retired or freed, between two breaths: a millisecond or two. */
const SERIES_PER_LOOK = 32_768;
const SERIES_PER_BREATH = 512;

interface Waiting {
  readonly numbers: Uint32Array;
  /** How many of them are free. */
  freed: number;
  /** No later segment of the WAL mentions them. */
  readonly segment: number;
  /** Queries that may know them. */
  readonly pin: SourcesPin | undefined;
}

export class Forgetting {
  /** Series retired since the start. */
  retired = 0;
  private readonly catalog: SeriesCatalog;
  private readonly windows: Windows;
  private readonly side: Pick<SideData, "knows">;
  private readonly clock: Clock;
  private readonly waiting: Waiting[] = [];

  /** `segment`: the one that the WAL ended with; the log may have samples of numbers whose registration was lost. */
  constructor(catalog: SeriesCatalog, windows: Windows, side: Pick<SideData, "knows">, clock: Clock, segment: number) {
    this.side = side;
    this.catalog = catalog;
    this.windows = windows;
    this.clock = clock;
    this.wait(catalog.lostNumbers(), segment, undefined);
  }

  /** Numbers that wait to be free. */
  get waitingCount(): number {
    return this.waiting.reduce((sum, { numbers, freed }) => sum + numbers.length - freed, 0);
  }

  /** Notes that all series with samples in these heads, or with anything in these stores, are written. */
  async see(heads: readonly Head[], stores: readonly Pick<SideStore, "seriesNumbers">[] = []): Promise<void> {
    const nowMs = this.clock.nowMs();
    for (const { seriesNumbers } of stores) for (const series of seriesNumbers) this.catalog.see(series, nowMs);
    for (const head of heads) {
      for (let series = 0; series < head.seriesCount; series++) {
        if (head.hasSamples(series)) this.catalog.see(series, nowMs);
        if (series % SERIES_PER_LOOK === SERIES_PER_LOOK - 1) await this.clock.sleep(0);
      }
    }
  }

  /**
   * Retires the series that were not written since then. Returns them; `wait` must follow, with what the log and queries have seen of them.
   * A writer that comes meanwhile is told that its references are unknown, and by naming its series again keeps them.
   */
  async retire(sinceMs: number): Promise<Uint32Array> {
    const { catalog, windows, side, clock } = this;
    const isGone = (series: number): boolean =>
      catalog.isUnseenSince(series, sinceMs) && !windows.hasSamples(series) && !side.knows(series);
    const candidates: number[] = [];
    const { seriesEnd } = catalog;
    for (let series = 0; series < seriesEnd; series++) {
      if (isGone(series)) candidates.push(series);
      if (series % SERIES_PER_LOOK === SERIES_PER_LOOK - 1) await clock.sleep(0);
    }
    if (candidates.length === 0) return new Uint32Array(0);
    for (const _ of windows.forgetSeries(Uint32Array.from(candidates))) await clock.sleep(0);
    const gone: number[] = [];
    for (const [i, series] of candidates.entries()) {
      if (isGone(series)) {
        catalog.retire(series);
        gone.push(series);
      }
      if (i % SERIES_PER_BREATH === SERIES_PER_BREATH - 1) await clock.sleep(0);
    }
    this.retired += gone.length;
    return Uint32Array.from(gone);
  }

  /** Notes the last segment that may mention retired series, and the queries that may know them. */
  wait(numbers: Uint32Array, segment: number, pin: SourcesPin | undefined): void {
    if (numbers.length > 0) this.waiting.push({ numbers, freed: 0, segment: segment + SEGMENTS_AHEAD, pin });
  }

  /** Frees what may be; a replay begins with this segment. */
  async release(walFrom: number): Promise<void> {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      if (next.segment >= walFrom || (next.pin !== undefined && next.pin.users > 0)) return;
      for (; next.freed < next.numbers.length; next.freed++) {
        const number = next.numbers[next.freed]!;
        if (this.windows.hasSamples(number) || this.side.knows(number)) return;
        this.catalog.release(number);
        if (next.freed % SERIES_PER_BREATH === SERIES_PER_BREATH - 1) await this.clock.sleep(0);
      }
      this.waiting.shift();
    }
  }
}
