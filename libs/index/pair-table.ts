// libs/index/pair-table.ts: label pairs by their bytes: open addressing in typed arrays, so that registering a series makes no string for what
// is known already, which is nearly all of its labels. The bytes are those of a series key: a name and a value, each after its length.
// Bytes come from outside, so they are hashed with a key: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash", 2012; the 32-bit variant).

const NONE = 0xffffffff;
const BYTES_MIN = 1 << 16;

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/** HalfSipHash-1-3 of bytes[from … to − 1] and a number, as an i32. */
export function halfSipHash(
  key0: number,
  key1: number,
  seed: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): number {
  let v0 = key0;
  let v1 = key1 ^ seed;
  let v2 = 0x6c796765 ^ key0;
  let v3 = 0x74656462 ^ key1;
  const last = to - ((to - from) & 3);
  // The rounds stand in the loop: as functions they would have to return four words.
  for (let at = from; at <= last; at += 4) {
    let word: number;
    if (at < last) word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    else {
      word = (to - from) << 24;
      for (let i = last; i < to; i++) word |= bytes[i]! << ((i - last) * 8);
    }
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = rotate(v1, 5) ^ v0;
    v0 = rotate(v0, 16);
    v2 = (v2 + v3) | 0;
    v3 = rotate(v3, 8) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = rotate(v3, 7) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = rotate(v1, 13) ^ v2;
    v2 = rotate(v2, 16);
    v0 ^= word;
  }
  v2 ^= 0xff;
  for (let round = 0; round < 3; round++) {
    v0 = (v0 + v1) | 0;
    v1 = rotate(v1, 5) ^ v0;
    v0 = rotate(v0, 16);
    v2 = (v2 + v3) | 0;
    v3 = rotate(v3, 8) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = rotate(v3, 7) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = rotate(v1, 13) ^ v2;
    v2 = rotate(v2, 16);
  }
  return v1 ^ v3;
}

/** Numbers of pairs, given by the caller, by owner (a tenant's number) and bytes. */
export class PairTable {
  private readonly key0: number;
  private readonly key1: number;
  private slots = new Uint32Array(2048).fill(NONE);
  private used = 0;
  /** By pair. */
  private hashes = new Int32Array(1024);
  private owners = new Uint16Array(1024);
  private starts = new Uint32Array(1024);
  private lengths = new Uint32Array(1024);
  private bytes = new Uint8Array(BYTES_MIN);
  private bytesUsed = 0;
  private garbage = 0;

  /** `seed` has 8 bytes at least that an enemy doesn't know. */
  constructor(seed: Uint8Array) {
    const words = new DataView(seed.buffer, seed.byteOffset, seed.length);
    this.key0 = words.getInt32(0, true);
    this.key1 = words.getInt32(4, true);
  }

  get sizeBytes(): number {
    const { slots, hashes, owners, starts, lengths, bytes } = this;
    const columns = hashes.byteLength + owners.byteLength + starts.byteLength + lengths.byteLength;
    return slots.byteLength + columns + bytes.length;
  }

  /** The pair's number, or -1. */
  find(owner: number, bytes: Uint8Array, from: number, to: number): number {
    const hash = halfSipHash(this.key0, this.key1, owner, bytes, from, to);
    const mask = this.slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const pair = this.slots[slot]!;
      if (pair === NONE) return -1;
      if (this.hashes[pair] !== hash || this.owners[pair] !== owner || this.lengths[pair] !== to - from) continue;
      let i = from;
      let at = this.starts[pair]!;
      while (i < to && this.bytes[at] === bytes[i]) {
        i++;
        at++;
      }
      if (i === to) return pair;
    }
  }

  /** Remembers a pair that is not here. */
  add(pair: number, owner: number, bytes: Uint8Array, from: number, to: number): void {
    this.reserve(pair, to - from);
    this.hashes[pair] = halfSipHash(this.key0, this.key1, owner, bytes, from, to);
    this.owners[pair] = owner;
    this.starts[pair] = this.bytesUsed;
    this.lengths[pair] = to - from;
    for (let i = from; i < to; i++) this.bytes[this.bytesUsed++] = bytes[i]!;
    if ((this.used + 1) * 2 > this.slots.length) this.rehash();
    this.place(pair);
    this.used++;
  }

  /** Forgets a pair that is here. */
  remove(pair: number): void {
    const mask = this.slots.length - 1;
    let hole = this.hashes[pair]! & mask;
    while (this.slots[hole] !== pair) hole = (hole + 1) & mask;
    // What stands behind moves up where it may, so that no search ends too early.
    for (let slot = (hole + 1) & mask; this.slots[slot] !== NONE; slot = (slot + 1) & mask) {
      const wanted = this.hashes[this.slots[slot]!]! & mask;
      if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
      this.slots[hole] = this.slots[slot]!;
      hole = slot;
    }
    this.slots[hole] = NONE;
    this.used--;
    this.garbage += this.lengths[pair]!;
    this.lengths[pair] = 0;
    if (this.garbage > BYTES_MIN && this.garbage > this.bytesUsed / 2) this.compact();
  }

  private place(pair: number): void {
    const mask = this.slots.length - 1;
    let slot = this.hashes[pair]! & mask;
    while (this.slots[slot] !== NONE) slot = (slot + 1) & mask;
    this.slots[slot] = pair;
  }

  private rehash(): void {
    const old = this.slots;
    this.slots = new Uint32Array(old.length * 2).fill(NONE);
    for (const pair of old) if (pair !== NONE) this.place(pair);
  }

  /** Moves the bytes that are needed together. */
  private compact(): void {
    const bytes = new Uint8Array(this.bytes.length);
    let used = 0;
    for (const pair of this.slots) {
      if (pair === NONE) continue;
      const start = this.starts[pair]!;
      const length = this.lengths[pair]!;
      bytes.set(this.bytes.subarray(start, start + length), used);
      this.starts[pair] = used;
      used += length;
    }
    this.bytes = bytes;
    this.bytesUsed = used;
    this.garbage = 0;
  }

  private reserve(pair: number, length: number): void {
    if (pair >= this.hashes.length) {
      const capacity = Math.max(this.hashes.length * 2, pair + 1);
      const { hashes, owners, starts, lengths } = this;
      this.hashes = new Int32Array(capacity);
      this.hashes.set(hashes);
      this.owners = new Uint16Array(capacity);
      this.owners.set(owners);
      this.starts = new Uint32Array(capacity);
      this.starts.set(starts);
      this.lengths = new Uint32Array(capacity);
      this.lengths.set(lengths);
    }
    if (this.bytesUsed + length > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.bytesUsed + length));
      bytes.set(this.bytes.subarray(0, this.bytesUsed));
      this.bytes = bytes;
    }
  }
}
