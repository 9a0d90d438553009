// libs/promql/literal-histogram.ts: histograms out of the test language's literals and sequences of them.
import {
  CUSTOM_SCHEMA,
  customLayout,
  exponentialLayout,
  type FloatHistogram,
  HINT_GAUGE,
  HINT_NOT_RESET,
  HINT_RESET,
  HINT_UNKNOWN,
  InvalidError,
  type ResetHint,
} from "../model/index.ts";
import { combine } from "./histogram-arithmetic.ts";
import type { CounterResetHint, HistogramLiteral } from "./histogram-literal.ts";
import type { HistogramValue } from "./series-description.ts";

const HINTS: Readonly<Record<CounterResetHint, ResetHint>> = {
  unknown: HINT_UNKNOWN,
  reset: HINT_RESET,
  not_reset: HINT_NOT_RESET,
  gauge: HINT_GAUGE,
};

/** The histogram that a literal describes, empty buckets included. */
export function histogramOfLiteral(literal: HistogramLiteral): FloatHistogram {
  const indexes = (counts: readonly number[], offset: number) => counts.map((_, i) => offset + i);
  const { positiveBuckets, negativeBuckets } = literal;
  const positive = indexes(positiveBuckets, literal.positiveOffset);
  const custom = literal.schema === CUSTOM_SCHEMA;
  return {
    layout: custom
      ? customLayout(literal.customValues, positive)
      : exponentialLayout(
          literal.schema,
          literal.zeroThreshold,
          positive,
          indexes(negativeBuckets, literal.negativeOffset),
        ),
    hint: HINTS[literal.counterResetHint ?? "unknown"],
    count: literal.count,
    sum: literal.sum,
    zeroCount: literal.zeroCount,
    buckets: Float64Array.from(custom ? positiveBuckets : [...positiveBuckets, ...negativeBuckets]),
  };
}

/** The histograms of a sequence, each made of the one before it. */
export class HistogramSequence {
  #base: HistogramLiteral | undefined;
  #times = 0;
  #current: FloatHistogram | undefined;

  /** The value of a position; cheap when asked for in order. Errors: InvalidError when base and delta do not mix. */
  at({ base, delta, sign, times }: HistogramValue): FloatHistogram {
    if (this.#current === undefined || base !== this.#base || times < this.#times) {
      this.#base = base;
      this.#times = 0;
      this.#current = histogramOfLiteral(base);
    }
    for (; this.#times < times; this.#times++) {
      const sum = combine(this.#current, histogramOfLiteral(delta!), sign);
      if (sum === undefined) {
        throw new InvalidError("cannot combine histograms: got custom bounds and a schema; want one kind");
      }
      this.#current = sum.histogram;
    }
    return this.#current;
  }
}
