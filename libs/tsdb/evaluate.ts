// libs/tsdb/evaluate.ts: evaluates a leaf over heads and blocks: select, decode, roll up, perhaps aggregate.
// HOT: bench test/bench/evaluate.bench.ts. Series that follow the same columns of times share a
// window plan; others get a plan of their own. Where the answer follows from the times, nothing is decoded. The work is cut
// into slices, so that a long leaf does not keep ingestion waiting.
import { HOLE_HIGH, HOLE_LOW } from "../chunk/index.ts";
import type { Clock } from "../env/index.ts";
import { READ_HOLES, READ_STALE } from "../kernel/index.ts";
import {
  checkSeries,
  type Leaf,
  type LeafResult,
  METRIC_NAME,
  type QueryContext,
  type StepColumn,
  setLabel,
  tooManyBytes,
  tooManySamples,
} from "../model/index.ts";
import {
  createWindowPlan,
  evaluateRollup,
  PartialAggregator,
  planWindows,
  presenceFollowsTimes,
  readsValues,
  seesStale,
  stripStale,
  type WindowPlan,
} from "../promql/index.ts";
import { HeadCursor } from "./head-cursor.ts";
import { JoinedCursor } from "./joined-cursor.ts";
import { LeafBlocks } from "./leaf-blocks.ts";
import type { LeafCursor, SharedColumn, TimesAnswer } from "./leaf-cursor.ts";
import { Pace } from "./pace.ts";
import type { PlanPool } from "./plan-pool.ts";
import type { Selection } from "./selection.ts";
import type { Selector } from "./selector.ts";
import { CapturedSources, type Sources } from "./sources.ts";

/** Up to this many groups, series that are only counted are counted per column first: 1 KiB for each column. */
const TALLY_GROUPS_MAX = 256;
/** Series before the first look at the clock. */
const STRIDE_FIRST = 8;
/** Result columns are cut from arrays of at most this many steps, unless one column is longer. */
const SLAB_STEPS = 8192;

/**
 * Evaluates one leaf over samples later than floorMs. Errors: LimitError beyond context.samplesMax, TimeoutError, CanceledError, CorruptionError for a block that is
 * damaged where it is read.
 */
export async function evaluateLeaf(
  leaf: Leaf,
  context: QueryContext,
  selector: Selector,
  sources: Sources,
  clock: Clock,
  plans: PlanPool,
  floorMs = Number.NEGATIVE_INFINITY,
): Promise<LeafResult> {
  const pace = new Pace(clock, context);
  // The samples that any window can see: (start - offset - range, end - offset].
  const { startMs, stepMs, count } = leaf.grid;
  const highMs = startMs + (count - 1) * stepMs - leaf.offsetMs;
  const lowMs = Math.min(Math.max(startMs - leaf.offsetMs - leaf.rangeMs, floorMs), highMs) + 1;
  const captured = new CapturedSources(sources, lowMs, highMs);
  try {
    const selection = await selector.select(captured.blocks, context.tenant, leaf.matchers, pace);
    checkSeries(selection.count, context.seriesMax);
    const blocks =
      selection.blocks.length > 0
        ? await LeafBlocks.find(selection.count, selection.blocks, lowMs, highMs, pace)
        : LeafBlocks.none(selection.count);
    const heads = captured.heads();
    const cursor =
      heads.length === 1 && blocks.blocks.length === 0
        ? new HeadCursor(heads[0]!, lowMs, highMs)
        : new JoinedCursor(heads, blocks, lowMs, highMs);
    return await new LeafEvaluation(leaf, context, selection, cursor, pace, plans).run();
  } finally {
    captured.release();
  }
}

class LeafEvaluation {
  private readonly leaf: Leaf;
  private readonly context: QueryContext;
  private readonly selection: Selection;
  private readonly cursor: LeafCursor;
  private readonly pace: Pace;
  private readonly plans: PlanPool;
  private readonly steps: number;
  /** Columns with a plan. */
  private readonly planned: SharedColumn[] = [];
  private readonly ownPlan = createWindowPlan();
  private readonly keepsStale: boolean;
  /** Whether the times alone answer for a series without holes and stale markers. */
  private readonly isOfTimes: boolean;
  private out: Float64Array;
  private present: Uint8Array;
  private ownTimes = new Float64Array(0);
  private ownValues = new Float64Array(0);
  private samplesRead = 0;
  private seriesCount = 0;
  /** What the answer takes so far. */
  private bytes = 0;

  constructor(
    leaf: Leaf,
    context: QueryContext,
    selection: Selection,
    cursor: LeafCursor,
    pace: Pace,
    plans: PlanPool,
  ) {
    this.leaf = leaf;
    this.context = context;
    this.selection = selection;
    this.cursor = cursor;
    this.pace = pace;
    this.plans = plans;
    const { count } = leaf.grid;
    this.steps = count;
    this.keepsStale = seesStale(leaf.rollup);
    const op = leaf.aggregation?.op;
    const counts = (op === "count" || op === "group") && presenceFollowsTimes(leaf.rollup);
    this.isOfTimes = counts || !readsValues(leaf.rollup);
    this.out = new Float64Array(count);
    this.present = new Uint8Array(count);
  }

  async run(): Promise<LeafResult> {
    try {
      const columns = await (this.leaf.aggregation === undefined ? this.eachSeries() : this.aggregate());
      return { columns, seriesCount: this.seriesCount, samplesRead: this.samplesRead, warnings: [] };
    } finally {
      for (const { plan } of this.planned) this.plans.give(plan!);
    }
  }

  private async eachSeries(): Promise<StepColumn[]> {
    const columns: StepColumn[] = [];
    const { steps } = this;
    const { numbers } = this.selection;
    let slab = new Float64Array(0);
    await this.inSlices(numbers.length, (from, to) => {
      for (let i = from; i < to; i++) {
        const shared = this.cursor.open(numbers[i]!, i);
        if (this.leaf.rollup === "samples") {
          const raw = this.rawSamples(i);
          if (raw !== undefined) columns.push(raw);
          continue;
        }
        const known = this.answerOf(shared);
        const points = known === undefined ? this.rollUp(shared) : known.points;
        if (points === 0) continue;
        if (slab.length < steps) {
          const size = Math.max(steps, Math.min(SLAB_STEPS, steps * (numbers.length - i)));
          this.hold(8 * size);
          slab = new Float64Array(size);
        }
        // Copied from an answer as well: the columns are the asker's to change, each by itself.
        const values = slab.subarray(0, steps);
        slab = slab.subarray(steps);
        values.set(known === undefined ? this.out : known.values);
        const present = points === steps ? null : (known?.present ?? this.present).slice();
        columns.push({ labels: this.labelsOf(i), values, present });
      }
    });
    return columns;
  }

  private async aggregate(): Promise<StepColumn[]> {
    const { numbers } = this.selection;
    const { op, without, labels } = this.leaf.aggregation!;
    const aggregator = new PartialAggregator({ op, without, labels }, this.steps);
    // The metric name never survives `without`, and not `by` either where the rollup has dropped it.
    const names = without
      ? [...labels, METRIC_NAME]
      : this.leaf.dropName
        ? labels.filter((n) => n !== METRIC_NAME)
        : labels;
    const groups = this.selection.groupKeys(names, without);
    // Counts have a number per step at the end, sums two all the time.
    this.hold(groups.labels.length * this.steps * (op === "sum" || op === "avg" ? 16 : 8));
    for (const one of groups.labels) aggregator.addGroup(one);
    const { groupOf } = groups;
    const tallies = (op === "count" || op === "group") && groups.labels.length <= TALLY_GROUPS_MAX;
    await this.inSlices(numbers.length, (from, to) => {
      for (let i = from; i < to; i++) {
        const shared = this.cursor.open(numbers[i]!, i);
        const known = this.answerOf(shared);
        if (known === undefined) {
          const points = this.rollUp(shared);
          if (points > 0) aggregator.add(groupOf[i]!, this.out, points === this.steps ? null : this.present);
        } else if (known.points > 0) {
          if (!tallies) aggregator.add(groupOf[i]!, known.values, known.present);
          else {
            shared!.tally ??= new Uint32Array(groups.labels.length);
            shared!.tally[groupOf[i]!]!++;
          }
        }
      }
    });
    if (tallies) this.addTallies(aggregator);
    return aggregator.columns();
  }

  private addTallies(aggregator: PartialAggregator): void {
    for (const { tally, answer } of this.planned) {
      if (tally === undefined) continue;
      for (let g = 0; g < tally.length; g++) {
        if (tally[g]! > 0) aggregator.addPresence(g, answer!.present, tally[g]!);
      }
    }
  }

  /** What the times alone say about the open series; undefined when its values have to be read. */
  private answerOf(shared: SharedColumn | undefined): TimesAnswer | undefined {
    if (!this.isOfTimes || shared === undefined || !this.cursor.isClean()) return undefined;
    const plan = this.planOf(shared);
    shared.answer ??= this.answerFromTimes(shared, plan);
    if (shared.times.length > 0) this.account(plan.samplesRead);
    return shared.answer;
  }

  private answerFromTimes({ times }: SharedColumn, plan: WindowPlan): TimesAnswer {
    const { leaf, steps } = this;
    const values = new Float64Array(steps);
    const present = new Uint8Array(steps);
    // Zeros stand for values that cannot matter.
    const zeros = new Float64Array(times.length);
    const points = evaluateRollup(leaf.rollup, plan, times, zeros, leaf.args, values, present);
    return { points, values, present: points === steps ? null : present };
  }

  private planOf(shared: SharedColumn): WindowPlan {
    if (shared.plan !== undefined) return shared.plan;
    const { leaf } = this;
    const { times } = shared;
    shared.plan = planWindows(times, times.length, leaf.grid, leaf.rangeMs, leaf.offsetMs, this.plans.take());
    this.planned.push(shared);
    return shared.plan;
  }

  /** Fills out and present for the open series; returns the number of steps that have a value. */
  private rollUp(shared: SharedColumn | undefined): number {
    if (shared === undefined) return this.rollUpAlone();
    const { times } = shared;
    const n = times.length;
    if (n === 0) return 0;
    const { cursor, leaf } = this;
    const values = cursor.readValues();
    const { flags } = cursor;
    if ((flags & READ_HOLES) !== 0) return this.rollUpWithoutHoles(times, values, n);
    if ((flags & READ_STALE) !== 0 && !this.keepsStale) return this.rollUpStripped(times, values, n);
    const plan = this.planOf(shared);
    this.account(plan.samplesRead);
    return evaluateRollup(leaf.rollup, plan, times, values, leaf.args, this.out, this.present);
  }

  /** A series with times of its own: late samples, or parts in several groups. */
  private rollUpAlone(): number {
    const { times, values, count, flags } = this.cursor.readSamples();
    if (count === 0) return 0;
    if ((flags & READ_STALE) !== 0 && !this.keepsStale) return this.rollUpStripped(times, values, count);
    return this.rollUpOwn(times, values, count);
  }

  private rollUpStripped(times: Float64Array, values: Float64Array, n: number): number {
    this.reserve(n);
    const kept = stripStale(times, values, n, this.ownTimes, this.ownValues);
    return kept === 0 ? 0 : this.rollUpOwn(this.ownTimes, this.ownValues, kept);
  }

  private rollUpWithoutHoles(times: Float64Array, values: Float64Array, n: number): number {
    this.reserve(n);
    const words = new Uint32Array(values.buffer, values.byteOffset, n * 2);
    const { ownTimes, ownValues } = this;
    let kept = 0;
    for (let i = 0; i < n; i++) {
      if (words[i * 2] === HOLE_LOW && words[i * 2 + 1] === HOLE_HIGH) continue;
      ownTimes[kept] = times[i]!;
      ownValues[kept++] = values[i]!;
    }
    if (!this.keepsStale) kept = stripStale(ownTimes, ownValues, kept, ownTimes, ownValues);
    return kept === 0 ? 0 : this.rollUpOwn(ownTimes, ownValues, kept);
  }

  private rollUpOwn(times: Float64Array, values: Float64Array, n: number): number {
    const { leaf } = this;
    const plan = planWindows(times, n, leaf.grid, leaf.rangeMs, leaf.offsetMs, this.ownPlan);
    this.account(plan.samplesRead);
    return evaluateRollup(leaf.rollup, plan, times, values, leaf.args, this.out, this.present);
  }

  private rawSamples(index: number): StepColumn | undefined {
    const { times, values, count } = this.cursor.readSamples();
    this.reserve(count);
    const kept = stripStale(times, values, count, this.ownTimes, this.ownValues);
    if (kept === 0) return undefined;
    this.account(kept);
    this.hold(16 * kept);
    return {
      labels: this.labelsOf(index),
      times: this.ownTimes.slice(0, kept),
      values: this.ownValues.slice(0, kept),
      present: null,
    };
  }

  private labelsOf(index: number): StepColumn["labels"] {
    const labels = this.selection.labelsOf(index);
    return this.leaf.dropName ? setLabel(labels, METRIC_NAME, "") : labels;
  }

  private account(samples: number): void {
    this.seriesCount++;
    this.samplesRead += samples;
    if (this.samplesRead > this.context.samplesMax) throw tooManySamples();
  }

  /** Counts memory of the answer before it is allocated. */
  private hold(bytes: number): void {
    this.bytes += bytes;
    const { bytesMax } = this.context;
    if (bytesMax !== undefined && this.bytes > bytesMax) throw tooManyBytes(bytesMax);
  }

  private reserve(n: number): void {
    if (n <= this.ownTimes.length) return;
    this.ownTimes = new Float64Array(n * 2);
    this.ownValues = new Float64Array(n * 2);
  }

  /**
   * Calls `work` for stretches [from, to) of 0 … count − 1, with pauses. Stretches get shorter where series take long, so that
   * neither ingestion nor the end of the query waits for many of them. Views of a head's memory must not be kept from one call
   * to the next.
   */
  private async inSlices(count: number, work: (from: number, to: number) => void): Promise<void> {
    const { pace } = this;
    const strideMax = this.cursor.stride;
    let stride = Math.min(strideMax, STRIDE_FIRST);
    for (let from = 0, to = 0; from < count; from = to) {
      to = Math.min(count, from + stride);
      work(from, to);
      if (to === count) break;
      if (!pace.isDue) {
        stride = Math.min(strideMax, 2 * stride);
        continue;
      }
      stride = Math.max(1, stride >> 1);
      await pace.rest();
    }
  }
}
