// services/select/histogram-chunk.ts: native histograms → Prometheus' chunks of histograms with float counts.
// Format: Prometheus, "tsdb/docs/format/chunks.md", float histogram chunk data: u16 big-endian sample count, a byte whose first two bits say
// how the chunk relates to what was before, the layout, then per histogram its time, count, zero count, sum and buckets.
// A chunk has one layout, and no reset of its counter but before its first histogram.
import {
  type BucketLayout,
  CUSTOM_SCHEMA,
  type FloatHistogram,
  HINT_GAUGE,
  type HistogramColumn,
  histogramAt,
  isStale,
  sameLayout,
} from "../../libs/model/index.ts";
import { wasReset } from "../../libs/promql/index.ts";
import { BitWriter, NO_WINDOW } from "./bit-writer.ts";
import { CHUNK_SAMPLES } from "./xor-chunk.ts";

const HEADER_BYTES = 3;
/** The byte behind the sample count, by hint of the first histogram: unknown, reset, not reset, gauge. */
const RESET_BITS = [0, 0b10000000, 0b01000000, 0b11000000] as const;
/** Sizes of numbers, in bits behind a prefix of as many ones as the place in this list and a zero. */
const SIZES = [0, 3, 6, 9, 12, 18, 25, 56] as const;
/** A chunk that is as long takes no more. */
const CHUNK_BYTES = 64 * 1024;
/** A number takes at most 2 + 5 + 6 + 64 bits. */
const NUMBER_BYTES = 10;

/** Encodes one chunk at a time. */
export class HistogramChunkEncoder {
  readonly #bits = new BitWriter(4096);
  #windows = new Uint8Array(0);
  /** The numbers of the histogram before: count, zero count, sum, buckets. */
  #last = new Uint32Array(0);

  /** The chunk; valid until the next one. */
  get chunk(): Buffer {
    return this.#bits.bytes.subarray(0, this.#bits.size);
  }

  /** Encodes histograms from `from` on, as many as one chunk takes. Returns where the next chunk begins. */
  encode(times: Float64Array, column: HistogramColumn, from: number): number {
    const writer = this.#bits;
    const first = histogramAt(column, from)!;
    const numbers = 3 + first.buckets.length;
    this.#windows = new Uint8Array(2 * numbers).fill(NO_WINDOW);
    this.#last = new Uint32Array(2 * numbers);
    writer.begin(HEADER_BYTES);
    writer.reserve(NUMBER_BYTES * (numbers + 4 + first.layout.bounds.length + 2 * first.buckets.length));
    writeLayout(writer, isStale(first.sum) ? undefined : first.layout);
    writeWhole(writer, times[from]!);
    this.#writeFirst(first);
    let before = first;
    let delta = 0;
    let i = from + 1;
    for (; i < times.length && i - from < CHUNK_SAMPLES && writer.size < CHUNK_BYTES; i++) {
      const histogram = histogramAt(column, i);
      if (histogram === undefined || !follows(histogram, before)) break;
      writer.reserve(NUMBER_BYTES * (numbers + 1));
      const next = times[i]! - times[i - 1]!;
      writeWhole(writer, next - delta);
      delta = next;
      this.#writeNext(histogram);
      before = histogram;
    }
    writer.bytes.writeUInt16BE(i - from, 0);
    writer.bytes[2] = RESET_BITS[first.hint];
    writer.finish();
    return i;
  }

  #writeFirst(histogram: FloatHistogram): void {
    const words = wordsOf(histogram);
    this.#last.set(words);
    // A stale marker has no buckets.
    const end = isStale(histogram.sum) ? 6 : words.length;
    for (let i = 0; i < end; i += 2) {
      this.#bits.put(words[i + 1]!, 32);
      this.#bits.put(words[i]!, 32);
    }
  }

  #writeNext(histogram: FloatHistogram): void {
    const last = this.#last;
    const words = wordsOf(histogram);
    for (let i = 0; i < words.length; i += 2) {
      this.#bits.difference(words[i + 1]! ^ last[i + 1]!, words[i]! ^ last[i]!, this.#windows, i / 2);
    }
    last.set(words);
  }
}

/** Whether a histogram can stand in a chunk behind another: readers take it for one of the same counter, not reset, or gauge. */
function follows(histogram: FloatHistogram, before: FloatHistogram): boolean {
  if (isStale(histogram.sum) || isStale(before.sum) || !sameLayout(histogram.layout, before.layout)) return false;
  if (histogram.hint === HINT_GAUGE || before.hint === HINT_GAUGE) return histogram.hint === before.hint;
  return !wasReset(histogram, before);
}

function wordsOf({ count, zeroCount, sum, buckets }: FloatHistogram): Uint32Array {
  const numbers = new Float64Array(3 + buckets.length);
  numbers[0] = count;
  numbers[1] = zeroCount;
  numbers[2] = sum;
  numbers.set(buckets, 3);
  return new Uint32Array(numbers.buffer);
}

/** Zero threshold, schema, spans, bounds; undefined: that of a stale marker, which has nothing. */
function writeLayout(writer: BitWriter, layout: BucketLayout | undefined): void {
  if (layout === undefined) {
    writer.put(0, 8);
    writeWhole(writer, 0);
    writeSpans(writer, new Int32Array(0));
    writeSpans(writer, new Int32Array(0));
    return;
  }
  writeThreshold(writer, layout.zeroThreshold);
  writeWhole(writer, layout.schema);
  writeSpans(writer, layout.positive);
  writeSpans(writer, layout.negative);
  if (layout.schema !== CUSTOM_SCHEMA) return;
  writePositive(writer, layout.bounds.length);
  for (const bound of layout.bounds) writeBound(writer, bound);
}

/** Powers of two are common and take a byte. */
function writeThreshold(writer: BitWriter, threshold: number): void {
  const exponent = Math.round(Math.log2(threshold)) + 1;
  if (threshold === 0) writer.put(0, 8);
  else if (2 ** (exponent - 1) === threshold && exponent >= -242 && exponent <= 11) writer.put(exponent + 243, 8);
  else {
    writer.put(255, 8);
    writeDouble(writer, threshold);
  }
}

/** Runs of neighbouring buckets: how many, how far from the run before. */
function writeSpans(writer: BitWriter, indexes: Int32Array): void {
  const spans: { offset: number; length: number }[] = [];
  let next = 0;
  for (const index of indexes) {
    if (spans.length > 0 && index === next) spans.at(-1)!.length++;
    else spans.push({ offset: index - next, length: 1 });
    next = index + 1;
  }
  writePositive(writer, spans.length);
  for (const { offset, length } of spans) {
    writePositive(writer, length);
    writeWhole(writer, offset);
  }
}

/** Thousandths are common. */
function writeBound(writer: BitWriter, bound: number): void {
  const thousandths = Math.round(bound * 1000);
  if (bound >= 0 && bound * 1000 <= 33_554_430 && thousandths / 1000 === bound) {
    writePositive(writer, thousandths + 1);
    return;
  }
  writer.put(0, 1);
  writeDouble(writer, bound);
}

function writeDouble(writer: BitWriter, value: number): void {
  const words = new Uint32Array(Float64Array.of(value).buffer);
  writer.put(words[1]!, 32);
  writer.put(words[0]!, 32);
}

/** A whole number within ±2^53. */
function writeWhole(writer: BitWriter, value: number): void {
  writeSized(writer, value, (bits) => value >= -(2 ** (bits - 1)) + 1 && value <= 2 ** (bits - 1));
}

/** A whole number ≥ 0, below 2^53. */
function writePositive(writer: BitWriter, value: number): void {
  writeSized(writer, value, (bits) => value < 2 ** bits);
}

function writeSized(writer: BitWriter, value: number, fits: (bits: number) => boolean): void {
  if (value === 0) {
    writer.put(0, 1);
    return;
  }
  const place = SIZES.findIndex((bits) => bits > 0 && fits(bits));
  const bits = SIZES[place]!;
  writer.put(2 ** (place + 1) - 2, place + 1);
  if (bits > 32) writer.put(Math.floor(value / 2 ** 32), bits - 32);
  writer.put(value >>> 0, Math.min(32, bits));
}
