// libs/model/rows.ts: rows of downsampled series: what a row says of the samples of a minute or an hour, column by column.
// A row with the end e covers the samples with times in (e - length, e]; ends are multiples of the length. Times without a sample or a
// stale marker have no row.

/** Resolutions of rows. */
export type RowLevel = "1m" | "1h";
/** Where a query's answers come from: auto is the coarsest level whose rows give the same answer as samples. */
export type LevelChoice = "auto" | "raw" | RowLevel;

export const ROW_LEVELS: readonly RowLevel[] = ["1m", "1h"];
export const ROW_MS: Readonly<Record<RowLevel, number>> = { "1m": 60_000, "1h": 3_600_000 };

/** Columns of a row, by number. Samples are values that are no stale markers; a row without any has the count 0, and means nothing else but stale. */
export const ROW = {
  COUNT: 0,
  SUM: 1,
  /** Before the extremes, which for counters are the same and are coded against these. */
  FIRST: 2,
  LAST: 3,
  /** NaN only where all samples are. */
  MIN: 4,
  MAX: 5,
  /** The first sample's time, in ms after the row's begin; the last one's, in ms before its end. */
  FIRST_MS: 6,
  LAST_MS: 7,
  /** The sum of the samples before a reset within the row: the counter's increase is last - first + resets. */
  RESETS: 8,
  /** 1 where a stale marker comes after the last sample. */
  STALE: 9,
} as const;
export const ROW_COLUMNS = 10;

/** Rows of one series, ascending by their ends. Its columns grow, and are used again for the next series. */
export class RowTable {
  length = 0;
  ends: Float64Array = new Float64Array(0);
  columns: Float64Array[] = Array.from({ length: ROW_COLUMNS }, () => new Float64Array(0));

  /** Makes room for so many rows in all; what is there stays. */
  reserve(rows: number): void {
    if (rows <= this.ends.length) return;
    const room = Math.max(rows, 2 * this.ends.length, 64);
    this.ends = grown(this.ends, this.length, room);
    this.columns = this.columns.map((column) => grown(column, this.length, room));
  }
}

function grown(column: Float64Array, used: number, room: number): Float64Array {
  const longer = new Float64Array(room);
  longer.set(column.subarray(0, used));
  return longer;
}
