// test/unit/side/side-file.test.ts: files of side data: everything comes back; damage is found; the golden file of version 1 stays readable.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SimFileSystem } from "../../../libs/env/index.ts";
import { ColumnKernel } from "../../../libs/kernel/index.ts";
import {
  AppError,
  customLayout,
  encodeSeriesKey,
  exponentialLayout,
  type FloatHistogram,
} from "../../../libs/model/index.ts";
import {
  planSideExpiry,
  planSideMerges,
  type SideFileOptions,
  SideFileReader,
  SideFileWriter,
  type SideSeries,
  sideFileName,
  verifySideFile,
} from "../../../libs/side/index.ts";
import { decodeSection, encodeSection } from "../../../libs/side/side-section.ts";
import { anySide } from "./any-side.ts";

const kernel = new ColumnKernel();
const PATH = "/file.tms";
const OPTIONS: SideFileOptions = {
  id: Uint8Array.from({ length: 16 }, (_, i) => i),
  shard: 2,
  shardCount: 4,
  hashSeed: new Uint8Array(16).fill(9),
  minMs: 0,
  maxMs: 86_400_000,
  parents: [new Uint8Array(16).fill(1)],
};

const keyOf = (i: number): Uint8Array => encodeSeriesKey("t", ["__name__", `h${i}`]);

async function written(list: readonly SideSeries[]): Promise<SimFileSystem> {
  const fs = new SimFileSystem();
  const writer = new SideFileWriter(fs, PATH, OPTIONS, kernel);
  list.forEach((side, i) => {
    writer.add(keyOf(i), side);
  });
  const size = await writer.finish();
  expect(fs.stat(PATH)!.sizeBytes).toBe(size);
  return fs;
}

function bytesOf(fs: SimFileSystem): Uint8Array {
  const file = fs.open(PATH, "read");
  const bytes = new Uint8Array(file.sizeBytes());
  file.read(bytes, 0);
  file.close();
  return bytes;
}

function fileOf(bytes: Uint8Array): SimFileSystem {
  const fs = new SimFileSystem();
  const file = fs.open(PATH, "create");
  file.write(bytes, 0);
  file.close();
  return fs;
}

function readAll(fs: SimFileSystem): SideSeries[] {
  const reader = new SideFileReader(fs, PATH, kernel);
  try {
    return reader.directory().map((entry) => reader.read(entry));
  } finally {
    reader.close();
  }
}

/** What a client's counter looks like: buckets grow, and now and then there is one more. */
function grownHistograms(): SideSeries {
  const histograms = Array.from({ length: 480 }, (_, i) => {
    const indexes = Array.from({ length: 20 + Math.floor(i / 100) }, (_, b) => b - 5);
    const buckets = Float64Array.from(indexes, (index) => (index + 7) * i);
    const histogram: FloatHistogram = {
      layout: exponentialLayout(3, 1e-128, indexes, []),
      hint: 0,
      count: buckets.reduce((a, b) => a + b, 0),
      sum: i * 0.25,
      zeroCount: 0,
      buckets,
    };
    return { timeMs: 1000 + i * 15_000, histogram };
  });
  return { histograms, exemplars: [], starts: [] };
}

describe("a file", () => {
  test("gives back what was written, with spans that tell what is in it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anySide, { minLength: 1, maxLength: 4 }), async (list) => {
        const fs = await written(list);
        expect(readAll(fs)).toEqual(list);
        const reader = new SideFileReader(fs, PATH, kernel);
        expect(reader.footer).toMatchObject({
          shard: 2,
          shardCount: 4,
          minMs: 0,
          maxMs: 86_400_000,
          seriesCount: list.length,
        });
        for (const part of ["histograms", "exemplars", "starts"] as const) {
          const times = list.flatMap((side) => side[part].map(({ timeMs }) => timeMs));
          const { count, span } = reader.footer.parts[part];
          expect([count, span.low, span.high]).toEqual([times.length, Math.min(...times), Math.max(...times)]);
        }
        reader.close();
      }),
      { numRuns: 40 },
    );
  });

  test("a flipped bit anywhere is found", async () => {
    const bytes = bytesOf(await written([grownHistograms()]));
    const good = readAll(fileOf(bytes));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        expect(() => readAll(fileOf(damaged))).toThrow(AppError);
        // A version that is damaged looks like a later one, but for the checksum of the footer.
        expect(verifySideFile(fileOf(damaged), PATH, kernel).length).toBe(1);
      }),
      { numRuns: 150 },
    );
    expect(readAll(fileOf(bytes))).toEqual(good);
    expect(verifySideFile(fileOf(bytes), PATH, kernel)).toEqual([]);
  });

  test("sections whose bytes were made up are errors or other data, in bounded time", () => {
    const { page, payloads } = encodeSection(grownHistograms(), kernel);
    const bytes = page.slice();
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        try {
          decodeSection(damaged, payloads, kernel, { path: PATH, offset: 0 });
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("buckets that grow take a fraction of their doubles", async () => {
    const side = grownHistograms();
    const numbers = side.histograms.reduce((sum, { histogram }) => sum + histogram!.buckets.length + 3, 0);
    expect(bytesOf(await written([side])).length).toBeLessThan(numbers);
  });

  test("the golden file of version 1", async () => {
    const golden = fileURLToPath(new URL("../../golden/side-1.tms", import.meta.url));
    const small = { ...grownHistograms(), histograms: grownHistograms().histograms.slice(95, 105) };
    const custom: SideSeries = {
      histograms: [
        {
          timeMs: 5,
          histogram: {
            layout: customLayout([0.5, 1], [0, 2]),
            hint: 3,
            count: 2.5,
            sum: Number.NaN,
            zeroCount: 0,
            buckets: Float64Array.of(1, 1.5),
          },
        },
        { timeMs: 6, histogram: undefined },
      ],
      exemplars: [{ timeMs: 5, value: -0, labels: ["trace_id", "é"] }],
      starts: [{ timeMs: 5, startMs: 1 }],
    };
    const bytes = bytesOf(await written([small, custom]));
    if (process.env.WRITE_GOLDEN === "1") writeFileSync(golden, bytes);
    const kept = new Uint8Array(readFileSync(golden));
    expect(readAll(fileOf(kept))).toEqual([small, custom]);
  });
});

describe("plans", () => {
  const DAY = 86_400_000;
  const file = (
    shard: number,
    minMs: number,
    maxMs: number,
  ): { file: string; shard: number; minMs: number; maxMs: number } => ({
    file: sideFileName({ ...OPTIONS, shard, minMs, maxMs }),
    ...{ shard, minMs, maxMs },
  });

  test("days that are over are merged, shard by shard; today only when it has many files", () => {
    const [a, b, c, d] = [file(0, 0, 100), file(0, 100, DAY), file(0, DAY, DAY + 1), file(1, 0, 100)];
    const files = [d!, c!, b!, a!];
    expect(planSideMerges(files, DAY + 3_599_999)).toBeUndefined();
    expect(planSideMerges(files, DAY + 3_600_000)).toEqual([b, a]);
    expect(planSideMerges([a!, c!, d!], 10 * DAY)).toBeUndefined();
    const many = Array.from({ length: 8 }, (_, i) => file(3, i, i + 1));
    expect(planSideMerges(many, 100)).toEqual(many);
  });

  test("what deletions hide of is left alone until one is due, then written anew, with its day when all are", () => {
    const file = (shard: number, hours: number, ...deletions: string[]) => ({
      ...{ file: `${shard} ${hours}`, shard, minMs: hours * 3_600_000, maxMs: (hours + 1) * 3_600_000 },
      tombstones: deletions.map((deletion) => ({ deletion })),
    });
    const isDue = (deletion: string): boolean => deletion === "due";
    const plan = (files: ReturnType<typeof file>[], nowMs = 48 * 3_600_000) =>
      planSideMerges(files, nowMs, { isDue })?.map(({ file: name }) => name);
    expect(plan([file(0, 1, "open"), file(0, 2)])).toBeUndefined();
    expect(plan([file(0, 1, "open"), file(0, 2), file(0, 3)])).toEqual(["0 2", "0 3"]);
    expect(plan([file(0, 1, "due"), file(0, 2)])).toEqual(["0 1", "0 2"]);
    expect(plan([file(0, 1, "due", "open"), file(0, 2)])).toEqual(["0 1"]);
    expect(plan([file(0, 1, "due")])).toEqual(["0 1"]);
    // Before its day is over, too.
    expect(plan([file(0, 1, "due"), file(0, 2)], 3 * 3_600_000)).toEqual(["0 1"]);
    expect(planSideMerges([file(0, 1, "due")], 48 * 3_600_000)).toBeUndefined();
  });

  test("files without anything within retention expire", () => {
    const [a, b] = [file(0, 0, 100), file(0, 100, 200)];
    expect(planSideExpiry([a!, b!], 1000, 850)).toEqual([a]);
  });
});
