// test/unit/env/random.test.ts: a seed repeats its sequence; draws stay in range and cover it.
import { describe, expect, test } from "vitest";
import { cryptoRandom, SeededRandom } from "../../../libs/env/index.ts";

describe("SeededRandom", () => {
  test("the sequence of a seed never changes: simulations are replayed by it", () => {
    const random = new SeededRandom(42);
    const first = [random.u32(), random.u32(), random.u32(), random.u32()];
    expect(first).toEqual([1177149777, 1632668721, 3033756285, 2556624650]);
    expect([...new SeededRandom(42).bytes(4)]).toEqual(first.map((word) => word & 255));
  });

  test("near seeds give unlike sequences, also beyond 32 bits", () => {
    const seen = new Set([0, 1, 2, 2 ** 32, 2 ** 32 + 1, -1].map((seed) => new SeededRandom(seed).u32()));
    expect(seen.size).toBe(6);
  });
});

test.each([
  ["seeded", new SeededRandom(7)],
  ["system", cryptoRandom],
])("draws are in range and even: %s", (_name, random) => {
  const counts = new Array<number>(10).fill(0);
  let heads = 0;
  for (let i = 0; i < 20_000; i++) {
    counts[random.below(10)]!++;
    if (random.chance(0.25)) heads++;
    const x = random.float();
    expect(x >= 0 && x < 1).toBe(true);
  }
  for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(250);
  expect(Math.abs(heads - 5_000)).toBeLessThan(400);
  expect(["a", "b"]).toContain(random.pick(["a", "b"]));
  expect(new Set(random.bytes(4_096)).size).toBe(256);
});
