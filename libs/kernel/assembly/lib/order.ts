// libs/kernel/assembly/lib/order.ts: puts a batch's samples into the order that gives long runs: by time, and by reference within a time.
// HOT: radix sort over u32 pairs (reference, sample number). Some clients send series in no order, or several samples of each in a row;
// a target's references are neighbours all the same, because they were given together.

const RADIX_BITS: u32 = 11;
const RADIX: u32 = 2048;
/** More distinct times than this and the samples stay in the order of references. */
const TIMES_MAX: u32 = 64;
/** Fewer samples are not worth it. */
const COUNT_MIN: u32 = 16;
/** Counters of one radix pass, then the distinct times, then the order of those. */
export const SCRATCH_BYTES: usize = 8192 + 1024;
const TIMES_AT: usize = 8192;
const RANKS_AT: usize = 8192 + 512;

/** The time of a listed sample. */
// @ts-ignore: decorator
@inline
export function timeAt(times: usize, pair: usize): f64 {
  return load<f64>(times + (<usize>(load<u32>(pair, 4) & 0xff_ffff) << 3));
}

/** Whether so many samples in so many runs are worth sorting: a run for every fourth sample or worse. */
export function isScattered(count: u32, runs: u32): bool {
  return count >= COUNT_MIN && runs - 1 > count >> 2;
}

/** Sorts the list, with `other` as room for as many pairs. Stable. Returns where the result is: `list` or `other`. */
export function orderSamples(list: usize, other: usize, count: u32, times: usize, scratch: usize): usize {
  const bytes = <usize>count << 3;
  let least: u32 = u32.MAX_VALUE;
  let greatest: u32 = 0;
  for (let at = list; at < list + bytes; at += 8) {
    const ref = load<u32>(at);
    least = min(least, ref);
    greatest = max(greatest, ref);
  }
  let from = list;
  let to = other;
  for (let shift: u32 = 0; shift < 32 && (greatest - least) >> shift != 0; shift += RADIX_BITS) {
    memory.fill(scratch, 0, RADIX << 2);
    for (let at = from; at < from + bytes; at += 8) {
      const slot = scratch + (<usize>(((load<u32>(at) - least) >> shift) & (RADIX - 1)) << 2);
      store<u32>(slot, load<u32>(slot) + 8);
    }
    let sum: u32 = <u32>to;
    for (let slot = scratch; slot < scratch + (RADIX << 2); slot += 4) {
      const here = load<u32>(slot);
      store<u32>(slot, sum);
      sum += here;
    }
    for (let at = from; at < from + bytes; at += 8) {
      const slot = scratch + (<usize>(((load<u32>(at) - least) >> shift) & (RADIX - 1)) << 2);
      const place = load<u32>(slot);
      store<u64>(<usize>place, load<u64>(at));
      store<u32>(slot, place + 8);
    }
    const swap = from;
    from = to;
    to = swap;
  }
  // No reference twice: neighbours have one time as a rule, and nothing more is to be won.
  let repeated = false;
  for (let at = from + 8; at < from + bytes; at += 8) repeated = repeated || load<u32>(at) == load<u32>(at - 8);
  if (!repeated || !markTimes(from, count, times, scratch)) return from;
  for (let at = from; at < from + bytes; at += 8) {
    const slot = scratch + (<usize>(load<u32>(at, 4) >> 24) << 2);
    const place = <usize>load<u32>(slot) + to;
    store<u64>(place, load<u64>(at));
    store<u32>(slot, load<u32>(slot) + 8);
  }
  return to;
}

/**
 * Puts the number of each sample's time into the top byte of its pair, and the offset at which the samples of each time
 * begin into the counters. Returns false when there are too many times.
 */
function markTimes(list: usize, count: u32, times: usize, scratch: usize): bool {
  const known = scratch + TIMES_AT;
  let distinct: u32 = 0;
  let number: u32 = 0;
  const end = list + (<usize>count << 3);
  memory.fill(scratch, 0, TIMES_MAX << 2);
  for (let at = list; at < end; at += 8) {
    const time = timeAt(times, at);
    if (distinct == 0 || load<f64>(known + (<usize>number << 3)) != time) {
      number = 0;
      while (number < distinct && load<f64>(known + (<usize>number << 3)) != time) number++;
      if (number == distinct) {
        if (distinct == TIMES_MAX) return false;
        store<f64>(known + (<usize>distinct << 3), time);
        distinct++;
      }
    }
    store<u32>(at, (load<u32>(at, 4) & 0xff_ffff) | (number << 24), 4);
    const slot = scratch + (<usize>number << 2);
    store<u32>(slot, load<u32>(slot) + 8);
  }
  // Insertion sort of the few times' numbers, then counts become offsets in that order.
  const ranks = scratch + RANKS_AT;
  for (let i: u32 = 0; i < distinct; i++) {
    const time = load<f64>(known + (<usize>i << 3));
    let j = i;
    for (; j > 0 && load<f64>(known + (<usize>load<u8>(ranks + j - 1) << 3)) > time; j--) {
      store<u8>(ranks + j, load<u8>(ranks + j - 1));
    }
    store<u8>(ranks + j, <u8>i);
  }
  let sum: u32 = 0;
  for (let i: u32 = 0; i < distinct; i++) {
    const slot = scratch + (<usize>load<u8>(ranks + i) << 2);
    const here = load<u32>(slot);
    store<u32>(slot, sum);
    sum += here;
  }
  return true;
}
