// libs/promql/budget.ts: what a query may take: time, samples read from storages, and points held in memory.
import {
  AppError,
  CanceledError,
  checkSeries,
  columnBytes,
  type LeafResult,
  nextTurn,
  type QueryContext,
  TimeoutError,
  tooManyBytes,
  tooManySamples,
} from "../model/index.ts";
import { QueryProgress } from "./progress.ts";
import type { Steps } from "./stride.ts";

/** Counters of a query, for its statistics. */
export interface QueryStats {
  /** Samples that leaves read. */
  readonly samplesRead: number;
  /** Series that leaves matched. */
  readonly seriesCount: number;
  /** The most points that nodes of the query held at a time. */
  readonly peakPoints: number;
}

/** What a point takes while it is held: its value. */
const POINT_BYTES = 8;

/** What a text takes beside its characters: the string, its place among the labels. */
const TEXT_BYTES = 32;
/** Characters of a text are held twice: in the label, and in the key by which equal label sets are found. */
const COPIES = 2;

/** What the text of a new label takes, by its length. */
export function labelTextBytes(length: number): number {
  return COPIES * length + TEXT_BYTES;
}

/** The longest stretch of work before other events get their turn, if steps are short. */
const SLICE_MS = 1;

/** Checked between nodes. Every error names what the operator or the client can change. */
export class Budget {
  readonly #context: QueryContext;
  readonly #now: () => number;
  readonly #progress: QueryProgress;
  readonly #bytesMax: number;
  #points = 0;
  #textBytes = 0;

  /** @param now wall-clock ms, of the same clock as the context's deadline */
  constructor(context: QueryContext, now: () => number, progress = new QueryProgress()) {
    this.#context = context;
    this.#now = now;
    this.#progress = progress;
    this.#bytesMax = context.bytesMax ?? Number.POSITIVE_INFINITY;
  }

  /** Errors: CanceledError, TimeoutError, or whatever AppError the signal was aborted with. */
  check(): void {
    const { aborted, reason } = this.#context.signal;
    if (aborted && reason instanceof AppError) throw reason;
    if (aborted) throw new CanceledError("query was canceled in expression evaluation");
    if (this.#now() > this.#context.deadlineMs) throw new TimeoutError("query timed out in expression evaluation");
  }

  /** Counts what a leaf read. Errors: LimitError. */
  read(result: LeafResult): void {
    const progress = this.#progress;
    progress.samplesRead += result.samplesRead;
    progress.seriesCount += result.seriesCount;
    progress.bytes += result.bytes ?? columnBytes(result.columns);
    if (progress.samplesRead > this.#context.samplesMax) throw tooManySamples();
    checkSeries(progress.seriesCount, this.#context.seriesMax);
  }

  /** How many samples further leaves may read. */
  get samplesLeft(): number {
    return Math.max(0, this.#context.samplesMax - this.#progress.samplesRead);
  }

  /**
   * Does all steps of work that may be long, a slice at a time: what they return. Errors: as check, and whatever a step throws.
   */
  async inSlices<T>(steps: Steps<T>): Promise<T> {
    for (let until = this.#now() + SLICE_MS; ; ) {
      const { done, value } = steps.next();
      if (done === true) return value;
      if (this.#now() < until) continue;
      await nextTurn();
      this.check();
      until = this.#now() + SLICE_MS;
    }
  }

  /** Reserves room for points, and for texts of labels, before they are made. Errors: LimitError. */
  hold(points: number, textBytes = 0): void {
    this.#points += points;
    this.#textBytes += textBytes;
    if (this.#points > this.#progress.peakPoints) this.#progress.peakPoints = this.#points;
    if (this.#points > this.#context.samplesMax) throw tooManySamples();
    if (this.#points * POINT_BYTES + this.#textBytes > this.#bytesMax) throw tooManyBytes(this.#bytesMax);
  }

  release(points: number, textBytes = 0): void {
    this.#points -= points;
    this.#textBytes -= textBytes;
  }

  stats(): QueryStats {
    const { samplesRead, seriesCount, peakPoints } = this.#progress;
    return { samplesRead, seriesCount, peakPoints };
  }
}
