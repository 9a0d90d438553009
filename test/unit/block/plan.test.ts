// test/unit/block/plan.test.ts: what is merged and what is dropped, by tables; times on every boundary.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BlockEntry,
  dayOf,
  type MergeOptions,
  planExpiry,
  planMerges,
  planShrink,
} from "../../../libs/block/index.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Midnight of the day that the tables are about; in hours from it. */
const ZERO = 20_000 * DAY;

interface Spec {
  readonly at: readonly [number, number];
  readonly shard?: number;
  readonly level?: BlockEntry["level"];
  readonly size?: number;
}

let number = 0;
function block({ at, shard = 0, level = "raw", size = 10 }: Spec): BlockEntry {
  const id = (++number).toString(16).padStart(32, "0");
  const [minMs, maxMs] = [ZERO + at[0] * HOUR, ZERO + at[1] * HOUR];
  return {
    file: `${level} ${shard} (${at.join()}]`,
    id,
    shard,
    level,
    minMs,
    maxMs,
    series: 1,
    samples: 1,
    sizeBytes: size,
  };
}

const MS = 1 / HOUR;
const windows = (from: number, to: number, shard = 0, size = 10): Spec[] =>
  Array.from({ length: (to - from) / 2 }, (_, i) => ({ at: [from + i * 2, from + i * 2 + 2], shard, size }));

/** Plans as "shard: inputs". */
function plansOf(specs: readonly Spec[], nowHours: number, options: Partial<MergeOptions> = {}): string[] {
  const all = { retentionMs: 30 * DAY, freeBytes: 1e9, ...options };
  return planMerges(specs.map(block), ZERO + nowHours * HOUR, all).map(
    ({ shard, inputs }) => `${shard}: ${inputs.map(({ file }) => file.split(" ").at(-1)).join(" ")}`,
  );
}

const DAY_OF_WINDOWS = `0: ${windows(0, 24)
  .map(({ at }) => `(${at.join()}]`)
  .join(" ")}`;

describe("merges", () => {
  test.each<[string, Spec[], number, string[]]>([
    ["a day whose last window is an hour old", windows(0, 24), 25, [DAY_OF_WINDOWS]],
    ["not a millisecond before", windows(0, 24), 25 - MS, []],
    ["the windows of one day only", windows(-4, 26), 25, ["0: (-4,-2] (-2,0]"]],
    ["then those of the next", windows(0, 26), 25, [DAY_OF_WINDOWS]],
    [
      "a block that ends at midnight with the day before",
      [{ at: [-2, 0] }, { at: [-4, -2] }, { at: [0, 2] }],
      25,
      ["0: (-4,-2] (-2,0]"],
    ],
    [
      "one that begins at midnight with the day after",
      [{ at: [0, 2] }, { at: [2, 4] }, { at: [-2, 0] }],
      25,
      ["0: (0,2] (2,4]"],
    ],
    ["nothing alone", [{ at: [0, 2] }], 100, []],
    ["nothing of a merged day alone", [{ at: [0, 24] }], 100, []],
    ["a late block with its merged day", [{ at: [0, 24] }, { at: [3, 5] }], 100, ["0: (0,24] (3,5]"]],
    ["overlapping blocks", [{ at: [4, 6] }, { at: [0, 5] }, { at: [0, 2] }], 100, ["0: (0,2] (0,5] (4,6]"]],
    ["two blocks of the same times", [{ at: [0, 2] }, { at: [0, 2] }], 100, ["0: (0,2] (0,2]"]],
    ["never a block over two days", [{ at: [-1, 1] }, { at: [0, 2] }], 100, []],
    ["nor one a millisecond too long", [{ at: [0, 24 + MS] }, { at: [0, 2] }], 100, []],
    ["raw blocks only", [{ at: [0, 2], level: "1m" }, { at: [2, 4], level: "1m" }, { at: [4, 6] }], 100, []],
    ["one day of a shard at a time, the oldest", [...windows(24, 48), ...windows(0, 24)], 100, [DAY_OF_WINDOWS]],
    [
      "each shard for itself",
      [...windows(0, 4, 1), ...windows(0, 2, 2), ...windows(2, 6, 3)],
      100,
      ["1: (0,2] (2,4]", "3: (2,4] (4,6]"],
    ],
    [
      "days before 1970",
      [{ at: [-480_000 - 24, -480_000 - 22] }, { at: [-480_000 - 2, -480_000] }],
      -480_000 + 1,
      ["0: (-480024,-480022] (-480002,-480000]"],
    ],
  ])("%s", (_name, specs, nowHours, wanted) => {
    expect(plansOf(specs, nowHours)).toEqual(wanted);
    expect(plansOf([...specs].reverse(), nowHours).map((text) => text.length)).toEqual(
      wanted.map((text) => text.length),
    );
  });

  test.each<[string, Partial<MergeOptions>, Spec[], string[]]>([
    [
      "a shard at work is left alone",
      { busyShards: new Set([1]) },
      [...windows(0, 4, 1), ...windows(0, 4, 2)],
      ["2: (0,2] (2,4]"],
    ],
    ["what fits exactly is merged", { freeBytes: 20 }, windows(0, 4), ["0: (0,2] (2,4]"]],
    ["what doesn't is not", { freeBytes: 19 }, windows(0, 4), []],
    [
      "what is written besides fits as well",
      { freeBytes: 25, besideBytes: () => 5 },
      windows(0, 4),
      ["0: (0,2] (2,4]"],
    ],
    ["or there is no merge", { freeBytes: 24, besideBytes: () => 5 }, windows(0, 4), []],
    ["merges share the free bytes", { freeBytes: 39 }, [...windows(0, 4, 1), ...windows(0, 4, 2)], ["1: (0,2] (2,4]"]],
    [
      "a day that doesn't fit lets a smaller one pass",
      { freeBytes: 30 },
      [...windows(0, 4, 0, 50), ...windows(24, 28)],
      ["0: (24,26] (26,28]"],
    ],
    ["what is past retention stays out", { retentionMs: 98 * HOUR }, windows(0, 6), ["0: (2,4] (4,6]"]],
    ["up to the millisecond", { retentionMs: 98 * HOUR + 1 }, windows(0, 6), ["0: (0,2] (2,4] (4,6]"]],
    ["and leaves nothing to be merged with", { retentionMs: 96 * HOUR }, windows(0, 6), []],
  ])("%s", (_name, options, specs, wanted) => {
    expect(plansOf(specs, 100, options)).toEqual(wanted);
  });

  test("say their day and what they may take", () => {
    const [plan] = planMerges(windows(2, 6).map(block), ZERO + 25 * HOUR, { retentionMs: DAY * 9, freeBytes: 100 });
    expect([plan!.dayMs, plan!.sizeBytes, plan!.shard]).toEqual([ZERO, 20, 0]);
  });

  test("come to an end: what is merged is not merged again", () => {
    let blocks = [...windows(0, 48, 1), ...windows(0, 48, 2), { at: [5, 7] as const, shard: 2 }].map(block);
    const rounds: number[] = [];
    for (;;) {
      const plans = planMerges(blocks, ZERO + 100 * HOUR, { retentionMs: 30 * DAY, freeBytes: 1e9 });
      if (plans.length === 0) break;
      rounds.push(plans.length);
      const gone = new Set(plans.flatMap(({ inputs }) => inputs));
      const made = plans.map(({ shard, inputs }) => {
        const at = [Math.min(...inputs.map((b) => b.minMs)), Math.max(...inputs.map((b) => b.maxMs))];
        return block({ at: [(at[0]! - ZERO) / HOUR, (at[1]! - ZERO) / HOUR], shard });
      });
      blocks = [...blocks.filter((one) => !gone.has(one)), ...made];
    }
    expect(rounds).toEqual([2, 2]);
    expect(blocks.map(({ file }) => file).sort()).toEqual([
      "raw 1 (0,24]",
      "raw 1 (24,48]",
      "raw 2 (0,24]",
      "raw 2 (24,48]",
    ]);
  });
});

test.each<[string, readonly [number, number], number | undefined]>([
  ["a window", [2, 4], 0],
  ["a whole day", [0, 24], 0],
  ["the last millisecond", [24 - MS, 24], 0],
  ["the first millisecond", [0, MS], 0],
  ["the millisecond before, too", [-MS, MS], undefined],
  ["the day before", [-24, 0], -24],
])("the day of %s", (_name, at, day) => {
  expect(dayOf(block({ at }))).toBe(day === undefined ? undefined : ZERO + day * HOUR);
});

test.each<[string, number, string[]]>([
  ["none while the oldest sample counts", 10 * HOUR - 1, []],
  ["a block whose newest sample is exactly so old", 10 * HOUR, ["raw 0 (0,2]"]],
  ["every level", 12 * HOUR, ["raw 0 (0,2]", "1m 0 (2,4]"]],
  ["never a part of a block", 20 * HOUR, ["raw 0 (0,2]", "1m 0 (2,4]"]],
  ["all in the end", 100 * HOUR, ["raw 0 (0,2]", "1m 0 (2,4]", "raw 1 (1,13]"]],
])("expiry: %s", (_name, sinceMs, wanted) => {
  const specs: Spec[] = [{ at: [0, 2] }, { at: [2, 4], level: "1m" }, { at: [1, 13], shard: 1 }];
  const now = ZERO + sinceMs;
  expect(planExpiry(specs.map(block), now, 8 * HOUR).map(({ file }) => file)).toEqual(wanted);
  expect(planExpiry(specs.map(block), now, Number.POSITIVE_INFINITY)).toEqual([]);
});

test.each<[string, Spec[], number, string[]]>([
  ["nothing while all fit", windows(0, 6), 30, []],
  ["the oldest that is too much", windows(0, 6), 29, ["(0,2]"]],
  ["as many as it takes", windows(0, 6), 10, ["(0,2]", "(2,4]"]],
  ["all where nothing fits", windows(0, 4), 0, ["(0,2]", "(2,4]"]],
  ["of all shards by time", [...windows(0, 4, 1), ...windows(2, 6, 2)], 21, ["(0,2]", "(2,4]", "(2,4]"]],
  [
    "what ends when another one does goes with it",
    [{ at: [0, 2] }, { at: [1, 2], shard: 1 }, { at: [2, 4] }],
    29,
    ["(0,2]", "(1,2]"],
  ],
  ["by the newest sample, not the oldest", [{ at: [0, 9] }, { at: [2, 4] }], 19, ["(2,4]"]],
  ["every level", [{ at: [0, 2], level: "1m" }, { at: [2, 4] }], 19, ["(0,2]"]],
  ["a large one alone", [{ at: [0, 2], size: 500 }, ...windows(2, 6)], 100, ["(0,2]"]],
])("a small disk: %s", (_name, specs, bytes, wanted) => {
  const plan = planShrink(specs.map(block), bytes);
  expect((plan?.remove ?? []).map(({ file }) => file.split(" ").at(-1))).toEqual(wanted);
  if (plan === undefined) return;
  expect(plan.cutoffMs).toBe(Math.max(...plan.remove.map(({ maxMs }) => maxMs)));
  for (const left of specs.map(block)) {
    if (left.maxMs <= plan.cutoffMs) expect(wanted).toContain(left.file.split(" ").at(-1));
  }
});

test("a small disk of many shards: the oldest go, and no more than it takes but for what ends at the same time", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ shard: fc.nat(63), from: fc.nat(40), hours: fc.integer({ min: 1, max: 24 }), size: fc.nat(50) }),
      ),
      fc.nat(600),
      fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }),
      fc.integer({ min: 1, max: 8 }),
      (specs, bytes, before, most) => {
        const all = specs.map(({ shard, from, hours, size }) => block({ at: [from, from + hours], shard, size }));
        const from = before === undefined ? Number.NEGATIVE_INFINITY : ZERO + before * HOUR;
        const plan = planShrink(all, bytes, from);
        const removed = plan?.remove ?? [];
        const cutoffMs = plan?.cutoffMs ?? from;
        const left = all.filter((one) => !removed.includes(one));
        const sizeOf = (blocks: readonly BlockEntry[]): number => blocks.reduce((sum, one) => sum + one.sizeBytes, 0);
        expect(sizeOf(left)).toBeLessThanOrEqual(bytes);
        expect(left.every(({ maxMs }) => maxMs > cutoffMs)).toBe(true);
        expect(removed.every(({ maxMs }) => maxMs <= cutoffMs)).toBe(true);
        // Those that end last were needed.
        const newest = removed.filter(({ maxMs }) => maxMs === cutoffMs && maxMs > from);
        if (newest.length > 0) expect(sizeOf([...left, ...newest])).toBeGreaterThan(bytes);
        // In steps it comes to the same.
        let rest: readonly BlockEntry[] = all;
        let stepped = from;
        for (let step = planShrink(rest, bytes, stepped, most); step !== undefined; ) {
          const { remove } = step;
          expect(remove.length).toBeLessThanOrEqual(most);
          rest = rest.filter((one) => !remove.includes(one));
          stepped = step.cutoffMs;
          step = planShrink(rest, bytes, stepped, most);
        }
        expect([rest, stepped]).toEqual([left, cutoffMs]);
      },
    ),
  );
});
