// libs/env/slices.ts: long work that nobody waits for at once, a slice at a time: others have their turn between.
import type { Clock } from "./clock.ts";

/** The longest stretch of work before others get their turn, if steps are short. */
const SLICE_MS = 1;

/** Does steps for one slice; whether that was all of them, and then what they return. */
export function oneSlice<T>(clock: Clock, steps: Generator<void, T>): IteratorResult<void, T> {
  for (const until = clock.monotonicMs() + SLICE_MS; ; ) {
    const step = steps.next();
    if (step.done === true || clock.monotonicMs() >= until) return step;
  }
}

/** Does all steps; what they return. */
export async function inSlices<T>(clock: Clock, steps: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = oneSlice(clock, steps);
    if (done === true) return value;
    await clock.sleep(0);
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
