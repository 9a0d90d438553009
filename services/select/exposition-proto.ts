// services/select/exposition-proto.ts: samples in the protobuf exposition format, delimited: each family as one message behind its length.
// Only here have native histograms their own form. Format: prometheus/client_model, io.prometheus.client.MetricFamily.
import { CUSTOM_SCHEMA, type FloatHistogram, HINT_GAUGE, METRIC_NAME } from "../../libs/model/index.ts";
import { type ExposedSample, INSTANCE } from "./exposition.ts";
import { writeDouble, writeSpans, zigzag } from "./histogram-proto.ts";
import { type EscapingScheme, escapeName } from "./name-escaping.ts";
import { ProtoWriter } from "./proto-writer.ts";

/** Values of MetricType. */
const UNTYPED = 3;
const HISTOGRAM = 4;
const GAUGE_HISTOGRAM = 5;
/** Messages are handed out in pieces of about this size. */
const CHUNK_BYTES = 1 << 16;

export function protobufType(scheme: EscapingScheme): string {
  return `application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=${scheme}`;
}

/** The samples, which are ordered by name. A name whose samples are of several types makes several families. */
export function* renderProtobuf(samples: readonly ExposedSample[], scheme: EscapingScheme): Generator<Uint8Array> {
  const out = new ProtoWriter(CHUNK_BYTES);
  for (let from = 0; from < samples.length; ) {
    const { name } = samples[from]!;
    const type = typeOf(samples[from]!);
    const metrics: Buffer[] = [];
    for (; from < samples.length && samples[from]!.name === name && typeOf(samples[from]!) === type; from++) {
      metrics.push(encodeMetric(samples[from]!, scheme));
    }
    const head = new ProtoWriter(256);
    head.text(1, escapeName(name, scheme));
    head.int(3, type);
    const heads = metrics.map((metric) => {
      const lead = new ProtoWriter(16);
      lead.lead(4, metric.length);
      return lead.take();
    });
    const size = metrics.reduce((sum, metric, i) => sum + metric.length + heads[i]!.length, head.at);
    out.varint(size);
    out.raw(head.take());
    for (const [i, metric] of metrics.entries()) {
      out.raw(heads[i]!);
      out.raw(metric);
      if (out.at >= CHUNK_BYTES) yield out.take();
    }
  }
  yield out.take();
}

function typeOf({ histogram }: ExposedSample): number {
  if (histogram === undefined) return UNTYPED;
  return histogram.hint === HINT_GAUGE ? GAUGE_HISTOGRAM : HISTOGRAM;
}

function encodeMetric({ labels, timeMs, value, histogram }: ExposedSample, scheme: EscapingScheme): Buffer {
  const writer = new ProtoWriter(512);
  let hasInstance = false;
  for (let i = 0; i < labels.length; i += 2) {
    if (labels[i] === METRIC_NAME) continue;
    hasInstance ||= labels[i] === INSTANCE;
    writeLabel(writer, escapeName(labels[i]!, scheme), labels[i + 1]!);
  }
  if (!hasInstance) writeLabel(writer, INSTANCE, "");
  if (histogram === undefined) {
    writer.lead(5, 9);
    writeDouble(writer, 1, value);
  }
  writer.int(6, timeMs);
  if (histogram !== undefined) {
    const message = histogram.layout.schema === CUSTOM_SCHEMA ? encodeClassic(histogram) : encodeNative(histogram);
    writer.lead(7, message.length);
    writer.raw(message);
  }
  return writer.take();
}

function writeLabel(writer: ProtoWriter, name: string, value: string): void {
  const pair = new ProtoWriter(64 + 3 * (name.length + value.length));
  pair.text(1, name);
  pair.text(2, value);
  writer.lead(1, pair.at);
  writer.raw(pair.take());
}

/** Cumulative counts of custom bounds; the bucket without a bound is the count. */
function encodeClassic({ layout, buckets, count, sum }: FloatHistogram): Buffer {
  const { bounds, positive } = layout;
  const writer = new ProtoWriter(64 + 24 * bounds.length);
  writeDouble(writer, 2, sum);
  let below = 0;
  for (let bound = 0, at = 0; bound < bounds.length; bound++) {
    while (at < positive.length && positive[at]! < bound) at++;
    if (positive[at] === bound) below += buckets[at]!;
    writer.lead(3, 18);
    writeDouble(writer, 2, bounds[bound]!);
    writeDouble(writer, 4, below);
  }
  writeDouble(writer, 4, count);
  return writer.take();
}

function encodeNative({ layout, buckets, count, sum, zeroCount }: FloatHistogram): Buffer {
  const split = layout.positive.length;
  const writer = new ProtoWriter(128 + 24 * buckets.length);
  writeDouble(writer, 2, sum);
  writeDouble(writer, 4, count);
  writer.int(5, zigzag(layout.schema));
  writeDouble(writer, 6, layout.zeroThreshold);
  writeDouble(writer, 8, zeroCount);
  writeSpans(writer, 9, layout.negative);
  for (const bucket of buckets.subarray(split)) writeDouble(writer, 11, bucket);
  writeSpans(writer, 12, layout.positive);
  for (const bucket of buckets.subarray(0, split)) writeDouble(writer, 14, bucket);
  return writer.take();
}
