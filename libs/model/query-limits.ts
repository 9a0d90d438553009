// libs/model/query-limits.ts: the errors of what a query may take, worded once for storages and selects.
// The name of each limit is the flag that an operator can change.
import { LimitError } from "./errors.ts";
import type { HistogramColumn } from "./histogram.ts";
import type { StepColumn } from "./queryable.ts";

/** Samples read, or points held. The text is Prometheus' own, with the flag. */
export function tooManySamples(): LimitError {
  const text = "query processing would load too many samples into memory in query execution (--query-samples-max)";
  return new LimitError("query-samples-max", text);
}

export function tooManySeries(got: number, max: number): LimitError {
  const text = `cannot evaluate query: got ${got} series; want at most ${max} (--query-series-max)`;
  return new LimitError("query-series-max", text);
}

export function tooManyBytes(max: number): LimitError {
  const text = `cannot evaluate query: got more than ${max} bytes of points and labels; want fewer series or steps (--query-bytes-max)`;
  return new LimitError("query-bytes-max", text);
}

/** Errors: LimitError when so many series are more than may be selected. */
export function checkSeries(got: number, max: number | undefined): void {
  if (max !== undefined && got > max) throw tooManySeries(got, max);
}

/** What an answer of names, values or label sets may take: its texts, and an object for each. */
export class TextBudget {
  readonly #max: number;
  #bytes = 0;

  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max;
  }

  /** Errors: LimitError when the texts are more than may be answered. */
  add(text: string): void {
    this.#bytes += text.length + TEXT_BYTES;
    if (this.#bytes <= this.#max) return;
    const message = `cannot list labels: got more than ${this.#max} bytes; want fewer, by matchers or a limit (--query-bytes-max)`;
    throw new LimitError("query-bytes-max", message);
  }

  addAll(texts: Iterable<string>): void {
    for (const text of texts) this.add(text);
  }
}

/** What a string takes beside its characters, and its place in a list or set. */
const TEXT_BYTES = 32;

/** Bytes of the numbers of columns. By lengths: V8 asks an array for those in place, for its bytes by a call. */
export function columnBytes(columns: readonly StepColumn[]): number {
  let bytes = 0;
  for (const { values, present, weights, lost, times, histograms, histogramLosses } of columns) {
    let numbers = values.length;
    if (weights !== undefined) numbers += weights.length;
    if (lost !== undefined) numbers += lost.length;
    if (times !== undefined) numbers += times.length;
    bytes += 8 * numbers;
    if (present !== null) bytes += present.length;
    if (histograms !== undefined) bytes += histogramBytes(histograms);
    if (histogramLosses !== undefined) bytes += histogramBytes(histogramLosses);
  }
  return bytes;
}

function histogramBytes(column: HistogramColumn): number {
  return column.buckets.byteLength + 34 * column.layoutOf.length;
}
