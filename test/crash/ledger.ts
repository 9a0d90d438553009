// test/crash/ledger.ts: what was sent and what was acknowledged, sample by sample, bit by bit; and who wins at equal times, spelled out.
// Values are kept as bits, because a NaN's payload does not survive arithmetic.

export type Outcome = "acknowledged" | "unknown";

/** One series as a reader found it. */
export interface FoundSeries {
  readonly series: string;
  readonly times: Float64Array;
  readonly bits: BigUint64Array;
}

const STALE = 0x7ff0000000000002n;

const word = new BigUint64Array(1);
const number = new Float64Array(word.buffer);

function numberOf(bits: bigint): number {
  word[0] = bits;
  return number[0]!;
}

function kindOf(bits: bigint): "stale" | "nan" | "number" {
  if (bits === STALE) return "stale";
  return Number.isNaN(numberOf(bits)) ? "nan" : "number";
}

/**
 * Whether value `a` wins over value `b` of the same series and time: the greater number; any number over NaN, NaN over a stale
 * marker. What that leaves open: -0 is below 0, and of two NaNs the greater bits win.
 */
export function wins(a: bigint, b: bigint): boolean {
  const order = ["stale", "nan", "number"];
  const [kind, other] = [kindOf(a), kindOf(b)];
  if (kind !== other) return order.indexOf(kind) > order.indexOf(other);
  if (kind !== "number") return a > b;
  const [x, y] = [numberOf(a), numberOf(b)];
  return x === y ? Object.is(y, -0) && !Object.is(x, -0) : x > y;
}

/** A value that deletions hide. */
interface HiddenValue {
  readonly series: string;
  readonly time: number;
  readonly bits: bigint;
  readonly outcome: Outcome;
  /** The deletions that found it. */
  readonly by: Set<string>;
}

/** Which samples a deletion is about. */
export interface Deleted {
  readonly id: string;
  readonly matches: (series: string) => boolean;
  readonly minMs: number;
  readonly maxMs: number;
}

/** Remembers by series and time every value that was sent, and what its sender was told. */
export class Ledger {
  private readonly samples = new Map<string, Map<number, Map<bigint, Outcome>>>();
  private hidden: HiddenValue[] = [];

  /** Times at which a sample must be there. */
  get acknowledged(): number {
    let n = 0;
    for (const times of this.samples.values()) for (const values of times.values()) if (best(values) !== undefined) n++;
    return n;
  }

  seriesKeys(): string[] {
    return [...this.samples.keys()];
  }

  record(series: string, time: number, bits: bigint, outcome: Outcome): void {
    let times = this.samples.get(series);
    if (times === undefined) {
      times = new Map();
      this.samples.set(series, times);
    }
    let values = times.get(time);
    if (values === undefined) {
      values = new Map();
      times.set(time, values);
    }
    if (outcome === "acknowledged" || !values.has(bits)) values.set(bits, outcome);
  }

  /** The value that must be there, or one that wins over it: the winner of what was acknowledged. */
  owed(series: string, time: number): bigint | undefined {
    return best(this.samples.get(series)?.get(time) ?? new Map());
  }

  /** A deletion is on its way: what it is about may be there or not. */
  doubt(deleted: Deleted): void {
    for (const { values } of this.within(deleted)) for (const bits of values.keys()) values.set(bits, "unknown");
  }

  /** A deletion is in effect: what it is about is not there; what comes later may be. `told` says what was known before it was doubted. */
  hide(deleted: Deleted, told: ReadonlyMap<string, Outcome>): void {
    const { id, matches, minMs, maxMs } = deleted;
    for (const { series, time, times, values } of this.within(deleted)) {
      for (const bits of values.keys()) {
        const outcome = told.get(valueName(series, time, bits));
        if (outcome === undefined) continue;
        this.hidden.push({ series, time, bits, outcome, by: new Set() });
        values.delete(bits);
      }
      if (values.size === 0) times.delete(time);
    }
    for (const { series, time, by } of this.hidden) if (matches(series) && time >= minMs && time <= maxMs) by.add(id);
  }

  /** What is known now of what a deletion is about. */
  tell(deleted: Deleted): Map<string, Outcome> {
    const told = new Map<string, Outcome>();
    for (const { series, time, values } of this.within(deleted)) {
      for (const [bits, outcome] of values) told.set(valueName(series, time, bits), outcome);
    }
    return told;
  }

  /** A deletion is undone, or perhaps: what it alone has hidden is there again, or perhaps. */
  show(id: string, isSure: boolean): void {
    for (const { by, series, time, bits, outcome } of this.hidden) {
      if (by.has(id) && by.size === 1) this.record(series, time, bits, isSure ? outcome : "unknown");
    }
    if (!isSure) return;
    for (const { by } of this.hidden) by.delete(id);
    this.hidden = this.hidden.filter(({ by }) => by.size > 0);
  }

  private *within({ matches, minMs, maxMs }: Deleted) {
    for (const [series, times] of this.samples) {
      if (!matches(series)) continue;
      for (const [time, values] of [...times])
        if (time >= minMs && time <= maxMs) yield { series, time, times, values };
    }
  }

  /** Compares with what a reader found. One sentence per violation. */
  violations(found: Iterable<FoundSeries>): string[] {
    const out: string[] = [];
    const seen = new Map<string, Set<number>>();
    for (const { series, times, bits } of found) {
      if (seen.has(series)) out.push(`series twice: ${series}`);
      const had = seen.get(series) ?? new Set<number>();
      seen.set(series, had);
      for (let i = 0; i < times.length; i++) {
        const time = times[i]!;
        if (had.has(time)) out.push(`sample twice: ${series} at ${time}`);
        else if (i > 0 && time < times[i - 1]!) out.push(`out of order: ${series} at ${time}`);
        had.add(time);
        const wrong = this.judge(series, time, bits[i]!);
        if (wrong !== undefined) out.push(`${wrong}: ${series} at ${time}: ${bits[i]!.toString(16)}`);
      }
    }
    for (const [series, times] of this.samples) {
      const had = seen.get(series);
      for (const [time, values] of times) {
        if (had?.has(time)) continue;
        const owed = best(values);
        if (owed !== undefined) out.push(`acknowledged and lost: ${series} at ${time}: ${owed.toString(16)}`);
      }
    }
    return out;
  }

  private judge(series: string, time: number, bits: bigint): string | undefined {
    const values = this.samples.get(series)?.get(time);
    if (values === undefined) return "never sent";
    if (!values.has(bits))
      return `other bits than any that were sent (${[...values.keys()].map((v) => v.toString(16))})`;
    const owed = best(values);
    return owed !== undefined && wins(owed, bits) ? `loses to the acknowledged ${owed.toString(16)}` : undefined;
  }

  /**
   * Takes over what was found right after a restart, while nothing was on its way: what is there must stay, and what is not
   * there must not come any more, unless it is sent again.
   */
  adopt(found: Iterable<FoundSeries>): void {
    const there = new Map<string, Map<number, bigint>>();
    for (const { series, times, bits } of found) {
      there.set(series, new Map(Array.from(times, (time, i) => [time, bits[i]!] as const)));
    }
    for (const [series, times] of this.samples) {
      for (const [time, values] of times) {
        const winner = there.get(series)?.get(time);
        for (const [bits, outcome] of values) if (outcome === "unknown" && bits !== winner) values.delete(bits);
        if (winner !== undefined) values.set(winner, "acknowledged");
        if (values.size === 0) times.delete(time);
      }
      if (times.size === 0) this.samples.delete(series);
    }
  }
}

/** The winner of the acknowledged values. */
function best(values: ReadonlyMap<bigint, Outcome>): bigint | undefined {
  let winner: bigint | undefined;
  for (const [bits, outcome] of values) {
    if (outcome === "acknowledged" && (winner === undefined || wins(bits, winner))) winner = bits;
  }
  return winner;
}

/** The bits of one value of a column. */
export function bitsOf(values: Float64Array, index: number): bigint {
  return new BigUint64Array(values.buffer, values.byteOffset + index * 8, 1)[0]!;
}

function valueName(series: string, time: number, bits: bigint): string {
  return `${series} ${time} ${bits}`;
}
