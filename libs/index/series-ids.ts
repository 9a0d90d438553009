// libs/index/series-ids.ts: 128-bit series id → series number, open addressing in typed arrays.
// No object per series: at a million series this is 16 B of ids and 4–8 B of slots each.

const NONE = 0xffffffff;

/** Ids by series number and the reverse. Series numbers are given by the caller, from 0 without great gaps. */
export class SeriesIds {
  private ids = new Uint32Array(4 * 1024);
  private slots = new Uint32Array(2048).fill(NONE);
  private used = 0;

  get size(): number {
    return this.used;
  }

  get sizeBytes(): number {
    return this.ids.byteLength + this.slots.byteLength;
  }

  /** The number of the series with the 16-byte id at `at`, or -1. */
  find(bytes: DataView, at: number): number {
    const a = bytes.getUint32(at, true);
    const b = bytes.getUint32(at + 4, true);
    const c = bytes.getUint32(at + 8, true);
    const d = bytes.getUint32(at + 12, true);
    const mask = this.slots.length - 1;
    // An id is a keyed hash already: its low word is as good a slot as any.
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      const series = this.slots[slot]!;
      if (series === NONE) return -1;
      const i = series * 4;
      if (this.ids[i] === a && this.ids[i + 1] === b && this.ids[i + 2] === c && this.ids[i + 3] === d) return series;
    }
  }

  /** Remembers the id at `at` as that of `series`. The id must be new. */
  add(bytes: DataView, at: number, series: number): void {
    if (series * 4 + 4 > this.ids.length) {
      const ids = new Uint32Array(Math.max(this.ids.length * 2, series * 4 + 4));
      ids.set(this.ids);
      this.ids = ids;
    }
    for (let w = 0; w < 4; w++) this.ids[series * 4 + w] = bytes.getUint32(at + w * 4, true);
    if ((this.used + 1) * 2 > this.slots.length) this.rehash();
    this.place(series);
    this.used++;
  }

  /** Forgets the id of a series that is here. */
  remove(series: number): void {
    const mask = this.slots.length - 1;
    let hole = this.ids[series * 4]! & mask;
    while (this.slots[hole] !== series) hole = (hole + 1) & mask;
    // What stands behind moves up where it may, so that no search ends too early.
    for (let slot = (hole + 1) & mask; this.slots[slot] !== NONE; slot = (slot + 1) & mask) {
      const wanted = this.ids[this.slots[slot]! * 4]! & mask;
      if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
      this.slots[hole] = this.slots[slot]!;
      hole = slot;
    }
    this.slots[hole] = NONE;
    this.used--;
  }

  /** Copies the id of `series` to `out` at `at`. */
  copyTo(series: number, out: DataView, at: number): void {
    for (let w = 0; w < 4; w++) out.setUint32(at + w * 4, this.ids[series * 4 + w]!, true);
  }

  private place(series: number): void {
    const mask = this.slots.length - 1;
    let slot = this.ids[series * 4]! & mask;
    while (this.slots[slot] !== NONE) slot = (slot + 1) & mask;
    this.slots[slot] = series;
  }

  private rehash(): void {
    const old = this.slots;
    this.slots = new Uint32Array(old.length * 2).fill(NONE);
    for (const series of old) if (series !== NONE) this.place(series);
  }
}
