// libs/tsdb/label-order.ts: brings series into the order of their labels, in pieces, so that many do not keep ingestion waiting.
import { compareLabels, type Labels } from "../model/index.ts";
import type { Pace } from "./pace.ts";
import type { Selection } from "./selection.ts";

/** Sorted in one go; such runs are merged then. */
const RUN = 64;

/** Series with their labels, and the order to take them in. */
export interface LabelOrder {
  /** By place in the selection. */
  readonly labels: readonly Labels[];
  /** Places in the selection, by ascending labels. */
  readonly order: Uint32Array;
}

/** Errors: those of the pace. */
export async function orderByLabels(selection: Selection, pace: Pace): Promise<LabelOrder> {
  const labels: Labels[] = [];
  for (let index = 0; index < selection.count; index++) {
    labels.push(selection.labelsOf(index));
    if (labels.length % RUN === 0 && pace.isDue) await pace.rest();
  }
  const compare = (a: number, b: number): number => compareLabels(labels[a]!, labels[b]!);
  const n = selection.count;
  let from = Uint32Array.from({ length: n }, (_, i) => i);
  for (let at = 0; at < n; at += RUN) {
    from.subarray(at, at + RUN).sort(compare);
    if (pace.isDue) await pace.rest();
  }
  let to = new Uint32Array(n);
  for (let width = RUN; width < n; width *= 2) {
    for (let at = 0; at < n; at += 2 * width) {
      const middle = Math.min(n, at + width);
      const end = Math.min(n, at + 2 * width);
      for (let out = at, left = at, right = middle; out < end; out++) {
        if (left < middle && (right >= end || compare(from[left]!, from[right]!) <= 0)) to[out] = from[left++]!;
        else to[out] = from[right++]!;
        if (out % RUN === 0 && pace.isDue) await pace.rest();
      }
    }
    [from, to] = [to, from];
  }
  return { labels, order: from };
}
