// services/insert/snappy-form.ts: what a snappy block says about itself before it is decompressed.

/** A copy of 64 bytes takes three bytes of input: no block holds more than this many times its length. */
export const SNAPPY_RATIO_MAX = 22;

/** The length that a block (in one piece or several) declares, or 0 when it begins with no such number. */
export function declaredLength(parts: readonly Uint8Array[]): number {
  let value = 0;
  let scale = 1;
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) {
      const byte = part[i]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
      // The format ends at 32 bits; what is longer is for the decoder to refuse.
      if (scale > 2 ** 28) return value + (part[i + 1] ?? 0) * scale;
    }
  }
  return 0;
}
