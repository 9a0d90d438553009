// test/unit/index/piece.test.ts: pieces of the persistent index against their slow twin, the label sets themselves; and what damage does.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  MemoryPieceStore,
  openPiece,
  type PairRows,
  PieceBuilder,
  type PieceReader,
  pieceKey,
  sealPiece,
} from "../../../libs/index/index.ts";
import {
  CorruptionError,
  compareUtf8,
  compileMatcher,
  type Labels,
  labelsFromRecord,
  labelValue,
  type Matcher,
  matchLabels,
} from "../../../libs/model/index.ts";

const SEED = process.env.FUZZ_SEED === undefined ? 20260711 : Number(process.env.FUZZ_SEED);
const RUNS = Number(process.env.FUZZ_RUNS ?? 300);
const BLOCK = { id: new Uint8Array(16).fill(255), shard: 7, minMs: -5 };
const TENANT = "default";

/** Rows as a page of a block has them, with numbers for its own pairs. */
function rowsOf(sets: readonly Labels[]): PairRows {
  const numbers = new Map<string, number>();
  const [names, values]: [string[], string[]] = [[], []];
  const starts = [0];
  const pairs: number[] = [];
  for (const labels of sets) {
    for (let i = 0; i < labels.length; i += 2) {
      const key = JSON.stringify([labels[i], labels[i + 1]]);
      if (!numbers.has(key)) {
        numbers.set(key, names.length);
        names.push(labels[i]!);
        values.push(labels[i + 1]!);
      }
      pairs.push(numbers.get(key)!);
    }
    starts.push(pairs.length);
  }
  return { starts: Uint32Array.from(starts), pairs: Uint32Array.from(pairs), names, values };
}

/** A store with the piece of series that have places from `first` on, and pages of so many. */
function storeOf(sets: readonly Labels[], first: number, perPage = 512): MemoryPieceStore {
  const builder = new PieceBuilder();
  for (let from = 0; from < sets.length; from += perPage) {
    const page = sets.slice(from, from + perPage);
    builder.add(rowsOf([["other", "tenant"], ...page]), 1, page.length + 1, first + from);
  }
  const store = new MemoryPieceStore();
  for (const [number, content] of builder.finish().entries()) {
    const { key, value } = sealPiece(pieceKey(BLOCK, TENANT, number), content);
    store.put(key, value);
  }
  return store;
}

const pieceOf = (store: MemoryPieceStore): PieceReader => openPiece(store, BLOCK, TENANT)!;

const NAMES = ["__name__", "job", "i", "ü"] as const;
const VALUES = ["", "a", "ab", "abc", "b", "é", "𝒳", "a.b"] as const;
const labelSet = fc
  .record(Object.fromEntries(NAMES.map((name) => [name, fc.constantFrom(...VALUES)])))
  .map((record) => labelsFromRecord(record));
const matcher: fc.Arbitrary<Matcher> = fc.record({
  type: fc.constantFrom("=" as const, "!=" as const, "=~" as const, "!~" as const),
  name: fc.constantFrom(...NAMES, "none"),
  value: fc.constantFrom(...VALUES, "a|b", "a|", ".*", ".+", "a.*", "a.+", "(a|b)c?", "ab?", ".*b", "|", "a\\.b"),
});

function expectSame(piece: PieceReader, sets: readonly Labels[], first: number, matchers: readonly Matcher[]): void {
  const compiled = matchers.map(compileMatcher);
  const wanted = sets.flatMap((labels, i) => (matchLabels(compiled, labels) ? [first + i] : []));
  expect([...piece.select(compiled, first, sets.length)], JSON.stringify(matchers)).toEqual(wanted);
}

describe("a piece of the index", () => {
  test("selects what matches, and tells names and values", () => {
    fc.assert(
      fc.property(
        fc.array(labelSet, { minLength: 1, maxLength: 200 }),
        fc.array(fc.array(matcher, { maxLength: 3 }), { minLength: 1, maxLength: 5 }),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 200 }),
        (sets, queries, first, perPage) => {
          const piece = pieceOf(storeOf(sets, first, perPage));
          for (const matchers of queries) expectSame(piece, sets, first, matchers);
          const names = [...new Set(sets.flatMap((labels) => labels.filter((_, i) => i % 2 === 0)))];
          expect(piece.labelNames()).toEqual(names.sort(compareUtf8));
          for (const name of NAMES) {
            const values = [...new Set(sets.map((labels) => labelValue(labels, name)))].filter((value) => value !== "");
            expect(piece.labelValues(name)).toEqual(values.sort(compareUtf8));
          }
        },
      ),
      { numRuns: RUNS, seed: SEED },
    );
  });

  test("of many chunks: unique values, prefixes, values across the borders", () => {
    const sets = Array.from({ length: 20_000 }, (_, i) =>
      labelsFromRecord({ __name__: `m_${i % 7}`, pod: `pod-${(i * 7919) % 20_000}`, zone: `z${i % 3}` }),
    );
    const store = storeOf(sets, 1000);
    expect(store.values.size).toBeGreaterThan(10);
    const piece = pieceOf(store);
    for (const value of ["pod-0", "pod-1", "pod-1999", "pod-9999", "pod-20000", "a", "z", ""]) {
      expectSame(piece, sets, 1000, [{ type: "=", name: "pod", value }]);
    }
    for (const value of ["pod-1.*", "pod-19.+", ".*77", "pod-(1|2)000", "pod-5|pod-15000|none"]) {
      expectSame(piece, sets, 1000, [{ type: "=~", name: "pod", value }]);
      expectSame(piece, sets, 1000, [
        { type: "!~", name: "pod", value },
        { type: "=", name: "zone", value: "z1" },
      ]);
    }
    expect(piece.labelValues("pod").length).toBe(20_000);
    expect(piece.labelValues("zone")).toEqual(["z0", "z1", "z2"]);
  });

  test("is told from one of another block, tenant or shard by its key", () => {
    const store = storeOf([["a", "b"]], 0);
    expect(openPiece(store, { ...BLOCK, id: new Uint8Array(16) }, TENANT)).toBeUndefined();
    expect(openPiece(store, { ...BLOCK, shard: 8 }, TENANT)).toBeUndefined();
    expect(openPiece(store, BLOCK, "other")).toBeUndefined();
    // A value under another's key is damage.
    const [value] = store.values.values();
    store.put(pieceKey(BLOCK, "other", 0), value!);
    expect(() => openPiece(store, BLOCK, "other")).toThrow(CorruptionError);
  });

  test("that is damaged anywhere is found out", () => {
    const store = storeOf(
      Array.from({ length: 100 }, (_, i) => ["a", `${i}`]),
      0,
    );
    const [[name, value]] = [...store.values] as [[string, Uint8Array]];
    const wanted = [...pieceOf(store).select([], 0, 100)];
    expect(wanted.length).toBe(100);
    for (let at = 0; at < value.length; at++) {
      const damaged = value.slice();
      damaged[at]! ^= 1 << (at % 8);
      store.values.set(name, damaged);
      expect(() => pieceOf(store)).toThrow(CorruptionError);
    }
    store.values.set(name, value.subarray(0, 3));
    expect(() => pieceOf(store)).toThrow(CorruptionError);
  });

  test("without one of its chunks is damaged", () => {
    const store = storeOf(
      Array.from({ length: 5000 }, (_, i) => ["a", `value-${i}`]),
      0,
    );
    const last = [...store.values.keys()].at(-1)!;
    store.values.delete(last);
    expect(() => pieceOf(store).labelValues("a")).toThrow("no chunk");
  });
});
