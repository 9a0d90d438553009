// libs/tsdb/late-blocks.ts: memory of the late store: blocks of ascending (time, value), each of a few capacities, cut from slabs that never
// move. A block is a number, so that a million of them are no objects. Values are moved as words: NaN payloads survive.

/** Samples of the smallest block, and of the largest. */
export const BLOCK_SAMPLES_FIRST = 4;
export const BLOCK_SAMPLES = 512;
const SAMPLE_BYTES = 16;
const SIZES = Math.log2(BLOCK_SAMPLES / BLOCK_SAMPLES_FIRST) + 1;
/** Samples of a slab: a multiple of the largest block, so that none reaches over its end. Pages never touched take no memory. */
const SLAB_BITS = 16;
const SLAB_SAMPLES = 1 << SLAB_BITS;
const SLAB_MASK = SLAB_SAMPLES - 1;

export class LateBlocks {
  private readonly times: Float64Array[] = [];
  private readonly words: Uint32Array[] = [];
  /** By block: where it lies (slab and place in it), its samples, and its size: capacity is BLOCK_SAMPLES_FIRST << size. */
  private places = new Uint32Array(64);
  private counts = new Uint16Array(64);
  private sizes = new Uint8Array(64);
  private made = 0;
  private readonly freeBlocks: number[] = [];
  /** Places that are not in use, by size. */
  private readonly freePlaces: number[][] = Array.from({ length: SIZES }, () => []);
  /** What of the last slab is in use. */
  private used = SLAB_SAMPLES;
  private bytes = 0;

  /** Of all blocks that there were at a time. */
  get sizeBytes(): number {
    return this.bytes;
  }

  count(block: number): number {
    return this.counts[block]!;
  }

  capacity(block: number): number {
    return BLOCK_SAMPLES_FIRST << this.sizes[block]!;
  }

  timeAt(block: number, at: number): number {
    const place = this.places[block]! + at;
    return this.times[place >>> SLAB_BITS]![place & SLAB_MASK]!;
  }

  lowAt(block: number, at: number): number {
    const place = this.places[block]! + at;
    return this.words[place >>> SLAB_BITS]![(place & SLAB_MASK) * 2]!;
  }

  highAt(block: number, at: number): number {
    const place = this.places[block]! + at;
    return this.words[place >>> SLAB_BITS]![(place & SLAB_MASK) * 2 + 1]!;
  }

  /** Index of the first sample of a block that is not before the time. */
  lowerBound(block: number, time: number): number {
    const place = this.places[block]!;
    const times = this.times[place >>> SLAB_BITS]!;
    const first = place & SLAB_MASK;
    let low = first;
    let high = first + this.counts[block]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (times[middle]! < time) low = middle + 1;
      else high = middle;
    }
    return low - first;
  }

  /** An empty block for `capacity` samples: a power of two from BLOCK_SAMPLES_FIRST to BLOCK_SAMPLES. */
  make(capacity: number): number {
    const block = this.freeBlocks.pop() ?? this.made++;
    if (block === this.places.length) this.grow();
    const size = Math.log2(capacity / BLOCK_SAMPLES_FIRST);
    this.places[block] = this.takePlace(size);
    this.sizes[block] = size;
    this.counts[block] = 0;
    return block;
  }

  /** Its memory serves other blocks. */
  drop(block: number): void {
    this.freePlaces[this.sizes[block]!]!.push(this.places[block]!);
    this.freeBlocks.push(block);
  }

  /** Gives a block twice the room. */
  enlarge(block: number): void {
    const from = this.places[block]!;
    const size = this.sizes[block]!;
    const to = this.takePlace(size + 1);
    this.copy(from, this.counts[block]!, to);
    this.freePlaces[size]!.push(from);
    this.places[block] = to;
    this.sizes[block] = size + 1;
  }

  /** Moves the samples from `at` on to the beginning of an empty block. */
  moveEnd(block: number, at: number, to: number): void {
    const moved = this.counts[block]! - at;
    this.copy(this.places[block]! + at, moved, this.places[to]!);
    this.counts[block] = at;
    this.counts[to] = moved;
  }

  /** Puts a sample before the one at `at`; the block has room. */
  insert(block: number, at: number, time: number, low: number, high: number): void {
    const place = this.places[block]!;
    const slab = place >>> SLAB_BITS;
    const start = (place & SLAB_MASK) + at;
    const count = this.counts[block]!;
    const times = this.times[slab]!;
    const words = this.words[slab]!;
    if (at < count) {
      const end = start + count - at;
      times.copyWithin(start + 1, start, end);
      words.copyWithin((start + 1) * 2, start * 2, end * 2);
    }
    times[start] = time;
    words[start * 2] = low;
    words[start * 2 + 1] = high;
    this.counts[block] = count + 1;
  }

  /** Gives a sample another value. */
  replace(block: number, at: number, low: number, high: number): void {
    const place = this.places[block]! + at;
    const words = this.words[place >>> SLAB_BITS]!;
    words[(place & SLAB_MASK) * 2] = low;
    words[(place & SLAB_MASK) * 2 + 1] = high;
  }

  /** Copies the samples [from, to) of a block to columns. */
  read(block: number, from: number, to: number, times: Float64Array, words: Uint32Array, at: number): void {
    const place = this.places[block]!;
    const start = (place & SLAB_MASK) + from;
    const end = start + to - from;
    times.set(this.times[place >>> SLAB_BITS]!.subarray(start, end), at);
    words.set(this.words[place >>> SLAB_BITS]!.subarray(start * 2, end * 2), at * 2);
  }

  private copy(from: number, count: number, to: number): void {
    const [start, target] = [from & SLAB_MASK, to & SLAB_MASK];
    const times = this.times[from >>> SLAB_BITS]!.subarray(start, start + count);
    const words = this.words[from >>> SLAB_BITS]!.subarray(start * 2, (start + count) * 2);
    this.times[to >>> SLAB_BITS]!.set(times, target);
    this.words[to >>> SLAB_BITS]!.set(words, target * 2);
  }

  private takePlace(size: number): number {
    const free = this.freePlaces[size]!.pop();
    if (free !== undefined) return free;
    const capacity = BLOCK_SAMPLES_FIRST << size;
    // Blocks lie at multiples of their sizes, and so end with their slab.
    this.used = Math.ceil(this.used / capacity) * capacity;
    if (this.used === SLAB_SAMPLES) {
      this.times.push(new Float64Array(SLAB_SAMPLES));
      this.words.push(new Uint32Array(SLAB_SAMPLES * 2));
      this.used = 0;
    }
    const place = (this.times.length - 1) * SLAB_SAMPLES + this.used;
    this.used += capacity;
    this.bytes += capacity * SAMPLE_BYTES;
    return place;
  }

  private grow(): void {
    const { places, counts, sizes } = this;
    this.places = new Uint32Array(places.length * 2);
    this.places.set(places);
    this.counts = new Uint16Array(counts.length * 2);
    this.counts.set(counts);
    this.sizes = new Uint8Array(sizes.length * 2);
    this.sizes.set(sizes);
  }
}
