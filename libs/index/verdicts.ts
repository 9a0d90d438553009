// libs/index/verdicts.ts: what the matchers of one selection say of labels' values, found out in steps: a long expression over very many values
// takes seconds.
import { compileMatcher, type Matcher } from "../model/index.ts";

const UNKNOWN = 0;
const MATCHED = 1;
const UNMATCHED = 2;

/** With fewer values an expression is done within a slice, unless it is a very long one. */
const VALUES_MIN = 256;
/** Values that an expression meets in a step. */
export const VALUES_PER_STEP = 16;

/** By matcher and pair number. What is not known is found out when it is asked. */
export class Verdicts {
  private readonly known = new Map<Matcher, Uint8Array>();

  /** Finds out what a matcher says of each value of its label, if these are many. Pairs from `pairCount` on came later. */
  *judge(matcher: Matcher, values: ReadonlyMap<string, number>, pairCount: number): Generator<void> {
    const m = compileMatcher(matcher);
    if (m.values !== undefined || values.size < VALUES_MIN) return;
    const verdicts = new Uint8Array(pairCount);
    this.known.set(matcher, verdicts);
    let count = 0;
    for (const [value, pair] of values) {
      if (pair < pairCount) verdicts[pair] = m.matches(value) ? MATCHED : UNMATCHED;
      if (++count % VALUES_PER_STEP === 0) yield;
    }
  }

  /** The number of a pair becomes free, perhaps for another value. */
  forget(pair: number): void {
    for (const verdicts of this.known.values()) verdicts[pair] = UNKNOWN;
  }

  /** A function that tells whether the matcher accepts a value, which has this pair. */
  of(matcher: Matcher): (value: string, pair: number) => boolean {
    const m = compileMatcher(matcher);
    const verdicts = this.known.get(matcher);
    if (verdicts === undefined) return (value) => m.matches(value);
    return (value, pair) => {
      const verdict = verdicts[pair] ?? UNKNOWN;
      return verdict === UNKNOWN ? m.matches(value) : verdict === MATCHED;
    };
  }
}
