// services/insert/registry.ts: the series this process knows: series number (sid) → key, id, home, shard.
// Invariants: sids are 1 … capacity; 0 is none. Two live sids never have the same key nor the same id. No object and no
// string per series: columns, and keys back to back in pages. A sid is used again only after `release`.
import { REGISTRATION_BYTES, type SeriesRegistration } from "../../libs/kernel/index.ts";
import { type Hash128, SERIES_ID_BYTES, SeriesPlacer } from "../../libs/model/index.ts";

/** Keys are packed into pages of this size; a longer key gets a page of its own. */
const PAGE_BYTES = 1 << 20;
const FIRST_COLUMN = 4096;
/** Series that change their target more often than every so many are scattered. */
const SCATTERED = 4;
const FEW = 16;
const NO_KEY = new Uint8Array(0);

export class SeriesRegistry {
  /** Shard of each sid; lives where the kernels read it. */
  readonly shards: Uint16Array;
  private readonly hash128: Hash128;
  private readonly placer: SeriesPlacer;
  private ids = new Uint32Array(4 * FIRST_COLUMN);
  private homes = new Uint32Array(2 * FIRST_COLUMN);
  /** Page, offset and length of the key; length 0: the sid is free. */
  private places = new Uint32Array(3 * FIRST_COLUMN);
  private pages: Uint8Array[] = [];
  private pageUsed = PAGE_BYTES;
  private pagesBytes = 0;
  private slots = new Uint32Array(2 * FIRST_COLUMN);
  private free: number[] = [];
  private highest = 0;
  private live = 0;

  /** `shards` has one element more than there can be series. */
  constructor(hash128: Hash128, shardCount: number, shards: Uint16Array) {
    this.hash128 = hash128;
    this.placer = new SeriesPlacer(hash128, shardCount);
    this.shards = shards;
  }

  get size(): number {
    return this.live;
  }

  /** Series that can still be registered. */
  get room(): number {
    return this.shards.length - 1 - this.live;
  }

  /** No sid is higher. */
  get highestSid(): number {
    return this.highest;
  }

  get sizeBytes(): number {
    const columns = this.ids.byteLength + this.homes.byteLength + this.places.byteLength + this.slots.byteLength;
    return columns + this.shards.BYTES_PER_ELEMENT * (this.highest + 1) + this.pagesBytes;
  }

  /**
   * The sid of a series key, registered if it is new. 0: no room. -1: another series has this id.
   * The key is copied.
   */
  intern(key: Uint8Array): number {
    const bytes = this.hash128(key);
    const id = new Uint32Array(4);
    for (let w = 0; w < 4; w++) {
      const at = w * 4;
      id[w] = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    }
    const mask = this.slots.length - 1;
    for (let slot = id[0]! & mask; this.slots[slot] !== 0; slot = (slot + 1) & mask) {
      const sid = this.slots[slot]!;
      if (this.hasId(sid, id)) return Buffer.compare(this.key(sid), key) === 0 ? sid : -1;
    }
    return this.add(key, id, bytes);
  }

  private hasId(sid: number, id: Uint32Array): boolean {
    const at = sid * 4;
    return (
      this.ids[at] === id[0] && this.ids[at + 1] === id[1] && this.ids[at + 2] === id[2] && this.ids[at + 3] === id[3]
    );
  }

  private add(key: Uint8Array, id: Uint32Array, hash: Uint8Array): number {
    if (this.room === 0) return 0;
    const sid = this.free.pop() ?? ++this.highest;
    this.growColumns(sid);
    const place = this.placer.place(key, hash);
    this.ids.set(id, sid * 4);
    this.homes[sid * 2] = place.home.low;
    this.homes[sid * 2 + 1] = place.home.high;
    this.shards[sid] = place.shard;
    this.storeKey(sid, key);
    this.live++;
    if (this.live * 2 > this.slots.length) this.rebuildSlots(this.slots.length * 2);
    else this.place(sid);
    return sid;
  }

  private growColumns(sid: number): void {
    const now = this.homes.length / 2;
    if (sid < now) return;
    const next = now * 2;
    const grown = (column: Uint32Array, width: number): Uint32Array<ArrayBuffer> => {
      const wider = new Uint32Array(next * width);
      wider.set(column);
      return wider;
    };
    this.ids = grown(this.ids, 4);
    this.homes = grown(this.homes, 2);
    this.places = grown(this.places, 3);
  }

  private storeKey(sid: number, key: Uint8Array): void {
    if (key.length > PAGE_BYTES) {
      this.pages.push(key.slice());
      this.pagesBytes += key.length;
      this.places.set([this.pages.length - 1, 0, key.length], sid * 3);
      // The next key must not go behind this one.
      this.pageUsed = PAGE_BYTES;
      return;
    }
    if (this.pageUsed + key.length > PAGE_BYTES) {
      this.pages.push(new Uint8Array(PAGE_BYTES));
      this.pagesBytes += PAGE_BYTES;
      this.pageUsed = 0;
    }
    this.pages.at(-1)!.set(key, this.pageUsed);
    this.places.set([this.pages.length - 1, this.pageUsed, key.length], sid * 3);
    this.pageUsed += key.length;
  }

  private place(sid: number): void {
    const mask = this.slots.length - 1;
    let slot = this.ids[sid * 4]! & mask;
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
    this.slots[slot] = sid;
  }

  private rebuildSlots(length: number): void {
    this.slots = new Uint32Array(length);
    for (let sid = 1; sid <= this.highest; sid++) if (this.isLive(sid)) this.place(sid);
  }

  /** Whether the sid names a series now. */
  isLive(sid: number): boolean {
    return sid > 0 && sid <= this.highest && this.places[sid * 3 + 2] !== 0;
  }

  /** The series' key: a view, valid until `release`. */
  key(sid: number): Uint8Array {
    const at = sid * 3;
    const offset = this.places[at + 1]!;
    return this.pages[this.places[at]!]!.subarray(offset, offset + this.places[at + 2]!);
  }

  /**
   * The same sids with those of a target together, in an order of their own when they are scattered: references and the storage's
   * series are numbered in this order, and neighbours share runs, timestamps and pages.
   */
  byTarget(sids: Uint32Array): Uint32Array {
    const { homes } = this;
    let changes = 0;
    for (let i = 1; i < sids.length; i++) {
      const [a, b] = [sids[i - 1]! * 2, sids[i]! * 2];
      if (homes[a] !== homes[b] || homes[a + 1] !== homes[b + 1]) changes++;
    }
    if (sids.length < FEW || changes * SCATTERED < sids.length) return sids;
    return sids.slice().sort((a, b) => {
      const [x, y] = [a * 2, b * 2];
      return homes[x + 1]! - homes[y + 1]! || homes[x]! - homes[y]! || a - b;
    });
  }

  /** What a storage is told of a series; without its key: "you should know this id". The key is a view, as in `key`. */
  registration(sid: number, withKey: boolean): SeriesRegistration {
    return {
      shard: this.shards[sid]!,
      home: { low: this.homes[sid * 2]!, high: this.homes[sid * 2 + 1]! },
      id: new Uint8Array(this.ids.buffer, sid * SERIES_ID_BYTES, SERIES_ID_BYTES),
      key: withKey ? this.key(sid) : NO_KEY,
    };
  }

  /** Bytes that writeRegistration takes. */
  registrationBytes(sid: number): number {
    return REGISTRATION_BYTES + this.places[sid * 3 + 2]!;
  }

  /** Writes the registration of `ref` for a series, with its key, at `at`; returns where it ends. */
  writeRegistration(out: Uint8Array, at: number, ref: number, sid: number): number {
    const { shard, home, id, key } = this.registration(sid, true);
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    view.setUint32(at, ref, true);
    view.setUint32(at + 4, shard, true);
    view.setUint32(at + 8, home.low, true);
    view.setUint32(at + 12, home.high, true);
    out.set(id, at + 16);
    view.setUint32(at + 32, key.length, true);
    out.set(key, at + REGISTRATION_BYTES);
    return at + REGISTRATION_BYTES + key.length;
  }

  /** Forgets the series that `isIdle` names. Their sids will name other series. Returns how many are forgotten. */
  release(isIdle: (sid: number) => boolean): number {
    const before = this.live;
    const old = this.pages;
    this.pages = [];
    this.pageUsed = PAGE_BYTES;
    this.pagesBytes = 0;
    this.free = [];
    for (let sid = 1; sid <= this.highest; sid++) {
      const at = sid * 3;
      const length = this.places[at + 2]!;
      if (length === 0) continue;
      if (isIdle(sid)) {
        this.places[at + 2] = 0;
        this.live--;
        continue;
      }
      // Pages are written anew in the order of sids, which is mostly the order of the old ones.
      const offset = this.places[at + 1]!;
      this.storeKey(sid, old[this.places[at]!]!.subarray(offset, offset + length));
    }
    while (this.highest > 0 && !this.isLive(this.highest)) this.highest--;
    // Low sids first, so that columns stay dense.
    for (let sid = this.highest; sid > 0; sid--) if (!this.isLive(sid)) this.free.push(sid);
    this.rebuildSlots(this.slots.length);
    return before - this.live;
  }
}
