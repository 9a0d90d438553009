// libs/env/sim-file.ts: one file of the simulated disk: what a reader sees, what is durable, and what lies between.
// The page cache is modelled by sector: each write since the last fdatasync leaves a version of every sector it touched, and
// power loss may leave any of them, a prefix of one over another, or zeros. Sectors without unsynced writes never change.
import type { Random } from "./random.ts";

/** The unit that a disk writes whole or not; also the unit of tearing here. */
export const SECTOR_BYTES = 512;

/** How a power loss treats what was not synced; drawn once per crash, so that "all lost" and "all kept" are frequent too. */
export interface CrashOdds {
  /** Chance that an unsynced sector, size or name is kept as written last. */
  readonly kept: number;
  /** Of the sectors not kept: the chance of damage (torn, zeroed or an in-between version) instead of the old bytes. */
  readonly damaged: number;
}

export class SimFile {
  private bytes = new Uint8Array(0);
  private size = 0;
  private durable = new Uint8Array(0);
  private durableSize = 0;
  /** Sector number → its versions since the last fdatasync, oldest first. */
  private readonly unsynced = new Map<number, Uint8Array[]>();
  /** The sizes the file had since the last fdatasync. */
  private sizes: number[] = [];
  modifiedMs = 0;

  get sizeBytes(): number {
    return this.size;
  }

  read(into: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(into.length, this.size - offset));
    into.set(this.bytes.subarray(offset, offset + count));
    return count;
  }

  write(from: Uint8Array, offset: number): void {
    if (from.length === 0) return;
    const end = offset + from.length;
    this.bytes = grown(this.bytes, end);
    this.bytes.set(from, offset);
    if (end > this.size) this.setSize(end);
    this.remember(offset, end);
  }

  truncate(sizeBytes: number): void {
    const old = this.size;
    this.bytes = grown(this.bytes, sizeBytes);
    if (sizeBytes < old) {
      this.bytes.fill(0, sizeBytes, old);
      this.remember(sizeBytes, old);
    }
    this.setSize(sizeBytes);
  }

  fdatasync(): void {
    this.durable = grown(this.durable, this.bytes.length);
    for (const sector of this.unsynced.keys()) {
      const at = sector * SECTOR_BYTES;
      this.durable.set(this.bytes.subarray(at, at + SECTOR_BYTES), at);
    }
    this.durableSize = this.size;
    this.forget();
  }

  /** A failed fdatasync: the system marks the pages clean, so that a later fdatasync succeeds without having written them. */
  loseUnsynced(): void {
    this.forget();
  }

  /** Power loss: what is left is what a reader sees from now on. */
  crash(random: Random, odds: CrashOdds): void {
    this.durable = grown(this.durable, this.bytes.length);
    for (const [sector, versions] of this.unsynced) this.crashSector(sector, versions, random, odds);
    if (this.sizes.length > 0 && random.chance(Math.max(odds.kept, odds.damaged))) {
      this.durableSize = random.chance(odds.kept) ? this.sizes.at(-1)! : random.pick(this.sizes);
    }
    this.durable.fill(0, this.durableSize);
    this.bytes = this.durable.slice();
    this.size = this.durableSize;
    this.forget();
  }

  /** Damage at rest: changes bits of durable and visible bytes alike. */
  flip(offset: number, mask: number): void {
    this.bytes[offset]! ^= mask;
    if (offset < this.durable.length) this.durable[offset]! ^= mask;
  }

  private crashSector(sector: number, versions: Uint8Array[], random: Random, odds: CrashOdds): void {
    const place = this.durable.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
    const last = versions.at(-1)!;
    if (random.chance(odds.kept)) place.set(last);
    else if (random.chance(odds.damaged)) {
      const kind = random.below(3);
      if (kind === 0) place.fill(0);
      else if (kind === 1) place.set(random.pick(versions));
      else place.set(random.pick(versions).subarray(0, random.below(SECTOR_BYTES)));
    }
  }

  private remember(from: number, end: number): void {
    const last = Math.ceil(end / SECTOR_BYTES);
    this.bytes = grown(this.bytes, last * SECTOR_BYTES);
    for (let sector = Math.floor(from / SECTOR_BYTES); sector < last; sector++) {
      const version = this.bytes.slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
      const versions = this.unsynced.get(sector);
      if (versions === undefined) this.unsynced.set(sector, [version]);
      else versions.push(version);
    }
  }

  private setSize(sizeBytes: number): void {
    this.size = sizeBytes;
    this.sizes.push(sizeBytes);
  }

  private forget(): void {
    this.unsynced.clear();
    this.sizes = [];
  }
}

/** `bytes`, or a longer copy in whole sectors when `length` asks for more. */
function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (length <= bytes.length) return bytes;
  const sectors = Math.ceil(Math.max(length, bytes.length * 2) / SECTOR_BYTES);
  const longer = new Uint8Array(sectors * SECTOR_BYTES);
  longer.set(bytes);
  return longer;
}
