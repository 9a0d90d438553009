// libs/promql/budget.ts: what a query may take: time, samples read from storages, and points held in memory.
import { AppError, CanceledError, LimitError, type QueryContext, TimeoutError } from "../model/index.ts";

/** Counters of a query, for its statistics. */
export interface QueryStats {
  /** Samples that leaves read. */
  readonly samplesRead: number;
  /** Series that leaves matched. */
  readonly seriesCount: number;
  /** The most points that nodes of the query held at a time. */
  readonly peakPoints: number;
}

/** Checked between nodes. Every error names what the operator or the client can change. */
export class Budget {
  readonly #context: QueryContext;
  readonly #now: () => number;
  #samplesRead = 0;
  #seriesCount = 0;
  #points = 0;
  #peakPoints = 0;

  /** @param now wall-clock ms, of the same clock as the context's deadline */
  constructor(context: QueryContext, now: () => number) {
    this.#context = context;
    this.#now = now;
  }

  /** Errors: CanceledError, TimeoutError, or whatever AppError the signal was aborted with. */
  check(): void {
    const { aborted, reason } = this.#context.signal;
    if (aborted && reason instanceof AppError) throw reason;
    if (aborted) throw new CanceledError("query was canceled in expression evaluation");
    if (this.#now() > this.#context.deadlineMs) throw new TimeoutError("query timed out in expression evaluation");
  }

  /** Counts what a leaf read. Errors: LimitError. */
  read(samples: number, series: number): void {
    this.#samplesRead += samples;
    this.#seriesCount += series;
    if (this.#samplesRead > this.#context.samplesMax) throw this.#tooMany();
  }

  /** How many samples further leaves may read. */
  get samplesLeft(): number {
    return Math.max(0, this.#context.samplesMax - this.#samplesRead);
  }

  /** Reserves room for points before they are computed. Errors: LimitError. */
  hold(points: number): void {
    this.#points += points;
    if (this.#points > this.#peakPoints) this.#peakPoints = this.#points;
    if (this.#points > this.#context.samplesMax) throw this.#tooMany();
  }

  release(points: number): void {
    this.#points -= points;
  }

  stats(): QueryStats {
    return { samplesRead: this.#samplesRead, seriesCount: this.#seriesCount, peakPoints: this.#peakPoints };
  }

  #tooMany(): LimitError {
    const message = "query processing would load too many samples into memory in query execution";
    return new LimitError("query-samples-max", message);
  }
}
