// test/unit/tsdb/times-cache.test.ts: times of a head's groups come from memory once they were decoded, and are always those of the head.
import fc from "fast-check";
import { expect, test } from "vitest";
import { TimesCache, type TimesSource } from "../../../libs/tsdb/times-cache.ts";

/** Groups that grow; counts what is decoded. */
class Groups implements TimesSource {
  readonly lengths = [0, 0, 0];
  decoded = 0;

  groupLength(group: number): number {
    return this.lengths[group]!;
  }

  groupTimes(group: number, from: number, to: number): Float64Array {
    this.decoded += to - from;
    return Float64Array.from({ length: to - from }, (_, i) => group * 1e6 + (from + i) * 15);
  }
}

test("whatever grows and whatever is asked, the times are the group's", () => {
  const step = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.nat(40), fc.nat(1000), fc.nat(1000));
  const check = (steps: [number, number, number, number][], bytesMax: number): void => {
    const groups = new Groups();
    const cache = new TimesCache(groups, bytesMax);
    const given: [Float64Array, Float64Array][] = [];
    for (const [group, more, a, b] of steps) {
      groups.lengths[group]! += more;
      const length = groups.lengths[group]!;
      const [from, to] = [Math.min(a, length), Math.min(Math.max(a, b), length)];
      const times = cache.read(group, from, to);
      expect(times).toEqual(groups.groupTimes(group, from, to));
      given.push([times, times.slice()]);
      expect(cache.sizeBytes).toBeLessThanOrEqual(bytesMax);
    }
    for (const [times, copy] of given) expect(times).toEqual(copy);
  };
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), fc.nat(4000), check), { seed: 5, numRuns: 2000 });
});

test("what is there is decoded once", () => {
  const groups = new Groups();
  const cache = new TimesCache(groups, 1 << 20);
  groups.lengths[1] = 100;
  for (let i = 0; i < 10; i++) cache.read(1, 0, 100);
  expect(groups.decoded).toBe(100);
  groups.lengths[1] = 130;
  for (let i = 0; i < 10; i++) cache.read(1, 20, 130);
  expect(groups.decoded).toBe(130);
  cache.clear();
  expect(cache.sizeBytes).toBe(0);
  cache.read(1, 0, 1);
  expect(groups.decoded).toBe(260);
});
