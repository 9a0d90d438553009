// services/insert/histogram-wire.ts: a native histogram of remote write, as its message says: spans and deltas become bucket indexes and
// counts. Both versions have the same fields; version 2 adds a start time. What is wrong with it is told in Prometheus' words.
import {
  CUSTOM_SCHEMA,
  customLayout,
  exponentialLayout,
  type FloatHistogram,
  isStale,
  type ResetHint,
  SCHEMA_MAX,
  SCHEMA_MIN,
} from "../../libs/model/index.ts";
import { BUCKETS_MAX } from "../../libs/side/index.ts";
import { checkBounds, checkCounts, checkSpans, type Span } from "./histogram-check.ts";
import { doubleAt, FieldReader } from "./wire.ts";

/** Finer schemas than ours, which lose resolution when they come. */
const SCHEMA_RESERVED_MAX = 52;
/** No bucket of a double's range has an index beyond. */
const INDEX_MAX = 1 << 30;

/** A histogram as it came. Without `histogram` it says that the series has ended. */
export interface WireHistogram {
  readonly timeMs: number;
  /** 0: unknown. */
  readonly startMs: number;
  readonly histogram: FloatHistogram | undefined;
}

interface Side {
  readonly spans: Span[];
  /** Absolute counts of integer histograms, from deltas. */
  readonly integers: number[];
  readonly floats: number[];
}

/** The fields of a Histogram message. */
class Fields {
  isFloat = false;
  count = 0;
  sum = 0;
  isStale = false;
  schema = 0;
  zeroThreshold = 0;
  zeroCount = 0;
  readonly negative: Side = { spans: [], integers: [], floats: [] };
  readonly positive: Side = { spans: [], integers: [], floats: [] };
  hint: ResetHint = 0;
  timeMs = 0;
  startMs = 0;
  readonly bounds: number[] = [];
  /** More buckets or bounds than anybody needs. */
  tooMany = false;

  /** Errors: InvalidError for bytes that are no message. */
  constructor(message: Uint8Array) {
    const reader = new FieldReader(message);
    while (reader.next()) this.take(reader);
  }

  private take(f: FieldReader): void {
    switch (f.field) {
      case 1:
        this.isFloat = false;
        this.count = f.uint64;
        break;
      case 2:
        this.isFloat = true;
        if (f.isFixed64) this.count = f.double;
        break;
      case 3:
        if (!f.isFixed64) break;
        this.sum = f.double;
        this.isStale = isStale(this.sum);
        break;
      case 4:
        this.schema = f.sint64;
        break;
      case 5:
        if (f.isFixed64) this.zeroThreshold = f.double;
        break;
      case 6:
        this.zeroCount = f.uint64;
        break;
      case 7:
        if (f.isFixed64) this.zeroCount = f.double;
        break;
      case 8:
        this.takeSpan(f, this.negative);
        break;
      case 9:
        this.takeDeltas(f, this.negative.integers);
        break;
      case 10:
        this.takeDoubles(f, this.negative.floats);
        break;
      case 11:
        this.takeSpan(f, this.positive);
        break;
      case 12:
        this.takeDeltas(f, this.positive.integers);
        break;
      case 13:
        this.takeDoubles(f, this.positive.floats);
        break;
      case 14:
        this.hint = (f.number <= 3 ? f.number : 0) as ResetHint;
        break;
      case 15:
        this.timeMs = f.int64;
        break;
      case 16:
        this.takeDoubles(f, this.bounds);
        break;
      case 17:
        this.startMs = f.int64;
        break;
    }
  }

  private takeSpan(f: FieldReader, side: Side): void {
    if (!f.isBytes) return;
    let offset = 0;
    let length = 0;
    const span = new FieldReader(f.bytes);
    while (span.next()) {
      if (span.field === 1) offset = span.sint64;
      else if (span.field === 2) length = span.uint64;
    }
    if (this.hasRoom(side.spans)) side.spans.push({ offset, length });
  }

  private takeDeltas(f: FieldReader, into: number[]): void {
    const add = (delta: number): void => {
      if (this.hasRoom(into)) into.push((into.at(-1) ?? 0) + delta);
    };
    if (!f.isBytes) {
      add(f.sint64);
      return;
    }
    const packed = new FieldReader(f.bytes);
    while (packed.nextVarint()) add(packed.sint64);
  }

  private takeDoubles(f: FieldReader, into: number[]): void {
    for (let at = 0; at + 8 <= f.bytes.length && (f.isBytes || f.isFixed64); at += 8) {
      if (this.hasRoom(into)) into.push(doubleAt(f.bytes, at));
    }
  }

  private hasRoom(list: readonly unknown[]): boolean {
    if (list.length < BUCKETS_MAX) return true;
    this.tooMany = true;
    return false;
  }
}

/**
 * Reads a Histogram message. A string says why it can't be stored; it names no series. Errors: InvalidError for bytes that are no
 * message.
 */
export function readHistogram(message: Uint8Array): WireHistogram | string {
  const fields = new Fields(message);
  const { timeMs, startMs } = fields;
  if (fields.isStale) return { timeMs, startMs, histogram: undefined };
  const fault = faultOf(fields);
  if (fault !== undefined) return fault;
  const { isFloat, positive, negative, hint, count, sum, zeroCount } = fields;
  const countsOf = (side: Side): number[] => (isFloat ? side.floats : side.integers);
  const one = reduced(fields.schema, indexesOf(positive.spans), countsOf(positive));
  const other = reduced(fields.schema, indexesOf(negative.spans), countsOf(negative));
  if ([...one.indexes, ...other.indexes].some((index) => Math.abs(index) > INDEX_MAX)) {
    return `histogram has a bucket index beyond ±${INDEX_MAX}`;
  }
  const schema = Math.min(fields.schema, SCHEMA_MAX);
  const layout =
    schema === CUSTOM_SCHEMA
      ? customLayout(fields.bounds, one.indexes)
      : exponentialLayout(schema, fields.zeroThreshold, one.indexes, other.indexes);
  const buckets = Float64Array.from([...one.counts, ...other.counts]);
  return { timeMs, startMs, histogram: { layout, hint, count, sum, zeroCount, buckets } };
}

function faultOf(fields: Fields): string | undefined {
  const { schema, isFloat, positive, negative, bounds } = fields;
  if (fields.tooMany) return `histogram has more than ${BUCKETS_MAX} buckets, spans or custom bounds`;
  const numberOf = (side: Side): number => (isFloat ? side.floats : side.integers).length;
  if (schema === CUSTOM_SCHEMA) {
    const fault = checkBounds(bounds, positive.spans, numberOf(positive));
    if (fault !== undefined) return `custom buckets: ${fault}`;
    if (fields.zeroCount !== 0) return "custom buckets: must have zero count of 0";
    if (fields.zeroThreshold !== 0) return "custom buckets: must have zero threshold of 0";
    if (negative.spans.length > 0) return "custom buckets: must not have negative spans";
    if (negative.floats.length + negative.integers.length > 0) return "custom buckets: must not have negative buckets";
  } else if (schema >= SCHEMA_MIN && schema <= SCHEMA_RESERVED_MAX) {
    const ofPositive = checkSpans(positive.spans, numberOf(positive));
    if (ofPositive !== undefined) return `positive side: ${ofPositive}`;
    const ofNegative = checkSpans(negative.spans, numberOf(negative));
    if (ofNegative !== undefined) return `negative side: ${ofNegative}`;
    if (bounds.length > 0) return "histogram with exponential schema must not have custom bounds";
  } else {
    return `histogram has an invalid schema, which must be between ${SCHEMA_MIN} and ${SCHEMA_MAX} for exponential buckets, or ${CUSTOM_SCHEMA} for custom buckets, got schema ${schema}`;
  }
  return checkCounts({
    isFloat,
    count: fields.count,
    sum: fields.sum,
    zeroCount: fields.zeroCount,
    positive: isFloat ? positive.floats : positive.integers,
    negative: isFloat ? negative.floats : negative.integers,
  });
}

/** The bucket indexes that spans stand for: the first offset counts from 0, the others from the end of the span before. */
function indexesOf(spans: readonly Span[]): number[] {
  const indexes: number[] = [];
  let index = 0;
  for (const { offset, length } of spans) {
    index += offset;
    for (let i = 0; i < length; i++) indexes.push(index++);
  }
  return indexes;
}

/** Buckets of a finer schema than ours become buckets of our finest one. */
function reduced(
  schema: number,
  indexes: readonly number[],
  counts: readonly number[],
): { readonly indexes: readonly number[]; readonly counts: readonly number[] } {
  if (schema <= SCHEMA_MAX) return { indexes, counts };
  const shrink = 2 ** (schema - SCHEMA_MAX);
  const out = { indexes: [] as number[], counts: [] as number[] };
  indexes.forEach((index, i) => {
    const coarse = Math.floor((index - 1) / shrink) + 1;
    if (out.indexes.at(-1) === coarse) out.counts[out.counts.length - 1]! += counts[i]!;
    else {
      out.indexes.push(coarse);
      out.counts.push(counts[i]!);
    }
  });
  return out;
}
