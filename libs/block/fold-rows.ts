// libs/block/fold-rows.ts: samples of one series to rows of a level: at merges, and in queries where rows and samples meet.
// HOT: bench test/bench/fold-rows.bench.ts, twin test/unit/block/naive-rows.ts. Sums are compensated (Neumaier); stale markers end a row's
// samples but are none; a NaN is a sample. What a row says of its first and last sample and of resets makes counters exact over any rows.
import { ROW, type RowTable, STALE_HIGH, STALE_HIGH_QUIET, STALE_LOW } from "../model/index.ts";

/** Appends the rows of the first `n` samples, whose times ascend and come after the table's rows. */
export function foldSamples(
  times: Float64Array,
  values: Float64Array,
  n: number,
  levelMs: number,
  table: RowTable,
): void {
  if (n === 0) return;
  // Times are integers: there are no more rows than samples, and than level lengths from the first to the last.
  table.reserve(table.length + Math.min(n, Math.floor((times[n - 1]! - times[0]!) / levelMs) + 2));
  const { ends, columns } = table;
  const counts = columns[ROW.COUNT]!;
  const sums = columns[ROW.SUM]!;
  const minima = columns[ROW.MIN]!;
  const maxima = columns[ROW.MAX]!;
  const firsts = columns[ROW.FIRST]!;
  const lasts = columns[ROW.LAST]!;
  const firstTimes = columns[ROW.FIRST_MS]!;
  const lastTimes = columns[ROW.LAST_MS]!;
  const resets = columns[ROW.RESETS]!;
  const stales = columns[ROW.STALE]!;
  let words: Uint32Array | undefined;
  let row = table.length;
  // What a row without samples repeats, so that its columns stay smooth.
  let last = row > 0 ? lasts[row - 1]! : 0;
  for (let i = 0; i < n; row++) {
    const end = Math.ceil(times[i]! / levelMs) * levelMs;
    let count = 0;
    let sum = 0;
    let c = 0;
    let min = last;
    let max = last;
    let first = last;
    let firstMs = end;
    let lastMs = end;
    let resetSum = 0;
    let stale = 0;
    for (; i < n && times[i]! <= end; i++) {
      const value = values[i]!;
      if (Number.isNaN(value)) {
        if (words === undefined) words = new Uint32Array(values.buffer, values.byteOffset, 2 * n);
        const high = words[2 * i + 1]!;
        if (words[2 * i] === STALE_LOW && (high === STALE_HIGH || high === STALE_HIGH_QUIET)) {
          stale = 1;
          continue;
        }
      }
      stale = 0;
      lastMs = times[i]!;
      if (count === 0) {
        firstMs = lastMs;
        first = value;
        min = value;
        max = value;
      } else {
        if (value < last) resetSum += last;
        if (value < min || Number.isNaN(min)) min = value;
        if (value > max || Number.isNaN(max)) max = value;
      }
      const next = sum + value;
      if (Math.abs(sum) >= Math.abs(value)) c += sum - next + value;
      else c += value - next + sum;
      sum = next;
      last = value;
      count++;
    }
    ends[row] = end;
    counts[row] = count;
    // Once a sum is infinite or NaN its compensation is meaningless.
    sums[row] = sum - sum === 0 ? sum + c : sum;
    minima[row] = min;
    maxima[row] = max;
    firsts[row] = first;
    lasts[row] = last;
    firstTimes[row] = firstMs - (end - levelMs);
    lastTimes[row] = end - lastMs;
    resets[row] = resetSum;
    stales[row] = stale;
  }
  table.length = row;
}
