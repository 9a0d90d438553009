// libs/kernel/assembly/lib/packed.ts: columns of values without the zero bytes at their low ends (libs/kernel/FORMAT.md, "Packed values").
// Half of what targets report is 0 or a small integer, whose doubles end in zero bytes: 2.9 bytes a value on node_exporter data where
// plain ones take 8, for 2 ns on either side. That is less to copy, to send, to checksum and to sync.
// HOT: bench test/bench/packed.bench.ts, twin libs/kernel/packed-values.ts. Moves 8 bytes at a time: 8 bytes of slack behind input and output.

/** Bytes that a value keeps: those above its trailing zero bytes. */
// @ts-ignore: decorator
@inline
function keptBytes(bits: u64): u32 {
  return 8 - (<u32>ctz(bits) >> 3);
}

/** A nibble a value. */
// @ts-ignore: decorator
@inline
function controlBytes(count: u32): usize {
  return <usize>(count >> 1) + (count & 1);
}

// @ts-ignore: decorator
@inline
function keep(to: usize, bits: u64, kept: u32): void {
  // Nothing kept: the value is 0, whatever the shift.
  store<u64>(to, bits >> <u64>((64 - (kept << 3)) & 63));
}

/** Packs `count` values to `to`, which may lie before `values` if the distance is at least count / 2 + 8. Returns where the column ends. */
export function packColumn(values: usize, count: u32, to: usize): usize {
  let control = to;
  let data = to + controlBytes(count);
  const pairs = values + (<usize>(count & ~1) << 3);
  for (; values < pairs; values += 16) {
    const first = load<u64>(values);
    const second = load<u64>(values, 8);
    const one = keptBytes(first);
    const two = keptBytes(second);
    store<u8>(control++, <u8>(one | (two << 4)));
    keep(data, first, one);
    data += one;
    keep(data, second, two);
    data += two;
  }
  if ((count & 1) == 0) return data;
  const bits = load<u64>(values);
  store<u8>(control, <u8>keptBytes(bits));
  keep(data, bits, keptBytes(bits));
  return data + keptBytes(bits);
}

/**
 * The same for the values whose numbers stand in the low 24 bits of the second words of a list of u32 pairs.
 * `to` must not overlap `values`.
 */
export function packListed(values: usize, list: usize, count: u32, to: usize): usize {
  let control = to;
  let data = to + controlBytes(count);
  const pairs = list + (<usize>(count & ~1) << 3);
  for (; list < pairs; list += 16) {
    const first = load<u64>(values + (<usize>(load<u32>(list, 4) & 0xff_ffff) << 3));
    const second = load<u64>(values + (<usize>(load<u32>(list, 12) & 0xff_ffff) << 3));
    const one = keptBytes(first);
    const two = keptBytes(second);
    store<u8>(control++, <u8>(one | (two << 4)));
    keep(data, first, one);
    data += one;
    keep(data, second, two);
    data += two;
  }
  if ((count & 1) == 0) return data;
  const bits = load<u64>(values + (<usize>(load<u32>(list, 4) & 0xff_ffff) << 3));
  store<u8>(control, <u8>keptBytes(bits));
  keep(data, bits, keptBytes(bits));
  return data + keptBytes(bits);
}

/** Whether the bytes [from, end) are a packed column of `count` values. Reads nothing beyond them. */
export function isPacked(from: usize, end: usize, count: u32): bool {
  const controls = controlBytes(count);
  if (controls > end - from) return false;
  const controlEnd = from + controls;
  const low = i8x16.splat(15);
  let most = i8x16.splat(0);
  let sums = i32x4.splat(0);
  let at = from;
  for (; at + 16 <= controlEnd; at += 16) {
    const both = v128.load(at);
    const one = v128.and(both, low);
    const two = i8x16.shr_u(both, 4);
    most = i8x16.max_u(most, i8x16.max_u(one, two));
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(i8x16.add(one, two))));
  }
  let kept: u64 = 0;
  kept += i32x4.extract_lane(sums, 0);
  kept += i32x4.extract_lane(sums, 1);
  kept += i32x4.extract_lane(sums, 2);
  kept += i32x4.extract_lane(sums, 3);
  let bad = v128.any_true(i8x16.gt_u(most, i8x16.splat(8)));
  let last: u32 = 0;
  for (; at < controlEnd; at++) {
    last = load<u8>(at);
    if ((last & 15) > 8 || last >> 4 > 8) bad = true;
    kept += (last & 15) + (last >> 4);
  }
  if ((count & 1) != 0 && load<u8>(controlEnd - 1) >> 4 != 0) bad = true;
  return !bad && kept == <u64>(end - controlEnd);
}

/** Unpacks a column that isPacked has checked. */
export function unpackColumn(from: usize, count: u32, to: usize): void {
  let control = from;
  let data = from + controlBytes(count);
  const end = to + (<usize>count << 3);
  while (to < end) {
    const both = <u32>load<u8>(control++);
    const one = both & 15;
    const two = both >> 4;
    // A shift by 64 is one by 0, and nothing kept means 0.
    store<u64>(to, select<u64>(load<u64>(data) << <u64>((64 - (one << 3)) & 63), 0, one != 0));
    data += one;
    if (to + 8 == end) return;
    store<u64>(to, select<u64>(load<u64>(data) << <u64>((64 - (two << 3)) & 63), 0, two != 0), 8);
    data += two;
    to += 16;
  }
}
