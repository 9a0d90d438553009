// libs/kernel/assembly/lib/column-stats.ts: what a header tells of its column's samples, so that covered windows need no decoding.
// The meaning of each field: libs/kernel/FORMAT.md, "Statistics". Stale markers are no samples.
import {
  F_FIRST, F_FIRST_INDEX, F_LAST, F_LAST_INDEX, F_MAX, F_MIN, F_NANS, F_RESET_SUM, F_RESETS, F_STALES, F_SUM, NONE,
  NORMAL_NAN, STALE,
} from "./column-layout";

/** Writes the statistics of `count` values to the header. */
export function writeStatistics(header: usize, values: usize, count: u32): void {
  let stales: u32 = 0;
  let nans: u32 = 0;
  let resets: u32 = 0;
  let firstIndex = NONE;
  let lastIndex = NONE;
  let least = reinterpret<f64>(NORMAL_NAN);
  let greatest = least;
  let previous = least;
  let sum: f64 = 0;
  let compensation: f64 = 0;
  let resetSum: f64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const v = load<f64>(values + (<usize>i << 3));
    if (v != v) {
      if (reinterpret<u64>(v) == STALE) {
        stales++;
        continue;
      }
      nans++;
    }
    if (firstIndex == NONE) firstIndex = i;
    lastIndex = i;
    if (v < least || least != least) least = v;
    if (v > greatest || greatest != greatest) greatest = v;
    if (v < previous) {
      resets++;
      resetSum += previous;
    }
    previous = v;
    // Neumaier's compensated sum, which is what sum_over_time computes.
    const total = sum + v;
    if (abs(total) == Infinity) compensation = 0;
    else if (abs(sum) >= abs(v)) compensation += sum - total + v;
    else compensation += v - total + sum;
    sum = total;
  }
  writeEnds(header, values, firstIndex, lastIndex);
  store<f64>(header, canonical(least), F_MIN);
  store<f64>(header, canonical(greatest), F_MAX);
  store<f64>(header, canonical(sum + compensation), F_SUM);
  store<f64>(header, canonical(resetSum), F_RESET_SUM);
  store<u32>(header, resets, F_RESETS);
  store<u32>(header, stales, F_STALES);
  store<u32>(header, nans, F_NANS);
}

/** First and last keep their bits. */
function writeEnds(header: usize, values: usize, first: u32, last: u32): void {
  store<u32>(header, first, F_FIRST_INDEX);
  store<u32>(header, last, F_LAST_INDEX);
  store<u64>(header, first == NONE ? NORMAL_NAN : load<u64>(values + (<usize>first << 3)), F_FIRST);
  store<u64>(header, last == NONE ? NORMAL_NAN : load<u64>(values + (<usize>last << 3)), F_LAST);
}

/** The statistics of `count` times the value at `values`. */
export function writeConstantStatistics(header: usize, values: usize, count: u32): void {
  const v = load<f64>(values);
  if (count < 2 || v != v) {
    writeStatistics(header, values, count);
    return;
  }
  writeEnds(header, values, 0, count - 1);
  store<f64>(header, v, F_MIN);
  store<f64>(header, v, F_MAX);
  store<f64>(header, v * <f64>count, F_SUM);
  store<f64>(header, 0, F_RESET_SUM);
  store<u32>(header, 0, F_RESETS);
  store<u32>(header, 0, F_STALES);
  store<u32>(header, 0, F_NANS);
}

/** One NaN for all that were computed: which bits a computed NaN has is the machine's choice. */
function canonical(value: f64): f64 {
  return value != value ? reinterpret<f64>(NORMAL_NAN) : value;
}
