// test/unit/promql/sharded-queryable.ts: several storages as one, merged as a select merges what its storages answer.
import type {
  Labels,
  Leaf,
  LeafResult,
  Queryable,
  QueryContext,
  RawColumn,
  Statistics,
} from "../../../libs/model/index.ts";
import { mergePartials, mergeSeries } from "../../../libs/promql/index.ts";

/** Evaluates each leaf on every part. `replicated`: the parts may hold the same series. */
export class ShardedQueryable implements Queryable {
  readonly parts: readonly Queryable[];
  /** The leaves that were asked for, in order. */
  readonly leaves: Leaf[] = [];

  constructor(parts: readonly Queryable[]) {
    this.parts = parts;
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    this.leaves.push(leaf);
    const results = await Promise.all(this.parts.map((part) => part.evaluate(leaf, context)));
    return leaf.aggregation === undefined ? mergeSeries(results) : mergePartials(leaf.aggregation.op, results);
  }

  async *rawSamples(): AsyncGenerator<RawColumn[], void, void> {}

  async labelNames(): Promise<string[]> {
    return [];
  }

  async labelValues(): Promise<string[]> {
    return [];
  }

  async series(): Promise<Labels[]> {
    return [];
  }

  async metadata(): Promise<[]> {
    return [];
  }

  async exemplars(): Promise<[]> {
    return [];
  }

  statistics(): Promise<Statistics> {
    return Promise.reject(new Error("no statistics here"));
  }
}
