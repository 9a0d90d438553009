// libs/model/query-limits.ts: the errors of what a query may take, worded once for storages and selects.
// The name of each limit is the flag that an operator can change.
import { LimitError } from "./errors.ts";
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
  const text = `cannot evaluate query: got more than ${max} bytes of points; want fewer series or steps (--query-bytes-max)`;
  return new LimitError("query-bytes-max", text);
}

/** Errors: LimitError when so many series are more than may be selected. */
export function checkSeries(got: number, max: number | undefined): void {
  if (max !== undefined && got > max) throw tooManySeries(got, max);
}

/** Bytes of the numbers of columns. */
export function columnBytes(columns: readonly StepColumn[]): number {
  let bytes = 0;
  for (const { values, present, weights, lost, times, histograms } of columns) {
    bytes += values.byteLength + (present?.byteLength ?? 0) + (weights?.byteLength ?? 0);
    bytes += (lost?.byteLength ?? 0) + (times?.byteLength ?? 0);
    if (histograms !== undefined) bytes += histograms.buckets.byteLength + 34 * histograms.layoutOf.length;
  }
  return bytes;
}
