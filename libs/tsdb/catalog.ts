// libs/tsdb/catalog.ts: which series this process knows: number ↔ id, tenant, labels, shard and home.
// Series numbers are dense and ascend as series are registered; they never leave the node. The catalogue is what the WAL
// repeats at the head of each segment.
import { SeriesIds, SeriesIndex } from "../index/index.ts";
import { encodeSeriesKey, type Hash64, type Labels } from "../model/index.ts";
import type { RegistrationBody, RegistrationSource } from "../wal/index.ts";

export class SeriesCatalog implements RegistrationSource {
  readonly index = new SeriesIndex();
  private readonly ids = new SeriesIds();
  private end = 0;
  /** How many series each tenant has. */
  private readonly byTenant = new Map<string, number>();
  /** Numbers whose registration was lost. */
  private readonly unused = new Set<number>();
  /** By series: shard, home's low and high word. */
  private places = new Uint32Array(3 * 1024);
  private readonly idBytes = new DataView(new ArrayBuffer(16));

  /** One more than the greatest series number, unused ones included. */
  get seriesEnd(): number {
    return this.end;
  }

  get sizeBytes(): number {
    return this.index.sizeBytes + this.ids.sizeBytes + this.places.byteLength;
  }

  /** The series with the 16-byte id at `at`, or -1. */
  find(bytes: DataView, at: number): number {
    return this.ids.find(bytes, at);
  }

  /** Copies the 16-byte id of a series to `out` at `at`. */
  copyId(series: number, out: DataView, at: number): void {
    this.ids.copyTo(series, out, at);
  }

  /** Whether the series that has an id also has these labels; an id that meets others is refused, never merged. */
  agrees(series: number, tenant: string, labels: Labels): boolean {
    return this.index.tenantOf(series) === tenant && this.index.hasLabels(series, labels);
  }

  /** Adds the next series number. The id must be new. */
  add(bytes: DataView, idAt: number, tenant: string, labels: Labels, shard: number, home: Hash64): number {
    const series = this.end;
    // The index may refuse a tenant too many; it goes first, so that nothing is half added.
    this.index.add(tenant, series, labels);
    this.ids.add(bytes, idAt, series);
    if (series * 3 + 3 > this.places.length) {
      const places = new Uint32Array(Math.max(this.places.length * 2, series * 3 + 3));
      places.set(this.places);
      this.places = places;
    }
    this.places[series * 3] = shard;
    this.places[series * 3 + 1] = home.low;
    this.places[series * 3 + 2] = home.high;
    this.end++;
    this.byTenant.set(tenant, this.seriesOf(tenant) + 1);
    return series;
  }

  /** Leaves the next series number unused. */
  skip(): void {
    this.unused.add(this.end++);
  }

  /** How many series a tenant has. */
  seriesOf(tenant: string): number {
    return this.byTenant.get(tenant) ?? 0;
  }

  shardOf(series: number): number {
    return this.places[series * 3]!;
  }

  /** The home that a series' head group is found by; 0 for an unused number. */
  homeOf(series: number): Hash64 {
    return { low: this.places[series * 3 + 1]!, high: this.places[series * 3 + 2]! };
  }

  addTo(body: RegistrationBody, series: number): void {
    if (this.unused.has(series)) return;
    const key = encodeSeriesKey(this.index.tenantOf(series), this.index.labelsOf(series));
    this.ids.copyTo(series, this.idBytes, 0);
    const home = BigInt(this.places[series * 3 + 1]!) | (BigInt(this.places[series * 3 + 2]!) << 32n);
    body.add(series, this.places[series * 3]!, home, new Uint8Array(this.idBytes.buffer), key);
  }
}
