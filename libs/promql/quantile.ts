// libs/promql/quantile.ts: quantiles of plain numbers, as quantile, quantile_over_time and mad_over_time define them.
// HOT: bench test/bench/quantile.bench.ts, twin test/promql/naive-rollup.ts.
// NaNs are smaller than every number. They sort to the end of the array, and are counted, because that is where a
// typed array's own sort puts them.

/** Below this an insertion sort beats the built-in sort's call. */
const INSERTION_MAX = 40;
/** Up to this a quantile is found sooner in a sorted array than by selection. */
const SORTED_MAX = 16;

/** Sorts the first n elements in place: numbers ascending, then NaNs. Returns the number of NaNs. */
export function sortFloats(values: Float64Array, n: number): number {
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) values[kept++] = value;
  }
  values.fill(Number.NaN, kept, n);
  if (kept > INSERTION_MAX) {
    values.subarray(0, kept).sort();
    return n - kept;
  }
  for (let i = 1; i < kept; i++) {
    const value = values[i]!;
    let at = i - 1;
    while (at >= 0 && values[at]! > value) {
      values[at + 1] = values[at]!;
      at--;
    }
    values[at + 1] = value;
  }
  return n - kept;
}

/** The φ-quantile of the first n values, whose order is lost; as quantileOfSorted says, by selection instead of a sort. */
export function quantileOf(phi: number, values: Float64Array, n: number): number {
  if (n <= SORTED_MAX) return quantileOfSorted(phi, values, n, sortFloats(values, n));
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) values[kept++] = value;
  }
  if (n === 0 || Number.isNaN(phi)) return Number.NaN;
  if (phi < 0) return -Infinity;
  if (phi > 1) return Infinity;
  const rank = phi * (n - 1);
  const lower = Math.floor(rank);
  const weight = rank - lower;
  const at = lower - (n - kept);
  if (at < 0) return Number.NaN;
  select(values, kept, at);
  const low = values[at]!;
  let high = low;
  if (at + 1 < kept) {
    high = values[at + 1]!;
    for (let i = at + 2; i < kept; i++) if (values[i]! < high) high = values[i]!;
  }
  return low * (1 - weight) + high * weight;
}

/** Puts the k-th smallest of n numbers at k, none greater before it and none smaller behind it (Hoare, "Algorithm 65: Find", 1961). */
function select(values: Float64Array, n: number, k: number): void {
  let low = 0;
  let high = n - 1;
  while (low < high) {
    // The middle of three: sorted input is common, and must not be the slow case.
    const a = values[low]!;
    const b = values[(low + high) >>> 1]!;
    const c = values[high]!;
    const pivot = a < b ? (b < c ? b : a < c ? c : a) : a < c ? a : b < c ? c : b;
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const value = values[i]!;
      values[i++] = values[j]!;
      values[j--] = value;
    }
    if (k <= j) high = j;
    else if (k >= i) low = i;
    else return;
  }
}

/** The first of n ascending values that is not smaller than `value`. */
function lowerBound(sorted: Float64Array, n: number, value: number): number {
  let low = 0;
  let high = n;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts a value among n ascending numbers and returns how many there are now; a NaN is left out. */
export function insertSorted(sorted: Float64Array, n: number, value: number): number {
  if (Number.isNaN(value)) return n;
  const at = lowerBound(sorted, n, value);
  sorted.copyWithin(at + 1, at, n);
  sorted[at] = value;
  return n + 1;
}

/** Takes a value that is there out of n ascending numbers and returns how many are left; a NaN is not among them. */
export function removeSorted(sorted: Float64Array, n: number, value: number): number {
  if (Number.isNaN(value)) return n;
  const at = lowerBound(sorted, n, value);
  sorted.copyWithin(at, at + 1, n);
  return n - 1;
}

/**
 * The φ-quantile of n values sorted by sortFloats, the last `nans` of which are NaN, by linear interpolation.
 * NaN for no values or φ = NaN; -Inf for φ < 0, +Inf for φ > 1.
 */
export function quantileOfSorted(phi: number, sorted: Float64Array, n: number, nans: number): number {
  if (n === 0 || Number.isNaN(phi)) return Number.NaN;
  if (phi < 0) return -Infinity;
  if (phi > 1) return Infinity;
  const rank = phi * (n - 1);
  const lower = Math.max(0, Math.floor(rank));
  const upper = Math.min(n - 1, lower + 1);
  const weight = rank - Math.floor(rank);
  const low = lower < nans ? Number.NaN : sorted[lower - nans]!;
  const high = upper < nans ? Number.NaN : sorted[upper - nans]!;
  return low * (1 - weight) + high * weight;
}
