// test/unit/promql/slab.test.ts: columns cut from a slab are apart from each other, zero at first, and take no more memory than was said.
import fc from "fast-check";
import { expect, test } from "vitest";
import { Slab } from "../../../libs/promql/slab.ts";

test("columns are zeros and nobody else's, however many were expected", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9000 }), fc.nat(50), fc.nat(50), (length, expected, taken) => {
      let bytes = 0;
      const slab = new Slab(length, expected, (more) => {
        bytes += more;
      });
      const columns = Array.from({ length: taken }, (_, i) => {
        const column = slab.next();
        expect(column.length).toBe(length);
        expect(column.every((value) => value === 0)).toBe(true);
        return column.fill(i + 1);
      });
      for (const [i, column] of columns.entries()) expect(column.every((value) => value === i + 1)).toBe(true);
      expect(new Set(columns.map(({ buffer }) => buffer)).size * length * 8).toBeLessThanOrEqual(bytes);
      const most = Math.max(taken, Math.min(expected, Math.max(1, Math.floor(8192 / Math.max(1, length)))));
      expect(bytes).toBeLessThanOrEqual(8 * (2 * most * length + 8192));
    }),
    { numRuns: 300, seed: 5 },
  );
});

test("what is said to be too much is not made", () => {
  let left = 800;
  const slab = new Slab(100, 1, (bytes) => {
    left -= bytes;
    if (left < 0) throw new Error("too much");
  });
  slab.next();
  expect(() => slab.next()).toThrow("too much");
});

test("one array serves as many columns as are expected", () => {
  const slab = new Slab(105, 70);
  const buffers = new Set(Array.from({ length: 70 }, () => slab.next().buffer));
  expect(buffers.size).toBe(1);
});
