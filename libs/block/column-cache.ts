// libs/block/column-cache.ts: columns of a block being written that later ones may be coded against: those that rise alike, and the
// neighbouring buckets of a histogram. Bounded: the oldest are forgotten.
import type { ColumnHeader } from "../kernel/index.ts";
import { METRIC_NAME } from "../model/index.ts";

/** A column that may be a reference. */
export interface Candidate {
  readonly column: number;
  readonly times: number;
  /** References that have to be decoded before it. */
  readonly depth: number;
  readonly header: ColumnHeader;
  /** A copy: an eighth of the values, and few columns are ever asked for theirs. */
  readonly payload: Uint8Array;
  readonly reference: Candidate | undefined;
}

/** Memory of a candidate besides its payload. */
const CANDIDATE_BYTES = 512;

interface Kept {
  readonly bound: number;
  readonly candidate: Candidate;
}

/** Longest chain of references, so that a column never costs more than this many others. */
export const REFERENCE_DEPTH_MAX = 8;

const LE = "le";
const BUCKET = "_bucket";
const COUNT = "_count";

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** A bucket's place in its histogram. */
export interface Bucket {
  /** The same for all buckets of a histogram. */
  readonly histogram: string;
  readonly bound: number;
}

/** The place of a bucket's series, given its key's parts; a histogram's count is its last bucket. Undefined for any other series. */
export function bucketOf(parts: readonly Uint8Array[]): Bucket | undefined {
  // Most series are no buckets: that must be cheap to see.
  let isBucket = false;
  for (let i = 1; i < parts.length && !isBucket; i += 2) {
    const [name, value] = [parts[i]!, parts[i + 1]!];
    if (name.length === 2) isBucket = name[0] === 0x6c && name[1] === 0x65;
    else if (name[0] === 0x5f && value.at(-COUNT.length) === 0x5f) isBucket = textOf(value).endsWith(COUNT);
  }
  if (!isBucket) return undefined;
  let bound = Number.NaN;
  const shared: string[] = [];
  for (let i = 1; i < parts.length; i += 2) {
    const [name, value] = [textOf(parts[i]!), textOf(parts[i + 1]!)];
    if (name === LE) bound = value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value);
    else if (name === METRIC_NAME && value.endsWith(COUNT)) {
      bound = Number.POSITIVE_INFINITY;
      shared.push(name, value.slice(0, -COUNT.length));
    } else if (name === METRIC_NAME && value.endsWith(BUCKET)) shared.push(name, value.slice(0, -BUCKET.length));
    else shared.push(name, value);
  }
  if (Number.isNaN(bound)) return undefined;
  return { histogram: [textOf(parts[0]!), ...shared].map((part) => `${part.length}:${part}`).join(""), bound };
}

export class ColumnCache {
  private readonly bytesMax: number;
  private bytes = 0;
  private readonly kept: { candidate: Candidate; forget: () => void }[] = [];
  private readonly prints = new Map<bigint, Candidate>();
  private readonly histograms = new Map<string, Kept[]>();

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** A column whose increments had this fingerprint, over the same times. */
  alike(fingerprint: bigint, times: number): Candidate | undefined {
    const found = this.prints.get(fingerprint);
    return found !== undefined && found.times === times && found.depth < REFERENCE_DEPTH_MAX ? found : undefined;
  }

  /** The nearest buckets below and above that are there. */
  neighbours(histogram: string, bound: number, times: number): Candidate[] {
    let below: Kept | undefined;
    let above: Kept | undefined;
    for (const bucket of this.histograms.get(histogram) ?? []) {
      if (bucket.candidate.times !== times || bucket.candidate.depth >= REFERENCE_DEPTH_MAX) continue;
      if (bucket.bound < bound) {
        if (below === undefined || bucket.bound > below.bound) below = bucket;
      } else if (above === undefined || bucket.bound < above.bound) above = bucket;
    }
    return [below, above].flatMap((bucket) => (bucket === undefined ? [] : [bucket.candidate]));
  }

  /** Remembers a column. */
  add(candidate: Candidate, fingerprint: bigint, bucket: Bucket | undefined): void {
    this.bytes += candidate.payload.length + CANDIDATE_BYTES;
    if (!this.prints.has(fingerprint)) this.prints.set(fingerprint, candidate);
    if (bucket !== undefined) {
      const buckets = this.histograms.get(bucket.histogram) ?? [];
      buckets.push({ bound: bucket.bound, candidate });
      this.histograms.set(bucket.histogram, buckets);
    }
    this.kept.push({
      candidate,
      forget: () => {
        if (this.prints.get(fingerprint) === candidate) this.prints.delete(fingerprint);
        // The oldest bucket goes first, so that a histogram's list is in the order of `kept`.
        if (bucket !== undefined) {
          const buckets = this.histograms.get(bucket.histogram);
          buckets?.shift();
          if (buckets?.length === 0) this.histograms.delete(bucket.histogram);
        }
      },
    });
    while (this.bytes > this.bytesMax && this.kept.length > 0) {
      const oldest = this.kept.shift()!;
      this.bytes -= oldest.candidate.payload.length + CANDIDATE_BYTES;
      oldest.forget();
    }
  }
}
