// test/e2e/remote-write.ts: encodes remote write 1.0 requests, independently of the product's decoder.
import { createRequire } from "node:module";
import { CUSTOM_SCHEMA, type FloatHistogram } from "../../libs/model/index.ts";

const snappy = createRequire(import.meta.url)("snappy") as { compressSync(raw: Buffer): Buffer };

export interface WriteSeries {
  /** Pairs in the order they go on the wire. */
  readonly labels: readonly (readonly [string, string])[];
  /** Milliseconds. */
  readonly times: readonly number[];
  /** Kept as typed array, so that NaN bits survive. */
  readonly values: Float64Array;
  readonly histograms?: readonly { readonly timeMs: number; readonly histogram: FloatHistogram }[];
}

/** A metric family's metadata; `type` is the number of the protocol's enum (1: counter). */
export interface WriteMetadata {
  readonly type: number;
  readonly family: string;
  readonly help: string;
}

/** The protobuf bytes of a WriteRequest. */
export function encodeWriteRequest(series: readonly WriteSeries[], metadata: readonly WriteMetadata[] = []): Buffer {
  return Buffer.concat([
    ...series.map(({ labels, times, values, histograms }) => {
      const parts = labels.map(([name, value]) => field(1, Buffer.concat([text(1, name), text(2, value)])));
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      times.forEach((time, i) => {
        const value = Buffer.concat([Buffer.of(0x09), bytes.subarray(i * 8, i * 8 + 8)]);
        parts.push(field(2, Buffer.concat([value, Buffer.of(0x10), varint(BigInt.asUintN(64, BigInt(time)))])));
      });
      for (const { timeMs, histogram } of histograms ?? []) parts.push(field(4, encodeHistogram(timeMs, histogram)));
      return field(1, Buffer.concat(parts));
    }),
    ...metadata.map(({ type, family, help }) =>
      field(3, Buffer.concat([Buffer.of(0x08, type), text(2, family), text(4, help)])),
    ),
  ]);
}

/** A native histogram with float counts; every bucket in a span of its own, unless it follows the one before. */
function encodeHistogram(timeMs: number, { layout, hint, count, sum, zeroCount, buckets }: FloatHistogram): Buffer {
  const split = layout.positive.length;
  const custom = layout.schema === CUSTOM_SCHEMA;
  return Buffer.concat([
    double(2, count),
    double(3, sum),
    tag(4, 0, varint(zigzag(layout.schema))),
    ...(custom ? [] : [double(5, layout.zeroThreshold), double(7, zeroCount)]),
    ...spans(8, layout.negative),
    ...(custom ? [] : [field(10, doubles(buckets.subarray(split)))]),
    ...spans(11, layout.positive),
    field(13, doubles(buckets.subarray(0, split))),
    tag(14, 0, varint(BigInt(hint))),
    tag(15, 0, varint(BigInt.asUintN(64, BigInt(timeMs)))),
    ...(custom ? [field(16, doubles(layout.bounds))] : []),
  ]);
}

function spans(number: number, indexes: Int32Array): Buffer[] {
  const out: { offset: number; length: number }[] = [];
  let next = 0;
  for (const index of indexes) {
    if (out.length > 0 && index === next) out.at(-1)!.length++;
    else out.push({ offset: index - next, length: 1 });
    next = index + 1;
  }
  return out.map(({ offset, length }) =>
    field(number, Buffer.concat([tag(1, 0, varint(zigzag(offset))), tag(2, 0, varint(BigInt(length)))])),
  );
}

function doubles(values: Float64Array): Buffer {
  return Buffer.from(values.slice().buffer);
}

function double(number: number, value: number): Buffer {
  return tag(number, 1, doubles(Float64Array.of(value)));
}

function tag(number: number, wireType: number, body: Buffer): Buffer {
  return Buffer.concat([varint(BigInt((number << 3) | wireType)), body]);
}

function zigzag(value: number): bigint {
  return BigInt(value < 0 ? -2 * value - 1 : 2 * value);
}

export function compress(raw: Buffer): Buffer {
  return snappy.compressSync(raw);
}

export const WRITE_HEADERS = {
  "content-type": "application/x-protobuf",
  "content-encoding": "snappy",
  "x-prometheus-remote-write-version": "0.1.0",
} as const;

/** Posts one request; the status, or 0 when the connection failed. */
export async function post(url: string, body: Buffer): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, { method: "POST", headers: WRITE_HEADERS, body: new Uint8Array(body) });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    return { status: 0, text: error instanceof Error ? error.message : String(error) };
  }
}

function field(number: number, body: Buffer): Buffer {
  return Buffer.concat([varint(BigInt((number << 3) | 2)), varint(BigInt(body.length)), body]);
}

function text(number: number, value: string): Buffer {
  return field(number, Buffer.from(value));
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
