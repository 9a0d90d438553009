// services/insert/side-batches.ts: side data of a request cut into batches of bounded size.
import { SideBatchWriter, type SideSeries } from "../../libs/side/index.ts";
import type { SideEntry } from "./side-intake.ts";

/** A batch is begun anew from here on; a message to a storage may be several times as long. */
const BATCH_BYTES = 256 * 1024;
/** Samples of one series in a piece: even with hundreds of buckets each it stays below what a message may be. */
const PIECE_SAMPLES = 256;

export interface SideBatch {
  readonly batch: Uint8Array;
  readonly histograms: number;
  readonly exemplars: number;
}

export function* sideBatches(entries: readonly SideEntry[]): Generator<SideBatch> {
  let writer = new SideBatchWriter();
  let histograms = 0;
  let exemplars = 0;
  for (const { place, side } of entries) {
    for (const piece of pieces(side)) {
      writer.add(place, piece);
      histograms += piece.histograms.length;
      exemplars += piece.exemplars.length;
      if (writer.sizeBytes < BATCH_BYTES) continue;
      yield { batch: writer.finish(), histograms, exemplars };
      writer = new SideBatchWriter();
      histograms = 0;
      exemplars = 0;
    }
  }
  if (!writer.isEmpty) yield { batch: writer.finish(), histograms, exemplars };
}

function* pieces(side: SideSeries): Generator<SideSeries> {
  const { histograms, exemplars, starts } = side;
  const longest = Math.max(histograms.length, exemplars.length, starts.length);
  if (longest <= PIECE_SAMPLES) {
    if (longest > 0) yield side;
    return;
  }
  for (let from = 0; from < longest; from += PIECE_SAMPLES) {
    const to = from + PIECE_SAMPLES;
    yield {
      histograms: histograms.slice(from, to),
      exemplars: exemplars.slice(from, to),
      starts: starts.slice(from, to),
    };
  }
}
