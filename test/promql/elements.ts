// test/promql/elements.ts: elements of results, floats or histograms, compared as Prometheus' own scripts compare them.
import { type FloatHistogram, histogramAt, type StepColumn, sameLayout } from "../../libs/model/index.ts";
import { compact, HistogramSequence, type SequenceValue } from "../../libs/promql/index.ts";

const EPSILON = 1e-6;
const SMALLEST_NORMAL = 2.2250738585072014e-308;

export type Element = number | FloatHistogram;

/** An expected element; the hint of a histogram counts only where it was written. */
export interface Expected {
  readonly element: Element;
  readonly hintMatters: boolean;
}

/** What a column has at a position. */
export function elementOf({ values, histograms }: StepColumn, index: number): Element {
  return (histograms && histogramAt(histograms, index)) ?? values[index]!;
}

export function expectedElement(value: SequenceValue): Expected {
  if (value.kind === "float") return { element: value.value, hintMatters: false };
  if (value.kind !== "histogram") return { element: Number.NaN, hintMatters: false };
  const last = value.delta ?? value.base;
  return { element: new HistogramSequence().at(value), hintMatters: last.counterResetHint !== undefined };
}

/** Equal but for rounding: Prometheus' almost.Equal with a relative difference of 1e-6. */
export function almostEqual(a: number, b: number): boolean {
  if (Number.isNaN(a) && Number.isNaN(b)) return true;
  if (a === b) return true;
  const sum = Math.abs(a) + Math.abs(b);
  const difference = Math.abs(a - b);
  if (a === 0 || b === 0 || sum < SMALLEST_NORMAL) return difference < EPSILON * SMALLEST_NORMAL;
  return difference / Math.min(sum, Number.MAX_VALUE) < EPSILON;
}

/** Whether an element is the expected one, empty buckets aside. */
export function sameElement({ element: want, hintMatters }: Expected, got: Element): boolean {
  if (typeof want === "number" || typeof got === "number") {
    return typeof want === "number" && typeof got === "number" && almostEqual(want, got);
  }
  const a = compact(want);
  const b = compact(got);
  return (
    sameLayout(a.layout, b.layout) &&
    almostEqual(a.count, b.count) &&
    almostEqual(a.sum, b.sum) &&
    almostEqual(a.zeroCount, b.zeroCount) &&
    a.buckets.every((count, i) => almostEqual(count, b.buckets[i]!)) &&
    (!hintMatters || a.hint === b.hint)
  );
}

/** An element for messages. */
export function elementText(element: Element): string {
  if (typeof element === "number") return String(element);
  const { layout, hint, count, sum, zeroCount, buckets } = compact(element);
  const parts = [`schema:${layout.schema}`, `count:${count}`, `sum:${sum}`, `z_bucket:${zeroCount}`];
  parts.push(`z_bucket_w:${layout.zeroThreshold}`, `hint:${hint}`);
  if (layout.bounds.length > 0) parts.push(`bounds:${layout.bounds.join(" ")}`);
  const indexes = [...layout.positive, ...Array.from(layout.negative, (i) => `n${i}`)];
  parts.push(`buckets:${indexes.map((index, i) => `${index}=${buckets[i]}`).join(" ")}`);
  return `{{${parts.join(" ")}}}`;
}
