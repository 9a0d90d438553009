// test/promql/naive-histogram.ts: native histograms as maps from bucket to count, and everything computed bucket by bucket
// from the definitions: the slow twin of libs/promql/histogram-*.ts and rollup-histogram-*.ts. Counts in tests are whole
// numbers or multiples of 1/8, so that sums are exact in any order.
import { CUSTOM_SCHEMA, type FloatHistogram, HINT_GAUGE, HINT_NOT_RESET, HINT_RESET } from "../../libs/model/index.ts";

/** Sides as maps from bucket index to count; the negative side has its own. */
export interface NaiveHistogram {
  readonly schema: number;
  readonly zeroThreshold: number;
  readonly bounds: readonly number[];
  readonly hint: number;
  readonly count: number;
  readonly sum: number;
  readonly zeroCount: number;
  readonly positive: ReadonlyMap<number, number>;
  readonly negative: ReadonlyMap<number, number>;
}

export function naiveOf({ layout, hint, count, sum, zeroCount, buckets }: FloatHistogram): NaiveHistogram {
  const { schema, zeroThreshold, bounds, positive, negative } = layout;
  return {
    schema,
    zeroThreshold,
    bounds: [...bounds],
    hint,
    count,
    sum,
    zeroCount,
    positive: new Map(Array.from(positive, (index, i) => [index, buckets[i]!])),
    negative: new Map(Array.from(negative, (index, i) => [index, buckets[positive.length + i]!])),
  };
}

/** What two histograms that mean the same have in common: populated buckets only. */
export function essence(h: NaiveHistogram) {
  const populated = (side: ReadonlyMap<number, number>) =>
    [...side].filter(([, count]) => count !== 0).sort(([a], [b]) => a - b);
  const { schema, zeroThreshold, bounds, count, sum, zeroCount } = h;
  const zeros = { count: count + 0, sum: sum + 0, zeroCount: zeroCount + 0 };
  return { schema, zeroThreshold, bounds, ...zeros, positive: populated(h.positive), negative: populated(h.negative) };
}

function isCustom(h: NaiveHistogram): boolean {
  return h.schema === CUSTOM_SCHEMA;
}

/** 2^(index / 2^schema), good to the last bit for the schemas up to 0 that tests of zero buckets use. */
function upper(schema: number, index: number): number {
  return 2 ** (index / 2 ** schema);
}

function regroup(side: ReadonlyMap<number, number>, groupOf: (index: number) => number): Map<number, number> {
  const out = new Map<number, number>();
  for (const [index, count] of side) out.set(groupOf(index), (out.get(groupOf(index)) ?? 0) + count);
  return out;
}

function atSchema(h: NaiveHistogram, schema: number): NaiveHistogram {
  const groupOf = (index: number) => Math.ceil(index / 2 ** (h.schema - schema));
  return { ...h, schema, positive: regroup(h.positive, groupOf), negative: regroup(h.negative, groupOf) };
}

/** A zero bucket at least as wide as asked for; wider where that would cut a populated bucket. */
function widenedTo(h: NaiveHistogram, threshold: number): NaiveHistogram {
  if (threshold === h.zeroThreshold) return h;
  let width = threshold;
  for (let cut = true; cut; ) {
    cut = false;
    for (const side of [h.positive, h.negative]) {
      for (const [index, count] of side) {
        const end = upper(h.schema, index);
        if (count !== 0 && upper(h.schema, index - 1) < width && end > width) {
          width = end;
          cut = true;
        }
      }
    }
  }
  let { zeroCount } = h;
  const outside = (side: ReadonlyMap<number, number>) => {
    const kept = new Map<number, number>();
    for (const [index, count] of side) {
      if (upper(h.schema, index - 1) < width) zeroCount += count;
      else kept.set(index, count);
    }
    return kept;
  };
  const [positive, negative] = [outside(h.positive), outside(h.negative)];
  return { ...h, zeroThreshold: width, zeroCount, positive, negative };
}

function onBounds(h: NaiveHistogram, bounds: readonly number[]): NaiveHistogram {
  const groupOf = (index: number) => {
    const end = h.bounds[index] ?? Infinity;
    const found = bounds.findIndex((bound) => bound >= end);
    return found < 0 ? bounds.length : found;
  };
  return { ...h, bounds, positive: regroup(h.positive, groupOf) };
}

/** Both histograms in a form that they have in common. */
function aligned(a: NaiveHistogram, b: NaiveHistogram): [NaiveHistogram, NaiveHistogram] {
  if (isCustom(a)) {
    const common = a.bounds.filter((bound) => b.bounds.includes(bound));
    return [onBounds(a, common), onBounds(b, common)];
  }
  let [x, y] = [a, b];
  while (x.zeroThreshold !== y.zeroThreshold) {
    const width = Math.max(x.zeroThreshold, y.zeroThreshold);
    [x, y] = [widenedTo(x, width), widenedTo(y, width)];
  }
  const schema = Math.min(x.schema, y.schema);
  return [atSchema(x, schema), atSchema(y, schema)];
}

/** a + sign × b, or undefined when their schemas do not go together. */
export function naiveCombine(a: NaiveHistogram, b: NaiveHistogram, sign: 1 | -1): NaiveHistogram | undefined {
  if (isCustom(a) !== isCustom(b)) return undefined;
  const [x, y] = aligned(a, b);
  const add = (into: ReadonlyMap<number, number>, other: ReadonlyMap<number, number>) => {
    const out = new Map(into);
    for (const [index, count] of other) out.set(index, (out.get(index) ?? 0) + sign * count);
    return out;
  };
  return {
    ...x,
    count: a.count + sign * b.count,
    sum: a.sum + sign * b.sum,
    zeroCount: x.zeroCount + sign * y.zeroCount,
    positive: add(x.positive, y.positive),
    negative: add(x.negative, y.negative),
  };
}

/** Whether a counter was reset between two histograms. */
export function naiveWasReset(current: NaiveHistogram, previous: NaiveHistogram): boolean {
  if (current.hint === HINT_RESET) return true;
  if (current.hint === HINT_NOT_RESET) return false;
  if (current.count < previous.count || isCustom(current) !== isCustom(previous)) return true;
  if (isCustom(current)) {
    const [now, before] = aligned(current, previous);
    return fell(now.positive, before.positive);
  }
  if (current.schema > previous.schema || current.zeroThreshold < previous.zeroThreshold) return true;
  const widened = widenedTo(previous, current.zeroThreshold);
  if (widened.zeroThreshold !== current.zeroThreshold || current.zeroCount < widened.zeroCount) return true;
  // Buckets are merged first: one that then sticks out of the zero bucket is compared whole.
  const before = atSchema(previous, current.schema);
  const outside = (side: ReadonlyMap<number, number>) =>
    new Map([...side].filter(([index]) => upper(current.schema, index) > current.zeroThreshold));
  return fell(current.positive, outside(before.positive)) || fell(current.negative, outside(before.negative));
}

function fell(now: ReadonlyMap<number, number>, before: ReadonlyMap<number, number>): boolean {
  return [...before].some(([index, count]) => count !== 0 && (now.get(index) ?? Number.NEGATIVE_INFINITY) < count);
}

/** increase() less its extrapolation, of at least two histograms of one kind of schema; undefined when kinds mix. */
export function naiveIncrease(window: readonly NaiveHistogram[]): NaiveHistogram | undefined {
  const custom = isCustom(window[1]!);
  const relevant = naiveWasReset(window[1]!, window[0]!) ? window.slice(1) : window;
  if (relevant.some((h) => isCustom(h) !== custom)) return undefined;
  // The coarsest schema of all counts from the beginning, even where only its schema is looked at.
  const schema = Math.min(...relevant.map((h) => h.schema));
  const last = custom ? window.at(-1)! : atSchema(window.at(-1)!, schema);
  // Behind a reset the first histogram counts for nothing, with the layout of the second one.
  const none = new Map<number, number>();
  const nothing = { ...window[1]!, zeroThreshold: 0, count: 0, sum: 0, zeroCount: 0, positive: none, negative: none };
  let result = naiveCombine(last, relevant.length === window.length ? window[0]! : nothing, -1)!;
  for (let i = 1; i < relevant.length; i++) {
    if (naiveWasReset(relevant[i]!, relevant[i - 1]!)) result = naiveCombine(result, relevant[i - 1]!, 1)!;
  }
  return { ...result, hint: HINT_GAUGE };
}
