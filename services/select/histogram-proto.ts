// services/select/histogram-proto.ts: a native histogram as the message Histogram of proto/remote-write-v1.proto, with float counts.
import { CUSTOM_SCHEMA, type FloatHistogram } from "../../libs/model/index.ts";
import { ProtoWriter } from "./proto-writer.ts";

export function encodeHistogramSample(timeMs: number, histogram: FloatHistogram): Buffer {
  const { layout, hint, count, sum, zeroCount, buckets } = histogram;
  const isCustom = layout.schema === CUSTOM_SCHEMA;
  const split = layout.positive.length;
  const writer = new ProtoWriter(256 + 16 * buckets.length);
  writeDouble(writer, 2, count);
  writeDouble(writer, 3, sum);
  writer.int(4, zigzag(layout.schema));
  if (!isCustom) {
    writeDouble(writer, 5, layout.zeroThreshold);
    writeDouble(writer, 7, zeroCount);
    writeSpans(writer, 8, layout.negative);
    writeDoubles(writer, 10, buckets.subarray(split));
  }
  writeSpans(writer, 11, layout.positive);
  writeDoubles(writer, 13, buckets.subarray(0, split));
  writer.int(14, hint);
  writer.int(15, timeMs);
  if (isCustom) writeDoubles(writer, 16, layout.bounds);
  return writer.take();
}

/** Runs of neighbouring buckets: how far from the run before, how many. */
export function writeSpans(writer: ProtoWriter, field: number, indexes: Int32Array): void {
  const span = new ProtoWriter(16);
  let next = 0;
  for (let i = 0; i < indexes.length; ) {
    let length = 1;
    while (i + length < indexes.length && indexes[i + length] === indexes[i]! + length) length++;
    span.at = 0;
    span.int(1, zigzag(indexes[i]! - next));
    span.int(2, length);
    writer.lead(field, span.at);
    writer.raw(span.bytes.subarray(0, span.at));
    next = indexes[i]! + length;
    i += length;
  }
}

export function writeDouble(writer: ProtoWriter, field: number, value: number): void {
  writer.varint(8 * field + 1);
  writer.reserve(8);
  writer.at = writer.bytes.writeDoubleLE(value, writer.at);
}

function writeDoubles(writer: ProtoWriter, field: number, values: Float64Array): void {
  if (values.length === 0) return;
  writer.lead(field, values.byteLength);
  writer.raw(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

export function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}
