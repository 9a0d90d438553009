// test/unit/model/labels.test.ts: label sets and their order, against byte order and plain maps.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compareLabels,
  compareUtf8,
  EMPTY_LABELS,
  equalLabels,
  InvalidError,
  type Labels,
  labelsFromPairs,
  labelsFromRecord,
  labelsKey,
  labelsToRecord,
  labelValue,
  onlyLabels,
  setLabel,
  withoutLabels,
} from "../../../libs/model/index.ts";

const options = { seed: 20_240_602, numRuns: 3_000 };
const text = fc.oneof(
  fc.stringMatching(/^[ab]{0,3}$/),
  fc.string({ unit: "grapheme", maxLength: 6 }),
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.constantFrom(
    "__proto__",
    "constructor",
    "toString",
    "\0",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "😀",
    "😀a",
    "\u{10ffff}",
  ),
);
const name = text.filter((s) => s !== "");
const pairs = fc.uniqueArray(fc.tuple(name, text), { selector: ([n]) => n, maxLength: 7 });
const labels = pairs.map((p) => labelsFromPairs(p));
const byteOrder = (a: string, b: string): number => Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));

describe("compareUtf8", () => {
  test.each<[string, string]>([
    ["", "a"],
    ["a", "aa"],
    ["\ud7ff", "\ue000"],
    ["\uffff", "😀"],
    ["\ue000", "\u{10000}"],
    ["😀", "😁"],
    ["Z", "a"],
    ["a\0", "a\u0001"],
  ])("%j before %j", (a, b) => {
    expect(byteOrder(a, b)).toBe(-1);
    expect(compareUtf8(a, b)).toBeLessThan(0);
    expect(compareUtf8(b, a)).toBeGreaterThan(0);
  });

  test("is the order of the UTF-8 bytes", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(byteOrder(a, b));
      }),
      { ...options, numRuns: 20_000 },
    );
  });
});

describe("labelsFromPairs", () => {
  test("sorts by bytes, drops empty values, keeps the rest", () => {
    fc.assert(
      fc.property(pairs, (input) => {
        const set = labelsFromPairs(input);
        const want = input.filter(([, v]) => v !== "").sort((a, b) => byteOrder(a[0], b[0]));
        expect(set).toEqual(want.flat());
      }),
      options,
    );
  });

  test.each<[string, [string, string][], string]>([
    ["an empty name", [["", "x"]], "empty label name"],
    ["an empty name without a value", [["", ""]], "empty label name"],
    [
      "a name twice",
      [
        ["a", "1"],
        ["b", "2"],
        ["a", "3"],
      ],
      `"a" twice`,
    ],
    [
      "a name twice with one value",
      [
        ["a", "1"],
        ["a", "1"],
      ],
      `"a" twice`,
    ],
    [
      "a name twice, once empty",
      [
        ["a", ""],
        ["a", "1"],
      ],
      `"a" twice`,
    ],
    [
      "__proto__ twice",
      [
        ["__proto__", "1"],
        ["__proto__", "2"],
      ],
      `"__proto__" twice`,
    ],
  ])("refuses %s", (_, input, got) => {
    expect(() => labelsFromPairs(input)).toThrow(InvalidError);
    expect(() => labelsFromPairs(input)).toThrow(got);
  });

  test("takes any iterable and leaves it as it was", () => {
    const input: [string, string][] = [
      ["b", "1"],
      ["a", "2"],
    ];
    expect(labelsFromPairs(new Map(input))).toEqual(["a", "2", "b", "1"]);
    labelsFromPairs(input);
    expect(input).toEqual([
      ["b", "1"],
      ["a", "2"],
    ]);
    expect(labelsFromRecord({ b: "1", a: "2", c: "" })).toEqual(["a", "2", "b", "1"]);
  });
});

test("EMPTY_LABELS cannot be changed", () => {
  expect(() => (EMPTY_LABELS as string[]).push("a")).toThrow(TypeError);
});

/** The same set as a Map: the slow, obvious reading of every operation. */
const asMap = (set: Labels): Map<string, string> => {
  const map = new Map<string, string>();
  for (let i = 0; i < set.length; i += 2) map.set(set[i]!, set[i + 1]!);
  return map;
};

describe("operations agree with a map", () => {
  test("labelValue, setLabel, withoutLabels, onlyLabels", () => {
    fc.assert(
      fc.property(labels, name, text, fc.array(name, { maxLength: 3 }), (set, n, v, some) => {
        const map = asMap(set);
        expect(labelValue(set, n)).toBe(map.get(n) ?? "");
        expect(setLabel(set, n, v)).toEqual(labelsFromPairs(new Map(map).set(n, v)));
        const names = new Set([...some, set[0] ?? "a"]);
        expect(withoutLabels(set, names)).toEqual(labelsFromPairs([...map].filter(([k]) => !names.has(k))));
        expect(onlyLabels(set, names)).toEqual(labelsFromPairs([...map].filter(([k]) => names.has(k))));
      }),
      options,
    );
  });

  test("labelsToRecord holds hostile names as ordinary keys", () => {
    const record = labelsToRecord(
      labelsFromPairs([
        ["__proto__", "p"],
        ["constructor", "c"],
        ["toString", "t"],
      ]),
    );
    expect(Object.keys(record)).toEqual(["__proto__", "constructor", "toString"]);
    expect(JSON.stringify(record)).toBe('{"__proto__":"p","constructor":"c","toString":"t"}');
    expect(({} as Record<string, unknown>).p).toBeUndefined();
  });
});

describe("equality and order", () => {
  test("equalLabels, labelsKey and compareLabels agree about equality", () => {
    fc.assert(
      fc.property(labels, labels, fc.boolean(), (a, other, copy) => {
        const b = copy ? [...a] : other;
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(equalLabels(a, b)).toBe(same);
        expect(labelsKey(a) === labelsKey(b)).toBe(same);
        expect(compareLabels(a, b) === 0).toBe(same);
      }),
      options,
    );
  });

  test("labelsKey does not confuse where one text ends", () => {
    expect(labelsKey(["a", "bc"])).not.toBe(labelsKey(["ab", "c"]));
    expect(labelsKey(["a", "b", "c", "d"])).not.toBe(labelsKey(["a", "b,c,d"]));
  });

  test.each<[Labels, Labels]>([
    [[], ["a", "1"]],
    [
      ["a", "1"],
      ["a", "1", "b", "1"],
    ],
    [
      ["a", "1"],
      ["a", "2"],
    ],
    [
      ["a", "2"],
      ["b", "1"],
    ],
    [
      ["a", "1", "b", "9"],
      ["a", "1", "c", "1"],
    ],
    [
      ["a", "\uffff"],
      ["a", "😀"],
    ],
  ])("%j before %j", (a, b) => {
    expect(compareLabels(a, b)).toBeLessThan(0);
    expect(compareLabels(b, a)).toBeGreaterThan(0);
  });

  test("compareLabels is transitive", () => {
    fc.assert(
      fc.property(labels, labels, labels, (a, b, c) => {
        const sorted = [a, b, c].sort(compareLabels);
        expect(compareLabels(sorted[0]!, sorted[2]!)).toBeLessThanOrEqual(0);
      }),
      options,
    );
  });
});
