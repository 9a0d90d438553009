// services/select/run-query.ts: what every query goes through: a place, a deadline, an end when the client leaves, counters.
import { AppError, LimitError, type QueryContext, TimeoutError } from "../../libs/model/index.ts";
import type { QueryProgress } from "../../libs/promql/index.ts";
import { DurationHistogram, type Exchange } from "../../libs/runtime/index.ts";
import { ActiveQueries, type ActiveQuery, type QueryRecord } from "./active-queries.ts";
import { QueryGate } from "./gate.ts";
import { HeldAnswers } from "./held-answers.ts";

export interface QueryLimits {
  /** The longest a query may take, waiting included; a request can only ask for less. */
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly queueMax: number;
  /** Samples one query may read. */
  readonly samplesMax: number;
  /** Series one query may select, and bytes of points it may hold. */
  readonly seriesMax: number;
  readonly bytesMax: number;
  /** Memory of all results together that clients are reading. */
  readonly answersMax: number;
  /** A query that takes as long is slow; 0: none is. */
  readonly slowMs: number;
  /** Hears of slow queries. */
  readonly onSlow: (record: QueryRecord) => void;
}

export type QueryKind = "instant" | "range" | "metadata" | "read";

/** Counters of a select, read by its metrics. */
export interface QueryCounters {
  readonly durations: Readonly<Record<QueryKind, DurationHistogram>>;
  /** By errorType. */
  readonly refused: Map<string, number>;
  /** By the name of the limit. */
  readonly limits: Map<string, number>;
  slow: number;
  samplesRead: number;
  /** Remote reads answered. */
  readonly reads: { samples: number; chunks: number };
}

export class QueryRunner {
  readonly counters: QueryCounters = {
    durations: {
      instant: new DurationHistogram(),
      range: new DurationHistogram(),
      metadata: new DurationHistogram(),
      read: new DurationHistogram(),
    },
    refused: new Map(),
    limits: new Map(),
    slow: 0,
    samplesRead: 0,
    reads: { samples: 0, chunks: 0 },
  };
  readonly gate: QueryGate;
  readonly queries = new ActiveQueries();
  readonly answers: HeldAnswers;
  readonly #limits: QueryLimits;
  readonly #nowMs: () => number;

  constructor(limits: QueryLimits, nowMs: () => number) {
    this.#limits = limits;
    this.#nowMs = nowMs;
    this.gate = new QueryGate(limits.concurrency, limits.queueMax);
    this.answers = new HeldAnswers(limits.answersMax, () => this.countLimit("query-answers-max"));
  }

  /**
   * Runs the work of a request. `timeoutMs` is what the request asks for; undefined: as long as allowed. `query` is what is shown of
   * it meanwhile, and the work tells its progress.
   * Errors: TimeoutError, CanceledError when the client goes away, LimitError when too many wait, the work's own.
   */
  async run<T>(
    kind: QueryKind,
    exchange: Exchange,
    tenant: string,
    timeoutMs: number | undefined,
    work: (context: QueryContext, progress: QueryProgress) => Promise<T>,
    query = exchange.target.path,
  ): Promise<T> {
    const allowedMs = Math.max(0, Math.min(timeoutMs ?? Number.POSITIVE_INFINITY, this.#limits.timeoutMs));
    const controller = exchange.abort;
    const { signal } = controller;
    const active = this.queries.begin(kind, tenant, query, exchange, this.#nowMs());
    let failure: unknown;
    const expire = (): void => {
      const place = active.state === "running" ? "expression evaluation" : "query queue";
      controller.abort(new TimeoutError(`query timed out in ${place}`));
    };
    const timer = setTimeout(expire, allowedMs);
    const context: QueryContext = {
      tenant,
      signal,
      deadlineMs: this.#nowMs() + allowedMs,
      samplesMax: this.#limits.samplesMax,
      seriesMax: this.#limits.seriesMax,
      bytesMax: this.#limits.bytesMax,
    };
    try {
      const result = this.gate.run(signal, () => {
        active.state = "running";
        return work(context, active.progress);
      });
      return await orAborted(result, signal);
    } catch (error) {
      failure = error instanceof TimeoutError && allowedMs === this.#limits.timeoutMs ? this.#named(error) : error;
      this.#countFailure(failure);
      throw failure;
    } finally {
      clearTimeout(timer);
      this.queries.end(active, failure);
      this.counters.durations[kind].observe(active.seconds);
      this.#tellSlow(active);
    }
  }

  /** The request asked for no less time than there is: then it is our limit that it met. */
  #named({ message }: TimeoutError): TimeoutError {
    this.countLimit("query-timeout");
    return new TimeoutError(`${message} (--query-timeout)`);
  }

  #countFailure(error: unknown): void {
    const { refused } = this.counters;
    const type = error instanceof AppError ? error.reaction : "internal";
    refused.set(type, (refused.get(type) ?? 0) + 1);
    if (error instanceof LimitError) this.countLimit(error.limit.replace(/^-+/, ""));
  }

  /** Counts a refusal by a limit's name. */
  countLimit(name: string): void {
    const { limits } = this.counters;
    limits.set(name, (limits.get(name) ?? 0) + 1);
  }

  #tellSlow(active: ActiveQuery): void {
    const { slowMs, onSlow } = this.#limits;
    if (slowMs === 0 || active.seconds * 1000 < slowMs) return;
    this.counters.slow++;
    onSlow(active.record());
  }
}

/**
 * The result, or the signal's reason as soon as it aborts. Work that does not notice the signal keeps its place at the
 * gate until it ends, but its client has the answer.
 */
function orAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    result
      .then(resolve, (error: unknown) => reject(signal.aborted ? (signal.reason as Error) : (error as Error)))
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}
