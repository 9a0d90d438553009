// libs/side/side-section.ts: a series' side data as a section of a file: histograms as columns, each field and each bucket one, so that
// they are coded like samples; exemplars and start times as they are. FORMAT.md, "Section".
import { crc32 } from "node:zlib";
import { ByteSink, ByteSource, type ColumnEntry, decodeHeaderPage, encodeHeaderPage } from "../block/index.ts";
import { COLUMN_SAMPLES_MAX, type ColumnKernel } from "../kernel/index.ts";
import { type BucketLayout, type FloatHistogram, type ResetHint, sameLayout, sameNumbers } from "../model/index.ts";
import { BUCKETS_MAX, decodeLayout, encodeLayout } from "./histogram-bytes.ts";
import { decodeExemplars, decodeStarts, encodeExemplars, encodeStarts } from "./side-bytes.ts";
import type { HistogramSample, SideSeries } from "./side-series.ts";

/** Columns of a run before those of its buckets. */
const FIELDS = 5;
const ENDED = 0;
const HISTOGRAMS = 1;

/** A section as it is written: what is packed, and the columns' payloads, back to back. */
export interface EncodedSection {
  readonly page: Uint8Array;
  readonly payloads: Uint8Array;
}

/** In one piece. */
export function encodeSection(side: SideSeries, kernel: ColumnKernel): EncodedSection {
  for (const steps = encodeSectionSteps(side, kernel); ; ) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** As encodeSection, a column at each step. */
export function* encodeSectionSteps(side: SideSeries, kernel: ColumnKernel): Generator<void, EncodedSection> {
  const layouts: BucketLayout[] = [];
  const runs = runsOf(side.histograms);
  const columns = new ColumnSink(kernel);
  for (let from = 0; from < side.histograms.length; from += COLUMN_SAMPLES_MAX) {
    columns.add(Float64Array.from(side.histograms.slice(from, from + COLUMN_SAMPLES_MAX), ({ timeMs }) => timeMs));
  }
  for (const run of runs) if (run[0]!.histogram !== undefined) yield* runSteps(run, layouts, columns);
  const sink = new ByteSink();
  sink.uvarint(side.histograms.length);
  sink.uvarint(layouts.length);
  for (const layout of layouts) encodeLayout(sink, layout);
  sink.uvarint(runs.length);
  for (const run of runs) {
    sink.uvarint(run.length);
    sink.u8(run[0]!.histogram === undefined ? ENDED : HISTOGRAMS);
  }
  sink.uvarint(columns.entries.length);
  sink.blob(columns.entries.length === 0 ? new Uint8Array(0) : encodeHeaderPage(columns.entries, 0, true));
  encodeExemplars(sink, side.exemplars);
  encodeStarts(sink, side.starts);
  return { page: sink.written(), payloads: columns.payloads.written() };
}

/** Samples whose histograms differ in their buckets only; or ends of the series. */
function runsOf(histograms: readonly HistogramSample[]): HistogramSample[][] {
  const runs: HistogramSample[][] = [];
  for (const sample of histograms) {
    const run = runs.at(-1);
    const isLike = run !== undefined && run.length < COLUMN_SAMPLES_MAX && alike(run[0]!.histogram, sample.histogram);
    if (isLike) run.push(sample);
    else runs.push([sample]);
  }
  return runs;
}

function alike(a: FloatHistogram | undefined, b: FloatHistogram | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [x, y] = [a.layout, b.layout];
  return x === y || (x.schema === y.schema && x.zeroThreshold === y.zeroThreshold && sameNumbers(x.bounds, y.bounds));
}

/** Columns as they are encoded. */
class ColumnSink {
  readonly entries: ColumnEntry[] = [];
  readonly payloads = new ByteSink();
  private readonly kernel: ColumnKernel;

  constructor(kernel: ColumnKernel) {
    this.kernel = kernel;
  }

  /** Adds a column; `near` are columns of as many values, by number, that it may resemble. */
  add(values: Float64Array, near: readonly (readonly [number: number, values: Float64Array])[] = []): number {
    const { header, payload, reference } = this.kernel.encode(
      values,
      near.map(([, column]) => column),
    );
    const checksum = payload.length === 0 ? 0 : crc32(payload);
    this.entries.push({ header, checksum, times: 0, reference: reference < 0 ? -1 : near[reference]![0] });
    this.payloads.raw(payload);
    return this.entries.length - 1;
  }
}

function* runSteps(
  run: readonly HistogramSample[],
  layouts: BucketLayout[],
  columns: ColumnSink,
): Generator<void, void> {
  const histograms = run.map(({ histogram }) => histogram!);
  const numbers = Float64Array.from(histograms, ({ layout }) => layoutNumber(layouts, layout));
  const union = unionOf(layouts, numbers);
  columns.add(numbers);
  columns.add(Float64Array.from(histograms, ({ hint }) => hint));
  const counts = Float64Array.from(histograms, ({ count }) => count);
  const countColumn = columns.add(counts);
  columns.add(Float64Array.from(histograms, ({ zeroCount }) => zeroCount));
  columns.add(Float64Array.from(histograms, ({ sum }) => sum));
  const buckets = Array.from({ length: union.size }, () => new Float64Array(run.length));
  histograms.forEach((histogram, i) => {
    const places = union.placesOf(numbers[i]!);
    for (let b = 0; b < places.length; b++) buckets[places[b]!]![i] = histogram.buckets[b]!;
  });
  let near: (readonly [number, Float64Array])[] = [[countColumn, counts]];
  for (const column of buckets) {
    yield;
    const number = columns.add(column, near);
    near = [
      [number, column],
      [countColumn, counts],
    ];
  }
}

/** Neighbours mostly share a layout, or one of the last few. */
function layoutNumber(layouts: BucketLayout[], layout: BucketLayout): number {
  for (let i = layouts.length - 1; i >= 0; i--) if (sameLayout(layouts[i]!, layout)) return i;
  return layouts.push(layout) - 1;
}

/** The buckets that any of some layouts has, as columns of a run. */
interface Union {
  readonly size: number;
  /** Column of each bucket of a layout, by its number. */
  placesOf(layout: number): Uint32Array;
}

function unionOf(layouts: readonly BucketLayout[], numbers: Float64Array): Union {
  const used = [...new Set(numbers)];
  const indexesOf = (side: "positive" | "negative"): number[] =>
    [...new Set(used.flatMap((number) => Array.from(layouts[number]![side])))].sort((a, b) => a - b);
  const positive = new Map(indexesOf("positive").map((index, place) => [index, place]));
  const negative = new Map(indexesOf("negative").map((index, place) => [index, positive.size + place]));
  const places = new Map(
    used.map((number) => {
      const layout = layouts[number]!;
      const own = [
        ...Array.from(layout.positive, (index) => positive.get(index)!),
        ...Array.from(layout.negative, (index) => negative.get(index)!),
      ];
      return [number, Uint32Array.from(own)];
    }),
  );
  return { size: positive.size + negative.size, placesOf: (number) => places.get(number)! };
}

/** Where a section came from, for what is said of its damage. */
export interface SectionPlace {
  readonly path: string;
  readonly offset: number;
}

/** Errors: CorruptionError. */
export function decodeSection(
  page: Uint8Array,
  payloads: Uint8Array,
  kernel: ColumnKernel,
  { path, offset }: SectionPlace,
): SideSeries {
  const source = new ByteSource(page, "section of side data", path, offset);
  const count = source.uvarint();
  const layouts = Array.from({ length: boundedCount(source) }, () => decodeLayout(source));
  const runs = Array.from({ length: boundedCount(source) }, () => ({ length: source.uvarint(), kind: source.u8() }));
  const columnCount = boundedCount(source);
  const headers = source.blob();
  const entries =
    columnCount === 0
      ? []
      : decodeHeaderPage(new ByteSource(headers, "column headers", path, offset), columnCount, 0, path, offset);
  const columns = new ColumnSource(entries, payloads, kernel, source);
  const times: number[] = [];
  while (times.length < count) for (const time of columns.next()) times.push(time);
  const histograms: HistogramSample[] = [];
  for (const { length, kind } of runs) {
    const runTimes = times.slice(histograms.length, histograms.length + length);
    if (runTimes.length !== length || length === 0) throw source.damage(`a run of ${length}`, "runs of all histograms");
    if (kind === ENDED) for (const timeMs of runTimes) histograms.push({ timeMs, histogram: undefined });
    else if (kind === HISTOGRAMS) {
      for (const sample of decodeRun(runTimes, layouts, columns, source)) histograms.push(sample);
    } else throw source.damage(`a run of kind ${kind}`, "a known one");
  }
  if (histograms.length !== count || times.length !== count) throw source.damage(`${times.length} times`, `${count}`);
  columns.end();
  const exemplars = decodeExemplars(source);
  const starts = decodeStarts(source);
  source.end();
  return { histograms, exemplars, starts };
}

/** No section has more of anything; a damaged count must not make us allocate. */
function boundedCount(source: ByteSource): number {
  const count = source.uvarint();
  if (count > 1 << 24) throw source.damage(`${count} parts`, "fewer");
  return count;
}

/** Decodes columns one after the other. */
class ColumnSource {
  private readonly entries: readonly ColumnEntry[];
  private readonly payloads: Uint8Array;
  private readonly kernel: ColumnKernel;
  private readonly source: ByteSource;
  private readonly decoded: Float64Array[] = [];
  private at = 0;

  constructor(entries: readonly ColumnEntry[], payloads: Uint8Array, kernel: ColumnKernel, source: ByteSource) {
    this.entries = entries;
    this.payloads = payloads;
    this.kernel = kernel;
    this.source = source;
  }

  next(count?: number): Float64Array {
    const entry = this.entries[this.decoded.length];
    if (entry === undefined) throw this.source.damage(`${this.entries.length} columns`, "more");
    const { header } = entry;
    const payload = this.payloads.subarray(this.at, this.at + header.payloadBytes);
    this.at += header.payloadBytes;
    const isWhole = payload.length === header.payloadBytes;
    if (!isWhole || (payload.length > 0 && crc32(payload) !== entry.checksum)) {
      throw this.source.damage(`another checksum of column ${this.decoded.length}`, "its header's");
    }
    if (header.count > COLUMN_SAMPLES_MAX || (count !== undefined && header.count !== count)) {
      throw this.source.damage(`a column of ${header.count} values`, `${count ?? COLUMN_SAMPLES_MAX}`);
    }
    const values = new Float64Array(header.count);
    const reference = entry.reference < 0 ? undefined : this.decoded[entry.reference];
    const fault = this.kernel.decode(header, payload, values, reference);
    if (fault !== undefined) throw this.source.damage(`a column with a wrong ${fault}`, "a right one");
    this.decoded.push(values);
    return values;
  }

  end(): void {
    if (this.decoded.length !== this.entries.length || this.at !== this.payloads.length) {
      throw this.source.damage(`${this.entries.length} columns`, `${this.decoded.length}`);
    }
  }
}

function decodeRun(
  times: readonly number[],
  layouts: readonly BucketLayout[],
  columns: ColumnSource,
  source: ByteSource,
): HistogramSample[] {
  const n = times.length;
  const [numbers, hints, counts, zeroCounts, sums] = Array.from({ length: FIELDS }, () => columns.next(n)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  if (!numbers.every((number) => layouts[number] !== undefined))
    throw source.damage("an unknown layout", "a known one");
  if (!hints.every((hint) => Number.isInteger(hint) && hint >= 0 && hint <= 3)) throw source.damage("a hint", "0 to 3");
  const union = unionOf(layouts, numbers);
  if (union.size > 2 * BUCKETS_MAX * layouts.length) throw source.damage(`${union.size} buckets`, "fewer");
  const buckets = Array.from({ length: union.size }, () => columns.next(n));
  return times.map((timeMs, i) => {
    const places = union.placesOf(numbers[i]!);
    const own = new Float64Array(places.length);
    for (let b = 0; b < places.length; b++) own[b] = buckets[places[b]!]![i]!;
    const layout = layouts[numbers[i]!]!;
    const hint = hints[i]! as ResetHint;
    const histogram = { layout, hint, count: counts[i]!, zeroCount: zeroCounts[i]!, sum: sums[i]!, buckets: own };
    return { timeMs, histogram };
  });
}
