// test/unit/tsdb/leaf-answers.test.ts: leaves over the head against a storage of plain arrays, above all those that are
// answered from timestamps without decoding: counts, presence, times; with stale markers, gaps and late samples in between.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Leaf,
  type LeafResult,
  labelsFromRecord,
  labelsKey,
  type QueryContext,
  type Rollup,
} from "../../../libs/model/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { NOW, openDb, type Row, TENANT, write } from "./db-fixture.ts";

const STALE_BITS = 0x7ff0000000000002n;
const START = NOW - 600_000;
const SCRAPE_MS = 10_000;
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
};

/** What a series has at a scrape: a value, nothing, a stale marker, or a value that arrives late. */
const point = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: 9 }), weight: 30 },
  { arbitrary: fc.constantFrom("gap" as const, "stale" as const, "late" as const, "nan" as const), weight: 1 },
);
const history = fc.array(point, { minLength: 30, maxLength: 30 });
const program = fc.record({
  series: fc.array(fc.record({ target: fc.nat(2), mode: fc.constantFrom("a", "b"), history }), {
    minLength: 1,
    maxLength: 6,
  }),
  rollup: fc.constantFrom<Rollup>("last", "timestamp", "rate", "count_over_time", "present_over_time", "max_over_time"),
  op: fc.constantFrom("count" as const, "group" as const, "sum" as const, "max" as const, undefined),
  by: fc.constantFrom<string[]>([], ["mode"], ["nr"]),
  without: fc.boolean(),
  startMs: fc.integer({ min: -50, max: 350 }).map((s) => START + s * 1000),
  stepMs: fc.constantFrom(5000, 10_000, 35_000),
  rangeMs: fc.constantFrom(9000, 20_000, 100_000),
});
type Program = typeof program extends fc.Arbitrary<infer T> ? T : never;

/** Fills both storages: scrape by scrape, and what is late at the end. */
async function fill({ series }: Program): Promise<{ db: Awaited<ReturnType<typeof openDb>>; twin: MemoryQueryable }> {
  const db = await openDb();
  const twin = new MemoryQueryable();
  const late: Row[] = [];
  for (let scrape = 0; scrape < 30; scrape++) {
    const rows: Row[] = [];
    series.forEach(({ target, mode, history: points }, nr) => {
      const labels = { __name__: "m_total", mode, nr: String(nr) };
      const timeMs = START + scrape * SCRAPE_MS + target * 1700;
      const what = points[scrape]!;
      if (what === "gap") return;
      const value = what === "nan" ? Number.NaN : typeof what === "number" ? scrape * 10 + what : 0.5;
      (what === "late" ? late : rows).push([labels, timeMs, what === "stale" ? STALE_BITS : value]);
      const sample = { timeMs, value, stale: what === "stale", histogram: false };
      twin.append(labelsFromRecord(labels), [sample]);
    });
    if (rows.length > 0) await write(db, rows);
  }
  if (late.length > 0) await write(db, late);
  return { db, twin };
}

function shown({ columns }: LeafResult): string[] {
  return columns
    .map(({ labels, values, present, weights, lost }) => {
      const sums = lost === undefined ? values : values.map((v, s) => v + lost[s]!);
      const points = Array.from(sums, (v, s) => (present === null || present[s] === 1 ? String(v) : "-"));
      return `${labelsKey(labels)} ${points.join(" ")} ${weights === undefined ? "" : weights.join(" ")}`;
    })
    .sort();
}

describe("leaves over the head", () => {
  test("agree with plain arrays, whatever was left out, late or stale", async () => {
    await fc.assert(
      fc.asyncProperty(program, async (p) => {
        const { db, twin } = await fill(p);
        const aggregation = p.op === undefined ? {} : { aggregation: { op: p.op, without: p.without, labels: p.by } };
        const leaf: Leaf = {
          matchers: [{ type: "=", name: "__name__", value: "m_total" }],
          grid: { startMs: p.startMs, stepMs: p.stepMs, count: 12 },
          rollup: p.rollup,
          rangeMs: p.rangeMs,
          offsetMs: 0,
          args: [],
          dropName: p.rollup !== "last",
          ...aggregation,
        };
        const got = await db.queryable.evaluate(leaf, context);
        // Asked again, it comes from the selection that is kept.
        const again = await db.queryable.evaluate(leaf, context);
        const want = await twin.evaluate(leaf, context);
        expect(shown(got)).toEqual(shown(want));
        expect(shown(again)).toEqual(shown(want));
        await db.close();
      }),
      { numRuns: 400, seed: 20261121 },
    );
  });

  test("a series that comes later is found by a selector that was asked before", async () => {
    const db = await openDb();
    const leaf: Leaf = {
      matchers: [{ type: "=", name: "job", value: "j" }],
      grid: { startMs: NOW, stepMs: 1, count: 1 },
      rollup: "last",
      rangeMs: 300_000,
      offsetMs: 0,
      args: [],
      dropName: false,
      aggregation: { op: "count", without: false, labels: ["zone"] },
    };
    for (let n = 1; n <= 5; n++) {
      await write(db, [[{ __name__: "up", job: "j", zone: n < 4 ? "x" : "y", nr: String(n) }, NOW, n]]);
      const { columns } = await db.queryable.evaluate(leaf, context);
      const counts = columns.map((c) => [c.labels[1], c.values[0]]);
      expect(counts).toEqual(
        n < 4
          ? [["x", n]]
          : [
              ["x", 3],
              ["y", n - 3],
            ],
      );
    }
    await db.close();
  });
});
