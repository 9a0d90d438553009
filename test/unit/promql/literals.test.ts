// test/unit/promql/literals.test.ts: numbers, strings and durations as text, both ways.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidError } from "../../../libs/model/index.ts";
import { formatDuration, parseDuration, secondsToMs } from "../../../libs/promql/durations.ts";
import { isValidLabelName, isValidUtf8, readNumber, readString } from "../../../libs/promql/literals.ts";
import { describeCharacter, formatFixed, quoteCharacter, quoteString } from "../../../libs/promql/quote.ts";

const SEED = 20_260_821;

describe("numbers", () => {
  test.each([
    ["0", 0],
    ["7", 7],
    ["007", 7],
    ["010", 8],
    ["0_17", 15],
    ["08", 8],
    ["010.5", 10.5],
    ["0777777777777777777777", 9223372036854776000],
    ["07777777777777777777777", 7777777777777777000000],
    ["0x1F", 31],
    ["0X_1f", 31],
    ["0x7fffffffffffffff", 9223372036854776000],
    ["1_000.5", 1000.5],
    [".5", 0.5],
    ["5.", 5],
    ["1e3", 1000],
    ["1E-3", 0.001],
    ["18446744073709551616", 18446744073709552000],
    ["1e-400", 0],
    ["Inf", Number.POSITIVE_INFINITY],
    ["nAn", Number.NaN],
  ])("%s is %d", (text, value) => {
    expect(readNumber(text)).toBe(value);
  });

  test.each(["0x", "1_", "_1", "1__0", "1e", "0x8000000000000000", "0b1", "", "1.5.2"])("%j is none", (text) => {
    expect(readNumber(text)).toBe(`error parsing number: strconv.ParseFloat: parsing "${text}": invalid syntax`);
  });

  test("what no float holds is out of range", () => {
    expect(readNumber("1e999")).toBe('error parsing number: strconv.ParseFloat: parsing "1e999": value out of range');
  });
});

describe("strings", () => {
  test.each([
    ['"a"', "a"],
    ["'a'", "a"],
    ["`a\\n`", "a\\n"],
    ['"\\a\\b\\f\\n\\r\\t\\v\\\\"', "\x07\b\f\n\r\t\v\\"],
    ['"\\""', '"'],
    ["'\\''", "'"],
    ['"\\x41\\101\\u0041\\U00000041"', "AAAA"],
    ['"\\xe2\\x82\\xac"', "€"],
    ['"\\342\\202\\254"', "€"],
    ['"\\xf0\\x9f\\x98\\x80"', "😀"],
    ['"\\xef\\xbf\\xbd"', "\uFFFD"],
    ['"\\xff"', "\udcff"],
    ['"\\xe2\\x82a"', "\udce2\udc82a"],
    ['"\\xc0\\x80"', "\udcc0\udc80"],
    ['"\\xed\\xa0\\x80"', "\udced\udca0\udc80"],
    ['"\\x80\\u00e9"', "\udc80é"],
    ['"\\\\x41"', "\\x41"],
  ])("%s", (quoted, value) => {
    expect(readString(quoted)).toBe(value);
  });

  test("quoting and reading are inverse, also for bytes that are no UTF-8", () => {
    const byte = fc.integer({ min: 0x80, max: 0xff }).map((b) => `\\x${b.toString(16)}`);
    const part = fc.oneof(fc.string({ unit: "binary" }).map(quoteInner), byte);
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const value = readString(`"${parts.join("")}"`);
        expect(readString(quoteString(value))).toBe(value);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  test.each([
    ["a", true],
    ["é 😀", true],
    ["\udcff", false],
    ["", false],
  ])("%j may name a label: %s", (name, valid) => {
    expect(isValidLabelName(name)).toBe(valid);
    if (name !== "") expect(isValidUtf8(name)).toBe(valid);
  });
});

function quoteInner(text: string): string {
  return quoteString(text).slice(1, -1);
}

describe("quoting", () => {
  test.each([
    ['a"b\\c', '"a\\"b\\\\c"'],
    ["\x00\x1f\x7f\n", '"\\x00\\x1f\\x7f\\n"'],
    ["é€😀", '"é€😀"'],
    ["\u200b\u00a0", '"\\u200b\\u00a0"'],
    ["\udcff\ufffd", '"\\xff\\ufffd"'],
  ])("%j", (text, quoted) => {
    expect(quoteString(text)).toBe(quoted);
  });

  test.each([
    ["a", "'a'", "U+0061 'a'"],
    ["'", "'\\''", "U+0027 '''"],
    ['"', `'"'`, `U+0022 '"'`],
    ["\n", "'\\n'", "U+000A"],
    ["é", "'é'", "U+00E9 'é'"],
    ["😀", "'😀'", "U+1F600 '😀'"],
    ["\ud800", "'\ufffd'", "U+FFFD '\ufffd'"],
  ])("%j as a character", (character, quoted, described) => {
    expect(quoteCharacter(character)).toBe(quoted);
    expect(describeCharacter(character)).toBe(described);
  });

  test.each([
    [1, "1.000000"],
    [-0, "-0.000000"],
    [-1e-9, "-0.000000"],
    [-(2 ** 63), "-9223372036854775808.000000"],
    [1e23, "99999999999999991611392.000000"],
    [Number.POSITIVE_INFINITY, "+Inf"],
    [Number.NaN, "NaN"],
  ])("%d with six digits", (value, text) => {
    expect(formatFixed(value)).toBe(text);
  });
});

describe("durations", () => {
  test.each([
    ["0", 0, "0s"],
    ["0s", 0, "0s"],
    ["1ms", 1, "1ms"],
    ["1s", 1000, "1s"],
    ["90s", 90_000, "1m30s"],
    ["1h30m", 5_400_000, "1h30m"],
    ["1d", 86_400_000, "1d"],
    ["7d", 604_800_000, "1w"],
    ["8d", 691_200_000, "8d"],
    ["365d", 31_536_000_000, "1y"],
    ["52w", 31_449_600_000, "52w"],
    ["1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms"],
    ["292y", 9_208_512_000_000, "292y"],
    ["0000000000000000000001m", 60_000, "1m"],
  ])("%s", (text, ms, printed) => {
    expect(parseDuration(text)).toBe(ms);
    expect(formatDuration(ms)).toBe(printed);
    expect(formatDuration(-ms)).toBe(ms === 0 ? printed : `-${printed}`);
  });

  test.each([
    ["", "empty duration string"],
    ["1", 'not a valid duration string: "1"'],
    ["m", 'not a valid duration string: "m"'],
    ["5m1h", 'not a valid duration string: "5m1h"'],
    ["1h1h", 'not a valid duration string: "1h1h"'],
    ["5m ", 'unknown unit "m " in duration "5m "'],
    ["1.5h", 'unknown unit "." in duration "1.5h"'],
    ["-5m", 'not a valid duration string: "-5m"'],
    ["5mm", 'unknown unit "mm" in duration "5mm"'],
    ["293y", "duration out of range"],
    ["99999999999999999999d", 'not a valid duration string: "99999999999999999999d"'],
    ["18446744073709551615d", "duration out of range"],
  ])("%j is none", (text, message) => {
    expect(() => parseDuration(text)).toThrow(InvalidError);
    expect(() => parseDuration(text)).toThrow(message);
  });

  test("printing and parsing are inverse", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9_000_000_000_000 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
      { seed: SEED, numRuns: 5000 },
    );
  });

  test.each([
    [300, 300_000, true],
    [0.001, 1, true],
    [0.0005, 0, false],
    [1.0019, 1001, false],
    [-1.5, -1500, true],
    [-0.0005, 0, false],
    [300.001, 300_001, true],
    [1e-10, 0, true],
  ])("%d s", (seconds, ms, exact) => {
    expect(secondsToMs(seconds)).toEqual({ ms, exact });
  });
});
