// libs/promql/sample-counts.ts: the samples that a query looks at and reads, step by step, as Prometheus counts them.
// Only for queries whose statistics are asked for: each leaf is asked once or twice more, for counts alone, which storages
// answer from windows without values. A sample counts once in each window that holds it (`total`), and once when a window
// first reaches it (`read`). Histograms count by their size (sample-weight.ts), those among the points of a subquery as one.
// Reference: Prometheus 3.14, util/stats, and what its engine adds to them.
import type { Grid, Leaf, Queryable, QueryContext, Rollup } from "../model/index.ts";
import { LeafNotes } from "./leaf-notes.ts";
import { finishPartials } from "./merge.ts";
import { EXTRA_WEIGHT, WEIGHED } from "./sample-weight.ts";

/** Rollups that look at one sample, the newest of the window. */
const INSTANT: ReadonlySet<Rollup> = new Set<Rollup>(["last", "timestamp", "start_timestamp", "last_smoothed"]);

/** A subquery's counts, and how its steps lie in the windows of the steps outside. */
interface Inner {
  readonly counts: SampleCounts;
  /** Steps of the range function outside: one that is the same at every step is evaluated once. */
  readonly outer: Grid;
  readonly offsetMs: number;
  /** 0: every step is part of the answer. */
  readonly rangeMs: number;
}

/** The counts of one evaluation: of the query itself, or of a subquery inside it. */
export class SampleCounts {
  readonly total: Float64Array;
  readonly read: Float64Array;
  readonly #grid: Grid;
  readonly #leaves: Leaf[] = [];
  readonly #inner: Inner[] = [];

  constructor(grid: Grid) {
    this.#grid = grid;
    this.total = new Float64Array(grid.count);
    this.read = new Float64Array(grid.count);
  }

  /** A leaf was evaluated. */
  addLeaf(leaf: Leaf): void {
    this.#leaves.push(leaf);
  }

  /** Points in the windows of a range function over a subquery. */
  addPoints(points: Float64Array): void {
    spread(this.total, points);
  }

  /** Samples that are the answer of an instant query as they are. */
  addAnswer(samples: number): void {
    this.total[0]! += samples;
    this.read[0]! += samples;
  }

  /** The counts of a subquery on its own grid. */
  within(grid: Grid, outer: Grid, offsetMs: number, rangeMs: number): SampleCounts {
    const counts = new SampleCounts(grid);
    this.#inner.push({ counts, outer, offsetMs, rangeMs });
    return counts;
  }

  /** Counts everything that was noted. Errors: those of the storage. */
  async settle(queryable: Queryable, context: QueryContext): Promise<void> {
    for (const leaf of this.#leaves) await this.#countLeaf(leaf, queryable, context);
    for (const inner of this.#inner) {
      await inner.counts.settle(queryable, context);
      this.#merge(inner);
    }
  }

  async #countLeaf(leaf: Leaf, queryable: Queryable, context: QueryContext): Promise<void> {
    const { grid, rollup, rangeMs } = leaf;
    const windows = await countsOf(leaf, rangeMs, queryable, context);
    spread(this.total, windows);
    const isFixed = grid.stepMs === 0;
    // With a fixed time the same window serves every step, and is read for the first.
    if (isFixed) this.read[0]! += windows[0]!;
    else if (INSTANT.has(rollup) || grid.count === 1 || rangeMs <= grid.stepMs) spread(this.read, windows);
    else {
      const news = await countsOf(leaf, grid.stepMs, queryable, context);
      news[0] = windows[0]!;
      spread(this.read, news);
    }
  }

  #merge({ counts, outer, offsetMs, rangeMs }: Inner): void {
    const grid = counts.#grid;
    // A subquery that is the answer itself counts as what it looked at.
    if (rangeMs === 0) for (const n of counts.total) this.total[0]! += n;
    if (outer.count === 1) {
      for (const n of counts.read) this.read[0]! += n;
      return;
    }
    for (let step = 0; step < grid.count; step++) {
      const timeMs = grid.startMs + step * grid.stepMs + offsetMs;
      const at = Math.min(outer.count - 1, Math.max(0, Math.ceil((timeMs - outer.startMs) / outer.stepMs)));
      // Between two windows nobody looks at it.
      if (rangeMs > 0 && timeMs <= outer.startMs + at * outer.stepMs - rangeMs) continue;
      this.read[at]! += counts.read[step]!;
    }
  }
}

/** Adds counts step by step; a single one, which holds for every step, to each. */
function spread(sums: Float64Array, counts: Float64Array): void {
  for (let step = 0; step < sums.length; step++) sums[step]! += counts[counts.length === 1 ? 0 : step]!;
}

/** How many samples of all series lie in the window of each step, by weight. */
async function countsOf(
  leaf: Leaf,
  rangeMs: number,
  queryable: Queryable,
  context: QueryContext,
): Promise<Float64Array> {
  const { matchers, grid, offsetMs, countsOnly } = leaf;
  const counts = new Float64Array(grid.count);
  const add = async (rollup: Rollup, op: "count" | "sum", args: readonly number[]): Promise<void> => {
    const aggregation = { op, without: false, labels: [] } as const;
    const plain: Leaf = { matchers, grid, offsetMs, rangeMs, rollup, args, dropName: true, aggregation };
    const { columns } = await queryable.evaluate(countsOnly === true ? { ...plain, countsOnly } : plain, context);
    const [counted] = finishPartials(op, columns, new LeafNotes());
    for (let step = 0; counted !== undefined && step < grid.count; step++) {
      if (counted.present === null || counted.present[step] === 1) counts[step]! += counted.values[step]!;
    }
  };
  if (INSTANT.has(leaf.rollup)) {
    await add("last", "count", []);
    await add(EXTRA_WEIGHT, "sum", [WEIGHED]);
  } else await add("count_over_time", "sum", [WEIGHED]);
  return counts;
}
