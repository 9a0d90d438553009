// test/unit/tsdb/header-rows.test.ts: one window over long blocks, answered from headers where they are in it as a whole, against the same samples
// in a single head.
import { expect, test } from "vitest";
import { SeededRandom } from "../../../libs/env/index.ts";
import { type Leaf, labelsKey, type QueryContext, type Rollup } from "../../../libs/model/index.ts";
import { evaluateLeaf } from "../../../libs/tsdb/evaluate.ts";
import { Pace } from "../../../libs/tsdb/pace.ts";
import { PlanPool } from "../../../libs/tsdb/plan-pool.ts";
import { bitsOf, STALE } from "../kernel/head-batches.ts";
import { NOW, TENANT } from "./db-fixture.ts";
import { type SplitSample, SplitStorage } from "./split-storage.ts";

const NO_SIDE_DATA = { sources: [] };

const STEP = 15_000;
/** Samples per block, and blocks; the last part is in a head. */
const LENGTH = 700;
const BLOCKS = 4;
const COUNT = LENGTH * BLOCKS + 300;
const START = NOW - COUNT * STEP;
const ROLLUPS: readonly Rollup[] = [
  "rate",
  "increase",
  "delta",
  "sum_over_time",
  "avg_over_time",
  "count_over_time",
  "min_over_time",
  "max_over_time",
  "first_over_time",
  "last_over_time",
  "ts_of_first_over_time",
  "quantile_over_time",
];
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
};

/** What headers tell well, and what they must not be asked for: NaNs, stale markers, holes, overlapping blocks. */
function drawSamples(random: SeededRandom): SplitSample[] {
  const samples: SplitSample[] = [];
  const values = new Float64Array(8);
  for (let t = 0; t < COUNT; t++) {
    for (let series = 0; series < 8; series++) {
      if (series === 4 && random.chance(0.01)) continue;
      values[series] =
        series < 2
          ? random.chance(0.003)
            ? random.below(10)
            : values[series]! + random.below(50) + (series === 1 ? 0.1 : 0)
          : series === 3
            ? 7
            : random.float() * 2000 - 1000;
      let bits = bitsOf(values[series]!);
      if (series === 5 && random.chance(0.002)) bits = STALE;
      if (series === 6 && random.chance(0.002)) bits = bitsOf(Number.NaN);
      if (series === 7 && random.chance(0.002)) bits = bitsOf(random.chance(0.5) ? Infinity : -Infinity);
      samples.push({ series, time: START + t * STEP + (series % 2) * 1234, bits });
    }
  }
  return samples;
}

test("answers of long windows are those of samples, and read fewer", { timeout: 60_000 }, async () => {
  const random = new SeededRandom(4);
  const samples = drawSamples(random);
  const series = Array.from({ length: 8 }, (_, i) => ({ labels: { __name__: "m", i: `${i}` }, target: i % 2 }));
  const partOf = ({ time }: SplitSample): number => Math.min(BLOCKS, Math.floor((time - START) / STEP / LENGTH));
  const blocks = Array.from({ length: BLOCKS }, (_, b) => samples.filter((sample) => partOf(sample) === b));
  // A block that lies among the others.
  const among = samples.filter(({ series: one, time }) => one === 2 && (time / STEP) % 90 < 1).slice(0, 600);
  const head = samples.filter((sample) => partOf(sample) === BLOCKS);
  const twin = new SplitStorage(series, { heads: [samples], blocks: [] });
  const ours = new SplitStorage(series, { heads: [head], blocks: [...blocks, among] });
  const plans = new PlanPool();
  let fewer = 0;
  for (let i = 0; i < 300; i++) {
    const rollup = random.pick(ROLLUPS);
    const end = START + random.below(COUNT + 100) * STEP + random.pick([0, 0, 1234, 1, -1]);
    const leaf: Leaf = {
      matchers: [{ type: "=", name: "__name__", value: "m" }],
      grid: { startMs: end, stepMs: random.pick([0, 1]), count: 1 },
      rollup,
      rangeMs: random.pick([STEP * LENGTH, STEP * COUNT, STEP * (2000 + random.below(1000)), 10 * STEP * COUNT]),
      offsetMs: 0,
      args: rollup === "quantile_over_time" ? [0.5] : [],
      dropName: false,
    };
    const wanted = await evaluateLeaf(
      leaf,
      context,
      twin.selector,
      twin.sources,
      NO_SIDE_DATA,
      new Pace(twin.clock, context),
      plans,
    );
    const got = await evaluateLeaf(
      leaf,
      context,
      ours.selector,
      ours.sources,
      NO_SIDE_DATA,
      new Pace(ours.clock, context),
      plans,
    );
    const about = `${i}: ${JSON.stringify(leaf)}`;
    const byKey = new Map(got.columns.map(({ labels, values }) => [labelsKey(labels), values[0]!]));
    expect([about, byKey.size, got.seriesCount]).toEqual([about, wanted.columns.length, wanted.seriesCount]);
    for (const { labels, values } of wanted.columns) {
      const [mine, theirs] = [byKey.get(labelsKey(labels))!, values[0]!];
      const same = Object.is(mine, theirs) || Math.abs(mine - theirs) <= 1e-12 * Math.max(1e5, Math.abs(theirs));
      if (!same) expect([about, labels, mine]).toEqual([about, labels, theirs]);
    }
    if (got.samplesRead < wanted.samplesRead / 2) fewer++;
  }
  expect(fewer).toBeGreaterThan(10);
});
