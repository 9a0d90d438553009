// test/unit/kernel/head-batches.ts: builds ingest batches for the tests of the head, and reads its answers as bits.
import { encodeSamplesRecord, type SampleColumns } from "../../../libs/kernel/index.ts";

/** One sample of a batch: reference (or series), time, bits of the value. */
export interface Sample {
  readonly ref: number;
  readonly time: number;
  readonly bits: bigint;
}

export function columnsOf(samples: readonly Sample[]): SampleColumns {
  const count = samples.length;
  const bits = new BigUint64Array(count);
  samples.forEach((s, i) => {
    bits[i] = s.bits;
  });
  return {
    series: Uint32Array.from(samples, (s) => s.ref),
    times: Float64Array.from(samples, (s) => s.time),
    values: new Float64Array(bits.buffer),
    count,
  };
}

/** An ingest batch without registrations. */
export function encodeBatch(samples: readonly Sample[], seq = 1): Uint8Array {
  const record = encodeSamplesRecord(columnsOf(samples));
  const batch = new Uint8Array(32 + record.length - 12);
  const from = new DataView(record.buffer);
  const view = new DataView(batch.buffer);
  const header = [
    0x31424d54,
    batch.length,
    seq,
    samples.length,
    from.getUint32(4, true),
    0,
    0,
    from.getUint32(8, true),
  ];
  header.forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  batch.set(record.subarray(12), 32);
  return batch;
}

const float = new DataView(new ArrayBuffer(8));

export function bitsOf(value: number): bigint {
  float.setFloat64(0, value);
  return float.getBigUint64(0);
}

/** The bits of a column, read without going through numbers. */
export function bitsOfColumn(values: Float64Array): bigint[] {
  return [...new BigUint64Array(values.buffer, values.byteOffset, values.length)];
}

export const HOLE = 0x7ff0000000000003n;
export const STALE = 0x7ff0000000000002n;
