// test/e2e/remote-write.ts: encodes remote write 1.0 requests, independently of the product's decoder.
import { createRequire } from "node:module";

const snappy = createRequire(import.meta.url)("snappy") as { compressSync(raw: Buffer): Buffer };

export interface WriteSeries {
  /** Pairs in the order they go on the wire. */
  readonly labels: readonly (readonly [string, string])[];
  /** Milliseconds. */
  readonly times: readonly number[];
  /** Kept as typed array, so that NaN bits survive. */
  readonly values: Float64Array;
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
    ...series.map(({ labels, times, values }) => {
      const parts = labels.map(([name, value]) => field(1, Buffer.concat([text(1, name), text(2, value)])));
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      times.forEach((time, i) => {
        const value = Buffer.concat([Buffer.of(0x09), bytes.subarray(i * 8, i * 8 + 8)]);
        parts.push(field(2, Buffer.concat([value, Buffer.of(0x10), varint(BigInt.asUintN(64, BigInt(time)))])));
      });
      return field(1, Buffer.concat(parts));
    }),
    ...metadata.map(({ type, family, help }) =>
      field(3, Buffer.concat([Buffer.of(0x08, type), text(2, family), text(4, help)])),
    ),
  ]);
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
