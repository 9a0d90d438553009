// libs/tsdb/slices.ts: long work of the storage's own, which nobody waits for, a slice at a time: writes and queries have their turn between.
import type { Clock } from "../env/index.ts";

/** The longest stretch of work before others get their turn, if steps are short. */
const SLICE_MS = 1;

/** Does all steps; what they return. */
export async function inSlices<T>(clock: Clock, steps: Generator<void, T>): Promise<T> {
  for (let until = clock.monotonicMs() + SLICE_MS; ; ) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (clock.monotonicMs() < until) continue;
    await clock.sleep(0);
    until = clock.monotonicMs() + SLICE_MS;
  }
}

/** Does something with each item; errors end it. */
export function eachInSlices<T>(clock: Clock, items: readonly T[], work: (item: T) => unknown): Promise<void> {
  return inSlices(
    clock,
    (function* () {
      for (const item of items) {
        work(item);
        yield;
      }
    })(),
  );
}
