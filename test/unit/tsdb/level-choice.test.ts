// test/unit/tsdb/level-choice.test.ts: which level answers a leaf, by a table; and leaves answered in two parts.
import { describe, expect, test } from "vitest";
import type { Leaf, LeafResult, LevelChoice, Rollup } from "../../../libs/model/index.ts";
import { planLevel, type RowSource } from "../../../libs/tsdb/level-choice.ts";
import { joinResults, splitLeaf } from "../../../libs/tsdb/split-leaf.ts";

const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ZERO = 19_000 * DAY;

/** Days by number from ZERO. */
const days = (from: number, to: number): Set<number> =>
  new Set(Array.from({ length: to - from }, (_, i) => ZERO + (from + i) * DAY));

/** Rows on days [0, 10), samples on the last of these from day `rawFrom` on. */
function source(level: "1m" | "1h", rawFrom = 0, isEmpty = false, from = 0, to = 10, shard = 0): RowSource {
  return { level, shard, isEmpty, fresh: days(from, to), alone: days(from, Math.min(to, rawFrom)) };
}

interface Spec {
  readonly rollup?: Rollup;
  readonly start?: number;
  readonly step?: number;
  readonly count?: number;
  readonly range?: number;
  readonly offset?: number;
  readonly level?: LevelChoice;
}

function plan(spec: Spec, sources: readonly RowSource[]): string {
  const { rollup = "rate", start = DAY, step = HOUR, count = 24, range = HOUR, offset = 0, level } = spec;
  const grid = { startMs: ZERO + start, stepMs: step, count };
  const leaf = { grid, rollup, rangeMs: range, offsetMs: offset, ...(level === undefined ? {} : { level }) };
  const found = planLevel(leaf, sources);
  if (found === undefined) return "raw";
  const how = found.exact ? "" : ` as ${found.reason}`;
  return `${found.level}${how}${found.steps === count ? "" : ` for ${found.steps}`}`;
}

const BOTH = [source("1m"), source("1h")];
/** Samples of the last three days only. */
const AGED = [source("1m", 7), source("1h", 7)];

describe("the level of a leaf", () => {
  test.each<[string, Spec, readonly RowSource[], string]>([
    ["the coarsest that is aligned", {}, BOTH, "1h"],
    ["no rows, no level", {}, [], "raw"],
    ["a start in the hour", { start: DAY + 5 * MINUTE }, BOTH, "1m"],
    ["an offset that evens it out", { start: DAY + 5 * MINUTE, offset: 5 * MINUTE }, BOTH, "1h"],
    ["a step of half an hour", { step: HOUR / 2 }, BOTH, "1m"],
    ["a range of five minutes", { range: 5 * MINUTE }, BOTH, "1m"],
    ["a range of 90 seconds", { range: 90_000 }, BOTH, "raw"],
    ["which an instant selector may have", { rollup: "last", range: 90_000 }, BOTH, "1h"],
    ["a start in the minute", { start: DAY + 1 }, BOTH, "raw"],
    ["one step needs no step", { step: 7, count: 1 }, BOTH, "1h"],
    ["steps that stand still", { step: 0, count: 5 }, BOTH, "1h"],
    ["a function of samples", { rollup: "irate" }, BOTH, "raw"],
    ["no rows in reach", { start: 20 * DAY }, BOTH, "raw"],
    ["rows on the last day of it are enough", { start: -DAY, count: 26 }, BOTH, "1h"],
    ["rows of no series are of no use", {}, [source("1h", 0, true)], "raw"],
    ["an hour's without a minute's", { step: HOUR / 2 }, [source("1h")], "raw"],
    ["as asked, when it is exact", { level: "1m" }, BOTH, "1m"],
    ["as asked, when it is not", { level: "1h", range: 5 * MINUTE }, BOTH, "1h as asked"],
    ["samples as asked", { level: "raw" }, BOTH, "raw"],
    ["exact rows, though samples have expired", {}, AGED, "1h"],
    ["an hour's, where a minute's have expired as well", {}, [source("1m", 7, false, 5), source("1h", 7)], "1h"],
    ["a minute's, where an hour's are missing", {}, [source("1m", 7), source("1h", 7, false, 5)], "1m"],
    ["an estimate of the finest level left", { start: DAY + 1 }, AGED, "1m as expired"],
    ["or of an hour", { start: DAY + 1 }, [source("1m", 7, false, 5), source("1h", 7)], "1h as expired"],
    ["samples, where none has expired", { start: 8 * DAY + 1 }, AGED, "raw"],
    ["samples from the step on that sees only such", { start: 6.5 * DAY + 1, count: 24 }, AGED, "1m as expired for 13"],
    ["a level that kept all as samples", { start: DAY + 1 }, [source("1m", 7, true), source("1h", 7)], "raw"],
    ["two shards, one of which has no rows of an hour", {}, [...AGED, source("1m", 7, false, 0, 10, 1)], "1m"],
  ])("%s", (_, spec, sources, wanted) => {
    expect(plan(spec, sources)).toBe(wanted);
  });
});

test("a leaf in two parts is one again", () => {
  const leaf: Leaf = {
    matchers: [],
    grid: { startMs: 100, stepMs: 10, count: 5 },
    rollup: "quantile_over_time",
    rangeMs: 1,
    offsetMs: 0,
    args: [0.5, Float64Array.of(1, 2, 3, 4, 5)],
    dropName: false,
  };
  const [early, late] = splitLeaf(leaf, 2);
  expect(early.grid).toEqual({ startMs: 100, stepMs: 10, count: 2 });
  expect(late.grid).toEqual({ startMs: 120, stepMs: 10, count: 3 });
  expect([early.args[1], late.args[1]]).toEqual([Float64Array.of(1, 2), Float64Array.of(3, 4, 5)]);
  const result = (columns: LeafResult["columns"], more: Partial<LeafResult> = {}): LeafResult => {
    return { columns, seriesCount: 1, samplesRead: 10, warnings: ["w"], ...more };
  };
  const notes = [{ kind: "expired_to_1h", metric: "", aggregated: false, count: 1 }] as const;
  const joined = joinResults(
    5,
    2,
    result(
      [
        { labels: ["a", "1"], values: Float64Array.of(1, 2), present: null, weights: Float64Array.of(7, 8) },
        { labels: ["a", "2"], values: Float64Array.of(3, 0), present: Uint8Array.of(1, 0) },
      ],
      { notes },
    ),
    result(
      [
        { labels: ["a", "3"], values: Float64Array.of(4, 5, 6), present: null },
        {
          labels: ["a", "1"],
          values: Float64Array.of(0, 8, 9),
          present: Uint8Array.of(0, 1, 1),
          weights: Float64Array.of(0, 1, 2),
        },
      ],
      { seriesCount: 2 },
    ),
  );
  expect(joined).toEqual({
    columns: [
      {
        labels: ["a", "1"],
        values: Float64Array.of(1, 2, 0, 8, 9),
        present: Uint8Array.of(1, 1, 0, 1, 1),
        weights: Float64Array.of(7, 8, 0, 1, 2),
      },
      { labels: ["a", "2"], values: Float64Array.of(3, 0, 0, 0, 0), present: Uint8Array.of(1, 0, 0, 0, 0) },
      { labels: ["a", "3"], values: Float64Array.of(0, 0, 4, 5, 6), present: Uint8Array.of(0, 0, 1, 1, 1) },
    ],
    seriesCount: 2,
    samplesRead: 20,
    warnings: ["w"],
    notes,
  });
  expect(joinResults(5, 2, result([]), result([])).columns).toEqual([]);
});
