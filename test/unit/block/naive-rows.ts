// test/unit/block/naive-rows.ts: rows from samples by the words of their definition, a row at a time: the twin of libs/block/fold-rows.ts.
import { isStale } from "../../../libs/model/index.ts";

export interface NaiveRow {
  end: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  first: number;
  last: number;
  firstTime: number;
  lastTime: number;
  resets: number;
  stale: boolean;
}

export function naiveRows(times: Float64Array, values: Float64Array, levelMs: number): NaiveRow[] {
  const rows = new Map<number, number[]>();
  times.forEach((time, i) => {
    const over = ((time % levelMs) + levelMs) % levelMs;
    const end = over === 0 ? time : time - over + levelMs;
    rows.set(end, [...(rows.get(end) ?? []), i]);
  });
  return [...rows].map(([end, all]) => {
    const own = all.filter((i) => !isStale(values[i]!));
    const numbers = own.map((i) => values[i]!);
    const some = numbers.filter((value) => !Number.isNaN(value));
    let resets = 0;
    for (let k = 1; k < numbers.length; k++) if (numbers[k]! < numbers[k - 1]!) resets += numbers[k - 1]!;
    return {
      end,
      count: own.length,
      sum: numbers.reduce((a, b) => a + b, 0),
      min: some.length > 0 ? Math.min(...some) : Number.NaN,
      max: some.length > 0 ? Math.max(...some) : Number.NaN,
      first: numbers[0] ?? Number.NaN,
      last: numbers.at(-1) ?? Number.NaN,
      firstTime: times[own[0] ?? 0]!,
      lastTime: times[own.at(-1) ?? 0]!,
      resets,
      stale: isStale(values[all.at(-1)!]!),
    };
  });
}
