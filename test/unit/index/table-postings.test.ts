// test/unit/index/table-postings.test.ts: what is selected of a table is what matches, one series after the other; and only what it had when it was indexed.
import fc from "fast-check";
import { expect, test } from "vitest";
import { SeriesTable, TablePostings } from "../../../libs/index/index.ts";
import { compileMatcher, type Labels, type Matcher, matchLabels } from "../../../libs/model/index.ts";

const NAMES = ["__name__", "a", "b", "zone"];
const VALUES = ["", "x", "xy", "xyz", "y", "1", "é"];

const labelsOf = (values: readonly string[]): Labels =>
  NAMES.flatMap((name, i) => (values[i] === "" ? [] : [name, values[i]!]));

function add(table: SeriesTable, labels: Labels): number {
  const pairs: number[] = [];
  for (let i = 0; i < labels.length; i += 2) pairs.push(table.pairOf(labels[i]!, labels[i + 1]!));
  return table.add(Uint32Array.from(pairs), pairs.length);
}

function resultOf<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

const indexed = (table: SeriesTable): TablePostings => resultOf(TablePostings.of(table));

const matcher: fc.Arbitrary<Matcher> = fc.record({
  type: fc.constantFrom("=" as const, "!=" as const, "=~" as const, "!~" as const),
  name: fc.constantFrom(...NAMES, "none"),
  value: fc.constantFrom(...VALUES, "x|y", "x|", "|y|x", "x.*", ".*", ".+", "x.+|1", "[xy]+", "(?:x|y)z?"),
});

test("selects the series that match, each once", () => {
  const some = fc.array(fc.tuple(...NAMES.map(() => fc.constantFrom(...VALUES))), { maxLength: 60 });
  fc.assert(
    fc.property(some, some, fc.array(matcher, { maxLength: 4 }), (before, after, matchers) => {
      const table = new SeriesTable();
      const known = new Map(before.map((values) => [add(table, labelsOf(values)), labelsOf(values)]));
      const postings = indexed(table);
      expect(postings.size).toBe(known.size);
      for (const values of after) add(table, labelsOf(values));
      const compiled = matchers.map(compileMatcher);
      const wanted = [...known].filter(([, labels]) => matchLabels(compiled, labels)).map(([series]) => series);
      expect(Array.from(resultOf(postings.select(compiled))).sort((a, b) => a - b)).toEqual(
        wanted.sort((a, b) => a - b),
      );
    }),
    { numRuns: 2000 },
  );
});

test("a large table is indexed in steps", () => {
  const table = new SeriesTable();
  for (let i = 0; i < 100_000; i++) add(table, ["__name__", `m${i % 7}`, "i", `${i}`]);
  const steps = [...TablePostings.of(table)].length;
  expect(steps).toBe(6);
  const postings = indexed(table);
  const one = [
    { type: "=", name: "__name__", value: "m3" },
    { type: "=~", name: "i", value: "3|4|10" },
  ] as const;
  expect(Array.from(resultOf(postings.select(one.map(compileMatcher))))).toEqual([3, 10]);
  const scanned = compileMatcher({ type: "=~", name: "i", value: "99.*9" });
  expect([...postings.select([scanned])].length).toBeGreaterThan(1000);
  expect(postings.sizeBytes).toBeGreaterThan(4 * 200_000);
});
