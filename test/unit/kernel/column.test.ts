// test/unit/kernel/column.test.ts: the column kernel against its twin (libs/kernel/twin/column.ts) and against itself: lossless, sized as
// promised, statistics right, no canary changed. Seeds are fixed; FUZZ_RUNS sets the number of columns.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FIELD } from "../../../libs/kernel/column-layout.ts";
import { type ColumnHeader, ColumnKernel } from "../../../libs/kernel/index.ts";
import { decodeColumn, statisticsOf } from "../../../libs/kernel/twin/column.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { AWKWARD_BITS, bitsOfValues, columnOf, drawColumn } from "./column-courses.ts";
import { plantCanaries } from "./column-regions.ts";
import { bitsOf, STALE } from "./head-batches.ts";
import { Draw } from "./head-programs.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 4000);
const kernel = new ColumnKernel(600);
const check = plantCanaries(kernel);

interface Stored {
  readonly header: ColumnHeader;
  readonly payload: Uint8Array;
  readonly reference: number;
}

function encode(bits: readonly bigint[], references: readonly (readonly bigint[])[] = []): Stored {
  const { header, payload, reference } = kernel.encode(columnOf(bits), references.map(columnOf));
  return { header, payload: payload.slice(), reference };
}

function decode(stored: Stored, reference?: readonly bigint[]): bigint[] | string {
  const out = new Float64Array(stored.header.count);
  const fault = kernel.decode(stored.header, stored.payload, out, reference && columnOf(reference));
  return fault ?? bitsOfValues(out);
}

const numbers = (n: number, f: (i: number) => number): bigint[] => Array.from({ length: n }, (_, i) => bitsOf(f(i)));

function statistics(header: ColumnHeader): object {
  const view = new DataView(header.bytes.buffer, header.bytes.byteOffset);
  return {
    stales: header.stales,
    nans: header.nans,
    min: header.min,
    max: header.max,
    sum: header.sum,
    firstIndex: header.firstIndex,
    lastIndex: header.lastIndex,
    firstBits: view.getBigUint64(FIELD.FIRST, true),
    lastBits: view.getBigUint64(FIELD.LAST, true),
    resets: header.resets,
    resetSum: header.resetSum,
  };
}

describe("every column comes back bit for bit", () => {
  test("random courses, in the kernel and in the twin, statistics as the twin computes them; no canary changes", () => {
    const draw = new Draw(7);
    for (let run = 0; run < RUNS; run++) {
      const column = drawColumn(draw, draw.pick([20, 150, 600]));
      const stored = encode(column);
      if (decode(stored).toString() !== column.toString()) throw new Error(`run ${run}: the kernel changed a column`);
      expect(statistics(stored.header), `run ${run}`).toEqual(statisticsOf(column));
      expect(stored.payload.length).toBeLessThanOrEqual(column.length * 8);
      if (run % 10 === 0) expect(decodeColumn(stored.header.bytes, stored.payload)).toEqual(column);
      if (run % 100 === 0) check();
    }
    check();
  });

  test("with references: any columns at all, in the kernel and in the twin", () => {
    const draw = new Draw(11);
    let taken = 0;
    for (let run = 0; run < RUNS / 4; run++) {
      const column = drawColumn(draw, 200);
      const cycled = (bits: bigint[]): bigint[] => column.map((_, i) => bits[i % bits.length]!);
      const offered = Array.from({ length: draw.below(5) }, () =>
        draw.chance(0.6)
          ? column.map((bits) => (draw.chance(0.9) ? bits : bitsOf(draw.below(1000))))
          : cycled(drawColumn(draw, 200)),
      );
      const stored = encode(column, offered);
      const reference = stored.reference < 0 ? undefined : offered[stored.reference]!;
      if (reference !== undefined) taken++;
      expect(stored.header.hasReference).toBe(reference !== undefined);
      expect(decode(stored, reference), `run ${run}`).toEqual(column);
      if (run % 10 === 0) expect(decodeColumn(stored.header.bytes, stored.payload, reference)).toEqual(column);
    }
    expect(taken).toBeGreaterThan(RUNS / 100);
    check();
  });

  test("arbitrary bits, chosen by fast-check", () => {
    const bits = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.constantFrom(...AWKWARD_BITS));
    const decimals = fc.tuple(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 15 }));
    const value = fc.oneof(
      bits,
      decimals.map(([n, e]) => bitsOf(n / 10 ** e)),
      fc.double().map(bitsOf),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 300 }), (column) => {
        expect(decode(encode(column))).toEqual(column);
      }),
      { seed: 3, numRuns: Math.max(1, RUNS / 8) },
    );
    check();
  });

  test.each(AWKWARD_BITS.map((bits) => [bits.toString(16), bits] as const))(
    "%s alone, throughout, once, at either end",
    (_, bits) => {
      const base = numbers(100, (i) => i * 7);
      for (const column of [
        [bits],
        Array(50).fill(bits),
        base.with(50, bits),
        base.with(0, bits),
        base.with(99, bits),
      ]) {
        expect(decode(encode(column))).toEqual(column);
      }
    },
  );
});

describe("the kind that suits", () => {
  const sized = (column: readonly bigint[]): [string, number] => {
    const { header, payload } = encode(column);
    return [header.kind, payload.length];
  };

  test("constants and lines have no payload", () => {
    expect(sized(numbers(480, () => 0.1))).toEqual(["constant", 0]);
    expect(sized(Array(480).fill(STALE))).toEqual(["constant", 0]);
    expect(sized(numbers(480, (i) => 17 + i * 30))).toEqual(["linear", 0]);
    expect(sized(numbers(480, (i) => (1234 - i * 3) / 100))).toEqual(["linear", 0]);
    expect(sized(numbers(480, () => 5).with(479, STALE))).toEqual(["linear", 5]);
  });

  test("a gcd takes its bits out", () => {
    const draw = new Draw(3);
    const pages = Array.from({ length: 480 }, () => draw.below(1000));
    const plain = encode(numbers(480, (i) => pages[i]!)).payload.length;
    expect(encode(numbers(480, (i) => pages[i]! * 4096)).payload.length).toBe(plain);
    expect(encode(numbers(480, (i) => pages[i]! * 3e9)).payload.length).toBe(plain);
    expect(encode(numbers(480, (i) => pages[i]! / 1000)).payload.length).toBe(plain);
  });

  test("noise is kept raw", () => {
    const draw = new Draw(4);
    expect(sized(Array.from({ length: 100 }, () => draw.bits()))).toEqual(["raw", 800]);
  });

  test("blurred decimals cost little more than clean ones", () => {
    let sum = 0;
    const draw = new Draw(5);
    const steps = Array.from({ length: 480 }, () => draw.below(50) / 1000);
    const blurred = encode(numbers(480, (i) => (sum += steps[i]!)));
    expect(blurred.header.kind).toBe("coded");
    expect(blurred.payload.length).toBeLessThan(700);
  });

  test("times: regular ones nothing, one late in a hundred a little, a fifth off by 20 ms two bits each", () => {
    const draw = new Draw(6);
    const start = 1_750_000_000_000;
    const times = (off: () => number): number => encode(numbers(480, (i) => start + i * 15_000 + off())).payload.length;
    expect(times(() => 0)).toBe(0);
    expect(times(() => (draw.chance(0.01) ? draw.below(25) : 0))).toBeLessThan(20);
    expect(times(() => (draw.chance(0.2) ? draw.below(41) - 20 : 0))).toBeLessThan(125);
  });

  test("a column that rises as another does is a reference to it; a bucket costs its distance to the next", () => {
    const draw = new Draw(8);
    let [low, high] = [0, 1e6];
    const lows: number[] = [];
    const highs: number[] = [];
    for (let i = 0; i < 480; i++) {
      const d = draw.below(10_000);
      low += d;
      high += d + (draw.chance(0.05) ? 1 : 0);
      lows.push(low);
      highs.push(high);
    }
    const reference = numbers(480, (i) => lows[i]!);
    const same = encode(
      numbers(480, (i) => lows[i]! + 500),
      [numbers(480, (i) => i * i), reference],
    );
    expect([same.reference, same.header.kind, same.payload.length]).toEqual([1, "linear", 0]);
    const bucket = numbers(480, (i) => highs[i]!);
    expect(encode(bucket).payload.length).toBeGreaterThan(700);
    expect(encode(bucket, [reference]).payload.length).toBeLessThan(50);
  });

  test("columns that rise alike have one fingerprint", () => {
    const print = (column: readonly bigint[]): bigint => encode(column).header.fingerprint;
    expect(print(numbers(50, (i) => i * i + 5))).toBe(print(numbers(50, (i) => i * i)));
    expect(print(numbers(50, (i) => i * i + (i === 30 ? 1 : 0)))).not.toBe(print(numbers(50, (i) => i * i)));
  });
});

describe("statistics", () => {
  test("a counter with resets, NaNs and stale markers", () => {
    const column = [STALE, ...[5, 8, 2, NaN, 1, 4, 4, 0].map(bitsOf), STALE];
    const { header } = encode(column);
    expect(statistics(header)).toEqual(statisticsOf(column));
    expect([header.samples, header.stales, header.nans, header.resets]).toEqual([8, 2, 1, 2]);
    expect([header.min, header.max, header.sum]).toEqual([0, 8, NaN]);
    // 8 → 2 and 4 → 0 are resets; after a NaN there is nothing to compare with.
    expect([header.first, header.last, header.resetSum, header.increase]).toEqual([5, 0, 12, 7]);
    expect([header.firstIndex, header.lastIndex]).toEqual([1, 8]);
  });

  test("nothing but stale markers is empty", () => {
    const { header } = encode([STALE, STALE, STALE]);
    expect([header.isEmpty, header.samples, header.sum]).toEqual([true, 0, 0]);
    expect(encode(numbers(3, () => 1)).header.isEmpty).toBe(false);
  });
});

describe("what is refused", () => {
  test("columns that are empty, too long, or offered references of another length", () => {
    expect(() => kernel.encode(new Float64Array(0))).toThrow(InvalidError);
    expect(() => kernel.encode(new Float64Array(601))).toThrow(InvalidError);
    expect(() => kernel.encode(new Float64Array(5), [new Float64Array(4)])).toThrow(InvalidError);
  });

  test("an output that is too short, a payload of another length", () => {
    const { header, payload } = encode(numbers(50, (i) => i * i));
    expect(kernel.decode(header, payload, new Float64Array(49))).toBe("header");
    expect(kernel.decode(header, payload.subarray(1), new Float64Array(50))).toBe("length");
    expect(kernel.decode(header, payload, new Float64Array(50), new Float64Array(50))).toBe("header");
  });
});
