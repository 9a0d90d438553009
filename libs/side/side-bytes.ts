// libs/side/side-bytes.ts: a series' side data as bytes, for batches, the WAL and exemplars in files. FORMAT.md, "Side data".
import { ByteSink, ByteSource } from "../block/index.ts";
import { type BucketLayout, CorruptionError, compareExemplars, type Exemplar, sameLayout } from "../model/index.ts";
import { decodeCounts, decodeLayout, encodeCounts, encodeLayout } from "./histogram-bytes.ts";
import type { HistogramSample, SideSeries, StartTime } from "./side-series.ts";

/** Times beyond are refused before they come here: their differences must be exact. */
export const SIDE_TIME_MAX = 2 ** 51;
const STALE = 0;
const SAME_LAYOUT = 1;
const NEW_LAYOUT = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encodeSide(sink: ByteSink, { histograms, exemplars, starts }: SideSeries): void {
  encodeHistograms(sink, histograms);
  encodeExemplars(sink, exemplars);
  encodeStarts(sink, starts);
}

function encodeHistograms(sink: ByteSink, histograms: readonly HistogramSample[]): void {
  sink.uvarint(histograms.length);
  let time = 0;
  let layout: BucketLayout | undefined;
  for (const { timeMs, histogram } of histograms) {
    sink.svarint(timeMs - time);
    time = timeMs;
    if (histogram === undefined) {
      sink.u8(STALE);
      continue;
    }
    const same = layout !== undefined && sameLayout(layout, histogram.layout);
    sink.u8(same ? SAME_LAYOUT : NEW_LAYOUT);
    if (!same) encodeLayout(sink, histogram.layout);
    layout = histogram.layout;
    encodeCounts(sink, histogram);
  }
}

export function encodeExemplars(sink: ByteSink, exemplars: readonly Exemplar[]): void {
  sink.uvarint(exemplars.length);
  let time = 0;
  for (const { timeMs, value, labels } of exemplars) {
    sink.svarint(timeMs - time);
    time = timeMs;
    sink.f64(value);
    sink.uvarint(labels.length);
    for (const text of labels) sink.blob(encoder.encode(text));
  }
}

export function encodeStarts(sink: ByteSink, starts: readonly StartTime[]): void {
  sink.uvarint(starts.length);
  let time = 0;
  for (const { timeMs, startMs } of starts) {
    sink.svarint(timeMs - time);
    time = timeMs;
    sink.f64(startMs);
  }
}

/** Errors: CorruptionError for what encodeSide cannot have written. */
export function decodeSide(source: ByteSource): SideSeries {
  const histograms = decodeHistograms(source);
  const exemplars = decodeExemplars(source);
  return { histograms, exemplars, starts: decodeStarts(source) };
}

/** Times that ascend from item to item. */
class Times {
  private readonly source: ByteSource;
  private readonly repeats: boolean;
  private last = Number.NaN;

  constructor(source: ByteSource, repeats: boolean) {
    this.source = source;
    this.repeats = repeats;
  }

  next(): number {
    const step = this.source.svarint();
    const isFirst = Number.isNaN(this.last);
    const time = isFirst ? step : this.last + step;
    const ascends = isFirst || (this.repeats ? step >= 0 : step > 0);
    if (!ascends || Math.abs(time) > SIDE_TIME_MAX) throw this.source.damage(`time ${time}`, "ascending ones");
    this.last = time;
    return time;
  }
}

function decodeHistograms(source: ByteSource): HistogramSample[] {
  const out: HistogramSample[] = [];
  const times = new Times(source, false);
  let layout: BucketLayout | undefined;
  for (let left = source.uvarint(); left > 0; left--) {
    const timeMs = times.next();
    const tag = source.u8();
    if (tag === STALE) {
      out.push({ timeMs, histogram: undefined });
      continue;
    }
    if (tag === NEW_LAYOUT) layout = decodeLayout(source);
    else if (tag !== SAME_LAYOUT || layout === undefined) throw source.damage(`tag ${tag}`, "a known one");
    out.push({ timeMs, histogram: decodeCounts(source, layout) });
  }
  return out;
}

/** Errors: CorruptionError. */
export function decodeExemplars(source: ByteSource): Exemplar[] {
  const out: Exemplar[] = [];
  const times = new Times(source, true);
  for (let left = source.uvarint(); left > 0; left--) {
    const timeMs = times.next();
    const value = source.f64();
    const labels: string[] = [];
    for (let texts = source.uvarint(); texts > 0; texts--) labels.push(textOf(source));
    const exemplar = { timeMs, value, labels };
    const last = out.at(-1);
    if (labels.length % 2 !== 0 || (last !== undefined && compareExemplars(last, exemplar) >= 0)) {
      throw source.damage(`exemplar at ${timeMs}`, "names with values, each exemplar once, in order");
    }
    out.push(exemplar);
  }
  return out;
}

function textOf(source: ByteSource): string {
  try {
    return decoder.decode(source.blob());
  } catch (error) {
    if (error instanceof CorruptionError) throw error;
    throw source.damage("text that is not UTF-8", "labels");
  }
}

/** Errors: CorruptionError. */
export function decodeStarts(source: ByteSource): StartTime[] {
  const out: StartTime[] = [];
  const times = new Times(source, false);
  for (let left = source.uvarint(); left > 0; left--) {
    const timeMs = times.next();
    const startMs = source.f64();
    if (!Number.isSafeInteger(startMs)) throw source.damage(`start ${startMs}`, "whole milliseconds");
    out.push({ timeMs, startMs });
  }
  return out;
}

/** One series' side data of a record or batch. */
export interface NumberedSide {
  readonly series: number;
  readonly side: SideSeries;
}

/** The body of a WAL record of side data. FORMAT.md, "Side record". */
export function encodeSideRecord(parts: readonly NumberedSide[]): Uint8Array {
  const sink = new ByteSink();
  sink.u8(1);
  for (const { series, side } of parts) {
    const own = new ByteSink();
    encodeSide(own, side);
    sink.uvarint(series);
    sink.blob(own.written());
  }
  return sink.written();
}

/** Errors: CorruptionError. */
export function decodeSideRecord(body: Uint8Array): NumberedSide[] {
  const what = "side record";
  const source = new ByteSource(body, what, "", 0);
  const version = source.u8();
  if (version !== 1) throw source.damage(`version ${version}`, "version 1");
  const out: NumberedSide[] = [];
  while (source.at < body.length) {
    const series = source.uvarint();
    const own = new ByteSource(source.blob(), what, "", 0);
    out.push({ series, side: decodeSide(own) });
    own.end();
  }
  return out;
}

/** The newest time in side data; -Infinity when there is none. */
export function newestSideMs({ histograms, exemplars, starts }: SideSeries): number {
  return Math.max(...[histograms, exemplars, starts].map((list) => list.at(-1)?.timeMs ?? Number.NEGATIVE_INFINITY));
}
