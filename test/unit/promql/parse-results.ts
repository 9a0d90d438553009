// test/unit/promql/parse-results.ts: what a parse answered, in a form that tests compare.
import type { Matcher } from "../../../libs/model/index.ts";
import type { Expr } from "../../../libs/promql/ast.ts";
import { ALL_OPTIONS } from "../../../libs/promql/options.ts";
import { ParseError } from "../../../libs/promql/parse-error.ts";
import { parseExpr } from "../../../libs/promql/parser.ts";
import { printMatcher } from "../../../libs/promql/printer.ts";

/** The error of a query that must not parse. */
export function errorOf(text: string, options = ALL_OPTIONS): ParseError {
  try {
    parseExpr(text, options);
  } catch (error) {
    if (error instanceof ParseError) return error;
    throw error;
  }
  throw new Error(`${text} parses`);
}

/** A tree without its positions, and with the matchers of a selector in one order. */
export function shape(expr: Expr): unknown {
  return JSON.parse(
    JSON.stringify(expr, (key, value: unknown) => {
      if (key === "pos") return undefined;
      if (key === "matchers") return (value as Matcher[]).map(printMatcher).sort();
      // JSON has neither NaN, nor infinities, nor a negative zero.
      return typeof value === "number" ? (Object.is(value, -0) ? "-0" : String(value)) : value;
    }),
  );
}
