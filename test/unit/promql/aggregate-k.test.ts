// test/unit/promql/aggregate-k.test.ts: topk and bottomk keep at each step the values that sorting all members would put
// first, and of equal values the same whichever way the members come.
import fc from "fast-check";
import { expect, test } from "vitest";
import { SeededRandom } from "../../../libs/env/index.ts";
import { keepBest } from "../../../libs/promql/aggregate-k.ts";
import type { Column } from "../../../libs/promql/column.ts";

const STEPS = 3;
const member = fc.record({
  values: fc.array(fc.constantFrom(0, -0, 1, 2, Number.NaN, Number.POSITIVE_INFINITY, -3), {
    minLength: STEPS,
    maxLength: STEPS,
  }),
  present: fc.array(fc.constantFrom(0, 1), { minLength: STEPS, maxLength: STEPS }),
  group: fc.constantFrom("a", "b"),
});

/** Whether a value comes before another: NaNs last. */
function isBefore(op: string, a: number, b: number): number {
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
  const order = a < b ? -1 : a > b ? 1 : 0;
  return op === "topk" ? -order : order;
}

/** What is left when all steps of a work are done. */
function done<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

test("each group keeps its best at each step, NaNs last", () => {
  fc.assert(
    fc.property(
      fc.array(member, { maxLength: 12 }),
      fc.constantFrom("topk" as const, "bottomk" as const),
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: STEPS, maxLength: STEPS }),
      fc.integer({ min: 1, max: 12 }),
      (members, op, ks, stride) => {
        const columns = members.map(({ values, present, group }, i): Column => {
          const labels = ["group", group, "i", String(i).padStart(2, "0")];
          return { labels, values: Float64Array.from(values), present: Uint8Array.from(present), dropName: false };
        });
        // 13 is a prime: each stride is another order.
        const mixed = columns.map((_, i) => (i * stride) % 13).flatMap((i) => columns[i] ?? []);
        for (const column of columns) if (!mixed.includes(column)) mixed.push(column);
        const expr = { op, grouping: ["group"], without: false } as const;
        const keptOf = (all: readonly Column[], step: number) =>
          done(keepBest(expr, all, Float64Array.from(ks), STEPS)).filter(
            ({ present }) => present === null || present[step],
          );
        for (let step = 0; step < STEPS; step++) {
          const inGroup = (all: readonly Column[], group: string) =>
            all.filter(({ labels, present }) => labels[1] === group && present?.[step] !== 0);
          const kept = keptOf(columns, step);
          for (const group of ["a", "b"]) {
            const valuesOf = (all: readonly Column[]) =>
              inGroup(all, group)
                .map(({ values }) => values[step]! + 0)
                .sort((a, b) => isBefore(op, a, b));
            expect(valuesOf(kept)).toEqual(valuesOf(columns).slice(0, ks[step]!));
          }
          const names = (all: readonly Column[]) => all.map(({ labels }) => labels.join()).sort();
          expect(names(keptOf(mixed, step))).toEqual(names(kept));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("of many the best are those that sorting puts first, whether values tie or not, and in an instant query in this order", () => {
  const random = new SeededRandom(11);
  for (const distinct of [50, 1e9]) {
    const columns = Array.from({ length: 500 }, (_, i): Column => {
      const value = i % 50 === 0 ? Number.NaN : Math.floor((random.u32() / 2 ** 32) * distinct);
      const labels = ["i", String(i).padStart(3, "0")];
      return { labels, values: Float64Array.of(value, -value), present: null, dropName: false };
    });
    for (const op of ["topk", "bottomk"] as const) {
      for (const k of [1, 64, 65, 300, 489, 490, 495, 499, 500, 1e18]) {
        const expr = { op, grouping: [], without: false } as const;
        const sorted = (step: number) => columns.map(({ values }) => values[step]!).sort((a, b) => isBefore(op, a, b));
        const instant = columns.map((column) => ({ ...column, values: column.values.subarray(0, 1) }));
        const first = done(keepBest(expr, instant, Float64Array.of(k), 1));
        expect(first.map(({ values }) => values[0]!)).toEqual(sorted(0).slice(0, k));
        const kept = done(keepBest(expr, columns, Float64Array.of(k, k), 2));
        for (const step of [0, 1]) {
          const values = kept
            .filter(({ present }) => present === null || present[step] === 1)
            .map((c) => c.values[step]!);
          expect(values.sort((a, b) => isBefore(op, a, b))).toEqual(sorted(step).slice(0, k));
        }
      }
    }
  }
});
