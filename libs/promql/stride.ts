// libs/promql/stride.ts: long work over columns, so that it can be done in slices (Budget.inSlices): how far to go between two looks at the time.

/** Work that yields between its parts, and ends with what it made. */
export type Steps<T> = Generator<void, T>;

/** Points between two looks at the time: some ten microseconds of arithmetic. */
const STRIDE_POINTS = 4096;

/** What a column costs besides its points, in points. */
const COLUMN_POINTS = 32;

/** Counts the work of a loop. */
export class Stride {
  private left = STRIDE_POINTS;

  /** Tells of a column with so many points; whether it is time to yield. */
  isOver(points: number): boolean {
    this.left -= points + COLUMN_POINTS;
    if (this.left > 0) return false;
    this.left = STRIDE_POINTS;
    return true;
  }
}
