// libs/env/clock.ts: wall time, monotonic time and timers; the machine's, or a simulated one that a test moves forward.
// Durations are measured with monotonicMs only: the wall clock may jump in either direction.

/** A pending callback. */
export interface Timer {
  /** Takes the callback back; harmless when it has run already. */
  cancel(): void;
}

export interface Clock {
  /** Wall time: milliseconds since 1970 (integer). May jump. */
  nowMs(): number;
  /** Milliseconds with fractions since some fixed point of this process. Never goes back. */
  monotonicMs(): number;
  /** Resolves after `delayMs`. Rejects with the signal's reason when `signal` aborts first. Keeps the process alive. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Runs `callback` once after `delayMs`. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` every `periodMs`, first after one period. Does not keep the process alive. */
  every(periodMs: number, callback: () => void): Timer;
}

/** The machine's clock. */
export const nodeClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) => sleepWith((callback) => setTimeout(callback, delayMs), clearTimeout, signal),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, callback) {
    const timer = setInterval(callback, periodMs).unref();
    return { cancel: () => clearInterval(timer) };
  },
};

/** A promise over a timer that an abort signal can cut short. */
function sleepWith<T>(start: (callback: () => void) => T, stop: (timer: T) => void, signal?: AbortSignal) {
  return new Promise<void>((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      stop(timer);
      reject(signal?.reason);
    };
    const timer = start(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

interface Pending {
  readonly dueMs: number;
  readonly seq: number;
  readonly callback: () => void;
}

/** A clock that stands still until `advance` is called. Timers run in the order of their times, then of their making. */
export class SimClock implements Clock {
  private wallOffsetMs: number;
  private elapsedMs = 0;
  private seq = 0;
  private readonly pending = new Set<Pending>();

  constructor(startMs = 1_700_000_000_000) {
    this.wallOffsetMs = startMs;
  }

  nowMs(): number {
    return Math.floor(this.wallOffsetMs + this.elapsedMs);
  }

  monotonicMs(): number {
    return this.elapsedMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepWith(
      (callback) => this.after(delayMs, callback),
      (timer) => timer.cancel(),
      signal,
    );
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry: Pending = { dueMs: this.elapsedMs + Math.max(0, delayMs), seq: this.seq++, callback };
    this.pending.add(entry);
    return { cancel: () => this.pending.delete(entry) };
  }

  every(periodMs: number, callback: () => void): Timer {
    let timer = this.after(periodMs, run.bind(this));
    function run(this: SimClock): void {
      timer = this.after(periodMs, run.bind(this));
      callback();
    }
    return { cancel: () => timer.cancel() };
  }

  /** Moves wall time alone, as an operator or NTP would. */
  jumpWall(byMs: number): void {
    this.wallOffsetMs += byMs;
  }

  /** Moves time forward, running each timer at its time; promises they settle are followed before the next timer runs. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.elapsedMs + byMs;
    for (;;) {
      await settle();
      const next = this.earliest();
      if (next === undefined || next.dueMs > untilMs) break;
      this.elapsedMs = Math.max(this.elapsedMs, next.dueMs);
      this.pending.delete(next);
      next.callback();
    }
    this.elapsedMs = untilMs;
  }

  private earliest(): Pending | undefined {
    let first: Pending | undefined;
    for (const one of this.pending) {
      if (first === undefined || one.dueMs < first.dueMs || (one.dueMs === first.dueMs && one.seq < first.seq)) {
        first = one;
      }
    }
    return first;
  }
}

/** Lets all promise callbacks that can run, run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
