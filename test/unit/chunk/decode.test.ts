// test/unit/chunk/decode.test.ts: the chunk format: golden bytes, and the kernel's chunks decoded by the twin in
// libs/chunk/decode.ts.
import { describe, expect, test } from "vitest";
import {
  CHUNK_CONSTANT,
  CHUNK_HOLES,
  CHUNK_NAN,
  CHUNK_STALE,
  type DecodedChunk,
  decodeChunk,
} from "../../../libs/chunk/index.ts";
import { CONTROL_WORDS as C, S_CHUNK, S_SEALED } from "../../../libs/kernel/head-layout.ts";
import { type HeadDictionary, HeadKernel } from "../../../libs/kernel/index.ts";
import { CorruptionError } from "../../../libs/model/index.ts";
import { bitsOf, bitsOfColumn, encodeBatch, HOLE, STALE } from "../kernel/head-batches.ts";
import { Draw } from "../kernel/head-programs.ts";

/** A kernel with two series of one group; series 1 fills the ordinals that series 0 leaves out. */
function append(columns: readonly (bigint | undefined)[]): HeadKernel {
  const kernel = new HeadKernel({ memoryBytes: 4 << 20 });
  const dictionary: HeadDictionary = kernel.makeDictionary()!;
  for (let i = 0; i < 2; i++) dictionary.set(i, kernel.addSeries(0, 0));
  columns.forEach((bits, t) => {
    const mine = bits === undefined ? [] : [{ ref: 0, time: t, bits }];
    kernel.append(encodeBatch([...mine, { ref: 1, time: t, bits: 0n }]), dictionary, 0, 2 ** 53);
  });
  return kernel;
}

/** The chunks of series 0, oldest first, with their bytes. */
function chunksOf(kernel: HeadKernel): { chunk: DecodedChunk; bytes: Uint8Array }[] {
  const words = new Uint32Array(kernel.memory.buffer);
  const view = new DataView(kernel.memory.buffer);
  const series = words[C.SERIES_BASE]! / 4;
  const out: { chunk: DecodedChunk; bytes: Uint8Array }[] = [];
  for (let at = words[series + S_CHUNK]! || words[series + S_SEALED]!; at !== 0; at = out[0]!.chunk.previous) {
    const chunk = decodeChunk(view, at);
    out.unshift({ chunk, bytes: new Uint8Array(kernel.memory.buffer, at, chunk.sizeBytes).slice() });
  }
  return out;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const numbers = (n: number, f: (i: number) => number): bigint[] => Array.from({ length: n }, (_, i) => bitsOf(f(i)));

describe("golden chunks of one frame", () => {
  // Behind the 28 bytes of header: previous, group, first ordinal, count, length, flags, base.
  test.each<[string, (bigint | undefined)[], number, string]>([
    ["a run", numbers(16, () => 1.5), CHUNK_CONSTANT, "0010"],
    ["integers", numbers(16, (i) => i * i), 0, "030501" + "00086290620e4a6ab1e6"],
    ["a slope, which needs no bits", numbers(16, (i) => i * 1000), 0, "0340e803"],
    ["tenths", numbers(16, (i) => (i % 4) / 10), 0, "1303fd" + "230992200992"],
    ["one change", numbers(16, (i) => (i < 9 ? 0.1 : 1e-9)), 0, "0200400002" + "0f4fbf7192b7a801"],
    ["changes in the low bits", numbers(16, (i) => 2 + i * 3 * 2 ** -50), 0, "120106" + "c0503cc5d01dcd50fcc5d01c"],
    [
      "a hole and a stale marker",
      [1n, 1n, undefined, 1n, STALE, ...numbers(11, () => 5e-324)],
      CHUNK_HOLES | CHUNK_STALE,
      "0d04001000",
    ],
    ["a NaN", [bitsOf(1), bitsOf(NaN), ...numbers(14, () => 1)], CHUNK_NAN, "02330c0600" + "011880"],
  ])("%s", (_, columns, flags, body) => {
    const [only] = chunksOf(append(columns));
    expect(only!.chunk.values).toEqual(columns.map((bits) => bits ?? HOLE));
    expect(only!.chunk.flags).toBe(flags);
    expect(hex(only!.bytes.subarray(28))).toBe(body);
    expect(hex(only!.bytes.subarray(0, 16))).toBe(
      `0000000000000000000000001000${hex(Uint8Array.of(only!.bytes.length))}00`,
    );
  });
});

describe("the kernel's chunks", () => {
  test("are sealed at 128 ordinals, constant ones go on", () => {
    const varying = chunksOf(append(numbers(400, (i) => i % 17))).map((c) => c.chunk.values.length);
    expect(varying).toEqual([128, 128, 128, 16]);
    const constant = chunksOf(append(numbers(1000, (i) => (i < 900 ? 7 : i)))).map((c) => [
      c.chunk.values.length,
      c.bytes.length,
    ]);
    // Runs of 255 values in 2 bytes each; the change begins a new chunk.
    expect(constant[0]).toEqual([896, 28 + 2 * 4]);
    expect(constant[1]![0]).toBe(96);
  });

  test("decode to the same bits in the twin, whatever the values", () => {
    const draw = new Draw(42);
    const kinds: ((i: number) => bigint | undefined)[] = [
      () => draw.bits(),
      () => bitsOf(draw.below(2 ** 31) / 10 ** draw.below(12)),
      (i) => bitsOf(Math.floor(i / 5) * 1e15 + draw.below(3)),
      () => (draw.chance(0.1) ? undefined : draw.chance(0.2) ? STALE : bitsOf(draw.below(10) / 100)),
      () => bitsOf((draw.chance(0.5) ? 1 : -1) * 2 ** (draw.below(2100) - 1074)),
      (i) => bitsOf(2 ** 53 - 200 + i),
      (i) => bitsOf(-(2 ** 51) + i * (i % 2 === 0 ? 2 ** 40 : 1)),
    ];
    for (let round = 0; round < 150; round++) {
      const kind = kinds[round % kinds.length]!;
      const values = Array.from({ length: 1 + draw.below(300) }, (_, i) => kind(i));
      values[0] ??= 0n;
      const kernel = append(values);
      const decoded = chunksOf(kernel);
      const read = bitsOfColumn(kernel.readColumn(0, 0, values.length));
      const last = values.findLastIndex((v) => v !== undefined);
      expect(read).toEqual(values.map((v) => v ?? HOLE));
      let ordinal = 0;
      for (const { chunk } of decoded) {
        expect(chunk.firstOrdinal).toBeGreaterThanOrEqual(ordinal);
        ordinal = chunk.firstOrdinal;
        for (const bits of chunk.values) expect(bits).toBe(read[ordinal++]);
      }
      expect(ordinal).toBeGreaterThan(last - 16);
    }
  });
});

test("a chunk whose length lies is refused", () => {
  const [first] = chunksOf(append(numbers(128, (i) => i % 7)));
  for (const [at, delta] of [
    [14, 1],
    [14, -1],
    [12, 1],
  ] as const) {
    const bytes = new Uint8Array(first!.bytes.length + 64);
    bytes.set(first!.bytes);
    bytes[at] = bytes[at]! + delta;
    expect(() => decodeChunk(new DataView(bytes.buffer), 0)).toThrow(CorruptionError);
  }
});
