// test/unit/model/matcher.test.ts: every short cut of the matchers against RE2 itself.
import fc from "fast-check";
import { RE2JS } from "re2js";
import { describe, expect, test } from "vitest";
import {
  compileMatcher,
  compileRegex,
  InvalidError,
  type MatchType,
  matchLabels,
  REGEX_LENGTH_MAX,
} from "../../../libs/model/index.ts";

const match = (type: MatchType, value: string, text: string): boolean =>
  compileMatcher({ type, name: "l", value }).matches(text);

describe("what matches", () => {
  test.each<[MatchType, string, string[], string[]]>([
    ["=", "a", ["a"], ["", "b", "aa"]],
    ["=", "", [""], ["a"]],
    ["=", "a.c", ["a.c"], ["abc"]],
    ["!=", "a", ["", "b"], ["a"]],
    ["!=", "", ["a"], [""]],
    ["=~", "", [""], ["a"]],
    ["=~", "a", ["a"], ["", "aa", "ba"]],
    ["!~", "a", ["", "aa"], ["a"]],
    ["=~", ".*", ["", "a", "\n"], []],
    ["=~", ".+", ["a", "\n", "\0"], [""]],
    ["!~", ".+", [""], ["a"]],
    ["=~", "a|b", ["a", "b"], ["", "a|b", "ab"]],
    ["=~", "a||b", ["a", "", "b"], ["c"]],
    ["=~", "(a|b)", ["a", "b"], ["(a|b)"]],
    ["=~", "(?:a|b)", ["a", "b"], ["?:a"]],
    ["=~", "()", [""], ["()"]],
    ["=~", "(a|b)|c", ["a", "b", "c"], ["(a"]],
    ["=~", "foo.*", ["foo", "foobar", "foo\nbar"], ["fo", "xfoo"]],
    ["=~", "foo.+", ["foob", "foo\n"], ["foo", "xfoob"]],
    ["=~", ".*foo", ["foo", "xfoo", "\nfoo"], ["foox"]],
    ["=~", ".+foo", ["xfoo", "foofoo"], ["foo"]],
    ["=~", ".*foo.*", ["foo", "xfoox", "a\nfoo\nb"], ["fo", ""]],
    ["=~", ".*foo.+", ["foox", "foofoo", "xfoox"], ["foo", "xfoo"]],
    ["=~", ".+foo.*", ["xfoo", "foofoo"], ["foo", "foox"]],
    ["=~", ".+foo.+", ["xfoox", "foofoofoo", "xfooy"], ["foo", "xfoo", "foox", "foofoo"]],
    ["=~", "a.b", ["axb", "a\nb", "a😀b"], ["ab", "axxb"]],
    ["=~", "a\\.b", ["a.b"], ["axb"]],
    ["=~", "^a$", ["a"], ["aa"]],
    ["=~", "a$|^b", ["a", "b"], ["ab"]],
    ["=~", "(?i)AbC", ["abc", "ABC"], ["ab"]],
    ["=~", "(?i)a|B", ["A", "b"], ["ab"]],
    ["=~", "[0-9]{3}", ["123"], ["12", "1234"]],
    ["=~", "5..", ["500", "5\n0"], ["50", "x500"]],
    ["=~", "a{", ["a{"], ["a"]],
    ["=~", "a]", ["a]"], ["a"]],
    ["=~", "\\Qa.b\\E", ["a.b"], ["axb"]],
    ["=~", "a😀*b", ["ab", "a😀b", "a😀😀b"], ["a"]],
    ["=~", "a😀?", ["a", "a😀"], ["a😀😀"]],
    ["=~", "__proto__|constructor", ["__proto__", "constructor"], ["toString", ""]],
  ])("%s %j accepts %j and not %j", (type, value, yes, no) => {
    for (const text of yes) expect(match(type, value, text), JSON.stringify(text)).toBe(true);
    for (const text of no) expect(match(type, value, text), JSON.stringify(text)).toBe(false);
  });
});

const piece = fc.constantFrom(
  ...[
    "a",
    "b",
    "foo",
    "😀",
    "ü",
    "\n",
    ".",
    ".*",
    ".+",
    "a*",
    "b?",
    "(a|b)",
    "(?:a|foo)",
    "|",
    "^",
    "$",
    "\\.",
    "[ab]",
    "a{2}",
  ],
  ...[
    "(?i)",
    "(?i:A)",
    "()",
    "(",
    ")",
    "*",
    "\\",
    "{",
    "]",
    "\\d",
    "(?-s:.)",
    "\\Q.\\E",
    "x{0}",
    "\\Q\\E",
    "😀*",
    "a+?",
    "é{1,2}",
  ],
);
const pattern = fc.array(piece, { maxLength: 5 }).map((parts) => parts.join(""));
const subject = fc
  .array(fc.constantFrom("a", "b", "foo", "😀", "ü", "é", "\n", ".", "A", "aa", "1", "", "(", "|"), { maxLength: 5 })
  .map((parts) => parts.join(""));

describe("against RE2", () => {
  test("matches, matchesEmpty, values and prefix tell the truth for any pattern", () => {
    let compiled = 0;
    fc.assert(
      fc.property(
        pattern,
        fc.array(subject, { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        (value, subjects, negative) => {
          let wellFormed = true;
          try {
            RE2JS.compile(value);
          } catch {
            wellFormed = false;
          }
          if (!wellFormed) {
            expect(() => compileMatcher({ type: "=~", name: "l", value })).toThrow(InvalidError);
            return;
          }
          compiled++;
          const re = RE2JS.compile(`^(?:${value})$`, RE2JS.DOTALL);
          const m = compileMatcher({ type: negative ? "!~" : "=~", name: "l", value });
          expect(m.matchesEmpty).toBe(re.matches("") !== negative);
          for (const s of subjects) {
            const positive = re.matches(s);
            expect(m.matches(s), `${value} on ${JSON.stringify(s)}`).toBe(positive !== negative);
            if (positive) expect(s.startsWith(m.prefix), `${value}: prefix ${m.prefix} of ${s}`).toBe(true);
            if (m.values !== undefined) expect(m.values.includes(s)).toBe(positive);
          }
          for (const v of m.values ?? []) expect(re.matches(v)).toBe(true);
        },
      ),
      { seed: 20_240_603, numRuns: 20_000 },
    );
    expect(compiled).toBeGreaterThan(5_000);
  });

  test("the wildcard short cuts on every short subject", () => {
    const ends = ["", ".*", ".+"];
    const subjects = [""];
    for (let i = 0; subjects.length < 400; i++) for (const c of ["f", "o", "x"]) subjects.push(subjects[i]! + c);
    for (const before of ends) {
      for (const literal of ["f", "fo", "ff", "fof"]) {
        for (const after of ends) {
          const value = before + literal + after;
          const re = RE2JS.compile(`^(?s:${value})$`);
          const m = compileMatcher({ type: "=~", name: "l", value });
          for (const s of subjects) expect(m.matches(s), `${value} on ${s}`).toBe(re.matches(s));
        }
      }
    }
  });
});

test("literals with anything between them, as RE2 has it", () => {
  const piece = fc.constantFrom("a", "b", "ab", "aba", "😀", "\\.", "\\_", ".*", ".+", ".*", ".+");
  const subject = fc.array(fc.constantFrom("a", "b", "ab", ".", "_", "😀", "\n"), { maxLength: 9 });
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 8 }),
      fc.array(
        subject.map((parts) => parts.join("")),
        { minLength: 1, maxLength: 12 },
      ),
      (parts, subjects) => {
        const value = parts.join("");
        const re = RE2JS.compile(`^(?s:${value})$`);
        const m = compileMatcher({ type: "=~", name: "l", value });
        // What the pattern was made of fits it.
        const own = parts.map((part) => (part === ".*" ? "" : part === ".+" ? "b" : part.replace("\\", ""))).join("");
        for (const s of [own, `${own}a`, `😀${own}`, ...subjects, ...subjects]) {
          expect(m.matches(s), `${value} on ${JSON.stringify(s)}`).toBe(re.matches(s));
          if (m.matches(s)) expect(s.startsWith(m.prefix)).toBe(true);
        }
      },
    ),
    { seed: 20_240_604, numRuns: 5_000 },
  );
});

test("a pattern for the engine answers the same again, however many values it is asked for", () => {
  const m = compileMatcher({ type: "=~", name: "l", value: "v[0-9]*7" });
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5_000; i++) expect(m.matches(`v${i}`)).toBe(i % 10 === 7);
  }
});

describe("planning facts", () => {
  test.each<[MatchType, string, readonly string[] | undefined, string]>([
    ["=", "a", ["a"], "a"],
    ["!=", "a", ["a"], "a"],
    ["=~", "abc", ["abc"], "abc"],
    ["=~", "a|b|a", ["a", "b"], ""],
    ["=~", "abc.*", undefined, "abc"],
    ["=~", "abc.*d", undefined, "abc"],
    ["=~", "a\\.c.+d.*", undefined, "a.c"],
    ["=~", ".*d.+e", undefined, ""],
    ["=~", "abc[0-9]", undefined, "abc"],
    ["=~", "abc*", undefined, "ab"],
    ["=~", "abc+", undefined, "abc"],
    ["=~", "ab😀?", undefined, "ab"],
    ["=~", "abc{2}", undefined, "ab"],
    ["=~", "abc(?i)*", undefined, "ab"],
    ["=~", "abc\\Q\\E*", undefined, "ab"],
    ["=~", "abc.d|x", undefined, ""],
    ["=~", "(?i)abc", undefined, ""],
    ["=~", ".*", undefined, ""],
  ])("%s %j: values %j, prefix %j", (type, value, values, prefix) => {
    const m = compileMatcher({ type, name: "l", value });
    expect([m.values, m.prefix]).toEqual([values, prefix]);
  });
});

describe("what is refused, in Prometheus' words", () => {
  test.each<[string, string]>([
    ["*a", "error parsing regexp: missing argument to repetition operator: `*`"],
    ["a)|(b", "error parsing regexp: unexpected ): `a)|(b`"],
    ["a\\", "error parsing regexp: trailing backslash at end of expression"],
    ["[a", "error parsing regexp: missing closing ]: `[a`"],
    ["(", "error parsing regexp: missing closing ): `(`"],
    ["a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"],
  ])("%s", (value, message) => {
    for (const type of ["=~", "!~"] as const) {
      expect(() => compileMatcher({ type, name: "l", value })).toThrow(InvalidError);
      expect(() => compileMatcher({ type, name: "l", value })).toThrow(new InvalidError(message));
    }
  });

  test("alternations of literals are not compiled: escapes are read, and length does not matter", () => {
    const values = (value: string) => compileMatcher({ type: "=~", name: "l", value }).values;
    expect(values("host-1\\.example\\:9100|host-2\\.example\\:9100")).toEqual([
      "host-1.example:9100",
      "host-2.example:9100",
    ]);
    expect(values("(?:a\\|b|c)")).toEqual(["a|b", "c"]);
    expect(values("a\\d|b")).toBeUndefined();
    expect(values("(a)|(b)")).toBeUndefined();
    const many = Array.from({ length: 5000 }, (_, i) => `host-${i}\\.example`);
    expect(values(many.join("|"))?.length).toBe(5000);
  });

  test("a pattern longer than the limit", () => {
    expect(() => compileRegex(`a.${"b".repeat(REGEX_LENGTH_MAX)}`)).toThrow(InvalidError);
    expect(compileRegex(`a.${"b".repeat(1000)}`).matches(`ax${"b".repeat(1000)}`)).toBe(true);
  });

  test.each(["(a+)+b", "(a*)*b", "(a|aa)+b", "(.*a){12}b"])("%s stays linear on a hostile subject", (value) => {
    const m = compileMatcher({ type: "=~", name: "l", value });
    const started = performance.now();
    expect(m.matches("a".repeat(20_000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe("matchLabels", () => {
  const set = ["__proto__", "p", "a", "1"];
  test.each<[MatchType, string, string, boolean]>([
    ["=", "a", "1", true],
    ["=", "missing", "", true],
    ["!=", "missing", "", false],
    ["=~", "missing", ".*", true],
    ["=~", "missing", ".+", false],
    ["=", "__proto__", "p", true],
    ["=", "constructor", "", true],
  ])("%s %s %j: %s", (type, name, value, want) => {
    expect(matchLabels([compileMatcher({ type, name, value })], set)).toBe(want);
  });

  test("all matchers must accept", () => {
    const a = compileMatcher({ type: "=", name: "a", value: "1" });
    const b = compileMatcher({ type: "=", name: "b", value: "1" });
    expect([matchLabels([], set), matchLabels([a], set), matchLabels([a, b], set)]).toEqual([true, true, false]);
  });
});
