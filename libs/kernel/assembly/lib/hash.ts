// libs/kernel/assembly/lib/hash.ts: a seeded 32-bit tag of label bytes for the form table, never stored nor sent.
// NH (Black et al., UMAC, 1999) over secret keys: sums of (m + k)(m' + k') mod 2^64, so that who doesn't know the keys cannot
// choose colliding labels; equal lengths use equal keys. A multiplicative finish spreads the sums over the tag's high bits.

/** Bytes of secret key: 1,024 for blocks, 64 for the last block, 32 for the finish. */
export const HASH_KEY_BYTES: usize = 1120;
const LAST_KEY: usize = 1024;
const FINISH_KEY: usize = 1088;

// @ts-ignore: decorator
@inline
function block(acc: v128, x: v128, y: v128, keys: usize): v128 {
  const a = i32x4.add(x, v128.load(keys));
  const b = i32x4.add(y, v128.load(keys, 16));
  return i64x2.add(i64x2.add(acc, i64x2.extmul_low_i32x4_u(a, b)), i64x2.extmul_high_i32x4_u(a, b));
}

// @ts-ignore: decorator
@inline
function finish(acc: v128, n: u32, keys: usize): u32 {
  const k = keys + FINISH_KEY;
  let h = (i64x2.extract_lane(acc, 0) ^ load<u64>(k)) * (load<u64>(k, 8) | 1);
  h ^= h >> 32;
  h = (h + i64x2.extract_lane(acc, 1) + n) * (load<u64>(k, 16) | 1);
  h ^= h >> 29;
  return <u32>((h * (load<u64>(k, 24) | 1)) >> 32);
}

function shortTag(keys: usize, p: usize, n: u32): u32 {
  let x = i64x2.splat(0);
  let y = i64x2.splat(0);
  if (n >= 32) {
    const last = p + n - 32;
    const first = block(x, v128.load(p), v128.load(p, 16), keys);
    return finish(block(first, v128.load(last), v128.load(last, 16), keys + 32), n, keys);
  }
  if (n >= 16) {
    x = v128.load(p);
    y = v128.load(p + n - 16);
  } else if (n >= 8) {
    x = i64x2.splat(load<u64>(p));
    y = i64x2.splat(load<u64>(p + n - 8));
  } else {
    let word: u64 = 0;
    for (let i: u32 = 0; i < n; i++) word |= <u64>load<u8>(p + i) << (i * 8);
    x = i64x2.splat(word);
  }
  return finish(block(i64x2.splat(0), x, y, keys), n, keys);
}

/** The tag of n bytes at p. Reads exactly those: the last block overlaps the one before. */
// @ts-ignore: decorator
@inline
export function labelTag(keys: usize, p: usize, n: u32): u32 {
  if (n < 64) return shortTag(keys, p, n);
  let acc = i64x2.splat(0);
  const last = p + n - 64;
  let key: usize = 0;
  for (let q = p; q < last; q += 64) {
    acc = block(acc, v128.load(q), v128.load(q, 16), keys + key);
    acc = block(acc, v128.load(q, 32), v128.load(q, 48), keys + key + 32);
    key += 64;
    if (key == LAST_KEY) {
      // Keys come again after 1 KiB: what came before is multiplied, so that blocks do not commute.
      key = 0;
      acc = i64x2.mul(v128.xor(acc, i64x2.shr_u(acc, 29)), v128.or(v128.load(keys + FINISH_KEY), i64x2.splat(1)));
    }
  }
  acc = block(acc, v128.load(last), v128.load(last, 16), keys + LAST_KEY);
  acc = block(acc, v128.load(last, 32), v128.load(last, 48), keys + LAST_KEY + 32);
  return finish(acc, n, keys);
}
