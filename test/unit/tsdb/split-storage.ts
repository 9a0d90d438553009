// test/unit/tsdb/split-storage.ts: the same samples twice: in one head, and split over heads and blocks on a simulated file system.
import { BlockReader, BlockWriter, compareBytes, piecesOf, TimesPool } from "../../../libs/block/index.ts";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { MemoryPieceStore } from "../../../libs/index/index.ts";
import { ColumnKernel } from "../../../libs/kernel/index.ts";
import { encodeSeriesKey, type Labels, labelsFromRecord } from "../../../libs/model/index.ts";
import { BlockMemory } from "../../../libs/tsdb/block-memory.ts";
import { SeriesCatalog } from "../../../libs/tsdb/catalog.ts";
import { Head } from "../../../libs/tsdb/head.ts";
import { PieceIndex } from "../../../libs/tsdb/piece-index.ts";
import { Selector } from "../../../libs/tsdb/selector.ts";
import type { Sources } from "../../../libs/tsdb/sources.ts";
import { StoredBlock } from "../../../libs/tsdb/stored-block.ts";
import { columnOf } from "../kernel/column-courses.ts";
import { encodeBatch } from "../kernel/head-batches.ts";
import { type LabelRecord, NOW, TENANT } from "./db-fixture.ts";

export const SHARDS = 2;
const kernel = new ColumnKernel(4096);
const HEAD_BYTES = 4 << 20;

/** A sample of a series, told by its number. */
export interface SplitSample {
  readonly series: number;
  readonly time: number;
  readonly bits: bigint;
}

export interface SplitSeries {
  readonly labels: LabelRecord;
  readonly target: number;
}

/** Where the samples of a storage are: a list for each head, in the order they come, and one for each block. */
export interface Split {
  readonly heads: readonly (readonly SplitSample[])[];
  readonly blocks: readonly (readonly SplitSample[])[];
}

const labelsOf = (series: SplitSeries): Labels => labelsFromRecord(series.labels);
const keyOf = (series: SplitSeries): Uint8Array => encodeSeriesKey(TENANT, labelsOf(series));

/** One storage without a log. */
export class SplitStorage {
  readonly fs = new SimFileSystem();
  readonly clock = new SimClock(NOW);
  readonly memory: BlockMemory;
  readonly catalog = new SeriesCatalog();
  sources: Sources;
  private readonly heads: readonly Head[];
  readonly store = new MemoryPieceStore();
  readonly pieces = new PieceIndex(this.store);
  readonly selector: Selector;
  private readonly indexed: boolean;
  private readonly series: readonly SplitSeries[];
  private readonly timesPool = new TimesPool();
  private blockCount = 0;

  /** Series up to `registered` are in the catalogue; the others, of which no head has samples, are not. Blocks have pieces with `indexed`. */
  constructor(
    series: readonly SplitSeries[],
    { heads, blocks }: Split,
    registered = series.length,
    memoryBytesMax = Number.POSITIVE_INFINITY,
    indexed = true,
  ) {
    this.series = series;
    this.indexed = indexed;
    this.memory = new BlockMemory(this.clock, memoryBytesMax, 60_000);
    this.heads = heads.map(() => new Head({ memoryBytes: HEAD_BYTES }));
    this.selector = new Selector(this.catalog, this.memory);
    for (const one of series.slice(0, registered)) this.register(one);
    for (const [i, samples] of heads.entries()) this.append(this.heads[i]!, samples);
    this.sources = { heads: this.heads, blocks: blocks.flatMap((samples) => this.makeBlocks(samples)) };
  }

  private register(one: SplitSeries): void {
    const number = this.catalog.seriesEnd;
    const id = new DataView(new ArrayBuffer(16));
    id.setUint32(0, number + 1, true);
    const name = this.catalog.index.read(encodeSeriesKey(TENANT, labelsOf(one)));
    this.catalog.add(id, 0, name, number % SHARDS, { low: one.target, high: 1 });
    for (const head of this.heads) head.addSeries(1, one.target);
  }

  /** The key of a series by its number in the split. */
  keyOf(series: number): Uint8Array {
    return keyOf(this.series[series]!);
  }

  private append(head: Head, samples: readonly SplitSample[]): void {
    const dictionary = head.makeDictionary()!;
    this.series.forEach((_, i) => {
      dictionary.set(i, i);
    });
    // One batch for each time, as scrapes come.
    for (let from = 0; from < samples.length; ) {
      let to = from + 1;
      while (to < samples.length && samples[to]!.time === samples[from]!.time) to++;
      const some = samples.slice(from, to).map(({ series, time, bits }) => ({ ref: series, time, bits }));
      const { status } = head.append(encodeBatch(some), dictionary, -(2 ** 53), 2 ** 53);
      if (status !== "stored") throw new Error(`a head that is ${status}`);
      from = to;
    }
  }

  /** Writes blocks with these samples, each series' ascending, one for each shard that has any. */
  makeBlocks(samples: readonly SplitSample[]): StoredBlock[] {
    const out: StoredBlock[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      const own = samples.filter(({ series }) => series % SHARDS === shard);
      if (own.length > 0) out.push(this.makeBlock(shard, own));
    }
    return out;
  }

  private makeBlock(shard: number, samples: readonly SplitSample[]): StoredBlock {
    const times = samples.map(({ time }) => time);
    const path = `/block-${this.blockCount++}`;
    const writer = new BlockWriter(
      this.fs,
      path,
      {
        ...{ id: new Uint8Array(16).fill(this.blockCount), shard, shardCount: SHARDS },
        ...{ hashSeed: new Uint8Array(16), level: "raw", walPosition: [0n, 0n], parents: [], columnsPerSeries: 1 },
        ...{ minMs: Math.min(...times) - 1, maxMs: Math.max(...times) },
      },
      kernel,
    );
    const bySeries = new Map<number, SplitSample[]>();
    for (const sample of samples) bySeries.set(sample.series, [...(bySeries.get(sample.series) ?? []), sample]);
    const sorted = [...bySeries]
      .map(([series, own]) => ({ key: keyOf(this.series[series]!), own }))
      .sort((a, b) => compareBytes(a.key, b.key));
    for (const { key, own } of sorted) {
      writer.addSeries(
        key,
        Float64Array.from(own, ({ time }) => time),
        columnOf(own.map(({ bits }) => bits)),
      );
    }
    writer.finish("test");
    const reader = new BlockReader(this.fs, path, kernel, this.timesPool);
    if (this.indexed) for (const { key, value } of piecesOf(reader)) this.store.put(key, value);
    return new StoredBlock(reader, this.pieces, this.memory);
  }
}
