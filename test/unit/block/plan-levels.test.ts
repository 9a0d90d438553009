// test/unit/block/plan-levels.test.ts: which rows are made, renewed, joined and dropped, and what stays of finer blocks, by tables.
import { describe, expect, test } from "vitest";
import {
  type BlockEntry,
  DAY_MS,
  heldByLevels,
  type LevelBlock,
  type LevelRetention,
  type LevelStep,
  planLevels,
  rowDays,
} from "../../../libs/block/index.ts";

const HOUR = 3_600_000;
/** The first day of a period of thirty, which the tables are about; in days from it. */
const ZERO = 660 * 30 * DAY_MS;
const RETENTION: LevelRetention = { raw: 30 * DAY_MS, "1m": 100 * DAY_MS, "1h": 1000 * DAY_MS };

/** "raw A 0-1", "1h D(A) 0-1": rows made of A, "1m+ K(A) 0-1": what 1m keeps of A as samples; days, then perhaps ":series". */
function block(text: string): LevelBlock {
  const [, level, plus, id, parents, from, to, series] =
    /^(raw|1m|1h)(\+?) (\w+)(?:\(([\w,]*)\))? ([\d.]+)-([\d.]+)(?::(\d+))?$/.exec(text)!;
  const entry: BlockEntry = {
    file: id!,
    id: id!,
    shard: 0,
    level: level as BlockEntry["level"],
    minMs: ZERO + Number(from) * DAY_MS,
    maxMs: ZERO + Number(to) * DAY_MS,
    series: Number(series ?? 9),
    samples: 1,
    sizeBytes: 1,
  };
  return { entry, parents: parents ? parents.split(",") : [], isRows: level !== "raw" && plus === "" };
}

function textOf(step: LevelStep): string {
  const day = (ms: number): number => (ms - ZERO) / DAY_MS;
  const names = (blocks: readonly BlockEntry[]): string => blocks.map(({ id }) => id).join(" ");
  switch (step.kind) {
    case "rows":
      return `rows ${step.level} of ${step.source.id} on ${day(step.dayMs)}`;
    case "cut":
      return `cut ${day(step.dayMs)} of ${step.parents.join()} from ${step.block.id}`;
    case "rest":
      return `rest ${step.level} of ${step.source.id} beside ${names(step.rows)}`;
    case "join":
      return `join ${names(step.inputs)}`;
    case "drop":
      return `drop ${names(step.blocks)}`;
  }
}

const plan = (blocks: readonly string[], nowDays: number, retention = RETENTION): string[] =>
  planLevels(blocks.map(block), ZERO + nowDays * DAY_MS, retention).map(textOf);

const ROWS_OF_A = ["1m B(A) 0-1", "1h C(A) 0-1"];
const SETTLED = 1 + HOUR / DAY_MS;
const MS = 1 / DAY_MS;

describe("rows", () => {
  test.each<[string, string[], number, string[]]>([
    ["of a settled day, on both levels", ["raw A 0-1"], SETTLED, ["rows 1m of A on 0", "rows 1h of A on 0"]],
    ["not a millisecond before", ["raw A 0-1"], SETTLED - MS, []],
    ["also where the block is a part of its day", ["raw A 0.25-0.5"], 3, ["rows 1m of A on 0", "rows 1h of A on 0"]],
    ["not while a day has two blocks", ["raw A 0-1", "raw X 0.2-0.4"], 3, []],
    ["nor when a block reaches into another day", ["raw A 0.5-1.5"], 3, []],
    ["nor when one of another day reaches into it", ["raw A 0-1", "raw X 0.9-1.1"], 3, []],
    ["the level that is missing", ["raw A 0-1", "1m B(A) 0-1"], 3, ["rows 1h of A on 0"]],
    ["nothing when both are there", ["raw A 0-1", ...ROWS_OF_A], 3, []],
    ["an empty block of rows is one", ["raw A 0-1", "1m B(A) 0-1:0", "1h C(A) 0-1"], 3, []],
    ["rows of another block are none", ["raw X 0-1", "1m B(A) 0-1", "1h C(X) 0-1"], 3, ["rows 1m of X on 0"]],
    [
      "rows of what the block was merged from go",
      ["raw X(A,Y) 0-1", "1m B(A) 0-1", "1h C(X) 0-1"],
      3,
      ["cut 0 of A from B", "rows 1m of X on 0"],
    ],
    [
      "out of joined rows as well",
      ["raw X(A,Y) 1-2", "1m D(X) 1-2", "1h J(Z,A,W) 0-3", "1h E(X) 1-2"],
      4,
      ["cut 1 of A from J"],
    ],
  ])("%s", (_, blocks, now, wanted) => {
    expect(plan(blocks, now)).toEqual(wanted);
  });
});

describe("what expires", () => {
  const ALL = ["raw A 0-1", ...ROWS_OF_A];
  test.each<[string, string[], number, string[]]>([
    ["nothing before raw retention", ["raw A 0-1:10", ...ROWS_OF_A], 31 - MS, []],
    ["then what rows don't have is kept", ["raw A 0-1:10", ...ROWS_OF_A], 31, ["rest 1m of A beside B"]],
    ["also all of it", ["raw A 0-1", "1m B(A) 0-1:0", "1h C(A) 0-1"], 31, ["rest 1m of A beside B"]],
    ["a block of which rows have all goes as it is", ALL, 31, []],
    ["rows come first, whatever its age", ["raw A 0-1:10"], 40, ["rows 1m of A on 0", "rows 1h of A on 0"]],
    ["rows of a minute go after theirs", ROWS_OF_A, 101, ["drop B"]],
    [
      "what was kept with them as well, for an hour's",
      ["1m+ K(A) 0-1", ...ROWS_OF_A],
      101,
      ["drop B", "rest 1h of K beside C"],
    ],
    ["rows of a minute stay where those of an hour are missing", ["1m B(A) 0-1"], 101, []],
    ["the last level goes without heirs", ["1h C(A) 0-1", "1h+ L(A) 0-1"], 1001, ["drop C L"]],
    ["not a millisecond before", ["1h C(A) 0-1", "1h+ L(A) 0-1"], 1001 - MS, []],
  ])("%s", (_, blocks, now, wanted) => {
    expect(plan(blocks, now)).toEqual(wanted);
  });

  const held = (blocks: readonly string[], now: number, retention = RETENTION): string[] =>
    [...heldByLevels(blocks.map(block), ZERO + now * DAY_MS, retention)].map(({ id }) => id);

  test("a raw block is held until every level has what it wants of it", () => {
    expect(held(["raw A 0-1"], 31)).toEqual(["A"]);
    expect(held(["raw A 0-1", "1m B(A) 0-1"], 31)).toEqual(["A"]);
    expect(held(["raw A 0-1", ...ROWS_OF_A], 31)).toEqual([]);
    expect(held(["raw A 0-1:10", ...ROWS_OF_A], 31)).toEqual(["A"]);
    expect(held(["raw A 0-1", "raw X 0-1", ...ROWS_OF_A], 31)).toEqual(["A", "X"]);
    // Nobody makes rows of it.
    expect(held(["raw A 0.5-1.5"], 40)).toEqual([]);
    const same = { raw: DAY_MS, "1m": DAY_MS, "1h": DAY_MS };
    expect(held(["raw A 0-1"], 31, same)).toEqual([]);
    expect(held(["raw A 0-1"], 2000)).toEqual([]);
  });

  test("where raw samples are kept for ever rows are made and nothing goes", () => {
    const inf = Number.POSITIVE_INFINITY;
    const forever = { raw: inf, "1m": inf, "1h": inf };
    expect(plan(["raw A 0-1"], 5000, forever)).toEqual(["rows 1m of A on 0", "rows 1h of A on 0"]);
    expect(plan(["raw A 0-1", ...ROWS_OF_A], 5000, forever)).toEqual([]);
  });
});

describe("joins", () => {
  const days = (from: number, to: number): string[] =>
    Array.from({ length: to - from }, (_, i) => `1h C${from + i}(A${from + i}) ${from + i}-${from + i + 1}`);
  const names = (from: number, to: number): string =>
    Array.from({ length: to - from }, (_, i) => `C${from + i}`).join(" ");

  test.each<[string, string[], number, string[]]>([
    ["seven blocks wait", days(0, 7), 20, []],
    ["eight are joined", days(0, 8), 20, [`join ${names(0, 8)}`]],
    ["with what was joined before", ["1h J(Z,Y) 0-8", ...days(8, 15)], 20, [`join J ${names(8, 15)}`]],
    ["never over a period's end", days(26, 34), 32 - MS, []],
    ["two of a period that is long over", days(28, 30), 32, ["join C28 C29"]],
    ["not while a day's rows are not those of its samples", ["raw X 3-3.5", ...days(0, 8)], 20, []],
    ["nor rows of a minute", days(0, 8).map((text) => text.replace("1h", "1m")), 20, []],
  ])("%s", (_, blocks, now, wanted) => {
    expect(plan(blocks, now).filter((step) => !step.startsWith("rows"))).toEqual(wanted);
  });
});

test("rows answer for a day whose raw blocks, as far as there are any, they were all made of", () => {
  const blocks = ["raw A 0-1", "raw B 1-2", "raw X 1.5-2", "1h J(A,B,C) 0-3"].map(block);
  const days = rowDays(blocks).get(blocks[3]!)!;
  const sorted = (set: ReadonlySet<number>): number[] => [...set].map((ms) => (ms - ZERO) / DAY_MS).sort();
  expect(sorted(days.fresh)).toEqual([0, 2]);
  expect(sorted(days.alone)).toEqual([2]);
});

describe("blocks that a deletion hides something of", () => {
  const hiding = (text: string): LevelBlock => {
    const { entry, ...rest } = block(text);
    const tombstones = [{ deletion: "d", minMs: 0, maxMs: 1, places: "" }];
    return { ...rest, entry: { ...entry, tombstones } };
  };
  const stepsOf = (blocks: readonly LevelBlock[], nowDays: number): string[] =>
    planLevels(blocks, ZERO + nowDays * DAY_MS, RETENTION).map(textOf);

  test("get no rows, and stay past their retention until it is applied and rows are remade", () => {
    const rows = ROWS_OF_A.map(block);
    expect(stepsOf([hiding("raw A 0-1")], 2)).toEqual([]);
    expect(stepsOf([hiding("raw A 0-1"), ...rows], 40)).toEqual([]);
    const held = heldByLevels([hiding("raw A 0-1"), ...rows], ZERO + 40 * DAY_MS, RETENTION);
    expect([...held].map(({ id }) => id)).toEqual(["A"]);
    expect(heldByLevels([block("raw A 0-1"), ...rows], ZERO + 40 * DAY_MS, RETENTION).size).toBe(0);
  });

  test("leave nothing to a coarser level, and are joined with nothing, before", () => {
    const kept = ["1m+ K(A) 0-1", "1h C(A) 0-1"] as const;
    expect(stepsOf(kept.map(block), 200)).toEqual(["rest 1h of K beside C"]);
    expect(stepsOf([hiding(kept[0]), block(kept[1])], 200)).toEqual([]);
    const hours = Array.from({ length: 8 }, (_, i) => `1h H${i}(R${i}) ${i}-${i + 1}`);
    expect(stepsOf(hours.map(block), 40)).toEqual([`join ${hours.map((_, i) => `H${i}`).join(" ")}`]);
    const others = hours.slice(1).map(block);
    expect(stepsOf([hiding(hours[0]!), ...others], 10)).toEqual([]);
    expect(stepsOf([hiding(hours[0]!), ...others], 40)).toEqual(["join H1 H2 H3 H4 H5 H6 H7"]);
  });
});
