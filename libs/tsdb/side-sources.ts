// libs/tsdb/side-sources.ts: where a query's histograms, exemplars and start times are, seen as they are when it begins.
// Most storages have none in most ranges: that is found out by a look at a few times, before anything else is done.
import { mergeSide, type SidePart, type SideSeries, STARTS_REACH_MS } from "../side/index.ts";
import type { Pace } from "./pace.ts";
import type { SideData, SideSource, SideView } from "./side-data.ts";

/** Sources of what a query wants, that overlap its range. They stay as they are until `release`; deletions are not seen meanwhile. */
export class CapturedSide {
  private readonly wanted: readonly SidePart[];
  private readonly sources: readonly SideView[];
  private readonly lowMs: number;
  private readonly highMs: number;

  private constructor(wanted: readonly SidePart[], sources: readonly SideSource[], lowMs: number, highMs: number) {
    this.wanted = wanted;
    this.sources = sources.map((source) => source.capture());
    this.lowMs = lowMs;
    this.highMs = highMs;
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

  /**
   * Which of ascending series may have anything of what is wanted: 1 at their positions; undefined when none has. Takes time by the series
   * that have something, not by those that are asked about.
   */
  membersOf(series: Uint32Array): Uint8Array | undefined {
    const { wanted, lowMs, highMs } = this;
    let members: Uint8Array | undefined;
    for (const source of this.sources) {
      for (const part of wanted) {
        for (const one of source.seriesWith(part, lowestMs(part, lowMs), highMs)) {
          const at = positionOf(series, one);
          if (at < 0) continue;
          members ??= new Uint8Array(series.length);
          members[at] = 1;
        }
      }
    }
    return members;
  }

  /** What there is of a series, from all sources: see relevantSide. Errors: CorruptionError. */
  read(series: number): SideSeries {
    return mergeSide(this.sources.map((source) => source.read(series, this.lowMs, this.highMs)));
  }

  release(): void {
    for (const source of this.sources) source.release();
  }
}

/** Where a number is in an ascending list; -1: nowhere. */
function positionOf(list: Uint32Array, number: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]! < number) low = middle + 1;
    else high = middle;
  }
  return list[low] === number ? low : -1;
}

function lowestMs(part: SidePart, lowMs: number): number {
  return part === "starts" ? lowMs - STARTS_REACH_MS : lowMs;
}
