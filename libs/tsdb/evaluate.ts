// libs/tsdb/evaluate.ts: evaluates a leaf over the head: select, decode, roll up, perhaps aggregate.
// HOT: bench test/bench/evaluate.bench.ts. Series that follow their group's timestamp column share its
// window plan; others get a plan of their own. Where the answer follows from the times, nothing is decoded. The work is cut
// into slices, so that a long leaf does not keep ingestion waiting.
import { setImmediate as breathe } from "node:timers/promises";
import { HOLE_HIGH, HOLE_LOW } from "../chunk/index.ts";
import type { Clock } from "../env/index.ts";
import { READ_HOLES, READ_STALE } from "../kernel/index.ts";
import {
  CanceledError,
  type Leaf,
  type LeafResult,
  LimitError,
  METRIC_NAME,
  type QueryContext,
  type StepColumn,
  setLabel,
  TimeoutError,
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
import type { SeriesCatalog } from "./catalog.ts";
import type { Head, TimeColumn } from "./head.ts";
import type { PlanPool } from "./plan-pool.ts";

/** The longest stretch of work before other events get their turn. */
const SLICE_MS = 4;
/** Series between two looks at the clock. */
const SLICE_SERIES = 64;
/** Up to this many groups, series that are only counted are counted per column first: 1 KiB for each column. */
const TALLY_GROUPS_MAX = 256;
/** Result columns are cut from arrays of at most this many steps, unless one column is longer. */
const SLAB_STEPS = 8192;

/** What the times of a column say about every series that has a sample at each of them. */
interface TimesAnswer {
  readonly points: number;
  readonly values: Float64Array;
  readonly present: Uint8Array | null;
}

/** A group's column within the leaf's reach, and the windows over it. */
interface SharedColumn {
  readonly column: TimeColumn;
  readonly plan: WindowPlan;
  answer: TimesAnswer | undefined;
  /** By output group: series of this column that the answer stands for, not yet added. */
  tally: Uint32Array | undefined;
}

/** Evaluates one leaf. Errors: LimitError beyond context.samplesMax, TimeoutError, CanceledError. */
export async function evaluateLeaf(
  leaf: Leaf,
  context: QueryContext,
  catalog: SeriesCatalog,
  head: Head,
  clock: Clock,
  plans: PlanPool,
): Promise<LeafResult> {
  const series = catalog.index.select(context.tenant, leaf.matchers);
  return new LeafEvaluation(leaf, context, catalog, head, clock, plans).run(series);
}

class LeafEvaluation {
  private readonly leaf: Leaf;
  private readonly context: QueryContext;
  private readonly catalog: SeriesCatalog;
  private readonly head: Head;
  private readonly clock: Clock;
  private readonly plans: PlanPool;
  /** The samples that any window can see: (start - offset - range, end - offset]. */
  private readonly lowMs: number;
  private readonly highMs: number;
  private readonly steps: number;
  private readonly shared = new Map<number, SharedColumn>();
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

  constructor(leaf: Leaf, context: QueryContext, catalog: SeriesCatalog, head: Head, clock: Clock, plans: PlanPool) {
    this.leaf = leaf;
    this.context = context;
    this.catalog = catalog;
    this.head = head;
    this.clock = clock;
    this.plans = plans;
    const { startMs, stepMs, count } = leaf.grid;
    this.lowMs = startMs - leaf.offsetMs - leaf.rangeMs + 1;
    this.highMs = startMs + (count - 1) * stepMs - leaf.offsetMs;
    this.steps = count;
    this.keepsStale = seesStale(leaf.rollup);
    const op = leaf.aggregation?.op;
    const counts = (op === "count" || op === "group") && presenceFollowsTimes(leaf.rollup);
    this.isOfTimes = counts || !readsValues(leaf.rollup);
    this.out = new Float64Array(count);
    this.present = new Uint8Array(count);
  }

  async run(series: Uint32Array): Promise<LeafResult> {
    try {
      const columns = await (this.leaf.aggregation === undefined ? this.eachSeries(series) : this.aggregate(series));
      return { columns, seriesCount: this.seriesCount, samplesRead: this.samplesRead, warnings: [] };
    } finally {
      for (const { plan } of this.shared.values()) this.plans.give(plan);
    }
  }

  private async eachSeries(series: Uint32Array): Promise<StepColumn[]> {
    const columns: StepColumn[] = [];
    const { steps } = this;
    let slab = new Float64Array(0);
    await this.inSlices(series.length, (from, to) => {
      for (let i = from; i < to; i++) {
        const one = series[i]!;
        if (this.leaf.rollup === "samples") {
          const raw = this.rawSamples(one);
          if (raw !== undefined) columns.push(raw);
          continue;
        }
        const shared = this.columnOf(one);
        const known = this.answerOf(one, shared);
        const points = known === undefined ? this.rollUp(one, shared) : known.points;
        if (points === 0) continue;
        if (slab.length < steps) {
          slab = new Float64Array(Math.max(steps, Math.min(SLAB_STEPS, steps * (series.length - i))));
        }
        // Copied from an answer as well: the columns are the asker's to change, each by itself.
        const values = slab.subarray(0, steps);
        slab = slab.subarray(steps);
        values.set(known === undefined ? this.out : known.values);
        const present = points === steps ? null : (known?.present ?? this.present).slice();
        columns.push({ labels: this.labelsOf(one), values, present });
      }
    });
    return columns;
  }

  private async aggregate(series: Uint32Array): Promise<StepColumn[]> {
    const { op, without, labels } = this.leaf.aggregation!;
    const aggregator = new PartialAggregator({ op, without, labels }, this.steps);
    // The metric name never survives `without`, and not `by` either where the rollup has dropped it.
    const names = without
      ? [...labels, METRIC_NAME]
      : this.leaf.dropName
        ? labels.filter((n) => n !== METRIC_NAME)
        : labels;
    const groups = this.catalog.index.groupKeys(series, names, without);
    for (const one of groups.labels) aggregator.addGroup(one);
    const { groupOf } = groups;
    const tallies = (op === "count" || op === "group") && groups.labels.length <= TALLY_GROUPS_MAX;
    await this.inSlices(series.length, (from, to) => {
      for (let i = from; i < to; i++) {
        const one = series[i]!;
        const shared = this.columnOf(one);
        const known = this.answerOf(one, shared);
        if (known === undefined) {
          const points = this.rollUp(one, shared);
          if (points > 0) aggregator.add(groupOf[i]!, this.out, points === this.steps ? null : this.present);
        } else if (known.points > 0) {
          if (!tallies) aggregator.add(groupOf[i]!, known.values, known.present);
          else {
            shared.tally ??= new Uint32Array(groups.labels.length);
            shared.tally[groupOf[i]!]!++;
          }
        }
      }
    });
    if (tallies) this.addTallies(aggregator);
    return aggregator.columns();
  }

  private addTallies(aggregator: PartialAggregator): void {
    for (const { tally, answer } of this.shared.values()) {
      if (tally === undefined) continue;
      for (let g = 0; g < tally.length; g++) {
        if (tally[g]! > 0) aggregator.addPresence(g, answer!.present, tally[g]!);
      }
    }
  }

  /** What the times alone say about a series; undefined when its values have to be read. */
  private answerOf(series: number, shared: SharedColumn): TimesAnswer | undefined {
    if (!this.isOfTimes) return undefined;
    const { head } = this;
    const { column, plan } = shared;
    if (!head.isInStep(series, column, this.lowMs, this.highMs)) return undefined;
    if (!head.isClean(series, column.from, column.to)) return undefined;
    shared.answer ??= this.answerFromTimes(shared);
    if (column.times.length > 0) this.account(plan.samplesRead);
    return shared.answer;
  }

  private answerFromTimes({ column, plan }: SharedColumn): TimesAnswer {
    const { leaf, steps } = this;
    const values = new Float64Array(steps);
    const present = new Uint8Array(steps);
    // Zeros stand for values that cannot matter.
    const zeros = new Float64Array(column.times.length);
    const points = evaluateRollup(leaf.rollup, plan, column.times, zeros, leaf.args, values, present);
    return { points, values, present: points === steps ? null : present };
  }

  private columnOf(series: number): SharedColumn {
    const group = this.head.groupOf(series);
    return this.shared.get(group) ?? this.share(group);
  }

  /** Fills out and present for one series; returns the number of steps that have a value. */
  private rollUp(series: number, { column, plan }: SharedColumn): number {
    const { head, leaf } = this;
    if (!head.isInStep(series, column, this.lowMs, this.highMs)) return this.rollUpAlone(series);
    const n = column.times.length;
    if (n === 0) return 0;
    const values = head.readColumn(series, column.from, column.to);
    const flags = head.columnFlags;
    if ((flags & READ_HOLES) !== 0) return this.rollUpWithoutHoles(column.times, values, n);
    if ((flags & READ_STALE) !== 0 && !this.keepsStale) return this.rollUpStripped(column.times, values, n);
    this.account(plan.samplesRead);
    return evaluateRollup(leaf.rollup, plan, column.times, values, leaf.args, this.out, this.present);
  }

  private share(group: number): SharedColumn {
    const { leaf } = this;
    const column = this.head.timeColumn(group, this.lowMs, this.highMs);
    const plan = planWindows(
      column.times,
      column.times.length,
      leaf.grid,
      leaf.rangeMs,
      leaf.offsetMs,
      this.plans.take(),
    );
    const made = { column, plan, answer: undefined, tally: undefined };
    this.shared.set(group, made);
    return made;
  }

  /** A series with times of its own: late samples, or parts in several groups. */
  private rollUpAlone(series: number): number {
    const { times, values, count, flags } = this.head.readSeries(series, this.lowMs, this.highMs);
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

  private rawSamples(series: number): StepColumn | undefined {
    const { times, values, count } = this.head.readSeries(series, this.lowMs, this.highMs);
    this.reserve(count);
    const kept = stripStale(times, values, count, this.ownTimes, this.ownValues);
    if (kept === 0) return undefined;
    this.account(kept);
    return {
      labels: this.labelsOf(series),
      times: this.ownTimes.slice(0, kept),
      values: this.ownValues.slice(0, kept),
      present: null,
    };
  }

  private labelsOf(series: number): StepColumn["labels"] {
    const labels = this.catalog.index.labelsOf(series);
    return this.leaf.dropName ? setLabel(labels, METRIC_NAME, "") : labels;
  }

  private account(samples: number): void {
    this.seriesCount++;
    this.samplesRead += samples;
    if (this.samplesRead > this.context.samplesMax) {
      throw new LimitError(
        "query-samples-max",
        "query processing would load too many samples into memory in query execution",
      );
    }
  }

  private reserve(n: number): void {
    if (n <= this.ownTimes.length) return;
    this.ownTimes = new Float64Array(n * 2);
    this.ownValues = new Float64Array(n * 2);
  }

  /**
   * Calls `work` for stretches [from, to) of 0 … count − 1, with pauses. Views of the head's memory must not be kept from
   * one call to the next.
   */
  private async inSlices(count: number, work: (from: number, to: number) => void): Promise<void> {
    this.checkTime();
    let until = this.clock.monotonicMs() + SLICE_MS;
    for (let from = 0; from < count; from += SLICE_SERIES) {
      work(from, Math.min(count, from + SLICE_SERIES));
      if (from + SLICE_SERIES >= count || this.clock.monotonicMs() < until) continue;
      await breathe();
      this.checkTime();
      until = this.clock.monotonicMs() + SLICE_MS;
    }
  }

  private checkTime(): void {
    if (this.context.signal.aborted) throw new CanceledError("query was canceled in query execution");
    if (this.clock.nowMs() > this.context.deadlineMs) throw new TimeoutError("query timed out in query execution");
  }
}
