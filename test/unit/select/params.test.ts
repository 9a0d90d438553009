// test/unit/select/params.test.ts: form decoding, times, durations, limits and escaped label names, one line per case.
import { expect, test } from "vitest";
import { Form } from "../../../services/select/form.ts";
import {
  limitParameter,
  MAX_TIME_MS,
  MIN_TIME_MS,
  parseDurationText,
  parseTimeMs,
  unescapeLabelName,
} from "../../../services/select/params.ts";

test.each<[string, number | undefined]>([
  ["0", 0],
  ["4", 4000],
  ["-1.5", -1500],
  ["1700000000.123", 1700000000123],
  ["1700000000.1234", 1700000000123],
  ["1700000000.1236", 1700000000124],
  ["1e3", 1_000_000],
  [".5", 500],
  ["5.", 5000],
  ["+7", 7000],
  ["-0", 0],
  ["1e300", MAX_TIME_MS],
  ["-1e300", MIN_TIME_MS],
  ["1700000000000", 1700000000000000],
  ["", undefined],
  ["x", undefined],
  ["NaN", undefined],
  ["Inf", undefined],
  ["1 ", undefined],
  ["0x10", undefined],
  ["1_000", 1_000_000],
  ["2015-06-03T13:21:58.555Z", 1433337718555],
  ["2015-06-03T13:21:58Z", 1433337718000],
  ["2015-06-03T13:21:58.5559999Z", 1433337718555],
  ["2015-06-03T14:21:58.555+01:00", 1433337718555],
  ["2015-06-03T12:51:58.555-00:30", 1433337718555],
  ["0001-01-01T00:00:00Z", -62135596800000],
  ["9999-12-31T23:59:59.999Z", 253402300799999],
  ["2016-02-29T00:00:00Z", 1456704000000],
  ["2015-02-29T00:00:00Z", undefined],
  ["2015-13-01T00:00:00Z", undefined],
  ["2015-00-01T00:00:00Z", undefined],
  ["2015-06-03T3:21:58Z", 1433301718000],
  ["2015-06-03T24:00:00Z", undefined],
  ["2015-06-03T13:60:00Z", undefined],
  ["2015-06-03T13:21:58", undefined],
  ["2015-06-03", undefined],
  ["2015-06-03 13:21:58Z", undefined],
  ["-292273086-05-16T16:47:06Z", MIN_TIME_MS],
  ["292277025-08-18T07:12:54.999999999Z", MAX_TIME_MS],
])("time %s", (text, ms) => {
  expect(parseTimeMs(text)).toBe(ms);
});

test.each<[string, number | string]>([
  ["15", 15_000],
  ["0.1", 100],
  ["-1", -1000],
  ["0", 0],
  ["1e1", 10_000],
  ["15s", 15_000],
  ["1h30m", 5_400_000],
  ["500ms", 500],
  ["1y2w3d4h5m6s7ms", 33019506007],
  ["", 'cannot parse "" to a valid duration'],
  ["abc", 'cannot parse "abc" to a valid duration'],
  ["1m1h", 'cannot parse "1m1h" to a valid duration'],
  ["-5m", 'cannot parse "-5m" to a valid duration'],
  ["1.5h", 'cannot parse "1.5h" to a valid duration'],
  ["5 m", 'cannot parse "5 m" to a valid duration'],
  ["9223372037", 'cannot parse "9223372037" to a valid duration. It overflows int64'],
  ["1e300", 'cannot parse "1e300" to a valid duration. It overflows int64'],
])("duration %s", (text, wanted) => {
  if (typeof wanted === "number") expect(parseDurationText(text)).toBe(wanted);
  else expect(() => parseDurationText(text)).toThrow(wanted);
});

test.each<[string, number | string]>([
  ["", 0],
  ["0", 0],
  ["12", 12],
  ["+3", 3],
  ["-1", 'invalid parameter "limit": limit must be non-negative'],
  ["abc", 'invalid parameter "limit": strconv.Atoi: parsing "abc": invalid syntax'],
  ["1.5", 'invalid parameter "limit": strconv.Atoi: parsing "1.5": invalid syntax'],
  ["9223372036854775808", 'invalid parameter "limit": strconv.Atoi: parsing "9223372036854775808": value out of range'],
])("limit %s", (text, wanted) => {
  const form = new Form(`limit=${encodeURIComponent(text)}`);
  if (typeof wanted === "number") expect(limitParameter(form)).toBe(wanted);
  else expect(() => limitParameter(form)).toThrow(wanted);
});

test.each([
  ["job", "job"],
  ["http.status", "http.status"],
  ["U__http_2e_status", "http.status"],
  ["U__my__name", "my_name"],
  ["U___2F_a", "/a"],
  ["U__x_1f600_", "x😀"],
  ["U__", ""],
  ["U__plain", "plain"],
  ["U__a_", "U__a_"],
  ["U__a_zz_", "U__a_zz_"],
  ["U__a_1234567_", "U__a_1234567_"],
  ["U__a_d800_", "U__a_d800_"],
  ["U__a_110000_", "U__a_110000_"],
  ["U__a_2e", "U__a_2e"],
])("label name %s is %s", (escaped, name) => {
  expect(unescapeLabelName(escaped)).toBe(name);
});

test.each<[string[], Record<string, string[]>, string]>([
  [["a=1&b=2"], { a: ["1"], b: ["2"] }, ""],
  [["a=1", "a=2&c=3"], { a: ["1", "2"], c: ["3"] }, ""],
  [["query=a+b%2Bc"], { query: ["a b+c"] }, ""],
  [["match%5B%5D=up&match[]=down"], { "match[]": ["up", "down"] }, ""],
  [["a"], { a: [""] }, ""],
  [["=x"], { "": ["x"] }, ""],
  [["&&a=1&"], { a: ["1"] }, ""],
  [["a=1=2"], { a: ["1=2"] }, ""],
  [["a=%zz&b=1"], { b: ["1"] }, 'invalid URL escape "%zz"'],
  [["a=%2"], {}, 'invalid URL escape "%2"'],
  [["a=1;b=2&c=3"], { c: ["3"] }, "invalid semicolon separator in query"],
  [["a=%ff%41é"], { a: ["\ufffdAé"] }, ""],
  [["a=%E2%82%AC"], { a: ["€"] }, ""],
  [["__proto__=1&constructor=2"], { __proto__: ["1"], constructor: ["2"] }, ""],
])("form %j", (encoded, values, error) => {
  const form = new Form(...encoded);
  for (const [name, wanted] of Object.entries(values)) expect(form.getAll(name)).toEqual(wanted);
  expect(form.error).toBe(error);
  expect(form.get("missing")).toBe("");
});
