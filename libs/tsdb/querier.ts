// libs/tsdb/querier.ts: this storage as a Queryable: leaves, label names, label values, series, metadata.
import type {
  Labels,
  Leaf,
  LeafResult,
  Matcher,
  MetadataEntry,
  Queryable,
  QueryContext,
  TimeRange,
} from "../model/index.ts";
import { evaluateLeaf } from "./evaluate.ts";
import type { Head, TimeColumn } from "./head.ts";
import { PlanPool } from "./plan-pool.ts";
import type { DbState } from "./state.ts";

export class DbQuerier implements Queryable {
  private readonly state: DbState;
  private readonly plans = new PlanPool();

  constructor(state: DbState) {
    this.state = state;
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const { catalog, head, clock, stats } = this.state;
    const result = await evaluateLeaf(leaf, context, catalog, head, clock, this.plans);
    stats.leaves++;
    stats.samplesRead += result.samplesRead;
    return result;
  }

  async labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const { index } = this.state.catalog;
    return truncated(index.labelNames(context.tenant, this.selected(sets, range, context)), limit);
  }

  async labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const { index } = this.state.catalog;
    return truncated(index.labelValues(context.tenant, name, this.selected(sets, range, context)), limit);
  }

  async series(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<Labels[]> {
    const { catalog } = this.state;
    const found = this.selected(sets, range, context) ?? catalog.index.select(context.tenant, []);
    const wanted = limit > 0 ? found.subarray(0, limit) : found;
    return Array.from(wanted, (series) => catalog.index.labelsOf(series));
  }

  async metadata(family: string, context: QueryContext): Promise<MetadataEntry[]> {
    return this.state.metadata.find(context.tenant, family);
  }

  /** Series that match any set and have a sample in the range, ascending; undefined: all series, unrestricted. */
  private selected(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Uint32Array | undefined {
    const { catalog, head, clock, retentionMs } = this.state;
    const unbounded = range.minMs <= clock.nowMs() - retentionMs && range.maxMs >= clock.nowMs();
    if (sets.length === 0 && unbounded) return undefined;
    let found: Uint32Array;
    if (sets.length <= 1) found = catalog.index.select(context.tenant, sets[0] ?? []);
    else {
      const union = new Set<number>();
      for (const set of sets) for (const series of catalog.index.select(context.tenant, set)) union.add(series);
      found = Uint32Array.from(union).sort();
    }
    if (unbounded) return found;
    const columns = new Map<number, TimeColumn>();
    return found.filter((series) => hasSamples(head, columns, series, range));
  }
}

/** Whether a series has a sample in the range, stale markers included. Decodes only what is neither clean nor absent. */
function hasSamples(head: Head, columns: Map<number, TimeColumn>, series: number, range: TimeRange): boolean {
  const group = head.groupOf(series);
  let column = columns.get(group);
  if (column === undefined) {
    column = head.timeColumn(group, range.minMs, range.maxMs);
    columns.set(group, column);
  }
  const { from, to } = column;
  if (from < to && head.isInStep(series, column, range.minMs, range.maxMs) && head.isClean(series, to - 1, to))
    return true;
  return head.readSeries(series, range.minMs, range.maxMs).count > 0;
}

function truncated(all: string[], limit: number): string[] {
  return limit > 0 && all.length > limit ? all.slice(0, limit) : all;
}
