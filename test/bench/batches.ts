// test/bench/batches.ts: ingest batches (libs/kernel/FORMAT.md) for the benches of the head, of columns of values.
import { BATCH_HEADER_BYTES, BATCH_MAGIC, packValues } from "../../libs/kernel/index.ts";

/** An ingest batch of one run: references from `ref` on, at one time. */
export function runBatch(ref: number, time: number, values: Float64Array): Uint8Array {
  return makeBatch([...varint(ref * 2), ...varint(values.length), ...varint(time * 2)], 1, values);
}

/** An ingest batch in which every sample is a run. */
export function sampleBatch(refs: Uint32Array, time: (i: number) => number, values: Float64Array): Uint8Array {
  const runs: number[] = [];
  const zigzag = (d: number): number => (d >= 0 ? d * 2 : -d * 2 - 1);
  refs.forEach((ref, i) => {
    const expected = i === 0 ? 0 : refs[i - 1]! + 1;
    runs.push(...varint(zigzag(ref - expected)), 1, ...varint(zigzag(time(i) - (i === 0 ? 0 : time(i - 1)))));
  });
  return makeBatch(runs, refs.length, values);
}

function makeBatch(runs: readonly number[], runCount: number, values: Float64Array): Uint8Array {
  const packed = packValues(values);
  const batch = new Uint8Array(BATCH_HEADER_BYTES + runs.length + packed.length);
  const view = new DataView(batch.buffer);
  [BATCH_MAGIC, batch.length, 1, values.length, runCount, 0, 0, runs.length].forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  batch.set(runs, BATCH_HEADER_BYTES);
  batch.set(packed, BATCH_HEADER_BYTES + runs.length);
  return batch;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
}
