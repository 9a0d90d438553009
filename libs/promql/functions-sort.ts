// libs/promql/functions-sort.ts: sort, sort_desc, sort_by_label, sort_by_label_desc of one-step vectors.
import { compareLabels, labelValue } from "../model/index.ts";
import type { Column } from "./column.ts";

/** By value, NaN last in both directions. Equal values by labels, and NaNs against them, as Prometheus' sort leaves them. */
export function sortByValue(columns: readonly Column[], descending: boolean): Column[] {
  const sign = descending ? -1 : 1;
  return [...columns].sort((a, b) => {
    const x = a.values[0]!;
    const y = b.values[0]!;
    if (x < y) return -sign;
    if (x > y) return sign;
    const byLabels = compareLabels(a.labels, b.labels);
    if (x === y) return byLabels;
    return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || -byLabels;
  });
}

/** By the values of the named labels in natural order ("node2" < "node10"), then by the whole label set. */
export function sortByLabels(columns: readonly Column[], names: readonly string[], descending: boolean): Column[] {
  const sign = descending ? -1 : 1;
  return [...columns].sort((a, b) => {
    for (const name of names) {
      const x = labelValue(a.labels, name);
      const y = labelValue(b.labels, name);
      if (x !== y) return naturallyBefore(x, y) ? -sign : sign;
    }
    return sign * compareLabels(a.labels, b.labels);
  });
}

/** Whether `a` sorts before `b` when runs of digits compare as numbers. */
export function naturallyBefore(a: string, b: string): boolean {
  const partsA = a.match(/\d+|\D+/g) ?? [""];
  const partsB = b.match(/\d+|\D+/g) ?? [""];
  for (let i = 0; i < partsA.length; i++) {
    if (i >= partsB.length) return false;
    const x = partsA[i]!;
    const y = partsB[i]!;
    const numbers = /^\d/.test(x) && /^\d/.test(y);
    const equal = numbers ? Number(x) === Number(y) : x === y;
    if (!equal) return numbers ? Number(x) < Number(y) : x < y;
    if (i === partsA.length - 1) return true;
    if (i === partsB.length - 1) return false;
  }
  return false;
}
