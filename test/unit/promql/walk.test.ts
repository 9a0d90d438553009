// test/unit/promql/walk.test.ts: visiting and rewriting trees.
import { describe, expect, test } from "vitest";
import type { Expr } from "../../../libs/promql/ast.ts";
import { parseExpr } from "../../../libs/promql/parser.ts";
import { printExpr } from "../../../libs/promql/printer.ts";
import { transform, walk } from "../../../libs/promql/walk.ts";

function order(query: string, stop: (expr: Expr) => boolean = () => false): string[] {
  const seen: string[] = [];
  walk(parseExpr(query), (expr) => {
    seen.push(printExpr(expr));
    return !stop(expr);
  });
  return seen;
}

describe("walk", () => {
  test.each([
    ["7", ["7"]],
    ["a + b * c", ["a + b * c", "a", "b * c", "b", "c"]],
    ["topk(5, a)", ["topk(5, a)", "a", "5"]],
    ["abs((-a))", ["abs((-a))", "(-a)", "-a", "a"]],
    [
      "rate(a[5m]) + max_over_time(b[1h:5m])",
      [
        "rate(a[5m]) + max_over_time(b[1h:5m])",
        "rate(a[5m])",
        "a[5m]",
        "a",
        "max_over_time(b[1h:5m])",
        "b[1h:5m]",
        "b",
      ],
    ],
  ])("visits %j from the top, left to right", (query, expected) => {
    expect(order(query)).toEqual(expected);
  });

  test("a visitor that answers false keeps the walk out of a node", () => {
    expect(order("abs(a) + b", (expr) => expr.kind === "call")).toEqual(["abs(a) + b", "abs(a)", "b"]);
  });
});

describe("transform", () => {
  /** Gives every selector and subquery without a time one, and leaves alone what is below a subquery. */
  const pin = (expr: Expr): Expr | undefined => {
    if (expr.kind === "subquery" || expr.kind === "selector") {
      return expr.at === undefined ? { ...expr, at: { kind: "time", ms: 60_000 } } : expr;
    }
    return undefined;
  };

  test.each([
    ["a", "a @ 60.000"],
    ["a @ 5", "a @ 5.000"],
    ["rate(a[5m])", "rate(a[5m] @ 60.000)"],
    ["a + b * c - (d)", "a @ 60.000 + b @ 60.000 * c @ 60.000 - (d @ 60.000)"],
    ["topk(scalar(a), b)", "topk(scalar(a @ 60.000), b @ 60.000)"],
    ["sum by (x) (-a)", "sum by (x) (-a @ 60.000)"],
    ["max_over_time(a[5m:]) ", "max_over_time(a[5m:] @ 60.000)"],
  ])("%j", (query, expected) => {
    expect(printExpr(transform(parseExpr(query), pin))).toBe(expected);
  });

  test("what is not replaced is shared", () => {
    const expr = parseExpr("abs(a) + (sum(b) - rate(c[5m]) * -1)");
    expect(transform(expr, () => undefined)).toBe(expr);
  });

  test("a chain of 100,000 operators is rewritten", () => {
    const expr = transform(parseExpr(`a${" + a".repeat(100_000)}`), pin);
    expect(printExpr(expr)).toBe(`a @ 60.000${" + a @ 60.000".repeat(100_000)}`);
  });
});
