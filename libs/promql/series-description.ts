// libs/promql/series-description.ts: the series lines of the test language: `up{job="a"} 1 2+3x4 _ stale {{count:1}}`.
// `1x3` is the value 1 four times, `1+2x3` is 1 3 5 7, `_x3` is three gaps. A line `up{job="a"}@st -1m _` gives start
// timestamps to the samples of the line behind it.
// Reference: Prometheus, documentation of unit testing rules, "series".
import { InvalidError, type Labels, labelsFromPairs, METRIC_NAME } from "../model/index.ts";
import { readDuration } from "./durations.ts";
import { type HistogramLiteral, readHistogram } from "./histogram-literal.ts";
import { readNumber, readString } from "./literals.ts";
import { ALL_OPTIONS } from "./options.ts";
import { quoteString } from "./quote.ts";
import { type Expectation, TokenStream } from "./token-stream.ts";
import { METRIC_NAME_TYPES } from "./tokens.ts";

/** One position of a series. */
export type SequenceValue =
  | { readonly kind: "omitted" }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "stale" }
  | HistogramValue
  | StartValue;

/** `base`, to which `delta` was added (sign 1) or from which it was subtracted (sign -1) `times` times. */
export interface HistogramValue {
  readonly kind: "histogram";
  readonly base: HistogramLiteral;
  readonly delta?: HistogramLiteral;
  readonly sign: 1 | -1;
  readonly times: number;
}

/** Of an `@st` line: the start timestamp, in ms relative to the sample's time. */
export interface StartValue {
  readonly kind: "start";
  readonly offsetMs: number;
}

export interface SeriesDescription {
  readonly labels: Labels;
  /** Whether the line holds start timestamps instead of samples. */
  readonly startTimestamps: boolean;
  readonly values: readonly SequenceValue[];
}

/** Most values a line may stand for, so that a repetition cannot exhaust memory. */
export const SERIES_VALUES_MAX = 1_000_000;

const WHERE = "label set";
const OMITTED: SequenceValue = { kind: "omitted" };
const STALE: SequenceValue = { kind: "stale" };

const NUMBER = String.raw`(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF]|[nN][aA][nN]`;
const GAP = /^_(?:x(\d+))?$/;
const FLOATS = new RegExp(`^([+-]?)(${NUMBER})(?:([+-])(${NUMBER})(?=x))?(?:x(\\d+))?$`);
const STARTS = /^([+-]?)(\d+[a-z]*?)(?:([+-])([+-]?)(\d+[a-z]*?)(?=x))?(?:x(\d+))?$/;
const HISTOGRAMS = /^\{\{([^{}]*)\}\}(?:([+-])\{\{([^{}]*)\}\}(?=x))?(?:x(\d+))?$/;
const ITEM = /\s*((?:\{\{[^{}]*\}\}|[^\s{}])+|\S)/y;

/** Parses a series line. Errors: ParseError; the line is not part of a query, so its texts are partly our own. */
export function parseSeriesDescription(line: string): SeriesDescription {
  return new SeriesParser(line).parse();
}

class SeriesParser {
  private readonly text: string;
  private readonly stream: TokenStream;
  private readonly values: SequenceValue[] = [];
  private itemStart = 0;

  constructor(line: string) {
    this.text = line.trim();
    this.stream = new TokenStream(this.text, ALL_OPTIONS);
  }

  parse(): SeriesDescription {
    if (this.text === "") return { labels: [], startTimestamps: false, values: [] };
    const { labels, end } = this.parseMetric();
    const startTimestamps = this.text.startsWith("@st", end);
    const from = startTimestamps ? end + 3 : end;
    if (from < this.text.length && !/\s/.test(this.text[from]!)) {
      this.itemStart = from;
      this.fail(`unexpected ${quoteString(this.text[from]!)} behind metric; want a blank`);
    }
    ITEM.lastIndex = from;
    for (let match = ITEM.exec(this.text); match !== null; match = ITEM.exec(this.text)) {
      this.itemStart = ITEM.lastIndex - match[1]!.length;
      if (startTimestamps) this.parseStarts(match[1]!);
      else this.parseItem(match[1]!);
    }
    return { labels, startTimestamps, values: this.values };
  }

  /** The labels, and the offset behind them. */
  private parseMetric(): { labels: Labels; end: number } {
    const { stream } = this;
    const pairs = new Map<string, string>();
    const first = stream.peek();
    let { end } = first;
    if (METRIC_NAME_TYPES.has(first.type)) stream.next();
    else if (first.type !== "{") stream.unexpected();
    if (first.type === "{" || this.text[end] === "{") end = this.parseLabels(pairs);
    if (first.type !== "{") pairs.set(METRIC_NAME, stream.written(first));
    try {
      return { labels: labelsFromPairs(pairs), end };
    } catch (error) {
      if (error instanceof InvalidError) this.fail(error.message);
      throw error;
    }
  }

  /** `{a="b", "c.d"="e", "metric.name"}`; answers the offset behind the closing brace. */
  private parseLabels(pairs: Map<string, string>): number {
    const { stream } = this;
    const string: Expectation = { where: WHERE, what: "string" };
    stream.next();
    while (stream.type() !== "}") {
      const label = stream.peek();
      const quoted = label.type === "string";
      if (!quoted && label.type !== "identifier") stream.unexpected({ where: WHERE, what: 'identifier or "}"' });
      stream.next();
      const name = quoted ? readString(stream.written(label)) : stream.written(label);
      if (quoted && stream.type() !== "=") pairs.set(METRIC_NAME, name);
      else {
        stream.expect("=", { where: WHERE, what: '"="' });
        pairs.set(name, readString(stream.written(stream.expect("string", string))));
      }
      if (stream.type() !== "}") stream.expect(",", { where: WHERE, what: '"," or "}"' });
    }
    return stream.next().end;
  }

  private parseItem(item: string): void {
    const gap = GAP.exec(item);
    if (gap !== null) this.repeat(gap[1], 0, () => OMITTED);
    else if (item === "stale") this.repeat(undefined, 1, () => STALE);
    else if (item.startsWith("{{")) this.parseHistograms(item);
    else this.parseFloats(item);
  }

  private parseFloats(item: string): void {
    const match = FLOATS.exec(item);
    if (match === null) {
      this.fail(`unexpected ${quoteString(item)} in series values, expected number, "stale", "_" or histogram`);
    }
    const [, sign, base, deltaSign, deltaText, count] = match!;
    let value = this.number(base!) * (sign === "-" ? -1 : 1);
    const delta = deltaText === undefined ? 0 : this.number(deltaText) * (deltaSign === "-" ? -1 : 1);
    this.repeat(count, 1, () => {
      const now = value;
      // The sum runs on, with its rounding, as in Prometheus. Without a delta an infinity or -0 stays what it is.
      if (deltaText !== undefined) value += delta;
      return { kind: "float", value: now };
    });
  }

  private parseHistograms(item: string): void {
    const match = HISTOGRAMS.exec(item);
    if (match === null) this.fail(`unexpected ${quoteString(item)} in series values, expected histogram`);
    const [, first, sign, second, count] = match!;
    const base = this.histogram(first!);
    const delta = second === undefined ? {} : { delta: this.histogram(second) };
    const repeated = second !== undefined;
    this.repeat(count, 1, (i) => {
      return { kind: "histogram", base, ...delta, sign: sign === "-" ? -1 : 1, times: repeated ? i : 0 };
    });
  }

  private parseStarts(item: string): void {
    const gap = GAP.exec(item);
    if (gap !== null) {
      this.repeat(gap[1], 0, () => OMITTED);
      return;
    }
    const match = STARTS.exec(item);
    if (match === null) this.fail(`invalid ST item ${quoteString(item)}`);
    const [, sign, base, deltaSign, innerSign, deltaText, count] = match!;
    const first = this.duration(base!) * (sign === "-" ? -1 : 1);
    const direction = (deltaSign === "-" ? -1 : 1) * (innerSign === "-" ? -1 : 1);
    const delta = deltaText === undefined ? 0 : this.duration(deltaText) * direction;
    // Adding zero turns a negative zero into a plain one.
    this.repeat(count, 1, (i) => ({ kind: "start", offsetMs: first + i * delta + 0 }));
  }

  /** Appends `count` + `more` values; one when no count is written. */
  private repeat(count: string | undefined, more: number, value: (index: number) => SequenceValue): void {
    const times = count === undefined ? 1 : Number(count) + more;
    if (!(this.values.length + times <= SERIES_VALUES_MAX)) {
      this.fail(`invalid repetition in series values: got ${times} more values; want at most ${SERIES_VALUES_MAX}`);
    }
    for (let i = 0; i < times; i++) this.values.push(value(i));
  }

  private number(text: string): number {
    const value = readNumber(text);
    return typeof value === "string" ? this.fail(value) : value;
  }

  private duration(text: string): number {
    const ms = readDuration(text);
    return typeof ms === "string" ? this.fail(ms) : ms;
  }

  private histogram(inner: string): HistogramLiteral {
    const histogram = readHistogram(inner);
    return typeof histogram === "string" ? this.fail(histogram) : histogram;
  }

  private fail(reason: string): never {
    const start = this.stream.byteOffset(this.itemStart);
    return this.stream.fail({ start, end: this.stream.byteOffset(this.text.length) }, reason);
  }
}
