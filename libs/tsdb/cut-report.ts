// libs/tsdb/cut-report.ts: what a cutter has done.

/** What was done, for the answer of an admin's request and for counters. */
export interface CutReport {
  blocks: number;
  samples: number;
  sizeBytes: number;
  merged: number;
  expired: number;
  /** Blocks of rows that were made, renewed or joined. */
  rows: number;
  /** Blocks dropped for --retention-size. */
  shrunk: number;
}

export function nothingDone(): CutReport {
  return { blocks: 0, samples: 0, sizeBytes: 0, merged: 0, expired: 0, rows: 0, shrunk: 0 };
}
