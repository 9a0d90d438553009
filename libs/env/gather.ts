// libs/env/gather.ts: how long a group waits for company before it goes to the disk or over the wire.
// Writers come back a moment after their acknowledgement. Without a pause they fall into halves that take turns, with a
// fdatasync or a message for each half: twice the system calls, and each writer waits for the other half's trip as well as its
// own. So a group waits, for no longer than a trip takes, until as many writers are there as were a moment ago.
import type { Clock } from "./clock.ts";

/** A group waits no longer than the last trip took, and no longer than this. */
const WAIT_MAX_MS = 2;
/** A trip faster than this is cheaper than waiting. */
const TRIP_WORTH_MS = 0.2;

export class Gather {
  private readonly clock: Clock;
  private wanted = 0;
  private waitMs = 0;
  private wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A group came back: `acknowledged` writers are told now, `waiting` others wait for the next one already. */
  committed(acknowledged: number, waiting: number, tripMs: number): void {
    this.wanted = acknowledged + waiting;
    this.waitMs = tripMs < TRIP_WORTH_MS ? 0 : Math.min(tripMs, WAIT_MAX_MS);
  }

  /** Another writer waits for the group being filled, which has `waiting` now. */
  arrived(waiting: number): void {
    if (waiting >= this.wanted) this.wake?.();
  }

  /** Resolves when the group has all the writers that may come, or has waited long enough. */
  async company(waiting: number): Promise<void> {
    if (this.waitMs === 0 || waiting === 0 || waiting >= this.wanted) return;
    await new Promise<void>((resolve) => {
      const timer = this.clock.after(this.waitMs, resolve);
      this.wake = () => {
        timer.cancel();
        resolve();
      };
    });
    this.wake = undefined;
  }
}
