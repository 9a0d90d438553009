// libs/model/turns.ts: whose turn it is on the event loop: queries at work share what writes leave them.

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

/** For a query at work: settles when it may go on for a slice, as short as its caller can make it. */
export function nextTurn(): Promise<void> {
  return turns.next();
}
