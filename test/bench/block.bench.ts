// test/bench/block.bench.ts: blocks of 100 targets × 480 scrapes over 64 shards: bytes per sample and where they go, writing, reading,
// merging, and what it costs to compute ids instead of storing them. In a temporary folder; reads come from the page cache.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BlockOptions,
  BlockReader,
  type BlockSummary,
  BlockWriter,
  mergeBlocks,
  mergedOptions,
} from "../../libs/block/index.ts";
import { NodeFileSystem } from "../../libs/env/index.ts";
import { ColumnKernel } from "../../libs/kernel/index.ts";
import { makeHash, START_MS, STEP_MS, seriesByShard, timesOf } from "./block-series.ts";
import { report, SOURCE } from "./scrapes.ts";

const TARGETS = Number(process.env.TARGETS ?? 100);
const SCRAPES = 480;
const SHARDS = 64;
const fs = new NodeFileSystem();
const folder = mkdtempSync(join(tmpdir(), "block-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true }));
const kernel = new ColumnKernel();
const hash = makeHash();
const shards = seriesByShard(TARGETS, SCRAPES, SHARDS, hash);
const samples = shards.reduce((sum, shard) => sum + shard.length * SCRAPES, 0);

/** CPU time of the process: the disk's share of a block's making is not ours to measure. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function options(shard: number, from: number, to: number): BlockOptions {
  const bounds = { minMs: START_MS - 1000 + from * STEP_MS, maxMs: START_MS - 1000 + to * STEP_MS + STEP_MS };
  const [id, hashSeed] = [new Uint8Array(16).fill(shard), new Uint8Array(16).fill(9)];
  return {
    id,
    hashSeed,
    shard,
    shardCount: SHARDS,
    level: "raw",
    ...bounds,
    walPosition: [1n, 2n],
    parents: [],
    columnsPerSeries: 1,
  };
}

/** Writes scrapes [from, to) of all shards; returns the sums over all blocks. */
function writeAll(off: Parameters<typeof timesOf>[2], from: number, to: number): BlockSummary {
  const times = Array.from({ length: TARGETS }, (_, t) => timesOf(t, SCRAPES, off).slice(from, to));
  const sum: Record<string, number> = {};
  shards.forEach((shard, i) => {
    const path = `${folder}/${i}-${from}`;
    if (fs.stat(path) !== undefined) fs.unlink(path);
    const writer = new BlockWriter(fs, path, options(i, from, to), kernel);
    for (const { key, target, values } of shard) writer.addSeries(key, times[target]!, values.subarray(from, to));
    for (const [name, value] of Object.entries(writer.finish("bench"))) sum[name] = (sum[name] ?? 0) + value;
  });
  return sum as unknown as BlockSummary;
}

for (const off of ["punctual", "late", "jitter"] as const) {
  const started = cpuMs();
  const sum = writeAll(off, 0, SCRAPES);
  const spent = cpuMs() - started;
  console.log(`\n${TARGETS} targets × ${SCRAPES} scrapes, ${SHARDS} shards, ${off}; ${SOURCE}`);
  const per = (bytes: number): number => (bytes / samples) * 1000;
  report("all", per(sum.sizeBytes), "B/1000 samples", off === "jitter" ? 470 : 400);
  report("values", per(sum.valueBytes), "B/1000 samples");
  report("headers of values", per(sum.headerBytes), "B/1000 samples");
  report("times", per(sum.timeBytes), "B/1000 samples");
  report("headers of times", per(sum.timeHeaderBytes), "B/1000 samples");
  report("series", per(sum.seriesBytes), "B/1000 samples");
  report("series, each", sum.seriesBytes / sum.series, "B", 10);
  report("footers", per(sum.footerBytes), "B/1000 samples");
  report("writing", (spent * 1e6) / samples, "ns CPU/sample");
}

let started = cpuMs();
const readers = shards.map((_, i) => new BlockReader(fs, `${folder}/${i}-0`, kernel));
for (const reader of readers) for (let i = 0; i < reader.seriesCount; i++) reader.column(i);
report("\nopening, headers of all series", ((cpuMs() - started) * 1e3) / (samples / SCRAPES), "µs CPU/series");
started = cpuMs();
const out = new Float64Array(SCRAPES);
for (const reader of readers) {
  for (let i = 0; i < reader.seriesCount; i++) {
    if (i % 64 === 0) reader.prefetch(i, Math.min(64, reader.seriesCount - i));
    reader.readValues(reader.column(i), out);
  }
}
report("reading all columns", ((cpuMs() - started) * 1e6) / samples, "ns CPU/sample");
started = cpuMs();
const keys = readers.flatMap((reader) => Array.from({ length: reader.seriesCount }, (_, i) => reader.key(i)));
report("keys of all series", ((cpuMs() - started) * 1e3) / keys.length, "µs CPU/series");
started = cpuMs();
for (const key of keys) hash(key);
report("ids computed of keys, which would be 16 B each", ((cpuMs() - started) * 1e3) / keys.length, "µs CPU/series");

const halves = [writeAll("late", 0, SCRAPES / 2), writeAll("late", SCRAPES / 2, SCRAPES)];
started = cpuMs();
let merged = 0;
shards.forEach((_, i) => {
  const parts = [0, SCRAPES / 2].map((from) => new BlockReader(fs, `${folder}/${i}-${from}`, kernel));
  const writer = new BlockWriter(
    fs,
    `${folder}/${i}`,
    mergedOptions(
      parts.map((r) => r.footer),
      new Uint8Array(16),
    ),
    kernel,
  );
  mergeBlocks(parts, writer);
  merged += writer.finish("bench").sizeBytes;
});
report("merging two halves", ((cpuMs() - started) * 1e6) / samples, "ns CPU/sample");
report("halves", ((halves[0]!.sizeBytes + halves[1]!.sizeBytes) / samples) * 1000, "B/1000 samples");
report("merged", (merged / samples) * 1000, "B/1000 samples", 400);
