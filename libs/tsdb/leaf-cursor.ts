// libs/tsdb/leaf-cursor.ts: how a leaf gets at the samples of its series, wherever they are: in one head, or in heads and blocks.
// Times that many series share come as one object, so that what follows from times alone is worked out once.
import type { RowTable } from "../model/index.ts";
import type { WindowPlan } from "../promql/index.ts";
import type { SeriesSamples } from "./head.ts";

/** What the times of a column say about every series that has a sample at each of them. */
export interface TimesAnswer {
  readonly points: number;
  readonly values: Float64Array;
  readonly present: Uint8Array | null;
}

/** Times within the leaf's reach, and what the leaf has made of them so far. */
export class SharedColumn {
  readonly times: Float64Array;
  plan: WindowPlan | undefined;
  answer: TimesAnswer | undefined;
  /** By output group: series of this column that the answer stands for, not yet added. */
  tally: Uint32Array | undefined;

  constructor(times: Float64Array) {
    this.times = times;
  }
}

/** Stands at one series at a time. What it returns is valid until it is asked again, but for shared columns. */
export interface LeafCursor {
  /** Series between two looks at the clock. */
  readonly stride: number;
  /** READ_* flags of the last readValues. */
  readonly flags: number;
  /**
   * Goes to a series, the `index`-th of the selection, NO_SERIES when no head has it. Returns the times that all its samples within the leaf's reach follow;
   * undefined when it has times of its own, and must be read by readSamples.
   */
  open(series: number, index: number): SharedColumn | undefined;
  /** For shared times: whether the series has a sample, not stale, at each of them. Decodes nothing. */
  isClean(): boolean;
  /** For shared times: a value for each, holes (the HOLE bits of libs/chunk) where `flags` says that there may be some. */
  readValues(): Float64Array;
  /**
   * For shared times: fills the table with rows that stand for all samples within the leaf's reach, their ends those of their last samples:
   * a column of a block that is in reach as a whole is told by its header. Returns how many samples and headers were read; -1 where
   * samples have to be looked at one by one.
   */
  readRows?(table: RowTable): number;
  /** All samples of the series within the leaf's reach. */
  readSamples(): SeriesSamples;
}
