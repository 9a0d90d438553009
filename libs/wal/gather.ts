// libs/wal/gather.ts: how long a group waits for company before it is written.
// Writers come back a moment after their acknowledgement. Without a pause they fall into halves that take turns at the disk,
// with a fdatasync for each half: twice the system calls, and each writer waits for the other half's sync as well as its own.
// So a group waits, for no longer than a sync takes, until as many writers are there as were a moment ago.
import type { Clock } from "../env/index.ts";

/** A group waits no longer than the last sync took, and no longer than this. */
const WAIT_MAX_MS = 2;
/** A sync faster than this is cheaper than waiting. */
const SYNC_WORTH_MS = 0.2;

export class Gather {
  private readonly clock: Clock;
  private wanted = 0;
  private waitMs = 0;
  private wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A group was committed: `acknowledged` writers are told now, `waiting` others wait for the next one already. */
  committed(acknowledged: number, waiting: number, syncMs: number): void {
    this.wanted = acknowledged + waiting;
    this.waitMs = syncMs < SYNC_WORTH_MS ? 0 : Math.min(syncMs, WAIT_MAX_MS);
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
