// libs/tsdb/pace.ts: cuts a query's work into slices, so that a long one does not keep ingestion waiting, and ends it when its time is over.
import type { Clock } from "../env/index.ts";
import { CanceledError, nextTurn, type QueryContext, TimeoutError } from "../model/index.ts";

/** The longest stretch of work before other events get their turn. */
const SLICE_MS = 1;

/** One query's. Work that may be long looks at `isDue` between its parts and rests when it is. `giveWay` makes the rest longer, for work that can wait. */
export class Pace {
  private readonly clock: Clock;
  private readonly context: QueryContext;
  private readonly giveWay: (() => Promise<void>) | undefined;
  private until: number;

  /** Errors: CanceledError, TimeoutError when the query is over before it begins. */
  constructor(clock: Clock, context: QueryContext, giveWay?: () => Promise<void>) {
    this.clock = clock;
    this.context = context;
    this.giveWay = giveWay;
    this.check();
    this.until = clock.monotonicMs() + SLICE_MS;
  }

  get isDue(): boolean {
    return this.clock.monotonicMs() >= this.until;
  }

  /** Lets other events have their turn. Errors: CanceledError, TimeoutError. */
  async rest(): Promise<void> {
    await nextTurn();
    await this.giveWay?.();
    this.check();
    this.until = this.clock.monotonicMs() + SLICE_MS;
  }

  /** Does all steps of some work, and rests between them: what they return. Errors: as rest, and what the steps throw. */
  async through<T>(steps: Generator<void, T>): Promise<T> {
    try {
      for (;;) {
        const { done, value } = steps.next();
        if (done === true) return value;
        if (this.isDue) await this.rest();
      }
    } finally {
      // Of a query that is over nothing stays begun.
      steps.return(undefined as T);
    }
  }

  private check(): void {
    if (this.context.signal.aborted) throw new CanceledError("query was canceled in query execution");
    if (this.clock.nowMs() > this.context.deadlineMs) throw new TimeoutError("query timed out in query execution");
  }
}
