// libs/tsdb/pace.ts: cuts a query's work into slices, so that a long one does not keep ingestion waiting, and ends it when its time is over.
import type { Clock } from "../env/index.ts";
import { CanceledError, type QueryContext, TimeoutError } from "../model/index.ts";

/** The longest stretch of work before other events get their turn. */
const SLICE_MS = 1;

/** Of so many turns of the loop, queries have one. */
const TURNS = 4;

/**
 * The work that rests, in the order in which it came. In every fourth turn of the loop one goes on: a write passes some four turns on its way, and
 * meets one slice, however many queries are at work.
 */
class Turns {
  private readonly waiting: (() => void)[] = [];
  private passed = 0;

  /** Settles when it is its caller's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (this.waiting.length === 1) setImmediate(this.turn);
    });
  }

  private readonly turn = (): void => {
    if (++this.passed < TURNS) {
      setImmediate(this.turn);
      return;
    }
    this.passed = 0;
    const goOn = this.waiting.shift()!;
    if (this.waiting.length > 0) setImmediate(this.turn);
    goOn();
  };
}

/** There is one loop. */
const turns = new Turns();

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
    await turns.next();
    await this.giveWay?.();
    this.check();
    this.until = this.clock.monotonicMs() + SLICE_MS;
  }

  private check(): void {
    if (this.context.signal.aborted) throw new CanceledError("query was canceled in query execution");
    if (this.clock.nowMs() > this.context.deadlineMs) throw new TimeoutError("query timed out in query execution");
  }
}
