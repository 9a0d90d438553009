// test/contract/ingest-batch.ts: ingest batches written and read the slow, obvious way.
// Format: libs/kernel/FORMAT.md, "Ingest batch". Values are copied between Float64Arrays only, so their bits survive.
import { encodeSeriesKey, type Labels, placeSeries, type StorageIdentity } from "../../libs/model/index.ts";
import { sipHash } from "../unit/model/siphash-twin.ts";

const MAGIC = 0x31424d54;
const HEADER_BYTES = 32;

/** Gives a reference its series. Without a key it says: you should know this id. */
export interface Registration {
  readonly ref: number;
  readonly shard: number;
  /** 8 bytes, little-endian. */
  readonly home: Uint8Array;
  /** 16 bytes. */
  readonly id: Uint8Array;
  readonly key: Uint8Array;
}

export interface Samples {
  readonly refs: readonly number[];
  readonly timesMs: readonly number[];
  readonly values: Float64Array;
}

export interface Batch extends Samples {
  readonly seq: number;
  readonly registrations: readonly Registration[];
}

/** The registration of a series as an insert of this cluster would send it. */
export function register(identity: StorageIdentity, ref: number, tenant: string, labels: Labels): Registration {
  const hash = (bytes: Uint8Array): Uint8Array => sipHash(identity.hashSeed, bytes, 16);
  const key = encodeSeriesKey(tenant, labels);
  const place = placeSeries(hash, key, identity.shardCount);
  const home = new Uint8Array(8);
  new DataView(home.buffer).setUint32(0, place.home.low, true);
  new DataView(home.buffer).setUint32(4, place.home.high, true);
  return { ref, shard: place.shard, home, id: hash(key), key };
}

/** The same registration by id alone. */
export function byId(registration: Registration): Registration {
  return { ...registration, key: new Uint8Array(0) };
}

/** Samples from rows of reference, time in ms, value. */
export function rows(list: readonly (readonly [ref: number, timeMs: number, value: number])[]): Samples {
  return {
    refs: list.map((r) => r[0]),
    timesMs: list.map((r) => r[1]),
    values: Float64Array.from(list, (r) => r[2]),
  };
}

function pushVarint(out: number[], value: bigint): void {
  let rest = value;
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

function pushSigned(out: number[], value: number): void {
  const big = BigInt(value);
  pushVarint(out, big < 0n ? -2n * big - 1n : 2n * big);
}

/** Writes a batch; consecutive references with one timestamp share a run. */
export function writeBatch(batch: Partial<Batch>): Uint8Array {
  const { seq = 0, registrations = [], refs = [], timesMs = [], values = new Float64Array(0) } = batch;
  const runs: number[] = [];
  let runCount = 0;
  let expected = 0;
  let previousMs = 0;
  for (let i = 0; i < refs.length; ) {
    let count = 1;
    while (refs[i + count] === refs[i]! + count && timesMs[i + count] === timesMs[i]) count++;
    pushSigned(runs, refs[i]! - expected);
    pushVarint(runs, BigInt(count));
    pushSigned(runs, timesMs[i]! - previousMs);
    expected = refs[i]! + count;
    previousMs = timesMs[i]!;
    i += count;
    runCount++;
  }
  const parts = registrations.map(({ ref, shard, home, id, key }) => {
    const head = Buffer.alloc(36);
    head.writeUInt32LE(ref, 0);
    head.writeUInt32LE(shard, 4);
    head.set(home, 8);
    head.set(id, 16);
    head.writeUInt32LE(key.length, 32);
    return Buffer.concat([head, key]);
  });
  const registered = Buffer.concat(parts);
  const bytes = packColumn(values);
  const length = HEADER_BYTES + registered.length + runs.length + bytes.length;
  const head = Buffer.alloc(HEADER_BYTES);
  [MAGIC, length, seq, refs.length, runCount, registrations.length, registered.length, runs.length].forEach((n, i) => {
    head.writeUInt32LE(n, 4 * i);
  });
  return new Uint8Array(Buffer.concat([head, registered, Buffer.from(runs), bytes]));
}

/** How many bytes each value keeps, two to a byte, then the bytes: all but the zeros at the low end. */
function packColumn(values: Float64Array): Buffer {
  const kept = Array.from(values, (_, i) => {
    const bytes = Buffer.from(values.slice(i, i + 1).buffer);
    return bytes.subarray(bytes.findIndex((byte) => byte !== 0) < 0 ? 8 : bytes.findIndex((byte) => byte !== 0));
  });
  const control = Buffer.alloc(Math.ceil(values.length / 2));
  kept.forEach((bytes, i) => {
    control[i >> 1]! += bytes.length * (i % 2 === 0 ? 1 : 16);
  });
  return Buffer.concat([control, ...kept]);
}

function unpackColumn(bytes: Uint8Array, count: number): Float64Array {
  const out = Buffer.alloc(count * 8);
  let at = Math.ceil(count / 2);
  for (let i = 0; i < count; i++) {
    const kept = i % 2 === 0 ? bytes[i >> 1]! % 16 : bytes[i >> 1]! >> 4;
    out.set(bytes.subarray(at, at + kept), (i + 1) * 8 - kept);
    at += kept;
  }
  if (at !== bytes.length) throw new RangeError("values do not add up");
  return new Float64Array(new Uint8Array(out).buffer);
}

/** Reads a batch. Errors: RangeError for whatever does not add up. */
export function readBatch(bytes: Uint8Array): Batch {
  const buffer = Buffer.from(bytes);
  const [magic, length, seq, sampleCount, runCount, registrationCount, registrationBytes, runBytes] = Array.from(
    { length: 8 },
    (_, i) => buffer.readUInt32LE(4 * i),
  ) as [number, number, number, number, number, number, number, number];
  if (magic !== MAGIC || length !== buffer.length) throw new RangeError("no batch");
  const runsAt = HEADER_BYTES + registrationBytes;
  const valuesAt = runsAt + runBytes;
  if (valuesAt > length) throw new RangeError("sections do not add up");
  const registrations: Registration[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < registrationCount; i++) {
    const keyLength = buffer.readUInt32LE(at + 32);
    const next = at + 36 + keyLength;
    if (next > runsAt) throw new RangeError("a key beyond its section");
    registrations.push({
      ref: buffer.readUInt32LE(at),
      shard: buffer.readUInt32LE(at + 4),
      home: bytes.slice(at + 8, at + 16),
      id: bytes.slice(at + 16, at + 32),
      key: bytes.slice(at + 36, next),
    });
    at = next;
  }
  if (at !== runsAt) throw new RangeError("registrations do not add up");
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= valuesAt || shift > 63n) throw new RangeError("a varint that does not end");
      const byte = buffer[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  const signed = (): number => {
    const n = varint();
    return n % 2 === 0 ? n / 2 : -(n + 1) / 2;
  };
  const refs: number[] = [];
  const timesMs: number[] = [];
  let expected = 0;
  let timeMs = 0;
  for (let i = 0; i < runCount; i++) {
    const first = expected + signed();
    const count = varint();
    timeMs += signed();
    if (count < 1 || refs.length + count > sampleCount) throw new RangeError("a run that is too long");
    for (let k = 0; k < count; k++) {
      refs.push(first + k);
      timesMs.push(timeMs);
    }
    expected = first + count;
  }
  if (at !== valuesAt || refs.length !== sampleCount) throw new RangeError("runs do not add up");
  const values = unpackColumn(bytes.subarray(valuesAt), sampleCount);
  return { seq, registrations, refs, timesMs, values };
}
