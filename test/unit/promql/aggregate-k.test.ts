// test/unit/promql/aggregate-k.test.ts: topk and bottomk keep at each step what sorting all members would put first.
import fc from "fast-check";
import { expect, test } from "vitest";
import { compareLabels, type Labels } from "../../../libs/model/index.ts";
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

/** Whether a value comes before another, the one with these labels before the other. */
function isBefore(op: string, a: [number, Labels], b: [number, Labels]): number {
  if (Number.isNaN(a[0]) !== Number.isNaN(b[0])) return Number.isNaN(a[0]) ? 1 : -1;
  const order = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
  return (op === "topk" ? -order : order) || compareLabels(a[1], b[1]);
}

test("each group keeps its best at each step, ties by labels, NaNs last", () => {
  fc.assert(
    fc.property(
      fc.array(member, { maxLength: 12 }),
      fc.constantFrom("topk" as const, "bottomk" as const),
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: STEPS, maxLength: STEPS }),
      (members, op, ks) => {
        // Not in the order of labels.
        const columns = members.map(({ values, present, group }, i): Column => {
          const labels = ["group", group, "i", `${(i * 7) % 13}`];
          return { labels, values: Float64Array.from(values), present: Uint8Array.from(present), dropName: false };
        });
        const expr = { op, grouping: ["group"], without: false } as const;
        const kept = keepBest(expr, columns, Float64Array.from(ks), STEPS);
        for (let step = 0; step < STEPS; step++) {
          const wanted = ["a", "b"].flatMap((group) =>
            columns
              .filter(({ labels, present }) => labels[1] === group && present![step] === 1)
              .sort((a, b) => isBefore(op, [a.values[step]!, a.labels], [b.values[step]!, b.labels]))
              .slice(0, ks[step]!)
              .map(({ labels }) => labels.join()),
          );
          const got = kept.filter(({ present }) => present === null || present[step] === 1);
          expect(got.map(({ labels }) => labels.join()).sort()).toEqual(wanted.sort());
        }
      },
    ),
    { numRuns: 2000 },
  );
});
