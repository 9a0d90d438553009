// test/unit/insert/remote-write.ts: writes remote-write requests of both versions by hand, well-formed ones and odd ones.
import { compressSync } from "snappy";

export type Pairs = readonly (readonly [name: string | Uint8Array, value: string | Uint8Array])[];

export interface SeriesSpec {
  readonly labels: Pairs;
  readonly samples?: readonly (readonly [value: number, time: number | bigint])[];
  readonly exemplars?: number;
  readonly histograms?: number;
  /** Version 2: [type, help, unit]. */
  readonly metadata?: readonly [type: number, help: string, unit: string];
}

export interface MetadataSpec {
  readonly type: number;
  readonly family: string;
  readonly help: string;
  readonly unit: string;
}

export function varint(value: number | bigint): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** A field of wire type 2. */
export function field(number: number, content: string | Uint8Array): Buffer {
  const body = Buffer.from(content as Uint8Array);
  return Buffer.concat([varint((number << 3) | 2), varint(body.length), body]);
}

/** A field of wire type 0. */
export function varintField(number: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)]);
}

function doubleField(number: number, value: number): Buffer {
  const out = Buffer.alloc(9);
  out[0] = (number << 3) | 1;
  out.writeDoubleLE(value, 1);
  return out;
}

/** A Sample; its value's bits are kept. */
export function sample(value: number, time: number | bigint): Buffer {
  return Buffer.concat([doubleField(1, value), varintField(2, time)]);
}

export function label(name: string | Uint8Array, value: string | Uint8Array): Buffer {
  return field(1, Buffer.concat([field(1, name), field(2, value)]));
}

export function seriesV1(spec: SeriesSpec): Buffer {
  const parts = spec.labels.map(([name, value]) => label(name, value));
  for (const [value, time] of spec.samples ?? []) parts.push(field(2, sample(value, time)));
  for (let i = 0; i < (spec.exemplars ?? 0); i++) {
    parts.push(field(3, Buffer.concat([label("trace_id", `t${i}`), doubleField(2, 1), varintField(3, 1)])));
  }
  for (let i = 0; i < (spec.histograms ?? 0); i++) {
    parts.push(field(4, Buffer.concat([varintField(1, 3), doubleField(3, 1), varintField(15, 1)])));
  }
  return field(1, Buffer.concat(parts));
}

/** An uncompressed WriteRequest of version 1. */
export function messageV1(series: readonly SeriesSpec[], metadata: readonly MetadataSpec[] = []): Buffer {
  return Buffer.concat([
    ...series.map(seriesV1),
    ...metadata.map((m) =>
      field(3, Buffer.concat([varintField(1, m.type), field(2, m.family), field(4, m.help), field(5, m.unit)])),
    ),
  ]);
}

/** An uncompressed Request of version 2. */
export function messageV2(series: readonly SeriesSpec[]): Buffer {
  const symbols = new Map<string, number>([["", 0]]);
  const ref = (text: string | Uint8Array): Buffer => {
    const key = Buffer.from(text as Uint8Array).toString("latin1");
    if (!symbols.has(key)) symbols.set(key, symbols.size);
    return varint(symbols.get(key)!);
  };
  const body = series.map((spec) => {
    const parts = [field(1, Buffer.concat(spec.labels.flatMap(([name, value]) => [ref(name), ref(value)])))];
    for (const [value, time] of spec.samples ?? []) parts.push(field(2, sample(value, time)));
    for (let i = 0; i < (spec.histograms ?? 0); i++) {
      parts.push(field(3, Buffer.concat([varintField(1, 3), doubleField(3, 1), varintField(15, 1)])));
    }
    for (let i = 0; i < (spec.exemplars ?? 0); i++) {
      const refs = Buffer.concat([ref("trace_id"), ref(`t${i}`)]);
      parts.push(field(4, Buffer.concat([field(1, refs), doubleField(2, 1), varintField(3, 1)])));
    }
    if (spec.metadata !== undefined) {
      const [type, help, unit] = spec.metadata;
      const tag = (number: number): Buffer => varint(number << 3);
      parts.push(field(5, Buffer.concat([varintField(1, type), tag(3), ref(help), tag(4), ref(unit)])));
    }
    return field(5, Buffer.concat(parts));
  });
  const table = [...symbols.keys()].map((symbol) => field(4, Buffer.from(symbol, "latin1")));
  return Buffer.concat([...table, ...body]);
}

export const compress = (message: Uint8Array): Buffer => compressSync(Buffer.from(message));

export const V1_TYPE = "application/x-protobuf";
export const V2_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/** Labels of a plain series. */
export function labels(name: string, more: Readonly<Record<string, string>> = {}): Pairs {
  return Object.entries({ __name__: name, ...more }).sort(([a], [b]) => (a < b ? -1 : 1));
}
