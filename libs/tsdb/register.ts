// libs/tsdb/register.ts: gives a series that is named by id and key its number: the one it has, or a new one, which is to be logged.
import type { Hash64 } from "../model/index.ts";
import type { RegistrationBody } from "../wal/index.ts";
import type { DbState } from "./state.ts";

export interface SeriesName {
  readonly shard: number;
  readonly home: Hash64;
  /** Holds the 16-byte id at `idAt`. */
  readonly idView: DataView;
  readonly idAt: number;
  readonly key: Uint8Array;
}

/**
 * The number of a series. A new one is added to `registrations`, which the caller logs before anything of the series; a string says
 * why it is refused: "id-collision", or a sentence about a limit. Errors: InvalidError for a malformed key.
 */
export function registerSeries(
  state: DbState,
  { shard, home, idView, idAt, key }: SeriesName,
  registrations: RegistrationBody,
): number | string {
  const { catalog, clock, limits } = state;
  const name = catalog.index.read(key);
  const known = catalog.find(idView, idAt);
  if (known >= 0) {
    if (!catalog.agrees(known, name)) return "id-collision";
    catalog.see(known, clock.nowMs());
    return known;
  }
  const limit = limits.limitOf(catalog, name.tenant);
  const series = limit === undefined ? numberFor(state, home) : -1;
  if (series < 0) return limits.refuse(limit ?? "--head-memory", catalog, name.tenant);
  catalog.add(idView, idAt, name, shard, home, clock.nowMs(), series);
  const id = new Uint8Array(idView.buffer, idView.byteOffset + idAt, 16);
  registrations.add(series, shard, BigInt(home.low) | (BigInt(home.high) << 32n), id, key);
  return series;
}

/** The number for a new series, known to all heads; -1 when there is no room. */
export function numberFor({ catalog, windows }: Pick<DbState, "catalog" | "windows">, home: Hash64): number {
  const free = catalog.freeNumber;
  if (free < 0) return windows.addSeries(home.high, home.low);
  return windows.reuseSeries(free, home.high, home.low) ? free : -1;
}
