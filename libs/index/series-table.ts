// libs/index/series-table.ts: series by their labels, numbered as they come: what joins the same series of several blocks and the head.
// Each distinct label pair and each distinct list of pairs is kept once; no object per series. It lives as long as the selection it belongs to.
import type { Labels } from "../model/index.ts";
import { addTexts, type SeriesPairs } from "./divide.ts";

const NONE = 0xffffffff;

export class SeriesTable implements SeriesPairs {
  starts = new Uint32Array(64);
  lengths = new Uint16Array(64);
  arena = new Uint32Array(512);
  private arenaUsed = 0;
  private count = 0;
  /** Open addressing: places of series by the hash of their pairs. */
  private slots = new Uint32Array(128).fill(NONE);
  private readonly numbers = new Map<string, Map<string, number>>();
  private readonly names: string[] = [];
  private readonly values: string[] = [];

  /** Series in the table: 0 … size − 1. */
  get size(): number {
    return this.count;
  }

  get pairCount(): number {
    return this.names.length;
  }

  nameOf(pair: number): string {
    return this.names[pair]!;
  }

  valueOf(pair: number): string {
    return this.values[pair]!;
  }

  /** Memory, about: texts are those of the pairs, which many series share. */
  get sizeBytes(): number {
    const columns = this.starts.byteLength + this.lengths.byteLength + this.arena.byteLength + this.slots.byteLength;
    return columns + this.names.length * 128;
  }

  /** The number of a label pair, a new one when it is unknown. */
  pairOf(name: string, value: string): number {
    let values = this.numbers.get(name);
    if (values === undefined) {
      values = new Map();
      this.numbers.set(name, values);
    }
    let pair = values.get(value);
    if (pair === undefined) {
      pair = this.names.length;
      this.names.push(name);
      this.values.push(value);
      values.set(value, pair);
    }
    return pair;
  }

  /** The numbers of a label's pairs, by value; undefined for a label that no pair has. */
  pairsOf(name: string): ReadonlyMap<string, number> | undefined {
    return this.numbers.get(name);
  }

  /** The number of a label pair, -1 when no series has it. */
  findPair(name: string, value: string): number {
    return this.numbers.get(name)?.get(value) ?? -1;
  }

  /** The series with exactly these pairs, by name; a new one when there is none. */
  add(pairs: Uint32Array, count: number): number {
    const slot = this.slotOf(pairs, count);
    const known = this.slots[slot]!;
    if (known !== NONE) return known;
    const series = this.count;
    this.reserve(count);
    this.starts[series] = this.arenaUsed;
    this.lengths[series] = count;
    for (let i = 0; i < count; i++) this.arena[this.arenaUsed++] = pairs[i]!;
    this.slots[slot] = series;
    this.count++;
    if (this.count * 2 > this.slots.length) this.rehash();
    return series;
  }

  /** The series with exactly these pairs, by name; -1 when there is none. */
  find(pairs: Uint32Array, count: number): number {
    const known = this.slots[this.slotOf(pairs, count)]!;
    return known === NONE ? -1 : known;
  }

  labelsOf(series: number): Labels {
    const start = this.starts[series]!;
    const out: string[] = new Array(this.lengths[series]! * 2);
    for (let i = 0; i < this.lengths[series]!; i++) {
      const pair = this.arena[start + i]!;
      out[2 * i] = this.names[pair]!;
      out[2 * i + 1] = this.values[pair]!;
    }
    return out;
  }

  /** Adds the label names of these series. */
  addNames(series: Uint32Array, to: Set<string>): void {
    addTexts(series, this, (pair) => this.names[pair], to);
  }

  /** Adds the values that these series have of a label. */
  addValues(name: string, series: Uint32Array, to: Set<string>): void {
    addTexts(series, this, (pair) => (this.names[pair] === name ? this.values[pair] : undefined), to);
  }

  /** Where the series with these pairs stands, or may be put. */
  private slotOf(pairs: Uint32Array, count: number): number {
    const mask = this.slots.length - 1;
    for (let slot = hashOf(pairs, 0, count) & mask; ; slot = (slot + 1) & mask) {
      const series = this.slots[slot]!;
      if (series === NONE) return slot;
      if (this.lengths[series] !== count) continue;
      const start = this.starts[series]!;
      let i = 0;
      while (i < count && this.arena[start + i] === pairs[i]) i++;
      if (i === count) return slot;
    }
  }

  private rehash(): void {
    this.slots = new Uint32Array(this.slots.length * 2).fill(NONE);
    const mask = this.slots.length - 1;
    for (let series = 0; series < this.count; series++) {
      let slot = hashOf(this.arena, this.starts[series]!, this.lengths[series]!) & mask;
      while (this.slots[slot] !== NONE) slot = (slot + 1) & mask;
      this.slots[slot] = series;
    }
  }

  private reserve(pairs: number): void {
    if (this.count === this.starts.length) {
      const starts = new Uint32Array(this.count * 2);
      starts.set(this.starts);
      this.starts = starts;
      const lengths = new Uint16Array(this.count * 2);
      lengths.set(this.lengths);
      this.lengths = lengths;
    }
    if (this.arenaUsed + pairs > this.arena.length) {
      const arena = new Uint32Array(Math.max(this.arena.length * 2, this.arenaUsed + pairs));
      arena.set(this.arena);
      this.arena = arena;
    }
  }
}

function hashOf(pairs: Uint32Array, from: number, count: number): number {
  let hash = count;
  for (let i = from; i < from + count; i++) {
    hash = Math.imul(hash ^ pairs[i]!, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}
