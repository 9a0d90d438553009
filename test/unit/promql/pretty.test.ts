// test/unit/promql/pretty.test.ts: queries over several lines as Prometheus 3.14 writes them, and the way back.
// The comparison with a real Prometheus is test/promql/language.test.ts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseExpr } from "../../../libs/promql/parser.ts";
import { PRETTY_LENGTH_MAX, prettyExpr } from "../../../libs/promql/pretty.ts";
import { Chance } from "../../promql/chance.ts";
import { QueryWriter } from "../../promql/generate.ts";
import { shape } from "./parse-results.ts";

/** A selector whose text has the given length. */
const long = (length: number, name = "m"): string => name.padEnd(length, "_");
const L = long(90);

function isQuery(text: string): boolean {
  try {
    parseExpr(text);
    return true;
  } catch {
    return false;
  }
}

const CASES: readonly (readonly [what: string, query: string, lines: readonly string[]])[] = [
  ["one line of 100 bytes", `sum(${long(95)})`, [`sum(${long(95)})`]],
  ["bytes count, not characters", `{"${"é".repeat(40)}"}`, [`{__name__="${"é".repeat(40)}"}`]],
  ["a selector is never split", long(150), [long(150)]],
  ["an aggregation", `sum(${long(96)})`, ["sum(", `  ${long(96)}`, ")"]],
  ["with labels", `sum by (a, b) (${L})`, ["sum by (a, b) (", `  ${L}`, ")"]],
  ["without labels", `sum without () (${L})`, ["sum without () (", `  ${L}`, ")"]],
  ["with a parameter", `topk(5, ${L}xxx)`, ["topk(", "  5,", `  ${L}xxx`, ")"]],
  ["a call", `clamp(${L}, 0, 10)`, ["clamp(", `  ${L},`, "  0,", "  10", ")"]],
  ["parentheses", `((${long(99)}))`, ["(", "  (", `    ${long(99)}`, "  )", ")"]],
  ["an operation", `${L} + on (a) group_left () other`, [`  ${L}`, "+ on (a) group_left ()", "  other"]],
  ["a comparison", `${L} == bool ${long(20)}`, [`  ${L}`, "== bool", `  ${long(20)}`]],
  ["a chain", `${L} + ${L} - b`, [`    ${L}`, "  +", `    ${L}`, "-", "  b"]],
  ["a part that fits stays whole", `${L} + (a + b * c)`, [`  ${L}`, "+", "  (a + b * c)"]],
  ["a sign", `-(${L}abcdefghi)`, ["-(", `  ${L}abcdefghi`, ")"]],
  ["a sign before a sum", `-sum(${L}abcdefghi)`, ["-sum(", `  ${L}abcdefghi`, ")"]],
  ["signs", `- -(${L}abcdefghi)`, ["--(", `  ${L}abcdefghi`, ")"]],
  ["a sign before a power", `-${L} ^ 123456789`, [`-${L}`, "^", "  123456789"]],
  ["a subquery", `sum(${long(96)})[1h:5m] offset 1d`, ["sum(", `  ${long(96)}`, ")[1h:5m] offset 1d"]],
  ["a short subquery, never indented", `max_over_time(a[1h:5m]) + ${L}`, ["  max_over_time(a[1h:5m])", "+", `  ${L}`]],
  [
    "a short subquery in a long call",
    `clamp(rate(a[1h:5m]), 0, scalar(${L}))`,
    ["clamp(", "  rate(a[1h:5m]),", "  0,", `  scalar(${L})`, ")"],
  ],
  ["infinity as a base", `Inf ^ ${long(96)}`, ["  Inf", "^", `  ${long(96)}`]],
];

describe("over several lines", () => {
  test.each(CASES)("%s", (_, query, lines) => {
    const text = prettyExpr(parseExpr(query));
    expect(text.split("\n")).toEqual(lines);
    expect(shape(parseExpr(text))).toEqual(shape(parseExpr(query)));
  });

  test("the way back of generated queries, and lines that stay as they are", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 6 }), (seed, count) => {
        const chance = new Chance(seed);
        const writer = new QueryWriter(chance, { modern: true, starts: true });
        const parts = Array.from({ length: count }, () => `(${writer.query().replaceAll("{T}", "7.25")})`);
        const query = parts.join(chance.pick([" + ", " * ", " ^ ", " > bool "]));
        // One in a thousand is no query: matching beside a scalar.
        fc.pre(isQuery(query));
        const tree = parseExpr(query);
        const text = prettyExpr(tree);
        expect(shape(parseExpr(text))).toEqual(shape(tree));
        expect(prettyExpr(parseExpr(text))).toBe(text);
      }),
      { numRuns: 300, seed: 100 },
    );
  });

  test("a chain too deep for its text is refused, not written", () => {
    const chain = Array.from({ length: 20_000 }, () => "a").join("+");
    expect(() => prettyExpr(parseExpr(chain))).toThrow(
      `cannot format query: got more than ${PRETTY_LENGTH_MAX} characters; want at most ${PRETTY_LENGTH_MAX}`,
    );
    const shorter = Array.from({ length: 2000 }, () => "a").join("+");
    expect(prettyExpr(parseExpr(shorter)).split("\n").length).toBeGreaterThan(3900);
  });
});
