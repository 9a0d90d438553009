// libs/kernel/assembly/lib/siphash.ts: SipHash-2-4 with 128-bit output (Aumasson and Bernstein, 2012, and their reference code's siphash_x). It makes series ids.

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

function rounds(n: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    v0 += v1;
    v1 = rotl<u64>(v1, 13) ^ v0;
    v0 = rotl<u64>(v0, 32);
    v2 += v3;
    v3 = rotl<u64>(v3, 16) ^ v2;
    v0 += v3;
    v3 = rotl<u64>(v3, 21) ^ v0;
    v2 += v1;
    v1 = rotl<u64>(v1, 17) ^ v2;
    v2 = rotl<u64>(v2, 32);
  }
}

/** Writes the 16-byte hash of n bytes at p, under the 16-byte key, to `out`. */
export function siphash128(key: usize, p: usize, n: u32, out: usize): void {
  const k0 = load<u64>(key);
  const k1 = load<u64>(key, 8);
  v0 = k0 ^ 0x736f_6d65_7073_6575;
  v1 = k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee;
  v2 = k0 ^ 0x6c79_6765_6e65_7261;
  v3 = k1 ^ 0x7465_6462_7974_6573;
  const whole = p + (n & ~7);
  for (let q = p; q < whole; q += 8) {
    const word = load<u64>(q);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  let tail = <u64>n << 56;
  for (let i: u32 = 0; i < (n & 7); i++) tail |= <u64>load<u8>(whole + i) << (i * 8);
  v3 ^= tail;
  rounds(2);
  v0 ^= tail;
  v2 ^= 0xee;
  rounds(4);
  store<u64>(out, v0 ^ v1 ^ v2 ^ v3);
  v1 ^= 0xdd;
  rounds(4);
  store<u64>(out, v0 ^ v1 ^ v2 ^ v3, 8);
}
