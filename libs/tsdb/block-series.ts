// libs/tsdb/block-series.ts: which of this node's series a block has, and where: two columns of 32 bits, ascending by series number.

/** Immutable. A block numbers its own series: these are called places here. */
export class BlockSeries {
  /** Ascending. */
  private readonly numbers: Uint32Array;
  private readonly places: Uint32Array;

  /** By place: the series' number. No number twice. */
  constructor(numberOfPlace: Uint32Array) {
    const count = numberOfPlace.length;
    // A pair is one number below 2^53: sorting those needs no comparison function.
    const pairs = Float64Array.from(numberOfPlace, (number, place) => number * count + place).sort();
    this.numbers = Uint32Array.from(pairs, (pair) => Math.floor(pair / count));
    this.places = Uint32Array.from(pairs, (pair) => pair % count);
  }

  get sizeBytes(): number {
    return this.numbers.byteLength + this.places.byteLength;
  }

  get length(): number {
    return this.numbers.length;
  }

  /** The place of a series; -1 when the block has nothing of it. */
  find(series: number): number {
    const at = lowerBound(this.numbers, series, 0);
    return this.numbers[at] === series ? this.places[at]! : -1;
  }

  /**
   * Which of ascending series the block has: their indexes there, ascending, and their places here. Costs as much as the shorter of
   * both lists, a logarithm apart.
   */
  intersect(series: Uint32Array): { readonly indexes: Uint32Array; readonly places: Uint32Array } {
    const { numbers, places } = this;
    const capacity = Math.min(series.length, numbers.length);
    const indexes = new Uint32Array(capacity);
    const found = new Uint32Array(capacity);
    let count = 0;
    for (let i = 0, j = 0; i < series.length && j < numbers.length; ) {
      const [a, b] = [series[i]!, numbers[j]!];
      if (a < b) i = lowerBound(series, b, i + 1);
      else if (b < a) j = lowerBound(numbers, a, j + 1);
      else {
        indexes[count] = i++;
        found[count++] = places[j++]!;
      }
    }
    return { indexes: indexes.subarray(0, count), places: found.subarray(0, count) };
  }
}

/** Index of the first ascending number from `from` on that is not below `wanted`, looking near `from` first. */
function lowerBound(numbers: Uint32Array, wanted: number, from: number): number {
  let low = from;
  let step = 1;
  while (low + step < numbers.length && numbers[low + step]! < wanted) {
    low += step;
    step *= 2;
  }
  let high = Math.min(numbers.length, low + step);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
