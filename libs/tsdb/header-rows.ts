// libs/tsdb/header-rows.ts: a stretch of a series' samples as one row that ends with its last sample: by its column's header, or of its values.
// Such rows are not aligned to any level: they stand for samples where one window has them all. Their length counts as 0.
import { foldSamples } from "../block/index.ts";
import type { ColumnHeader } from "../kernel/index.ts";
import { ROW, type RowTable } from "../model/index.ts";

/** Longer than all of time in use: what is folded with it becomes one row. */
const ALL_MS = 2 ** 44;

/** Appends what a header tells of a column without stale markers and NaNs, with these times. */
export function addHeader(header: ColumnHeader, times: Float64Array, table: RowTable): void {
  const at = table.length;
  table.reserve(at + 1);
  const { columns } = table;
  const first = times[0]!;
  const last = times[times.length - 1]!;
  table.ends[at] = last;
  columns[ROW.COUNT]![at] = header.samples;
  columns[ROW.SUM]![at] = header.sum;
  columns[ROW.MIN]![at] = header.min;
  columns[ROW.MAX]![at] = header.max;
  columns[ROW.FIRST]![at] = header.first;
  columns[ROW.LAST]![at] = header.last;
  columns[ROW.FIRST_MS]![at] = first - last;
  columns[ROW.LAST_MS]![at] = 0;
  columns[ROW.RESETS]![at] = header.resetSum;
  columns[ROW.STALE]![at] = 0;
  table.length = at + 1;
}

/** Appends samples without stale markers as one row, or two where times before 1970 meet later ones. */
export function foldWhole(times: Float64Array, values: Float64Array, n: number, table: RowTable): void {
  const from = table.length;
  foldSamples(times, values, n, ALL_MS, table);
  const { ends, columns } = table;
  for (let row = from; row < table.length; row++) {
    const end = ends[row]!;
    const last = end - columns[ROW.LAST_MS]![row]!;
    columns[ROW.FIRST_MS]![row]! += end - ALL_MS - last;
    columns[ROW.LAST_MS]![row] = 0;
    ends[row] = last;
  }
}
