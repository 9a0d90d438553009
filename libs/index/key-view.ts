// libs/index/key-view.ts: a series key as the index sees it: whose series it is, and which of its label pairs are known by number. One object is
// reused for all keys; strings are made only where something is new. libs/kernel/FORMAT.md, "Series key".
import { decodeSeriesKey, type Labels } from "../model/index.ts";
import type { PairTable } from "./pair-table.ts";

/** A pair that no series has. */
export const NEW_PAIR = 0xffffffff;

/** Valid until the next key is read. */
export class KeyView {
  bytes: Uint8Array = new Uint8Array(0);
  /** Number of the tenant; -1 for a new one. */
  owner = -1;
  tenant = "";
  /** How many pairs. */
  count = 0;
  /** Each pair's number or NEW_PAIR, and where its bytes lie. */
  pairs = new Uint32Array(64);
  starts = new Uint32Array(64);
  ends = new Uint32Array(64);
  /** All labels, where something of the key is new. */
  labels: Labels = [];
  private at = 0;

  /**
   * Reads the key bytes[from … to − 1]. `ownerOf` gives a tenant's number, or -1, and `tenantOf` the reverse. Errors: InvalidError, of
   * decodeSeriesKey, for what is none.
   */
  read(
    bytes: Uint8Array,
    from: number,
    to: number,
    table: PairTable,
    ownerOf: (bytes: Uint8Array, from: number, to: number) => number,
    tenantOf: (owner: number) => string,
  ): void {
    this.bytes = bytes;
    this.at = from;
    const tenantEnd = this.part(to);
    this.owner = tenantEnd < 0 ? -1 : ownerOf(bytes, this.at, tenantEnd);
    this.at = tenantEnd;
    if (this.owner >= 0 && this.readPairs(to, table)) {
      this.tenant = tenantOf(this.owner);
      return;
    }
    // Whatever is new or wrong is looked at by whoever knows all the rules.
    const { tenant, labels } = decodeSeriesKey(bytes.subarray(from, to));
    this.tenant = tenant;
    this.labels = labels;
    if (this.owner < 0) this.readNew(tenantEnd, to);
  }

  /** Whether all pairs are known and in order. */
  private readPairs(to: number, table: PairTable): boolean {
    let areKnown = true;
    let lastName = 0;
    let lastNameEnd = 0;
    this.count = 0;
    while (this.at < to) {
      const start = this.at;
      const nameEnd = this.part(to);
      if (nameEnd < 0) return false;
      const name = this.at;
      if (this.count > 0 && !this.isBefore(lastName, lastNameEnd, name, nameEnd)) return false;
      this.at = nameEnd;
      const end = this.part(to);
      if (end < 0) return false;
      this.at = end;
      const pair = table.find(this.owner, this.bytes, start, end);
      this.push(pair < 0 ? NEW_PAIR : pair, start, end);
      areKnown &&= pair >= 0;
      [lastName, lastNameEnd] = [name, nameEnd];
    }
    return areKnown;
  }

  /** Notes where the pairs of a key lie that is known to be one. */
  private readNew(from: number, to: number): void {
    this.count = 0;
    this.at = from;
    while (this.at < to) {
      const start = this.at;
      this.at = this.part(to);
      this.at = this.part(to);
      this.push(NEW_PAIR, start, this.at);
    }
  }

  /** Moves behind the length at `at`, and returns the end of what follows; -1 for what is no part of a key. */
  private part(to: number): number {
    let length = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.at >= to) return -1;
      const byte = this.bytes[this.at++]!;
      length |= (byte & 127) << shift;
      if (byte < 128) return length <= to - this.at && (byte > 0 || shift === 0) ? this.at + length : -1;
    }
    return -1;
  }

  /** Whether one name is before another, in byte order. */
  private isBefore(a: number, aEnd: number, b: number, bEnd: number): boolean {
    const { bytes } = this;
    let i = 0;
    while (a + i < aEnd && b + i < bEnd && bytes[a + i] === bytes[b + i]) i++;
    if (b + i === bEnd) return false;
    return a + i === aEnd || bytes[a + i]! < bytes[b + i]!;
  }

  private push(pair: number, start: number, end: number): void {
    if (this.count === this.pairs.length) {
      const { pairs, starts, ends } = this;
      this.pairs = new Uint32Array(this.count * 2);
      this.pairs.set(pairs);
      this.starts = new Uint32Array(this.count * 2);
      this.starts.set(starts);
      this.ends = new Uint32Array(this.count * 2);
      this.ends.set(ends);
    }
    this.pairs[this.count] = pair;
    this.starts[this.count] = start;
    this.ends[this.count++] = end;
  }
}
