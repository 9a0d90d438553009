// libs/block/tombstones-kept.ts: tombstones on their way from a block to the one it is rewritten as, where its series have other places.
import { decodePlaces, encodePlaces, type Tombstone } from "./tombstone.ts";

/** Told of the series that are written, in their order. */
export class KeptTombstones {
  private readonly parts: { readonly tombstone: Tombstone; readonly before: Set<number>; readonly after: number[] }[];

  constructor(tombstones: readonly Tombstone[], seriesCount: number) {
    this.parts = tombstones.map((tombstone) => {
      return { tombstone, before: new Set(decodePlaces(tombstone.places, seriesCount)), after: [] };
    });
  }

  get isEmpty(): boolean {
    return this.parts.every(({ after }) => after.length === 0);
  }

  /** A series that had the place `before` has the place `after`, and these times. */
  add(before: number, after: number, times: Float64Array): void {
    for (const { tombstone, before: places, after: out } of this.parts) {
      const { minMs, maxMs } = tombstone;
      if (places.has(before) && times.some((time) => time >= minMs && time <= maxMs)) out.push(after);
    }
  }

  /** The tombstones of the new block: those that still hide something. */
  take(): Tombstone[] {
    return this.parts
      .filter(({ after }) => after.length > 0)
      .map(({ tombstone, after }) => ({ ...tombstone, places: encodePlaces(after) }));
  }
}
