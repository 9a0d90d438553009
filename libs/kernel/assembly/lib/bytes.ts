// libs/kernel/assembly/lib/bytes.ts: comparing and copying short byte strings with wide loads and stores.
// Callers keep 128 B of slack behind every buffer: a copy may write, and a load may read, up to 64 B past the end.

/**
 * Whether n bytes at a and b are equal. Reads exactly those bytes. In steps of 64, the last of which overlaps what was compared
 * before: lengths differ from label set to label set, and a loop whose count can't be predicted costs more than the bytes.
 */
// @ts-ignore: decorator
@inline
export function equalBytes(a: usize, b: usize, n: u32): bool {
  if (n < 64) return equalShort(a, b, n);
  let difference = i64x2.splat(0);
  for (let i: u32 = 0; i + 64 < n; i += 64) difference = v128.or(difference, differ64(a + i, b + i));
  return !v128.any_true(v128.or(difference, differ64(a + n - 64, b + n - 64)));
}

// @ts-ignore: decorator
@inline
function differ64(a: usize, b: usize): v128 {
  const x = v128.or(v128.xor(v128.load(a), v128.load(b)), v128.xor(v128.load(a, 16), v128.load(b, 16)));
  const y = v128.or(v128.xor(v128.load(a, 32), v128.load(b, 32)), v128.xor(v128.load(a, 48), v128.load(b, 48)));
  return v128.or(x, y);
}

function equalShort(a: usize, b: usize, n: u32): bool {
  if (n >= 16) {
    let difference = v128.xor(v128.load(a + n - 16), v128.load(b + n - 16));
    for (let i: u32 = 0; i + 16 < n; i += 16) difference = v128.or(difference, v128.xor(v128.load(a + i), v128.load(b + i)));
    return !v128.any_true(difference);
  }
  if (n >= 8) return ((load<u64>(a) ^ load<u64>(b)) | (load<u64>(a + n - 8) ^ load<u64>(b + n - 8))) == 0;
  for (let i: u32 = 0; i < n; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

/** Copies n bytes to a place that does not overlap; writes up to 15 bytes more. */
// @ts-ignore: decorator
@inline
export function copyWide(to: usize, from: usize, n: u32): void {
  v128.store(to, v128.load(from));
  for (let i: u32 = 16; i < n; i += 16) v128.store(to + i, v128.load(from + i));
}

/** Like copyWide for what is mostly longer; writes up to 48 bytes more. */
// @ts-ignore: decorator
@inline
export function copyWide48(to: usize, from: usize, n: u32): void {
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  for (let i: u32 = 48; i < n; i += 16) v128.store(to + i, v128.load(from + i));
}
