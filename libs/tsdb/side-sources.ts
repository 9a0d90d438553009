// libs/tsdb/side-sources.ts: where a query's histograms, exemplars and start times are, seen as they are when it begins.
// Most storages have none in most ranges: that is found out by a look at a few times, before anything else is done.
import { mergeSide, type SidePart, type SideSeries, STARTS_REACH_MS } from "../side/index.ts";
import type { Pace } from "./pace.ts";
import type { SideData, SideSource } from "./side-data.ts";

/** Sources of what a query wants, that overlap its range. They stay as they are until `release`. */
export class CapturedSide {
  private readonly wanted: readonly SidePart[];
  private readonly sources: readonly SideSource[];
  private readonly lowMs: number;
  private readonly highMs: number;

  private constructor(wanted: readonly SidePart[], sources: readonly SideSource[], lowMs: number, highMs: number) {
    this.wanted = wanted;
    this.sources = sources;
    this.lowMs = lowMs;
    this.highMs = highMs;
    for (const source of sources) source.acquire?.();
  }

  /** Undefined when there is nothing of what is wanted in [lowMs, highMs]. */
  static of(
    side: Pick<SideData, "sources">,
    wanted: readonly SidePart[],
    lowMs: number,
    highMs: number,
  ): CapturedSide | undefined {
    const { sources } = side;
    const overlapping = sources.filter((source) =>
      wanted.some((part) => source.overlaps(part, lowestMs(part, lowMs), highMs)),
    );
    return overlapping.length === 0 ? undefined : new CapturedSide(wanted, overlapping, lowMs, highMs);
  }

  /** Reads which series files have; all of them are in the catalogue afterwards. Errors: CorruptionError; those of the pace. */
  async load(pace: Pace): Promise<void> {
    for (const source of this.sources) {
      source.load?.();
      if (pace.isDue) await pace.rest();
    }
  }

  /** Like load, in one piece. */
  loadAll(): void {
    for (const source of this.sources) source.load?.();
  }

  /** Whether a series may have anything of what is wanted. */
  holds(series: number): boolean {
    const { wanted, lowMs, highMs } = this;
    return this.sources.some((source) =>
      wanted.some((part) => source.holds(part, series, lowestMs(part, lowMs), highMs)),
    );
  }

  /** What there is of a series, from all sources: see relevantSide. Errors: CorruptionError. */
  read(series: number): SideSeries {
    return mergeSide(this.sources.map((source) => source.read(series, this.lowMs, this.highMs)));
  }

  release(): void {
    for (const source of this.sources) source.release?.();
  }
}

function lowestMs(part: SidePart, lowMs: number): number {
  return part === "starts" ? lowMs - STARTS_REACH_MS : lowMs;
}
