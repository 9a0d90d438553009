// libs/model/queryable.ts: the seam between PromQL and any storage: leaves in, step-aligned columns out.
// A leaf is all that is computed per series: select, offset, range function, and perhaps a first aggregation.
// Raw samples cross this seam in a stream, for those who ask for nothing else. promql knows this file and nothing of storage or network.
import type { SeriesExemplars } from "./exemplar.ts";
import type { HistogramColumn } from "./histogram.ts";
import type { MetadataEntry } from "./ingest.ts";
import type { Labels } from "./labels.ts";
import type { Matcher } from "./matcher.ts";
import type { LevelChoice } from "./rows.ts";
import type { BlockFacts, Statistics } from "./statistics.ts";

/** Functions a storage evaluates per series over a window (start, end] of raw samples. */
export type Rollup =
  | "last" // instant selector: newest sample of the window; nothing when that is a stale marker
  | "timestamp" // like "last", but the sample's time in seconds
  | "start_timestamp" // like "last", but the sample's start time in seconds; 0 where it is not known
  | "rate"
  | "increase"
  | "delta"
  | "irate"
  | "idelta"
  | "deriv"
  | "predict_linear" // args[0]: seconds ahead of the evaluation time
  | "changes"
  | "resets"
  | "avg_over_time"
  | "min_over_time"
  | "max_over_time"
  | "sum_over_time"
  | "count_over_time"
  | "stddev_over_time"
  | "stdvar_over_time"
  | "quantile_over_time" // args[0]: φ
  | "mad_over_time"
  | "last_over_time"
  | "first_over_time"
  | "present_over_time"
  | "double_exponential_smoothing" // args: smoothing factor, trend factor
  | "ts_of_min_over_time"
  | "ts_of_max_over_time"
  | "ts_of_last_over_time"
  | "ts_of_first_over_time"
  // Extended range selectors. The leaf's window is wider than the range; args[0] is the range in ms, args[1] how many
  // ms the window reaches past the end of the range (0 for anchored ones).
  | "rate_anchored"
  | "increase_anchored"
  | "delta_anchored"
  | "changes_anchored"
  | "resets_anchored"
  | "rate_smoothed"
  | "increase_smoothed"
  | "delta_smoothed"
  | "last_smoothed"
  | "samples"; // the window's raw samples, stale markers removed: grid.count is 1, columns carry `times`, never aggregated

/**
 * Evaluation times: startMs, startMs + stepMs, …, `count` of them. An instant query has count 1. A step of 0 ms means
 * `count` evaluations at the same time, whose arguments differ.
 */
export interface Grid {
  readonly startMs: number;
  readonly stepMs: number;
  readonly count: number;
}

/** Aggregations whose partial results merge exactly (up to floating-point order) across shards and nodes. */
export type PartialOp = "sum" | "count" | "min" | "max" | "avg" | "group";

export interface LeafAggregation {
  readonly op: PartialOp;
  /** false: keep only `labels` (by). true: drop `labels` and the metric name (without). */
  readonly without: boolean;
  readonly labels: readonly string[];
}

export interface Leaf {
  readonly matchers: readonly Matcher[];
  readonly grid: Grid;
  readonly rollup: Rollup;
  /** Window length in ms: the range of a range selector, the lookback of an instant selector. */
  readonly rangeMs: number;
  /** Subtracted from each evaluation time to get the window's end. May be negative. */
  readonly offsetMs: number;
  /** Scalar parameters of the rollup; a column holds one value per step. */
  readonly args: readonly (number | Float64Array)[];
  /** Whether the result loses `__name__` (most rollups do; the engine decides by name-removal mode). */
  readonly dropName: boolean;
  /** Whether rate, increase, irate and resets also look at the samples' start times, where these are known. */
  readonly useStarts?: boolean;
  /**
   * Only counts and sums of histograms matter: they come without buckets, and with a hint that says what the buckets
   * told about a reset since the histogram before, where there is one in the leaf's reach.
   */
  readonly countsOnly?: boolean;
  readonly aggregation?: LeafAggregation;
  /** Where the answer is to come from; absent: auto. */
  readonly level?: LevelChoice;
}

/**
 * One output series: a value per step of the grid, a float or a histogram. Most series have floats only, and then there
 * is no `histograms`.
 */
export interface StepColumn {
  readonly labels: Labels;
  /** The floats; 0 at a step that has a histogram. */
  readonly values: Float64Array;
  /** 1 where the step has a value of either kind; null when every step has one. */
  readonly present: Uint8Array | null;
  /** A histogram that stands at an absent step means nothing. */
  readonly histograms?: HistogramColumn;
  /** For partials of "sum" and "avg" that met histograms: what else was in the group, PARTIAL_* bits per step. */
  readonly states?: Uint8Array;
  /** For partials of "sum" and "avg": what rounding has taken from each step's histogram; in its layout, or without buckets. */
  readonly histogramLosses?: HistogramColumn;
  /** For partial "avg": how many values each step's sum holds. */
  readonly weights?: Float64Array;
  /** For partial "sum" and "avg": what rounding has taken from each step's sum; absent when it has taken nothing. */
  readonly lost?: Float64Array;
  /** Only for the rollup "samples": the times of `values` in ms, ascending; the grid does not apply. */
  readonly times?: Float64Array;
}

/** Floats and histograms met in a group: it has no value. Its histogram, if any, counts for nothing. */
export const PARTIAL_MIXED = 1;
/** Histograms with custom bounds and with an exponential schema met: likewise. */
export const PARTIAL_INCOMPATIBLE = 2;
/** A histogram came with the hint that its counter was reset. */
export const PARTIAL_RESET = 4;
/** A histogram came with the hint that its counter was not reset. */
export const PARTIAL_NOT_RESET = 8;

/** What is remarkable about the samples of a leaf. The engine words it and knows the place in the query. */
export type LeafNoteKind =
  | "mixed_samples" // floats and histograms in one window: no result
  | "mixed_schemas" // custom bounds and an exponential schema in one window or group: no result
  | "ignored_histograms" // histograms in a window of a function that sees floats only
  | "not_counter" // gauge histograms where counters are meant
  | "not_gauge" // counter histograms where gauges are meant
  | "reconciled_addition" // custom bounds differed while histograms were added,
  | "reconciled_subtraction" // subtracted,
  | "reconciled_aggregation" // or aggregated
  | "mixed_aggregation" // floats and histograms in one group: no result
  | "ignored_in_aggregation" // histograms in a group of min or max, which sees floats only
  | "collided_aggregation" // hints of a counter reset and of none were aggregated
  | "start_overlap" // a sample's start time lies before the sample before it
  | "histogram_times" // "timestamp" of a histogram
  | "expired_to_1m" // samples of a part of the range have expired, and its windows are not made of whole rows of a minute: an estimate,
  | "expired_to_1h" // or of an hour
  | "asked_for_1m" // the query asks for rows of a minute, of which its windows are not made,
  | "asked_for_1h" // or of an hour
  | "only_histograms"; // of aggregated leaves: the rollup gave histograms, and no floats

export interface LeafNote {
  readonly kind: LeafNoteKind;
  /** The metric name of a series that it is about; "" where it is about none. */
  readonly metric: string;
  /** Whether the leaf's aggregation met it; else the rollup did. */
  readonly aggregated: boolean;
  /** How often; counted for start_overlap only, else 1. */
  readonly count: number;
}

/** What one storage did for a leaf. */
export interface StorageShare {
  readonly storage: string;
  readonly durationMs: number;
  readonly seriesCount: number;
  readonly samplesRead: number;
  /** Bytes of its answer. */
  readonly bytes: number;
}

export interface LeafResult {
  /** No label set twice, any order. For aggregated leaves these are partials: merge them, then finish them. */
  readonly columns: StepColumn[];
  readonly seriesCount: number;
  readonly samplesRead: number;
  readonly warnings: readonly string[];
  /** Each kind and metric once; absent when there is nothing to note. */
  readonly notes?: readonly LeafNote[];
  /** Bytes that came over the network; absent where the answer was made in this process. */
  readonly bytes?: number;
  /** Where several storages answered: what each did. */
  readonly shares?: readonly StorageShare[];
}

/** What every query carries: who asks, until when, how much it may take. */
export interface QueryContext {
  readonly tenant: string;
  readonly signal: AbortSignal;
  /** Wall-clock ms after which the query fails with TimeoutError. */
  readonly deadlineMs: number;
  /** Budget of samples read, shared by all leaves of a query; a leaf that passes it fails with LimitError. */
  readonly samplesMax: number;
  /** Series that one leaf may select, and bytes that its answer may take; more fails with LimitError. Absent: any number. */
  readonly seriesMax?: number;
  readonly bytesMax?: number;
}

/** A time range for metadata lookups, both ends inclusive, ms. */
export interface TimeRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Which raw samples: those of every series that satisfies all matchers, with times in the range. */
export interface RawRequest {
  readonly matchers: readonly Matcher[];
  readonly range: TimeRange;
}

/**
 * Raw samples of a series, or of a part of it: a column whose points lie at `times`, ascending, all present. Stale
 * markers are among them, by their bits.
 */
export type RawColumn = StepColumn & { readonly times: Float64Array };

export interface Queryable {
  evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult>;
  /**
   * Streams raw samples, no faster than they are taken, in batches of bounded size. Series come ordered by compareLabels, each
   * as one or more columns that follow each other and whose times go on. Who stops early must say so by `return`, as `for await`
   * does. Errors: LimitError beyond context.samplesMax, TimeoutError, CanceledError, those of storages.
   */
  rawSamples(request: RawRequest, context: QueryContext): AsyncGenerator<readonly RawColumn[], void, void>;
  /** Sorted label names of the series that match any of the matcher sets (no set: all series). limit 0: all. */
  labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<string[]>;
  /** Sorted values of one label, likewise. */
  labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<string[]>;
  /** Distinct label sets of the series that match any of the matcher sets. */
  series(sets: readonly (readonly Matcher[])[], range: TimeRange, limit: number, c: QueryContext): Promise<Labels[]>;
  /** Metadata of one family, or of all when `family` is "". */
  metadata(family: string, c: QueryContext): Promise<MetadataEntry[]>;
  /** Exemplars of the series that match any of the matcher sets; each counts as a sample of c.samplesMax. Series without are left out. */
  exemplars(sets: readonly (readonly Matcher[])[], range: TimeRange, c: QueryContext): Promise<SeriesExemplars[]>;
  /** What answers of names, values and series over a range lack, as warnings. Storages behind the network don't tell. */
  lacking?(range: TimeRange): readonly string[];
  /** What the tenant's series are made of: totals, and the `limit` greatest counts of each list. */
  statistics(limit: number, c: QueryContext): Promise<Statistics>;
  /** The files of samples that have series of the tenant, oldest first; absent where there are no files. */
  blocks?(c: QueryContext): Promise<BlockFacts[]>;
}
