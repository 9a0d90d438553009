// libs/model/statistics.ts: how many series a tenant has, and what they are made of: the numbers behind status/tsdb.
// Storages count, a select adds up. Series live on one storage, so their counts add; label values are on many, so each
// distinct count carries the smallest hashes of what it counted, from which the count of a union follows.

export interface NamedCount {
  readonly name: string;
  readonly value: number;
}

/** How many different texts there are. */
export interface DistinctCount {
  readonly value: number;
  /** The smallest HASHES_KEPT hashes of the texts, ascending: all of them when there are fewer texts. */
  readonly hashes: Float64Array;
}

export interface Statistics {
  readonly seriesCount: number;
  readonly labelPairs: DistinctCount;
  /** Chunks of samples in memory, and the times they span; ±Infinity when there are none. */
  readonly chunkCount: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** The greatest first, then by name. */
  readonly seriesByMetric: readonly NamedCount[];
  readonly valuesByLabel: readonly (NamedCount & DistinctCount)[];
  /** Bytes of a label's name and values in the keys of all series, as pairBytes counts them. */
  readonly bytesByLabel: readonly NamedCount[];
  /** Names are `name=value`. */
  readonly seriesByPair: readonly NamedCount[];
}

/** A block on a disk, as its tenant sees it. */
export interface BlockFacts {
  /** 32 hex digits. */
  readonly id: string;
  /** How far its samples lie apart: "raw", "1m" or "1h". */
  readonly level: string;
  /** Samples have times in (minMs, maxMs]. */
  readonly minMs: number;
  readonly maxMs: number;
  /** The tenant's. */
  readonly series: number;
  readonly samples: number;
  /** The blocks that it was merged from. */
  readonly parents: readonly string[];
}

/** Bytes of a label pair in the key of a series, lengths included: one byte up to 254, else four, as Prometheus has them. */
export function pairBytes(name: string, value: string): number {
  const withLength = (text: string): number => {
    const bytes = Buffer.byteLength(text);
    return bytes + (bytes < 255 ? 1 : 4);
  };
  return withLength(name) + withLength(value);
}

/** With this many a union of more is estimated within some 3 %. */
export const HASHES_KEPT = 1024;
const HASH_RANGE = 2 ** 53;

/** A hash of a text, a whole number below 2^53: murmur-like mixing of two 32-bit halves. */
export function hashText(text: string): number {
  let a = 0x9e3779b1;
  let b = 0x85ebca77;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0xcc9e2d51);
    b = Math.imul(b ^ unit, 0x1b873593);
    a = (a << 15) | (a >>> 17);
    b = (b << 13) | (b >>> 19);
  }
  a = Math.imul(a ^ (b >>> 16) ^ text.length, 0x85ebca6b);
  b = Math.imul(b ^ (a >>> 13), 0xc2b2ae35);
  a = Math.imul(a ^ (b >>> 15), 0x27d4eb2f);
  b ^= a >>> 16;
  return (a >>> 0) * 0x20_0000 + (b >>> 11);
}

/** Counts texts of which each comes once. */
export class DistinctCounter {
  #value = 0;
  #hashes: number[] = [];
  /** Hashes from here on are not among the smallest. */
  #limit = Number.POSITIVE_INFINITY;

  add(text: string): void {
    this.#value++;
    const hash = hashText(text);
    if (hash >= this.#limit) return;
    this.#hashes.push(hash);
    if (this.#hashes.length < 4 * HASHES_KEPT) return;
    this.#hashes = smallest(this.#hashes);
    this.#limit = this.#hashes.at(-1)!;
  }

  get count(): DistinctCount {
    return { value: this.#value, hashes: Float64Array.from(smallest(this.#hashes)) };
  }
}

function smallest(hashes: readonly number[]): number[] {
  return [...new Set(hashes)].sort((a, b) => a - b).slice(0, HASHES_KEPT);
}

/** The count of a union: exact while it has fewer than HASHES_KEPT texts, else estimated from how dense the hashes lie. */
export function mergeDistinct(counts: readonly DistinctCount[]): DistinctCount {
  if (counts.length === 1) return counts[0]!;
  const hashes = smallest(counts.flatMap((count) => [...count.hashes]));
  const values = counts.map((count) => count.value);
  const least = Math.max(0, ...values);
  const most = values.reduce((sum, value) => sum + value, 0);
  const isWhole = hashes.length < HASHES_KEPT;
  const estimate = isWhole ? hashes.length : Math.round(((HASHES_KEPT - 1) * HASH_RANGE) / hashes.at(-1)!);
  return { value: Math.min(most, Math.max(least, estimate)), hashes: Float64Array.from(hashes) };
}

/** The greatest of many counts. */
export class TopCounts<T extends NamedCount = NamedCount> {
  readonly #limit: number;
  #kept: T[] = [];
  #least = Number.NEGATIVE_INFINITY;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a count can be among the greatest: cheaper to ask than to make a name. */
  accepts(value: number): boolean {
    return value >= this.#least;
  }

  add(count: T): void {
    if (!this.accepts(count.value)) return;
    this.#kept.push(count);
    if (this.#kept.length < 2 * this.#limit + 64) return;
    this.#kept = this.sorted();
    this.#least = this.#kept.at(-1)!.value;
  }

  /** The greatest first; equal ones by name. */
  sorted(): T[] {
    return this.#kept
      .sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
      .slice(0, this.#limit);
  }
}

/** The statistics of several storages together, the `limit` greatest of each list. */
export function mergeStatistics(parts: readonly Statistics[], limit: number): Statistics {
  const sum = (of: (part: Statistics) => number): number => parts.reduce((total, part) => total + of(part), 0);
  return {
    seriesCount: sum((part) => part.seriesCount),
    labelPairs: mergeDistinct(parts.map((part) => part.labelPairs)),
    chunkCount: sum((part) => part.chunkCount),
    minMs: Math.min(...parts.map((part) => part.minMs)),
    maxMs: Math.max(...parts.map((part) => part.maxMs)),
    seriesByMetric: added(parts.map((part) => part.seriesByMetric), limit),
    valuesByLabel: united(parts.map((part) => part.valuesByLabel), limit),
    bytesByLabel: added(parts.map((part) => part.bytesByLabel), limit),
    seriesByPair: added(parts.map((part) => part.seriesByPair), limit),
  }; // biome-ignore format: one line per list
}

function added(lists: readonly (readonly NamedCount[])[], limit: number): NamedCount[] {
  const sums = new Map<string, number>();
  for (const { name, value } of lists.flat()) sums.set(name, (sums.get(name) ?? 0) + value);
  const top = new TopCounts(limit);
  for (const [name, value] of sums) top.add({ name, value });
  return top.sorted();
}

function united(lists: readonly Statistics["valuesByLabel"][], limit: number): (NamedCount & DistinctCount)[] {
  const parts = new Map<string, DistinctCount[]>();
  for (const count of lists.flat()) {
    const known = parts.get(count.name);
    if (known === undefined) parts.set(count.name, [count]);
    else known.push(count);
  }
  const top = new TopCounts<NamedCount & DistinctCount>(limit);
  for (const [name, counts] of parts) top.add({ name, ...mergeDistinct(counts) });
  return top.sorted();
}
