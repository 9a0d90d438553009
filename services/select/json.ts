// services/select/json.ts: answers of the query API as JSON bytes, in chunks, field by field as Prometheus orders them.
// Format: prometheus.io/docs/prometheus/latest/querying/api, "Format overview" and "Expression query result formats".
// The points of series are rendered by a kernel (libs/kernel/points.ts), timestamps once per grid, not once per series.
import {
  NUMBER_BYTES_MAX,
  POINTS_PER_PIECE,
  PointsKernel,
  writeTimestamp,
  writeValue,
} from "../../libs/kernel/index.ts";
import { type Grid, histogramAt, type Labels, type StepColumn } from "../../libs/model/index.ts";
import { floatPresence, formatPlain, type QueryValue, type TraceNode } from "../../libs/promql/index.ts";
import { ByteWriter } from "./byte-writer.ts";
import { writeHistogramPoint } from "./histogram-json.ts";
import { goJson, stringValueJson } from "./json-text.ts";

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
  const onGrid = new Float64Array(grid.count);
  for (let i = 0; i < onGrid.length; i++) onGrid[i] = grid.startMs + i * grid.stepMs;
  w.ascii("[");
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i]!;
    const times = column.times ?? onGrid;
    if (w.isFull) yield w.take();
    openSeries(w, i, column.labels);
    if (column.histograms === undefined) yield* renderFloats(w, times, column);
    else yield* renderMixed(w, times, column);
    w.ascii("}");
  }
  w.ascii("]");
}

let kernel: PointsKernel | undefined;
/** What a point mostly takes at most; a chunk grows for longer ones. */
const POINT_BYTES = 40;

function* renderFloats(w: ByteWriter, times: Float64Array, { values, present }: StepColumn): Generator<Uint8Array> {
  kernel ??= new PointsKernel();
  w.ascii(',"values":[');
  let first = true;
  for (let step = 0; step < values.length; ) {
    // Before a piece, not behind it: while the chunk is sent the kernel may render for others.
    if (!w.hasRoom(Math.min(values.length - step, POINTS_PER_PIECE) * POINT_BYTES)) yield w.take();
    step = kernel.render(times, values, present, step);
    if (kernel.text.length === 0) continue;
    // Each point comes with a comma before it; the first one needs none.
    w.put(kernel.text, first ? 1 : 0);
    first = false;
  }
  w.ascii("]");
}

/** A series with histograms: its floats, if it has any, then those. */
function* renderMixed(w: ByteWriter, times: Float64Array, column: StepColumn): Generator<Uint8Array> {
  const histograms = column.histograms!;
  const floats = floatPresence(column.present, histograms);
  if (floats.includes(1)) yield* renderFloats(w, times, { ...column, present: floats });
  let first = true;
  for (let step = 0; step < floats.length; step++) {
    const histogram = column.present?.[step] === 0 ? undefined : histogramAt(histograms, step);
    if (histogram === undefined) continue;
    w.ascii(first ? ',"histograms":[' : ",");
    first = false;
    writeHistogramPoint(w, times[step]!, histogram);
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
