// libs/tsdb/catalog.ts: the series that heads may have samples of: number ↔ id, tenant, labels, shard and home.
// Series numbers never leave the node. The catalogue is what the WAL repeats at the head of each segment.
// A series leaves in two steps. *Retired*, nothing finds it any more: no head has samples of it, no session a reference, the WAL repeats it no
// longer. *Freed*, its number serves another series: no record that the WAL may replay mentions it, and no query is at work that knew it.
import { type KeyView, SeriesIds, SeriesIndex } from "../index/index.ts";
import { type Hash64, InternalError, viewSeriesKey } from "../model/index.ts";
import type { RegistrationBody, RegistrationSource } from "../wal/index.ts";

/** What a number stands for: nothing, because its registration was lost or it is free; a series; a retired one. */
const UNUSED = 0;
const LIVE = 1;
const RETIRED = 2;

export class SeriesCatalog implements RegistrationSource {
  readonly index: SeriesIndex;
  private readonly ids = new SeriesIds();
  /** Numbers that passed from one series to another since the start. */
  reused = 0;
  private end = 0;
  /** How many series each tenant has. */
  private readonly byTenant = new Map<string, number>();
  /** By number. */
  private states = new Uint8Array(1024);
  /** By number: when the series was last known to be written, in seconds since 1970. */
  private seen = new Uint32Array(1024);
  /** By number: shard, home's low and high word. */
  private places = new Uint32Array(3 * 1024);
  private readonly free: number[] = [];
  private readonly idBytes = new DataView(new ArrayBuffer(16));

  /** `seed`: the cluster's hash seed. */
  constructor(seed?: Uint8Array) {
    this.index = new SeriesIndex(seed);
  }

  /** One more than the greatest series number, unused ones included. */
  get seriesEnd(): number {
    return this.end;
  }

  /** A number that the next series is to have; -1 when it gets one of its own, seriesEnd. */
  get freeNumber(): number {
    return this.free.at(-1) ?? -1;
  }

  get sizeBytes(): number {
    const columns = this.states.byteLength + this.seen.byteLength + this.places.byteLength;
    return this.index.sizeBytes + this.ids.sizeBytes + columns + this.free.length * 8;
  }

  /** The series with the 16-byte id at `at`, or -1. */
  find(bytes: DataView, at: number): number {
    return this.ids.find(bytes, at);
  }

  /** Copies the 16-byte id of a series to `out` at `at`. */
  copyId(series: number, out: DataView, at: number): void {
    this.ids.copyTo(series, out, at);
  }

  /** Whether the series that has an id also has this key; an id that meets another is refused, never merged. */
  agrees(series: number, key: KeyView): boolean {
    return this.index.has(series, key);
  }

  /**
   * Adds a series whose id is new, by the key that the index read last, under `number`: freeNumber, seriesEnd, or an unused one. Errors: LimitError for a tenant too many;
   * nothing is added then.
   */
  add(bytes: DataView, idAt: number, key: KeyView, shard: number, home: Hash64, nowMs = 0, number = this.end): number {
    if (number > this.end || this.states[number] === LIVE) {
      throw new InternalError(`invariant broken: series number ${number} of ${this.end} is taken`);
    }
    // The index may refuse a tenant too many; it goes first, so that nothing is half added.
    this.index.add(number, key);
    this.ids.add(bytes, idAt, number);
    this.reserve(number);
    this.states[number] = LIVE;
    this.seen[number] = nowMs / 1000;
    this.places[number * 3] = shard;
    this.places[number * 3 + 1] = home.low;
    this.places[number * 3 + 2] = home.high;
    if (number === this.end) this.end++;
    else if (number === this.freeNumber) {
      this.free.pop();
      this.reused++;
    }
    this.byTenant.set(key.tenant, this.seriesOf(key.tenant) + 1);
    return number;
  }

  /** Leaves the next series number unused. */
  skip(): void {
    this.reserve(this.end);
    this.end++;
  }

  /** Notes that a series is written. */
  see(series: number, nowMs: number): void {
    this.seen[series] = nowMs / 1000;
  }

  /** Whether a number stands for a series that was not seen since then. */
  isUnseenSince(number: number, ms: number): boolean {
    return this.states[number] === LIVE && this.seen[number]! < ms / 1000;
  }

  /** Numbers that stand for no series that can be found, and are not free. */
  lostNumbers(): Uint32Array {
    const free = new Set(this.free);
    const found: number[] = [];
    for (let number = 0; number < this.end; number++) {
      if (this.states[number] !== LIVE && !free.has(number)) found.push(number);
    }
    return Uint32Array.from(found);
  }

  /** Lets nobody find a series any more. Its labels can be had until it is freed. */
  retire(series: number): void {
    const tenant = this.index.tenantOf(series);
    this.byTenant.set(tenant, this.seriesOf(tenant) - 1);
    this.index.retire(series);
    this.ids.remove(series);
    this.states[series] = RETIRED;
  }

  /** Gives a number that is retired or stands for nothing to the next series. */
  release(number: number): void {
    if (this.states[number] === RETIRED) this.index.free(number);
    this.states[number] = UNUSED;
    this.places.fill(0, number * 3, number * 3 + 3);
    this.free.push(number);
  }

  /** Whether a number stands for a series that is not retired. */
  isLive(number: number): boolean {
    return this.states[number] === LIVE;
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
    if (this.states[series] !== LIVE) return;
    const key = viewSeriesKey(this.index.tenantOf(series), this.index.labelsOf(series));
    this.ids.copyTo(series, this.idBytes, 0);
    const home = BigInt(this.places[series * 3 + 1]!) | (BigInt(this.places[series * 3 + 2]!) << 32n);
    body.add(series, this.places[series * 3]!, home, new Uint8Array(this.idBytes.buffer), key);
  }

  private reserve(number: number): void {
    if (number < this.states.length) return;
    const capacity = Math.max(this.states.length * 2, number + 1);
    const states = new Uint8Array(capacity);
    states.set(this.states);
    this.states = states;
    const seen = new Uint32Array(capacity);
    seen.set(this.seen);
    this.seen = seen;
    const places = new Uint32Array(capacity * 3);
    places.set(this.places);
    this.places = places;
  }
}
