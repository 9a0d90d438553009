// libs/kernel/twin/batch.ts: the ingest batch of FORMAT.md, written and read plainly. Twin of assembly/lib/batch.ts.
// Values are kept as bits, because a plain array would quiet a signalling NaN.
import { InvalidError } from "../../model/index.ts";

const MAGIC = 0x31424d54;
const HEADER = 32;

export interface BatchSample {
  readonly ref: number;
  readonly time: number;
  readonly bits: bigint;
}

export interface BatchRegistration {
  readonly ref: number;
  readonly shard: number;
  readonly home: bigint;
  readonly id: Uint8Array;
  readonly key: Uint8Array;
}

export interface Batch {
  readonly seq: number;
  readonly registrations: readonly BatchRegistration[];
  readonly samples: readonly BatchSample[];
}

function pushUvarint(out: number[], value: bigint): void {
  let rest = value;
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

function pushSvarint(out: number[], value: bigint): void {
  pushUvarint(out, value >= 0n ? value * 2n : -value * 2n - 1n);
}

/** Encodes a batch. */
export function encodeBatch(batch: Batch): Uint8Array {
  const runs: number[] = [];
  let runCount = 0;
  let expected = 0n;
  let previous = 0n;
  for (let i = 0; i < batch.samples.length; ) {
    const first = batch.samples[i]!;
    let n = 1;
    while (batch.samples[i + n]?.ref === first.ref + n && batch.samples[i + n]!.time === first.time) n++;
    pushSvarint(runs, BigInt(first.ref) - expected);
    pushUvarint(runs, BigInt(n));
    pushSvarint(runs, BigInt(first.time) - previous);
    expected = BigInt(first.ref + n);
    previous = BigInt(first.time);
    runCount++;
    i += n;
  }
  const registrationBytes = batch.registrations.reduce((sum, r) => sum + 36 + r.key.length, 0);
  const values = packBits(batch.samples.map((sample) => sample.bits));
  const length = HEADER + registrationBytes + runs.length + values.length;
  const out = new DataView(new ArrayBuffer(length));
  const bytes = new Uint8Array(out.buffer);
  [
    MAGIC,
    length,
    batch.seq,
    batch.samples.length,
    runCount,
    batch.registrations.length,
    registrationBytes,
    runs.length,
  ].forEach((word, i) => {
    out.setUint32(i * 4, word, true);
  });
  let at = HEADER;
  for (const r of batch.registrations) {
    out.setUint32(at, r.ref, true);
    out.setUint32(at + 4, r.shard, true);
    out.setBigUint64(at + 8, r.home, true);
    bytes.set(r.id, at + 16);
    out.setUint32(at + 32, r.key.length, true);
    bytes.set(r.key, at + 36);
    at += 36 + r.key.length;
  }
  bytes.set(runs, at);
  bytes.set(values, at + runs.length);
  return bytes;
}

/** A nibble per value, how many bytes it keeps from its high end; then those bytes. */
function packBits(column: readonly bigint[]): number[] {
  const kept = column.map((bits) => {
    let n = 8;
    while (n > 0 && bits % 256n ** BigInt(9 - n) === 0n) n--;
    return n;
  });
  const out: number[] = [];
  for (let i = 0; i < kept.length; i += 2) out.push(kept[i]! + 16 * (kept[i + 1] ?? 0));
  column.forEach((bits, i) => {
    for (let b = 8 - kept[i]!; b < 8; b++) out.push(Number((bits >> BigInt(8 * b)) & 255n));
  });
  return out;
}

/** The other way round; undefined when the bytes are no such column of `count` values. */
function unpackBits(bytes: Uint8Array, count: number): bigint[] | undefined {
  const controls = Math.ceil(count / 2);
  if (bytes.length < controls) return undefined;
  const nibbles = [...bytes.subarray(0, controls)].flatMap((byte) => [byte % 16, byte >> 4]);
  if (nibbles.some((n) => n > 8) || (count % 2 === 1 && nibbles.pop() !== 0)) return undefined;
  if (controls + nibbles.reduce((sum, n) => sum + n, 0) !== bytes.length) return undefined;
  let at = controls;
  return nibbles.map((n) => {
    let bits = 0n;
    for (let b = 8 - n; b < 8; b++) bits |= BigInt(bytes[at++]!) << BigInt(8 * b);
    return bits;
  });
}

/** Reads a batch. Errors: InvalidError when its counts and lengths do not add up. */
export function decodeBatch(bytes: Uint8Array): Batch {
  const want = (fine: boolean, what: string): void => {
    if (!fine) throw new InvalidError(`cannot read batch: got ${what}; want counts and lengths that add up`);
  };
  want(bytes.length >= HEADER, "fewer bytes than a header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (i: number): number => view.getUint32(i * 4, true);
  const [magic, length, seq, sampleCount, runCount] = [word(0), word(1), word(2), word(3), word(4)];
  const runsAt = HEADER + word(6);
  const valuesAt = runsAt + word(7);
  want(magic === MAGIC && length === bytes.length, "a header of something else");
  want(valuesAt <= length, "lengths beside the batch's");
  const values = unpackBits(bytes.subarray(valuesAt), sampleCount);
  want(values !== undefined, "values that are not packed, or not as many");
  const registrations: BatchRegistration[] = [];
  let at = HEADER;
  for (let i = 0; i < word(5); i++) {
    want(at + 36 <= runsAt && at + 36 + view.getUint32(at + 32, true) <= runsAt, "a registration beyond its part");
    const end = at + 36 + view.getUint32(at + 32, true);
    registrations.push({
      ref: view.getUint32(at, true),
      shard: view.getUint32(at + 4, true),
      home: view.getBigUint64(at + 8, true),
      id: bytes.slice(at + 16, at + 32),
      key: bytes.slice(at + 36, end),
    });
    at = end;
  }
  want(at === runsAt, "registrations short of their part");
  const uvarint = (): bigint => {
    let value = 0n;
    for (let i = 0n; ; i++) {
      want(at < valuesAt && i < 10n, "a run beyond its part");
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << (7n * i);
      if (byte < 128) return value;
    }
  };
  const svarint = (): bigint => {
    const value = uvarint();
    return value & 1n ? -((value + 1n) / 2n) : value / 2n;
  };
  const samples: BatchSample[] = [];
  let ref = 0n;
  let time = 0n;
  for (let i = 0; i < runCount; i++) {
    ref += svarint();
    const n = uvarint();
    time += svarint();
    want(n >= 1n && BigInt(samples.length) + n <= BigInt(sampleCount), "runs of more samples than there are");
    for (let k = 0n; k < n; k++) {
      samples.push({ ref: Number(ref++), time: Number(time), bits: values![samples.length]! });
    }
  }
  want(at === valuesAt && samples.length === sampleCount, "runs short of their part");
  return { seq, registrations, samples };
}
