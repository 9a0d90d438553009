// test/unit/tsdb/key-order.test.ts: series in the order of their keys, and the sort in steps, against the plain ones.
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeSeriesKey, labelsFromPairs } from "../../../libs/model/index.ts";
import { SeriesCatalog } from "../../../libs/tsdb/catalog.ts";
import { inOrder, orderByKey } from "../../../libs/tsdb/key-order.ts";

/** What the steps return, and how many there were. */
function done<T>(steps: Generator<void, T>): { value: T; steps: number } {
  for (let count = 0; ; count++) {
    const next = steps.next();
    if (next.done === true) return { value: next.value, steps: count };
  }
}

test("any numbers, equal ones as they stood", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 300 }), (numbers) => {
      const { value } = done(inOrder(numbers.length, (a, b) => numbers[a]! - numbers[b]!));
      const want = numbers.map((_, i) => i).sort((a, b) => numbers[a]! - numbers[b]!);
      expect([...value]).toEqual(want);
    }),
    { numRuns: 500 },
  );
});

test("a hundred thousand take many steps", () => {
  const count = 100_000;
  const { value, steps } = done(inOrder(count, (a, b) => ((a * 7919) % count) - ((b * 7919) % count)));
  expect([...value].every((one, i) => i === 0 || (one * 7919) % count > (value[i - 1]! * 7919) % count)).toBe(true);
  expect(steps).toBeGreaterThan(1000);
});

test("series come in the order of their keys, with their keys", () => {
  const value = fc.oneof(
    fc.string({ minLength: 1, maxLength: 3 }),
    fc.constantFrom("é", "x".repeat(200), "x".repeat(201)),
  );
  fc.assert(
    fc.property(fc.uniqueArray(value, { maxLength: 60 }), fc.nat(3), (values, skip) => {
      const catalog = new SeriesCatalog();
      const keys = values.map((one) => encodeSeriesKey("t", labelsFromPairs([["a", one]])));
      keys.forEach((key, i) => {
        const id = new DataView(new ArrayBuffer(16));
        id.setUint32(0, i + 1);
        catalog.add(id, 0, catalog.index.read(key), 0, { low: 0, high: 0 }, 0, i);
      });
      const some = values.map((_, i) => i).filter((i) => i % 4 !== skip);
      const { value: ordered } = done(orderByKey(catalog, some));
      const want = [...some].sort((a, b) => Buffer.compare(keys[a]!, keys[b]!));
      expect([...ordered.series]).toEqual(want);
      for (const [place, one] of want.entries()) expect(Buffer.compare(ordered.keyAt(place), keys[one]!)).toBe(0);
    }),
    { numRuns: 300 },
  );
});
