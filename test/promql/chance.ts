// test/promql/chance.ts: repeatable choices from a seed.

/** A small generator (mulberry32): good enough to choose by, the same everywhere. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** Up to `max` of the choices, at least one, each once. */
  some<T>(choices: readonly T[], max: number): T[] {
    const count = 1 + this.below(max);
    const out = new Set<T>();
    while (out.size < count) out.add(this.pick(choices));
    return [...out];
  }
}
