// test/unit/promql/parser.test.ts: trees, positions, syntax errors word for word, options, and the bounds of a query.
// The error texts and positions are those of Prometheus 3.14.
import { describe, expect, test } from "vitest";
import type { Binary, Expr } from "../../../libs/promql/ast.ts";
import { ALL_OPTIONS, NESTING_MAX, QUERY_LENGTH_MAX, STOCK_OPTIONS } from "../../../libs/promql/options.ts";
import { ParseError, REASON_LENGTH_MAX } from "../../../libs/promql/parse-error.ts";
import { parseExpr, parseMetricSelector } from "../../../libs/promql/parser.ts";
import { printExpr } from "../../../libs/promql/printer.ts";
import { valueType } from "../../../libs/promql/typecheck.ts";
import { walk } from "../../../libs/promql/walk.ts";
import { errorOf } from "./parse-results.ts";

const SYNTAX_ERRORS: readonly (readonly [query: string, message: string])[] = [
  ["", "unknown position: parse error: no expression found in input"],
  ["   ", "1:1: parse error: no expression found in input"],
  ["# nothing but words\n", "1:1: parse error: no expression found in input"],
  ["1 +", "1:4: parse error: unexpected end of input"],
  ["up +", "1:5: parse error: unexpected end of input"],
  [".", "1:1: parse error: unexpected character: '.'"],
  ["3.7.", '1:1: parse error: bad number or duration syntax: "3.7."'],
  ["40..2", '1:1: parse error: bad number or duration syntax: "40.."'],
  ["0cafe!", '1:1: parse error: bad number or duration syntax: "0"'],
  ["1e", '1:1: parse error: bad number or duration syntax: "1e"'],
  ["1e+", '1:1: parse error: bad number or duration syntax: "1e+"'],
  ["0x", '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0x": invalid syntax'],
  ["1__0", '1:1: parse error: bad number or duration syntax: "1__"'],
  ["1_", '1:1: parse error: bad number or duration syntax: "1_"'],
  ["7 /", "1:4: parse error: unexpected end of input"],
  ["* 7", "1:1: parse error: unexpected <op:*>"],
  ["(1))", "1:5: parse error: unexpected right parenthesis ')'"],
  ["((1)", "1:5: parse error: unclosed left parenthesis"],
  ["(", "1:2: parse error: unclosed left parenthesis"],
  ["up)", "1:4: parse error: unexpected right parenthesis ')'"],
  ["up]", "1:3: parse error: unexpected right bracket ']'"],
  ["up}", "1:3: parse error: unexpected character: '}'"],
  ["up{", "1:4: parse error: unexpected end of input inside braces"],
  ["up{job", "1:7: parse error: unexpected end of input inside braces"],
  ["up{job=", "1:8: parse error: unexpected end of input inside braces"],
  ["up{job='a'", "1:11: parse error: unexpected end of input inside braces"],
  ["up{job='a',", "1:12: parse error: unexpected end of input inside braces"],
  ["up{job=a}", '1:8: parse error: unexpected identifier "a" in label matching, expected string'],
  ["up{job:x='a'}", "1:7: parse error: unexpected character inside braces: ':'"],
  ["up{job>='a'}", "1:7: parse error: unexpected character inside braces: '>'"],
  ["up{7}", "1:4: parse error: unexpected character inside braces: '7'"],
  ["up{,}", '1:4: parse error: unexpected "," in label matching, expected identifier or "}"'],
  ["up{job}", '1:7: parse error: unexpected "}" in label matching, expected label matching operator'],
  ["up{job='a' zone='b'}", '1:12: parse error: unexpected identifier "zone" in label matching, expected "," or "}"'],
  ["up{job='a',,}", '1:12: parse error: unexpected "," in label matching, expected identifier or "}"'],
  ["up{job==='a'}", '1:8: parse error: unexpected "=" in label matching, expected string'],
  ["up{'job'=}", '1:10: parse error: unexpected "}" in label matching, expected string'],
  ["up{'a' 'b'}", '1:8: parse error: unexpected string "\'b\'" in label matching, expected "," or "}"'],
  ["up{{}}", "1:4: parse error: unexpected left brace '{'"],
  ["up{job!'a'}", "1:7: parse error: unexpected character after '!' inside braces: '\\''"],
  ["up{job='a\n'}", "1:8: parse error: unterminated quoted string"],
  ["2 !~ 3", "1:3: parse error: unexpected character after '!': '~'"],
  ["2 =~ 3", "1:3: parse error: unexpected character after '=': '~'"],
  ["2 = 3", '1:3: parse error: unexpected "="'],
  ["!", "1:1: parse error: unexpected character after '!': '�'"],
  ["up ! down", "1:4: parse error: unexpected character after '!': ' '"],
  ["@", "1:1: parse error: unexpected <op:@>"],
  ["@@", "1:1: parse error: unexpected <op:@>"],
  ["up @", "1:5: parse error: unexpected end of input in @, expected timestamp"],
  ["up @ x", '1:6: parse error: unexpected identifier "x" in @, expected timestamp'],
  ["up @ start", "1:11: parse error: unexpected end of input in @, expected timestamp"],
  ["up @ start(", "1:12: parse error: unclosed left parenthesis"],
  ["up @ end(5)", '1:10: parse error: unexpected number "5" in @, expected timestamp'],
  ["up @ -", "1:7: parse error: unexpected end of input in @, expected timestamp"],
  ["up @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"],
  ["up @ -Inf", "1:1: parse error: timestamp out of bounds for @ modifier: -Inf"],
  ["up @ NaN", "1:1: parse error: timestamp out of bounds for @ modifier: NaN"],
  ["up @ 1e19", "1:1: parse error: timestamp out of bounds for @ modifier: 10000000000000000000.000000"],
  ["up @ 5 @ 6", "1:1: parse error: @ <timestamp> may not be set multiple times"],
  ["up @ start() @ 6", "1:1: parse error: @ <timestamp> may not be set multiple times"],
  [
    "2 @ 5",
    "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
  ],
  [
    "(up) @ 5",
    "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
  ],
  [
    "rate(up[5m]) @ 5",
    "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
  ],
  ["up offset", "1:10: parse error: unexpected end of input in offset, expected number, duration, step(), or range()"],
  [
    "up offset x",
    '1:11: parse error: unexpected identifier "x" in offset, expected number, duration, step(), or range()',
  ],
  ["up offset 1h offset 2h", "1:1: parse error: offset may not be set multiple times"],
  [
    "9 offset 5m",
    "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
  ],
  [
    "sum(up) offset 5m",
    "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
  ],
  ["up offset 1d5", '1:11: parse error: bad number or duration syntax: "1d5"'],
  ["up offset 3mm", '1:11: parse error: bad number or duration syntax: "3mm"'],
  ["up offset -(", "1:13: parse error: unclosed left parenthesis"],
  ["up offset (5m", "1:14: parse error: unclosed left parenthesis"],
  ["up offset (5m]", "1:14: parse error: unexpected right bracket ']'"],
  [
    "up offset min_of(5m)",
    '1:20: parse error: unexpected ")" in offset, expected number, duration, step(), or range()',
  ],
  ["up offset (1h/0)", "1:14: parse error: division by zero"],
  ["up offset (1h%0)", "1:14: parse error: modulo by zero"],
  ["up offset 9.9e10", "1:11: parse error: duration out of range"],
  ["up offset -9.9e10", "1:11: parse error: duration out of range"],
  ["up[", "1:4: parse error: unexpected end of input in duration expression"],
  [
    "up[]",
    '1:4: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()',
  ],
  ["up[5m", "1:6: parse error: unclosed left bracket"],
  ["up[5m:", "1:7: parse error: unclosed left bracket"],
  ["up[5m:]:", '1:8: parse error: unexpected metric identifier ":"'],
  ["up[:1m]", "1:5: parse error: unexpected colon before duration in duration expression"],
  ["up[5m::]", "1:7: parse error: unexpected colon ':'"],
  ["up[5m:1m", "1:9: parse error: unclosed left bracket"],
  ["up[5m:1m:]", "1:9: parse error: unexpected colon ':'"],
  ["up[5m 1m]", '1:7: parse error: unexpected duration "1m" in subquery or range, expected ":" or "]"'],
  ["up[x]", "1:4: parse error: unexpected character in duration expression: 'x'"],
  [
    "up[step]",
    '1:8: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()',
  ],
  [
    "up[step(]",
    '1:9: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()',
  ],
  ["up['5m']", "1:4: parse error: unexpected character in duration expression: '\\''"],
  ["up[0s]", "1:4: parse error: duration must be greater than 0"],
  ["up[-5m]", "1:4: parse error: duration must be greater than 0"],
  ["up[5m:0s]", "1:7: parse error: duration must be greater than 0"],
  ["up[5m:-1m]", "1:7: parse error: duration must be greater than 0"],
  ["up[5m1]", '1:4: parse error: bad number or duration syntax: "5m1"'],
  ["up[5mm]", '1:4: parse error: bad number or duration syntax: "5mm"'],
  ["up[1.5h]", '1:4: parse error: unknown unit "." in duration "1.5h"'],
  ["up[5m1h]", '1:4: parse error: not a valid duration string: "5m1h"'],
  ["up[1h1h]", '1:4: parse error: not a valid duration string: "1h1h"'],
  ["up[3y2hs]", '1:4: parse error: unknown unit "hs" in duration "3y2hs"'],
  ["up[1s1ms1s]", '1:4: parse error: not a valid duration string: "1s1ms1s"'],
  ["up[9.9e10]", "1:4: parse error: duration out of range"],
  ["up[300y]", "1:4: parse error: duration out of range"],
  ["up[5m/0]", "1:6: parse error: division by zero"],
  ["up[5m%0]", "1:6: parse error: modulo by zero"],
  [
    "up[max_of(5m)]",
    '1:13: parse error: unexpected ")" in subquery or range selector, expected number, duration, step(), or range()',
  ],
  ["up[5m + x]", "1:9: parse error: unexpected character: 'x', expected ':'"],
  [
    "up[(5m]",
    '1:7: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()',
  ],
  ["up[5m)]", "1:7: parse error: unexpected right parenthesis ')'"],
  ["up[5m][5m]", "1:7: parse error: ranges only allowed for vector selectors"],
  ["up[5m] [5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"],
  ["up offset 5m[5m]", "1:13: parse error: no offset modifiers allowed before range"],
  ["up @ 7 [5m]", "1:8: parse error: no @ modifiers allowed before range"],
  ["up @ end()[5m]", "1:11: parse error: no @ modifiers allowed before range"],
  ["(up)[5m]", "1:5: parse error: ranges only allowed for vector selectors"],
  ["7[5m]", "1:2: parse error: ranges only allowed for vector selectors"],
  ["sum(up)[5m] offset 1h", "1:8: parse error: ranges only allowed for vector selectors"],
  ["up[5m] anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"],
  ["up smoothed anchored", "1:1: parse error: anchored and smoothed modifiers cannot be used together"],
  ["up[5m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"],
  ["up[5m:1m] smoothed", "1:1: parse error: smoothed modifier is not supported for subqueries"],
  ["7 anchored", "1:1: parse error: anchored modifier not implemented"],
  ["(up) smoothed", "1:1: parse error: smoothed modifier not implemented"],
  ["sum(", "1:5: parse error: unclosed left parenthesis"],
  ["sum()", "1:1: parse error: no arguments for aggregate expression provided"],
  ["sum(up", "1:7: parse error: unclosed left parenthesis"],
  ["sum(up,", "1:8: parse error: unclosed left parenthesis"],
  ["sum(up,)", "1:7: parse error: trailing commas not allowed in function call args"],
  ["sum(up, down)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2"],
  ["sum(up) by", '1:11: parse error: unexpected end of input in grouping opts, expected "("'],
  ["sum(up) by job", '1:12: parse error: unexpected identifier "job" in grouping opts, expected "("'],
  ["sum(up) by (job", "1:16: parse error: unclosed left parenthesis"],
  ["sum(up) by (job zone)", '1:17: parse error: unexpected identifier "zone" in grouping opts, expected "," or ")"'],
  ["sum(up) by (,)", '1:13: parse error: unexpected "," in grouping opts, expected label'],
  ["sum(up) by (job,,zone)", '1:17: parse error: unexpected "," in grouping opts, expected label'],
  ["sum(up) by (7)", '1:13: parse error: unexpected number "7" in grouping opts, expected label'],
  ["sum(up) by (==)", "1:13: parse error: unexpected <op:==> in grouping opts, expected label"],
  ["sum(up) by ('')", '1:13: parse error: invalid label name for grouping: ""'],
  ['sum(up) by ("\\xff")', '1:13: parse error: invalid label name for grouping: "\\xff"'],
  ["sum(up) by (without)", "1:13: parse error: unexpected <without> in grouping opts, expected label"],
  ["sum(up) by (job) by (zone)", "1:18: parse error: unexpected <by>"],
  ["sum by (job) (up) by (job)", "1:19: parse error: unexpected <by>"],
  ["sum by (job)", "1:13: parse error: unexpected end of input in aggregation"],
  ["sum by (job) up", '1:14: parse error: unexpected identifier "up" in aggregation'],
  ["sum without up", '1:13: parse error: unexpected identifier "up" in grouping opts, expected "("'],
  ["sum job (up)", '1:5: parse error: unexpected identifier "job"'],
  ["sum (up) job", '1:10: parse error: unexpected identifier "job"'],
  ["sum(sum(up) down)", '1:13: parse error: unexpected identifier "down" in aggregation'],
  ["topk(up)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"],
  ["topk(5)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"],
  [
    "topk(5, up, down)",
    "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 3",
  ],
  ["topk(5,)", "1:7: parse error: trailing commas not allowed in function call args"],
  [
    "count_values('v')",
    "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
  ],
  ["quantile()", "1:1: parse error: no arguments for aggregate expression provided"],
  ["abs(", "1:5: parse error: unclosed left parenthesis"],
  ["abs(up", "1:7: parse error: unclosed left parenthesis"],
  ["abs(up down)", '1:8: parse error: unexpected identifier "down"'],
  ["abs(up,)", "1:7: parse error: trailing commas not allowed in function call args"],
  ["abs(,up)", '1:5: parse error: unexpected ","'],
  ["abs(up,*)", "1:7: parse error: trailing commas not allowed in function call args"],
  ["abs up", '1:5: parse error: unexpected identifier "up"'],
  ["nosuch()", '1:1: parse error: unknown function with name "nosuch"'],
  ["nosuch(up", "1:10: parse error: unclosed left parenthesis"],
  ["Abs(up)", '1:1: parse error: unknown function with name "Abs"'],
  ["ABS(up)", '1:1: parse error: unknown function with name "ABS"'],
  ["a:b(up)", '1:4: parse error: unexpected "("'],
  ["START()", '1:1: parse error: unknown function with name "START"'],
  ["rate(up[5m]", "1:12: parse error: unclosed left parenthesis"],
  ["up + on job down", '1:9: parse error: unexpected identifier "job" in grouping opts, expected "("'],
  ["up + on(job) group_left", '1:24: parse error: unexpected end of input in grouping opts, expected "("'],
  ["up + on(job) group_left )", "1:26: parse error: unexpected right parenthesis ')'"],
  ["up + group_left(job) down", "1:6: parse error: unexpected <group_left>"],
  ["up + group_right() down", "1:6: parse error: unexpected <group_right>"],
  ["up + on(a) ignoring(b) down", "1:12: parse error: unexpected <ignoring>"],
  ["up + on(a) on(b) down", "1:12: parse error: unexpected <on>"],
  ["up + bool bool down", "1:11: parse error: unexpected <bool>"],
  ["up + bool", "1:10: parse error: unexpected end of input"],
  ["up + on(a", "1:10: parse error: unclosed left parenthesis"],
  ["up + on(a) +", "1:13: parse error: unexpected end of input"],
  ["up + fill() down", '1:11: parse error: unexpected ")"'],
  ["up + fill(x) down", '1:11: parse error: unexpected identifier "x"'],
  ["up + fill(1", "1:12: parse error: unclosed left parenthesis"],
  ["up + fill(1) fill_left(2) down", '1:23: parse error: unexpected "("'],
  ["up + fill_left(1) fill_left(2) down", '1:28: parse error: unexpected "("'],
  ["up + fill(-) down", '1:12: parse error: unexpected ")"'],
  ["fill(1)", '1:5: parse error: unexpected "("'],
  ["up fill(1) down", "1:4: parse error: unexpected <fill>"],
  ["bool", "1:1: parse error: unexpected <bool>"],
  ["on", "1:1: parse error: unexpected <on>"],
  ["ignoring", "1:1: parse error: unexpected <ignoring>"],
  ["group_left", "1:1: parse error: unexpected <group_left>"],
  ["atan2", "1:1: parse error: unexpected <op:atan2>"],
  ["atan2 + 1", "1:1: parse error: unexpected <op:atan2>"],
  ["by(job)", '1:3: parse error: unexpected "("'],
  ["up down", '1:4: parse error: unexpected identifier "down"'],
  ["up 5m", '1:4: parse error: unexpected duration "5m"'],
  ["7 7", '1:3: parse error: unexpected number "7"'],
  ["'a' 'b'", "1:5: parse error: unexpected string \"'b'\""],
  ["up 'a'", "1:4: parse error: unexpected string \"'a'\""],
  ['"open', "1:1: parse error: unterminated quoted string"],
  ["'open", "1:1: parse error: unterminated quoted string"],
  ["`open", "1:1: parse error: unterminated raw string"],
  ['"a\nb"', "1:1: parse error: unterminated quoted string"],
  ['"\\', "1:1: parse error: escape sequence not terminated"],
  ['"\\q"', "1:1: parse error: unknown escape sequence U+0071 'q'"],
  ['"\\x1"', "1:1: parse error: illegal character U+0022 '\"' in escape sequence"],
  ['"\\xzz"', "1:1: parse error: illegal character U+007A 'z' in escape sequence"],
  ['"\\u12"', "1:1: parse error: illegal character U+0022 '\"' in escape sequence"],
  ['"\\400"', "1:1: parse error: escape sequence is an invalid Unicode code point"],
  ['"\\ud800"', "1:1: parse error: escape sequence is an invalid Unicode code point"],
  ['"\\U00110000"', "1:1: parse error: escape sequence is an invalid Unicode code point"],
  ['"\\\'"', "1:1: parse error: unknown escape sequence U+0027 '''"],
  ["é", "1:1: parse error: unexpected character: 'é'"],
  ["ünter + 1", "1:1: parse error: unexpected character: 'ü'"],
  ["up + é", "1:6: parse error: unexpected character: 'é'"],
  ['"é" é', "1:6: parse error: unexpected character: 'é'"],
  ["up{é='a'}", "1:4: parse error: unexpected character inside braces: 'é'"],
  ["up{job='é' é}", "1:13: parse error: unexpected character inside braces: 'é'"],
  ["up\n  + down\n  + )", "3:6: parse error: unexpected right parenthesis ')'"],
  ["up # note\n  *\n  / down", "3:3: parse error: unexpected <op:/>"],
  ['"€"\n€', "2:1: parse error: unexpected character: '€'"],
  ["-=", '1:2: parse error: unexpected "="'],
  ["++-+-<", "1:6: parse error: unexpected <op:<>"],
  ["e-+=/(0)", '1:4: parse error: unexpected "="'],
  ["a>b()", '1:3: parse error: unknown function with name "b"'],
  ["up;", "1:3: parse error: unexpected character: ';'"],
  ["up $ down", "1:4: parse error: unexpected character: '$'"],
  ["up & down", "1:4: parse error: unexpected character: '&'"],
  ["up \\ down", "1:4: parse error: unexpected character: '\\\\'"],
  ["\u0007", "1:1: parse error: unexpected character: '\\a'"],
  ["up{job=~'('}", "1:4: parse error: error parsing regexp: missing closing ): `(`"],
  ["up{job!~'*'}", "1:4: parse error: error parsing regexp: missing argument to repetition operator: `*`"],
  ["up{'a.b'=~'['}", "1:4: parse error: error parsing regexp: missing closing ]: `[`"],
  ["up{job=~'a{2,1}'}", "1:4: parse error: error parsing regexp: invalid repeat count: `{2,1}`"],
  ["up{job=~'(?z)'}", "1:4: parse error: error parsing regexp: invalid or unsupported Perl syntax: `(?z`"],
  ["99999999999999999999d", '1:1: parse error: not a valid duration string: "99999999999999999999d"'],
  ["300y", "1:1: parse error: duration out of range"],
  ["1e999", '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "1e999": value out of range'],
  [
    "0xfffffffffffffffff",
    '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0xfffffffffffffffff": invalid syntax',
  ],
  ["up offset 5m offset 0s", "1:1: parse error: offset may not be set multiple times"],
];

describe("syntax errors", () => {
  test.each(SYNTAX_ERRORS)("%j", (query, message) => {
    const error = errorOf(query);
    expect(error.message).toBe(message);
    expect(error.reaction).toBe("invalid");
    const length = Buffer.byteLength(query);
    expect(error.pos.start).toBeGreaterThanOrEqual(0);
    expect(error.pos.start).toBeLessThanOrEqual(error.pos.end);
    expect(error.pos.end).toBeLessThanOrEqual(length);
  });

  test("a character that is no UTF-8 is refused where it stands in a string", () => {
    for (const query of ['up{job="\uFFFD"}', "up{job=`\uD800`}"]) {
      expect(errorOf(query).message).toBe("1:8: parse error: invalid UTF-8 rune");
    }
  });

  test("a reason that quotes the query is cut", () => {
    const { message } = errorOf(`0x${"f".repeat(QUERY_LENGTH_MAX - 2)}`);
    expect(message.startsWith("1:1: parse error: error parsing number: strconv.ParseFloat: parsing")).toBe(true);
    expect(message.length).toBeLessThan(REASON_LENGTH_MAX + 40);
  });
});

const OPTION_ERRORS: readonly (readonly [query: string, message: string])[] = [
  ["mad_over_time(up[5m])", '1:1: parse error: function "mad_over_time" is not enabled'],
  ["1 + step()", '1:5: parse error: function "step" is not enabled'],
  ["min_of(1, 2)", '1:1: parse error: function "min_of" is not enabled'],
  ["info(up)", '1:1: parse error: function "info" is not enabled'],
  [
    "limitk(1, up)",
    "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
  ],
  ["rate(up[5m] anchored)", "1:6: parse error: anchored modifier is experimental and not enabled"],
  ["up smoothed", "1:1: parse error: smoothed modifier is experimental and not enabled"],
  ["a + (b + fill(1) c)", "1:6: parse error: binop fill modifiers are experimental and not enabled"],
  ["a + fill_left(1) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"],
];

describe("options", () => {
  test.each(OPTION_ERRORS)("%j is refused by stock options and accepted by all", (query, message) => {
    expect(errorOf(query, STOCK_OPTIONS).message).toBe(message);
    expect(() => parseExpr(query)).not.toThrow();
  });

  test.each([
    ["up[5m*2]", "1:4: parse error: experimental duration expression is not enabled"],
    ["up[(5m)]", "1:5: parse error: experimental duration expression is not enabled"],
    ["up offset step()", "1:11: parse error: experimental duration expression is not enabled"],
    ["up[5m:range()]", "1:7: parse error: experimental duration expression is not enabled"],
  ])("%j needs duration expressions", (query, message) => {
    expect(errorOf(query, { ...ALL_OPTIONS, durationExpressions: false }).message).toBe(message);
    expect(() => parseExpr(query, STOCK_OPTIONS)).not.toThrow();
  });

  test("without duration expressions a signed literal is still a duration", () => {
    expect(() => parseExpr("up offset -5m", { ...ALL_OPTIONS, durationExpressions: false })).not.toThrow();
  });
});

/** The positions of all nodes, as the parts of the text they cover. */
function parts(text: string): string[] {
  const bytes = Buffer.from(text);
  const out: string[] = [];
  walk(parseExpr(text), ({ kind, pos }) => out.push(`${kind} ${bytes.subarray(pos.start, pos.end)}`));
  return out;
}

describe("positions", () => {
  test.each([
    ["1 + -2", ["binary 1 + -2", "number 1", "number -2"]],
    ["(a) * -b", ["binary (a) * -b", "paren (a)", "selector a", "unary -b", "selector b"]],
    ["a{b='c'} offset 5m @ 3", ["selector a{b='c'} offset 5m @ 3"]],
    ["a[5m] @ start() + 'é'[1m:]", undefined],
    ["a[5m] offset -1h", ["matrix a[5m] offset -1h", "selector a"]],
    ["a offset (1m + 2m) [5m:]", ["subquery a offset (1m + 2m) [5m:]", "selector a offset (1m + 2m)"]],
    ["a[5m:1m] @ end()", ["subquery a[5m:1m] @ end()", "selector a"]],
    ["sum(a) by (b) + 1", ["binary sum(a) by (b) + 1", "aggregate sum(a) by (b)", "selector a", "number 1"]],
    ["(sum(a) )", ["paren (sum(a) )", "aggregate sum(a)", "selector a"]],
    ["topk(1, a)", ["aggregate topk(1, a)", "selector a", "number 1"]],
    ["abs(a{é='ü'})", undefined],
    ["abs({'é'='ü'}) + b", ["binary abs({'é'='ü'}) + b", "call abs({'é'='ü'})", "selector {'é'='ü'}", "selector b"]],
    ["{'é'}\n  + c # d", ["binary {'é'}\n  + c", "selector {'é'}", "selector c"]],
  ])("%j", (text, expected) => {
    if (expected === undefined) expect(errorOf(text)).toBeInstanceOf(ParseError);
    else expect(parts(text)).toEqual(expected);
  });
});

describe("trees", () => {
  test("a selector keeps its matchers in order, the one for its name last", () => {
    const pos = { start: 0, end: 34 };
    expect(parseExpr("up{job='a', zone!='b'} offset 5m  ")).toEqual({
      kind: "selector",
      pos: { ...pos, end: 32 },
      name: "up",
      matchers: [
        { type: "=", name: "job", value: "a" },
        { type: "!=", name: "zone", value: "b" },
        { type: "=", name: "__name__", value: "up" },
      ],
      offset: { ms: 300_000 },
      anchored: false,
      smoothed: false,
    });
  });

  test("a quoted name inside the braces is only a matcher", () => {
    const expr = parseExpr("{'my.metric', a='b'}");
    expect(expr).toMatchObject({ name: "", matchers: [{ name: "__name__", value: "my.metric" }, { name: "a" }] });
  });

  test.each([
    ["a[90]", { range: { ms: 90_000 } }],
    ["a[0.5]", { range: { ms: 500 } }],
    ["a[5m] offset 1.5", { selector: { offset: { ms: 1500 } } }],
    ["a @ -1.0005", { at: { kind: "time", ms: -1001 } }],
    ["a @ start()", { at: { kind: "start" } }],
    ["a[1h:5m] offset -1d", { range: { ms: 3_600_000 }, step: { ms: 300_000 }, offset: { ms: -86_400_000 } }],
    ["a[5m*2]", { range: { ms: Number.NaN, expr: { kind: "binary", op: "*" } } }],
    ["a offset step()", { offset: { ms: Number.NaN, expr: { kind: "call", func: "step" } } }],
    ["a[0.0005]", { range: { ms: 0, expr: { kind: "number", value: 0.0005 } } }],
    ["a + on(b) group_left(c) d", { matching: { card: "many-to-one", on: true, labels: ["b"], include: ["c"] } }],
    ["a and b", { matching: { card: "many-to-many", on: false, labels: [], include: [] } }],
    ["a + fill(2) b", { matching: { fillLeft: 2, fillRight: 2 } }],
    ["sum without (a) (b)", { op: "sum", without: true, grouping: ["a"] }],
    ["QUANTILE(0.5, a)", { op: "quantile", param: { value: 0.5 } }],
    ["-5m", { kind: "number", value: -300, duration: true }],
    ['"\\xff"', { kind: "string", value: "\udcff" }],
  ])("%j", (text, expected) => {
    expect(parseExpr(text)).toMatchObject(expected);
  });

  test.each(["a + 1", "1 + a", "1 == bool 2", "a > 5"])("%j has no matching: one side is a scalar", (text) => {
    expect(parseExpr(text)).not.toHaveProperty("matching");
  });
});

describe("bounds", () => {
  const nested = (depth: number) => `${"(".repeat(depth)}a${")".repeat(depth)}`;
  const tooDeep = (column: number) =>
    `1:${column}: parse error: cannot parse expression: got more than ${NESTING_MAX} nested levels; want at most ${NESTING_MAX}`;

  test.each([
    ["parentheses", nested(10_000), NESTING_MAX + 1],
    ["unclosed parentheses", "(".repeat(10_000), NESTING_MAX + 1],
    ["signs", `${"-".repeat(10_000)}a`, NESTING_MAX + 1],
    ["calls", `${"abs(".repeat(10_000)}a`, 4 * NESTING_MAX + 1],
    ["aggregations", `${"sum(".repeat(10_000)}a`, 4 * NESTING_MAX + 1],
    ["powers", "2^".repeat(10_000) + 2, 2 * NESTING_MAX + 1],
    ["right operands", "1+(".repeat(10_000), (3 * NESTING_MAX) / 2 + 1],
    ["duration parentheses", `a[${"(".repeat(10_000)}`, NESTING_MAX + 2],
    ["duration signs", `a offset ${"-".repeat(10_000)}5m`, NESTING_MAX + 10],
  ])("10,000 nested %s are refused", (_, query, column) => {
    expect(errorOf(query).message).toBe(tooDeep(column));
  });

  test("everything up to the limit parses and prints", () => {
    const query = nested(NESTING_MAX - 1);
    expect(printExpr(parseExpr(query))).toBe(query);
  });

  test("a chain of subqueries of any length is one error", () => {
    const query = `a${"[1m:]".repeat(100_000)}`;
    expect(errorOf(query).message).toBe(
      "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
    );
  });

  test("arithmetic in a duration is bounded", () => {
    expect(errorOf(`a[1m${"+1m".repeat(NESTING_MAX + 1)}]`).message).toContain("cannot parse duration: got more than");
  });

  test.each([
    ["1+1+…", "1", "+1", "scalar"],
    ["a + a + …", "a", " + a", "vector"],
    ["a or b or …", "a", " or b", "vector"],
    ["a + b * c + …", "a", " + b * c", "vector"],
  ])("50,000 terms of %s parse, print, walk and have a type", (_, first, term, type) => {
    const expr = parseExpr(first + term.repeat(50_000));
    expect(valueType(expr)).toBe(type);
    let nodes = 0;
    walk(expr, () => {
      nodes++;
    });
    expect(nodes).toBeGreaterThan(100_000);
    expect(printExpr(parseExpr(printExpr(expr)))).toBe(printExpr(expr));
  });

  test("the type of every part of a long chain is found in linear time", () => {
    let expr: Expr = parseExpr(`a${" + 1".repeat(100_000)}`);
    let vectors = 0;
    while (expr.kind === "binary") {
      if (valueType(expr) === "vector") vectors++;
      expr = (expr as Binary).left;
    }
    expect(vectors).toBe(100_000);
  });

  test("time grows linearly up to the longest query", () => {
    const shapes = [
      (n: number) => `1${"+1".repeat(n / 2 - 1)}`,
      (n: number) => `{${'a="é",'.repeat(n / 7 - 1)}}`,
      (n: number) => `{${'a=~"x.*y",'.repeat(n / 11 - 1)}}`,
      (n: number) => `"${"\\n".repeat(n / 2 - 1)}"`,
      (n: number) => `sum by (${"a,".repeat(n / 2 - 8)}a)(b)`,
      (n: number) => `label_join(a${',"b"'.repeat(n / 4 - 4)})`,
    ];
    for (const shape of shapes) {
      const query = shape(QUERY_LENGTH_MAX);
      const start = performance.now();
      parseExpr(query);
      // Quadratic time would take minutes.
      expect(performance.now() - start).toBeLessThan(10_000);
    }
  });

  test("a query of the greatest length parses, a longer one does not", () => {
    const query = `"${"é".repeat(QUERY_LENGTH_MAX / 2 - 1)}"`;
    expect(parseExpr(query).kind).toBe("string");
    expect(errorOf(`${query} `).message).toBe(
      `1:1: parse error: cannot parse query: got ${QUERY_LENGTH_MAX + 1} bytes; want at most ${QUERY_LENGTH_MAX}`,
    );
  });

  test("the regular expressions of a query are bounded in sum, repeated ones count once", () => {
    const distinct = (count: number) => Array.from({ length: count }, (_, i) => `a=~"${i}x.*${"y".repeat(90)}"`).join();
    expect(errorOf(`{${distinct(1000)}}`).message).toContain("characters of regular expressions");
    expect(() => parseExpr(`{${distinct(100)},${distinct(100)}}`)).not.toThrow();
  });
});

describe("parseMetricSelector", () => {
  test.each(["up", "up{job='a'}", "{job=~'a.*'}", "sum", "{}"])("%j", (text) => {
    expect(parseMetricSelector(text)).toMatchObject({ kind: "selector" });
  });

  test.each([
    ["", "unknown position: parse error: unexpected end of input"],
    ["up[5m]", '1:3: parse error: unexpected "["'],
    ["up offset 5m", "1:4: parse error: unexpected <offset>"],
    ["sum(up)", '1:4: parse error: unexpected "("'],
    ["7", '1:1: parse error: unexpected number "7"'],
    ["up{job=~'('}", "1:4: parse error: error parsing regexp: missing closing ): `(`"],
  ])("%j is refused", (text, message) => {
    expect(() => parseMetricSelector(text)).toThrow(message);
  });
});
