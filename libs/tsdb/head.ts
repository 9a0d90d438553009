// libs/tsdb/head.ts: the newest samples of all series: the kernel's chunks for what comes in order, the late store for
// the rest.
// A read sees both as one ascending column in which every time occurs once, with the winner of the rule for equal
// times.
// Writes are synchronous and single-threaded: what append stored is in the next read.
import { TimeRanges, takeSpans } from "../block/index.ts";
import {
  type AppendOutcome,
  beats,
  decodeSamplesRecord,
  encodeSamplesRecord,
  type HeadDictionary,
  HeadKernel,
  type HeadKernelOptions,
  type HeadKernelStats,
  READ_NAN,
  READ_STALE,
  type SampleColumns,
} from "../kernel/index.ts";
import { Moment, STALE_HIGH, STALE_LOW, UnavailableError } from "../model/index.ts";
import type { HeadMoment, SeriesBefore } from "./head-view.ts";
import { type HiddenColumn, HiddenSamples } from "./hidden-samples.ts";
import { LateStore } from "./late-store.ts";
import { TimesCache } from "./times-cache.ts";

/** What became of a batch. The counts add up to the batch's samples unless it is "full" or "unknown-refs". */
export interface HeadAppend {
  /**
   * "full": the arena met its end in the middle; what is in `records` is stored and must be logged, the rest must be
   * sent
   * again (headFullError). "unknown-refs": nothing was stored.
   */
  readonly status: "stored" | "unknown-refs" | "full";
  readonly unknownRefs: Uint32Array;
  /** Samples stored, late ones included. */
  readonly stored: number;
  readonly late: number;
  readonly duplicates: number;
  /** Samples whose time has another value that wins: they have no effect. */
  readonly outvoted: number;
  readonly future: number;
  readonly tooOld: number;
  readonly refusedLimit: number;
  readonly refusedCollision: number;
  /** Newest time of the samples within the bounds; -Infinity without any. */
  readonly newestMs: number;
  /** Samples records of what was stored, for the log; views that are valid until the next append or replay. */
  readonly records: readonly Uint8Array[];
}

/** Samples of one series, ascending. Views that are valid until the head's next call. */
export interface SeriesSamples {
  readonly times: Float64Array;
  /** Stale markers included, by their bits. */
  readonly values: Float64Array;
  readonly count: number;
  /** READ_STALE and READ_NAN: what may occur in the values. */
  readonly flags: number;
}

/** A piece of a group's timestamp column: the times of ordinals [from, to). */
export interface TimeColumn {
  readonly group: number;
  readonly from: number;
  readonly to: number;
  readonly times: Float64Array;
}

/** A span (startMs, …] with samples, the first and last times of which are these. */
export interface TimeSpan {
  readonly startMs: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface HeadStats extends HeadKernelStats {
  readonly lateSamples: number;
  readonly lateSeries: number;
  readonly lateBytes: number;
  /**
   * Bits that chunks take per sample, headers, timestamps and free room in growing slots included; NaN without samples.
   */
  readonly bitsPerSample: number;
}

const NOTHING = new Float64Array(0);
/** Late samples, as a share of the head's memory, beyond which a replay into a full head is given up. */
const OVERFLOW_SHARE = 1 / 4;

/** Decoded times that are kept for queries: those of a thousand targets for two hours of 15 s. */
const TIMES_KEPT_BYTES = 4 << 20;

/** What a writer whose batch met a full head is told. */
export function headFullError(): UnavailableError {
  return new UnavailableError("cannot append samples: got a full head; want more memory for it (--head-memory)", 10);
}

export class Head {
  private readonly kernel: HeadKernel;
  private late = new LateStore();
  /** What deletions hide; undefined as long as they hide nothing. */
  private hidden: HiddenSamples | undefined;
  private moment: HeadMoment = new Moment<SeriesBefore>();
  private users = 0;
  private onIdle: (() => void) | undefined;
  private readonly overflowBytesMax: number;
  private readonly times: TimesCache;

  /** Errors: InvalidError for a memory that is too small or too large. */
  constructor(options: HeadKernelOptions) {
    this.kernel = new HeadKernel(options);
    this.overflowBytesMax = options.memoryBytes * OVERFLOW_SHARE;
    this.times = new TimesCache(this.kernel, TIMES_KEPT_BYTES);
  }

  /** The longest batch that append accepts. */
  get batchBytesMax(): number {
    return this.kernel.batchBytesMax;
  }

  get seriesCount(): number {
    return this.kernel.seriesCount;
  }

  /** Notes that an evaluation reads the head; what deletions have hidden until now is what they hide in the moment returned. */
  acquire(): HeadMoment {
    this.users++;
    if (this.moment.isOver) this.moment = this.moment.follow();
    return this.moment;
  }

  /** The evaluation is done. */
  release(): void {
    this.users--;
    if (this.users > 0) return;
    if (this.moment.isOver) this.moment = new Moment();
    this.onIdle?.();
  }

  /** To be called before what is hidden of a series is changed: evaluations under way go on seeing it as it is. */
  private keepForReaders(series: number): void {
    if (this.users === 0) return;
    this.moment.keep(series, () => {
      const late = this.late.read(series, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
      return { hidden: this.hidden?.ofChunks(series), late };
    });
  }

  /** Calls `idle` once nobody reads the head: now, or when the last evaluation is done. Nobody may begin afterwards. */
  whenIdle(idle: () => void): void {
    if (this.users === 0) idle();
    else this.onIdle = idle;
  }

  /** Whether addSeries surely takes another series. */
  get hasSeriesRoom(): boolean {
    return this.kernel.hasSeriesRoom;
  }

  /** Bytes that samples and series take, late samples included. */
  get usedBytes(): number {
    return this.kernel.usedBytes + this.late.sizeBytes;
  }

  /** What must be zeroed before `reset`, and how; see HeadKernel. */
  get dirtyRanges(): [from: number, to: number][] {
    return this.kernel.dirtyRanges;
  }

  zero(from: number, to: number): void {
    this.kernel.zero(from, to);
  }

  /** Empties the head: series, samples and dictionaries are gone. */
  reset(): void {
    this.kernel.reset();
    this.times.clear();
    this.onIdle = undefined;
    this.late = new LateStore();
    this.hidden = undefined;
  }

  /** Registers a series of a home; returns its number, dense from 0, or -1 when the head takes no more series. */
  addSeries(homeHigh: number, homeLow: number): number {
    return this.kernel.addSeries(homeHigh, homeLow);
  }

  /** Gives a series that has no samples here another home. Returns false where there is no room for the home. */
  rehome(series: number, homeHigh: number, homeLow: number): boolean {
    return this.kernel.rehome(series, homeHigh, homeLow);
  }

  /** A dictionary for a connection; undefined when the head's memory is full. */
  makeDictionary(): HeadDictionary | undefined {
    return this.kernel.makeDictionary();
  }

  /**
   * Appends a batch whose registrations are in the dictionary. Samples outside [minMs, maxMs] are counted and left out.
   * Errors: InvalidError for a malformed batch; nothing is stored then.
   */
  append(batch: Uint8Array, dictionary: HeadDictionary, minMs: number, maxMs: number): HeadAppend {
    return this.settle(this.kernel.append(batch, dictionary, minMs, maxMs));
  }

  /** Looks at a batch as append would, and stores nothing. Errors: InvalidError for a malformed batch. */
  check(batch: Uint8Array, dictionary: HeadDictionary): void {
    // No time is at least 1 and at most 0.
    this.kernel.append(batch, dictionary, 1, 0);
  }

  /**
   * Appends the samples with times in [minMs, maxMs] of a samples record of the log; its series must be registered. The result has no records. What the head has no room
   * for goes to the late store: the log of a process with a full head may need a little more than that process did, and must
   * not keep the next one from starting. Errors: InvalidError for a malformed record, UnavailableError when that is too much.
   */
  replay(record: Uint8Array, minMs = Number.NEGATIVE_INFINITY, maxMs = Number.POSITIVE_INFINITY): HeadAppend[] {
    const results: HeadAppend[] = [];
    const take = (outcome: AppendOutcome, part: Uint8Array): void => {
      const { status, consumed } = outcome;
      results.push(this.settle(outcome));
      if (status === "full") this.overflow(decodeSamplesRecord(part), consumed, minMs, maxMs);
    };
    this.kernel.replay(record, take, minMs, maxMs);
    return results;
  }

  private overflow(samples: SampleColumns, from: number, minMs: number, maxMs: number): void {
    for (let i = from; i < samples.count; i++) {
      if (samples.times[i]! < minMs || samples.times[i]! > maxMs) continue;
      this.late.insert(samples, i);
      this.kernel.markLate(samples.series[i]!);
    }
    if (this.late.sizeBytes > this.overflowBytesMax) throw headFullError();
  }

  /**
   * Hides the samples that a series has with times in [minMs, maxMs] now. Returns whether there were any, hidden by another deletion or not.
   */
  hide(series: number, deletion: string, minMs: number, maxMs: number): boolean {
    if (series >= this.kernel.seriesCount) return false;
    const { times } = this.kernel.readSeries(series, minMs, maxMs);
    const lastMs = times.at(-1) ?? Number.NEGATIVE_INFINITY;
    const hasLate = this.late.overlaps(series, minMs, maxMs);
    if (times.length === 0 && !hasLate && !this.hidden?.hasTaken(series, minMs, maxMs)) return false;
    this.keepForReaders(series);
    const late = this.late.remove(series, minMs, maxMs);
    this.kernel.markHidden(series);
    this.hidden ??= new HiddenSamples();
    this.hidden.add(series, { deletion, minMs, maxMs, lastMs }, late);
    return true;
  }

  /** Shows again what a deletion has hidden, but for what others hide as well. */
  unhide(deletion: string): void {
    for (const series of this.hidden?.seriesOf(deletion) ?? []) this.keepForReaders(series);
    this.hidden?.remove(deletion, (series, { times, values }) => {
      const columns = { times, values, series: new Uint32Array(times.length).fill(series), count: times.length };
      for (let i = 0; i < times.length; i++) this.late.insert(columns, i);
      this.kernel.markLate(series);
    });
    if (this.hidden?.isEmpty) this.hidden = undefined;
  }

  /** Whether a deletion hides anything here. */
  hides(deletion: string): boolean {
    return this.hidden?.has(deletion) ?? false;
  }

  /** What deletions hide here; undefined when that is nothing. For cuts. */
  get hiddenSamples(): HiddenSamples | undefined {
    return this.hidden;
  }

  /** The samples of a layer of the hidden ones with times in [lowMs, highMs], but for what may go for good; copies. */
  readHidden(
    series: number,
    layer: number,
    lowMs: number,
    highMs: number,
    isDue: (deletion: string) => boolean,
  ): HiddenColumn {
    const chunks = (): HiddenColumn => this.kernel.readSeries(series, lowMs, highMs);
    return partOf(this.hidden!.layer(series, layer, chunks, isDue), lowMs, highMs);
  }

  /** Gives the late samples to the late store and adds up. */
  private settle(outcome: AppendOutcome): HeadAppend {
    const { spill, record } = outcome;
    const records = record.length > 0 ? [record] : [];
    let { stored, duplicates, outvoted } = outcome;
    let late = 0;
    for (let i = 0; i < spill.count; i++) {
      const result = this.late.insert(spill, i);
      if (result === "duplicate") duplicates++;
      else if (result === "outvoted") outvoted++;
      else moveSample(spill, i, late++);
    }
    stored += late;
    if (late > 0) records.push(encodeSamplesRecord(spill, 0, late));
    const { status, unknownRefs, future, tooOld, refusedLimit, refusedCollision, newestMs } = outcome;
    return {
      status,
      unknownRefs,
      stored,
      late,
      duplicates,
      outvoted,
      future,
      tooOld,
      refusedLimit,
      refusedCollision,
      newestMs,
      records,
    };
  }

  /** Whether any series has samples with times in [lowMs, highMs]; of late ones it is enough that they lie around it. */
  overlaps(lowMs: number, highMs: number): boolean {
    const { kernel, late } = this;
    if (late.minMs <= highMs && late.maxMs >= lowMs) return true;
    for (let group = 0; group < kernel.groupCount; group++) {
      const { from, to } = kernel.timeRange(group, lowMs, highMs);
      if (from < to) return true;
    }
    return false;
  }

  /** The group whose timestamp column the series' newest samples follow. */
  groupOf(series: number): number {
    return this.kernel.groupOf(series);
  }

  /** The part of a group's column with times in [lowMs, highMs], decoded. Ordinals and their times never change. */
  timeColumn(group: number, lowMs: number, highMs: number): TimeColumn {
    const { from, to } = this.kernel.timeRange(group, lowMs, highMs);
    return { group, from, to, times: this.times.read(group, from, to) };
  }

  /**
   * Whether the column tells all about the series between its first and last time's range [lowMs, highMs]: every sample
   * of the series there
   * is at one of its ordinals. Then readColumn aligns 1:1 with the column's times.
   */
  isInStep(series: number, column: TimeColumn, lowMs: number, highMs: number, moment?: HeadMoment): boolean {
    const { kernel } = this;
    return (
      moment?.of(series) === undefined &&
      // A head that was frozen before the series came has nothing of it.
      series < kernel.seriesCount &&
      kernel.groupOf(series) === column.group &&
      kernel.isInGroup(series, column.from) &&
      !(kernel.hasLate(series) && this.late.overlaps(series, lowMs, highMs)) &&
      !(this.hidden?.ofChunks(series)?.overlaps(lowMs, highMs) ?? false)
    );
  }

  /** For a series in step: whether it has a sample, not stale, at each of the ordinals [from, to). Decodes nothing. */
  isClean(series: number, from: number, to: number): boolean {
    return this.kernel.isClean(series, from, to);
  }

  /** READ_* flags of the last readColumn. */
  get columnFlags(): number {
    return this.kernel.flags;
  }

  /**
   * For a series in step: its values at ordinals [from, to), holes (the HOLE bits of libs/chunk) where it has none. A
   * view that is
   * valid until the next call; columnFlags tells whether holes, stale markers or NaNs may occur in it.
   */
  readColumn(series: number, from: number, to: number): Float64Array {
    return this.kernel.readColumn(series, from, to);
  }

  /** All visible samples of a series with times in [lowMs, highMs], late ones merged in. */
  readSeries(series: number, lowMs: number, highMs: number, moment?: HeadMoment): SeriesSamples {
    if (series >= this.kernel.seriesCount) return { times: NOTHING, values: NOTHING, count: 0, flags: 0 };
    let { times, values } = this.kernel.readSeries(series, lowMs, highMs);
    const { flags } = this.kernel;
    const before = moment?.of(series);
    const hidden = before === undefined ? this.hidden?.ofChunks(series) : before.hidden;
    if (hidden?.overlaps(lowMs, highMs)) {
      const spans = hidden.spansOutside(times);
      [times, values] = [takeSpans(times, spans), takeSpans(values, spans)];
    }
    if (before !== undefined) return mergeSamples(times, values, partOf(before.late, lowMs, highMs));
    if (this.kernel.hasLate(series) && this.late.overlaps(series, lowMs, highMs)) {
      return mergeSamples(times, values, this.late.read(series, lowMs, highMs));
    }
    return { times, values, count: times.length, flags };
  }

  /** Whether the series has any sample here. */
  hasSamples(series: number): boolean {
    return series < this.kernel.seriesCount && this.kernel.hasSamples(series);
  }

  /** The spans (start, start + spanMs] in which there are samples of any series, hidden ones too, ascending, with their first and last times. */
  spans(spanMs: number): TimeSpan[] {
    const found = new Map<number, { firstMs: number; lastMs: number }>();
    for (let group = 0; group < this.kernel.groupCount; group++) {
      addSpans(found, this.kernel.groupTimes(group, 0, this.kernel.groupLength(group)), spanMs);
    }
    for (const series of this.late.seriesNumbers) {
      addSpans(found, this.late.read(series, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY).times, spanMs);
    }
    for (const times of this.hidden?.lateTimes() ?? []) addSpans(found, times, spanMs);
    return [...found].map(([startMs, times]) => ({ startMs, ...times })).sort((a, b) => a.startMs - b.startMs);
  }

  stats(): HeadStats {
    const kernel = this.kernel.stats();
    return {
      ...kernel,
      lateSamples: this.late.sampleCount,
      lateSeries: this.late.seriesCount,
      lateBytes: this.late.sizeBytes,
      bitsPerSample: ((kernel.sealedBytes + kernel.growingBytes + kernel.timeBytes) * 8) / kernel.samples,
    };
  }
}

/** The samples of a column with times in [lowMs, highMs]; a copy. */
function partOf({ times, values }: HiddenColumn, lowMs: number, highMs: number): HiddenColumn {
  const spans = TimeRanges.of([
    [Number.NEGATIVE_INFINITY, lowMs - 1],
    [highMs + 1, Number.POSITIVE_INFINITY],
  ]).spansOutside(times);
  return { times: takeSpans(times, spans), values: takeSpans(values, spans) };
}

/** Notes the spans of ascending times; costs a binary search a span. */
function addSpans(found: Map<number, { firstMs: number; lastMs: number }>, times: Float64Array, spanMs: number): void {
  for (let at = 0; at < times.length; ) {
    const startMs = Math.ceil(times[at]! / spanMs - 1) * spanMs;
    let low = at + 1;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (times[middle]! <= startMs + spanMs) low = middle + 1;
      else high = middle;
    }
    const firstMs = times[at]!;
    const lastMs = times[low - 1]!;
    const known = found.get(startMs);
    if (known === undefined) found.set(startMs, { firstMs, lastMs });
    else {
      known.firstMs = Math.min(known.firstMs, firstMs);
      known.lastMs = Math.max(known.lastMs, lastMs);
    }
    at = low;
  }
}

/** Moves a sample to an earlier place of its columns. */
function moveSample(columns: SampleColumns, from: number, to: number): void {
  if (from === to) return;
  columns.series[to] = columns.series[from]!;
  columns.times[to] = columns.times[from]!;
  columns.values.copyWithin(to, from, from + 1);
}

/** Merges two ascending columns; at equal times the winner stays. */
function mergeSamples(
  times: Float64Array,
  values: Float64Array,
  late: { times: Float64Array; values: Float64Array },
): SeriesSamples {
  const total = times.length + late.times.length;
  const outTimes = new Float64Array(total);
  const out = new Float64Array(total);
  const words = new Uint32Array(out.buffer);
  let flags = 0;
  let count = 0;
  let h = 0;
  let l = 0;
  while (h < times.length || l < late.times.length) {
    const headTime = h < times.length ? times[h]! : Number.POSITIVE_INFINITY;
    const lateTime = l < late.times.length ? late.times[l]! : Number.POSITIVE_INFINITY;
    outTimes[count] = Math.min(headTime, lateTime);
    if (headTime <= lateTime) out[count] = values[h++]!;
    if (lateTime <= headTime) {
      const low = words[count * 2]!;
      const high = words[count * 2 + 1]!;
      out[count] = late.values[l++]!;
      if (headTime === lateTime && beats(high, low, words[count * 2 + 1]!, words[count * 2]!)) {
        words[count * 2] = low;
        words[count * 2 + 1] = high;
      }
    }
    if (Number.isNaN(out[count]!)) {
      const stale = words[count * 2] === STALE_LOW && words[count * 2 + 1] === STALE_HIGH;
      flags |= stale ? READ_STALE : READ_NAN;
    }
    count++;
  }
  return { times: outTimes.subarray(0, count), values: out.subarray(0, count), count, flags };
}
