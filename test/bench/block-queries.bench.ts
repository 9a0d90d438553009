// test/bench/block-queries.bench.ts: leaves on blocks of 100 targets × 480 scrapes over 64 shards: the first time, when nothing of the blocks
// is in memory, and later. What is compiled stays: a process makes itself warm before it is ready. Reads come from the page cache.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlockReader, BlockWriter, piecesOf } from "../../libs/block/index.ts";
import { nodeClock as clock, NodeFileSystem } from "../../libs/env/index.ts";
import { MemoryPieceStore } from "../../libs/index/index.ts";
import { ColumnKernel } from "../../libs/kernel/index.ts";
import type { Leaf, LeafResult, QueryContext } from "../../libs/model/index.ts";
import { BlockMemory } from "../../libs/tsdb/block-memory.ts";
import { SeriesCatalog } from "../../libs/tsdb/catalog.ts";
import { evaluateLeaf } from "../../libs/tsdb/evaluate.ts";
import { Head } from "../../libs/tsdb/head.ts";
import { Pace } from "../../libs/tsdb/pace.ts";
import { PieceIndex } from "../../libs/tsdb/piece-index.ts";
import { PlanPool } from "../../libs/tsdb/plan-pool.ts";
import { Selector } from "../../libs/tsdb/selector.ts";
import { StoredBlock } from "../../libs/tsdb/stored-block.ts";
import { makeHash, START_MS, STEP_MS, seriesByShard, timesOf } from "./block-series.ts";
import { report, SOURCE } from "./scrapes.ts";

const TARGETS = Number(process.env.TARGETS ?? 100);
const SCRAPES = 480;
const SHARDS = 64;
const ROUNDS = 9;
const inf = Number.POSITIVE_INFINITY;

const fs = new NodeFileSystem();
const folder = mkdtempSync(join(tmpdir(), "block-queries-"));
process.on("exit", () => rmSync(folder, { recursive: true }));
const kernel = new ColumnKernel();
const store = new MemoryPieceStore();
const pieces = new PieceIndex(store);
const head = new Head({ memoryBytes: 16 << 20 });
const plans = new PlanPool();
const context: QueryContext = {
  tenant: "default",
  signal: new AbortController().signal,
  deadlineMs: inf,
  samplesMax: inf,
};

const times = Array.from({ length: TARGETS }, (_, t) => timesOf(t, SCRAPES, "late"));
const paths: string[] = [];
seriesByShard(TARGETS, SCRAPES, SHARDS, makeHash()).forEach((own, shard) => {
  if (own.length === 0) return;
  const path = `${folder}/${shard}`;
  paths.push(path);
  const writer = new BlockWriter(
    fs,
    path,
    {
      ...{ id: new Uint8Array(16).fill(shard), hashSeed: new Uint8Array(16).fill(9), shard, shardCount: SHARDS },
      ...{ level: "raw", minMs: START_MS - 1000, maxMs: START_MS + (SCRAPES + 2) * STEP_MS, walPosition: [1n, 2n] },
      ...{ parents: [], columnsPerSeries: 1 },
    },
    kernel,
  );
  for (const { key, target, values } of own) writer.addSeries(key, times[target]!, values);
  writer.finish("bench");
  const reader = new BlockReader(fs, path, kernel);
  for (const { key, value } of piecesOf(reader)) store.put(key, value);
  reader.close();
});

/** The blocks, opened as a process does that has just begun. */
function open(): { ask: (leaf: Leaf) => Promise<LeafResult>; close: () => void } {
  const memory = new BlockMemory(clock, 2 ** 40, 3_600_000);
  const selector = new Selector(new SeriesCatalog(), memory);
  const blocks = paths.map((path) => new StoredBlock(new BlockReader(fs, path, kernel), pieces, memory));
  const sources = { heads: [head], blocks };
  return {
    ask: (leaf) => evaluateLeaf(leaf, context, selector, sources, { sources: [] }, new Pace(clock, context), plans),
    close: () => {
      for (const block of blocks) block.retire();
    },
  };
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

async function time(work: () => Promise<unknown>): Promise<number> {
  const from = cpuMs();
  await work();
  return cpuMs() - from;
}

const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1]!;

const grid = { startMs: START_MS + 900_000, stepMs: 60_000, count: 100 };
const rate = { grid, rollup: "rate", rangeMs: 300_000, offsetMs: 0, args: [], dropName: true } as const;
const LEAVES: Record<string, Leaf> = {
  "one series": {
    ...rate,
    matchers: [
      { type: "=", name: "__name__", value: "node_network_receive_bytes_total" },
      { type: "=", name: "instance", value: "host-000007.dc3.example:9100" },
    ],
  },
  "one metric of all targets": {
    ...rate,
    matchers: [{ type: "=", name: "__name__", value: "node_cpu_seconds_total" }],
    aggregation: { op: "sum", without: false, labels: ["mode"] },
  },
  "a count of all series": {
    ...rate,
    rollup: "last",
    matchers: [{ type: "=", name: "job", value: "node_exporter" }],
    aggregation: { op: "count", without: false, labels: [] },
  },
};

console.log(`${TARGETS} targets × ${SCRAPES} scrapes in ${SHARDS} blocks; ${SOURCE}`);
for (const [name, leaf] of Object.entries(LEAVES)) {
  const [first, later]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const { ask, close } = open();
    first.push(await time(() => ask(leaf)));
    await ask(leaf);
    later.push(await time(() => ask(leaf)));
    close();
  }
  report(`${name}: the first time`, median(first), "ms CPU");
  report(`${name}: later`, median(later), "ms CPU");
  report(`${name}: the first time against later`, median(first) / median(later), "×", 2);
}
