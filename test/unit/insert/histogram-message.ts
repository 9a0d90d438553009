// test/unit/insert/histogram-message.ts: Histogram messages of remote write, written by hand: from histograms, or field by field.
import type { FloatHistogram } from "../../../libs/model/index.ts";
import { field, varint, varintField } from "./remote-write.ts";

export interface HistogramFields {
  readonly count?: number;
  readonly isFloat?: boolean;
  readonly sum?: number;
  readonly schema?: number;
  readonly zeroThreshold?: number;
  readonly zeroCount?: number;
  readonly positiveSpans?: readonly (readonly [offset: number, length: number])[];
  readonly negativeSpans?: readonly (readonly [offset: number, length: number])[];
  /** Absolute counts; written as deltas of integer histograms. */
  readonly positive?: readonly number[];
  readonly negative?: readonly number[];
  readonly bounds?: readonly number[];
  readonly hint?: number;
  readonly timeMs?: number;
  readonly startMs?: number;
  /** Sum with these bits instead: stale markers. */
  readonly sumBits?: bigint;
}

const zigzag = (value: number): bigint => BigInt(value) * (value < 0 ? -2n : 2n) - (value < 0 ? 1n : 0n);

function fixed64(number: number, value: number | bigint): Buffer {
  const out = Buffer.alloc(9);
  out[0] = (number << 3) | 1;
  if (typeof value === "bigint") out.writeBigUInt64LE(value, 1);
  else out.writeDoubleLE(value, 1);
  return out;
}

const doubles = (values: readonly number[]): Buffer => Buffer.from(Float64Array.from(values).buffer);

export function histogramMessage(fields: HistogramFields): Buffer {
  const { isFloat = false, count = 0, zeroCount = 0 } = fields;
  const parts = [
    isFloat ? fixed64(2, count) : varintField(1, count),
    fixed64(3, fields.sumBits ?? fields.sum ?? 0),
    varintField(4, zigzag(fields.schema ?? 0)),
    fixed64(5, fields.zeroThreshold ?? 0),
    isFloat ? fixed64(7, zeroCount) : varintField(6, zeroCount),
  ];
  const side = (spans: HistogramFields["positiveSpans"], counts: readonly number[], first: number): void => {
    for (const [offset, length] of spans ?? []) {
      parts.push(field(first, Buffer.concat([varintField(1, zigzag(offset)), varintField(2, length)])));
    }
    if (counts.length === 0) return;
    const deltas = (): Buffer[] => counts.map((value, i) => varint(zigzag(value - (i === 0 ? 0 : counts[i - 1]!))));
    parts.push(isFloat ? field(first + 2, doubles(counts)) : field(first + 1, Buffer.concat(deltas())));
  };
  side(fields.negativeSpans, fields.negative ?? [], 8);
  side(fields.positiveSpans, fields.positive ?? [], 11);
  parts.push(varintField(14, fields.hint ?? 0), varintField(15, BigInt(fields.timeMs ?? 0)));
  if (fields.bounds !== undefined) parts.push(field(16, doubles(fields.bounds)));
  if (fields.startMs !== undefined) parts.push(varintField(17, BigInt(fields.startMs)));
  return Buffer.concat(parts);
}

/** Spans of ascending indexes. */
export function spansOf(indexes: ArrayLike<number>): (readonly [offset: number, length: number])[] {
  const spans: [number, number][] = [];
  let end = 0;
  for (const index of Array.from(indexes)) {
    if (spans.length > 0 && index === end) spans.at(-1)![1]++;
    else spans.push([index - (spans.length === 0 ? 0 : end), 1]);
    end = index + 1;
  }
  return spans;
}

/** The fields of a histogram; counts that are no integers need isFloat. */
export function fieldsOf(histogram: FloatHistogram, isFloat: boolean, timeMs: number, startMs = 0): HistogramFields {
  const { layout, count, sum, zeroCount, hint, buckets } = histogram;
  const split = layout.positive.length;
  return {
    ...{ isFloat, count, sum, zeroCount, hint, timeMs, startMs },
    schema: layout.schema,
    zeroThreshold: layout.zeroThreshold,
    positiveSpans: spansOf(layout.positive),
    negativeSpans: spansOf(layout.negative),
    positive: Array.from(buckets.subarray(0, split)),
    negative: Array.from(buckets.subarray(split)),
    ...(layout.bounds.length > 0 ? { bounds: Array.from(layout.bounds) } : {}),
  };
}
