// libs/chunk/constants.ts: the numbers of FORMAT.md, for readers of head chunks in TypeScript.

/** Bits of a hole: an ordinal of the group at which the series has no sample. */
export const HOLE_HIGH = 0x7ff00000;
export const HOLE_LOW = 0x00000003;
export const HOLE_BITS = 0x7ff0_0000_0000_0003n;
export const STALE_BITS = 0x7ff0_0000_0000_0002n;

export const CHUNK_HEADER_BYTES = 28;
export const CHUNK_ORDINALS_MAX = 128;
export const CHUNK_ORDINALS_CONSTANT_MAX = 65_520;
export const FRAME_SAMPLES = 16;
/** A longer gap begins a new chunk. */
export const GAP_HOLES_MAX = 32;

export const CHUNK_CONSTANT = 1;
export const CHUNK_HOLES = 2;
export const CHUNK_STALE = 4;
export const CHUNK_NAN = 8;

export const FRAME_RUN = 0;
export const FRAME_SAME = 1;
export const FRAME_XOR = 2;
export const FRAME_DECIMAL = 3;
export const FRAME_HAS_HOLES = 4;
export const FRAME_HAS_STALE = 8;
export const FRAME_DENSE = 16;

/** Whether the value with these words is a hole. */
export function isHole(high: number, low: number): boolean {
  return high === HOLE_HIGH && low === HOLE_LOW;
}
