// libs/tsdb/head-view.ts: a head as a reader sees it: samples may still come, but what deletions hide, and undoing shows again, is for this
// reader what it was when it began.
import type { TimeRanges } from "../block/index.ts";
import type { Moment } from "../model/index.ts";
import type { Head, SeriesSamples, TimeColumn } from "./head.ts";
import type { HiddenColumn } from "./hidden-samples.ts";

/** What a series was like before a deletion, or the undoing of one. */
export interface SeriesBefore {
  /** What was hidden of its chunks. */
  readonly hidden: TimeRanges | undefined;
  readonly late: HiddenColumn;
}

export type HeadMoment = Moment<SeriesBefore>;

export class HeadView {
  readonly head: Head;
  private readonly moment: HeadMoment;

  /** From now on the head is in use, until `release`. */
  constructor(head: Head) {
    this.head = head;
    this.moment = head.acquire();
  }

  release(): void {
    this.head.release();
  }

  /** As Head's. */
  isInStep(series: number, column: TimeColumn, lowMs: number, highMs: number): boolean {
    return this.head.isInStep(series, column, lowMs, highMs, this.moment);
  }

  /** As Head's. */
  readSeries(series: number, lowMs: number, highMs: number): SeriesSamples {
    return this.head.readSeries(series, lowMs, highMs, this.moment);
  }
}
