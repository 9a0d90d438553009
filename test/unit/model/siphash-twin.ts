// test/unit/model/siphash-twin.ts: SipHash-2-4 with 64- and 128-bit output, written down from the paper with BigInt.
// Slow and obvious: the reference that golden vectors and the kernel are held against. Aumasson, Bernstein, INDOCRYPT 2012.
const MASK = (1n << 64n) - 1n;
const rotate = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (64n - by))) & MASK;

function read64(bytes: Uint8Array, at: number): bigint {
  let value = 0n;
  for (let i = 7; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

function write64(out: Uint8Array, at: number, value: bigint): void {
  for (let i = 0; i < 8; i++) out[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** SipHash-2-4 of `message` under a 16-byte key; 8 or 16 bytes of output. */
export function sipHash(key: Uint8Array, message: Uint8Array, outputBytes: 8 | 16): Uint8Array {
  const k0 = read64(key, 0);
  const k1 = read64(key, 8);
  const wide = outputBytes === 16;
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn ^ (wide ? 0xeen : 0n);
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i++) {
      v0 = (v0 + v1) & MASK;
      v2 = (v2 + v3) & MASK;
      v1 = rotate(v1, 13n) ^ v0;
      v3 = rotate(v3, 16n) ^ v2;
      v0 = rotate(v0, 32n);
      v2 = (v2 + v1) & MASK;
      v0 = (v0 + v3) & MASK;
      v1 = rotate(v1, 17n) ^ v2;
      v3 = rotate(v3, 21n) ^ v0;
      v2 = rotate(v2, 32n);
    }
  };
  const whole = message.length - (message.length % 8);
  for (let at = 0; at <= whole; at += 8) {
    const word = read64(message, at) | (at === whole ? BigInt(message.length & 0xff) << 56n : 0n);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  const out = new Uint8Array(outputBytes);
  v2 ^= wide ? 0xeen : 0xffn;
  rounds(4);
  write64(out, 0, v0 ^ v1 ^ v2 ^ v3);
  if (wide) {
    v1 ^= 0xddn;
    rounds(4);
    write64(out, 8, v0 ^ v1 ^ v2 ^ v3);
  }
  return out;
}
