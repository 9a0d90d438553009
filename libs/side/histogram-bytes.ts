// libs/side/histogram-bytes.ts: one native histogram as bytes: its layout, then its counts. FORMAT.md, "Histogram".
// The same histogram always gives the same bytes: which of two at one time counts is decided by them.
import { ByteSink, type ByteSource, compareBytes } from "../block/index.ts";
import {
  type BucketLayout,
  bucketCount,
  CUSTOM_SCHEMA,
  type FloatHistogram,
  type ResetHint,
  SCHEMA_MAX,
  SCHEMA_MIN,
} from "../model/index.ts";

/** Set when all counts are integers that a varint holds. */
const INTEGERS = 4;
const HINT_BITS = 3;
/** More buckets than any client makes; a damaged count must not make us allocate. */
export const BUCKETS_MAX = 1 << 16;
/** Indexes beyond this cover nothing that a double can be. */
const INDEX_MAX = 1 << 30;

export function encodeLayout(sink: ByteSink, layout: BucketLayout): void {
  sink.svarint(layout.schema);
  sink.f64(layout.zeroThreshold);
  sink.uvarint(layout.bounds.length);
  for (const bound of layout.bounds) sink.f64(bound);
  for (const indexes of [layout.positive, layout.negative]) {
    sink.uvarint(indexes.length);
    let previous = 0;
    for (const index of indexes) {
      sink.svarint(index - previous);
      previous = index;
    }
  }
}

/** Errors: CorruptionError for what encodeLayout cannot have written. */
export function decodeLayout(source: ByteSource): BucketLayout {
  const schema = source.svarint();
  const isCustom = schema === CUSTOM_SCHEMA;
  if (!isCustom && !(schema >= SCHEMA_MIN && schema <= SCHEMA_MAX)) {
    throw source.damage(`schema ${schema}`, `${SCHEMA_MIN} to ${SCHEMA_MAX}, or ${CUSTOM_SCHEMA}`);
  }
  const zeroThreshold = source.f64();
  const bounds = new Float64Array(countOf(source));
  for (let i = 0; i < bounds.length; i++) bounds[i] = source.f64();
  const positive = decodeIndexes(source);
  const negative = decodeIndexes(source);
  return { schema, zeroThreshold, bounds, positive, negative };
}

function countOf(source: ByteSource): number {
  const count = source.uvarint();
  if (count > BUCKETS_MAX) throw source.damage(`${count} buckets`, `at most ${BUCKETS_MAX}`);
  return count;
}

function decodeIndexes(source: ByteSource): Int32Array {
  const indexes = new Int32Array(countOf(source));
  let previous = 0;
  for (let i = 0; i < indexes.length; i++) {
    const step = source.svarint();
    const index = previous + step;
    if ((i > 0 && step <= 0) || Math.abs(index) > INDEX_MAX) throw source.damage(`bucket ${index}`, "ascending ones");
    indexes[i] = index;
    previous = index;
  }
  return indexes;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);
}

/** Everything but the layout. */
export function encodeCounts(sink: ByteSink, histogram: FloatHistogram): void {
  const { hint, count, zeroCount, sum, buckets } = histogram;
  const integers = isCount(count) && isCount(zeroCount) && buckets.every(isCount);
  sink.u8(hint | (integers ? INTEGERS : 0));
  const put = (value: number): void => (integers ? sink.uvarint(value) : sink.f64(value));
  put(count);
  put(zeroCount);
  sink.f64(sum);
  for (const bucket of buckets) put(bucket);
}

/** Errors: CorruptionError. */
export function decodeCounts(source: ByteSource, layout: BucketLayout): FloatHistogram {
  const flags = source.u8();
  if (flags > (INTEGERS | HINT_BITS)) throw source.damage(`flags ${flags}`, "known ones");
  const take = (): number => ((flags & INTEGERS) !== 0 ? source.uvarint() : source.f64());
  const count = take();
  const zeroCount = take();
  const sum = source.f64();
  const buckets = new Float64Array(bucketCount(layout));
  for (let i = 0; i < buckets.length; i++) buckets[i] = take();
  return { layout, hint: (flags & HINT_BITS) as ResetHint, count, zeroCount, sum, buckets };
}

/**
 * Whether histogram a counts rather than b when both have the same series and time: the greater count, a number rather than NaN,
 * then the greater bytes. 0: they are the same.
 */
export function compareHistograms(a: FloatHistogram, b: FloatHistogram): number {
  if (a.count > b.count) return 1;
  if (a.count < b.count) return -1;
  const nans = Number(Number.isNaN(b.count)) - Number(Number.isNaN(a.count));
  return nans !== 0 ? nans : compareBytes(bytesOf(a), bytesOf(b));
}

function bytesOf(histogram: FloatHistogram): Uint8Array {
  const sink = new ByteSink();
  encodeLayout(sink, histogram.layout);
  encodeCounts(sink, histogram);
  return sink.written();
}
