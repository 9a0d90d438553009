// libs/kernel/twin/order.ts: the order of a batch's samples, said plainly. Twin of assembly/lib/order.ts.
import type { BatchSample } from "./batch.ts";

/** The samples as they are, or by time and reference when they would else make a run of every fourth sample or worse. */
export function orderSamples(samples: readonly BatchSample[]): readonly BatchSample[] {
  const runs = samples.filter((sample, i) => {
    const before = samples[i - 1];
    return before !== undefined && (sample.ref !== before.ref + 1 || sample.time !== before.time);
  }).length;
  if (samples.length < 16 || runs <= Math.floor(samples.length / 4)) return samples;
  const byRef = samples.toSorted((a, b) => a.ref - b.ref);
  const repeats = byRef.some((sample, i) => sample.ref === byRef[i - 1]?.ref);
  if (!repeats || new Set(samples.map((sample) => sample.time)).size > 64) return byRef;
  return byRef.toSorted((a, b) => a.time - b.time);
}
