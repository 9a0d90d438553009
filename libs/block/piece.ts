// libs/block/piece.ts: series on their way to a builder, a quarter of a mebibyte at a time, in a few arrays whose buffers are given away.
// A time column is sent once and then named by its number, however many series have it.
import { InvalidError } from "../model/index.ts";

/** A piece is sent when it has so many bytes: half a millisecond's work where it is made, where writes wait meanwhile. */
export const PIECE_BYTES = 1 << 18;

/** Series in ascending order of their keys, going on where the piece before ended. */
export interface BlockPiece {
  /**
   * Numbers of the time columns that this piece defines, each once. One stays valid, and in the builder's memory, until a later piece defines
   * its number anew: columns of one series only should share a few numbers.
   */
  readonly timeNumbers: Uint32Array;
  /** How many times each of these has. */
  readonly timeCounts: Uint32Array;
  /** Their times, one column after another. */
  readonly times: Float64Array;
  /** Per series: the length of its key. */
  readonly keyLengths: Uint32Array;
  readonly keys: Uint8Array;
  /** Per series: the number of its time column, defined here or before. */
  readonly seriesTimes: Uint32Array;
  /** Per series: its columns, each with as many values as there are times. */
  readonly values: Float64Array;
}

/** The buffers of a piece, to be transferred. */
export function transferOf(piece: BlockPiece): ArrayBuffer[] {
  return [...new Set(Object.values(piece).map((array: Uint8Array) => array.buffer as ArrayBuffer))];
}

/** Room for a whole piece's values, so that few of them are copied twice; pages that are not touched take no memory. */
const VALUES_FIRST = (PIECE_BYTES + (PIECE_BYTES >> 2)) / Float64Array.BYTES_PER_ELEMENT;

/** A column that grows. */
class Growing<Column extends Uint8Array | Float64Array> {
  private readonly make: (length: number) => Column;
  private readonly first: number;
  private column: Column | undefined;
  private used = 0;

  constructor(make: (length: number) => Column, first: number) {
    this.make = make;
    this.first = first;
  }

  get sizeBytes(): number {
    return this.column === undefined ? 0 : this.used * this.column.BYTES_PER_ELEMENT;
  }

  append(view: Column): void {
    const end = this.used + view.length;
    let { column } = this;
    if (column === undefined) column = this.make(Math.max(end, this.first));
    else if (end > column.length) {
      const longer = this.make(Math.max(end, column.length * 2));
      longer.set(column.subarray(0, this.used));
      column = longer;
    }
    column.set(view, this.used);
    this.column = column;
    this.used = end;
  }

  take(): Column {
    const taken = (this.column ?? this.make(0)).subarray(0, this.used) as Column;
    this.column = undefined;
    this.used = 0;
    return taken;
  }
}

const floats = (length: number): Float64Array<ArrayBuffer> => new Float64Array(length);
const bytes = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(length);

/** Makes pieces; copies what it is given. */
export class PieceWriter {
  private timeNumbers: number[] = [];
  private timeCounts: number[] = [];
  private readonly times = new Growing<Float64Array>(floats, 1 << 9);
  private keyLengths: number[] = [];
  private readonly keys = new Growing<Uint8Array>(bytes, 1 << 12);
  private seriesTimes: number[] = [];
  private readonly values = new Growing<Float64Array>(floats, VALUES_FIRST);

  /** Whether it is time to take the piece. */
  get full(): boolean {
    return this.times.sizeBytes + this.keys.sizeBytes + this.values.sizeBytes >= PIECE_BYTES;
  }

  /** Defines a time column for this piece's series and those after. */
  defineTimes(number: number, times: Float64Array): this {
    this.timeNumbers.push(number);
    this.timeCounts.push(times.length);
    this.times.append(times);
    return this;
  }

  addSeries(key: Uint8Array, times: number, ...columns: Float64Array[]): this {
    this.keyLengths.push(key.length);
    this.keys.append(key);
    this.seriesTimes.push(times);
    for (const values of columns) this.values.append(values);
    return this;
  }

  /** What was added since the last call. */
  take(): BlockPiece {
    const piece: BlockPiece = {
      timeNumbers: Uint32Array.from(this.timeNumbers),
      timeCounts: Uint32Array.from(this.timeCounts),
      times: this.times.take(),
      keyLengths: Uint32Array.from(this.keyLengths),
      keys: this.keys.take(),
      seriesTimes: Uint32Array.from(this.seriesTimes),
      values: this.values.take(),
    };
    this.timeNumbers = [];
    this.timeCounts = [];
    this.keyLengths = [];
    this.seriesTimes = [];
    return piece;
  }
}

const sumOf = (counts: Uint32Array): number => counts.reduce((sum, count) => sum + count, 0);

/** Takes pieces apart. It keeps the time columns that are defined. */
export class PieceReader {
  private readonly width: number;
  private readonly times = new Map<number, Float64Array>();

  /** `width`: columns per series. */
  constructor(width: number) {
    this.width = width;
  }

  /** Calls `add` for each series. Errors: InvalidError for parts that don't fit each other. */
  read(piece: BlockPiece, add: (key: Uint8Array, times: Float64Array, columns: Float64Array[]) => void): void {
    const { timeNumbers, timeCounts, keyLengths, keys, seriesTimes, values } = piece;
    const fits =
      timeNumbers.length === timeCounts.length &&
      new Set(timeNumbers).size === timeNumbers.length &&
      sumOf(timeCounts) === piece.times.length &&
      keyLengths.length === seriesTimes.length &&
      sumOf(keyLengths) === keys.length;
    if (!fits) throw unfit("counts that contradict its arrays");
    let at = 0;
    timeNumbers.forEach((number, i) => {
      // A copy: a column that stays must not hold all of the piece.
      this.times.set(number, piece.times.slice(at, at + timeCounts[i]!));
      at += timeCounts[i]!;
    });
    let keyAt = 0;
    let valueAt = 0;
    seriesTimes.forEach((number, i) => {
      const times = this.times.get(number);
      if (times === undefined) throw unfit(`time column ${number}, which nothing defines`);
      const key = keys.subarray(keyAt, keyAt + keyLengths[i]!);
      const columns = Array.from({ length: this.width }, (_, which) => {
        const start = valueAt + which * times.length;
        return values.subarray(start, start + times.length);
      });
      add(key, times, columns);
      keyAt += key.length;
      valueAt += this.width * times.length;
    });
    if (valueAt !== values.length) throw unfit(`${values.length} values where its series have ${valueAt}`);
  }
}

function unfit(got: string): InvalidError {
  return new InvalidError(`cannot read piece: got ${got}; want parts that fit each other`);
}
