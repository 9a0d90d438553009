// test/unit/index/series-ids.test.ts: the id table against a Map.
import fc from "fast-check";
import { expect, test } from "vitest";
import { SeriesIds } from "../../../libs/index/index.ts";

test("finds every id it was given and no other, also when ids share their low word", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.nat(7), fc.nat(3), fc.nat(3), fc.nat()), {
        maxLength: 3000,
        selector: (t) => t.join(),
      }),
      (ids) => {
        const table = new SeriesIds();
        const bytes = new DataView(new ArrayBuffer(16));
        const write = (words: readonly number[]) => {
          words.forEach((word, i) => {
            bytes.setUint32(i * 4, word, true);
          });
        };
        ids.forEach((words, series) => {
          write(words);
          expect(table.find(bytes, 0)).toBe(-1);
          table.add(bytes, 0, series);
        });
        ids.forEach((words, series) => {
          write(words);
          expect(table.find(bytes, 0)).toBe(series);
        });
        expect(table.size).toBe(ids.length);
        // Every third goes, and comes back under another number.
        ids.forEach((_, series) => {
          if (series % 3 === 0) table.remove(series);
        });
        ids.forEach((words, series) => {
          write(words);
          expect(table.find(bytes, 0)).toBe(series % 3 === 0 ? -1 : series);
        });
        ids.forEach((words, series) => {
          write(words);
          if (series % 3 === 0) table.add(bytes, 0, ids.length + series);
        });
        ids.forEach((words, series) => {
          write(words);
          expect(table.find(bytes, 0)).toBe(series % 3 === 0 ? ids.length + series : series);
        });
      },
    ),
    { numRuns: 50, seed: 7 },
  );
});
