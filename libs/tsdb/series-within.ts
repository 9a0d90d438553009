// libs/tsdb/series-within.ts: which series have a sample in a time range, stale markers included, in any head or block.
// A block that lies in the range answers by its selection, another one by the times of its columns: no value of a block is decoded.
import { ROW_MS } from "../model/index.ts";
import type { TimeColumn } from "./head.ts";
import type { HeadView } from "./head-view.ts";
import { LeafBlock, LeafReach } from "./leaf-blocks.ts";
import type { Pace } from "./pace.ts";
import { type BlockPart, NO_SERIES, type Selection } from "./selection.ts";
import type { CapturedSide } from "./side-sources.ts";
import type { CapturedSources } from "./sources.ts";

/** Series between two looks at the clock. */
const STRIDE = 64;

/**
 * The indexes of a selection's series that have a sample in the range that was captured, or, of `side`, a histogram; ascending. Errors:
 * CorruptionError; those of the pace.
 */
export async function seriesWithin(
  selection: Selection,
  captured: CapturedSources,
  side: CapturedSide | undefined,
  pace: Pace,
): Promise<Uint32Array> {
  const { lowMs, highMs } = captured;
  const { numbers } = selection;
  const seen = side?.membersOf(numbers) ?? new Uint8Array(selection.count);
  for (const part of selection.blocks) {
    await markSeen(seen, part, captured, pace);
    if (pace.isDue) await pace.rest();
  }
  for (const view of captured.heads()) {
    const columns = new Map<number, TimeColumn>();
    for (let i = 0; i < numbers.length; i++) {
      if (i % STRIDE === 0 && pace.isDue) await pace.rest();
      if (seen[i] === 1 || numbers[i] === NO_SERIES) continue;
      if (hasSamples(view, columns, numbers[i]!, lowMs, highMs)) seen[i] = 1;
    }
  }
  return numbers.map((_, i) => i).filter((i) => seen[i] === 1);
}

/** Marks the series that a block has samples of. */
async function markSeen(
  seen: Uint8Array,
  { block, indexes, places }: BlockPart,
  captured: CapturedSources,
  pace: Pace,
): Promise<void> {
  const { lowMs, highMs } = captured;
  const hidden = captured.hiddenOf(block);
  if (block.liesWithin(lowMs, highMs)) {
    for (let k = 0; k < indexes.length; k++) if (!hidden?.has(places[k]!)) seen[indexes[k]!] = 1;
    if (hidden === undefined) return;
  }
  // Rows end behind their samples.
  const within = new LeafBlock(block, new LeafReach(lowMs, block.isRows ? highMs + ROW_MS["1h"] - 1 : highMs));
  const { timeColumns } = await within.lookUp(places, pace);
  for (let k = 0; k < timeColumns.length; k++) {
    if (seen[indexes[k]!] === 1) continue;
    const { times } = within.timesOf(timeColumns[k]!);
    const ranges = hidden?.get(places[k]!);
    if (ranges === undefined ? times.length > 0 : ranges.spansOutside(times).length > 0) seen[indexes[k]!] = 1;
  }
}

/** Whether a head has samples of a series in the range. Decodes only what is neither clean nor absent. */
function hasSamples(
  view: HeadView,
  columns: Map<number, TimeColumn>,
  series: number,
  lowMs: number,
  highMs: number,
): boolean {
  const { head } = view;
  const group = head.groupOf(series);
  let column = columns.get(group);
  if (column === undefined) {
    column = head.timeColumn(group, lowMs, highMs);
    columns.set(group, column);
  }
  const { from, to } = column;
  if (from < to && view.isInStep(series, column, lowMs, highMs) && head.isClean(series, to - 1, to)) return true;
  return view.readSeries(series, lowMs, highMs).count > 0;
}
