// libs/side/side-store.ts: side data of a window, in memory, until it is cut into files. Any order of arrival.
// Histograms are kept as bytes in pages, some two bytes a bucket, and layouts once. A series without side data costs nothing.
// Invariants: the lists of a series are those of side-series.ts. What was put and is not in `put`'s result was there before, or lost
// by the rule for equal times: only what is returned has to be logged.
import { ByteSink, ByteSource } from "../block/index.ts";
import { type BucketLayout, compareExemplars, type FloatHistogram, Moment } from "../model/index.ts";
import {
  copyOfSeries,
  emptySeries,
  type HiddenRange,
  HiddenSide,
  isEmptySeries,
  type StoredSeries,
  takeRange,
} from "./hidden-side.ts";
import { decodeCounts, encodeCounts, encodeLayout } from "./histogram-bytes.ts";
import {
  compareSamples,
  type HistogramSample,
  mergeSide,
  NO_SIDE,
  relevantSide,
  type SidePart,
  type SideSeries,
  type StartTime,
} from "./side-series.ts";
import { TimeSpan } from "./time-span.ts";

/** A histogram's place is page × PAGE_BYTES + offset; STALE is that of a stale marker. */
const PAGE_BYTES = 1 << 16;
const STALE = -1;
/** What a JavaScript object for an exemplar or a start time takes, about, and a series without its columns. */
const OBJECT_BYTES = 96;
const SERIES_BYTES = 400;

/** What became of what was put. */
export interface SidePut {
  /** What is news and must be logged. */
  readonly stored: SideSeries;
  readonly duplicates: number;
  readonly outvoted: number;
}

/** What of a store a reader asks. */
export interface SideStoreView {
  /** The series that may have something of a sort in [lowMs, highMs]. */
  seriesWith(part: SidePart, lowMs: number, highMs: number): Iterable<number>;
  /** What a query of [lowMs, highMs] needs of a series, as relevantSide says. */
  read(series: number, lowMs: number, highMs: number): SideSeries;
  release(): void;
}

export class SideStore {
  private readonly spans = { histograms: new TimeSpan(), exemplars: new TimeSpan(), starts: new TimeSpan() };
  private readonly series = new Map<number, StoredSeries>();
  /** What deletions hide. */
  readonly hidden = new HiddenSide();
  private readonly pages: Uint8Array[] = [];
  private pageUsed = PAGE_BYTES;
  private readonly layouts: BucketLayout[] = [];
  private readonly layoutNumbers = new Map<string, number>();
  private bytes = 0;
  private moment = new Moment<StoredSeries>();
  /** Readers. */
  private users = 0;

  /** Memory, about. */
  get sizeBytes(): number {
    return this.bytes;
  }

  /** Whether it holds nothing, hidden or not. */
  get isEmpty(): boolean {
    return this.series.size === 0 && this.hidden.isEmpty;
  }

  /** Numbers of the series that have something here. */
  get seriesNumbers(): number[] {
    return [...this.series.keys()];
  }

  /** Whether it holds anything of a series, hidden or not. */
  has(series: number): boolean {
    return this.series.has(series) || this.hidden.has(series);
  }

  /** Hides what there is of a series in the range. False: there is nothing, hidden or not. */
  hide(series: number, range: HiddenRange): boolean {
    const found = this.series.get(series);
    if (found !== undefined) this.keepForReaders(series);
    const taken = found === undefined ? emptySeries(0) : takeRange(found, range.minMs, range.maxMs);
    if (found !== undefined && isEmptySeries(found)) this.series.delete(series);
    return this.hidden.hide(series, range, taken);
  }

  /** Shows again what a deletion has hidden, but for what others hide as well. */
  unhide(deletion: string): void {
    for (const series of this.hidden.seriesOf(deletion)) this.keepForReaders(series);
    this.hidden.remove(
      deletion,
      (series, taken) => {
        const there = this.series.get(series);
        this.series.set(series, there === undefined ? taken : this.joined(there, taken));
      },
      (into, more) => this.joined(into, more),
    );
  }

  /** Both as one; of what has one time the winner. */
  private joined(a: StoredSeries, b: StoredSeries): StoredSeries {
    const out = emptySeries(a.count + b.count);
    for (let i = 0, j = 0; i < a.count || j < b.count; ) {
      const order = i === a.count ? 1 : j === b.count ? -1 : a.times[i]! - b.times[j]!;
      const isOfA = order === 0 ? compareSamples(this.sampleAt(a, i), this.sampleAt(b, j)) >= 0 : order < 0;
      out.times[out.count] = isOfA ? a.times[i]! : b.times[j]!;
      out.places[out.count++] = isOfA ? a.places[i]! : b.places[j]!;
      if (order <= 0) i++;
      if (order >= 0) j++;
    }
    const lists = [a, b].map(({ exemplars, starts }) => ({ histograms: [], exemplars, starts }));
    const { exemplars, starts } = mergeSide(lists);
    return { ...out, exemplars: [...exemplars], starts: [...starts] };
  }

  /** What a deletion hides of a series here. */
  readHidden(deletion: string, series: number): SideSeries {
    const found = this.hidden.takenBy(deletion, series);
    return found === undefined ? NO_SIDE : this.sideOf(found, 0, found.count);
  }

  /** The days, by their starts, that a series has something of; like windows they are (start, end]. */
  daysOf(series: number, dayMs: number, deletion?: string): number[] {
    const found = deletion === undefined ? this.series.get(series) : this.hidden.takenBy(deletion, series);
    if (found === undefined) return [];
    const days = new Set<number>();
    const add = (timeMs: number): unknown => days.add((Math.ceil(timeMs / dayMs) - 1) * dayMs);
    for (let i = 0; i < found.count; i++) add(found.times[i]!);
    for (const { timeMs } of found.exemplars) add(timeMs);
    for (const { timeMs } of found.starts) add(timeMs);
    return [...days];
  }

  /** Whether any series may have something of a sort in [lowMs, highMs]. */
  overlaps(part: SidePart, lowMs: number, highMs: number): boolean {
    return this.spans[part].overlaps(lowMs, highMs);
  }

  /** The store as a reader sees it: what deletions hide is what they hide now, until `release`. */
  capture(): SideStoreView {
    this.users++;
    if (this.moment.isOver) this.moment = this.moment.follow();
    const { moment } = this;
    return {
      seriesWith: (part, lowMs, highMs) => this.seriesWith(part, lowMs, highMs, moment),
      read: (series, lowMs, highMs) => this.read(series, lowMs, highMs, moment),
      release: () => {
        this.users--;
        if (this.users === 0 && this.moment.isOver) this.moment = new Moment();
      },
    };
  }

  /** To be called before what is hidden of a series is changed. */
  private keepForReaders(series: number): void {
    if (this.users === 0) return;
    this.moment.keep(series, () => copyOfSeries(this.series.get(series) ?? emptySeries(0)));
  }

  /** The series that may, now or, as a reader sees them, in a moment. */
  *seriesWith(part: SidePart, lowMs: number, highMs: number, moment?: Moment<StoredSeries>): Generator<number, void> {
    if (!this.overlaps(part, lowMs, highMs)) return;
    for (const [series, found] of moment?.isOver ? new Map([...this.series, ...moment.all]) : this.series) {
      const { times, count } = found;
      if (part === "histograms" && count === 0) continue;
      const first = part === "histograms" ? times[0] : found[part][0]?.timeMs;
      const last = part === "histograms" ? times[count - 1] : found[part].at(-1)?.timeMs;
      if (first !== undefined && last !== undefined && first <= highMs && last >= lowMs) yield series;
    }
  }

  /** The lists ascend. */
  put(series: number, side: SideSeries): SidePut {
    const into = this.open(series);
    const lost = { duplicates: 0, outvoted: 0 };
    const histograms = side.histograms.filter((sample) => this.putHistogram(into, sample, lost));
    const exemplars = side.exemplars.filter((exemplar) => {
      const at = lowerBound(into.exemplars, (other) => compareExemplars(other, exemplar) < 0);
      if (at < into.exemplars.length && compareExemplars(into.exemplars[at]!, exemplar) === 0) {
        lost.duplicates++;
        return false;
      }
      into.exemplars.splice(at, 0, exemplar);
      this.spans.exemplars.add(exemplar.timeMs);
      this.bytes += OBJECT_BYTES + exemplar.labels.reduce((n, text) => n + text.length + 16, 0);
      return true;
    });
    const starts = side.starts.filter((start) => this.putStart(into, start, lost));
    return { stored: { histograms, exemplars, starts }, ...lost };
  }

  private open(series: number): StoredSeries {
    let found = this.series.get(series);
    if (found === undefined) {
      found = emptySeries();
      this.series.set(series, found);
      this.bytes += SERIES_BYTES;
    }
    return found;
  }

  private putHistogram(
    into: StoredSeries,
    sample: HistogramSample,
    lost: { duplicates: number; outvoted: number },
  ): boolean {
    const { timeMs } = sample;
    let at = into.count;
    if (at > 0 && into.times[at - 1]! >= timeMs) {
      at = 0;
      for (let high = into.count; at < high; ) {
        const middle = (at + high) >>> 1;
        if (into.times[middle]! < timeMs) at = middle + 1;
        else high = middle;
      }
    }
    if (at < into.count && into.times[at] === timeMs) {
      const order = compareSamples(sample, this.sampleAt(into, at));
      if (order === 0) lost.duplicates++;
      else if (order < 0) lost.outvoted++;
      if (order <= 0) return false;
    } else {
      this.makeRoom(into);
      into.times.copyWithin(at + 1, at, into.count);
      into.places.copyWithin(at + 1, at, into.count);
      into.times[at] = timeMs;
      into.count++;
    }
    into.places[at] = sample.histogram === undefined ? STALE : this.keep(sample.histogram);
    this.spans.histograms.add(timeMs);
    return true;
  }

  private makeRoom(into: StoredSeries): void {
    if (into.count < into.times.length) return;
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const wider = new Float64Array(Math.max(4, column.length * 2));
      wider.set(column);
      return wider;
    };
    this.bytes += into.times.length * 16;
    into.times = grown(into.times);
    into.places = grown(into.places);
  }

  private putStart(into: StoredSeries, start: StartTime, lost: { duplicates: number; outvoted: number }): boolean {
    const at = lowerBound(into.starts, (other) => other.timeMs < start.timeMs);
    const known = into.starts[at]?.timeMs === start.timeMs ? into.starts[at] : undefined;
    if (known !== undefined) {
      if (known.startMs === start.startMs) lost.duplicates++;
      else if (known.startMs > start.startMs) lost.outvoted++;
      if (known.startMs >= start.startMs) return false;
    }
    into.starts.splice(at, known === undefined ? 0 : 1, start);
    this.spans.starts.add(start.timeMs);
    this.bytes += OBJECT_BYTES;
    return true;
  }

  /** Writes a histogram to a page; returns its place. */
  private keep(histogram: FloatHistogram): number {
    const sink = new ByteSink();
    sink.uvarint(this.layoutNumber(histogram.layout));
    encodeCounts(sink, histogram);
    const bytes = sink.written();
    if (bytes.length > PAGE_BYTES) {
      this.pages.push(bytes.slice());
      this.bytes += bytes.length;
      // The next one must not go behind this one.
      this.pageUsed = PAGE_BYTES;
      return (this.pages.length - 1) * PAGE_BYTES;
    }
    if (this.pageUsed + bytes.length > PAGE_BYTES) {
      this.pages.push(new Uint8Array(PAGE_BYTES));
      this.bytes += PAGE_BYTES;
      this.pageUsed = 0;
    }
    this.pages.at(-1)!.set(bytes, this.pageUsed);
    const place = (this.pages.length - 1) * PAGE_BYTES + this.pageUsed;
    this.pageUsed += bytes.length;
    return place;
  }

  private layoutNumber(layout: BucketLayout): number {
    const sink = new ByteSink();
    encodeLayout(sink, layout);
    const text = Buffer.from(sink.written()).toString("latin1");
    let number = this.layoutNumbers.get(text);
    if (number === undefined) {
      number = this.layouts.push(layout) - 1;
      this.layoutNumbers.set(text, number);
      this.bytes += 2 * text.length + 8 * (layout.positive.length + layout.negative.length) + OBJECT_BYTES;
    }
    return number;
  }

  private sampleAt({ times, places }: StoredSeries, at: number): HistogramSample {
    const timeMs = times[at]!;
    const place = places[at]!;
    if (place === STALE) return { timeMs, histogram: undefined };
    const page = this.pages[Math.floor(place / PAGE_BYTES)]!;
    const source = new ByteSource(page.subarray(place % PAGE_BYTES), "side store", "", 0);
    return { timeMs, histogram: decodeCounts(source, this.layouts[source.uvarint()]!) };
  }

  /** What a query of [lowMs, highMs] needs of a series, now or in a moment, as relevantSide says. */
  read(series: number, lowMs: number, highMs: number, moment?: Moment<StoredSeries>): SideSeries {
    const found = moment?.of(series) ?? this.series.get(series);
    if (found === undefined) return NO_SIDE;
    const { times, count } = found;
    let from = 0;
    while (from < count && times[from]! < lowMs) from++;
    let to = from;
    while (to < count && times[to]! <= highMs) to++;
    return relevantSide(this.sideOf(found, Math.max(0, from - 1), to), lowMs, highMs);
  }

  private sideOf(found: StoredSeries, from: number, to: number): SideSeries {
    const histograms: HistogramSample[] = [];
    for (let i = from; i < to; i++) histograms.push(this.sampleAt(found, i));
    return { histograms, exemplars: found.exemplars, starts: found.starts };
  }
}

/** Index of the first item that is not before; `isBefore` is true for a first part of the list. */
function lowerBound<T>(list: readonly T[], isBefore: (item: T) => boolean): number {
  let low = 0;
  let high = list.length;
  // Most things come in the order of their times.
  if (high > 0 && isBefore(list[high - 1]!)) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(list[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}
