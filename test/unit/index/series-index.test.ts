// test/unit/index/series-index.test.ts: the inverted index against a slow, obvious twin that filters label sets.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KnownNumbers, SeriesIndex, SeriesTable } from "../../../libs/index/index.ts";
import {
  compareUtf8,
  compileMatcher,
  encodeSeriesKey,
  type Labels,
  labelsFromRecord,
  labelsKey,
  labelsToRecord,
  type Matcher,
  type MatchType,
  matchLabels,
  onlyLabels,
  withoutLabels,
} from "../../../libs/model/index.ts";

const SEED = 20260301;
const names = ["__name__", "job", "instance", "__proto__", "zone"];
const values = ["", "a", "b", "ab", "a1", "constructor", "é", "\u{1f600}"];
const patterns = ["a", "a|b", "a.*", ".*b", ".+", ".*", "", "|a", "a|", "[ab]+", "(a|ab)", "(?i)A", "a?b?", "\\w\\d"];

const labelSet: fc.Arbitrary<Labels> = fc
  .array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...values)), { maxLength: 5 })
  .map((pairs) => labelsFromRecord(Object.assign(Object.create(null), Object.fromEntries(pairs))));
const matcher: fc.Arbitrary<Matcher> = fc
  .tuple(fc.constantFrom<MatchType>("=", "!=", "=~", "!~"), fc.constantFrom(...names, "absent"))
  .chain(([type, name]) =>
    fc.constantFrom(...(type === "=" || type === "!=" ? values : patterns)).map((value) => ({ type, name, value })),
  );

const pairsOf = (labels: Labels): string[] =>
  labels.flatMap((name, i) => (i % 2 === 0 ? [JSON.stringify([name, labels[i + 1]])] : []));

function addTo(index: SeriesIndex, tenant: string, series: number, labels: Labels): void {
  index.add(series, index.read(encodeSeriesKey(tenant, labels)));
}

describe("series index", () => {
  test("agrees with filtering every label set", () => {
    fc.assert(
      fc.property(fc.array(labelSet, { maxLength: 200 }), fc.array(matcher, { maxLength: 4 }), (sets, matchers) => {
        const index = new SeriesIndex();
        sets.forEach((labels, i) => {
          addTo(index, i % 7 === 6 ? "other" : "default", i, labels);
        });
        const compiled = matchers.map(compileMatcher);
        const want = sets.flatMap((labels, i) => (i % 7 !== 6 && matchLabels(compiled, labels) ? [i] : []));
        expect([...index.select("default", matchers)]).toEqual(want);
        index.dispose();
      }),
      { numRuns: 2000, seed: SEED },
    );
  });

  test("found in steps, series are those that there are in the last one", () => {
    const pattern = fc.constantFrom("v.*1", ".*3.*", "v(1|2)..", ".+", ".*", "v[0-4]*", "(v|w)1.*|");
    const some = fc
      .tuple(fc.constantFrom<MatchType>("=~", "!~", "=~", "="), fc.constantFrom("i", "j", "job"), pattern)
      .map(([type, name, value]): Matcher => ({ type, name, value: type === "=" ? "a" : value }));
    // Between two steps: a series goes, and another takes its number and its pairs'.
    const change = fc.record({ at: fc.nat(999), value: fc.nat(2000), steps: fc.nat(12), comesBack: fc.boolean() });
    const changing = fc.array(change, { minLength: 10, maxLength: 40 });
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 3 }), changing, (matchers, changes) => {
        const index = new SeriesIndex();
        const live = new Map<number, Labels>();
        const put = (series: number, value: number): void => {
          const labels = labelsFromRecord({ i: `v${value}`, j: `w${value % 400}`, job: value % 2 === 0 ? "a" : "b" });
          addTo(index, "default", series, labels);
          live.set(series, labels);
        };
        for (let i = 0; i < 1000; i++) put(i, i);
        const steps = index.selecting("default", matchers);
        let step = steps.next();
        for (const { at, value, steps: count, comesBack } of changes) {
          for (let k = 0; k < count && step.done !== true; k++) step = steps.next();
          if (step.done === true) break;
          if (live.delete(at)) {
            index.retire(at);
            index.free(at);
          }
          if (comesBack) put(at, value);
        }
        while (step.done !== true) step = steps.next();
        const compiled = matchers.map(compileMatcher);
        const want = [...live].filter(([, labels]) => matchLabels(compiled, labels)).map(([series]) => series);
        expect([...step.value]).toEqual(want.sort((a, b) => a - b));
        index.dispose();
      }),
      { numRuns: 300, seed: SEED },
    );
  });

  test("a selection that is given up leaves nothing, and one that is known is found at once", () => {
    const index = new SeriesIndex();
    for (let i = 0; i < 1000; i++) addTo(index, "default", i, labelsFromRecord({ i: `v${i}` }));
    const matchers: Matcher[] = [{ type: "=~", name: "i", value: "v.*7" }];
    const begun = index.selecting("default", matchers);
    expect(begun.next().done).toBe(false);
    begun.return(new Uint32Array(0));
    expect(index.selected("default", matchers)).toBeUndefined();
    expect([...index.selecting("default", matchers)].length).toBeGreaterThan(50);
    expect(index.selected("default", matchers)).toBe(index.select("default", matchers));
    expect([...index.selecting("nobody", matchers)]).toEqual([]);
    index.dispose();
  });

  test("series of a table are found again by what is known of them, also after numbers served others", () => {
    // Some of them far from each other.
    const action = fc.record({ kind: fc.nat(3), at: fc.nat(9).map((i) => i * 700), labels: labelSet });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const index = new SeriesIndex();
        const table = new SeriesTable();
        const known = new KnownNumbers();
        const live = new Map<number, Labels>();
        for (const { kind, at, labels } of actions) {
          if (kind === 0) {
            const pairs: number[] = [];
            for (let i = 0; i < labels.length; i += 2) pairs.push(table.pairOf(labels[i]!, labels[i + 1]!));
            table.add(Uint32Array.from(pairs), pairs.length);
          } else if (kind === 1 && live.has(at)) {
            index.retire(at);
            index.free(at);
            live.delete(at);
          } else if (!live.has(at)) {
            addTo(index, "default", at, labels);
            live.set(at, labels);
          }
          const series = Uint32Array.from([...live.keys()].sort((a, b) => a - b));
          const [plain, remembered] = [new Map<number, number>(), new Map<number, number>()];
          index.findIn(table, series, plain);
          index.findIn(table, series, remembered, known);
          expect([...remembered]).toEqual([...plain]);
          for (const [one, i] of remembered) expect(table.labelsOf(one)).toEqual(live.get(series[i]!));
        }
        index.dispose();
      }),
      { numRuns: 1000, seed: SEED },
    );
  });

  test("what is known of a table's series takes memory where some are known, and none once their numbers serve others", () => {
    const known = new KnownNumbers();
    for (const series of [3, 1_000_000, 3]) {
      expect(known.get(series + 1)).toBe(-1);
      known.set(series, series * 2);
    }
    expect([known.get(3), known.get(1_000_000), known.get(999_999)]).toEqual([6, 2_000_000, -1]);
    expect(known.sizeBytes).toBe(2 * 4096);
    known.renew(1);
    expect([known.get(3), known.sizeBytes]).toEqual([-1, 0]);
  });

  test("series come, are retired and freed, and their numbers serve others", () => {
    const action = fc.record({ kind: fc.nat(3), at: fc.nat(), labels: labelSet });
    fc.assert(
      fc.property(
        fc.array(action, { minLength: 50, maxLength: 600 }),
        fc.array(fc.array(matcher, { maxLength: 2 }), { minLength: 1, maxLength: 4 }),
        (actions, queries) => {
          const index = new SeriesIndex();
          const live = new Map<number, Labels>();
          const retired = new Map<number, Labels>();
          const free: number[] = [];
          let end = 0;
          for (const [i, { kind, at, labels }] of actions.entries()) {
            if (kind <= 1) {
              // Many share a label, so that their list becomes a bitmap and a run again.
              const own = labelsFromRecord({ ...labelsToRecord(labels), all: "same", one: `${at % 50}` });
              const number = free.splice(at % Math.max(1, free.length), 1)[0] ?? end++;
              addTo(index, "t", number, own);
              live.set(number, own);
            } else if (kind === 2 && live.size > 0) {
              const number = [...live.keys()][at % live.size]!;
              index.retire(number);
              retired.set(number, live.get(number)!);
              live.delete(number);
            } else if (retired.size > 0) {
              const number = [...retired.keys()][at % retired.size]!;
              index.free(number);
              retired.delete(number);
              free.push(number);
            }
            if (i % 20 !== 0 && i < actions.length - 1) continue;
            for (const matchers of queries) {
              const compiled = matchers.map(compileMatcher);
              const want = [...live].filter(([, own]) => matchLabels(compiled, own)).map(([number]) => number);
              expect([...index.select("t", matchers)]).toEqual(want.sort((a, b) => a - b));
            }
            for (const [number, own] of [...live, ...retired]) expect(index.labelsOf(number)).toEqual(own);
            expect(index.size).toBe(live.size);
            const texts = [...live.values()].map(labelsToRecord);
            expect(index.labelNames("t")).toEqual(
              [...new Set(texts.flatMap((one) => Object.keys(one)))].sort(compareUtf8),
            );
            const ones = [...new Set(texts.map((one) => one.one!))].sort(compareUtf8);
            expect(index.labelValues("t", "one")).toEqual(ones);
          }
          const carried = [...live.values(), ...retired.values()].flatMap((own) => pairsOf(own));
          expect(index.pairsInUse).toBe(end === 0 ? 0 : new Set(carried).size + 1);
          index.dispose();
        },
      ),
      { numRuns: 150, seed: SEED },
    );
  });

  test("what freed series had of its memory is used again", () => {
    const index = new SeriesIndex();
    const labels = (i: number): Labels => Array.from({ length: 20 }, (_, k) => [`n${k + 10}`, `${i}-${k}`]).flat();
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 1000; i++) addTo(index, "t", i, labels(round * 1000 + i));
      expect(index.labelsOf(500)).toEqual(labels(round * 1000 + 500));
      for (let i = 0; i < 1000; i++) index.retire(i);
      for (let i = 0; i < 1000; i++) index.free(i);
    }
    expect(index.pairsInUse).toBe(1);
    expect(index.pairCount).toBe(20_001);
    expect(index.arena.length).toBeLessThan(300_000);
    index.dispose();
  });

  test("long posting lists become bitmaps without losing or inventing a series", () => {
    const index = new SeriesIndex();
    for (let i = 0; i < 500; i++) addTo(index, "t", i, ["even", String(i % 2 === 0), "one", `v${i}`, "shared", "x"]);
    expect(index.select("t", [{ type: "=", name: "even", value: "true" }]).length).toBe(250);
    expect([...index.select("t", [{ type: "=~", name: "one", value: "v1|v63|v64|v499|gone" }])]).toEqual([
      1, 63, 64, 499,
    ]);
    expect(index.select("t", [{ type: "!=", name: "shared", value: "x" }]).length).toBe(0);
    expect(index.select("t", []).length).toBe(500);
    expect(index.select("nobody", []).length).toBe(0);
    index.dispose();
  });

  test("groups series as restricting their labels would", () => {
    fc.assert(
      fc.property(
        fc.array(labelSet, { minLength: 1, maxLength: 60 }),
        fc.array(fc.constantFrom(...names), { maxLength: 3 }),
        fc.boolean(),
        (sets, by, without) => {
          const index = new SeriesIndex();
          sets.forEach((labels, i) => {
            addTo(index, "t", i, labels);
          });
          const all = Uint32Array.from(sets.keys());
          const { groupOf, labels } = index.groupKeys(all, by, without);
          const restrict = (l: Labels) => (without ? withoutLabels : onlyLabels)(l, new Set(by));
          for (let i = 0; i < sets.length; i++) expect(labels[groupOf[i]!]).toEqual(restrict(sets[i]!));
          expect(new Set(labels.map(labelsKey)).size).toBe(labels.length);
          index.dispose();
        },
      ),
      { numRuns: 500, seed: SEED },
    );
  });

  test("lists names and values, of all series or of some", () => {
    const index = new SeriesIndex();
    addTo(index, "t", 0, ["__name__", "up", "job", "b"]);
    addTo(index, "t", 1, ["__name__", "down", "zone", "z"]);
    expect(index.labelNames("t")).toEqual(["__name__", "job", "zone"]);
    const of = (add: (to: Set<string>) => void): string[] => {
      const to = new Set<string>();
      add(to);
      return [...to];
    };
    expect(of((to) => index.addNames(Uint32Array.of(1), to))).toEqual(["__name__", "zone"]);
    expect(index.labelValues("t", "__name__")).toEqual(["down", "up"]);
    expect(of((to) => index.addValues("job", Uint32Array.of(1), to))).toEqual([]);
    expect(of((to) => index.addValues("job", Uint32Array.of(0, 1), to))).toEqual(["b"]);
    expect(index.labelsOf(1)).toEqual(["__name__", "down", "zone", "z"]);
    const has = (tenant: string, labels: Labels): boolean => index.has(0, index.read(encodeSeriesKey(tenant, labels)));
    expect(has("t", ["__name__", "up", "job", "b"])).toBe(true);
    expect(has("t", ["__name__", "up", "job", "c"])).toBe(false);
    expect(has("t", ["__name__", "up"])).toBe(false);
    expect(has("u", ["__name__", "up", "job", "b"])).toBe(false);
    index.dispose();
  });
});
