// libs/tsdb/head-cursor.ts: a leaf's way through one head: the times of a series are those of its group.
import type { Head, SeriesSamples, TimeColumn } from "./head.ts";
import type { HeadView } from "./head-view.ts";
import { type LeafCursor, SharedColumn } from "./leaf-cursor.ts";

class GroupColumn extends SharedColumn {
  readonly column: TimeColumn;

  constructor(column: TimeColumn) {
    super(column.times);
    this.column = column;
  }
}

export class HeadCursor implements LeafCursor {
  readonly stride = 64;
  private readonly head: Head;
  private readonly view: HeadView;
  private readonly lowMs: number;
  private readonly highMs: number;
  private readonly columns = new Map<number, GroupColumn>();
  /** Of the series before: that of a target's next series mostly. */
  private lastGroup = -1;
  private last: GroupColumn | undefined;
  private series = 0;
  private column: TimeColumn | undefined;

  constructor(view: HeadView, lowMs: number, highMs: number) {
    this.head = view.head;
    this.view = view;
    this.lowMs = lowMs;
    this.highMs = highMs;
  }

  get flags(): number {
    return this.head.columnFlags;
  }

  open(series: number): SharedColumn | undefined {
    const { head, view, lowMs, highMs } = this;
    const group = head.groupOf(series);
    const shared = group === this.lastGroup ? this.last! : this.columnOf(group);
    this.series = series;
    this.column = shared.column;
    return view.isInStep(series, shared.column, lowMs, highMs) ? shared : undefined;
  }

  private columnOf(group: number): GroupColumn {
    let shared = this.columns.get(group);
    if (shared === undefined) {
      shared = new GroupColumn(this.head.timeColumn(group, this.lowMs, this.highMs));
      this.columns.set(group, shared);
    }
    this.lastGroup = group;
    this.last = shared;
    return shared;
  }

  isClean(): boolean {
    return this.head.isClean(this.series, this.column!.from, this.column!.to);
  }

  readValues(): Float64Array {
    return this.head.readColumn(this.series, this.column!.from, this.column!.to);
  }

  readSamples(): SeriesSamples {
    return this.view.readSeries(this.series, this.lowMs, this.highMs);
  }
}
