// libs/block/payload-buffers.ts: memory that payloads are read into, used again by the next who reads: the system takes longer to give a new
// array of tens of kilobytes than to fill it from its cache of the file.

/** Sizes are powers of two from here on. */
const SMALLEST = 4096;
/** What lies ready for the next query. */
const FREE_BYTES_MAX = 16 << 20;

/** The buffers that nobody uses, by size. */
const free: Uint8Array[][] = [];
let freeBytes = 0;

/** A buffer of so many bytes or more, with anything in it. */
export function takeBuffer(bytes: number): Uint8Array {
  const log2 = 32 - Math.clz32(Math.max(bytes, SMALLEST) - 1);
  const found = free[log2]?.pop();
  if (found === undefined) return Buffer.allocUnsafeSlow(2 ** log2);
  freeBytes -= found.length;
  return found;
}

/** Gives back a buffer that was taken; nobody may look at it any more. */
export function giveBuffer(buffer: Uint8Array): void {
  if (freeBytes + buffer.length > FREE_BYTES_MAX) return;
  const log2 = 31 - Math.clz32(buffer.length);
  free[log2] ??= [];
  free[log2].push(buffer);
  freeBytes += buffer.length;
}
