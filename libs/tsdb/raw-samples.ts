// libs/tsdb/raw-samples.ts: streams the raw samples of heads and blocks, series by series in the order of their labels.
// Invariant: what is held at a time is one series and one batch, whatever the range; blocks and heads stay captured until the stream ends.
import type { Clock } from "../env/index.ts";
import {
  checkSeries,
  type FloatHistogram,
  type HistogramColumn,
  histogramsOf,
  LimitError,
  packHistograms,
  type QueryContext,
  type RawColumn,
  type RawRequest,
} from "../model/index.ts";
import { HeadCursor } from "./head-cursor.ts";
import { JoinedCursor } from "./joined-cursor.ts";
import { orderByLabels } from "./label-order.ts";
import { LeafBlocks } from "./leaf-blocks.ts";
import { Pace } from "./pace.ts";
import type { Selector } from "./selector.ts";
import { withSide } from "./series-with-side.ts";
import type { SideData } from "./side-data.ts";
import { CapturedSide } from "./side-sources.ts";
import { CapturedSources, type Sources } from "./sources.ts";

/** Samples of a column, at most: a multiple of what chunks of 120 samples hold, so that readers cut them without a rest. */
const COLUMN_SAMPLES = 68 * 120;
/** A batch is handed out when it has so many samples, or series. */
const BATCH_SAMPLES = COLUMN_SAMPLES;
const BATCH_SERIES = 1024;

/** Errors: LimitError, TimeoutError, CanceledError, CorruptionError. */
export async function* streamRawSamples(
  { matchers, range }: RawRequest,
  context: QueryContext,
  selector: Selector,
  sources: Sources,
  sideData: Pick<SideData, "sources">,
  clock: Clock,
): AsyncGenerator<readonly RawColumn[], void, void> {
  const { minMs, maxMs } = range;
  const pace = new Pace(clock, context);
  const captured = new CapturedSources(sources, minMs, maxMs);
  const side = CapturedSide.of(sideData, ["histograms"], minMs, maxMs);
  try {
    await side?.load(pace);
    const selection = await selector.select(captured.blocks, context.tenant, matchers, pace);
    checkSeries(selection.count, context.seriesMax);
    const blocks =
      selection.blocks.length > 0
        ? await LeafBlocks.find(selection.count, selection.blocks, captured, minMs, maxMs, pace)
        : LeafBlocks.none(selection.count);
    const heads = captured.heads();
    const cursor =
      heads.length === 1 && blocks.blocks.length === 0
        ? new HeadCursor(heads[0]!, minMs, maxMs)
        : new JoinedCursor(heads, blocks, minMs, maxMs);
    const members = side?.membersOf(selection.numbers);
    const { labels, order } = await orderByLabels(selection, pace);
    let batch: RawColumn[] = [];
    let batchSamples = 0;
    let samplesRead = 0;
    for (const place of order) {
      if (pace.isDue) await pace.rest();
      cursor.open(selection.numbers[place]!, place);
      const floats = cursor.readSamples();
      const mixed = members?.[place] === 1 ? withSide(floats, side!.read(selection.numbers[place]!), minMs) : undefined;
      const { times, values } = mixed ?? floats;
      const count = mixed?.n ?? floats.count;
      if (count === 0) continue;
      const histograms = mixed?.histograms && histogramsOf(mixed.histograms);
      samplesRead += count;
      if (samplesRead > context.samplesMax) throw tooMany(context.samplesMax);
      // Copies: the cursor's arrays are the head's memory or are written again, and the stream may rest at any batch.
      const ownTimes = times.slice(0, count);
      const ownValues = values.slice(0, count);
      for (let from = 0; from < count; from += COLUMN_SAMPLES) {
        const to = Math.min(count, from + COLUMN_SAMPLES);
        batch.push({
          labels: labels[place]!,
          times: ownTimes.subarray(from, to),
          values: ownValues.subarray(from, to),
          present: null,
          ...histogramsBetween(histograms, from, to),
        });
        batchSamples += to - from;
        if (batchSamples < BATCH_SAMPLES && batch.length < BATCH_SERIES) continue;
        yield batch;
        // Whoever takes batches slowly has used up the slice, and perhaps the query's time.
        if (pace.isDue) await pace.rest();
        batch = [];
        batchSamples = 0;
      }
    }
    if (batch.length > 0) yield batch;
  } finally {
    side?.release();
    captured.release();
  }
}

/** The part of a column's histograms, if there are any. */
function histogramsBetween(
  list: readonly (FloatHistogram | undefined)[] | undefined,
  from: number,
  to: number,
): { readonly histograms?: HistogramColumn } {
  const histograms = list && packHistograms(list.slice(from, to));
  return histograms === undefined ? {} : { histograms };
}

function tooMany(samplesMax: number): LimitError {
  return new LimitError(
    "read-samples-max",
    `cannot read samples: got more than ${samplesMax}; want a narrower request (--read-samples-max)`,
  );
}
