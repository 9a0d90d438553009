// libs/tsdb/series-limits.ts: whether a new series may come, and what stands in its way: the flag that would help, and how many were refused.
import type { HeadBudget } from "./head-budget.ts";

/** By flag; the index has a limit of tenants that no flag moves. */
export type SeriesLimit = "--series-max" | "--tenant-series-max" | "--head-memory" | "tenants";

export interface SeriesLimitsOptions {
  /** Of all tenants. */
  readonly seriesMax: number;
  readonly tenantSeriesMax: number;
  readonly budget: HeadBudget;
}

/** What is known of the series there are. */
export interface KnownSeries {
  readonly seriesEnd: number;
  /** A number that the next series takes over; -1 when there is none. */
  readonly freeNumber?: number;
  seriesOf(tenant: string): number;
  readonly index: { hasRoomFor(tenant: string): boolean; readonly tenantCount: number };
}

export class SeriesLimits {
  readonly seriesMax: number;
  readonly tenantSeriesMax: number;
  /** New series refused, by what refused them. */
  readonly refused: Record<SeriesLimit, number> = {
    "--series-max": 0,
    "--tenant-series-max": 0,
    "--head-memory": 0,
    tenants: 0,
  };
  private readonly budget: HeadBudget;

  constructor({ seriesMax, tenantSeriesMax, budget }: SeriesLimitsOptions) {
    this.seriesMax = seriesMax;
    this.tenantSeriesMax = tenantSeriesMax;
    this.budget = budget;
  }

  /** What refuses a new series of a tenant; undefined: nothing. */
  limitOf(known: KnownSeries, tenant: string): SeriesLimit | undefined {
    if (known.seriesEnd >= this.seriesMax && (known.freeNumber ?? -1) < 0) return "--series-max";
    if (known.seriesOf(tenant) >= this.tenantSeriesMax) return "--tenant-series-max";
    if (!known.index.hasRoomFor(tenant)) return "tenants";
    return this.budget.isTight ? "--head-memory" : undefined;
  }

  /** Counts a refusal; says it in a sentence. */
  refuse(limit: SeriesLimit, known: KnownSeries, tenant: string): string {
    this.refused[limit]++;
    switch (limit) {
      case "--series-max":
        return `got ${known.seriesEnd} series; want at most ${this.seriesMax} (--series-max)`;
      case "--tenant-series-max":
        return `got ${known.seriesOf(tenant)} series of tenant ${tenant}; want at most ${this.tenantSeriesMax} (--tenant-series-max)`;
      case "tenants":
        return `got ${known.index.tenantCount} tenants; want no more`;
      case "--head-memory":
        return `got ${known.seriesEnd} series and no memory for more (--head-memory)`;
    }
  }
}
