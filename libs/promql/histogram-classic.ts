// libs/promql/histogram-classic.ts: histogram_quantile(s) and histogram_fraction over buckets with an `le` label.
// Series with the same labels but `le` form a histogram. Bounds are sorted once; counts are gathered step by step.
import { type Labels, labelsKey, labelValue, METRIC_NAME, setLabel } from "../model/index.ts";
import { type Annotations, forMetricName } from "./annotations.ts";
import type { Position } from "./ast.ts";
import { anyPresent, type Column, hasPoint, normalizePresent } from "./column.ts";
import { parseFloatGo, quote } from "./go-text.ts";
import { type Steps, Stride } from "./stride.ts";

const BUCKET_LABEL = "le";
/** Relative difference of neighbouring counts that is taken for a rounding error. */
const SMALL_DELTA = 1e-12;
const SMALLEST_NORMAL = 2.2250738585072014e-308;

/** The buckets of one histogram, sorted by bound. */
export interface BucketGroup {
  /** The series' labels without `le`. */
  readonly labels: Labels;
  readonly bounds: Float64Array;
  readonly columns: readonly Column[];
  /** 1 at steps where the histogram does not count. */
  readonly blocked?: Uint8Array;
}

/** The buckets present at one step. Scratch space: overwritten by every gather. */
export interface Buckets {
  bounds: Float64Array;
  counts: Float64Array;
  n: number;
}

/** What a quantile had to repair in counts that fell from bucket to bucket. */
export interface Repairs {
  forced: boolean;
  minBucket: number;
  maxBucket: number;
  maxDiff: number;
}

/** Groups bucket series. Series without a usable `le` are left out, with a warning. */
export function groupBuckets(
  columns: readonly Column[],
  pos: Position,
  delayedNames: boolean,
  notes: Annotations,
): BucketGroup[] {
  const groups = new Map<string, { labels: Labels; members: { bound: number; column: Column }[] }>();
  for (const column of columns) {
    const le = labelValue(column.labels, BUCKET_LABEL);
    const bound = parseFloatGo(le);
    if (bound === undefined) {
      const name = delayedNames ? labelValue(column.labels, METRIC_NAME) : "";
      const text = `bucket label "le" is missing or has a malformed value of ${quote(le)}${forMetricName(name)}`;
      if (anyPresent(column.present)) notes.warn(text, pos);
      continue;
    }
    const labels = setLabel(column.labels, BUCKET_LABEL, "");
    const key = labelsKey(labels);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { labels, members: [{ bound, column }] });
    else group.members.push({ bound, column });
  }
  return [...groups.values()].map(({ labels, members }) => {
    members.sort((a, b) => (a.bound < b.bound ? -1 : a.bound > b.bound ? 1 : 0));
    return {
      labels,
      bounds: Float64Array.from(members, (m) => m.bound),
      columns: members.map((m) => m.column),
    };
  });
}

/** Space for the largest of the groups. */
export function createBuckets(groups: readonly BucketGroup[]): Buckets {
  const size = groups.reduce((max, group) => Math.max(max, group.columns.length), 0);
  return { bounds: new Float64Array(size), counts: new Float64Array(size), n: 0 };
}

/** Collects the buckets of a group that are present at a step; buckets with equal bounds are added up. */
function gather(group: BucketGroup, step: number, into: Buckets): boolean {
  let n = 0;
  let found = false;
  for (let i = 0; i < group.columns.length; i++) {
    const { present, values } = group.columns[i]!;
    if (!hasPoint(present, step)) continue;
    found = true;
    const bound = group.bounds[i]!;
    if (n > 0 && into.bounds[n - 1] === bound) {
      into.counts[n - 1] = into.counts[n - 1]! + values[step]!;
      continue;
    }
    into.bounds[n] = bound;
    into.counts[n++] = values[step]!;
  }
  into.n = n;
  return found;
}

/** The φ-quantile of one histogram at one step. Repairs the counts in place. */
function bucketQuantile(phi: number, buckets: Buckets, repairs: Repairs): number {
  repairs.forced = false;
  if (Number.isNaN(phi)) return Number.NaN;
  if (phi < 0) return -Infinity;
  if (phi > 1) return Infinity;
  const { bounds, counts, n } = buckets;
  if (bounds[n - 1] !== Infinity) return Number.NaN;
  makeMonotonic(buckets, repairs);
  if (n < 2) return Number.NaN;
  const observations = counts[n - 1]!;
  if (observations === 0) return Number.NaN;
  let rank = phi * observations;
  const b = firstReaching(counts, n - 1, rank);
  if (b === n - 1) return bounds[n - 2]!;
  if (b === 0 && bounds[0]! <= 0) return bounds[0]!;
  let start = 0;
  let count = counts[b]!;
  if (b > 0) {
    start = bounds[b - 1]!;
    count -= counts[b - 1]!;
    rank -= counts[b - 1]!;
  }
  return start + (bounds[b]! - start) * (rank / count);
}

/** Binary search, as Go's sort.Search does it, so that NaN counts lead to the same bucket. */
function firstReaching(counts: Float64Array, n: number, rank: number): number {
  let low = 0;
  let high = n;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (counts[middle]! >= rank) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Counts never fall from bucket to bucket: tiny differences are rounding errors, larger ones are reported. */
function makeMonotonic({ bounds, counts, n }: Buckets, repairs: Repairs): void {
  repairs.minBucket = Infinity;
  repairs.maxBucket = -Infinity;
  repairs.maxDiff = 0;
  let previous = counts[0]!;
  for (let i = 1; i < n; i++) {
    const count = counts[i]!;
    if (count === previous) continue;
    if (almostEqual(previous, count)) {
      counts[i] = previous;
    } else if (count < previous) {
      counts[i] = previous;
      repairs.forced = true;
      repairs.minBucket = Math.min(repairs.minBucket, bounds[i]!);
      repairs.maxBucket = Math.max(repairs.maxBucket, bounds[i]!);
      repairs.maxDiff = Math.max(repairs.maxDiff, previous - count);
    } else {
      previous = count;
    }
  }
}

function almostEqual(a: number, b: number): boolean {
  if (Number.isNaN(a) && Number.isNaN(b)) return true;
  const sum = Math.abs(a) + Math.abs(b);
  const diff = Math.abs(a - b);
  if (a === 0 || b === 0 || sum < SMALLEST_NORMAL) return diff < SMALL_DELTA * SMALLEST_NORMAL;
  return diff / Math.min(sum, Number.MAX_VALUE) < SMALL_DELTA;
}

/** The fraction of observations between two bounds, at one step. */
function bucketFraction(lower: number, upper: number, { bounds, counts, n }: Buckets): number {
  if (bounds[n - 1] !== Infinity) return Number.NaN;
  const total = counts[n - 1]!;
  if (total === 0 || Number.isNaN(lower) || Number.isNaN(upper)) return Number.NaN;
  if (lower >= upper) return 0;
  return (rankAt(upper, bounds, counts, n) - rankAt(lower, bounds, counts, n)) / total;
}

/** How many observations lie below `value`, interpolated linearly inside buckets of finite width. */
function rankAt(value: number, bounds: Float64Array, counts: Float64Array, n: number): number {
  const total = counts[n - 1]!;
  let start = bounds[0]! > 0 ? 0 : -Infinity;
  let before = 0;
  for (let i = 0; i < n; i++) {
    if (i > 0) start = bounds[i - 1]!;
    const end = bounds[i]!;
    const count = counts[i]!;
    if (start >= value) return Math.min(before, total);
    if (end > value) {
      // A bucket without a lower bound cannot be divided: all of it counts.
      const rank = start === -Infinity ? count : before + ((count - before) * (value - start)) / (end - start);
      return Math.min(rank, total);
    }
    before = count;
  }
  return total;
}

/** histogram_quantile: one column per histogram. φ holds one value per step. */
export function quantileColumns(
  groups: readonly BucketGroup[],
  phi: Float64Array,
  onRepair: (labels: Labels, step: number, repairs: Repairs) => void,
): Steps<Column[]> {
  const repairs: Repairs = { forced: false, minBucket: 0, maxBucket: 0, maxDiff: 0 };
  return evaluateGroups(groups, phi.length, (buckets, step, labels) => {
    const quantile = bucketQuantile(phi[step]!, buckets, repairs);
    if (repairs.forced) onRepair(labels, step, repairs);
    return quantile;
  });
}

/** histogram_fraction: one column per histogram. The bounds hold one value per step. */
export function fractionColumns(
  groups: readonly BucketGroup[],
  lower: Float64Array,
  upper: Float64Array,
): Steps<Column[]> {
  return evaluateGroups(groups, lower.length, (buckets, step) => bucketFraction(lower[step]!, upper[step]!, buckets));
}

function* evaluateGroups(
  groups: readonly BucketGroup[],
  count: number,
  evaluate: (buckets: Buckets, step: number, labels: Labels) => number,
): Steps<Column[]> {
  const buckets = createBuckets(groups);
  const out: Column[] = [];
  const stride = new Stride();
  for (const group of groups) {
    if (stride.isOver(group.columns.length * count)) yield;
    const values = new Float64Array(count);
    const present = new Uint8Array(count);
    for (let s = 0; s < count; s++) {
      if (group.blocked?.[s] === 1 || !gather(group, s, buckets)) continue;
      values[s] = evaluate(buckets, s, group.labels);
      present[s] = 1;
    }
    if (anyPresent(present)) {
      out.push({ labels: group.labels, values, present: normalizePresent(present), dropName: true });
    }
  }
  return out;
}
