// libs/model/moment.ts: what something that is changed in place was like at a moment, for readers that began in it and are still at work.
// A moment knows what was like what before the change that ended it, and the moment that followed. It is not known by those before it, so what no
// reader looks from any more is garbage.

export class Moment<T> {
  private before: Map<number, T> | undefined;
  private next: Moment<T> | undefined;

  /** Whether something was changed since it began: whoever comes now needs the next one. */
  get isOver(): boolean {
    return this.before !== undefined;
  }

  /** The moment that follows this one, which is over. */
  follow(): Moment<T> {
    this.next = new Moment();
    return this.next;
  }

  /** Keeps what something is like before it is changed, unless that was done since the moment began. */
  keep(key: number, before: () => T): void {
    this.before ??= new Map();
    if (!this.before.has(key)) this.before.set(key, before());
  }

  /** What something was like; undefined when it was not changed since. */
  of(key: number): T | undefined {
    for (let at: Moment<T> | undefined = this; at !== undefined; at = at.next) {
      const found = at.before?.get(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** All that was changed since, as it was. */
  get all(): ReadonlyMap<number, T> {
    const found = new Map<number, T>();
    for (let at: Moment<T> | undefined = this; at !== undefined; at = at.next) {
      for (const [key, before] of at.before ?? []) if (!found.has(key)) found.set(key, before);
    }
    return found;
  }
}
