// test/unit/side/side-bytes.test.ts: side data as bytes and back; damaged bytes; what is kept of equal times, in any order.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AppError, CorruptionError, InvalidError } from "../../../libs/model/index.ts";
import {
  decodeSideBatch,
  decodeSideRecord,
  encodeSideRecord,
  mergeSide,
  NO_SIDE,
  SideBatchWriter,
  SideStore,
} from "../../../libs/side/index.ts";
import { anySide } from "./any-side.ts";

const NAME = { shard: 3, homeLow: 1, homeHigh: 2 ** 32 - 1, id: new Uint8Array(16).fill(7), key: Uint8Array.of(1, 65) };

describe("side data as bytes", () => {
  test("comes back from a record and from a batch, bit for bit", () => {
    fc.assert(
      fc.property(fc.array(anySide, { maxLength: 4 }), (list) => {
        const parts = list.map((side, i) => ({ series: i * 1000, side }));
        expect(decodeSideRecord(encodeSideRecord(parts))).toEqual(parts);
        const writer = new SideBatchWriter();
        for (const side of list) writer.add(NAME, side);
        expect(decodeSideBatch(writer.finish(), 4)).toEqual(list.map((side) => ({ name: NAME, side })));
      }),
    );
  });

  test("flipped bits and cut ends are errors, or other data; never a crash", () => {
    fc.assert(
      fc.property(anySide, fc.nat(), fc.nat(7), fc.boolean(), (side, at, bit, cut) => {
        const bytes = encodeSideRecord([{ series: 5, side }]);
        const place = at % bytes.length;
        const damaged = cut ? bytes.slice(0, place) : bytes.slice();
        if (!cut) damaged[place]! ^= 1 << bit;
        try {
          decodeSideRecord(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptionError);
        }
        const writer = new SideBatchWriter();
        writer.add(NAME, side);
        const batch = writer.finish();
        batch[at % batch.length]! ^= 1 << bit;
        try {
          decodeSideBatch(batch, 4);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          expect(error).toBeInstanceOf(InvalidError);
        }
      }),
    );
  });
});

describe("a store", () => {
  test("holds what a merge of all that was put holds, in any order; repetitions are no news", () => {
    fc.assert(
      fc.property(fc.array(anySide, { maxLength: 6 }), (list) => {
        const store = new SideStore();
        let logged = NO_SIDE;
        for (const side of list) logged = mergeSide([logged, store.put(4, side).stored]);
        const all = mergeSide(list);
        const everything = (): unknown => store.read(4, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
        expect(everything()).toEqual(all);
        // What is logged is enough to have the same again.
        expect(logged).toEqual(all);
        for (const side of list) expect(store.put(4, side).stored).toEqual(NO_SIDE);
        expect(everything()).toEqual(all);
        const backwards = new SideStore();
        for (const side of [...list].reverse()) backwards.put(4, side);
        expect(backwards.read(4, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)).toEqual(all);
      }),
    );
  });

  test("reads a range, and the histogram before it", () => {
    const histogram = undefined;
    const store = new SideStore();
    const histograms = [10, 20, 30, 40].map((timeMs) => ({ timeMs, histogram }));
    store.put(1, { histograms, exemplars: [], starts: [] });
    expect(store.read(1, 25, 35).histograms.map(({ timeMs }) => timeMs)).toEqual([20, 30]);
    expect([...store.seriesWith("histograms", 41, 50)]).toEqual([]);
    expect([...store.seriesWith("histograms", 40, 50)]).toEqual([1]);
    expect([...store.seriesWith("starts", 0, 50)]).toEqual([]);
    expect(store.overlaps("histograms", 40, 50)).toBe(true);
    expect(store.overlaps("exemplars", 0, 50)).toBe(false);
  });
});
