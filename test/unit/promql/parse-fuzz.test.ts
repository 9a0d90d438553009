// test/unit/promql/parse-fuzz.test.ts: whatever the text, the parser answers a tree or a ParseError inside the text.
// Every token prefix of valid queries, queries with tokens taken out, put in and exchanged, and random texts; fixed seeds.
import { describe, expect, test } from "vitest";
import { Lexer } from "../../../libs/promql/lexer.ts";
import { ALL_OPTIONS, STOCK_OPTIONS } from "../../../libs/promql/options.ts";
import { ParseError } from "../../../libs/promql/parse-error.ts";
import { parseExpr } from "../../../libs/promql/parser.ts";
import { printExpr } from "../../../libs/promql/printer.ts";
import { parseSeriesDescription } from "../../../libs/promql/series-description.ts";
import { valueType } from "../../../libs/promql/typecheck.ts";
import { CORPUS_MISSING, corpusQueries } from "./corpus.ts";

const CASES = 100_000;

/** Queries in which every construct of the grammar occurs. */
const QUERIES: readonly string[] = [
  "sum by (job, 'a.b') (rate(http_requests_total{job=~\"api|web\", zone!='x'}[5m] offset -1h @ end())) / on (job) group_left (x) limits",
  "histogram_quantile(0.9, sum without (pod) (rate(latency_bucket[5m]))) > bool 1e-3 and ignoring (a,) up unless down or {x='',y!=''}",
  "topk(5, -a ^ 2 ^ b) % +3 * 0x1F - .5 atan2 c </ 2 >/ d == e != f < g <= h >= 010",
  "max_over_time((rate(a[5m]))[1h:step()*2] @ start() offset (1d + range())) # comment",
  "a + on (x) fill_left (-1) fill_right (2m) b - ignoring () group_right () c * fill(NaN) d",
  'label_replace(up, "dst", "$1-\\"\\x41\\u00e9", `src`, \'(.*)\') or label_join({"my.metric"}, "d", ",", "é")',
  "quantile_over_time(0.5, {__name__=~'x:.+'}[min_of(5m, -(-1h)) % 7m]) + time() - pi()",
  "count_values by () ('v', info(a anchored, {b='c'})) + delta(b[5m] smoothed) + limit_ratio(-0.5, by{offset='on'})",
  "sum(offset offset 5m) without (start, end) * scalar(and) + Inf - nan",
  "(abs((((a)))) + (b))\n\t[1m30s:]",
];

const FRAGMENTS: readonly string[] = [
  ...[
    "sum",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "fill",
    "fill_left",
    "offset",
    "@",
  ],
  ...[
    "anchored",
    "smoothed",
    "start",
    "end()",
    "step()",
    "range",
    "min_of(",
    "max_of",
    "topk",
    "limitk",
    "count_values",
  ],
  ...[
    "and",
    "or",
    "unless",
    "atan2",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "</",
    ">/",
    "=",
    "=~",
  ],
  ...["!~", "!", "(", ")", "{", "}", "[", "]", ",", ":", ".", ";", "$", "\\", "'", '"', "`", "#", "\n", " ", "\u0000"],
  ...[
    "foo",
    "a:b",
    ":",
    "_",
    "abs",
    "rate",
    "info",
    "7",
    "0x",
    "1_",
    "1e",
    "08",
    "5m",
    "0s",
    "1.5h",
    "5m1",
    "inf",
    "NaN",
  ],
  ...[
    "'x'",
    '"\\xff"',
    "`z`",
    "'\\q'",
    "é",
    "\uD800",
    "\uFFFD",
    "😀",
    "__proto__",
    "constructor",
    "toString",
    "[5m]",
    "[5m:]",
  ],
  ...["{a=~'('}", "{}", "{a='b'}", "99999999999999999999", "9.9e10", "1e999", "99999y"],
];

/** Numbers from a fixed seed (xorshift), so that a failure can be repeated. */
class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  below(bound: number): number {
    this.state ^= this.state << 13;
    this.state >>>= 0;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    this.state >>>= 0;
    return this.state % bound;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** The tokens of a valid query, with the space in front of each. */
function split(query: string): string[] {
  const lexer = new Lexer(query);
  const parts: string[] = [];
  for (let at = 0; ; ) {
    const token = lexer.next();
    parts.push(query.slice(at, token.end));
    if (token.type === "end of input") return parts;
    at = token.end;
  }
}

/** Parses; a failure has to be a ParseError whose position lies in the text. Answers whether it parsed. */
function parses(text: string, options = ALL_OPTIONS): boolean {
  try {
    const expr = parseExpr(text, options);
    valueType(expr);
    const printed = printExpr(expr);
    if (printExpr(parseExpr(printed, options)) !== printed) throw new Error(`no way back: ${printed}`);
    return true;
  } catch (error) {
    if (!(error instanceof ParseError)) throw new Error(`on ${JSON.stringify(text)}`, { cause: error });
    const { start, end } = error.pos;
    if (!(start >= 0 && start <= end && end <= Buffer.byteLength(text))) {
      throw new Error(`position ${start}:${end} outside of ${JSON.stringify(text)}`, { cause: error });
    }
    return false;
  }
}

describe("prefixes", () => {
  test("every prefix of every query, token by token and character by character", () => {
    for (const query of QUERIES) {
      expect(parses(query)).toBe(true);
      const parts = split(query);
      for (let i = 0; i <= parts.length; i++) parses(parts.slice(0, i).join(""));
      for (let i = 0; i <= query.length; i++) parses(query.slice(0, i));
    }
  });

  test("every query with one token left out", () => {
    for (const query of QUERIES) {
      const parts = split(query);
      for (let i = 0; i < parts.length; i++) parses([...parts.slice(0, i), ...parts.slice(i + 1)].join(""));
    }
  });

  test.skipIf(CORPUS_MISSING)("every token prefix of the queries of Prometheus' own test scripts", () => {
    for (const query of new Set(corpusQueries())) {
      const parts = split(query);
      for (let i = 0; i < parts.length; i++) parses(parts.slice(0, i).join(""));
    }
  });
});

/** Takes out, puts in or exchanges up to three tokens, or cuts the rest off. */
function mutate(parts: readonly string[], others: readonly (readonly string[])[], random: Random): string {
  const out = [...parts];
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(out.length + 1);
    switch (random.below(6)) {
      case 0:
        out.splice(at, 1);
        break;
      case 1:
        out.splice(at, 0, random.pick(FRAGMENTS));
        break;
      case 2:
        out.splice(at, 1, ` ${random.pick(FRAGMENTS)} `);
        break;
      case 3:
        out.splice(at, 1 + random.below(4), ...random.pick(others).slice(random.below(8), 12));
        break;
      case 4:
        out.splice(at, 0, random.pick(out.length > 0 ? out : FRAGMENTS));
        break;
      default:
        out.length = Math.min(at, out.length);
    }
  }
  return out.join("");
}

describe("mutations", () => {
  test(`${CASES} mutated queries`, () => {
    const random = new Random(0x70726f6d);
    const parts = QUERIES.map(split);
    let parsed = 0;
    for (let i = 0; i < CASES; i++) {
      const query = mutate(random.pick(parts), parts, random);
      if (parses(query, i % 4 === 0 ? STOCK_OPTIONS : ALL_OPTIONS)) parsed++;
    }
    // Were nearly all of them refused, the tree half of the parser would not be fuzzed.
    expect(parsed).toBeGreaterThan(CASES / 50);
  });

  test("20,000 texts of random fragments", () => {
    const random = new Random(0x71756572);
    for (let i = 0; i < 20_000; i++) {
      const pieces = Array.from({ length: 1 + random.below(10) }, () => random.pick(FRAGMENTS));
      parses(pieces.join(random.below(2) === 0 ? " " : ""));
    }
  });

  test("20,000 mutated series lines", () => {
    const lines = [
      "a{b='c', 'd.e'=\"f\"} 1 2+3x4 _ _x2 stale -Inf",
      "{}@st -1m+30sx2 _ 0s",
      "x {{sum:1 buckets:[1 2]}}+{{}}x3",
    ];
    const random = new Random(0x73657269);
    for (let i = 0; i < 20_000; i++) {
      const characters = [...random.pick(lines)];
      for (let n = 1 + random.below(3); n > 0; n--) {
        characters.splice(random.below(characters.length), random.below(2), random.pick(FRAGMENTS));
      }
      const line = characters.join("");
      try {
        parseSeriesDescription(line);
      } catch (error) {
        if (!(error instanceof ParseError)) throw new Error(`on ${JSON.stringify(line)}`, { cause: error });
      }
    }
  });
});
