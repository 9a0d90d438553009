// services/select/run-query.ts: what every query goes through: a place, a deadline, an end when the client leaves, counters.
import { AppError, type QueryContext, TimeoutError } from "../../libs/model/index.ts";
import { DurationHistogram, type Exchange } from "../../libs/runtime/index.ts";
import { QueryGate } from "./gate.ts";

export interface QueryLimits {
  /** The longest a query may take, waiting included; a request can only ask for less. */
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly queueMax: number;
  /** Samples one query may read. */
  readonly samplesMax: number;
}

export type QueryKind = "instant" | "range" | "metadata" | "read";

/** Counters of a select, read by its metrics. */
export interface QueryCounters {
  readonly durations: Readonly<Record<QueryKind, DurationHistogram>>;
  /** By errorType. */
  readonly refused: Map<string, number>;
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
    samplesRead: 0,
    reads: { samples: 0, chunks: 0 },
  };
  readonly gate: QueryGate;
  readonly #limits: QueryLimits;
  readonly #nowMs: () => number;

  constructor(limits: QueryLimits, nowMs: () => number) {
    this.#limits = limits;
    this.#nowMs = nowMs;
    this.gate = new QueryGate(limits.concurrency, limits.queueMax);
  }

  /**
   * Runs the work of a request. `timeoutMs` is what the request asks for; undefined: as long as allowed.
   * Errors: TimeoutError, CanceledError when the client goes away, LimitError when too many wait, the work's own.
   */
  async run<T>(
    kind: QueryKind,
    exchange: Exchange,
    tenant: string,
    timeoutMs: number | undefined,
    work: (context: QueryContext) => Promise<T>,
  ): Promise<T> {
    const started = performance.now();
    const allowedMs = Math.max(0, Math.min(timeoutMs ?? Number.POSITIVE_INFINITY, this.#limits.timeoutMs));
    const controller = exchange.abort;
    const { signal } = controller;
    let isRunning = false;
    const expire = (): void => {
      controller.abort(new TimeoutError(`query timed out in ${isRunning ? "expression evaluation" : "query queue"}`));
    };
    const timer = setTimeout(expire, allowedMs);
    const context: QueryContext = {
      tenant,
      signal,
      deadlineMs: this.#nowMs() + allowedMs,
      samplesMax: this.#limits.samplesMax,
    };
    try {
      const result = this.gate.run(signal, () => {
        isRunning = true;
        return work(context);
      });
      return await orAborted(result, signal);
    } catch (error) {
      const type = error instanceof AppError ? error.reaction : "internal";
      this.counters.refused.set(type, (this.counters.refused.get(type) ?? 0) + 1);
      throw error;
    } finally {
      clearTimeout(timer);
      this.counters.durations[kind].observe((performance.now() - started) / 1000);
    }
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
