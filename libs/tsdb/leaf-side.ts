// libs/tsdb/leaf-side.ts: the series of a leaf that have histograms or start times: rolled up sample by sample, with notes.
import { type Labels, type Leaf, labelValue, METRIC_NAME, type StepColumn } from "../model/index.ts";
import { LeafNotes, type PartialAggregator, readsStarts, rollUpSeries, type SeriesAnswer } from "../promql/index.ts";
import type { SidePart } from "../side/index.ts";
import type { SeriesSamples } from "./head.ts";
import { withSide } from "./series-with-side.ts";
import type { CapturedSide } from "./side-sources.ts";

/** What a leaf wants beside floats. */
export function sidePartsOf({ rollup, useStarts }: Leaf): SidePart[] {
  const starts = rollup === "start_timestamp" || (useStarts === true && readsStarts(rollup));
  return starts ? ["histograms", "starts"] : ["histograms"];
}

export class LeafSide {
  readonly notes = new LeafNotes();
  private readonly leaf: Leaf;
  private readonly captured: CapturedSide;
  private readonly lowMs: number;
  /** By position in the selection. */
  private readonly members: Uint8Array;
  private hasColumns = false;
  private hasFloats = false;

  private constructor(leaf: Leaf, captured: CapturedSide, members: Uint8Array, lowMs: number) {
    this.leaf = leaf;
    this.captured = captured;
    this.members = members;
    this.lowMs = lowMs;
  }

  /** Undefined when none of the series, which ascend, has anything that the leaf wants. */
  static of(leaf: Leaf, captured: CapturedSide, series: Uint32Array, lowMs: number): LeafSide | undefined {
    const members = captured.membersOf(series);
    return members === undefined ? undefined : new LeafSide(leaf, captured, members, lowMs);
  }

  /** Whether the series at a position of the selection goes this way. */
  isOf(position: number): boolean {
    return this.members[position] === 1;
  }

  /** Errors: CorruptionError. */
  rollUp(series: number, labels: Labels, floats: SeriesSamples): SeriesAnswer {
    return rollUpSeries(this.leaf, labels, withSide(floats, this.captured.read(series), this.lowMs), this.notes);
  }

  /** Adds a series' column to its group. */
  addTo(aggregator: PartialAggregator, group: number, { labels, values, present, histograms }: StepColumn): void {
    this.hasColumns = true;
    if (histograms === undefined) {
      this.hasFloats = true;
      aggregator.add(group, values, present);
      return;
    }
    const metric = this.leaf.dropName ? "" : labelValue(labels, METRIC_NAME);
    aggregator.addMixed(group, values, present, histograms, metric);
    this.hasFloats ||= values.some((_, s) => histograms.layoutOf[s]! < 0 && (present === null || present[s] === 1));
  }

  /** Another series of the leaf had floats. */
  sawFloats(): void {
    this.hasFloats = true;
  }

  /** Notes what the whole aggregation was like. */
  finish(aggregator: PartialAggregator): void {
    if (this.hasColumns && !this.hasFloats) this.notes.add("only_histograms", "");
    this.notes.addAll(aggregator.notes.list());
  }
}
