// libs/kernel/samples-record.ts: samples records (FORMAT.md) in TypeScript, for what is not hot: late samples,
// splitting, inspection.
// Invariant: decode(encode(x)) is x, bit for bit. Values stay in Float64Arrays, so NaN payloads survive.
import { InvalidError } from "../model/index.ts";
import { packValues, unpackValues } from "./packed-values.ts";

/** Columns of equal length: series number, time in ms, value. */
export interface SampleColumns {
  readonly series: Uint32Array;
  readonly times: Float64Array;
  readonly values: Float64Array;
  readonly count: number;
}

const HEADER_BYTES = 12;
const RUN_BYTES_MAX = 5 + 5 + 8;
const TIME_MAX = 2 ** 53;
/** Differences below this are written with number arithmetic, which is exact for them. */
const SMALL = 2 ** 51;

/** Writes varints into a growing position of a fixed array. */
class Writer {
  readonly bytes: Uint8Array;
  at: number;

  constructor(sizeBytes: number, at: number) {
    this.bytes = new Uint8Array(sizeBytes);
    this.at = at;
  }

  uvarint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.bytes[this.at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.at++] = rest;
  }

  /** The difference a - b of two integers within ±2^53. */
  difference(a: number, b: number): void {
    const d = a - b;
    if (Math.abs(d) < SMALL) {
      this.uvarint(d >= 0 ? d * 2 : -d * 2 - 1);
      return;
    }
    const exact = BigInt(a) - BigInt(b);
    let rest = exact >= 0n ? exact * 2n : -exact * 2n - 1n;
    for (; rest > 127n; rest >>= 7n) this.bytes[this.at++] = Number(rest & 127n) | 128;
    this.bytes[this.at++] = Number(rest);
  }
}

/** Encodes samples in the given order. */
export function encodeSamplesRecord(columns: SampleColumns, from = 0, to = columns.count): Uint8Array {
  const { series, times, values } = columns;
  const writer = new Writer(HEADER_BYTES + (to - from) * RUN_BYTES_MAX, HEADER_BYTES);
  let runs = 0;
  let expected = 0;
  let time = 0;
  for (let i = from; i < to; ) {
    let end = i + 1;
    while (end < to && times[end] === times[i] && series[end] === series[end - 1]! + 1) end++;
    writer.difference(series[i]!, expected);
    writer.uvarint(end - i);
    writer.difference(times[i]!, time);
    expected = series[i]! + (end - i);
    time = times[i]!;
    runs++;
    i = end;
  }
  const view = new DataView(writer.bytes.buffer);
  view.setUint32(0, to - from, true);
  view.setUint32(4, runs, true);
  view.setUint32(8, writer.at - HEADER_BYTES, true);
  const packed = packValues(values, from, to);
  const record = new Uint8Array(writer.at + packed.length);
  record.set(writer.bytes.subarray(0, writer.at));
  record.set(packed, writer.at);
  return record;
}

/** Reads runs; throws when they are not what the header says. */
class RunReader {
  private readonly bytes: Uint8Array;
  private at: number;
  private readonly end: number;
  private expected = 0n;
  private time = 0n;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at === this.end;
  }

  private uvarint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 64n && this.at < this.end; shift += 7n) {
      const byte = BigInt(this.bytes[this.at++]!);
      if (shift === 63n && byte > 1n) break;
      value |= (byte & 127n) << shift;
      if (byte < 128n) return value;
    }
    throw malformed("a cut or oversized varint");
  }

  private svarint(): bigint {
    const value = this.uvarint();
    return (value >> 1n) ^ -(value & 1n);
  }

  next(left: number): { ref: number; count: number; time: number } {
    const ref = this.expected + this.svarint();
    const count = this.uvarint();
    const time = this.time + this.svarint();
    if (count === 0n || count > BigInt(left)) throw malformed(`a run of ${count} with ${left} samples left`);
    if (ref < 0n || ref + count > 0xffffffffn) throw malformed(`reference ${ref}`);
    if (time < -BigInt(TIME_MAX) || time > BigInt(TIME_MAX)) throw malformed(`time ${time}`);
    this.expected = ref + count;
    this.time = time;
    return { ref: Number(ref), count: Number(count), time: Number(time) };
  }
}

function malformed(got: string): InvalidError {
  return new InvalidError(`cannot decode samples: got ${got}; want runs and values as FORMAT.md describes them`);
}

/**
 * Decodes runs in [at, at + runBytes) and the packed values behind them into columns. Errors: InvalidError when they do
 * not add up.
 */
export function decodeRuns(
  bytes: Uint8Array,
  at: number,
  runBytes: number,
  runs: number,
  samples: number,
): SampleColumns {
  if (at + runBytes > bytes.length) throw malformed(`${bytes.length} bytes`);
  const values = unpackValues(bytes.subarray(at + runBytes), samples);
  const series = new Uint32Array(samples);
  const times = new Float64Array(samples);
  const reader = new RunReader(bytes, at, at + runBytes);
  let n = 0;
  let runsLeft = runs;
  while (!reader.done) {
    if (runsLeft-- === 0) throw malformed("more runs than announced");
    const run = reader.next(samples - n);
    for (let i = 0; i < run.count; i++, n++) {
      series[n] = run.ref + i;
      times[n] = run.time;
    }
  }
  if (n !== samples || runsLeft !== 0) throw malformed(`${n} samples in runs, ${samples} announced`);
  return { series, times, values, count: samples };
}

/** Decodes a samples record. Errors: InvalidError when its counts and lengths do not add up. */
export function decodeSamplesRecord(record: Uint8Array): SampleColumns {
  if (record.length < HEADER_BYTES) throw malformed(`${record.length} bytes`);
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  return decodeRuns(record, HEADER_BYTES, view.getUint32(8, true), view.getUint32(4, true), view.getUint32(0, true));
}

/**
 * The newest time in an intact samples record, by its runs alone; -Infinity when it has none. Infinity when times lie so far apart,
 * some 2^51 ms, that their differences are no exact numbers.
 */
export function newestTimeOf(record: Uint8Array): number {
  const end = HEADER_BYTES + new DataView(record.buffer, record.byteOffset, record.byteLength).getUint32(8, true);
  let newest = Number.NEGATIVE_INFINITY;
  let time = 0;
  for (let at = HEADER_BYTES; at < end; ) {
    // Reference and count.
    while (record[at++]! > 127);
    while (record[at++]! > 127);
    let zigzag = 0;
    let scale = 1;
    do {
      zigzag += (record[at]! & 127) * scale;
      scale *= 128;
    } while (record[at++]! > 127);
    if (zigzag >= 2 * SMALL) return Number.POSITIVE_INFINITY;
    time += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    if (time > newest) newest = time;
  }
  return newest;
}
