// test/unit/tsdb/joined-cursor.test.ts: leaves, series and exports over heads and blocks (joined-cursor) against their twin: the same samples
// in a single head, which other tests compare with plain arrays. Samples are split in any way, also overlapping ones.
import { describe, expect, test } from "vitest";
import { encodePlaces, NO_DELETIONS } from "../../../libs/block/index.ts";
import { SeededRandom } from "../../../libs/env/index.ts";
import {
  CorruptionError,
  type Leaf,
  type LeafResult,
  labelsKey,
  type Matcher,
  type PartialOp,
  type QueryContext,
  type Rollup,
  type StepColumn,
} from "../../../libs/model/index.ts";
import { Deletions } from "../../../libs/tsdb/deletions.ts";
import { exportSeries } from "../../../libs/tsdb/export.ts";
import { MetadataStore } from "../../../libs/tsdb/metadata-store.ts";
import { Quarantine } from "../../../libs/tsdb/quarantine.ts";
import { DbQuerier } from "../../../libs/tsdb/querier.ts";
import { Retention } from "../../../libs/tsdb/retention.ts";
import { SideData } from "../../../libs/tsdb/side-data.ts";
import { DbStats } from "../../../libs/tsdb/state.ts";
import { bitsOf, HOLE, STALE } from "../kernel/head-batches.ts";
import { NOW, TENANT } from "./db-fixture.ts";
import { argsFor, OPS, ROLLUPS } from "./leaves.ts";
import { type Split, type SplitSample, type SplitSeries, SplitStorage } from "./split-storage.ts";

const CASES = Number(process.env.FUZZ_RUNS ?? 25);
const SCRAPE_MS = 15_000;
const SCRAPES = 90;
const START = NOW - SCRAPES * SCRAPE_MS;
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
};
/** These give values as they were stored. */
const VERBATIM: readonly Rollup[] = ["samples", "last", "last_over_time", "first_over_time"];

interface Program {
  readonly series: SplitSeries[];
  /** In the order in which a storage gets them: late ones behind later ones. */
  readonly samples: SplitSample[];
}

function drawProgram(random: SeededRandom): Program {
  const series: SplitSeries[] = [];
  const samples: SplitSample[] = [];
  const waiting: SplitSample[] = [];
  const targets = 1 + random.below(3);
  const calm = random.chance(0.3);
  const odd = (p: number): number => (!calm && random.chance(0.3) ? p : 0);
  const habits = Array.from({ length: 3 + random.below(10) }, (_, i) => {
    const target = random.below(targets);
    const labels = { __name__: `m_${i % 2}`, mode: `${i % 3}`, target: `${target}`, i: `${i}` };
    series.push({ labels, target });
    const guest = odd(random.below(SCRAPES));
    return {
      ...{ series: i, target, kind: random.below(5), holes: odd(0.1), stale: odd(0.05), late: odd(0.1), guest },
      /** From this scrape on it comes with another target. */
      leaves: guest > 0 ? guest : SCRAPES,
      begins: random.chance(0.2) ? random.below(SCRAPES) : 0,
      ends: random.chance(0.2) ? random.below(SCRAPES) : SCRAPES,
      total: random.below(1000),
    };
  });
  for (let scrape = 0; scrape < SCRAPES; scrape++) {
    for (let target = 0; target < targets; target++) {
      if (random.chance(0.02)) continue;
      const time = START + scrape * SCRAPE_MS + target * 1234 + (random.chance(0.1) ? random.below(50) : 0);
      for (const habit of habits) {
        const comesWith = scrape >= habit.leaves ? (habit.target + 1) % targets : habit.target;
        if (comesWith !== target || scrape < habit.begins || scrape >= habit.ends) continue;
        if (random.chance(habit.holes)) continue;
        if (habit.kind === 0) habit.total = random.chance(0.05) ? 0 : habit.total + random.below(100);
        else if (habit.kind === 1) habit.total = random.below(9) - 4;
        else if (habit.kind === 2) habit.total = random.float() * 1000 - 500;
        let bits = bitsOf(habit.total);
        if (habit.kind === 4) {
          bits = random.pick([bits, bits, bits, bitsOf(NaN), bitsOf(Infinity), bitsOf(-0), HOLE, 0x7ff8000000000001n]);
        }
        if (random.chance(habit.stale) || scrape === habit.ends - 1) bits = STALE;
        (random.chance(habit.late) ? waiting : samples).push({ series: habit.series, time, bits });
      }
      if (waiting.length > 0 && random.chance(0.2)) samples.push(...waiting.splice(random.below(waiting.length), 1));
    }
  }
  return { series, samples: [...samples, ...waiting] };
}

/** Splits samples in one of many ways; what is new in it, contradictions, is added to `all`. */
function drawSplit(random: SeededRandom, all: SplitSample[]): Split {
  const heads: SplitSample[][] = Array.from({ length: 1 + random.below(3) }, () => []);
  const blocks: SplitSample[][] = Array.from({ length: random.below(6) }, () => []);
  const places = random.chance(0.5) ? [...blocks, ...heads] : [...blocks, ...heads].sort(() => random.float() - 0.5);
  const neat = random.chance(0.5);
  const spread = neat ? 0 : random.pick([0.02, 0.1, 1]);
  const twice = random.chance(0.3) ? 0.05 : 0;
  const width = (SCRAPES * SCRAPE_MS) / places.length;
  const contradictions: SplitSample[] = [];
  for (const sample of all) {
    const window = Math.min(places.length - 1, Math.max(0, Math.floor((sample.time - START) / width)));
    const at = random.chance(spread) ? random.below(places.length) : window;
    places[at]!.push(sample);
    if (!random.chance(twice)) continue;
    const bits = random.pick([sample.bits, STALE, bitsOf(NaN), bitsOf(random.below(1000) - 500)]);
    const other = places[random.below(places.length)]!;
    if (other === places[at]) continue;
    other.push({ ...sample, bits });
    contradictions.push({ ...sample, bits });
  }
  if (blocks.length > 0 && random.chance(0.2)) {
    // Another block with the very same times.
    const again = random.pick(blocks).map((sample) => ({ ...sample, bits: bitsOf(random.below(1000) - 500) }));
    blocks.push(again);
    contradictions.push(...again);
  }
  all.push(...contradictions);
  const ascending = (samples: SplitSample[]): SplitSample[] => samples.sort((a, b) => a.time - b.time);
  return {
    heads,
    blocks: blocks
      .map(ascending)
      .map(onceEach)
      .filter((block) => block.length > 0),
  };
}

/** A block has a time of a series once. */
function onceEach(samples: readonly SplitSample[]): SplitSample[] {
  const seen = new Set<string>();
  return samples.filter(({ series, time }) => {
    const key = `${series} ${time}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}

function drawLeaf(random: SeededRandom, rollup: Rollup, op: PartialOp | undefined): Leaf {
  const rangeMs = random.pick([1000, SCRAPE_MS, 60_000, 300_000, 3_600_000]);
  const count = rollup === "samples" ? 1 : random.pick([1, 2, 10, 30]);
  const stepMs = count === 1 ? 0 : random.pick([0, 1, 5000, SCRAPE_MS, 60_000]);
  const offsetMs = random.pick([0, 0, 60_000, -60_000]);
  const startMs = START + random.below(SCRAPES + 10) * SCRAPE_MS + random.pick([0, 1, 1234, -1]);
  const matchers: readonly Matcher[] = random.pick([
    [{ type: "=~", name: "__name__", value: "m_.*" }],
    [{ type: "=", name: "__name__", value: "m_0" }],
    [{ type: "=", name: "mode", value: "1" }],
  ] as const); // biome-ignore format: one selector per line
  const labels = random.pick([[], ["mode"], ["target"], ["i"]]);
  return {
    ...{ matchers, grid: { startMs, stepMs, count }, rollup, rangeMs, offsetMs, dropName: rollup !== "last" },
    args: argsFor(rollup, random, rangeMs, count),
    ...(op === undefined ? {} : { aggregation: { op, without: random.chance(0.5), labels } }),
  };
}

const hex = (values: Float64Array): string[] =>
  Array.from(new BigUint64Array(values.buffer, values.byteOffset, values.length), (bits) => bits.toString(16));

/** A column as it can be compared: values by their bits, but for NaNs that were calculated, whose bits are the machine's choice. */
function shownColumn(
  column: StepColumn,
  verbatim: boolean,
): { readonly key: string; readonly [name: string]: unknown } {
  const { labels, values, present, times, weights, lost } = column;
  return {
    key: labelsKey(labels),
    values: verbatim ? hex(values) : Array.from(values),
    present: present === null ? null : Array.from(present),
    ...(times === undefined ? {} : { times: Array.from(times) }),
    ...(weights === undefined ? {} : { weights: Array.from(weights) }),
    ...(lost === undefined ? {} : { lost: Array.from(lost) }),
  };
}

function shown(result: LeafResult, leaf: Leaf): unknown {
  const verbatim = VERBATIM.includes(leaf.rollup) && leaf.aggregation === undefined;
  const columns = result.columns.map((column) => shownColumn(column, verbatim));
  return { ...result, columns: columns.sort((a, b) => (a.key < b.key ? -1 : 1)) };
}

/** One more than the greatest number of a series that a head has: those beyond are in blocks only. */
function liveOf({ heads }: Split): number {
  return Math.max(0, ...heads.flat().map(({ series }) => series + 1));
}

function querierOf(storage: SplitStorage): DbQuerier {
  const { selector, clock } = storage;
  return new DbQuerier({
    deletions: new Deletions(clock, 0, NO_DELETIONS),
    ...{
      selector,
      clock,
      metadata: new MetadataStore(),
      retention: new Retention({ defaultMs: 24 * 3_600_000 }),
      stats: new DbStats(),
    },
    side: new SideData(Number.NEGATIVE_INFINITY, 0),
    quarantine: new Quarantine(storage.fs, "/none", () => {}),
    get sources() {
      return storage.sources;
    },
  });
}

function exported(storage: SplitStorage, minMs: number, maxMs: number): unknown[] {
  const all = exportSeries(storage.catalog, storage.sources, { sources: [] }, TENANT, [], minMs, maxMs);
  return [...all]
    .filter(({ times }) => times.length > 0)
    .map(({ labels, times, values }) => [labelsKey(labels), Array.from(times), hex(values)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

interface DeletedRange {
  readonly series: number;
  readonly minMs: number;
  readonly maxMs: number;
}

function drawDeletions(random: SeededRandom, seriesCount: number): DeletedRange[] {
  return Array.from({ length: 1 + random.below(4) }, () => {
    const minMs = random.chance(0.3) ? -(2 ** 53) : START + random.below(SCRAPES * SCRAPE_MS);
    const maxMs = random.chance(0.3) ? 2 ** 53 : minMs + random.below(SCRAPES * SCRAPE_MS);
    return { series: random.below(seriesCount), minMs: Math.min(minMs, maxMs), maxMs };
  });
}

/** What a deletion does to heads and blocks. */
function hide(storage: SplitStorage, { series, minMs, maxMs }: DeletedRange): void {
  const { sources } = storage;
  for (const head of sources.heads) head.hide(series, `${series} ${minMs} ${maxMs}`, minMs, maxMs);
  for (const block of sources.blocks) {
    const place = block.reader.find(storage.keyOf(series));
    if (place < 0) continue;
    block.tombstones = [...block.tombstones, { deletion: "d", minMs, maxMs, places: encodePlaces([place]) }];
  }
}

describe("heads and blocks are as one head", () => {
  test(`${CASES} splits, every rollup and aggregation, series, exports`, { timeout: 0 }, async () => {
    let points = 0;
    const kinds = { neat: 0, blocks: 0, lone: 0, stored: 0, deleted: 0 };
    for (let seed = 1; seed <= CASES; seed++) {
      const random = new SeededRandom(seed);
      const { series, samples } = drawProgram(random);
      const split = drawSplit(random, samples);
      const deleted = random.chance(0.4) ? drawDeletions(random, series.length) : [];
      const isLeft = ({ series: i, time }: SplitSample): boolean =>
        !deleted.some((one) => one.series === i && time >= one.minMs && time <= one.maxMs);
      const twin = new SplitStorage(series, { heads: [samples.filter(isLeft)], blocks: [] });
      const registered = random.pick([series.length, liveOf(split)]);
      const memoryMax = random.pick([0, 20_000, Number.POSITIVE_INFINITY]);
      const ours = new SplitStorage(series, split, registered, memoryMax, random.chance(0.7));
      if (registered < series.length) kinds.stored++;
      for (const one of deleted) hide(ours, one);
      if (deleted.length > 0) kinds.deleted++;
      kinds.blocks += ours.sources.blocks.length;
      if (split.heads.length === 1) kinds.lone++;
      const [got, want] = [querierOf(ours), querierOf(twin)];
      for (const rollup of [...ROLLUPS, "samples" as const]) {
        for (const op of rollup === "samples" ? [undefined] : [undefined, random.pick(OPS), random.pick(OPS)]) {
          const leaf = drawLeaf(random, rollup, op);
          const about = `case ${seed}: ${JSON.stringify(leaf)}`;
          const [g, w] = [await got.evaluate(leaf, context), await want.evaluate(leaf, context)];
          expect(shown(g, leaf), about).toEqual(shown(w, leaf));
          points += w.columns.length;
        }
      }
      for (let n = 0; n < 20; n++) {
        const at = START + random.below(SCRAPES) * SCRAPE_MS + random.pick([0, 1234]);
        const range = { minMs: at + random.below(2) - 1, maxMs: at + random.pick([0, 1, SCRAPE_MS, 400_000]) };
        const sets = random.pick([[], [[{ type: "=", name: "mode", value: "1" }]]] as const);
        const about = `case ${seed}: ${JSON.stringify({ range, sets })}`;
        const found = (await want.series(sets, range, 0, context)).map(labelsKey).sort();
        expect((await got.series(sets, range, 0, context)).map(labelsKey).sort(), about).toEqual(found);
        expect(await got.labelNames(sets, range, 0, context), about).toEqual(
          await want.labelNames(sets, range, 0, context),
        );
        expect(await got.labelValues("i", sets, range, 0, context), about).toEqual(
          await want.labelValues("i", sets, range, 0, context),
        );
        expect(exported(ours, range.minMs, range.maxMs), about).toEqual(exported(twin, range.minMs, range.maxMs));
      }
      const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
      expect(exported(ours, low, high)).toEqual(exported(twin, low, high));
      for (const block of ours.sources.blocks) expect(block.isInUse).toBe(false);
    }
    expect(points).toBeGreaterThan(CASES * 50);
    expect(kinds.blocks).toBeGreaterThan(CASES);
    expect(kinds.lone).toBeGreaterThan(0);
    expect(kinds.stored).toBeGreaterThan(0);
    expect(kinds.deleted).toBeGreaterThan(CASES / 5);
  });
});

describe("a block that is replaced", () => {
  const series: SplitSeries[] = [0, 1, 2].map((i) => ({ labels: { __name__: "m", i: `${i}` }, target: 0 }));
  const samplesOf = (from: number, to: number): SplitSample[] =>
    Array.from({ length: to - from }, (_, k) => from + k).flatMap((scrape) =>
      series.map((_, i) => ({ series: i, time: START + scrape * SCRAPE_MS, bits: bitsOf(scrape * 10 + i) })),
    );
  const leaf: Leaf = {
    matchers: [{ type: "=", name: "__name__", value: "m" }],
    grid: { startMs: START + 20 * SCRAPE_MS, stepMs: 0, count: 1 },
    rollup: "sum_over_time",
    rangeMs: 3_600_000,
    offsetMs: 0,
    args: [],
    dropName: false,
  };
  const sums = async (storage: SplitStorage): Promise<number[]> => {
    const { columns } = await querierOf(storage).evaluate(leaf, context);
    return columns.map(({ values }) => values[0]!);
  };

  test("is read by evaluations that began before, and closed after the last of them", async () => {
    const storage = new SplitStorage(series, { heads: [samplesOf(10, 20)], blocks: [samplesOf(0, 10)] });
    const wanted = await sums(storage);
    expect(wanted).toEqual([1900, 1920, 1940]);
    const former = storage.sources;
    const running = sums(storage);
    const reading = exportSeries(storage.catalog, storage.sources, { sources: [] }, TENANT, [], START, NOW);
    expect(reading.next().value!.times.length).toBe(20);
    storage.sources = { ...former, blocks: storage.makeBlocks(samplesOf(0, 10)) };
    for (const block of former.blocks) block.retire();
    expect(await running).toEqual(wanted);
    expect(await sums(storage)).toEqual(wanted);
    expect(former.blocks.map((block) => block.isInUse)).toEqual([true, true]);
    expect([...reading].length).toBe(2);
    expect(former.blocks.map((block) => block.isInUse)).toEqual([false, false]);
    for (const block of former.blocks) expect(() => block.acquire()).toThrow("closed");
    expect(() => former.blocks[0]!.reader.prefetch(0, 1)).toThrow();
  });

  test("and one that a query fails in are let go", async () => {
    const storage = new SplitStorage(series, { heads: [samplesOf(10, 20)], blocks: [samplesOf(0, 10)] });
    const { path } = storage.sources.blocks[0]!.reader;
    const file = storage.fs.open(path, "update");
    file.write(new Uint8Array(4), storage.sources.blocks[0]!.reader.footer.headerPages[0]!.offset);
    file.close();
    await expect(sums(storage)).rejects.toThrow(CorruptionError);
    expect(storage.sources.blocks.map((block) => block.isInUse)).toEqual([false, false]);
  });

  test("a range beside a block leaves its headers and times unread", async () => {
    const storage = new SplitStorage(series, { heads: [samplesOf(10, 20)], blocks: [samplesOf(0, 10)] });
    const last = START + 9 * SCRAPE_MS;
    const within = async (minMs: number, maxMs: number): Promise<number> =>
      (await querierOf(storage).series([], { minMs, maxMs }, 0, context)).length;
    expect(await within(last + 1, NOW)).toBe(3);
    expect(await within(START - 1000, START - 1)).toBe(0);
    // Labels are kept; headers and times come on top once the range meets the block.
    const labels = storage.sources.blocks.map((block) => block.keptBytes);
    expect(await within(last, last)).toBe(3);
    expect(storage.sources.blocks.every((block, i) => block.keptBytes > labels[i]!)).toBe(true);
  });

  test("series that only blocks know are found, and stay out of the catalogue", async () => {
    const storage = new SplitStorage(series, { heads: [[]], blocks: [samplesOf(0, 10)] }, 0);
    expect(storage.catalog.seriesEnd).toBe(0);
    expect((await sums(storage)).sort()).toEqual([450, 460, 470]);
    const again = new SplitStorage(series, { heads: [[]], blocks: [samplesOf(0, 10)] }, 0);
    const always = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };
    expect(await querierOf(again).labelValues("i", [], always, 0, context)).toEqual(["0", "1", "2"]);
    expect([storage.catalog.seriesEnd, again.catalog.seriesEnd]).toEqual([0, 0]);
  });
});

describe("what blocks keep in memory", () => {
  const series: SplitSeries[] = [0, 1].map((i) => ({ labels: { __name__: "m", i: `${i}` }, target: 0 }));
  const at = (scrape: number): SplitSample[] =>
    series.map((_, i) => ({ series: i, time: START + scrape * SCRAPE_MS, bits: bitsOf(i) }));
  const ask = async (storage: SplitStorage, scrape: number): Promise<number> => {
    const leaf: Leaf = {
      matchers: [{ type: "=", name: "__name__", value: "m" }],
      grid: { startMs: START + scrape * SCRAPE_MS, stepMs: 0, count: 1 },
      ...{ rollup: "last", rangeMs: 1, offsetMs: 0, args: [], dropName: false },
    };
    return (await querierOf(storage).evaluate(leaf, context)).columns.length;
  };
  const kept = (storage: SplitStorage): boolean[] => storage.sources.blocks.map((block) => block.keptBytes > 0);

  test("is bounded: what was used last stays", async () => {
    const free = new SplitStorage(series, { heads: [[]], blocks: [at(0)] });
    await ask(free, 0);
    expect(free.memory.sizeBytes).toBeGreaterThan(0);
    const storage = new SplitStorage(series, { heads: [[]], blocks: [at(0), at(1)] }, 2, free.memory.sizeBytes);
    for (const scrape of [0, 1, 0]) expect(await ask(storage, scrape)).toBe(2);
    expect(kept(storage)).toEqual([true, true, false, false]);
    expect(storage.memory.sizeBytes).toBe(free.memory.sizeBytes);
  });

  test("goes when nobody asks for long", async () => {
    const storage = new SplitStorage(series, { heads: [[]], blocks: [at(0), at(1)] });
    await ask(storage, 0);
    await storage.clock.advance(40_000);
    await ask(storage, 1);
    await storage.clock.advance(40_000);
    storage.memory.sweep();
    expect(kept(storage)).toEqual([false, false, true, true]);
  });
});
