// test/unit/kernel/head-reuse.test.ts: a head's memory serves again: emptied, it behaves like a new one; its references move to others;
// records are replayed between bounds.
import { expect, test } from "vitest";
import { encodeSamplesRecord, HeadKernel } from "../../../libs/kernel/index.ts";
import { bitsOf, bitsOfColumn, columnsOf, encodeBatch, type Sample } from "./head-batches.ts";
import { Draw } from "./head-programs.ts";
import { plantCanaries } from "./head-regions.ts";

const TIME = 1_700_000_000_000;
const SERIES = 300;

/** Appends scrapes with gaps, late samples and odd values; returns what every series has then. */
function fill(kernel: HeadKernel, seed: number): bigint[][] {
  const draw = new Draw(seed);
  const dictionary = kernel.makeDictionary()!;
  for (let i = 0; i < SERIES; i++) dictionary.set(i, kernel.addSeries(i % 5, 7));
  for (let t = 0; t < 200; t++) {
    const samples: Sample[] = [];
    for (let ref = 0; ref < SERIES; ref++) {
      if (draw.chance(0.05)) continue;
      const time = TIME + t * 1000 - (draw.chance(0.01) ? 5500 : 0);
      samples.push({ ref, time, bits: draw.chance(0.9) ? bitsOf(draw.below(100)) : draw.bits() });
    }
    kernel.append(encodeBatch(samples), dictionary, 0, 2 ** 53);
  }
  return Array.from({ length: SERIES }, (_, i) => {
    const { times, values } = kernel.readSeries(i, 0, 2 ** 53);
    return [...bitsOfColumn(times.slice()), ...bitsOfColumn(values.slice())];
  });
}

test("an emptied head is like a new one", () => {
  const options = { memoryBytes: 24 << 20 };
  const kernel = new HeadKernel(options);
  const check = plantCanaries(kernel);
  for (const seed of [1, 2, 3]) {
    expect(kernel.stats().samples).toBe(0);
    const fresh = new HeadKernel(options);
    expect(fill(kernel, seed)).toEqual(fill(fresh, seed));
    expect(kernel.stats()).toEqual(fresh.stats());
    expect(kernel.usedBytes).toBeGreaterThan(SERIES * 48);
    for (const [from, to] of kernel.dirtyRanges) kernel.zero(from, to);
    kernel.reset();
    check();
    expect([kernel.seriesCount, kernel.usedBytes]).toEqual([0, 0]);
  }
});

test("references move to another head", () => {
  const [one, other] = [new HeadKernel({ memoryBytes: 4 << 20 }), new HeadKernel({ memoryBytes: 4 << 20 })];
  const from = one.makeDictionary()!;
  for (let i = 0; i < 4; i++) {
    one.addSeries(1, 1);
    other.addSeries(1, 1);
  }
  const refs = [0, 1023, 1024, 70_000];
  refs.forEach((ref, i) => {
    from.set(ref, i);
  });
  from.refuse(5000, "series-limit");
  const to = other.makeDictionary()!;
  expect(to.copyFrom(from)).toBe(true);
  const samples = [...refs, 5000].sort((a, b) => a - b).map((ref): Sample => ({ ref, time: TIME, bits: bitsOf(ref) }));
  const done = other.append(encodeBatch(samples), to, 0, 2 ** 53);
  expect([done.stored, done.refusedLimit]).toEqual([4, 1]);
  refs.forEach((ref, i) => {
    expect(bitsOfColumn(other.readSeries(i, 0, 2 ** 53).values)).toEqual([bitsOf(ref)]);
  });
  expect(other.append(encodeBatch([{ ref: 7, time: TIME, bits: 1n }]), to, 0, 2 ** 53).status).toBe("unknown-refs");
});

test("records are replayed between bounds, and the newest time within them is told", () => {
  const kernel = new HeadKernel({ memoryBytes: 4 << 20 });
  for (let i = 0; i < 3; i++) kernel.addSeries(1, 1);
  const samples = [0, 1, 2].flatMap((ref) =>
    [1, 2, 3, 4].map((t): Sample => ({ ref, time: TIME + t, bits: bitsOf(t) })),
  );
  const told: unknown[] = [];
  const record = encodeSamplesRecord(columnsOf(samples));
  kernel.replay(record, (o) => told.push([o.stored, o.tooOld, o.future, o.newestMs]), TIME + 2, TIME + 3);
  kernel.replay(record, (o) => told.push([o.stored, o.tooOld, o.newestMs]), TIME + 5);
  expect(told).toEqual([
    [6, 3, 3, TIME + 3],
    [0, 12, Number.NEGATIVE_INFINITY],
  ]);
  expect([...kernel.readSeries(1, 0, 2 ** 53).times]).toEqual([TIME + 2, TIME + 3]);
});

test("room for series is known beforehand", () => {
  const kernel = new HeadKernel({ memoryBytes: 1 << 20 });
  let added = 0;
  while (kernel.hasSeriesRoom) {
    expect(kernel.addSeries(added, 1)).toBe(added);
    added++;
  }
  expect(added).toBeGreaterThan(500);
  expect(kernel.addSeries(added, 1)).toBe(-1);
});
