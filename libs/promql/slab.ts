// libs/promql/slab.ts: columns of numbers cut from larger arrays: V8 takes most of a microsecond to make an array of its own for one, a tenth of that
// for a part of another.

/** Numbers in one array, unless a single column has more. */
const SLAB_NUMBERS = 8192;
const BYTES = Float64Array.BYTES_PER_ELEMENT;

/** Columns of one length. Each is its taker's alone, but they share memory, which goes with the last of them. */
export class Slab {
  private readonly length: number;
  private readonly onGrow: ((bytes: number) => void) | undefined;
  private buffer = new ArrayBuffer(0);
  private usedBytes = 0;
  private taken = 0;
  /** How many will still be taken, as far as is known. */
  private left: number;

  /**
   * @param columns how many will be taken, about: memory for more is not made at once
   * @param onGrow hears of the bytes of each array before it is made; what it throws, `next` throws
   */
  constructor(length: number, columns = 1, onGrow?: (bytes: number) => void) {
    this.length = length;
    this.left = columns;
    this.onGrow = onGrow;
  }

  /** The next column, all zeros. */
  next(): Float64Array {
    const bytes = this.length * BYTES;
    if (this.usedBytes + bytes > this.buffer.byteLength) this.grow();
    const column = new Float64Array(this.buffer, this.usedBytes, this.length);
    this.usedBytes += bytes;
    this.taken++;
    this.left--;
    return column;
  }

  /** Where more are taken than was said, as many as there are. */
  private grow(): void {
    const columns = Math.max(1, this.left, this.taken);
    const numbers = Math.max(this.length, Math.min(SLAB_NUMBERS, this.length * columns));
    this.onGrow?.(numbers * BYTES);
    this.buffer = new ArrayBuffer(numbers * BYTES);
    this.usedBytes = 0;
  }
}
