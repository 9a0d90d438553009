// libs/promql/histogram-literal.ts: histograms as the test language writes them: `{{schema:1 sum:-0.3 count:3 buckets:[5 10]}}`.
// Bucket counts are absolute, in one span that begins at the offset. Schema -53 stands for custom boundaries.
import { readNumber } from "./literals.ts";
import { quoteString } from "./quote.ts";

export type CounterResetHint = "unknown" | "reset" | "not_reset" | "gauge";

/** A histogram literal; keys that are not written are 0 or empty. */
export interface HistogramLiteral {
  readonly schema: number;
  readonly sum: number;
  readonly count: number;
  readonly zeroCount: number;
  readonly zeroThreshold: number;
  readonly positiveOffset: number;
  readonly positiveBuckets: readonly number[];
  readonly negativeOffset: number;
  readonly negativeBuckets: readonly number[];
  readonly customValues: readonly number[];
  /** Absent when not written: then nothing is expected of a result's hint. */
  readonly counterResetHint?: CounterResetHint;
}

type Draft = { -readonly [K in keyof HistogramLiteral]: HistogramLiteral[K] };

const ENTRY = /([A-Za-z_]+):(\[[^\]]*\]|[^\s[\]]+)(?:\s+|$)/y;
const HINTS: ReadonlySet<string> = new Set<CounterResetHint>(["unknown", "reset", "not_reset", "gauge"]);

const SETTERS: ReadonlyMap<string, (draft: Draft, text: string) => void> = new Map([
  ["schema", (d: Draft, text: string) => set(d, "schema", readInt32(text))],
  ["offset", (d: Draft, text: string) => set(d, "positiveOffset", readInt32(text))],
  ["n_offset", (d: Draft, text: string) => set(d, "negativeOffset", readInt32(text))],
  ["sum", (d: Draft, text: string) => set(d, "sum", readSigned(text))],
  ["count", (d: Draft, text: string) => set(d, "count", readSigned(text))],
  ["z_bucket", (d: Draft, text: string) => set(d, "zeroCount", readSigned(text))],
  ["z_bucket_w", (d: Draft, text: string) => set(d, "zeroThreshold", readSigned(text))],
  ["buckets", (d: Draft, text: string) => set(d, "positiveBuckets", readList(text))],
  ["n_buckets", (d: Draft, text: string) => set(d, "negativeBuckets", readList(text))],
  ["custom_values", (d: Draft, text: string) => set(d, "customValues", readList(text))],
  ["counter_reset_hint", (d: Draft, text: string) => set(d, "counterResetHint", readHint(text))],
]);

/** Reads what stands between `{{` and `}}`. Answers a string, the reason, when it is no histogram. */
export function readHistogram(inner: string): HistogramLiteral | string {
  const draft: Draft = {
    schema: 0,
    sum: 0,
    count: 0,
    zeroCount: 0,
    zeroThreshold: 0,
    positiveOffset: 0,
    positiveBuckets: [],
    negativeOffset: 0,
    negativeBuckets: [],
    customValues: [],
  };
  const text = inner.trim();
  const seen = new Set<string>();
  ENTRY.lastIndex = 0;
  while (ENTRY.lastIndex < text.length) {
    const from = ENTRY.lastIndex;
    const match = ENTRY.exec(text);
    if (match === null) return `bad histogram description: got ${quoteString(text.slice(from))}; want key:value`;
    const key = match[1]!.toLowerCase();
    const setter = SETTERS.get(key);
    if (setter === undefined) return `bad histogram descriptor found: ${quoteString(match[1]!)}`;
    if (seen.has(key)) return `duplicate key "${key}" in histogram`;
    seen.add(key);
    try {
      setter(draft, match[2]!);
    } catch (error) {
      if (error instanceof RangeError) return `error parsing ${key}: ${error.message}`;
      throw error;
    }
  }
  return draft;
}

function set<K extends keyof Draft>(draft: Draft, key: K, value: Draft[K]): void {
  draft[key] = value;
}

function readSigned(text: string): number {
  const magnitude = readNumber(text.replace(/^[+-]/, ""));
  if (typeof magnitude === "string") throw new RangeError(`got ${quoteString(text)}; want a number`);
  return text.startsWith("-") ? -magnitude : magnitude;
}

function readInt32(text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || (value | 0) !== value) {
    throw new RangeError(`got ${quoteString(text)}; want a whole number of 32 bits`);
  }
  return value;
}

function readList(text: string): number[] {
  if (!text.startsWith("[")) throw new RangeError(`got ${quoteString(text)}; want numbers in brackets`);
  const items = text.slice(1, -1).trim();
  if (items === "") throw new RangeError("got no numbers; want at least one");
  return items.split(/\s+/).map(readSigned);
}

function readHint(text: string): CounterResetHint {
  if (!HINTS.has(text.toLowerCase())) {
    throw new RangeError(`got ${quoteString(text)}; want ${[...HINTS].join(", ")}`);
  }
  return text.toLowerCase() as CounterResetHint;
}
