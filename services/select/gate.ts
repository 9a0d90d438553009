// services/select/gate.ts: how many queries run at once; the rest wait in order, and beyond a bound are refused.
import { LimitError } from "../../libs/model/index.ts";

export class QueryGate {
  readonly #concurrency: number;
  readonly #queueMax: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** `concurrency` queries run, `queueMax` wait. */
  constructor(concurrency: number, queueMax: number) {
    this.#concurrency = concurrency;
    this.#queueMax = queueMax;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Runs `work` when its turn comes. Errors: LimitError (429) when the queue is full; the signal's reason when it aborts
   * while waiting; whatever `work` throws.
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#running >= this.#concurrency) await this.#turn(signal);
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.values().next();
      // The place goes straight to the first in the queue, so that nobody who comes later takes it.
      if (next.done === true) this.#running--;
      else next.value();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#queueMax) {
      const message = `cannot run query: got ${this.#running} running and ${this.#waiting.size} waiting; want fewer (--query-concurrency, --query-queue-max)`;
      return Promise.reject(new LimitError("--query-queue-max", message, true));
    }
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        this.#waiting.delete(enter);
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(enter);
        reject(signal.reason as Error);
      };
      this.#waiting.add(enter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
