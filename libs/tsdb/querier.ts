// libs/tsdb/querier.ts: this storage as a Queryable: leaves, label names, label values, series, metadata, statistics.
import {
  checkSeries,
  type Labels,
  type Leaf,
  type LeafResult,
  type Matcher,
  type MetadataEntry,
  type Queryable,
  type QueryContext,
  type RawColumn,
  type RawRequest,
  type SeriesExemplars,
  type Statistics,
  type TimeRange,
} from "../model/index.ts";
import { evaluateLeaf } from "./evaluate.ts";
import { findExemplars } from "./exemplars.ts";
import { Pace } from "./pace.ts";
import { PlanPool } from "./plan-pool.ts";
import { streamRawSamples } from "./raw-samples.ts";
import { seriesWithin } from "./series-within.ts";
import { CapturedSide } from "./side-sources.ts";
import { CapturedSources } from "./sources.ts";
import type { DbState } from "./state.ts";
import { countStatistics } from "./statistics.ts";

/** What of a storage's state queries read. */
export type QuerierState = Pick<
  DbState,
  "catalog" | "clock" | "deletions" | "metadata" | "quarantine" | "retention" | "side" | "sources" | "stats"
> &
  Partial<Pick<DbState, "levelRetentionMs">>;

export class DbQuerier implements Queryable {
  private readonly state: QuerierState;
  private readonly plans = new PlanPool();

  constructor(state: QuerierState) {
    this.state = state;
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const { catalog, clock, quarantine, retention, side, stats } = this.state;
    const floorMs = this.floorMs(context);
    stats.leavesRunning++;
    try {
      const result = await this.withoutDamage(() => {
        return evaluateLeaf(leaf, context, catalog, this.state.sources, side, clock, this.plans, floorMs, stats);
      });
      stats.leaves++;
      stats.samplesRead += result.samplesRead;
      const { startMs, stepMs, count } = leaf.grid;
      const lowMs = startMs - leaf.offsetMs - leaf.rangeMs + 1;
      const highMs = startMs + (count - 1) * stepMs - leaf.offsetMs;
      const warnings = quarantine.warnings(lowMs, highMs, clock.nowMs() - retention.longestMs);
      return warnings.length === 0 ? result : { ...result, warnings: [...result.warnings, ...warnings] };
    } finally {
      stats.leavesRunning--;
    }
  }

  /** Does the work, again whenever it met a damaged block, which is out of service then. Errors: its own. */
  private async withoutDamage<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!this.state.quarantine.report(error)) throw error;
      }
    }
  }

  async *rawSamples(request: RawRequest, context: QueryContext): AsyncGenerator<readonly RawColumn[], void, void> {
    const { catalog, clock, quarantine, side, stats } = this.state;
    stats.leavesRunning++;
    let begun = false;
    const visible = { ...request, range: this.visible(request.range, context) };
    try {
      for (;;) {
        try {
          for await (const batch of streamRawSamples(visible, context, catalog, this.state.sources, side, clock)) {
            for (const { times } of batch) stats.samplesRead += times.length;
            begun = true;
            yield batch;
          }
          stats.leaves++;
          return;
        } catch (error) {
          // What was sent can't be taken back: the next request goes without the damaged block.
          if (!quarantine.report(error) || begun) throw error;
        }
      }
    } finally {
      stats.leavesRunning--;
    }
  }

  async labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const { index } = this.state.catalog;
    return truncated(index.labelNames(context.tenant, await this.selected(sets, range, context)), limit);
  }

  async labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const { index } = this.state.catalog;
    return truncated(index.labelValues(context.tenant, name, await this.selected(sets, range, context)), limit);
  }

  async series(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<Labels[]> {
    const { catalog } = this.state;
    const found = (await this.selected(sets, range, context)) ?? catalog.index.select(context.tenant, []);
    const wanted = limit > 0 ? found.subarray(0, limit) : found;
    checkSeries(wanted.length, context.seriesMax);
    return Array.from(wanted, (series) => catalog.index.labelsOf(series));
  }

  lacking({ minMs, maxMs }: TimeRange): string[] {
    const { clock, quarantine, retention } = this.state;
    return quarantine.warnings(minMs, maxMs, clock.nowMs() - retention.longestMs);
  }

  async metadata(family: string, context: QueryContext): Promise<MetadataEntry[]> {
    return this.state.metadata.find(context.tenant, family);
  }

  async exemplars(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Promise<SeriesExemplars[]> {
    const { catalog, clock, side } = this.state;
    return findExemplars(sets, this.visible(range, context), context, catalog, side, new Pace(clock, context));
  }

  statistics(limit: number, context: QueryContext): Promise<Statistics> {
    return countStatistics(this.state, limit, context);
  }

  /** The part of a range that the tenant's retention leaves, or one without any time. */
  private visible({ minMs, maxMs }: TimeRange, context: QueryContext): TimeRange {
    return { minMs: Math.min(Math.max(minMs, this.floorMs(context) + 1), maxMs + 1), maxMs };
  }

  private floorMs({ tenant }: QueryContext): number {
    return this.state.retention.floorMs(tenant, this.state.clock.nowMs());
  }

  /** Series that match any set and have a sample in the range, ascending; undefined: all series, unrestricted. */
  private selected(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Promise<Uint32Array | undefined> {
    return this.withoutDamage(() => this.select(sets, range, context));
  }

  private async select(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Promise<Uint32Array | undefined> {
    const { catalog, clock, deletions, levelRetentionMs, retention, side, sources } = this.state;
    const pace = new Pace(clock, context);
    const floorMs = this.floorMs(context);
    const captured = new CapturedSources(sources, this.visible(range, context).minMs, range.maxMs);
    const capturedSide = CapturedSide.of(side, ["histograms"], this.visible(range, context).minMs, range.maxMs);
    try {
      await captured.register(pace);
      await capturedSide?.load(pace);
      // Where something was ever deleted or is past, a series may be known and have no samples.
      const nowMs = clock.nowMs();
      const isWhole = range.minMs <= nowMs - (levelRetentionMs?.["1h"] ?? retention.longestMs) && range.maxMs >= nowMs;
      const unbounded = isWhole && deletions.last === 0 && floorMs === Number.NEGATIVE_INFINITY;
      if (sets.length === 0 && unbounded) return undefined;
      let found: Uint32Array;
      if (sets.length <= 1) found = catalog.index.select(context.tenant, sets[0] ?? []);
      else {
        const union = new Set<number>();
        for (const set of sets) for (const series of catalog.index.select(context.tenant, set)) union.add(series);
        found = Uint32Array.from(union).sort();
      }
      return unbounded ? found : await seriesWithin(found, captured, capturedSide, pace);
    } finally {
      capturedSide?.release();
      captured.release();
    }
  }
}

function truncated(all: string[], limit: number): string[] {
  return limit > 0 && all.length > limit ? all.slice(0, limit) : all;
}
