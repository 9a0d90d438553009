// libs/kernel/points.ts: a column of values as the points of a JSON answer, a piece at a time.
// HOT: bench test/bench/points.bench.ts, twin: the plain rendering in test/unit/kernel/points.test.ts. Kernel: assembly/points.ts.
// What stands before the values is kept from call to call: the series of an answer mostly share their times.
import { createMemory, loadKernel, PAGE_BYTES } from "./load.ts";
import { formatValue } from "./number-format.ts";

interface Exports {
  renderHeads(times: number, count: number, heads: number): void;
  render(heads: number, values: number, present: number, step: number, count: number, out: number): void;
}

/** Steps of a piece. */
export const POINTS_PER_PIECE = 256;
/** A point takes at most this: `,[`, a time, `,"`, a value, `"]`, and what a wide store writes beyond. */
const POINT_BYTES = 32 + 32 + 2;
/** Times whose heads are kept: those of a range query, if --query-steps-max is no greater; longer columns make theirs piece by piece. */
const HEADS_MAX = 16_384;
const HEAD_BYTES = 32;

// Bytes from the start of the memory; the first three are known to the kernel.
const STEP_AT = 16;
const END_AT = 20;
const POWERS_AT = 1024;
const VALUES_AT = 2048;
const PRESENT_AT = VALUES_AT + POINTS_PER_PIECE * 8;
const TIMES_AT = PRESENT_AT + POINTS_PER_PIECE;
const HEADS_AT = TIMES_AT + POINTS_PER_PIECE * 8;
const OUT_AT = HEADS_AT + HEADS_MAX * HEAD_BYTES;
const MEMORY_BYTES = OUT_AT + POINTS_PER_PIECE * POINT_BYTES + 64;

const NO_TIMES = new Float64Array(0);

/** One instance with a memory of its own, 0.6 MB of which a dashboard's answers touch a tenth. */
export class PointsKernel {
  /** The text of the last piece, each point with a comma before it; valid until the next call. */
  text: Uint8Array;
  readonly bytes: Uint8Array;
  private readonly kernel: Exports;
  private readonly words: Uint32Array;
  private readonly floats: Float64Array;
  /** The times whose heads are in memory, from `base` on. */
  private times: Float64Array = NO_TIMES;
  private base = 0;

  constructor() {
    const memory = createMemory(Math.ceil(MEMORY_BYTES / PAGE_BYTES) * PAGE_BYTES);
    this.kernel = loadKernel<Exports>("points", memory);
    this.bytes = new Uint8Array(memory.buffer);
    this.words = new Uint32Array(memory.buffer);
    this.floats = new Float64Array(memory.buffer);
    this.text = this.bytes.subarray(OUT_AT, OUT_AT);
    for (let i = 0; i <= 30; i++) this.floats[POWERS_AT / 8 + i] = Number(`1e${i - 8}`);
  }

  /**
   * Renders the next piece of a column from step `from` on into `text`. Times are whole milliseconds, one a value; `present` says which
   * values there are, null: all. Returns the step to go on with, the column's length at its end.
   */
  render(times: Float64Array, values: Float64Array, present: Uint8Array | null, from: number): number {
    const base = from - (from % HEADS_MAX);
    if (times !== this.times || base !== this.base) this.loadHeads(times, base);
    const to = Math.min(from + POINTS_PER_PIECE, base + HEADS_MAX, values.length);
    const count = to - from;
    // A piece of a whole column needs no view of its own.
    this.floats.set(count === values.length ? values : values.subarray(from, to), VALUES_AT / 8);
    if (present !== null) this.bytes.set(present.subarray(from, to), PRESENT_AT);
    const heads = HEADS_AT + (from - base) * HEAD_BYTES;
    let end = OUT_AT;
    for (let step = 0; step < count; step++) {
      this.kernel.render(heads, VALUES_AT, present === null ? 0 : PRESENT_AT, step, count, end);
      step = this.words[STEP_AT / 4]!;
      end = this.words[END_AT / 4]!;
      if (step < count) end = this.writePlainly(values[from + step]!, end);
    }
    this.text = this.bytes.subarray(OUT_AT, end);
    return to;
  }

  /** Ends the point of a value that the kernel leaves alone. */
  private writePlainly(value: number, at: number): number {
    const text = `${formatValue(value)}"]`;
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
    return at + text.length;
  }

  private loadHeads(times: Float64Array, base: number): void {
    this.times = times;
    this.base = base;
    const end = Math.min(base + HEADS_MAX, times.length);
    for (let from = base; from < end; from += POINTS_PER_PIECE) {
      const count = Math.min(POINTS_PER_PIECE, end - from);
      this.floats.set(times.subarray(from, from + count), TIMES_AT / 8);
      this.kernel.renderHeads(TIMES_AT, count, HEADS_AT + (from - base) * HEAD_BYTES);
    }
  }
}
