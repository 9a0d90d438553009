// libs/kernel/winner.ts: which of two values wins at one timestamp of one series, so that replicas agree in whatever
// order they came.
// The rule: the greater number; any number over NaN; NaN over a stale marker. What it leaves open: -0 is below 0, and
// of
// two NaNs the greater bits win. Values are two words each, because a JavaScript number may lose a NaN's bits.
import { STALE_HIGH, STALE_LOW } from "../model/index.ts";

/** 0: stale marker, 1: any other NaN, 2: a number. */
function kindOf(high: number, low: number): 0 | 1 | 2 {
  if (high === STALE_HIGH && low === STALE_LOW) return 0;
  const magnitude = high & 0x7fffffff;
  return magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && low !== 0) ? 1 : 2;
}

/** Whether value a (unsigned high and low word) wins over value b. Equal values do not win. */
export function beats(aHigh: number, aLow: number, bHigh: number, bLow: number): boolean {
  const kind = kindOf(aHigh, aLow);
  const other = kindOf(bHigh, bLow);
  if (kind !== other) return kind > other;
  if (kind === 2) {
    const aNegative = aHigh >= 0x80000000;
    if (aNegative !== bHigh >= 0x80000000) return !aNegative;
    if (aNegative) return aHigh !== bHigh ? aHigh < bHigh : aLow < bLow;
  }
  return aHigh !== bHigh ? aHigh > bHigh : aLow > bLow;
}
