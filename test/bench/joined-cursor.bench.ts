// test/bench/joined-cursor.bench.ts: the same leaves over the same samples in one head, in blocks, and half in either: ns per sample read.
// 20 node_exporter targets × 480 scrapes over 16 shards; blocks in a temporary folder, read from the page cache.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlockReader, BlockWriter, piecesOf } from "../../libs/block/index.ts";
import { nodeClock as clock, NodeFileSystem } from "../../libs/env/index.ts";
import { MemoryPieceStore } from "../../libs/index/index.ts";
import { ColumnKernel, encodeSamplesRecord } from "../../libs/kernel/index.ts";
import { decodeSeriesKey, type Leaf, type QueryContext } from "../../libs/model/index.ts";
import { BlockMemory } from "../../libs/tsdb/block-memory.ts";
import { SeriesCatalog } from "../../libs/tsdb/catalog.ts";
import { evaluateLeaf } from "../../libs/tsdb/evaluate.ts";
import { Head } from "../../libs/tsdb/head.ts";
import { Pace } from "../../libs/tsdb/pace.ts";
import { PieceIndex } from "../../libs/tsdb/piece-index.ts";
import { PlanPool } from "../../libs/tsdb/plan-pool.ts";
import { Selector } from "../../libs/tsdb/selector.ts";
import type { Sources } from "../../libs/tsdb/sources.ts";
import { StoredBlock } from "../../libs/tsdb/stored-block.ts";
import { type BlockSeries, makeHash, START_MS, STEP_MS, seriesByShard, timesOf } from "./block-series.ts";
import { SOURCE } from "./scrapes.ts";

const TARGETS = 20;
const SCRAPES = 480;
const SHARDS = 16;
const STEPS = 105;
const NO_SIDE_DATA = { sources: [] };
const fs = new NodeFileSystem();
const folder = mkdtempSync(join(tmpdir(), "joined-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true }));
const kernel = new ColumnKernel();
const memory = new BlockMemory(clock, 1 << 30, 3_600_000);
const shards = seriesByShard(TARGETS, SCRAPES, SHARDS, makeHash());
const times = Array.from({ length: TARGETS }, (_, target) => timesOf(target, SCRAPES, "punctual"));

/** Series are numbered target by target, as they would come. */
const all: BlockSeries[] = shards.flat().sort((a, b) => a.target - b.target);
const catalog = new SeriesCatalog();
const selector = new Selector(catalog, memory);
const store = new MemoryPieceStore();
const pieces = new PieceIndex(store);
for (const [number, { key, target }] of all.entries()) {
  const id = new DataView(new ArrayBuffer(16));
  id.setUint32(0, number, true);
  catalog.add(id, 0, catalog.index.read(key), 0, { low: target, high: 0 });
}

function makeHead(from: number, to: number): Head {
  const head = new Head({ memoryBytes: 256 << 20 });
  for (const { target } of all) head.addSeries(0, target);
  const count = all.length;
  const series = Uint32Array.from(all, (_, number) => number);
  for (let scrape = from; scrape < to; scrape++) {
    const values = Float64Array.from(all, (one) => one.values[scrape]!);
    const scrapeTimes = Float64Array.from(all, ({ target }) => times[target]![scrape]!);
    head.replay(encodeSamplesRecord({ series, times: scrapeTimes, values, count }));
  }
  return head;
}

function makeBlocks(from: number, to: number): StoredBlock[] {
  const own = times.map((column) => column.slice(from, to));
  return shards.map((shard, number) => {
    const path = `${folder}/${number}-${from}-${to}`;
    const writer = new BlockWriter(
      fs,
      path,
      {
        ...{ id: blockId(from, to), shard: number, shardCount: SHARDS, hashSeed: new Uint8Array(16), level: "raw" },
        ...{ walPosition: [0n, 0n], parents: [], columnsPerSeries: 1 },
        ...{ minMs: START_MS - 1000 + from * STEP_MS, maxMs: START_MS - 1000 + to * STEP_MS + STEP_MS },
      },
      kernel,
    );
    for (const { key, target, values } of shard) writer.addSeries(key, own[target]!, values.subarray(from, to));
    writer.finish("bench");
    const reader = new BlockReader(fs, path, kernel);
    for (const { key, value } of piecesOf(reader)) store.put(key, value);
    return new StoredBlock(reader, pieces, memory);
  });
}

function blockId(from: number, to: number): Uint8Array {
  const id = new Uint8Array(16);
  id.set([from % 256, from >> 8, to % 256, to >> 8]);
  return id;
}

const half = SCRAPES / 2;
const storages: Record<string, Sources> = {
  head: { heads: [makeHead(0, SCRAPES)], blocks: [] },
  blocks: { heads: [makeHead(0, 0)], blocks: makeBlocks(0, SCRAPES) },
  both: { heads: [makeHead(half, SCRAPES)], blocks: makeBlocks(0, half) },
  "4 blocks": { heads: [makeHead(0, 0)], blocks: [0, 1, 2, 3].flatMap((i) => makeBlocks(i * 120, i * 120 + 120)) },
};

const context: QueryContext = {
  tenant: "default",
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: Number.POSITIVE_INFINITY,
};
const everything: Leaf = {
  matchers: [{ type: "=", name: "job", value: "node_exporter" }],
  grid: { startMs: START_MS + 900_000, stepMs: 60_000, count: STEPS },
  rollup: "last",
  rangeMs: 300_000,
  offsetMs: 0,
  args: [],
  dropName: false,
};
/** The metric with most series. */
const sizes = new Map<string, number>();
for (const { key } of all) {
  const { labels } = decodeSeriesKey(key);
  const name = labels[labels.indexOf("__name__") + 1]!;
  sizes.set(name, (sizes.get(name) ?? 0) + 1);
}
const [metric] = [...sizes].sort((a, b) => b[1] - a[1])[0]!;
const instance = decodeSeriesKey(all[0]!.key).labels;
const ofMetric: Leaf = { ...everything, matchers: [{ type: "=", name: "__name__", value: metric }] };
const ofTarget: Leaf = {
  ...everything,
  matchers: [{ type: "=", name: "instance", value: instance[instance.indexOf("instance") + 1]! }],
};
const leaves: Record<string, Leaf> = {
  [`rate ${metric}`]: { ...ofMetric, rollup: "rate", dropName: true },
  "last of one target": ofTarget,
  "sum(rate) of all": { ...everything, rollup: "rate", aggregation: { op: "sum", without: false, labels: [] } },
  "max_over_time of all": { ...everything, rollup: "max_over_time" },
  "count of all": { ...everything, aggregation: { op: "count", without: false, labels: [] } },
};

console.log(`${all.length} series × ${SCRAPES} samples; ${SOURCE}`);
const plans = new PlanPool();
for (const [name, leaf] of Object.entries(leaves)) {
  const shown: string[] = [];
  let ofHead = 0;
  for (const [where, sources] of Object.entries(storages)) {
    let best = Number.POSITIVE_INFINITY;
    let samples = 0;
    for (let i = 0; i < 40; i++) {
      const started = performance.now();
      const result = await evaluateLeaf(
        leaf,
        context,
        selector,
        sources,
        NO_SIDE_DATA,
        new Pace(clock, context),
        plans,
      );
      best = Math.min(best, performance.now() - started);
      samples = result.samplesRead;
    }
    if (where === "head") ofHead = best;
    const each = ((best * 1e6) / samples).toFixed(2);
    shown.push(`${where} ${best.toFixed(2)} ms ${each} ns/sample × ${(best / ofHead).toFixed(2)}`);
  }
  console.log(`${name.padEnd(34)} ${shown.join("   ")}`);
}
/** The first use of blocks against the next ones: selection by the index, labels, headers and times come on top. CPU time of this process. */
const cpuMs = (): number => process.cpuUsage().user / 1000;
for (const [name, leaf] of Object.entries(leaves)) {
  const best = { cold: Number.POSITIVE_INFINITY, warm: Number.POSITIVE_INFINITY };
  let series = 0;
  for (let i = 0; i < 10; i++) {
    for (const block of storages.blocks!.blocks) block.drop();
    const fresh = new Selector(catalog, memory);
    for (const how of ["cold", "warm", "warm"] as const) {
      const began = cpuMs();
      series = (
        await evaluateLeaf(leaf, context, fresh, storages.blocks!, NO_SIDE_DATA, new Pace(clock, context), plans)
      ).seriesCount;
      best[how] = Math.min(best[how], cpuMs() - began);
    }
  }
  const more = ((best.cold - best.warm) * 1e3) / series;
  console.log(
    `${`cold: ${name}`.padEnd(34)} ${best.cold.toFixed(2)} ms, warm ${best.warm.toFixed(2)} ms × ${(best.cold / best.warm).toFixed(2)}, ${more.toFixed(2)} µs/series more`,
  );
}
const bytes = storages.blocks!.blocks.reduce((sum, block) => sum + block.keptBytes, 0) / all.length;
console.log(`${"kept by blocks".padEnd(34)} ${bytes.toFixed(0)} B/series`);
