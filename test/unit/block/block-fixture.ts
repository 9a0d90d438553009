// test/unit/block/block-fixture.ts: small blocks in a simulated file system for the tests of libs/block.
import {
  type BlockOptions,
  BlockReader,
  type BlockSummary,
  BlockWriter,
  compareBytes,
} from "../../../libs/block/index.ts";
import { type FileSystem, SimFileSystem } from "../../../libs/env/index.ts";
import { ColumnKernel } from "../../../libs/kernel/index.ts";
import { encodeSeriesKey, labelsFromRecord } from "../../../libs/model/index.ts";
import { bitsOfValues, columnOf, drawColumn } from "../kernel/column-courses.ts";
import type { Draw } from "../kernel/head-programs.ts";

export const kernel = new ColumnKernel(4096);

export interface TestSeries {
  readonly key: Uint8Array;
  readonly times: Float64Array;
  readonly columns: readonly Float64Array[];
}

export function optionsOf(more: Partial<BlockOptions> = {}): BlockOptions {
  return {
    id: new Uint8Array(16).fill(1),
    shard: 3,
    shardCount: 64,
    hashSeed: new Uint8Array(16).fill(6),
    level: "raw",
    minMs: 0,
    maxMs: 10_000_000,
    walPosition: [7n, 0xffff_ffff_ffff_fff0n],
    parents: [],
    columnsPerSeries: 1,
    ...more,
  };
}

export const keyOf = (tenant: string, labels: Record<string, string>): Uint8Array =>
  encodeSeriesKey(tenant, labelsFromRecord(labels));

export const byKey = (series: readonly TestSeries[]): TestSeries[] =>
  [...series].sort((a, b) => compareBytes(a.key, b.key));

/** Writes a block of these series. */
export function writeBlock(
  fs: FileSystem,
  path: string,
  series: readonly TestSeries[],
  options: Partial<BlockOptions> = {},
): BlockSummary {
  const writer = new BlockWriter(fs, path, optionsOf(options), kernel);
  for (const { key, times, columns } of byKey(series)) writer.addSeries(key, times, ...columns);
  return writer.finish("test");
}

export function openBlock(fs: FileSystem, path: string): BlockReader {
  return new BlockReader(fs, path, kernel);
}

/** A series as text, to be compared: key, times, and the bits of its columns. */
export function textOf(key: Uint8Array, times: Float64Array, columns: readonly Float64Array[]): string {
  return `${Buffer.from(key).toString("latin1")} ${times.join()} ${columns.map((c) => bitsOfValues(c).join()).join(";")}`;
}

/** All of a block as texts, in its order. */
export function contentOf(reader: BlockReader): string[] {
  return Array.from({ length: reader.seriesCount }, (_, i) => {
    const columns = Array.from({ length: reader.footer.columnsPerSeries }, (_, which) => {
      const column = reader.column(i, which);
      const out = new Float64Array(column.header.count);
      reader.readValues(column, out);
      return out;
    });
    return textOf(reader.key(i), reader.times(reader.column(i).times), columns);
  });
}

/** Times of `count` scrapes from `start` on, every 1000 ms, a few of them late. */
export function drawTimes(draw: Draw, start: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => start + i * 1000 + (draw.chance(0.05) ? draw.below(25) : 0));
}

/** Random series of a few targets and tenants; those of a target share times, a histogram among them. */
export function drawSeries(draw: Draw, targets: number, width = 1): TestSeries[] {
  const out: TestSeries[] = [];
  for (let t = 0; t < targets; t++) {
    const tenant = draw.pick(["default", "zeta", "a"]);
    const times = drawTimes(draw, 1 + draw.below(5000), 1 + draw.below(200));
    const own = (labels: Record<string, string>, columns: Float64Array[]): void => {
      out.push({ key: keyOf(tenant, { ...labels, instance: `host-${t}:9100`, job: "node" }), times, columns });
    };
    for (let k = 0; k < 12; k++) {
      const columns = Array.from({ length: width }, () => {
        const bits = drawColumn(draw, times.length);
        return columnOf(Array.from(times, (_, i) => bits[i % bits.length]!));
      });
      own({ __name__: `metric_${k % 5}`, device: `sd${k}`, ...(draw.chance(0.3) ? { mode: "ü" } : {}) }, columns);
    }
    const sums = new Float64Array(6);
    const rows = Array.from(times, () => sums.map((_, b) => (sums[b] = sums[b]! + (b === 0 ? 0 : draw.below(3)))));
    rows.forEach((row) => {
      for (let b = 1; b < 6; b++) row[b] = row[b]! + row[b - 1]!;
    });
    ["0.5", "1", "2.5", "10", "25", "+Inf"].forEach((le, b) => {
      const column = Float64Array.from(rows, (row) => row[b]!);
      own({ __name__: "wait_bucket", le }, Array(width).fill(column));
      if (le === "+Inf") own({ __name__: "wait_count" }, Array(width).fill(column.map((v) => v + 17)));
    });
  }
  return out;
}

export const newDisk = (): SimFileSystem => new SimFileSystem();
