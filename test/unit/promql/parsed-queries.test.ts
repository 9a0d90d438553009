// test/unit/promql/parsed-queries.test.ts: trees that are kept are those of parseExpr, and bounded.
import { expect, test } from "vitest";
import { AppError } from "../../../libs/model/index.ts";
import { Engine, ParseError, parseExpr, STOCK_OPTIONS } from "../../../libs/promql/index.ts";
import { ParsedQueries, TEXTS_MAX } from "../../../libs/promql/parsed-queries.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { CORPUS_MISSING, corpusQueries, ownQueries } from "./corpus.ts";

const deepFrozen = <T>(value: T): T => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFrozen);
  }
  return value;
};

test("a text is parsed once as long as it is kept; an error each time", () => {
  const queries = new ParsedQueries(STOCK_OPTIONS);
  const first = queries.parse("sum(rate(a[5m])) / b");
  expect(first).toEqual(parseExpr("sum(rate(a[5m])) / b", STOCK_OPTIONS));
  expect(queries.parse("sum(rate(a[5m])) / b")).toBe(first);
  for (let i = 0; i < 2; i++) expect(() => queries.parse("sum(")).toThrow(ParseError);
  expect(() => queries.parse("limitk(1, a)")).toThrow(ParseError);
  expect(queries.size).toBe(1);
});

test("the least recently used go; long texts are not kept", () => {
  const queries = new ParsedQueries();
  const text = (i: number): string => `a_${i}{b="${"x".repeat(1000)}"}`;
  const first = queries.parse(text(0));
  for (let i = 1; i < 200; i++) {
    queries.parse(text(i));
    expect(queries.parse(text(0))).toBe(first);
  }
  expect(queries.size).toBe(Math.floor(TEXTS_MAX / text(1).length));
  expect(queries.parse(text(1))).toEqual(parseExpr(text(1)));
  const { size } = queries;
  queries.parse(`a{b="${"x".repeat(3000)}"}`);
  expect(queries.size).toBe(size);
});

test("evaluation does not write to a tree", async () => {
  const engine = new Engine({ now: () => 0 });
  const storage = new MemoryQueryable();
  const context = { tenant: "default", signal: new AbortController().signal, deadlineMs: 1, samplesMax: 1e6 };
  const queries = new Set([...ownQueries(), ...(CORPUS_MISSING ? [] : corpusQueries())]);
  expect(queries.size).toBeGreaterThan(300);
  let answers = 0;
  for (const query of queries) {
    try {
      const tree = deepFrozen(parseExpr(query));
      await engine.instant(storage, tree, 60_000, context);
      answers++;
    } catch (error) {
      // A write would be a TypeError.
      if (!(error instanceof AppError)) throw error;
    }
  }
  expect(answers).toBeGreaterThan(250);
});
