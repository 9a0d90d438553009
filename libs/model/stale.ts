// libs/model/stale.ts: the staleness marker, told from other NaNs by its bits.
// Prometheus writes 0x7ff0000000000002 when a series ends. Copies between Float64Arrays keep the bits; plain arrays,
// arithmetic and structured clones may set the quiet bit, so both forms count as stale.
import { assert } from "./errors.ts";

const words = new Uint32Array(2);
const float = new Float64Array(words.buffer);

/** The low and high 32-bit words of the stale marker. */
export const STALE_LOW = 0x00000002;
export const STALE_HIGH = 0x7ff00000;
/** The high word when an engine has quieted the signalling NaN. */
export const STALE_HIGH_QUIET = 0x7ff80000;

/** Whether a value is the staleness marker. In hot loops test `v !== v` first: only NaNs can be stale. */
export function isStale(value: number): boolean {
  float[0] = value;
  return words[0] === STALE_LOW && (words[1] === STALE_HIGH || words[1] === STALE_HIGH_QUIET);
}

/** Writes the stale marker's exact bits at `index` of the column, without passing through a JS number. */
export function writeStale(column: Float64Array, index: number): void {
  // A column is often a view into a longer buffer, whose other bytes are somebody else's.
  assert(index >= 0 && index < column.length, "a stale marker is written inside its column");
  const bits = new Uint32Array(column.buffer, column.byteOffset + index * 8, 2);
  bits[0] = STALE_LOW;
  bits[1] = STALE_HIGH;
}
