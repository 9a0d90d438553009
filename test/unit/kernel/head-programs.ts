// test/unit/kernel/head-programs.ts: random histories of a few series for the tests of the head, from a seed.
// They scrape in step, drop out, keep times of their own, come late, repeat and contradict themselves, and use awkward
// values.
import { bitsOf, HOLE, type Sample, STALE } from "./head-batches.ts";

/** A seeded generator (mulberry32) with the few draws that programs need. */
export class Draw {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** 0 ≤ x < 1. */
  unit(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.unit() * n);
  }

  chance(p: number): boolean {
    return this.unit() < p;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  bits(): bigint {
    return (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32));
  }
}

const AWKWARD: readonly bigint[] = [
  ...[0, -0, 1, -1, 0.1, 1e-300, 5e-324, -5e-324, Infinity, -Infinity, NaN, 1e22, 1e-12].map(bitsOf),
  ...[2 ** 51, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, -(2 ** 53), 2 ** 63, -(2 ** 63), Number.MAX_VALUE].map(bitsOf),
  ...[STALE, HOLE, 0x7ff8000000000000n, 0x7ff8000000000001n, 0x7ff0000000000001n, 0xfff8000000000000n],
  ...[0xffffffffffffffffn, 0xfff0000000000002n, 0xfff0000000000003n, 0x7ff8000000000002n, 0x7fffffffffffffffn],
];

/** How a series' values go. */
type Course = (i: number) => bigint;

function course(draw: Draw): Course {
  const base = draw.below(1e6);
  switch (draw.below(8)) {
    case 0:
      return () => bitsOf(base);
    case 1:
      return (i) => bitsOf(base + i * 3);
    case 2: {
      let sum = base;
      return () => {
        sum += draw.below(1000);
        return bitsOf(sum);
      };
    }
    case 3: {
      const scale = 10 ** draw.below(14);
      return () => bitsOf((base + draw.below(5000)) / scale);
    }
    case 4:
      return () => bitsOf(draw.unit() * base);
    case 5:
      return () => (draw.chance(0.3) ? draw.pick(AWKWARD) : bitsOf(base + draw.below(3)));
    case 6:
      return () => (draw.chance(0.05) ? STALE : bitsOf(draw.below(4)));
    default:
      return () => draw.bits();
  }
}

export interface Program {
  /** Number of series, and each one's home. */
  readonly homes: readonly number[];
  readonly batches: readonly (readonly Sample[])[];
}

/** A history of up to 8 series in up to 3 homes; `long` ones fill several chunks. */
export function makeProgram(seed: number, long: boolean): Program {
  const draw = new Draw(seed);
  const count = 1 + draw.below(8);
  const homeCount = 1 + draw.below(3);
  const homes = Array.from({ length: count }, () => draw.below(homeCount));
  const courses = homes.map(() => course(draw));
  // Some series answer with times of their own, some only to every third scrape.
  const habits = homes.map(() => draw.pick(["steady", "steady", "steady", "flaky", "own", "sparse"]));
  const sent: Sample[] = [];
  const batches: Sample[][] = [];
  const step = draw.pick([1, 1000, 15_000, 2 ** 33]);
  let now = draw.pick([0, 1_700_000_000_000, -1e12, -(2 ** 53), 2 ** 52]);
  const scrapes = long ? 150 + draw.below(250) : 1 + draw.below(30);
  for (let i = 0; i < scrapes; i++) {
    now += step + (draw.chance(0.1) ? draw.below(step) : 0);
    if (draw.chance(0.02)) now += step * draw.below(60);
    const batch: Sample[] = [];
    for (let ref = 0; ref < count; ref++) {
      const habit = habits[ref];
      if (habit === "flaky" && draw.chance(0.4)) continue;
      if (habit === "sparse" && i % 3 !== 0) continue;
      if (draw.chance(0.02)) continue;
      const time = habit === "own" ? now + draw.below(step) : now;
      batch.push({ ref, time, bits: courses[ref]!(i) });
    }
    if (!long || draw.chance(0.05)) disturb(draw, batch, sent, now, step);
    sent.push(...batch);
    // A request may be split, and its parts may arrive in any order.
    if (draw.chance(0.2) && batch.length > 1) {
      const cut = 1 + draw.below(batch.length - 1);
      batches.push(batch.slice(cut), batch.slice(0, cut));
    } else batches.push(batch);
    if (draw.chance(0.05) && batches.length > 2) {
      const a = batches.length - 1 - draw.below(Math.min(20, batches.length));
      batches.push(...batches.splice(a, 1));
    }
    if (draw.chance(0.03)) batches.push(batches[draw.below(batches.length)]!);
  }
  return { homes, batches };
}

/** Adds late samples, repetitions, contradictions and awkward values to a batch. */
function disturb(draw: Draw, batch: Sample[], sent: readonly Sample[], now: number, step: number): void {
  for (let n = draw.below(3); n > 0 && sent.length > 0; n--) {
    const old = draw.pick(sent);
    const kind = draw.below(4);
    if (kind === 0) batch.push(old);
    else if (kind === 1) batch.push({ ...old, bits: draw.chance(0.5) ? draw.pick(AWKWARD) : draw.bits() });
    else if (kind === 2) batch.push({ ...old, time: Math.max(-(2 ** 53), now - draw.below(20 * step)) });
    else batch.push({ ...old, time: old.time + 1, bits: draw.pick(AWKWARD) });
  }
  if (draw.chance(0.1)) batch.sort(() => draw.unit() - 0.5);
}
