// libs/tsdb/evaluate.ts: evaluates a leaf over heads and blocks: select, decode, roll up, perhaps aggregate.
// HOT: bench test/bench/evaluate.bench.ts. Series that follow the same columns of times share a
// window plan; others get a plan of their own. Where the answer follows from the times, nothing is decoded. The work is cut
// into slices, so that a long leaf does not keep ingestion waiting.
import { HOLE_HIGH, HOLE_LOW } from "../chunk/index.ts";
import { READ_HOLES, READ_STALE } from "../kernel/index.ts";
import {
  checkSeries,
  type Leaf,
  type LeafResult,
  METRIC_NAME,
  type QueryContext,
  RowTable,
  type StepColumn,
  setLabel,
  tooManyBytes,
  tooManySamples,
} from "../model/index.ts";
import {
  columnsOfRows,
  createWindowPlan,
  evaluateRollup,
  evaluateRows,
  looksAtNewest,
  mergePartials,
  mergeSeries,
  PartialAggregator,
  planWindows,
  presenceFollowsTimes,
  readsValues,
  Slab,
  seesStale,
  stripStale,
  type WindowPlan,
} from "../promql/index.ts";
import { HeadCursor } from "./head-cursor.ts";
import { JoinedCursor } from "./joined-cursor.ts";
import { LeafBlocks } from "./leaf-blocks.ts";
import type { LeafCursor, SharedColumn, TimesAnswer } from "./leaf-cursor.ts";
import { LeafSide, sidePartsOf } from "./leaf-side.ts";
import { type LevelPlan, planLevel } from "./level-choice.ts";
import { LevelRollup } from "./level-rollup.ts";
import { findRows, noteOf, othersOf, reachBack, rowSources, samplesOf } from "./level-sources.ts";
import type { Pace } from "./pace.ts";
import type { PlanPool } from "./plan-pool.ts";
import { NO_SERIES, PartialSelection, type Selection } from "./selection.ts";
import type { Selector } from "./selector.ts";
import type { SideData } from "./side-data.ts";
import { CapturedSide } from "./side-sources.ts";
import { CapturedSources, type Sources } from "./sources.ts";
import { joinResults, splitLeaf } from "./split-leaf.ts";
import type { DbStats } from "./state.ts";

/** Up to this many groups, series that are only counted are counted per column first: 1 KiB for each column. */
const TALLY_GROUPS_MAX = 256;
/** Series before the first look at the clock; and at most between two, where the times answer for most. */
const STRIDE_FIRST = 8;
const STRIDE_OF_TIMES = 64;
/** Samples in reach from which on headers may save the decoding. */
const HEADERS_MIN = 2048;

/** A value, whether there is one, and a window. */
const STEP_BYTES = 17;

/**
 * Evaluates one leaf over samples later than floorMs. Errors: LimitError beyond context.samplesMax, TimeoutError, CanceledError, CorruptionError for a block that is
 * damaged where it is read.
 */
export async function evaluateLeaf(
  leaf: Leaf,
  context: QueryContext,
  selector: Selector,
  sources: Sources,
  sideData: Pick<SideData, "sources">,
  pace: Pace,
  plans: PlanPool,
  floorMs = Number.NEGATIVE_INFINITY,
  stats?: Pick<DbStats, "leavesOf">,
): Promise<LeafResult> {
  const { bytesMax } = context;
  // What each step takes whether there is a sample or not: refused before it is there.
  if (bytesMax !== undefined && leaf.grid.count * STEP_BYTES > bytesMax) throw tooManyBytes(bytesMax);
  const { lowMs, highMs } = reachOf(leaf, floorMs);
  const captured = new CapturedSources(sources, lowMs, highMs, reachBack(leaf, sources));
  const side = CapturedSide.of(sideData, sidePartsOf(leaf), lowMs, highMs);
  const one: LeafParts = { context, selector, captured, side, pace, plans, floorMs };
  try {
    // Files of side data may have series that nobody has asked for yet: they come into the catalogue before it is searched.
    await side?.load(pace);
    const level = captured.rows.length === 0 ? undefined : planLevel(leaf, rowSources(captured));
    if (stats !== undefined) stats.leavesOf[level?.level ?? "raw"]++;
    if (level === undefined) return await evaluatePart(leaf, undefined, one);
    if (level.steps === leaf.grid.count) return await evaluatePart(leaf, level, one);
    const [early, late] = splitLeaf(leaf, level.steps);
    return joinResults(
      leaf.grid.count,
      level.steps,
      await evaluatePart(early, level, one),
      await evaluatePart(late, undefined, one),
    );
  } finally {
    side?.release();
    captured.release();
  }
}

/** What the parts of a leaf have in common. */
interface LeafParts {
  readonly context: QueryContext;
  readonly selector: Selector;
  readonly captured: CapturedSources;
  readonly side: CapturedSide | undefined;
  readonly pace: Pace;
  readonly plans: PlanPool;
  /** Samples up to here are past. */
  readonly floorMs: number;
}

/** The samples that any window can see: (start - offset - range, end - offset]. */
function reachOf({ grid, offsetMs, rangeMs }: Leaf, floorMs: number): { lowMs: number; highMs: number } {
  const { startMs, stepMs, count } = grid;
  const highMs = startMs + (count - 1) * stepMs - offsetMs;
  return { lowMs: Math.min(Math.max(startMs - offsetMs - rangeMs, floorMs), highMs) + 1, highMs };
}

async function evaluatePart(leaf: Leaf, level: LevelPlan | undefined, parts: LeafParts): Promise<LeafResult> {
  const { context, selector, captured, side, pace } = parts;
  const selection = await selector.select(captured.both, context.tenant, leaf.matchers, pace);
  checkSeries(selection.count, context.seriesMax);
  const members = level === undefined ? undefined : side?.membersOf(selection.numbers);
  if (members === undefined) return evaluateSeries(leaf, level, selection, parts);
  // Rows are made of floats: series with histograms or start times are read sample by sample.
  const all = selection.numbers.map((_, i) => i);
  const ofKind = (kind: number): Selection =>
    new PartialSelection(
      selection,
      all.filter((i) => members[i] === kind),
    );
  const [plain, mixed] = [
    await evaluateSeries(leaf, level, ofKind(0), parts),
    await evaluateSeries(leaf, undefined, ofKind(1), parts),
  ];
  return leaf.aggregation === undefined
    ? mergeSeries([plain, mixed])
    : mergePartials(leaf.aggregation.op, [plain, mixed]);
}

async function evaluateSeries(
  leaf: Leaf,
  level: LevelPlan | undefined,
  selection: Selection,
  parts: LeafParts,
): Promise<LeafResult> {
  const { context, captured, pace, plans, floorMs } = parts;
  const { lowMs, highMs } = reachOf(leaf, floorMs);
  const rows = level && (await findRows(leaf, level, selection, parts));
  const samples = rows === undefined ? samplesOf(selection) : othersOf(rows, selection, parts);
  const blocks =
    samples.length > 0
      ? await LeafBlocks.find(selection.count, samples, captured, lowMs, highMs, pace, rows?.withoutCovered)
      : undefined;
  const isOfBlocks = blocks !== undefined && blocks.blocks.length > 0;
  // Beside blocks a head that has nothing in reach would be asked for every series all the same.
  const heads = isOfBlocks ? captured.headsWithin() : captured.heads();
  const cursor =
    heads.length === 1 && !isOfBlocks && selection.numbers.at(-1) !== NO_SERIES
      ? new HeadCursor(heads[0]!, lowMs, highMs)
      : new JoinedCursor(heads, blocks ?? LeafBlocks.none(selection.count), lowMs, highMs);
  const side = parts.side && LeafSide.of(leaf, parts.side, selection.numbers, lowMs);
  const levels = rows && new LevelRollup(leaf, rows, level!.exact);
  const result = await new LeafEvaluation(leaf, context, selection, cursor, pace, plans, side, levels).run();
  const kind = rows && noteOf(level!, rows);
  if (kind === undefined) return result;
  const notes = [...(result.notes ?? []), { kind, metric: "", aggregated: false, count: 1 }];
  return { ...result, notes };
}

class LeafEvaluation {
  private readonly leaf: Leaf;
  private readonly context: QueryContext;
  private readonly selection: Selection;
  private readonly cursor: LeafCursor;
  private readonly pace: Pace;
  private readonly plans: PlanPool;
  /** The series that have histograms or start times; undefined when none has. */
  private readonly side: LeafSide | undefined;
  private readonly steps: number;
  /** Columns with a plan. */
  private readonly planned: SharedColumn[] = [];
  private readonly ownPlan = createWindowPlan();
  private readonly keepsStale: boolean;
  /** Whether the times alone answer for a series without holes and stale markers. */
  private readonly isOfTimes: boolean;
  /** Whether all samples in reach are of one window, and rows would do. */
  private readonly isOneWindow: boolean;
  /** Made when it is needed: its columns take longer than a small leaf. */
  private headerRows: RowTable | undefined;
  private out: Float64Array;
  private present: Uint8Array;
  private ownTimes = new Float64Array(0);
  private ownValues = new Float64Array(0);
  private zeros = new Float64Array(0);
  private samplesRead = 0;
  private seriesCount = 0;
  private readonly levels: LevelRollup | undefined;
  /** The open series, by its index; -1 unless it has rows. */
  private withRows = -1;
  /** What the answer takes so far. */
  private bytes = 0;

  constructor(
    leaf: Leaf,
    context: QueryContext,
    selection: Selection,
    cursor: LeafCursor,
    pace: Pace,
    plans: PlanPool,
    side: LeafSide | undefined,
    levels: LevelRollup | undefined,
  ) {
    this.side = side;
    this.levels = levels;
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
    // Newest samples are found without a look at the others.
    this.isOneWindow = count === 1 && columnsOfRows(leaf.rollup) !== undefined && !looksAtNewest(leaf.rollup);
    this.out = new Float64Array(count);
    this.present = new Uint8Array(count);
  }

  async run(): Promise<LeafResult> {
    try {
      const columns = await (this.leaf.aggregation === undefined ? this.eachSeries() : this.aggregate());
      const { seriesCount, samplesRead } = this;
      return { columns, seriesCount, samplesRead, warnings: [], ...this.side?.notes.asResult() };
    } finally {
      for (const { plan } of this.planned) this.plans.give(plan!);
    }
  }

  private async eachSeries(): Promise<StepColumn[]> {
    const columns: StepColumn[] = [];
    const { steps } = this;
    const { numbers } = this.selection;
    const slab = new Slab(steps, numbers.length, (bytes) => this.hold(bytes));
    await this.inSlices(numbers.length, (from, to) => {
      for (let i = from; i < to; i++) {
        const shared = this.open(i);
        if (this.side?.isOf(i)) {
          const column = this.rollUpAside(i);
          if (column !== undefined) columns.push({ ...column, labels: this.labelsOf(i) });
          continue;
        }
        if (this.leaf.rollup === "samples") {
          const raw = this.rawSamples(i);
          if (raw !== undefined) columns.push(raw);
          continue;
        }
        const known = this.answerOf(shared);
        const points = known === undefined ? this.rollUp(shared) : known.points;
        if (points === 0) continue;
        // Copied from an answer as well: the columns are the asker's to change, each by itself.
        const values = slab.next();
        values.set(known === undefined ? this.out : known.values);
        const present = points === steps ? null : (known?.present ?? this.present).slice();
        columns.push({ labels: this.labelsOf(i), values, present });
      }
    });
    return columns;
  }

  private async aggregate(): Promise<StepColumn[]> {
    const { selection } = this;
    const { op, without, labels } = this.leaf.aggregation!;
    // The metric name never survives `without`, and not `by` either where the rollup has dropped it.
    const names = without
      ? [...labels, METRIC_NAME]
      : this.leaf.dropName
        ? labels.filter((n) => n !== METRIC_NAME)
        : labels;
    const groups = selection.groupKeys(names, without);
    const groupCount = groups.labels.length;
    // Counts have a number per step at the end, sums two all the time.
    this.hold(groupCount * this.steps * (op === "sum" || op === "avg" ? 16 : 8));
    const aggregator = new PartialAggregator({ op, without, labels }, this.steps, groupCount);
    for (const one of groups.labels) aggregator.addGroup(one);
    const { groupOf } = groups;
    const tallies = (op === "count" || op === "group") && groupCount <= TALLY_GROUPS_MAX;
    await this.inSlices(selection.count, (from, to) => {
      for (let i = from; i < to; i++) {
        const shared = this.open(i);
        if (this.side?.isOf(i)) {
          const column = this.rollUpAside(i);
          if (column !== undefined) this.side.addTo(aggregator, groupOf[i]!, column);
          continue;
        }
        const known = this.answerOf(shared);
        if (known === undefined) {
          const points = this.rollUp(shared);
          if (points > 0) aggregator.add(groupOf[i]!, this.out, points === this.steps ? null : this.present);
          if (points > 0) this.side?.sawFloats();
        } else if (known.points > 0) {
          this.side?.sawFloats();
          if (!tallies) aggregator.add(groupOf[i]!, known.values, known.present);
          else {
            shared!.tally ??= new Uint32Array(groupCount);
            shared!.tally[groupOf[i]!]!++;
          }
        }
      }
    });
    if (tallies) this.addTallies(aggregator);
    this.side?.finish(aggregator);
    return aggregator.columns();
  }

  private open(index: number): SharedColumn | undefined {
    this.withRows = this.levels?.has(index) ? index : -1;
    return this.cursor.open(this.selection.numbers[index]!, index);
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
    if (!this.isOfTimes || this.withRows >= 0 || shared === undefined || !this.cursor.isClean()) return undefined;
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
    if (this.zeros.length < times.length) this.zeros = new Float64Array(2 * times.length);
    const points = evaluateRollup(leaf.rollup, plan, times, this.zeros, leaf.args, values, present);
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
    if (this.withRows >= 0) return this.rollUpRows(shared);
    if (shared === undefined) return this.rollUpAlone();
    const { times } = shared;
    const n = times.length;
    if (n === 0) return 0;
    const { cursor, leaf } = this;
    if (n >= HEADERS_MIN && this.isOneWindow && cursor.readRows !== undefined) {
      this.headerRows ??= new RowTable();
      const read = cursor.readRows(this.headerRows);
      if (read >= 0) return this.rollUpHeaders(this.headerRows, read);
    }
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

  /** A series whose samples are all in one window, told by rows of any length. */
  private rollUpHeaders(headerRows: RowTable, read: number): number {
    const { leaf, out, present } = this;
    const { ends, length } = headerRows;
    const plan = planWindows(ends, length, leaf.grid, leaf.rangeMs, leaf.offsetMs, this.ownPlan);
    this.account(read);
    return evaluateRows(leaf.rollup, plan, headerRows, 0, leaf.rangeMs, out, present);
  }

  /** A series that has rows: its other samples go with them. */
  private rollUpRows(shared: SharedColumn | undefined): number {
    const { levels, cursor, out, present } = this;
    let times = shared?.times;
    let values: Float64Array;
    let n: number;
    if (times === undefined) ({ times, values, count: n } = cursor.readSamples());
    else {
      n = times.length;
      values = n === 0 ? times : cursor.readValues();
      if (n > 0 && (cursor.flags & READ_HOLES) !== 0) {
        n = this.withoutHoles(times, values, n);
        times = this.ownTimes;
        values = this.ownValues;
      }
    }
    const points = levels!.rollUp(this.withRows, times, values, n, out, present);
    this.account(levels!.samplesRead);
    return points;
  }

  private rollUpStripped(times: Float64Array, values: Float64Array, n: number): number {
    this.reserve(n);
    const kept = stripStale(times, values, n, this.ownTimes, this.ownValues);
    return kept === 0 ? 0 : this.rollUpOwn(this.ownTimes, this.ownValues, kept);
  }

  private rollUpWithoutHoles(times: Float64Array, values: Float64Array, n: number): number {
    let kept = this.withoutHoles(times, values, n);
    const { ownTimes, ownValues } = this;
    if (!this.keepsStale) kept = stripStale(ownTimes, ownValues, kept, ownTimes, ownValues);
    return kept === 0 ? 0 : this.rollUpOwn(ownTimes, ownValues, kept);
  }

  /** Copies the samples at which there is one; returns how many. */
  private withoutHoles(times: Float64Array, values: Float64Array, n: number): number {
    this.reserve(n);
    const words = new Uint32Array(values.buffer, values.byteOffset, n * 2);
    const { ownTimes, ownValues } = this;
    let kept = 0;
    for (let i = 0; i < n; i++) {
      if (words[i * 2] === HOLE_LOW && words[i * 2 + 1] === HOLE_HIGH) continue;
      ownTimes[kept] = times[i]!;
      ownValues[kept++] = values[i]!;
    }
    return kept;
  }

  private rollUpOwn(times: Float64Array, values: Float64Array, n: number): number {
    const { leaf } = this;
    const plan = planWindows(times, n, leaf.grid, leaf.rangeMs, leaf.offsetMs, this.ownPlan);
    this.account(plan.samplesRead);
    return evaluateRollup(leaf.rollup, plan, times, values, leaf.args, this.out, this.present);
  }

  private rawSamples(index: number): StepColumn | undefined {
    let { times, values, count } = this.cursor.readSamples();
    if (this.withRows >= 0) ({ times, values, count } = this.levels!.samplesOf(this.withRows, times, values, count));
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

  /** The answer of the open series, which has histograms or start times; its labels are whole. */
  private rollUpAside(index: number): StepColumn | undefined {
    const labels = this.selection.labelsOf(index);
    const { column, samplesRead } = this.side!.rollUp(
      this.selection.numbers[index]!,
      labels,
      this.cursor.readSamples(),
    );
    this.account(samplesRead);
    return column;
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
    const strideOfAll = this.isOfTimes ? STRIDE_OF_TIMES : this.cursor.stride;
    // A series with histograms is a lot of work.
    const strideMax = this.side === undefined ? strideOfAll : 1;
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
