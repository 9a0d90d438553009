// test/bench/levels.bench.ts: `rate` at steps of an hour over long ranges, from rows of an hour and from samples: the same answer, and how
// much sooner. Counters every 15 s in blocks of a day on the disk. LEVELS_DAYS and LEVELS_SERIES set the size; 90 and 1000 take minutes.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BlockEntry,
  BlockReader,
  BlockWriter,
  blockFileName,
  blockPath,
  blocksFolder,
  compareBytes,
  DAY_MS,
  entryOf,
  InlineBlockBuilder,
  piecesOf,
} from "../../libs/block/index.ts";
import { nodeClock as clock, cryptoRandom, NodeFileSystem } from "../../libs/env/index.ts";
import { MemoryPieceStore } from "../../libs/index/index.ts";
import { ColumnKernel } from "../../libs/kernel/index.ts";
import {
  encodeSeriesKey,
  type Leaf,
  type LeafResult,
  type LevelChoice,
  labelsFromRecord,
  labelsKey,
  type QueryContext,
} from "../../libs/model/index.ts";
import { BlockMemory } from "../../libs/tsdb/block-memory.ts";
import { SeriesCatalog } from "../../libs/tsdb/catalog.ts";
import { evaluateLeaf } from "../../libs/tsdb/evaluate.ts";
import { Head } from "../../libs/tsdb/head.ts";
import { LevelKeeper } from "../../libs/tsdb/level-keeper.ts";
import { Pace } from "../../libs/tsdb/pace.ts";
import { PieceIndex } from "../../libs/tsdb/piece-index.ts";
import { PlanPool } from "../../libs/tsdb/plan-pool.ts";
import { Selector } from "../../libs/tsdb/selector.ts";
import type { Sources } from "../../libs/tsdb/sources.ts";
import { StoredBlock } from "../../libs/tsdb/stored-block.ts";

const NO_SIDE_DATA = { sources: [] };

const DAYS = Number(process.env.LEVELS_DAYS ?? 20);
const SERIES = Number(process.env.LEVELS_SERIES ?? 100);
/** Two targets: sixteen neighbouring shards. */
const SHARDS = 16;
const SCRAPE_MS = 15_000;
const PER_DAY = DAY_MS / SCRAPE_MS;
const FIRST_DAY = 660 * 30 * DAY_MS;
const HOUR_MS = 3_600_000;

const fs = new NodeFileSystem();
const dataDir = mkdtempSync(join(tmpdir(), "levels-bench-"));
process.on("exit", () => rmSync(dataDir, { recursive: true }));
fs.makeDirectory(blocksFolder(dataDir));
const kernel = new ColumnKernel();
const memory = new BlockMemory(clock, 2 ** 40, 3_600_000_000);
const store = new MemoryPieceStore();
const pieces = new PieceIndex(store);

let seed = 12345;
function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
}

/** Counters: most move at each scrape, some seldom, some are always the same, as a node_exporter's are. */
const series = Array.from({ length: SERIES }, (_, i) => {
  const labels = { __name__: `m${i % 50}_total`, instance: `host${i % 2}:9100`, job: "node", i: `${i}` };
  const pace = i % 10 < 7 ? 1 : i % 10 < 9 ? 0.02 : 0;
  return {
    key: encodeSeriesKey("default", labelsFromRecord(labels)),
    target: i % 2,
    shard: i % SHARDS,
    pace,
    value: 0,
  };
});
const catalog = new SeriesCatalog();
const selector = new Selector(catalog, memory);
for (const [number, { key, shard, target }] of series.entries()) {
  const id = new DataView(new ArrayBuffer(16));
  id.setUint32(0, number, true);
  catalog.add(id, 0, catalog.index.read(key), shard, { low: target, high: 0 });
}
const head = new Head({ memoryBytes: 16 << 20 });
for (const { target } of series) head.addSeries(0, target);

const stored = new Map<string, StoredBlock>();
let entries: readonly BlockEntry[] = [];

function addBlock(entry: BlockEntry): void {
  const reader = new BlockReader(fs, blockPath(dataDir, entry.file), kernel);
  for (const { key, value } of piecesOf(reader)) store.put(key, value);
  stored.set(entry.file, new StoredBlock(reader, pieces, memory));
  entries = [...entries, entry];
}

function writeDay(day: number): void {
  const values = new Float64Array(PER_DAY);
  const times = [0, 1].map((target) =>
    Float64Array.from({ length: PER_DAY }, (_, i) => day + 1000 + target * 5000 + i * SCRAPE_MS),
  );
  for (let shard = 0; shard < SHARDS; shard++) {
    const own = series.filter((one) => one.shard === shard).sort((a, b) => compareBytes(a.key, b.key));
    if (own.length === 0) continue;
    const options = {
      ...{ id: cryptoRandom.bytes(16), shard, shardCount: SHARDS, hashSeed: new Uint8Array(16), level: "raw" as const },
      ...{ walPosition: [0n, 0n] as const, parents: [], columnsPerSeries: 1, minMs: day, maxMs: day + DAY_MS },
    };
    const writer = new BlockWriter(fs, blockPath(dataDir, blockFileName(options)), options, kernel);
    for (const one of own) {
      for (let i = 0; i < PER_DAY; i++) {
        if (one.pace > 0 && (one.pace === 1 || random() < one.pace)) one.value += Math.floor(random() * 100);
        values[i] = one.value;
      }
      if (one.pace > 0 && random() < 0.02) one.value = 0;
      writer.addSeries(one.key, times[one.target]!, values);
    }
    addBlock(entryOf(options, writer.finish("bench")));
  }
}

const inf = Number.POSITIVE_INFINITY;
const keeper = new LevelKeeper({
  builder: new InlineBlockBuilder(fs),
  random: cryptoRandom,
  dataDir,
  retentionMs: { raw: inf, "1m": inf, "1h": inf },
  nowMs: () => FIRST_DAY + (DAYS + 3) * DAY_MS,
  blocks: () => entries,
  stored,
  replaceBlocks: async ({ add = [], remove = [] }) => {
    for (const entry of add) addBlock(entry);
    for (const { file } of remove) stored.delete(file);
    entries = entries.filter((entry) => !remove.includes(entry));
  },
  discard: () => undefined,
  isQuarantined: () => false,
  isDue: () => false,
  pause: async () => undefined,
  room: () => ({ freeBytes: Number.POSITIVE_INFINITY, spareBytes: Number.POSITIVE_INFINITY }),
  onProblem: (problem) => {
    throw new Error(problem);
  },
});

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const began = cpuMs();
for (let d = 0; d < DAYS; d++) writeDay(FIRST_DAY + d * DAY_MS);
const written = cpuMs();
await keeper.run(inf, () => false);
const bytesOf = (level: string): string =>
  (entries.filter((one) => one.level === level).reduce((sum, one) => sum + one.sizeBytes, 0) / 1e6).toFixed(2);
console.log(
  `${SERIES} series × ${DAYS} days × ${PER_DAY} samples: written in ${(written - began).toFixed(0)} ms, rows in ${(cpuMs() - written).toFixed(0)} ms of CPU;`,
);
console.log(`MB: raw ${bytesOf("raw")}, 1m ${bytesOf("1m")}, 1h ${bytesOf("1h")}`);

const context: QueryContext = {
  tenant: "default",
  signal: new AbortController().signal,
  deadlineMs: inf,
  samplesMax: inf,
};
const leaf: Leaf = {
  matchers: [{ type: "=", name: "job", value: "node" }],
  grid: { startMs: FIRST_DAY + HOUR_MS, stepMs: HOUR_MS, count: DAYS * 24 },
  rollup: "rate",
  rangeMs: HOUR_MS,
  offsetMs: 0,
  args: [],
  dropName: true,
};
const sources: Sources = { heads: [head], blocks: [...stored.values()] };
const plans = new PlanPool();

async function time(
  level: LevelChoice,
  runs: number,
  more: Partial<Leaf>,
): Promise<{ ms: number; result: LeafResult }> {
  let best = inf;
  let result: LeafResult | undefined;
  for (let i = 0; i <= runs; i++) {
    const from = cpuMs();
    result = await evaluateLeaf(
      { ...leaf, ...more, level },
      context,
      selector,
      sources,
      NO_SIDE_DATA,
      new Pace(clock, context),
      plans,
    );
    if (i > 0) best = Math.min(best, cpuMs() - from);
  }
  return { ms: best, result: result! };
}

function differences(a: LeafResult, b: LeafResult): number {
  const others = new Map(b.columns.map((column) => [labelsKey(column.labels), column]));
  let count = Math.abs(a.columns.length - b.columns.length);
  for (const { labels, values } of a.columns) {
    const other = others.get(labelsKey(labels))!.values;
    for (let s = 0; s < values.length; s++) {
      if (!(Math.abs(values[s]! - other[s]!) <= 1e-12 * Math.abs(other[s]!))) count++;
    }
  }
  return count;
}

for (const [name, more] of Object.entries<Partial<Leaf>>({
  "rate [1h]": {},
  "sum(rate [1h])": { aggregation: { op: "sum", without: false, labels: [] } },
  "rate [1h] of counters that move": { matchers: [{ type: "=~", name: "i", value: ".*[0-6]" }] },
  "max_over_time [1h]": { rollup: "max_over_time" },
  last: { rollup: "last", rangeMs: 300_000 },
})) {
  const raw = await time("raw", 2, more);
  const auto = await time("auto", 10, more);
  const wrong = differences(auto.result, raw.result);
  console.log(
    `${name.padEnd(34)} raw ${raw.ms.toFixed(1)} ms, 1h ${auto.ms.toFixed(1)} ms: × ${(raw.ms / auto.ms).toFixed(1)}; ${wrong} points differ`,
  );
}
