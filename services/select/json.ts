// services/select/json.ts: answers of the query API as JSON bytes, in chunks, field by field as Prometheus orders them.
// Format: prometheus.io/docs/prometheus/latest/querying/api, "Format overview" and "Expression query result formats".
// HOT: one loop turn per point of an answer. Timestamps are rendered once per grid, not once per series.
import { type Grid, histogramAt, type Labels, type StepColumn } from "../../libs/model/index.ts";
import { floatPresence, formatPlain, type QueryValue, type TraceNode } from "../../libs/promql/index.ts";
import { ByteWriter } from "./byte-writer.ts";
import { writeHistogramPoint } from "./histogram-json.ts";
import { goJson, stringValueJson } from "./json-text.ts";
import { NUMBER_BYTES_MAX, writeTimestamp, writeValue } from "./number-format.ts";

/** What stands around the data of a successful answer. */
export interface Notes {
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
}

const NO_NOTES: Notes = { warnings: [], infos: [] };

/** A successful answer whose data is small and plain. */
export function renderData(data: unknown, notes: Notes = NO_NOTES): Uint8Array {
  const tail = renderNotes(notes);
  return Buffer.from(`{"status":"success","data":${goJson(data)}${tail}}`);
}

/** An error. */
export function renderError(type: string, message: string): Uint8Array {
  return Buffer.from(goJson({ status: "error", errorType: type, error: message }));
}

/** A successful answer that is a list of strings or of label sets. */
export function* renderList(items: readonly (string | Labels)[], notes: Notes = NO_NOTES): Generator<Uint8Array> {
  const w = new ByteWriter();
  w.ascii('{"status":"success","data":[');
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (i > 0) w.ascii(",");
    if (typeof item === "string") w.text(item);
    else writeLabels(w, item);
    if (w.isFull) yield w.take();
  }
  w.ascii("]");
  yield* renderEnd(w, "", notes);
}

/** The answer of a query. `stats` is rendered JSON or "". A trace stands beside the data. */
export function* renderResult(
  value: QueryValue,
  stats: string,
  notes: Notes,
  trace?: TraceNode,
): Generator<Uint8Array> {
  const w = new ByteWriter();
  w.ascii(`{"status":"success","data":{"resultType":"${value.type}","result":`);
  // Go's own encoder writes these two, whose numbers look different from those of points.
  if (value.type === "scalar") w.ascii(`[${value.timeMs / 1000},"${formatPlain(value.value)}"]`);
  else if (value.type === "string") w.raw(`[${value.timeMs / 1000},${stringValueJson(value.value)}]`);
  else if (value.type === "vector") yield* renderVector(w, value.timeMs, value.columns);
  else yield* renderMatrix(w, value.grid, value.columns);
  const beside = trace === undefined ? "" : `,"trace":${goJson(trace)}`;
  yield* renderEnd(w, `${stats === "" ? "" : `,"stats":${stats}`}}${beside}`, notes);
}

/** What follows the data. `close` ends what is open in it. */
export function* renderEnd(w: ByteWriter, close: string, notes: Notes): Generator<Uint8Array> {
  const tail = Buffer.from(`${close}${renderNotes(notes)}}`);
  w.reserve(tail.length);
  w.bytes.set(tail, w.at);
  w.at += tail.length;
  yield w.take();
}

function* renderVector(w: ByteWriter, timeMs: number, columns: readonly StepColumn[]): Generator<Uint8Array> {
  w.ascii("[");
  for (let i = 0; i < columns.length; i++) {
    const { labels, values, histograms } = columns[i]!;
    const histogram = histograms && histogramAt(histograms, 0);
    openSeries(w, i, labels);
    w.ascii(histogram === undefined ? ',"value":' : ',"histogram":');
    if (histogram === undefined) writePoint(w, timeMs, values[0]!);
    else writeHistogramPoint(w, timeMs, histogram);
    w.ascii("}");
    if (w.isFull) yield w.take();
  }
  w.ascii("]");
}

function* renderMatrix(w: ByteWriter, grid: Grid, columns: readonly StepColumn[]): Generator<Uint8Array> {
  const onGrid = columns.some((c) => c.times === undefined) ? renderGridTimes(grid) : undefined;
  w.ascii("[");
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i]!;
    const times = column.times === undefined ? onGrid! : renderTimes(column.times);
    if (w.isFull) yield w.take();
    openSeries(w, i, column.labels);
    if (column.histograms === undefined) yield* renderFloats(w, times, column);
    else yield* renderMixed(w, times, column, grid);
    w.ascii("}");
  }
  w.ascii("]");
}

function* renderFloats(w: ByteWriter, times: RenderedTimes, column: StepColumn): Generator<Uint8Array> {
  w.ascii(',"values":[');
  for (let step = 0, first = true; ; first = false) {
    // With room for a step each turn gets on, and one that stops early has written a point.
    w.reserve(8 * NUMBER_BYTES_MAX);
    step = writeSteps(w, times, column, step, first);
    if (step >= column.values.length) break;
    if (w.isFull) yield w.take();
  }
  w.ascii("]");
}

/** A series with histograms: its floats, if it has any, then those. */
function* renderMixed(w: ByteWriter, times: RenderedTimes, column: StepColumn, grid: Grid): Generator<Uint8Array> {
  const histograms = column.histograms!;
  const floats = floatPresence(column.present, histograms);
  if (floats.includes(1)) yield* renderFloats(w, times, { ...column, present: floats });
  let first = true;
  for (let step = 0; step < floats.length; step++) {
    const histogram = column.present?.[step] === 0 ? undefined : histogramAt(histograms, step);
    if (histogram === undefined) continue;
    w.ascii(first ? ',"histograms":[' : ",");
    first = false;
    const timeMs = column.times === undefined ? grid.startMs + step * grid.stepMs : column.times[step]!;
    writeHistogramPoint(w, timeMs, histogram);
    if (w.isFull) yield w.take();
  }
  if (!first) w.ascii("]");
}

function openSeries(w: ByteWriter, index: number, labels: Labels): void {
  w.ascii(index === 0 ? '{"metric":' : ',{"metric":');
  writeLabels(w, labels);
}

export function writeLabels(w: ByteWriter, labels: Labels): void {
  w.ascii("{");
  for (let i = 0; i < labels.length; i += 2) {
    if (i > 0) w.ascii(",");
    w.label(labels[i]!);
    w.ascii(":");
    w.label(labels[i + 1]!);
  }
  w.ascii("}");
}

/** `[1435781430.781,"1.5"]` */
function writePoint(w: ByteWriter, timeMs: number, value: number): void {
  w.ascii("[");
  w.reserve(2 * NUMBER_BYTES_MAX);
  w.at = writeTimestamp(w.bytes, w.at, timeMs);
  w.ascii(',"');
  w.at = writeValue(w.bytes, w.at, value);
  w.ascii('"]');
}

/** What stands before each step's value, `,[1435781430.781,"`, one after another. */
interface RenderedTimes {
  readonly bytes: Uint8Array;
  /** Where step i begins; one more entry than steps. */
  readonly starts: Uint32Array;
}

function renderGridTimes({ startMs, stepMs, count }: Grid): RenderedTimes {
  return renderTimes(Float64Array.from({ length: count }, (_, i) => startMs + i * stepMs));
}

function renderTimes(times: Float64Array): RenderedTimes {
  const bytes = new Uint8Array(times.length * (NUMBER_BYTES_MAX + 4));
  const starts = new Uint32Array(times.length + 1);
  let at = 0;
  for (let i = 0; i < times.length; i++) {
    bytes[at++] = 44;
    bytes[at++] = 91;
    at = writeTimestamp(bytes, at, times[i]!);
    bytes[at++] = 44;
    bytes[at++] = 34;
    starts[i + 1] = at;
  }
  return { bytes, starts };
}

/**
 * Writes steps from `from` on until the chunk is full. Returns the step to go on with. The series' first point has no
 * comma before it.
 */
function writeSteps(w: ByteWriter, times: RenderedTimes, series: StepColumn, from: number, isFirst: boolean): number {
  const { values, present } = series;
  const { bytes: heads, starts } = times;
  const count = values.length;
  // A step takes less than this, so one check per point is enough.
  const limit = w.bytes.length - 4 * NUMBER_BYTES_MAX;
  const out = w.bytes;
  let at = w.at;
  let first = isFirst;
  let step = from;
  for (; step < count && at < limit; step++) {
    if (present !== null && present[step] === 0) continue;
    const end = starts[step + 1]!;
    let head = starts[step]!;
    if (first) {
      head++;
      first = false;
    }
    while (head < end) out[at++] = heads[head++]!;
    at = writeValue(out, at, values[step]!);
    out[at] = 34;
    out[at + 1] = 93;
    at += 2;
  }
  w.at = at;
  return step;
}

/** Warnings and infos are shown up to this many each; one more line says how many were left out. */
const NOTES_MAX = 10;

function renderNotes({ warnings, infos }: Notes): string {
  let out = "";
  if (warnings.length > 0) out += `,"warnings":${goJson(capped(warnings, "warning"))}`;
  if (infos.length > 0) out += `,"infos":${goJson(capped(infos, "info"))}`;
  return out;
}

function capped(texts: readonly string[], kind: string): readonly string[] {
  if (texts.length <= NOTES_MAX) return texts;
  return [...texts.slice(0, NOTES_MAX), `${texts.length - NOTES_MAX} more ${kind} annotations omitted`];
}
