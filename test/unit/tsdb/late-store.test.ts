// test/unit/tsdb/late-store.test.ts: the late store against a plain map, in every order of arrival.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LateStore } from "../../../libs/tsdb/late-store.ts";
import { bitsOf, bitsOfColumn, columnsOf, HOLE, STALE } from "../kernel/head-batches.ts";

const SERIES = 7;

/** Inserts times with value 1, reads everything back. */
function timesAfter(times: Iterable<number>): { store: LateStore; read: Float64Array } {
  const store = new LateStore();
  for (const time of times) {
    const columns = columnsOf([{ ref: SERIES, time, bits: bitsOf(1) }]);
    expect(store.insert(columns, 0)).toBe("stored");
    expect(store.insert(columns, 0)).toBe("duplicate");
  }
  return { store, read: store.read(SERIES, -Infinity, Infinity).times };
}

function* shuffled(n: number): Generator<number> {
  for (let i = 0; i < n; i++) yield (i * 7919) % n;
}

describe("orders of arrival", () => {
  const N = 20_011;
  test.each<[string, () => Iterable<number>]>([
    ["ascending", () => Array.from({ length: N }, (_, i) => i)],
    ["descending", () => Array.from({ length: N }, (_, i) => N - 1 - i)],
    ["shuffled", () => shuffled(N)],
    ["from both ends", () => Array.from({ length: N }, (_, i) => (i % 2 === 0 ? i / 2 : N - 1 - (i - 1) / 2))],
  ])("%s", (_, order) => {
    const { store, read } = timesAfter(order());
    expect(read).toEqual(Float64Array.from({ length: N }, (__, i) => i));
    expect(store.sampleCount).toBe(N);
    expect(store.seriesCount).toBe(1);
    // Blocks are at least half full on average, also after splits.
    expect(store.sizeBytes).toBeLessThan(N * 16 * 2.2);
  });

  test("a month of one series, ascending, and read again", () => {
    const count = 172_800;
    const store = new LateStore();
    const columns = columnsOf(Array.from({ length: count }, (_, i) => ({ ref: 1, time: i * 15_000, bits: bitsOf(i) })));
    for (let i = 0; i < count; i++) store.insert(columns, i);
    const { times, values } = store.read(1, -Infinity, Infinity);
    expect([times, bitsOfColumn(values)]).toEqual([columns.times, bitsOfColumn(columns.values)]);
    expect(store.sizeBytes).toBeLessThan(count * 16 * 1.1);
  });

  test("100,000 in descending order take no quadratic time", () => {
    const store = new LateStore();
    const columns = columnsOf(Array.from({ length: 100_000 }, (_, i) => ({ ref: 1, time: -i, bits: bitsOf(i) })));
    const started = process.cpuUsage();
    for (let i = 0; i < columns.count; i++) store.insert(columns, i);
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
    expect(store.read(1, -Infinity, Infinity).times.length).toBe(100_000);
  });
});

describe("equal times", () => {
  const quiet = 0x7ff8000000000000n;
  // Each row is in winning order: every value beats those before it.
  test.each([
    ["numbers", [bitsOf(-Infinity), bitsOf(-2), bitsOf(-0), bitsOf(0), bitsOf(5e-324), bitsOf(3), bitsOf(Infinity)]],
    ["stale, NaN, number", [STALE, quiet, bitsOf(-Infinity)]],
    ["NaNs by their bits", [STALE, 0x7ff0000000000001n, HOLE, quiet, 0x7fffffffffffffffn, 0xfff8000000000000n]],
  ])("%s", (_, order) => {
    for (let i = 0; i < order.length; i++) {
      for (let j = 0; j < order.length; j++) {
        const store = new LateStore();
        const columns = columnsOf([order[i]!, order[j]!].map((bits) => ({ ref: SERIES, time: 5, bits })));
        store.insert(columns, 0);
        expect(store.insert(columns, 1)).toBe(i === j ? "duplicate" : j > i ? "stored" : "outvoted");
        expect(bitsOfColumn(store.read(SERIES, 5, 5).values)).toEqual([order[Math.max(i, j)]]);
        expect(store.sampleCount).toBe(1);
      }
    }
  });
});

test("any samples, any ranges: as a map would have it", () => {
  const sample = fc.record({
    ref: fc.integer({ min: 0, max: 2 }),
    time: fc.integer({ min: -50, max: 50 }),
    bits: fc.bigInt(0n, 3n),
  });
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 200 }), fc.integer(), fc.integer(), (samples, a, b) => {
      const store = new LateStore();
      const columns = columnsOf(samples);
      const map = new Map<string, { ref: number; time: number; bits: bigint }>();
      samples.forEach((s, i) => {
        const there = map.get(`${s.ref} ${s.time}`);
        const result = store.insert(columns, i);
        expect(result).toBe(
          there === undefined || s.bits > there.bits ? "stored" : s.bits === there.bits ? "duplicate" : "outvoted",
        );
        if (result === "stored") map.set(`${s.ref} ${s.time}`, s);
      });
      const [low, high] = [Math.min(a % 60, b % 60), Math.max(a % 60, b % 60)];
      for (let ref = 0; ref <= 3; ref++) {
        const want = [...map.values()]
          .filter((s) => s.ref === ref && s.time >= low && s.time <= high)
          .sort((x, y) => x.time - y.time);
        const read = store.read(ref, low, high);
        expect([...read.times]).toEqual(want.map((s) => s.time));
        expect(bitsOfColumn(read.values)).toEqual(want.map((s) => s.bits));
        expect(store.overlaps(ref, low, high)).toBe(want.length > 0);
      }
    }),
    { seed: 11, numRuns: 1000 },
  );
});

test("what is removed is what was read, and nothing else is missed", () => {
  const sample = fc.record({ ref: fc.nat(2), time: fc.nat(3000), bits: fc.nat(5).map(bitsOf) });
  fc.assert(
    fc.property(
      fc.array(sample, { maxLength: 1500 }),
      fc.nat(2),
      fc.nat(3000),
      fc.nat(3000),
      (samples, ref, low, high) => {
        const store = new LateStore();
        const columns = columnsOf(samples);
        for (let i = 0; i < columns.count; i++) store.insert(columns, i);
        const [sizeBytes, count] = [store.sizeBytes, store.sampleCount];
        const all = [0, 1, 2].map((one) => store.read(one, -Infinity, Infinity));
        const wanted =
          low <= high ? store.read(ref, low, high) : { times: new Float64Array(0), values: new Float64Array(0) };
        const removed = low <= high ? store.remove(ref, low, high) : wanted;
        expect([removed.times, bitsOfColumn(removed.values)]).toEqual([wanted.times, bitsOfColumn(wanted.values)]);
        for (const one of [0, 1, 2]) {
          const left = store.read(one, -Infinity, Infinity);
          const isGone = (time: number): boolean => one === ref && time >= low && time <= high;
          expect([...left.times]).toEqual([...all[one]!.times].filter((time) => !isGone(time)));
        }
        expect(store.sampleCount).toBe(count - removed.times.length);
        // Given back, it is as it was.
        const back = {
          ...removed,
          series: new Uint32Array(removed.times.length).fill(ref),
          count: removed.times.length,
        };
        for (let i = 0; i < back.count; i++) expect(store.insert(back, i)).toBe("stored");
        for (const one of [0, 1, 2]) {
          const { times, values } = store.read(one, -Infinity, Infinity);
          expect([times, bitsOfColumn(values)]).toEqual([all[one]!.times, bitsOfColumn(all[one]!.values)]);
        }
        expect([store.sampleCount, store.sizeBytes > 0]).toEqual([count, sizeBytes > 0]);
      },
    ),
    { numRuns: 60 },
  );
});
