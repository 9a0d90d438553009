// services/insert/side-places.ts: where series with side data belong: key, id, shard, home; and which start time storage has of each.
// Kept apart from the registry of float samples, whose numbers the kernels know. Past its cap it forgets everything: places are
// worked out again, start times sent once more.
import { type Hash128, placeSeries } from "../../libs/model/index.ts";
import { type NamedSeries, STARTS_REACH_MS } from "../../libs/side/index.ts";
import { canonicalKey, type RefusedLabels } from "./canonical.ts";
import type { InsertLimits } from "./limits.ts";

/** About 1 KiB each. */
const PLACES_MAX = 200_000;
/** A storage looks for start times twice as far back. */
const REPEAT_MS = STARTS_REACH_MS / 2;

export interface SidePlace extends NamedSeries {
  /** The start time that storage has, and the sample that it was sent with; NaN when it has none. */
  startMs: number;
  sentMs: number;
}

export class SidePlaces {
  private readonly hash128: Hash128;
  private readonly shardCount: number;
  private readonly limits: InsertLimits;
  private readonly places = new Map<string, SidePlace>();
  private readonly encoder = new TextEncoder();

  constructor(hash128: Hash128, shardCount: number, limits: InsertLimits) {
    this.hash128 = hash128;
    this.shardCount = shardCount;
    this.limits = limits;
  }

  /** The place of the series with these names and values, in any order. The pairs are copied. */
  find(tenant: string, pairs: readonly Uint8Array[]): SidePlace | RefusedLabels {
    let name = tenant;
    for (const part of pairs) name += `\0${part.length}:${latin1(part)}`;
    const known = this.places.get(name);
    if (known !== undefined) return known;
    const key = canonicalKey(this.encoder.encode(tenant), pairs, this.limits);
    if (!(key instanceof Uint8Array)) return key;
    const { shard, home } = placeSeries(this.hash128, key, this.shardCount);
    const id = this.hash128(key);
    const sent = { startMs: 0, sentMs: Number.NaN };
    const place = { shard, homeLow: home.low, homeHigh: home.high, id, key, ...sent };
    if (this.places.size >= PLACES_MAX) this.places.clear();
    this.places.set(name, place);
    return place;
  }

  /** All start times are news again: a storage may have lost what it had. */
  forgetStarts(): void {
    for (const place of this.places.values()) place.sentMs = Number.NaN;
  }
}

/** Bytes as text, one character each. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** Whether storage has to be told the start time of a sample: it is another one, or was told long ago. */
export function isStartNews({ startMs, sentMs }: SidePlace, sampleMs: number, sampleStartMs: number): boolean {
  if (Number.isNaN(sentMs)) return sampleStartMs !== 0;
  if (startMs !== sampleStartMs) return true;
  return startMs !== 0 && (sampleMs < sentMs || sampleMs >= sentMs + REPEAT_MS);
}
