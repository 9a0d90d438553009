// libs/wal/late-samples.ts: the body of a late-samples record: samples that did not fit the head, column by column.
// Layout: FORMAT.md, "Late samples". Values stay in Float64Array, where NaN bits survive.
import { CorruptionError } from "../model/index.ts";

const COUNT_BYTES = 8;
const SAMPLE_BYTES = 20;

export interface LateSamples {
  readonly count: number;
  readonly series: Uint32Array;
  /** Milliseconds, whole numbers within ±2^53. */
  readonly times: Float64Array;
  readonly values: Float64Array;
}

/** The body for the first `count` elements of the columns. */
export function encodeLateSamples(samples: LateSamples): Uint8Array {
  const { count } = samples;
  const body = new Uint8Array(COUNT_BYTES + count * SAMPLE_BYTES);
  new DataView(body.buffer).setUint32(0, count, true);
  new Float64Array(body.buffer, COUNT_BYTES, count).set(samples.times.subarray(0, count));
  new Float64Array(body.buffer, COUNT_BYTES + count * 8, count).set(samples.values.subarray(0, count));
  new Uint32Array(body.buffer, COUNT_BYTES + count * 16, count).set(samples.series.subarray(0, count));
  return body;
}

/** Columns of their own memory. Errors: CorruptionError when the count and the length don't add up. */
export function decodeLateSamples(body: Uint8Array): LateSamples {
  // A copy is aligned, wherever the body lies.
  const bytes = body.slice();
  const count = bytes.length < COUNT_BYTES ? -1 : new DataView(bytes.buffer).getUint32(0, true);
  if (bytes.length !== COUNT_BYTES + count * SAMPLE_BYTES) {
    throw new CorruptionError(
      `cannot read late samples: got ${bytes.length} bytes for ${count}; want ${SAMPLE_BYTES} each`,
      "",
      0,
    );
  }
  return {
    count,
    times: new Float64Array(bytes.buffer, COUNT_BYTES, count),
    values: new Float64Array(bytes.buffer, COUNT_BYTES + count * 8, count),
    series: new Uint32Array(bytes.buffer, COUNT_BYTES + count * 16, count),
  };
}
