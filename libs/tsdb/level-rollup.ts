// libs/tsdb/level-rollup.ts: rolls a series up from its rows and from the samples that rows don't answer for, folded to rows as well.
// Windows of whole rows give the answer of samples. For others (`isExact` is false) rows count where they end, windows are widened to whole
// rows, and amounts are scaled back; rollups that know no rows are given each row's last sample.
import { foldSamples } from "../block/index.ts";
import { type Leaf, ROW, type Rollup, RowTable, writeStale } from "../model/index.ts";
import {
  columnsOfRows,
  createWindowPlan,
  evaluateRollup,
  evaluateRows,
  looksAtNewest,
  planWindows,
  seesStale,
  stripStale,
  type WindowPlan,
} from "../promql/index.ts";
import type { LeafRows } from "./leaf-rows.ts";

/** Rollups whose value grows with the window. */
const AMOUNTS: ReadonlySet<Rollup> = new Set<Rollup>(["increase", "delta", "sum_over_time", "count_over_time"]);
const OF_SAMPLES: readonly number[] = [ROW.COUNT, ROW.LAST, ROW.LAST_MS, ROW.STALE];

/** Samples that stand for rows. */
export interface RowSamples {
  readonly times: Float64Array;
  readonly values: Float64Array;
  readonly count: number;
}

export class LevelRollup {
  /** Rows read for the series before. */
  samplesRead = 0;
  private readonly leaf: Leaf;
  private readonly rows: LeafRows;
  private readonly which: readonly number[] | undefined;
  private readonly planMs: number;
  private readonly rangeMs: number;
  private readonly scale: number;
  private readonly keepsStale: boolean;
  private readonly plan = createWindowPlan();
  private plannedFrom = Number.NaN;
  private plannedRows = -1;
  private readonly folded = new RowTable();
  private readonly table = new RowTable();
  private times = new Float64Array(0);
  private values = new Float64Array(0);

  constructor(leaf: Leaf, rows: LeafRows, isExact: boolean) {
    const { levelMs } = rows;
    const { rollup, rangeMs } = leaf;
    this.leaf = leaf;
    this.rows = rows;
    this.which = columnsOfRows(rollup);
    this.keepsStale = seesStale(rollup);
    this.planMs = Math.max(1, Math.ceil(rangeMs / levelMs)) * levelMs;
    // Two rows at least, so that there is a difference to be seen.
    if (this.which === undefined) this.planMs = Math.max(rangeMs, 2 * levelMs);
    this.rangeMs = isExact ? rangeMs : this.planMs + levelMs;
    if (isExact && !looksAtNewest(rollup)) this.rangeMs = this.planMs;
    this.scale = !isExact && AMOUNTS.has(rollup) ? rangeMs / this.planMs : 1;
  }

  has(index: number): boolean {
    return this.rows.has(index);
  }

  /** As evaluateRollup does; the samples are those of the series that rows don't answer for, stale markers included. */
  rollUp(
    index: number,
    times: Float64Array,
    values: Float64Array,
    n: number,
    out: Float64Array,
    present: Uint8Array,
  ): number {
    const { leaf, rows, which, table } = this;
    if (which === undefined) return this.rollUpSamples(this.samplesOf(index, times, values, n), out, present);
    this.folded.length = 0;
    foldSamples(times, values, n, rows.levelMs, this.folded);
    rows.gather(index, this.folded, which, this.keepsStale, table);
    const plan = this.planOf(table);
    this.samplesRead = plan.samplesRead;
    if (table.length === 0) return 0;
    const points = evaluateRows(leaf.rollup, plan, table, rows.levelMs, this.rangeMs, out, present);
    if (this.scale !== 1) for (let s = 0; s < leaf.grid.count; s++) out[s] = out[s]! * this.scale;
    return points;
  }

  /** Series that have a row for every time have one plan. */
  private planOf({ ends, length }: RowTable): WindowPlan {
    const { leaf, plan } = this;
    const isDense = length > 0 && ends[length - 1]! - ends[0]! === (length - 1) * this.rows.levelMs;
    if (isDense && this.plannedFrom === ends[0] && this.plannedRows === length) return plan;
    planWindows(ends, length, leaf.grid, this.planMs, leaf.offsetMs, plan);
    this.plannedFrom = isDense ? ends[0]! : Number.NaN;
    this.plannedRows = length;
    return plan;
  }

  /** The last sample of each row, among the series' other samples. Valid until the next call. */
  samplesOf(index: number, times: Float64Array, values: Float64Array, n: number): RowSamples {
    const { rows, table, folded } = this;
    // The samples go through as rows of one each, so that they come in order.
    folded.length = 0;
    folded.reserve(n);
    const [counts, lasts, lastTimes, stales] = OF_SAMPLES.map((c) => folded.columns[c]!) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let i = 0; i < n; i++) folded.ends[i] = times[i]!;
    lasts.set(values.subarray(0, n));
    counts.fill(1, 0, n);
    lastTimes.fill(0, 0, n);
    stales.fill(0, 0, n);
    folded.length = n;
    rows.gather(index, folded, OF_SAMPLES, true, table);
    if (this.times.length < 2 * table.length) {
      this.times = new Float64Array(4 * table.length);
      this.values = new Float64Array(4 * table.length);
    }
    let count = 0;
    for (let i = 0; i < table.length; i++) {
      const end = table.ends[i]!;
      const lastMs = end - table.columns[ROW.LAST_MS]![i]!;
      if (table.columns[ROW.COUNT]![i]! > 0) {
        this.times[count] = lastMs;
        this.values.set(table.columns[ROW.LAST]!.subarray(i, i + 1), count++);
      }
      if (table.columns[ROW.STALE]![i] === 1) {
        this.times[count] = end;
        writeStale(this.values, count++);
      }
    }
    return { times: this.times, values: this.values, count };
  }

  private rollUpSamples({ times, values, count }: RowSamples, out: Float64Array, present: Uint8Array): number {
    const { leaf, plan } = this;
    const kept = this.keepsStale ? count : stripStale(times, values, count, times, values);
    planWindows(times, kept, leaf.grid, this.planMs, leaf.offsetMs, plan);
    this.samplesRead = plan.samplesRead;
    if (kept === 0) return 0;
    return evaluateRollup(leaf.rollup, plan, times, values.subarray(0, kept), leaf.args, out, present);
  }
}
