// test/unit/promql/lexer.test.ts: query text to tokens: kinds, borders, modes, and byte offsets.
// What the lexer refuses is tested word for word in parser.test.ts.
import { describe, expect, test } from "vitest";
import { Lexer } from "../../../libs/promql/lexer.ts";
import { describeToken, KEYWORDS, type Token } from "../../../libs/promql/tokens.ts";

function lex(text: string): Token[] {
  const lexer = new Lexer(text);
  const tokens: Token[] = [];
  for (let token = lexer.next(); token.type !== "end of input"; token = lexer.next()) tokens.push(token);
  return tokens;
}

const KINDS: readonly (readonly [text: string, types: string])[] = [
  ["", ""],
  [" \t\r\n ", ""],
  ["# only words", ""],
  [", ( ) = ==", ", ( ) = =="],
  ["+ - * / % ^ != < <= > >= </ >/ @", "+ - * / % ^ != < <= > >= </ >/ @"],
  ["a+b", "identifier + identifier"],
  ["a_1:b c", "metric identifier identifier"],
  [":a : a:", "metric identifier metric identifier metric identifier"],
  ["1 .5 5. 1e3 0x1F 1_0 5m 1h30m 7ms", "number number number number number number duration duration duration"],
  ["1e-3 1E+3", "number number"],
  ["inf NaN INF infs", "number number number identifier"],
  ["'a' \"b\" `c`", "string string string"],
  ["'\\'' \"\\\"\" `\\`", "string string string"],
  ["'#' # '", "string"],
  ["by BY By bys", "by by by identifier"],
  ["sum TopK count_values", "sum topk count_values"],
  ["and or unless atan2 bool on", "and or unless atan2 bool on"],
  ["start end step range min_of max_of", "start end step range min_of max_of"],
  ["fill fill() fill_left () fill_right\n()", "identifier fill ( ) fill_left ( ) fill_right ( )"],
  ["{sum=by}", "{ identifier = identifier }"],
  ["{a!='b',c=~'d',e!~`f`}", "{ identifier != string , identifier =~ string , identifier !~ string }"],
  ["{ # x }\n}", "{ }"],
  ["{}[5m]", "{ } [ duration ]"],
  ["[5m:1m]", "[ duration : duration ]"],
  ["[5m:]", "[ duration : ]"],
  ["[step()]", "[ step ( ) ]"],
  ["[ 5m ]", "[ duration ]"],
  ["[STEP()*2]", "[ step ( ) * number ]"],
  ["[min_of(1m,2m)]", "[ min_of ( duration , duration ) ]"],
  ["[-(1+2)/3%4^5]", "[ - ( number + number ) / number % number ^ number ]"],
  ["[5m]sum", "[ duration ] sum"],
  ["a@1", "identifier @ number"],
  ["a<b<=c</d", "identifier < identifier <= identifier </ identifier"],
  ["a>/b", "identifier >/ identifier"],
];

describe("kinds", () => {
  test.each(KINDS)("%j", (text, types) => {
    expect(
      lex(text)
        .map((token) => token.type)
        .join(" "),
    ).toBe(types);
  });

  test.each([...KEYWORDS])("keyword %s in any case", (word, type) => {
    const call = word.startsWith("fill") ? "()" : "";
    for (const written of [word, word.toUpperCase()]) expect(lex(written + call)[0]!.type).toBe(type);
  });
});

describe("borders", () => {
  test.each([
    ["up{job='a'}[5m] # x", ["up", "{", "job", "=", "'a'", "}", "[", "5m", "]"]],
    ['"a\\"b"c', ['"a\\"b"', "c"]],
    ["1-1", ["1", "-", "1"]],
    ["1e3-1", ["1e3", "-", "1"]],
    ["0xe-1", ["0xe", "-", "1"]],
    // Behind a first digit an "e" begins an exponent even in hexadecimal, as in Prometheus; the parser refuses it.
    ["0x1e-1", ["0x1e-1"]],
    ["5m-1m", ["5m", "-", "1m"]],
  ])("%j", (text, parts) => {
    expect(lex(text).map(({ start, end }) => text.slice(start, end))).toEqual(parts);
  });

  test("the end is reported again and again", () => {
    const lexer = new Lexer("a");
    lexer.next();
    for (let i = 0; i < 3; i++) expect(lexer.next()).toEqual({ type: "end of input", start: 1, end: 1 });
  });
});

describe("byte offsets", () => {
  test.each(["", "abc", "é", "aéb€c😀d", "😀😀", "\uD800a", "a\uDC00", "\uD800\uD800\uDC00"])("%j", (text) => {
    const lexer = new Lexer(text);
    for (let i = 0; i <= text.length; i++) {
      // Inside a surrogate pair the offset is that of the whole character.
      const inside = /[\uD800-\uDBFF]$/.test(text.slice(0, i)) && /^[\uDC00-\uDFFF]/.test(text.slice(i));
      expect(lexer.byteOffset(i)).toBe(Buffer.byteLength(text.slice(0, inside ? i - 1 : i)));
    }
  });
});

describe("how messages name tokens", () => {
  test.each([
    ["up", 'identifier "up"'],
    ["a:b", 'metric identifier "a:b"'],
    ["by", "<by>"],
    ["BY", "<BY>"],
    ["sum", "<aggr:sum>"],
    ["and", "<op:and>"],
    ["+", "<op:+>"],
    ["=", '"="'],
    [",", '","'],
    ["start", '"start"'],
    ["7", 'number "7"'],
    ["5m", 'duration "5m"'],
    ["'a'", `string "'a'"`],
    ['"a"', 'string "\\"a\\""'],
    ["12345678901", 'number "1234567890"...'],
    ["'éééééééééé'", `string "'ééééééééé"...`],
    ["", "end of input"],
  ])("%j is %s", (text, name) => {
    expect(describeToken(new Lexer(text).next(), text)).toBe(name);
  });
});
