// test/unit/block/times-pool.test.ts: equal columns of times are one array, as long as anybody uses it.
import fc from "fast-check";
import { expect, test } from "vitest";
import { TimesPool } from "../../../libs/block/times-pool.ts";

const columns = fc.array(
  fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 }).map((times) => Float64Array.from(times)),
  { maxLength: 30 },
);

test("what is taken has the times that were given; equal columns are one array; all of it goes", () => {
  fc.assert(
    fc.property(columns, fc.infiniteStream(fc.boolean()), (given, gives) => {
      const pool = new TimesPool();
      const held: Float64Array[] = [];
      for (const times of given) {
        const taken = pool.take(times.slice());
        expect(taken).toEqual(times);
        for (const other of held) expect(other === taken).toBe(String(other) === String(taken));
        held.push(taken);
        if (gives.next().value === true) pool.give(held.shift()!);
        expect(pool.size).toBe(new Set(held).size);
      }
      for (const times of held) pool.give(times);
      expect(pool.size).toBe(0);
    }),
  );
});

test("users share the bytes", () => {
  const pool = new TimesPool();
  const times = pool.take(Float64Array.of(1, 2));
  expect(pool.bytesOf(times)).toBe(16);
  pool.take(Float64Array.of(1, 2));
  expect(pool.bytesOf(times)).toBe(8);
  pool.take(Float64Array.of(1, 2));
  expect(pool.bytesOf(times)).toBe(6);
  expect(pool.bytesOf(Float64Array.of(1))).toBe(8);
});

test("columns that differ in the middle only are not shared beyond some", () => {
  const pool = new TimesPool();
  const middle = (time: number): Float64Array => Float64Array.of(0, time, 100);
  const taken = Array.from({ length: 40 }, (_, time) => pool.take(middle(time)));
  expect(pool.size).toBe(16);
  expect(pool.take(middle(3))).toBe(taken[3]);
  expect(pool.take(middle(30))).not.toBe(taken[30]);
  expect(taken[30]).toEqual(middle(30));
  for (const times of [...taken, taken[3]!]) pool.give(times);
  expect(pool.size).toBe(0);
});
