// libs/tsdb/retention.ts: how long raw samples are kept, tenant by tenant, and up to which time the disk had no room for them.
// Tenants share blocks, which go as a whole when the longest retention is over; until then reads and writes of a tenant whose own is shorter
// end at its *floor*, and a merge leaves out what lies below it.
import type { Floor } from "../block/index.ts";

export interface RetentionOptions {
  /** Of tenants that are not named. */
  readonly defaultMs: number;
  readonly byTenant?: ReadonlyMap<string, number>;
}

export class Retention {
  /** What every tenant's samples are past after. */
  readonly longestMs: number;
  readonly defaultMs: number;
  private readonly byTenant: ReadonlyMap<string, number>;
  /** Everything up to here is gone, because it did not fit on the disk; -Infinity when that never happened. */
  cutoffMs = Number.NEGATIVE_INFINITY;

  constructor({ defaultMs, byTenant = new Map() }: RetentionOptions) {
    this.defaultMs = defaultMs;
    this.byTenant = byTenant;
    this.longestMs = Math.max(defaultMs, ...byTenant.values());
  }

  /** Whether any tenant has a retention of its own. */
  get hasTenants(): boolean {
    return this.byTenant.size > 0;
  }

  /** Whether any tenant has a floor. */
  get hasFloors(): boolean {
    return this.hasTenants || this.cutoffMs > Number.NEGATIVE_INFINITY;
  }

  of(tenant: string): number {
    return this.byTenant.get(tenant) ?? this.defaultMs;
  }

  /** A tenant's samples up to here are past, and not to be seen; -Infinity where they go with their blocks. */
  floorMs(tenant: string, nowMs: number): number {
    const ownMs = this.of(tenant);
    return Math.max(ownMs < this.longestMs ? nowMs - ownMs : Number.NEGATIVE_INFINITY, this.cutoffMs);
  }

  /** The floors of those tenants that have one above `minMs`. */
  floorsAbove(minMs: number, tenants: Iterable<string>, nowMs: number): Floor[] {
    return Array.from(tenants, (tenant) => ({ tenant, floorMs: this.floorMs(tenant, nowMs) })).filter(
      ({ floorMs }) => floorMs > minMs,
    );
  }

  /** The highest floor of any tenant. */
  highestFloorMs(nowMs: number): number {
    const shortestMs = Math.min(this.defaultMs, ...this.byTenant.values());
    return Math.max(shortestMs < this.longestMs ? nowMs - shortestMs : Number.NEGATIVE_INFINITY, this.cutoffMs);
  }

  /** The earliest time that a tenant's samples may have when they come. */
  writeFromMs(tenant: string, nowMs: number): number {
    return Math.max(nowMs - this.of(tenant), this.floorMs(tenant, nowMs) + 1);
  }

  /** What a client is told whose samples are earlier: which flag says so. */
  boundText(tenant: string, nowMs: number): string {
    const fromMs = this.writeFromMs(tenant, nowMs);
    const flag =
      fromMs === this.cutoffMs + 1
        ? "--retention-size has dropped what was before"
        : `now - ${this.byTenant.has(tenant) ? `--tenant-retention ${tenant}` : "--retention raw"}`;
    return `before ${new Date(fromMs).toISOString()} (${flag})`;
  }
}
