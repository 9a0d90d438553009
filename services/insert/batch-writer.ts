// services/insert/batch-writer.ts: ingest batches (libs/kernel/FORMAT.md) written in TypeScript, where the kernel does not: batches of
// registrations alone, and parts of a series that has more samples in one request than a batch should hold.
import { BATCH_HEADER_BYTES, BATCH_MAGIC } from "../../libs/kernel/index.ts";

/** A storage refuses batches of more than a 64th of its head's memory; everything is cut to stay well below that. */
export const BATCH_REGISTRATION_BYTES_MAX = 128 * 1024;
export const BATCH_SAMPLES_MAX = 4096;

const SEQ_AT = 8;
/** A run of one sample: a reference of five bytes, a count of one, a time of eight. */
const RUN_BYTES_MAX = 14;

export interface BatchParts {
  /** Registrations, back to back. */
  readonly registrations: Uint8Array;
  readonly registrationCount: number;
  readonly runs: Uint8Array;
  readonly runCount: number;
  readonly sampleCount: number;
  /** Packed. */
  readonly values: Uint8Array;
}

/** Puts a batch together. Its seq is 0 until setBatchSeq. */
export function assembleBatch(parts: BatchParts): Uint8Array {
  const { registrations, runs, values } = parts;
  const out = new Uint8Array(BATCH_HEADER_BYTES + registrations.length + runs.length + values.length);
  const header = new DataView(out.buffer);
  const words = [BATCH_MAGIC, out.length, 0, parts.sampleCount, parts.runCount, parts.registrationCount];
  words.push(registrations.length, runs.length);
  words.forEach((word, i) => {
    header.setUint32(i * 4, word, true);
  });
  out.set(registrations, BATCH_HEADER_BYTES);
  out.set(runs, BATCH_HEADER_BYTES + registrations.length);
  out.set(values, BATCH_HEADER_BYTES + registrations.length + runs.length);
  return out;
}

/** Numbers a batch within its session. */
export function setBatchSeq(batch: Uint8Array, seq: number): void {
  new DataView(batch.buffer, batch.byteOffset, batch.byteLength).setUint32(SEQ_AT, seq, true);
}

/** Samples in a batch. */
export function batchSamples(batch: Uint8Array): number {
  return new DataView(batch.buffer, batch.byteOffset, batch.byteLength).getUint32(12, true);
}

/** The runs of one reference's samples: one run per sample, since only neighbours of one time share a run. `times` in ms. */
export function encodeRuns(ref: number, times: Float64Array): Uint8Array {
  const out = new Uint8Array(times.length * RUN_BYTES_MAX);
  let at = 0;
  let previous = 0n;
  for (let i = 0; i < times.length; i++) {
    // After the first run the expected reference is one further, so that going back is −1.
    at = writeSvarint(out, at, i === 0 ? BigInt(ref) : -1n);
    out[at++] = 1;
    const time = BigInt(times[i]!);
    at = writeSvarint(out, at, time - previous);
    previous = time;
  }
  return out.subarray(0, at);
}

function writeSvarint(out: Uint8Array, at: number, value: bigint): number {
  let rest = value < 0n ? -2n * value - 1n : 2n * value;
  let end = at;
  while (rest > 127n) {
    out[end++] = Number(rest & 127n) | 128;
    rest >>= 7n;
  }
  out[end] = Number(rest);
  return end + 1;
}
