// libs/tsdb/evaluate.ts: evaluates a leaf over the head: select, decode, roll up, perhaps aggregate.
// Series that follow their group's timestamp column share its window plan; others get a plan of their own. The work is cut
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
  seesStale,
  stripStale,
  type WindowPlan,
} from "../promql/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Head, TimeColumn } from "./head.ts";

/** The longest stretch of work before other events get their turn. */
const SLICE_MS = 4;
/** Series between two looks at the clock. */
const SLICE_SERIES = 64;

/** A group's column within the leaf's reach, and the windows over it. */
interface SharedColumn {
  readonly column: TimeColumn;
  readonly plan: WindowPlan;
}

/** Evaluates one leaf. Errors: LimitError beyond context.samplesMax, TimeoutError, CanceledError. */
export async function evaluateLeaf(
  leaf: Leaf,
  context: QueryContext,
  catalog: SeriesCatalog,
  head: Head,
  clock: Clock,
): Promise<LeafResult> {
  const series = catalog.index.select(context.tenant, leaf.matchers);
  return new LeafEvaluation(leaf, context, catalog, head, clock).run(series);
}

class LeafEvaluation {
  private readonly leaf: Leaf;
  private readonly context: QueryContext;
  private readonly catalog: SeriesCatalog;
  private readonly head: Head;
  private readonly clock: Clock;
  /** The samples that any window can see: (start - offset - range, end - offset]. */
  private readonly lowMs: number;
  private readonly highMs: number;
  private readonly shared = new Map<number, SharedColumn>();
  private readonly ownPlan = createWindowPlan();
  private readonly keepsStale: boolean;
  private out: Float64Array;
  private present: Uint8Array;
  private ownTimes = new Float64Array(1024);
  private ownValues = new Float64Array(1024);
  private samplesRead = 0;
  private seriesCount = 0;

  constructor(leaf: Leaf, context: QueryContext, catalog: SeriesCatalog, head: Head, clock: Clock) {
    this.leaf = leaf;
    this.context = context;
    this.catalog = catalog;
    this.head = head;
    this.clock = clock;
    const { startMs, stepMs, count } = leaf.grid;
    this.lowMs = startMs - leaf.offsetMs - leaf.rangeMs + 1;
    this.highMs = startMs + (count - 1) * stepMs - leaf.offsetMs;
    this.keepsStale = seesStale(leaf.rollup);
    this.out = new Float64Array(count);
    this.present = new Uint8Array(count);
  }

  async run(series: Uint32Array): Promise<LeafResult> {
    const columns = this.leaf.aggregation === undefined ? await this.eachSeries(series) : await this.aggregate(series);
    return { columns, seriesCount: this.seriesCount, samplesRead: this.samplesRead, warnings: [] };
  }

  private async eachSeries(series: Uint32Array): Promise<StepColumn[]> {
    const columns: StepColumn[] = [];
    await this.inSlices(series.length, (i) => {
      const one = series[i]!;
      if (this.leaf.rollup === "samples") {
        const raw = this.rawSamples(one);
        if (raw !== undefined) columns.push(raw);
        return;
      }
      const points = this.rollUp(one);
      if (points === 0) return;
      const all = points === this.out.length;
      columns.push({ labels: this.labelsOf(one), values: this.out, present: all ? null : this.present });
      this.out = new Float64Array(this.out.length);
      if (!all) this.present = new Uint8Array(this.out.length);
    });
    return columns;
  }

  private async aggregate(series: Uint32Array): Promise<StepColumn[]> {
    const { op, without, labels } = this.leaf.aggregation!;
    const aggregator = new PartialAggregator({ op, without, labels }, this.out.length);
    // The metric name never survives `without`, and not `by` either where the rollup has dropped it.
    const names = without
      ? [...labels, METRIC_NAME]
      : this.leaf.dropName
        ? labels.filter((n) => n !== METRIC_NAME)
        : labels;
    const groups = this.catalog.index.groupKeys(series, names, without);
    const numbers = groups.labels.map((one) => aggregator.groupOf(one));
    await this.inSlices(series.length, (i) => {
      const points = this.rollUp(series[i]!);
      if (points === 0) return;
      aggregator.add(numbers[groups.groupOf[i]!]!, this.out, points === this.out.length ? null : this.present);
    });
    return aggregator.columns();
  }

  /** Fills out and present for one series; returns the number of steps that have a value. */
  private rollUp(series: number): number {
    const { head, leaf } = this;
    const group = head.groupOf(series);
    const known = this.shared.get(group) ?? this.share(group);
    const { column, plan } = known;
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
      createWindowPlan(),
    );
    const made = { column, plan };
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

  /** Calls `work` for 0 … count − 1 with pauses. Views of the head's memory must not be kept from one call to the next. */
  private async inSlices(count: number, work: (i: number) => void): Promise<void> {
    let until = this.clock.monotonicMs() + SLICE_MS;
    for (let i = 0; i < count; i++) {
      work(i);
      if (i % SLICE_SERIES !== SLICE_SERIES - 1 || this.clock.monotonicMs() < until) continue;
      await breathe();
      if (this.context.signal.aborted) throw new CanceledError("query was canceled in query execution");
      if (this.clock.nowMs() > this.context.deadlineMs) throw new TimeoutError("query timed out in query execution");
      until = this.clock.monotonicMs() + SLICE_MS;
    }
  }
}
