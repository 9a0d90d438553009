// test/unit/promql/partial-twin.test.ts: group aggregation and merging of partials against a naive twin.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  exponentialLayout,
  histogramAt,
  type LeafResult,
  labelsFromRecord,
  type PartialOp,
  packHistograms,
  type StepColumn,
} from "../../../libs/model/index.ts";
import { finishPartials, Grouping, mergePartials, mergeSeries, PartialAggregator } from "../../../libs/promql/index.ts";
import { compensatedSum } from "../../promql/memory-queryable.ts";

const OPS: readonly PartialOp[] = ["sum", "count", "min", "max", "avg", "group"];
const COUNT = 4;

/** A series: its group, the shard that has it, a value or a gap per step. */
const series = fc.record({
  group: fc.constantFrom("a", "b", "c"),
  shard: fc.nat(3),
  points: fc.array(fc.option(fc.oneof(fc.integer({ min: -9, max: 9 }), fc.double()), { nil: undefined }), {
    minLength: COUNT,
    maxLength: COUNT,
  }),
});
type Series = typeof series extends fc.Arbitrary<infer T> ? T : never;

function columnOf({ points }: Series): { values: Float64Array; present: Uint8Array | null } {
  const present = Uint8Array.from(points, (p) => (p === undefined ? 0 : 1));
  return {
    values: Float64Array.from(points, (p) => p ?? 99),
    present: present.includes(0) ? present : null,
  };
}

function partialOf(op: PartialOp, members: readonly Series[]): LeafResult {
  const aggregator = new PartialAggregator({ op, without: false, labels: ["group"] }, COUNT);
  members.forEach((member, i) => {
    const { values, present } = columnOf(member);
    const labels = labelsFromRecord({ __name__: "m", group: member.group, nr: String(i) });
    aggregator.add(aggregator.groupOf(labels), values, present);
  });
  return { columns: aggregator.columns(), seriesCount: members.length, samplesRead: 1, warnings: ["w"] };
}

function naive(op: PartialOp, values: readonly number[]): number {
  const numbers = values.filter((value) => !Number.isNaN(value));
  if (op === "count") return values.length;
  if (op === "group") return 1;
  if (op === "min") return numbers.length === 0 ? Number.NaN : Math.min(...numbers);
  if (op === "max") return numbers.length === 0 ? Number.NaN : Math.max(...numbers);
  const sum = compensatedSum(values);
  return op === "sum" ? sum : sum / values.length;
}

function pointOf(columns: readonly StepColumn[], group: string, step: number): number | undefined {
  const column = columns.find((c) => c.labels[1] === group);
  if (column === undefined || (column.present !== null && column.present[step] === 0)) return undefined;
  return column.values[step]!;
}

function expectPoint(got: number | undefined, want: number | undefined, scale: number): void {
  if (got === undefined || want === undefined || !Number.isFinite(want)) expect(got).toEqual(want);
  else expect(Math.abs(got - want)).toBeLessThanOrEqual(1e-12 * scale);
}

describe("partials agree with their naive twin", () => {
  for (const op of OPS) {
    test(op, () => {
      fc.assert(
        fc.property(fc.array(series, { maxLength: 12 }), (all) => {
          // Sums near the largest float overflow or not by their order; that is not what is looked at here.
          const tame = all.map((s) => ({
            ...s,
            points: s.points.map((p) => (p && Number.isFinite(p) && Math.abs(p) > 1e150 ? 0 : p)),
          }));
          const shards = [0, 1, 2, 3].map((shard) =>
            partialOf(
              op,
              tame.filter((s) => s.shard === shard),
            ),
          );
          const merged = mergePartials(op, shards);
          const whole = finishPartials(op, partialOf(op, tame).columns);
          const joined = finishPartials(op, merged.columns);
          expect(merged).toMatchObject({ seriesCount: tame.length, samplesRead: 4, warnings: ["w", "w", "w", "w"] });
          for (const group of ["a", "b", "c"]) {
            for (let step = 0; step < COUNT; step++) {
              const points = tame.filter((s) => s.group === group).map((s) => s.points[step]);
              const values = points.filter((p) => p !== undefined);
              const want = values.length === 0 ? undefined : naive(op, values);
              const scale = values.filter(Number.isFinite).reduce((sum, value) => sum + Math.abs(value), 1e-300);
              expectPoint(pointOf(whole, group, step), want, scale);
              expectPoint(pointOf(joined, group, step), want, scale);
            }
          }
        }),
        { seed: 31, numRuns: 500 },
      );
    });
  }
});

describe("sums that cancel out across storages", () => {
  const point = (shard: number, value: number): Series => ({ group: "a", shard, points: new Array(COUNT).fill(value) });
  const rows = [point(0, 1e100), point(0, 1), point(1, -1e100), point(2, 1), point(3, 1e100), point(3, -1e100)];
  const shards = [0, 1, 2, 3].map((shard) => rows.filter((s) => s.shard === shard));

  test.each([["sum", 2], ["avg", 2 / 6]] as const)("%s keeps what rounding took", (op, want) => {
    const partials = shards.map((members) => partialOf(op, members));
    const whole = mergePartials(op, partials);
    // Merged in stages as well.
    const staged = mergePartials(op, [mergePartials(op, partials.slice(0, 2)), mergePartials(op, partials.slice(2))]);
    for (const { columns } of [whole, staged]) expect(pointOf(finishPartials(op, columns), "a", 0)).toBe(want);
  }); // biome-ignore format: rows

  test.each([["sum", [4, 3, 2]], ["avg", [1, 0.75, 0.5]]] as const)("%s of histograms, too", (op, want) => {
    // Sums, counts and the bucket of each: what is left is 4, 3 and 2 together.
    const histograms = [[0, 1e100, 1e90, 1e30], [0, 1, 1, 1], [1, -1e100, -1e90, -1e30], [2, 3, 2, 1]] as const;
    const shares = [0, 1, 2].map((shard): LeafResult => {
      const aggregator = new PartialAggregator({ op, without: false, labels: [] }, 1);
      for (const [own, sum, n, bucket] of histograms.filter(([one]) => one === shard)) {
        const layout = exponentialLayout(0, 0.001, [1], []);
        const one = { layout, hint: 0 as const, count: n, sum, zeroCount: 0, buckets: Float64Array.of(bucket) };
        aggregator.addMixed(aggregator.groupOf([]), Float64Array.of(own), null, packHistograms([one])!, "m");
      }
      return { columns: aggregator.columns(), seriesCount: 1, samplesRead: 1, warnings: [] };
    });
    const staged = mergePartials(op, [mergePartials(op, shares.slice(0, 2)), shares[2]!]);
    for (const { columns } of [mergePartials(op, shares), staged]) {
      const { sum, count, buckets } = histogramAt(finishPartials(op, columns)[0]!.histograms!, 0)!;
      expect([sum, count, buckets[0]]).toEqual(want);
    }
  }); // biome-ignore format: rows

  test("what overflows is infinite, without a loss", () => {
    const [column] = mergePartials("sum", [
      partialOf("sum", [point(0, 1.7e308)]),
      partialOf("sum", [point(1, 1.7e308)]),
    ]).columns;
    expect([column!.values[0], column!.lost]).toEqual([Number.POSITIVE_INFINITY, undefined]);
  });
});

describe("grouping", () => {
  const labels = labelsFromRecord({ __name__: "m", a: "1", b: "2", c: "3" });
  test.each([
    [false, ["a", "x"], { a: "1" }],
    [false, ["b", "a", "a"], { a: "1", b: "2" }],
    [false, ["__name__"], { __name__: "m" }],
    [false, [], {}],
    [true, ["a"], { b: "2", c: "3" }],
    [true, [], { a: "1", b: "2", c: "3" }],
  ] as [boolean, string[], Record<string, string>][])("without=%s %j", (without, names, want) => {
    const grouping = new Grouping(without, names);
    expect(grouping.groupOf(labels)).toBe(0);
    expect(grouping.groupOf(labels)).toBe(0);
    expect(grouping.groups).toEqual([labelsFromRecord(want)]);
  });

  test("neighbouring values do not run together", () => {
    const grouping = new Grouping(false, ["a", "b"]);
    grouping.groupOf(labelsFromRecord({ a: "x", b: "yz" }));
    expect(grouping.groupOf(labelsFromRecord({ a: "xy", b: "z" }))).toBe(1);
  });
});

describe("series of several storages", () => {
  const result = (...columns: StepColumn[]): LeafResult => ({ columns, seriesCount: 1, samplesRead: 2, warnings: [] });
  const labels = labelsFromRecord({ a: "1" });
  const other = labelsFromRecord({ a: "2" });

  test("a series of two replicas appears once, and each fills the other's gaps", () => {
    const first = { labels, values: Float64Array.of(1, 0, 3), present: Uint8Array.of(1, 0, 1) };
    const second = { labels, values: Float64Array.of(9, 2, 9), present: null };
    const merged = mergeSeries([
      result(first),
      result(second, { labels: other, values: second.values, present: null }),
    ]);
    expect(merged.columns).toEqual([
      { labels, values: Float64Array.of(1, 2, 3), present: null },
      { labels: other, values: second.values, present: null },
    ]);
    expect(merged).toMatchObject({ seriesCount: 2, samplesRead: 4 });
  });

  test("raw samples are joined by time", () => {
    const raw = (times: number[], values: number[]): StepColumn => ({
      labels,
      values: Float64Array.from(values),
      times: Float64Array.from(times),
      present: null,
    });
    const merged = mergeSeries([result(raw([1, 3, 5], [10, 30, 50])), result(raw([2, 3, 6], [20, 31, 60]))]);
    expect(merged.columns).toEqual([raw([1, 2, 3, 5, 6], [10, 20, 30, 50, 60])]);
  });
});
