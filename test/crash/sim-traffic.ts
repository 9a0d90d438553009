// test/crash/sim-traffic.ts: what clients send: scrapes in order, late samples, exact repeats, conflicting values, stale markers,
// odd NaNs, new series, labels in odd orders, samples out of bounds. Everything follows from the seed.
import type { SeededRandom } from "../../libs/env/index.ts";
import { exponentialLayout, type FloatHistogram } from "../../libs/model/index.ts";
import type { WriteMetadata, WriteSeries } from "../e2e/remote-write.ts";

export const TENANTS = ["default", "other"] as const;
export const RETENTION_MS = 86_400_000;
export const MAX_FUTURE_MS = 600_000;

type Pairs = readonly (readonly [string, string])[];

export interface SentSample {
  readonly series: string;
  readonly time: number;
  readonly bits: bigint;
}

export interface SentRequest {
  readonly tenant: string;
  readonly series: readonly WriteSeries[];
  readonly metadata: readonly WriteMetadata[];
  /** Samples that may be stored. */
  readonly samples: readonly SentSample[];
  /** Samples that must be refused because of their time. */
  readonly outOfBounds: number;
}

interface KnownSeries {
  readonly key: string;
  readonly tenant: string;
  readonly pairs: Pairs;
}

interface Row {
  readonly of: KnownSeries;
  readonly time: number;
  readonly bits: bigint;
}

const HISTORY = 300;
const STALE = 0x7ff0000000000002n;
/** Stale, the bits that mark a hole inside the head, quiet and signalling NaNs, infinities, zeros, the smallest and the greatest. */
const ODD_BITS = [
  ...[STALE, 0x7ff0000000000003n, 0x7ff8000000000000n, 0x7ff0000000000001n, 0xfff8000000000123n],
  ...[0x7ff0000000000000n, 0xfff0000000000000n, 0n, 0x8000000000000000n, 1n, 0x7fefffffffffffffn],
];

/** The name of a series in the ledger: tenant and labels in order. */
export function seriesKey(tenant: string, pairs: Pairs): string {
  const sorted = pairs
    .filter(([, value]) => value !== "")
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return JSON.stringify([tenant, ...sorted.flat()]);
}

/** The name in the ledger of a series' histograms. */
export function histogramsOf(series: string): string {
  return `${series} histograms`;
}

/** Whether a name in the ledger is that of a series' histograms. */
export function isOfHistograms(series: string): boolean {
  return series.endsWith(" histograms");
}

/** The series of a name that isOfHistograms. */
export function seriesOfHistograms(name: string): string {
  return name.slice(0, -histogramsOf("").length);
}

function countBits(count: number): bigint {
  return new BigUint64Array(Float64Array.of(count).buffer)[0]!;
}

/** A histogram is known by its count: all else follows from it. */
export function nativeOf(count: number): FloatHistogram {
  const layout = exponentialLayout(count % 3, 0, count % 5 === 0 ? [1, 2] : [1, 2, 7], []);
  const rest = layout.positive.length === 2 ? [] : [0];
  return { layout, hint: 0, count, sum: count * 1.5, zeroCount: 0, buckets: Float64Array.of(1, count - 1, ...rest) };
}

function nativeSeries({ of, time, bits }: Row): WriteSeries {
  const count = new Float64Array(BigUint64Array.of(bits).buffer)[0]!;
  return {
    labels: of.pairs,
    times: [],
    values: new Float64Array(0),
    histograms: [{ timeMs: time, histogram: nativeOf(count) }],
  };
}

/** Composes requests. */
export class Traffic {
  private readonly random: SeededRandom;
  private readonly known: KnownSeries[] = [];
  private readonly history: Row[] = [];
  /** Histograms that were sent; their bits are those of their counts. */
  private readonly natives: Row[] = [];

  constructor(random: SeededRandom) {
    this.random = random;
    for (let target = 0; target < 3; target++) this.addTarget(2 + random.below(3));
  }

  /** The next request of client `client` at wall time `now`. */
  compose(client: number, now: number): SentRequest {
    const { random } = this;
    if (random.chance(0.1) && this.known.length < 80) this.addTarget(1 + random.below(3));
    const tenant = random.pick(TENANTS);
    const rows: Row[] = [];
    for (let parts = 1 + random.below(3); parts > 0; parts--) this.addRows(rows, tenant, now);
    const natives = random.chance(0.3) ? this.someNatives(tenant, now) : [];
    const outside = random.chance(0.05) ? this.outside(tenant, now) : [];
    this.remember(rows);
    const metadata = random.chance(0.1) ? [{ type: 1, family: `family_${client}`, help: `at ${now}` }] : [];
    return {
      tenant,
      series: [...this.toSeries([...rows, ...outside]), ...natives.map(nativeSeries)],
      metadata,
      samples: [
        ...rows.map(({ of, time, bits }) => ({ series: of.key, time, bits })),
        ...natives.map(({ of, time, bits }) => ({ series: histogramsOf(of.key), time, bits })),
      ],
      outOfBounds: outside.length,
    };
  }

  /** Histograms of now, of long ago, the same again, and others at the same time; some of series that have floats as well. */
  private someNatives(tenant: string, now: number): Row[] {
    const { random } = this;
    const mine = this.known.filter((one) => one.tenant === tenant);
    const old = this.natives.filter((row) => row.of.tenant === tenant && row.time > now - RETENTION_MS / 2);
    if (mine.length === 0) return [];
    const rows: Row[] = [];
    for (let n = 1 + random.below(4); n > 0; n--) {
      const again = old.length > 0 && random.chance(0.4) ? random.pick(old) : undefined;
      const time = random.chance(0.7) ? now - (now % 1000) : now - random.below(6 * 3_600_000);
      const row = again ?? { of: random.pick(mine), time, bits: countBits(1 + random.below(50)) };
      rows.push(random.chance(0.3) ? { ...row, bits: countBits(1 + random.below(50)) } : row);
    }
    for (const row of rows) this.natives[random.below(HISTORY)] = row;
    return rows;
  }

  private addTarget(count: number): void {
    const { random } = this;
    const tenant = random.pick(TENANTS);
    const instance = `host-${random.below(1000)}:9100`;
    for (let i = 0; i < count; i++) {
      const pairs: [string, string][] = [
        ["__name__", `metric_${random.below(6)}`],
        ["instance", instance],
        ["job", random.pick(["node", "app"])],
        ["ü", random.pick(["", "𝒳", "x".repeat(random.below(200))])],
      ];
      const key = seriesKey(tenant, pairs);
      if (!this.known.some((one) => one.key === key)) this.known.push({ key, tenant, pairs });
    }
  }

  private addRows(rows: Row[], tenant: string, now: number): void {
    const { random } = this;
    const mine = this.known.filter((one) => one.tenant === tenant);
    const old = this.history.filter((row) => row.of.tenant === tenant && row.time > now - RETENTION_MS / 2);
    if (mine.length === 0) return;
    const kind = random.below(10);
    if (kind < 4) {
      const [, instance] = random.pick(mine).pairs[1]!;
      const time = random.chance(0.8) ? now - (now % 1000) : now;
      for (const of of mine) if (of.pairs[1]![1] === instance) rows.push({ of, time, bits: this.value() });
    } else if (kind === 4) {
      rows.push({ of: random.pick(mine), time: now - random.below(6 * 3_600_000), bits: this.value() });
    } else if (kind === 5) {
      const of = random.pick(mine);
      for (let n = 1 + random.below(20), time = now - 15_000 * n; n > 0; n--)
        rows.push({ of, time: time + 15_000 * n, bits: this.value() });
    } else if (kind === 6) rows.push({ of: random.pick(mine), time: now, bits: STALE });
    else if (old.length > 0) {
      // The same again, or another value for the same time.
      for (let n = 1 + random.below(5); n > 0; n--) {
        const row = random.pick(old);
        rows.push(kind === 7 ? row : { ...row, bits: this.value() });
      }
    }
  }

  private outside(tenant: string, now: number): Row[] {
    const mine = this.known.filter((one) => one.tenant === tenant);
    if (mine.length === 0) return [];
    const time = this.random.chance(0.5) ? now + 2 * RETENTION_MS : now - 2 * RETENTION_MS;
    return [{ of: this.random.pick(mine), time, bits: this.value() }];
  }

  private value(): bigint {
    const { random } = this;
    if (random.chance(0.15)) return random.pick(ODD_BITS);
    const number = random.chance(0.5) ? random.below(10) - 3 : random.float() * 1e6;
    return new BigUint64Array(Float64Array.of(number).buffer)[0]!;
  }

  private remember(rows: readonly Row[]): void {
    for (const row of rows) {
      if (this.history.length < HISTORY) this.history.push(row);
      else this.history[this.random.below(HISTORY)] = row;
    }
  }

  /** Rows of one series next to each other are mostly sent as one series; labels come in any order, with empty ones between. */
  private toSeries(rows: readonly Row[]): WriteSeries[] {
    const { random } = this;
    const out: WriteSeries[] = [];
    for (let i = 0; i < rows.length; ) {
      let end = i + 1;
      while (end < rows.length && rows[end]!.of === rows[i]!.of && random.chance(0.9)) end++;
      const part = rows.slice(i, end);
      const labels = [...part[0]!.of.pairs];
      if (random.chance(0.3)) labels.sort(() => random.float() - 0.5);
      if (random.chance(0.1)) labels.splice(random.below(labels.length + 1), 0, ["nothing", ""]);
      const bits = BigUint64Array.from(part, (row) => row.bits);
      out.push({ labels, times: part.map((row) => row.time), values: new Float64Array(bits.buffer) });
      i = end;
    }
    return out;
  }
}
