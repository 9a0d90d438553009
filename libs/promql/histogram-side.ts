// libs/promql/histogram-side.ts: the buckets on one side of zero while histograms are added up: indexes, counts, and what
// rounding has lost of each count. Counts are compensated sums (Neumaier), as in Prometheus.
import { sameNumbers } from "../model/index.ts";
import { coarserIndex } from "./histogram-bounds.ts";

/** Sides own their arrays unless `lost` is undefined: then they are views of a histogram and are never written. */
export interface Side {
  readonly indexes: Int32Array;
  readonly counts: Float64Array;
  readonly lost: Float64Array | undefined;
}

/** A running sum and what rounding has lost of it. */
export interface Sum {
  value: number;
  lost: number;
}

/** Adds to a compensated sum. An infinite sum has nothing to be compensated. */
export function addTo(sum: Sum, value: number): void {
  const next = sum.value + value;
  if (next === Infinity || next === -Infinity) sum.lost = 0;
  else if (Math.abs(sum.value) >= Math.abs(value)) sum.lost += sum.value - next + value;
  else sum.lost += value - next + sum.value;
  sum.value = next;
}

function addAt(counts: Float64Array, lost: Float64Array, i: number, value: number): void {
  const before = counts[i]!;
  const next = before + value;
  if (next === Infinity || next === -Infinity) lost[i] = 0;
  else if (Math.abs(before) >= Math.abs(value)) lost[i] = lost[i]! + (before - next + value);
  else lost[i] = lost[i]! + (value - next + before);
  counts[i] = next;
}

/** A side of one's own with the same buckets. */
export function ownSide(indexes: Int32Array, counts: Float64Array): Side {
  return { indexes, counts: counts.slice(), lost: new Float64Array(counts.length) };
}

/** Adds counts for the same buckets, those of `counts` from `from` on, times `sign`. */
export function addCounts({ counts: into, lost }: Side, counts: Float64Array, from: number, sign: 1 | -1): void {
  for (let i = 0; i < into.length; i++) addAt(into, lost!, i, sign * counts[from + i]!);
}

/**
 * Adds `other`, times `sign`, less its first `skip` buckets. Counts are added in place where both have the same
 * buckets; else a new side is made.
 */
export function addSide(into: Side, other: Side, skip: number, sign: 1 | -1): Side {
  if (skip === 0 && sameNumbers(into.indexes, other.indexes)) {
    for (let i = 0; i < other.counts.length; i++) addBucket(into, i, other, i, sign);
    return into;
  }
  const size = unionSize(into.indexes, other.indexes, skip);
  if (size === into.indexes.length) {
    for (let i = 0, j = skip; j < other.indexes.length; j++) {
      while (into.indexes[i]! < other.indexes[j]!) i++;
      addBucket(into, i, other, j, sign);
    }
    return into;
  }
  const out = { indexes: new Int32Array(size), counts: new Float64Array(size), lost: new Float64Array(size) };
  for (let i = 0, j = skip, at = 0; at < size; at++) {
    const mine = i < into.indexes.length ? into.indexes[i]! : Infinity;
    const theirs = j < other.indexes.length ? other.indexes[j]! : Infinity;
    out.indexes[at] = Math.min(mine, theirs);
    if (mine <= theirs) {
      out.counts[at] = into.counts[i]!;
      out.lost[at] = into.lost![i++]!;
    }
    if (theirs <= mine) addBucket(out, at, other, j++, sign);
  }
  return out;
}

function addBucket(into: Side, i: number, other: Side, j: number, sign: 1 | -1): void {
  addAt(into.counts, into.lost!, i, sign * other.counts[j]!);
  const lost = other.lost === undefined ? 0 : other.lost[j]!;
  if (lost !== 0) addAt(into.counts, into.lost!, i, sign * lost);
}

function unionSize(a: Int32Array, b: Int32Array, skip: number): number {
  let size = a.length + b.length - skip;
  for (let i = 0, j = skip; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) size--;
    if (a[i]! <= b[j]!) {
      if (a[i] === b[j]) j++;
      i++;
    } else j++;
  }
  return size;
}

/** The side at a schema that is smaller by `by`: neighbours become one bucket. */
export function coarserSide(side: Side, by: number): Side {
  return mapSide(side, (index) => coarserIndex(index, by));
}

/** The side with every bucket at the index that `indexOf` tells, which must not fall; buckets that meet are added up. */
export function mapSide(side: Side, indexOf: (index: number) => number): Side {
  const n = side.indexes.length;
  const indexes = new Int32Array(n);
  const counts = new Float64Array(n);
  const lost = new Float64Array(n);
  let size = 0;
  for (let i = 0; i < n; i++) {
    const index = indexOf(side.indexes[i]!);
    if (size === 0 || indexes[size - 1] !== index) indexes[size++] = index;
    addAt(counts, lost, size - 1, side.counts[i]!);
    if (side.lost !== undefined) addAt(counts, lost, size - 1, side.lost[i]!);
  }
  return { indexes: indexes.slice(0, size), counts: counts.slice(0, size), lost: lost.slice(0, size) };
}

/** The side without its first `skip` buckets, and without any that are empty. */
export function withoutFirst(side: Side, skip: number): Side {
  const kept: number[] = [];
  for (let i = skip; i < side.indexes.length; i++) {
    if (side.counts[i] !== 0 || (side.lost !== undefined && side.lost[i] !== 0)) kept.push(i);
  }
  const { lost } = side;
  return {
    indexes: Int32Array.from(kept, (i) => side.indexes[i]!),
    counts: Float64Array.from(kept, (i) => side.counts[i]!),
    lost: Float64Array.from(kept, (i) => (lost === undefined ? 0 : lost[i]!)),
  };
}

/** Multiplies counts, and what they have lost, by factor / divisor. */
export function scaleSide({ counts, lost }: Side, factor: number, divisor: number): void {
  for (let i = 0; i < counts.length; i++) {
    counts[i] = (counts[i]! * factor) / divisor;
    lost![i] = (lost![i]! * factor) / divisor;
  }
}
