// libs/tsdb/querier.ts: this storage as a Queryable: leaves, label names, label values, series, metadata, statistics.
import {
  type BlockFacts,
  checkSeries,
  compareUtf8,
  type Labels,
  type Leaf,
  type LeafResult,
  labelsKey,
  type Matcher,
  type MetadataEntry,
  type Queryable,
  type QueryContext,
  type RawColumn,
  type RawRequest,
  type RowLevel,
  type SeriesExemplars,
  type Statistics,
  TextBudget,
  type TimeRange,
} from "../model/index.ts";
import { blockFacts } from "./block-facts.ts";
import { evaluateLeaf } from "./evaluate.ts";
import { findExemplars } from "./exemplars.ts";
import { Pace } from "./pace.ts";
import { PlanPool } from "./plan-pool.ts";
import type { PastTimes } from "./quarantine.ts";
import { streamRawSamples } from "./raw-samples.ts";
import type { Selection } from "./selection.ts";
import { seriesWithin } from "./series-within.ts";
import { CapturedSide } from "./side-sources.ts";
import { CapturedSources } from "./sources.ts";
import type { DbState } from "./state.ts";
import { countStatistics } from "./statistics.ts";
import type { StoredBlock } from "./stored-block.ts";

/** What of a storage's state queries read. */
export type QuerierState = Pick<
  DbState,
  "clock" | "deletions" | "metadata" | "quarantine" | "retention" | "selector" | "side" | "sources" | "stats"
> &
  Partial<Pick<DbState, "levelRetentionMs">>;

/** What a question about series sees. */
interface View {
  readonly captured: CapturedSources;
  readonly side: CapturedSide | undefined;
  readonly pace: Pace;
  /**
   * Whether the range leaves nothing out that is stored, and nothing was ever deleted or is past: else a series may be known and have no
   * samples.
   */
  readonly isUnbounded: boolean;
}

/** How label texts are found: of a whole block, of the whole catalogue, of some series. */
interface TextSource {
  ofBlock(block: StoredBlock, pace: Pace): Promise<readonly string[]>;
  ofCatalog(): readonly string[];
  addOf(selection: Selection, indexes: Uint32Array, to: Set<string>): void;
}

/** Texts, each once, that count against a budget. */
class TextSet extends Set<string> {
  private readonly budget: TextBudget;

  constructor(budget: TextBudget) {
    super();
    this.budget = budget;
  }

  override add(text: string): this {
    if (!this.has(text)) this.budget.add(text);
    return super.add(text);
  }
}

export class DbQuerier implements Queryable {
  private readonly state: QuerierState;
  private readonly plans: PlanPool;

  constructor(state: QuerierState, plans = new PlanPool()) {
    this.state = state;
    this.plans = plans;
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const { clock, quarantine, selector, side, stats } = this.state;
    const floorMs = this.floorMs(context);
    stats.leavesRunning++;
    try {
      const result = await this.withoutDamage(() => {
        const pace = new Pace(clock, context);
        return evaluateLeaf(leaf, context, selector, this.state.sources, side, pace, this.plans, floorMs, stats);
      });
      stats.leaves++;
      stats.samplesRead += result.samplesRead;
      const { startMs, stepMs, count } = leaf.grid;
      const lowMs = startMs - leaf.offsetMs - leaf.rangeMs + 1;
      const highMs = startMs + (count - 1) * stepMs - leaf.offsetMs;
      const warnings = quarantine.warnings(lowMs, highMs, this.pastTimes());
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
    const { clock, quarantine, selector, side, stats } = this.state;
    stats.leavesRunning++;
    let begun = false;
    const visible = { ...request, range: this.visible(request.range, context) };
    try {
      for (;;) {
        try {
          for await (const batch of streamRawSamples(visible, context, selector, this.state.sources, side, clock)) {
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

  labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const { tenant } = context;
    return this.texts(sets, range, limit, context, {
      ofBlock: (block, pace) => block.labelNames(tenant, pace),
      ofCatalog: () => this.state.selector.catalog.index.labelNames(tenant),
      addOf: (selection, indexes, to) => selection.addNames(indexes, to),
    });
  }

  labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const { tenant } = context;
    return this.texts(sets, range, limit, context, {
      ofBlock: (block, pace) => block.labelValues(tenant, name, pace),
      ofCatalog: () => this.state.selector.catalog.index.labelValues(tenant, name),
      addOf: (selection, indexes, to) => selection.addValues(name, indexes, to),
    });
  }

  series(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<Labels[]> {
    return this.capturing(range, context, async (view) => {
      const { captured, pace } = view;
      const found = new Map<string, Labels>();
      const budget = new TextBudget(context.bytesMax);
      for (const set of sets.length === 0 ? [[]] : sets) {
        const selection = await this.state.selector.select(captured.both, context.tenant, set, pace);
        for (const index of await this.within(selection, view)) {
          if (limit > 0 && found.size === limit) return [...found.values()];
          const labels = selection.labelsOf(index);
          const key = labelsKey(labels);
          if (!found.has(key)) budget.addAll(labels);
          found.set(key, labels);
          checkSeries(found.size, context.seriesMax);
          if (found.size % 1024 === 0 && pace.isDue) await pace.rest();
        }
        if (pace.isDue) await pace.rest();
      }
      return [...found.values()];
    });
  }

  lacking({ minMs, maxMs }: TimeRange): string[] {
    return this.state.quarantine.warnings(minMs, maxMs, this.pastTimes());
  }

  private pastTimes(): PastTimes {
    const { clock, levelRetentionMs, retention } = this.state;
    const nowMs = clock.nowMs();
    const past = (level: RowLevel): number => nowMs - (levelRetentionMs?.[level] ?? retention.longestMs);
    return { raw: nowMs - retention.longestMs, "1m": past("1m"), "1h": past("1h") };
  }

  async metadata(family: string, context: QueryContext): Promise<MetadataEntry[]> {
    return this.state.metadata.find(context.tenant, family);
  }

  async exemplars(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Promise<SeriesExemplars[]> {
    const { clock, selector, side } = this.state;
    const pace = new Pace(clock, context);
    return findExemplars(sets, this.visible(range, context), context, selector.catalog, side, pace);
  }

  statistics(limit: number, context: QueryContext): Promise<Statistics> {
    return countStatistics(this.state, limit, context);
  }

  async blocks({ tenant }: QueryContext): Promise<BlockFacts[]> {
    return blockFacts(this.state.sources.blocks, tenant);
  }

  /** The part of a range that the tenant's retention leaves, or one without any time. */
  private visible({ minMs, maxMs }: TimeRange, context: QueryContext): TimeRange {
    return { minMs: Math.min(Math.max(minMs, this.floorMs(context) + 1), maxMs + 1), maxMs };
  }

  private floorMs({ tenant }: QueryContext): number {
    return this.state.retention.floorMs(tenant, this.state.clock.nowMs());
  }

  /** Texts of the series that match any set, or of all series where there is none, and have a sample in the range. */
  private texts(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
    source: TextSource,
  ): Promise<string[]> {
    return this.capturing(range, context, async (view) => {
      const { captured, pace, isUnbounded } = view;
      const found = new TextSet(new TextBudget(context.bytesMax));
      let blocks = captured.both;
      if (sets.length === 0) {
        // Blocks that lie in the range tell at once what values they have.
        const isWhole = (one: StoredBlock): boolean =>
          captured.hiddenOf(one) === undefined && (isUnbounded || one.liesWithin(captured.lowMs, captured.highMs));
        for (const block of blocks.filter(isWhole)) {
          for (const text of await source.ofBlock(block, pace)) found.add(text);
          if (pace.isDue) await pace.rest();
        }
        blocks = blocks.filter((one) => !isWhole(one));
        if (isUnbounded) for (const text of source.ofCatalog()) found.add(text);
      }
      if (sets.length > 0 || !isUnbounded) {
        for (const set of sets.length === 0 ? [[]] : sets) {
          const selection = await this.state.selector.select(blocks, context.tenant, set, pace);
          source.addOf(selection, await this.within(selection, view), found);
          if (pace.isDue) await pace.rest();
        }
      }
      const all = [...found].sort(compareUtf8);
      return limit > 0 && all.length > limit ? all.slice(0, limit) : all;
    });
  }

  private async within(selection: Selection, { captured, side, pace, isUnbounded }: View): Promise<Uint32Array> {
    if (isUnbounded) return selection.numbers.map((_, i) => i);
    return seriesWithin(selection, captured, side, pace);
  }

  private capturing<T>(range: TimeRange, context: QueryContext, work: (view: View) => Promise<T>): Promise<T> {
    return this.withoutDamage(() => this.once(range, context, work));
  }

  private async once<T>(range: TimeRange, context: QueryContext, work: (view: View) => Promise<T>): Promise<T> {
    const { clock, deletions, levelRetentionMs, retention, sources } = this.state;
    const pace = new Pace(clock, context);
    const { minMs, maxMs } = this.visible(range, context);
    const captured = new CapturedSources(sources, minMs, maxMs);
    const side = CapturedSide.of(this.state.side, ["histograms"], minMs, maxMs);
    const nowMs = clock.nowMs();
    const isWhole = range.minMs <= nowMs - (levelRetentionMs?.["1h"] ?? retention.longestMs) && range.maxMs >= nowMs;
    const isUnbounded = isWhole && deletions.last === 0 && this.floorMs(context) === Number.NEGATIVE_INFINITY;
    try {
      await side?.load(pace);
      return await work({ captured, side, pace, isUnbounded });
    } finally {
      side?.release();
      captured.release();
    }
  }
}
