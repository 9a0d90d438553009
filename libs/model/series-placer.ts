// libs/model/series-placer.ts: which home and shard series belong to (protocol.md §1), many series after one another: those of a target share
// their home, and what is no part of a histogram has its lane's hash in its id, so most series cost no hash at all.
import { InvalidError } from "./errors.ts";
import { type Hash64, type Hash128, hash64, hashMod, LANES, low64, SHARDS_MAX, splitSeriesKey } from "./identity.ts";
import { METRIC_NAME } from "./labels.ts";

export interface SeriesPlace {
  /** Same for all series of a target; the series of a home tend to share their timestamps. */
  readonly home: Hash64;
  /** 0 ≤ shard < shard count. */
  readonly shard: number;
}

const encoder = new TextEncoder();
const NAME = encoder.encode(METRIC_NAME);
const INSTANCE = encoder.encode("instance");
const JOB = encoder.encode("job");
const LE = encoder.encode("le");
const HISTOGRAM_SUFFIXES = ["_bucket", "_sum", "_count"].map((suffix) => encoder.encode(suffix));

/** Bytes of a key, its length before a part included. */
interface Span {
  start: number;
  end: number;
}

export class SeriesPlacer {
  private readonly hash128: Hash128;
  private readonly shardCount: number;
  /** What is hashed: parts of the key, put together to keys of their own. */
  private scratch = new Uint8Array(256);
  private used = 0;
  /** The last target's key, and what it hashed to. */
  private target = new Uint8Array(0);
  private home: Hash64 = { low: 0, high: 0 };
  // Where a key's parts lie that matter; an end of 0 where there is none.
  private readonly instance: Span = { start: 0, end: 0 };
  private readonly job: Span = { start: 0, end: 0 };
  private readonly le: Span = { start: 0, end: 0 };
  private readonly name: Span = { start: 0, end: 0 };
  /** Where the metric name begins, behind its length, and where the length does. */
  private nameAt = 0;
  private nameLengthAt = 0;
  private tenantEnd = 0;
  /** Where the part begins, behind its length, that was read last. */
  private at = 0;

  /** Errors: InvalidError for a shard count that is not 1 to SHARDS_MAX. */
  constructor(hash128: Hash128, shardCount: number) {
    if (!Number.isInteger(shardCount) || shardCount < 1 || shardCount > SHARDS_MAX) {
      throw new InvalidError(`cannot place series: got ${shardCount} shards; want 1 to ${SHARDS_MAX}`);
    }
    this.hash128 = hash128;
    this.shardCount = shardCount;
  }

  /**
   * Home and shard of the series with this key: `(home + lane mod 8) mod shards`. The lane is the hash of the key without `le` and the
   * suffix of a histogram; the home that of tenant, instance and job. A series without a job or an instance has its lane's hash for a
   * home, so that a histogram stays whole, and `lane mod shards` for a shard. `id` is the key's hash, where it is known.
   * Errors: InvalidError for a malformed key.
   */
  place(key: Uint8Array, id?: Uint8Array): SeriesPlace {
    this.find(key);
    const lane = this.laneOf(key, id);
    if (this.instance.end === 0 || this.job.end === 0) return { home: lane, shard: hashMod(lane, this.shardCount) };
    const home = this.homeOf(key);
    return { home, shard: (hashMod(home, this.shardCount) + (lane.low % LANES)) % this.shardCount };
  }

  /** Finds the parts that matter. */
  private find(key: Uint8Array): void {
    const { instance, job, le, name } = this;
    instance.end = job.end = le.end = name.end = 0;
    let at = this.partEnd(key, 0);
    this.tenantEnd = at;
    while (at < key.length) {
      const start = at;
      const labelEnd = this.partEnd(key, start);
      const label = this.at;
      const end = this.partEnd(key, labelEnd);
      const span = isAt(key, label, labelEnd, INSTANCE)
        ? instance
        : isAt(key, label, labelEnd, JOB)
          ? job
          : isAt(key, label, labelEnd, LE)
            ? le
            : isAt(key, label, labelEnd, NAME)
              ? name
              : undefined;
      if (span !== undefined) {
        span.start = start;
        span.end = end;
      }
      if (span === name) {
        this.nameLengthAt = labelEnd;
        this.nameAt = this.at;
      }
      at = end;
    }
  }

  /** The end of the part whose length stands at `at`; `this.at` is where it begins. */
  private partEnd(key: Uint8Array, at: number): number {
    let next = at;
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = next < key.length ? key[next++]! : NaN;
      if (!(scale <= 0x1000_0000) || Number.isNaN(byte) || (byte === 0 && scale > 1)) throw notAKey(key);
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    if (length > key.length - next) throw notAKey(key);
    this.at = next;
    return next + length;
  }

  private laneOf(key: Uint8Array, id: Uint8Array | undefined): Hash64 {
    const { le, name } = this;
    const nameEnd = name.end === 0 ? 0 : name.end - suffixLength(key, this.nameAt, name.end);
    const hasSuffix = nameEnd < name.end;
    if (le.end === 0 && !hasSuffix) return id === undefined ? hash64(this.hash128, key) : low64(id);
    this.used = 0;
    let from = 0;
    const leaveOut = (span: Span): void => {
      this.copy(key, from, span.start);
      from = span.end;
    };
    if (le.end > 0 && le.start < name.start) leaveOut(le);
    if (hasSuffix) {
      leaveOut(name);
      // A name that was nothing but the suffix is an empty label: none.
      if (nameEnd > this.nameAt) {
        this.copy(key, name.start, this.nameLengthAt);
        this.writeLength(nameEnd - this.nameAt);
        this.copy(key, this.nameAt, nameEnd);
      }
    }
    if (le.end > 0 && le.start >= name.start) leaveOut(le);
    this.copy(key, from, key.length);
    return hash64(this.hash128, this.scratch.subarray(0, this.used));
  }

  private homeOf(key: Uint8Array): Hash64 {
    this.used = 0;
    this.copy(key, 0, this.tenantEnd);
    this.copy(key, this.instance.start, this.instance.end);
    this.copy(key, this.job.start, this.job.end);
    if (!isAt(this.scratch, 0, this.used, this.target)) {
      this.target = this.scratch.slice(0, this.used);
      this.home = hash64(this.hash128, this.target);
    }
    return this.home;
  }

  private copy(key: Uint8Array, from: number, to: number): void {
    const end = this.used + to - from;
    if (end > this.scratch.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(this.scratch.subarray(0, this.used));
      this.scratch = larger;
    }
    const { scratch } = this;
    for (let i = from, at = this.used; i < to; i++, at++) scratch[at] = key[i]!;
    this.used = end;
  }

  private writeLength(length: number): void {
    const bytes: number[] = [];
    let rest = length;
    for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
    bytes.push(rest);
    this.copy(Uint8Array.from(bytes), 0, bytes.length);
  }
}

/**
 * Home and shard of one series; see SeriesPlacer. Errors: InvalidError for a malformed key, and for a shard count that is not 1 to
 * SHARDS_MAX.
 */
export function placeSeries(hash128: Hash128, key: Uint8Array, shardCount: number): SeriesPlace {
  return new SeriesPlacer(hash128, shardCount).place(key);
}

/** What splitSeriesKey says is wrong. */
function notAKey(key: Uint8Array): unknown {
  try {
    splitSeriesKey(key);
  } catch (error) {
    return error;
  }
  return new InvalidError("cannot place series: got a label without a value; want a series key");
}

/** Whether bytes[start … end − 1] are these. */
function isAt(bytes: Uint8Array, start: number, end: number, want: Uint8Array): boolean {
  if (end - start !== want.length) return false;
  for (let i = 0; i < want.length; i++) if (bytes[start + i] !== want[i]) return false;
  return true;
}

/** The length of the suffix by which a metric name is a part of a histogram or summary; 0 where it has none. */
function suffixLength(key: Uint8Array, from: number, to: number): number {
  for (const suffix of HISTOGRAM_SUFFIXES) {
    const { length } = suffix;
    if (to - from >= length && isAt(key, to - length, to, suffix)) return length;
  }
  return 0;
}
