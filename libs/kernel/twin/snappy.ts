// libs/kernel/twin/snappy.ts: the snappy block format, byte by byte, as google/snappy's format_description.txt tells it.
// Twin of assembly/lib/snappy.ts: same results, same codes (assembly/lib/codes.ts).

const LENGTH = -1;
const TOO_LONG = -2;
const TRUNCATED = -3;
const OVERRUN = -4;
const OFFSET = -5;
const SHORT = -6;

/** The declared length and where the header ends, or undefined when there is none of 32 bits. */
function readHeader(block: Uint8Array): { length: number; end: number } | undefined {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = block[i];
    if (byte === undefined) return undefined;
    length += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return length < 2 ** 32 ? { length, end: i + 1 } : undefined;
  }
  return undefined;
}

/** The length that the block says it decodes to, or a code. */
export function snappyDeclaredLength(block: Uint8Array): number {
  return readHeader(block)?.length ?? LENGTH;
}

/** Decodes a block of at most `cap` bytes; a code when it is malformed. */
export function snappyDecode(block: Uint8Array, cap: number): Uint8Array | number {
  const header = readHeader(block);
  if (header === undefined) return LENGTH;
  if (header.length > cap) return TOO_LONG;
  const out = new Uint8Array(header.length);
  let written = 0;
  let at = header.end;
  while (at < block.length) {
    const tag = block[at++]!;
    const kind = tag & 3;
    const extra = kind === 0 ? Math.max(0, (tag >> 2) - 59) : [0, 1, 2, 4][kind]!;
    if (at + extra > block.length) return TRUNCATED;
    let number = 0;
    for (let i = extra - 1; i >= 0; i--) number = number * 256 + block[at + i]!;
    at += extra;
    if (kind === 0) {
      const length = (extra > 0 ? number : tag >> 2) + 1;
      if (at + length > block.length) return TRUNCATED;
      if (written + length > out.length) return OVERRUN;
      out.set(block.subarray(at, at + length), written);
      at += length;
      written += length;
      continue;
    }
    const length = kind === 1 ? 4 + ((tag >> 2) & 7) : (tag >> 2) + 1;
    const offset = kind === 1 ? (tag >> 5) * 256 + number : number;
    if (offset === 0 || offset > written) return OFFSET;
    if (written + length > out.length) return OVERRUN;
    for (let i = 0; i < length; i++) out[written + i] = out[written - offset + i]!;
    written += length;
  }
  return written === out.length ? out : SHORT;
}
