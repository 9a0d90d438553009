// libs/side/time-span.ts: from when to when there is something.

/** A stretch of time, both ends inclusive; empty when low > high. */
export class TimeSpan {
  low = Number.POSITIVE_INFINITY;
  high = Number.NEGATIVE_INFINITY;

  add(timeMs: number): void {
    if (timeMs < this.low) this.low = timeMs;
    if (timeMs > this.high) this.high = timeMs;
  }

  overlaps(lowMs: number, highMs: number): boolean {
    return this.low <= highMs && this.high >= lowMs;
  }
}
