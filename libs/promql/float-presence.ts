// libs/promql/float-presence.ts: where a column with histograms has floats, and where it has histograms.
import type { HistogramColumn } from "../model/index.ts";

/** 1 where a float is present. */
export function floatPresence(present: Uint8Array | null, histograms: HistogramColumn): Uint8Array {
  const { layoutOf } = histograms;
  const out = new Uint8Array(layoutOf.length);
  for (let s = 0; s < out.length; s++) out[s] = layoutOf[s]! < 0 && (present === null || present[s] === 1) ? 1 : 0;
  return out;
}

/** 1 where a histogram is present. */
export function histogramPresence(present: Uint8Array | null, histograms: HistogramColumn): Uint8Array {
  const { layoutOf } = histograms;
  const out = new Uint8Array(layoutOf.length);
  for (let s = 0; s < out.length; s++) out[s] = layoutOf[s]! >= 0 && (present === null || present[s] === 1) ? 1 : 0;
  return out;
}
