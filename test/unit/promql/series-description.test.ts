// test/unit/promql/series-description.test.ts: the series lines of the test language.
import { describe, expect, test } from "vitest";
import type { Labels } from "../../../libs/model/index.ts";
import { ParseError } from "../../../libs/promql/parse-error.ts";
import {
  parseSeriesDescription,
  SERIES_VALUES_MAX,
  type SequenceValue,
} from "../../../libs/promql/series-description.ts";
import { CORPUS_MISSING, corpusSeries } from "./corpus.ts";

/** Values as short text: `_` for gaps, `stale`, `st` with an offset, `h` with how often the delta applies. */
function short(value: SequenceValue): string {
  switch (value.kind) {
    case "omitted":
      return "_";
    case "stale":
      return "stale";
    case "float":
      return Object.is(value.value, -0) ? "-0" : String(value.value);
    case "start":
      return `st${value.offsetMs}`;
    case "histogram":
      return `h${value.base.sum}${value.delta ? `${value.sign > 0 ? "+" : "-"}${value.times}*${value.delta.sum}` : ""}`;
  }
}

describe("labels", () => {
  test.each<[string, Labels]>([
    ["", []],
    ["{}", []],
    ["up", ["__name__", "up"]],
    ["up{}", ["__name__", "up"]],
    ["sum{by='x'}", ["__name__", "sum", "by", "x"]],
    ["a:b{z='1', a=\"2\",}", ["__name__", "a:b", "a", "2", "z", "1"]],
    ["{a='b c'}", ["a", "b c"]],
    ["{'my.metric', 'a b'='c'}", ["__name__", "my.metric", "a b", "c"]],
    ["up{a=''}", ["__name__", "up"]],
    ["up{a='\\u00e9'}", ["__name__", "up", "a", "é"]],
  ])("%j", (line, labels) => {
    expect(parseSeriesDescription(line)).toEqual({ labels, startTimestamps: false, values: [] });
    expect(parseSeriesDescription(`${line === "" ? "{}" : line} 1`).labels).toEqual(labels);
  });
});

describe("values", () => {
  test.each([
    ["1 2 3", "1 2 3"],
    ["1\t 2   3 ", "1 2 3"],
    ["-1 +2 .5 5. 1e3 1_000", "-1 2 0.5 5 1000 1000"],
    ["Inf -inf +INF NaN", "Infinity -Infinity Infinity NaN"],
    ["-0 0", "-0 0"],
    ["_ 1 _", "_ 1 _"],
    ["_x3 1", "_ _ _ 1"],
    ["_x0", ""],
    ["1x0", "1"],
    ["7x3", "7 7 7 7"],
    ["-Infx1", "-Infinity -Infinity"],
    ["1+2x3", "1 3 5 7"],
    ["1-2x3", "1 -1 -3 -5"],
    ["-1-1x1", "-1 -2"],
    ["0.1+0.1x3", "0.1 0.2 0.30000000000000004 0.4"],
    ["3-0x2", "3 3 3"],
    ["stale", "stale"],
    ["1 stale _", "1 stale _"],
    ["{{}}", "h0"],
    ["{{sum:2}} 1", "h2 1"],
    ["{{sum:2}}x2", "h2 h2 h2"],
    ["{{sum:2}}+{{sum:1}}x2", "h2+0*1 h2+1*1 h2+2*1"],
    ["{{sum:2}}-{{sum:1}}x1", "h2-0*1 h2-1*1"],
  ])("%j", (items, expected) => {
    const { values } = parseSeriesDescription(`a{b="c"} ${items}`);
    expect(values.map(short).join(" ")).toBe(expected);
  });

  test("a histogram literal keeps every key", () => {
    const keys = "schema:-4 sum:-.5 count:3 z_bucket:7 z_bucket_w:0.01 offset:-3 buckets:[5 1e1 Inf] n_offset:2";
    const { values } = parseSeriesDescription(
      `a {{${keys} n_buckets:[ 4.1 ] custom_values:[-1 2] counter_reset_hint:not_reset}}`,
    );
    expect(values).toEqual([
      {
        kind: "histogram",
        base: {
          schema: -4,
          sum: -0.5,
          count: 3,
          zeroCount: 7,
          zeroThreshold: 0.01,
          positiveOffset: -3,
          positiveBuckets: [5, 10, Number.POSITIVE_INFINITY],
          negativeOffset: 2,
          negativeBuckets: [4.1],
          customValues: [-1, 2],
          counterResetHint: "not_reset",
        },
        sign: 1,
        times: 0,
      },
    ]);
  });
});

describe("start timestamps", () => {
  test.each([
    ["_ -1m", "_ st-60000"],
    ["_x2 0s -0ms", "_ _ st0 st0"],
    ["-1sx2", "st-1000 st-1000 st-1000"],
    ["-1m+30sx2", "st-60000 st-30000 st0"],
    ["0s-1msx1", "st0 st-1"],
  ])("%j", (items, expected) => {
    const line = parseSeriesDescription(`a{b="c d"}@st ${items}`);
    expect(line.startTimestamps).toBe(true);
    expect(line.labels).toEqual(["__name__", "a", "b", "c d"]);
    expect(line.values.map(short).join(" ")).toBe(expected);
  });
});

describe("errors", () => {
  test.each([
    ["a{b}", '1:4: parse error: unexpected "}" in label set, expected "="'],
    ["a{b=c}", '1:5: parse error: unexpected identifier "c" in label set, expected string'],
    ["a{b!='c'}", '1:4: parse error: unexpected <op:!=> in label set, expected "="'],
    ["a{'b' c}", '1:7: parse error: unexpected identifier "c" in label set, expected "," or "}"'],
    ["a{,}", '1:3: parse error: unexpected "," in label set, expected identifier or "}"'],
    ["a{b='c'", "1:8: parse error: unexpected end of input inside braces"],
    ["a{''='c'}", "1:1: parse error: cannot use label set: got an empty label name; want a name"],
    ["7", '1:1: parse error: unexpected number "7"'],
    ["a{}1", '1:4: parse error: unexpected "1" behind metric; want a blank'],
    ["a 1 2z", '1:5: parse error: unexpected "2z" in series values, expected number, "stale", "_" or histogram'],
    ["a 1+1", '1:3: parse error: unexpected "1+1" in series values, expected number, "stale", "_" or histogram'],
    [
      "a 1+1+1x2",
      '1:3: parse error: unexpected "1+1+1x2" in series values, expected number, "stale", "_" or histogram',
    ],
    ["a 0x10", undefined],
    ["a _1", '1:3: parse error: unexpected "_1" in series values, expected number, "stale", "_" or histogram'],
    ["a 1e999", "1:3: parse error: error parsing number: strconv.ParseFloat"],
    ["é{} 1", "1:1: parse error: unexpected character: 'é'"],
    ["a{b='é'} é", '1:11: parse error: unexpected "é" in series values'],
    ["a {{sum}}", '1:3: parse error: bad histogram description: got "sum"; want key:value'],
    ["a {{nosuch:1}}", '1:3: parse error: bad histogram descriptor found: "nosuch"'],
    ["a {{sum:1 sum:2}}", '1:3: parse error: duplicate key "sum" in histogram'],
    ["a {{schema:1.5}}", '1:3: parse error: error parsing schema: got "1.5"; want a whole number of 32 bits'],
    ["a {{sum:x}}", '1:3: parse error: error parsing sum: got "x"; want a number'],
    ["a {{buckets:1}}", '1:3: parse error: error parsing buckets: got "1"; want numbers in brackets'],
    ["a {{buckets:[]}}", "1:3: parse error: error parsing buckets: got no numbers; want at least one"],
    ["a {{counter_reset_hint:x}}", '1:3: parse error: error parsing counter_reset_hint: got "x"'],
    ["a {{sum:1", '1:3: parse error: unexpected "{" in series values'],
    ["a {{}}{{}}", '1:3: parse error: unexpected "{{}}{{}}" in series values, expected histogram'],
    ["a@st 5", '1:6: parse error: not a valid duration string: "5"'],
    ["a@st x", '1:6: parse error: invalid ST item "x"'],
    ["a@st 5parsec", '1:6: parse error: unknown unit "parsec" in duration "5parsec"'],
    ["a@st 1m+1m", '1:6: parse error: invalid ST item "1m+1m"'],
    [`a 1x${SERIES_VALUES_MAX}`, "1:3: parse error: invalid repetition in series values"],
    ["a _x99999999999999999999999", "1:3: parse error: invalid repetition in series values"],
  ])("%j", (line, message) => {
    if (message === undefined) {
      // Hexadecimal would be ambiguous with a repetition: this is the value 0, eleven times.
      expect(parseSeriesDescription(line).values).toHaveLength(11);
      return;
    }
    expect(() => parseSeriesDescription(line)).toThrow(ParseError);
    expect(() => parseSeriesDescription(line)).toThrow(message);
  });
});

test.skipIf(CORPUS_MISSING)("every series line of Prometheus' own test scripts parses", () => {
  const lines = corpusSeries();
  expect(lines.length).toBeGreaterThan(3500);
  for (const line of lines) parseSeriesDescription(line);
});
