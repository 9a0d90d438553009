// test/unit/index/pair-table.test.ts: label pairs by their bytes against a Map, and keys as the index reads them against decodeSeriesKey.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PairTable, SeriesIndex } from "../../../libs/index/index.ts";
import { decodeSeriesKey, encodeSeriesKey, type Labels, labelsFromRecord } from "../../../libs/model/index.ts";

const SEED = 20261129;

describe("pair table", () => {
  test("pairs come and go, and are found by owner and bytes", () => {
    const action = fc.record({ owner: fc.nat(2), bytes: fc.uint8Array({ maxLength: 9 }), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 2000, size: "max" }), (actions) => {
        const table = new PairTable(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
        const known = new Map<string, number>();
        const free: number[] = [];
        let end = 0;
        for (const { owner, bytes, remove } of actions) {
          const name = `${owner} ${bytes}`;
          const padded = Uint8Array.of(9, ...bytes, 9);
          expect(table.find(owner, padded, 1, padded.length - 1)).toBe(known.get(name) ?? -1);
          if (remove && known.has(name)) {
            table.remove(known.get(name)!);
            free.push(known.get(name)!);
            known.delete(name);
          } else if (!known.has(name)) {
            const pair = free.pop() ?? end++;
            table.add(pair, owner, padded, 1, padded.length - 1);
            known.set(name, pair);
          }
        }
        for (const [name, pair] of known) {
          const [owner, bytes] = name.split(" ") as [string, string];
          const found = Uint8Array.from(bytes === "" ? [] : bytes.split(",").map(Number));
          expect(table.find(Number(owner), found, 0, found.length)).toBe(pair);
        }
      }),
      { numRuns: 30, seed: SEED },
    );
  });

  test("memory of pairs that are gone serves others", () => {
    const table = new PairTable(new Uint8Array(8));
    const bytes = new Uint8Array(100);
    const view = new DataView(bytes.buffer);
    for (let round = 0; round < 20; round++) {
      for (let pair = 0; pair < 2000; pair++) {
        view.setUint32(0, round * 2000 + pair);
        table.add(pair, 0, bytes, 0, 100);
      }
      for (let pair = 0; pair < 2000; pair++) table.remove(pair);
    }
    expect(table.sizeBytes).toBeLessThan(1 << 20);
  });
});

describe("series keys in an index", () => {
  const text = fc.constantFrom("a", "b", "__name__", "job", "é", "\u{1f600}", "x".repeat(200), "\ufffd");
  const labels = fc
    .array(fc.tuple(text, text), { maxLength: 6 })
    .map((pairs): Labels => labelsFromRecord(Object.fromEntries(pairs)));
  const tenant = fc.constantFrom("t", "other", "\ufffd");
  const outcome = (read: () => unknown): unknown => {
    try {
      return read();
    } catch (error) {
      return (error as Error).message;
    }
  };

  test("any bytes are read, or refused, as decodeSeriesKey does, whatever is known", () => {
    const harm = fc.record({ at: fc.nat(300), byte: fc.nat(255), cut: fc.nat(20) });
    const some = fc.tuple(tenant, labels, fc.option(harm, { nil: undefined }));
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 20 }), (keys) => {
        const index = new SeriesIndex();
        let series = 0;
        for (const [owner, own, harmed] of keys) {
          let key = encodeSeriesKey(owner, own);
          if (harmed !== undefined) {
            key[harmed.at % key.length] = harmed.byte;
            if (harmed.cut < 4) key = key.slice(0, key.length - harmed.cut);
          }
          const wanted = outcome(() => decodeSeriesKey(key));
          const found = outcome(() => {
            const name = index.read(Uint8Array.of(7, ...key, 7), 1, key.length + 1);
            index.add(series, name);
            expect(index.has(series, index.read(key))).toBe(true);
            const added = { tenant: index.tenantOf(series), labels: index.labelsOf(series) };
            series++;
            return added;
          });
          expect(found).toEqual(wanted);
        }
        index.dispose();
      }),
      { numRuns: 3000, seed: SEED },
    );
  });
});
