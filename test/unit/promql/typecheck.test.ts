// test/unit/promql/typecheck.test.ts: the semantic checks word for word, and the types of expressions.
// The error texts and positions are those of Prometheus 3.14.
import { describe, expect, test } from "vitest";
import { parseExpr } from "../../../libs/promql/parser.ts";
import { SIGNATURES } from "../../../libs/promql/signatures.ts";
import { documentedType, valueType } from "../../../libs/promql/typecheck.ts";
import { errorOf } from "./parse-results.ts";

const SEMANTIC_ERRORS: readonly (readonly [query: string, message: string])[] = [
  ["7 and 7", '1:1: parse error: set operator "and" not allowed in binary scalar expression'],
  ["7 or up", '1:1: parse error: set operator "or" not allowed in binary scalar expression'],
  ["up unless 7", '1:1: parse error: set operator "unless" not allowed in binary scalar expression'],
  ["7 == 7", "1:3: parse error: comparisons between scalars must use BOOL modifier"],
  ["7 >= 7", "1:3: parse error: comparisons between scalars must use BOOL modifier"],
  ["up + bool down", "1:4: parse error: bool modifier can only be used on comparison operators"],
  ["up and bool down", "1:4: parse error: bool modifier can only be used on comparison operators"],
  ["up </ bool 5", "1:4: parse error: bool modifier can only be used on comparison operators"],
  ["7 + bool 7", "1:3: parse error: bool modifier can only be used on comparison operators"],
  ["up and on(a) group_left(b) down", '1:1: parse error: no grouping allowed for "and" operation'],
  ["up or on(a) group_right(b) down", '1:1: parse error: no grouping allowed for "or" operation'],
  ["up unless ignoring(a) group_left() down", '1:1: parse error: no grouping allowed for "unless" operation'],
  ["up + on(a) group_left(a) down", '1:4: parse error: label "a" must not occur in ON and GROUP clause at once'],
  ["up + on(a,b) group_right(c,b) down", '1:4: parse error: label "b" must not occur in ON and GROUP clause at once'],
  ["up == on(a) 7", "1:1: parse error: vector matching only allowed between instant vectors"],
  ["7 + ignoring(a) up", "1:1: parse error: vector matching only allowed between instant vectors"],
  ["7 or on(a) up", "1:1: parse error: vector matching only allowed between instant vectors"],
  ["up + fill(1) 7", "1:1: parse error: filling in missing series only allowed between instant vectors"],
  ["7 + fill_left(1) up", "1:1: parse error: filling in missing series only allowed between instant vectors"],
  ["up and fill(1) down", "1:1: parse error: filling in missing series not allowed for set operators"],
  ["up or fill_right(1) down", "1:1: parse error: filling in missing series not allowed for set operators"],
  ["up + 'a'", "1:6: parse error: binary expression must contain only scalar and instant vector types"],
  ["'a' + up", "1:1: parse error: binary expression must contain only scalar and instant vector types"],
  ["up[5m] + up", "1:1: parse error: binary expression must contain only scalar and instant vector types"],
  ["up + up[5m]", "1:6: parse error: binary expression must contain only scalar and instant vector types"],
  ["up[5m:] > up", "1:1: parse error: binary expression must contain only scalar and instant vector types"],
  ["'a' == 'b'", "1:1: parse error: binary expression must contain only scalar and instant vector types"],
  [
    "-'a'",
    '1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string"',
  ],
  [
    "+up[5m]",
    '1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector"',
  ],
  [
    "-up[5m:1m]",
    '1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector"',
  ],
  [
    "--(up[5m])",
    '1:2: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector"',
  ],
  ["sum(7)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"],
  ["sum('a')", "1:5: parse error: expected type instant vector in aggregation expression, got string"],
  ["sum(up[5m])", "1:5: parse error: expected type instant vector in aggregation expression, got range vector"],
  [
    "avg by (a) (up[5m:])",
    "1:13: parse error: expected type instant vector in aggregation expression, got range vector",
  ],
  ["topk(up, up)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"],
  ["topk('a', up)", "1:6: parse error: expected type scalar in aggregation parameter, got string"],
  ["topk(5, 7)", "1:9: parse error: expected type instant vector in aggregation expression, got scalar"],
  ["quantile(up, up)", "1:10: parse error: expected type scalar in aggregation parameter, got instant vector"],
  ["count_values(7, up)", "1:14: parse error: expected type string in aggregation parameter, got scalar"],
  ["count_values(up, up)", "1:14: parse error: expected type string in aggregation parameter, got instant vector"],
  ["limitk('a', up)", "1:8: parse error: expected type scalar in aggregation parameter, got string"],
  ["abs()", '1:1: parse error: expected 1 argument(s) in call to "abs", got 0'],
  ["abs(up, up)", '1:1: parse error: expected 1 argument(s) in call to "abs", got 2'],
  ["abs(7)", '1:5: parse error: expected type instant vector in call to function "abs", got scalar'],
  ["abs('a')", '1:5: parse error: expected type instant vector in call to function "abs", got string'],
  ["abs(up[5m])", '1:5: parse error: expected type instant vector in call to function "abs", got range vector'],
  ["rate(up)", '1:6: parse error: expected type range vector in call to function "rate", got instant vector'],
  ["rate(7)", '1:6: parse error: expected type range vector in call to function "rate", got scalar'],
  ["rate(up[5m], 5)", '1:1: parse error: expected 1 argument(s) in call to "rate", got 2'],
  ["rate(sum(up))", '1:6: parse error: expected type range vector in call to function "rate", got instant vector'],
  ["time(up)", '1:1: parse error: expected 0 argument(s) in call to "time", got 1'],
  ["pi(7)", '1:1: parse error: expected 0 argument(s) in call to "pi", got 1'],
  ["hour(up, up)", '1:1: parse error: expected at most 1 argument(s) in call to "hour", got 2'],
  ["hour(7)", '1:6: parse error: expected type instant vector in call to function "hour", got scalar'],
  ["round()", '1:1: parse error: expected at least 1 argument(s) in call to "round", got 0'],
  ["round(up, up)", '1:11: parse error: expected type scalar in call to function "round", got instant vector'],
  ["round(up, 1, 1)", '1:1: parse error: expected at most 2 argument(s) in call to "round", got 3'],
  ["clamp(up, 1)", '1:1: parse error: expected 3 argument(s) in call to "clamp", got 2'],
  ["clamp(up, up, 1)", '1:11: parse error: expected type scalar in call to function "clamp", got instant vector'],
  ["label_replace(up, 'a', 'b', 'c')", '1:1: parse error: expected 5 argument(s) in call to "label_replace", got 4'],
  [
    "label_replace(up, 'a', 'b', 'c', 7)",
    '1:34: parse error: expected type string in call to function "label_replace", got scalar',
  ],
  ["label_join(up)", '1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 1'],
  ["label_join(up, 'a')", '1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 2'],
  [
    "label_join(up, 'a', 'b', 'c', 7)",
    '1:31: parse error: expected type string in call to function "label_join", got scalar',
  ],
  [
    "sort_by_label(7)",
    '1:15: parse error: expected type instant vector in call to function "sort_by_label", got scalar',
  ],
  ["sort_by_label(up, 7)", '1:19: parse error: expected type string in call to function "sort_by_label", got scalar'],
  [
    "histogram_quantile(up, up)",
    '1:20: parse error: expected type scalar in call to function "histogram_quantile", got instant vector',
  ],
  ["histogram_quantile(0.9)", '1:1: parse error: expected 2 argument(s) in call to "histogram_quantile", got 1'],
  [
    "histogram_quantiles(up, 'q')",
    '1:1: parse error: expected at least 3 argument(s) in call to "histogram_quantiles", got 2',
  ],
  [
    "histogram_quantiles(up, 'q', 1,1,1,1,1,1,1,1,1,1,1)",
    '1:1: parse error: expected at most 12 argument(s) in call to "histogram_quantiles", got 13',
  ],
  ["vector(up)", '1:8: parse error: expected type scalar in call to function "vector", got instant vector'],
  ["scalar(7)", '1:8: parse error: expected type instant vector in call to function "scalar", got scalar'],
  ["scalar(up[5m])", '1:8: parse error: expected type instant vector in call to function "scalar", got range vector'],
  ["absent('a')", '1:8: parse error: expected type instant vector in call to function "absent", got string'],
  [
    "quantile_over_time(up[5m], 0.5)",
    '1:20: parse error: expected type scalar in call to function "quantile_over_time", got range vector',
  ],
  ["predict_linear(up[5m])", '1:1: parse error: expected 2 argument(s) in call to "predict_linear", got 1'],
  [
    "predict_linear(up[5m], up)",
    '1:24: parse error: expected type scalar in call to function "predict_linear", got instant vector',
  ],
  ["info(up, down)", "1:10: parse error: expected label selectors only, got vector selector instead"],
  ["info(up, up{a='b'} + 1)", "1:10: parse error: expected label selectors only"],
  ["info(up, 'a')", '1:1: parse error: expected type instant vector in call to function "info", got string'],
  ["info(7, {a='b'})", '1:6: parse error: expected type instant vector in call to function "info", got scalar'],
  ["info(up, ({a='b'}))", "1:10: parse error: expected label selectors only"],
  ["info()", '1:1: parse error: expected at least 1 argument(s) in call to "info", got 0'],
  ["min_of(up, 1)", '1:8: parse error: expected type scalar in call to function "min_of", got instant vector'],
  ["max_of(1)", '1:1: parse error: expected 2 argument(s) in call to "max_of", got 1'],
  ["step(1)", '1:1: parse error: expected 0 argument(s) in call to "step", got 1'],
  ["7[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"],
  ["'a'[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got string instead"],
  ["up[5m][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"],
  ["up[5m:][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"],
  ["up[5m:][5m:][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"],
  ["(up[5m])[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"],
  ["{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{a=''}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{a=~'.*'}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{a!='b'}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{a!~'.+'}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{a='',b=~'x*'}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{''}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["{__name__=''}", "1:1: parse error: vector selector must contain at least one non-empty matcher"],
  ["sum({})", "1:5: parse error: vector selector must contain at least one non-empty matcher"],
  ["up + {}", "1:6: parse error: vector selector must contain at least one non-empty matcher"],
  ["up{__name__='down'}", '1:1: parse error: metric name must not be set twice: "up" or "down"'],
  ["up{'down'}", '1:1: parse error: metric name must not be set twice: "up" or "down"'],
  ["up{__name__!='down'}", '1:1: parse error: metric name must not be set twice: "up" or "down"'],
  ["up{__name__=~''}", '1:1: parse error: metric name must not be set twice: "up" or ""'],
  ["up == \n  bool\n 7 and 7", '1:1: parse error: set operator "and" not allowed in binary scalar expression'],
  ["(7) == (7)", "1:5: parse error: comparisons between scalars must use BOOL modifier"],
  ["up # left\n + bool # right\n down", "1:4: parse error: bool modifier can only be used on comparison operators"],
  ["'é' + bool up", "1:6: parse error: bool modifier can only be used on comparison operators"],
  ["up offset 5m + bool 7", "1:14: parse error: bool modifier can only be used on comparison operators"],
  ["up @ 5 == on(a) 7", "1:1: parse error: vector matching only allowed between instant vectors"],
  ["sum(sum(7))", "1:9: parse error: expected type instant vector in aggregation expression, got scalar"],
  ["abs(rate(up))", '1:10: parse error: expected type range vector in call to function "rate", got instant vector'],
  ["(((up + (7 and 7))))", '1:10: parse error: set operator "and" not allowed in binary scalar expression'],
  ["7 - (up[5m])", "1:5: parse error: binary expression must contain only scalar and instant vector types"],
  ["sum(up) + bool 1", "1:9: parse error: bool modifier can only be used on comparison operators"],
  ["up[5m] offset 1h + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"],
  ["rate(up[5m]) and 1", '1:1: parse error: set operator "and" not allowed in binary scalar expression'],
  ["-{}", "1:2: parse error: vector selector must contain at least one non-empty matcher"],
  ["absent({})", "1:8: parse error: vector selector must contain at least one non-empty matcher"],
  ["count_over_time({}[5m])", "1:17: parse error: vector selector must contain at least one non-empty matcher"],
  ["count_over_time({a=''}[5m:])", "1:17: parse error: vector selector must contain at least one non-empty matcher"],
  ["up{__name__=~'u.*'}", '1:1: parse error: metric name must not be set twice: "up" or "u.*"'],
];

describe("semantic errors", () => {
  test.each(SEMANTIC_ERRORS)("%j", (query, message) => {
    expect(errorOf(query).message).toBe(message);
  });

  test("a syntax error behind a semantic one is what gets reported", () => {
    expect(() => parseExpr("(7 and 7) + ")).toThrow("1:13: parse error: unexpected end of input");
  });
});

describe("types", () => {
  test.each([
    ["7", "scalar"],
    ["'a'", "string"],
    ["up", "vector"],
    ["up[5m]", "matrix"],
    ["up[5m:]", "matrix"],
    ["(up[5m])", "matrix"],
    ["-(7)", "scalar"],
    ["-up", "vector"],
    ["1 + 2 * 3", "scalar"],
    ["1 + 2 * up", "vector"],
    ["up + 1 + 1", "vector"],
    ["1 == bool 2", "scalar"],
    ["sum(up)", "vector"],
    ["time()", "scalar"],
    ["scalar(up)", "scalar"],
    ["vector(1)", "vector"],
    ["rate(up[5m])", "vector"],
    ["1 + scalar(up) ^ pi()", "scalar"],
  ])("%j is of type %s", (query, type) => {
    expect(valueType(parseExpr(query))).toBe(type);
  });

  test("types have names for people", () => {
    expect((["vector", "matrix", "scalar", "string", "none"] as const).map(documentedType)).toEqual([
      "instant vector",
      "range vector",
      "scalar",
      "string",
      "none",
    ]);
  });
});

describe("signatures", () => {
  const SAMPLE: Readonly<Record<string, string>> = { vector: "up", matrix: "up[5m]", scalar: "1", string: "'a'" };

  test("there are 90 functions, 17 of them experimental", () => {
    const all = [...SIGNATURES.values()];
    expect(all).toHaveLength(90);
    expect(all.filter((signature) => signature.experimental)).toHaveLength(17);
  });

  test.each([...SIGNATURES.values()])("$name accepts what it declares and nothing else", (signature) => {
    const { name, args, variadic } = signature;
    const call = (types: readonly string[]) => `${name}(${types.map((type) => SAMPLE[type]).join(", ")})`;
    if (name !== "info") expect(() => parseExpr(call(args))).not.toThrow();
    if (variadic !== 0) expect(() => parseExpr(call(args.slice(0, -1)))).not.toThrow();
    else expect(() => parseExpr(call([...args, "scalar"]))).toThrow(`expected ${args.length} argument(s)`);
    const most = args.length - 1 + variadic;
    const last = args.at(-1)!;
    if (variadic > 0) {
      const extended = [...args, ...Array<string>(most + 1 - args.length).fill(last)];
      expect(() => parseExpr(call(extended))).toThrow(`expected at most ${most} argument(s) in call to "${name}"`);
    }
    if (variadic < 0) expect(() => parseExpr(call([...args, last, last, last]))).not.toThrow();
    args.forEach((type, i) => {
      const wrong = args.map((t, j) => (i !== j ? t : type === "string" ? "scalar" : "string"));
      if (name !== "info") expect(() => parseExpr(call(wrong))).toThrow(`in call to function "${name}", got`);
    });
  });
});
