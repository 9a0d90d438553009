// libs/kernel/twin/siphash.ts: SipHash-2-4 with 128-bit output in plain steps, as the reference code defines it.
// Twin of assembly/lib/siphash.ts; also what a process without the ingest kernel uses.

const MASK = (1n << 64n) - 1n;

function word(bytes: Uint8Array, at: number, length: number): bigint {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return value;
}

const rotate = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & MASK;

/** The 16-byte SipHash-2-4-128 of a message under a 16-byte key. */
export function siphash128(key: Uint8Array, message: Uint8Array): Uint8Array {
  const k0 = word(key, 0, 8);
  const k1 = word(key, 8, 8);
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn ^ 0xeen;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i++) {
      v0 = (v0 + v1) & MASK;
      v1 = rotate(v1, 13n) ^ v0;
      v0 = rotate(v0, 32n);
      v2 = (v2 + v3) & MASK;
      v3 = rotate(v3, 16n) ^ v2;
      v0 = (v0 + v3) & MASK;
      v3 = rotate(v3, 21n) ^ v0;
      v2 = (v2 + v1) & MASK;
      v1 = rotate(v1, 17n) ^ v2;
      v2 = rotate(v2, 32n);
    }
  };
  const whole = message.length - (message.length % 8);
  for (let at = 0; at <= whole; at += 8) {
    const last = at === whole;
    const m = last
      ? (BigInt(message.length & 255) << 56n) | word(message, whole, message.length - whole)
      : word(message, at, 8);
    v3 ^= m;
    rounds(2);
    v0 ^= m;
  }
  const out = new DataView(new ArrayBuffer(16));
  v2 ^= 0xeen;
  rounds(4);
  out.setBigUint64(0, v0 ^ v1 ^ v2 ^ v3, true);
  v1 ^= 0xddn;
  rounds(4);
  out.setBigUint64(8, v0 ^ v1 ^ v2 ^ v3, true);
  return new Uint8Array(out.buffer);
}
