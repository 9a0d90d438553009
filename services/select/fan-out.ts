// services/select/fan-out.ts: several storages as one Queryable: every question goes to all, the answers are joined.
// Invariants: an answer is complete or an error that names the storage it is for; the first failure cancels the rest.
import { setMaxListeners } from "node:events";
import {
  AppError,
  type BlockFacts,
  CanceledError,
  checkSeries,
  columnBytes,
  compareExemplars,
  compareUtf8,
  type Labels,
  type Leaf,
  type LeafResult,
  labelsKey,
  type Matcher,
  type MetadataEntry,
  mergeStatistics,
  type Queryable,
  type QueryContext,
  type RawColumn,
  type RawRequest,
  type Reaction,
  type SeriesExemplars,
  type Statistics,
  type StorageShare,
  TextBudget,
  type TimeRange,
  UnavailableError,
} from "../../libs/model/index.ts";
import { mergePartials, mergeSeries } from "../../libs/promql/index.ts";
import { mergeRawStreams, type RawStream } from "./raw-merge.ts";

/** A storage and the name that errors call it by, usually its address. */
export interface FanOutNode {
  readonly name: string;
  readonly queryable: Queryable;
}

/** What a storage says about the question; any storage would say it, and the asker must hear it as it is. */
const ABOUT_THE_QUESTION: ReadonlySet<Reaction> = new Set<Reaction>(["invalid", "execution", "limit", "timeout"]);

/**
 * The storages as one. Each series lives on one of them; should two have it, it appears once. Without a storage every
 * question fails with UnavailableError.
 */
export function fanOut(nodes: readonly FanOutNode[]): Queryable {
  return new FanOut(nodes);
}

/** Runs one question on one storage, with its failure named. */
async function ask<T>(
  node: FanOutNode,
  context: QueryContext,
  question: (queryable: Queryable, context: QueryContext, storage: string) => Promise<T>,
): Promise<T> {
  try {
    return await question(node.queryable, context, node.name);
  } catch (error) {
    throw named(error, node, context);
  }
}

/** What a storage's failure is to the asker. */
function named(error: unknown, node: FanOutNode, context: QueryContext): unknown {
  if (context.signal.aborted) return error;
  if (error instanceof AppError && ABOUT_THE_QUESTION.has(error.reaction)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new UnavailableError(
    `cannot answer completely: got an error from storage ${node.name}: ${reason}`,
    error instanceof UnavailableError ? error.retryAfterSeconds : 1,
    { cause: error },
  );
}

async function* rawSamplesOf(node: FanOutNode, request: RawRequest, context: QueryContext): RawStream {
  try {
    yield* node.queryable.rawSamples(request, context);
  } catch (error) {
    throw named(error, node, context);
  }
}

/** Asks all storages at once. The first failure is the answer; the other storages are told to stop. */
async function askAll<T>(
  nodes: readonly FanOutNode[],
  context: QueryContext,
  question: (queryable: Queryable, context: QueryContext, storage: string) => Promise<T>,
): Promise<T[]> {
  if (nodes.length === 0) throw noStorage();
  if (nodes.length === 1) return [await ask(nodes[0]!, context, question)];
  // AbortSignal.any would do, for ten times the price of a listener.
  const stop = new AbortController();
  const { signal } = context;
  const forward = (): void => stop.abort(signal.reason);
  if (signal.aborted) forward();
  // All leaves of a query share it.
  setMaxListeners(0, signal);
  signal.addEventListener("abort", forward);
  const own = { ...context, signal: stop.signal };
  try {
    return await Promise.all(nodes.map((node) => ask(node, own, question)));
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    signal.removeEventListener("abort", forward);
  }
}

function noStorage(): UnavailableError {
  return new UnavailableError("cannot answer: got no storage to ask; want at least one");
}

class FanOut implements Queryable {
  readonly #nodes: readonly FanOutNode[];

  constructor(nodes: readonly FanOutNode[]) {
    this.#nodes = nodes;
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const shares: StorageShare[] = [];
    const started = performance.now();
    const results = await askAll(this.#nodes, context, async (q, c, storage) => {
      const result = await q.evaluate(leaf, c);
      const { seriesCount, samplesRead, bytes = columnBytes(result.columns) } = result;
      shares.push({ storage, durationMs: performance.now() - started, seriesCount, samplesRead, bytes });
      return result;
    });
    const merged = leaf.aggregation === undefined ? mergeSeries(results) : mergePartials(leaf.aggregation.op, results);
    const bytes = shares.reduce((sum, share) => sum + share.bytes, 0);
    return { ...merged, warnings: [...new Set(merged.warnings)], bytes, shares };
  }

  async *rawSamples(request: RawRequest, context: QueryContext): AsyncGenerator<readonly RawColumn[], void, void> {
    if (this.#nodes.length === 0) throw noStorage();
    const stop = new AbortController();
    const own = { ...context, signal: AbortSignal.any([context.signal, stop.signal]) };
    const streams = this.#nodes.map((node) => rawSamplesOf(node, request, own));
    try {
      yield* mergeRawStreams(streams);
    } finally {
      stop.abort(new CanceledError("cannot go on: got a reader that stopped"));
      // Who waits for a storage that hears nothing would wait with it.
      for (const stream of streams) stream.return().catch(() => undefined);
    }
  }

  async labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const lists = await askAll(this.#nodes, context, (q, c) => q.labelNames(sets, range, limit, c));
    return union(lists, limit, new TextBudget(context.bytesMax));
  }

  async labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    const lists = await askAll(this.#nodes, context, (q, c) => q.labelValues(name, sets, range, limit, c));
    return union(lists, limit, new TextBudget(context.bytesMax));
  }

  async series(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<Labels[]> {
    const answers = await askAll(this.#nodes, context, (q, c) => q.series(sets, range, limit, c));
    const found = distinct(answers, labelsKey, limit);
    checkSeries(found.length, context.seriesMax);
    const budget = new TextBudget(context.bytesMax);
    for (const labels of found) budget.addAll(labels);
    return found;
  }

  async metadata(family: string, context: QueryContext): Promise<MetadataEntry[]> {
    const answers = await askAll(this.#nodes, context, (q, c) => q.metadata(family, c));
    return distinct(answers, (e) => JSON.stringify([e.tenant, e.family, e.type, e.help, e.unit]), 0);
  }

  async exemplars(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Promise<SeriesExemplars[]> {
    return joined(await askAll(this.#nodes, context, (q, c) => q.exemplars(sets, range, c)));
  }

  async statistics(limit: number, context: QueryContext): Promise<Statistics> {
    // A count that is among the greatest of all need not be among those of each storage.
    const each = this.#nodes.length > 1 ? limit * 10 + 100 : limit;
    return mergeStatistics(await askAll(this.#nodes, context, (q, c) => q.statistics(each, c)), limit);
  }

  async blocks(context: QueryContext): Promise<BlockFacts[]> {
    const answers = await askAll(this.#nodes, context, async (q, c) => (await q.blocks?.(c)) ?? []);
    return answers.flat().sort((a, b) => a.minMs - b.minMs || compareUtf8(a.id, b.id));
  }
}

/** Each series once, its exemplars of all answers in order, each once. */
function joined(answers: readonly SeriesExemplars[][]): SeriesExemplars[] {
  if (answers.length === 1) return answers[0]!;
  const bySeries = new Map<string, SeriesExemplars[]>();
  for (const one of answers.flat()) {
    const key = labelsKey(one.labels);
    bySeries.set(key, [...(bySeries.get(key) ?? []), one]);
  }
  return Array.from(bySeries.values(), (parts) => {
    const all = parts.flatMap(({ exemplars }) => exemplars).sort(compareExemplars);
    const exemplars = all.filter((exemplar, i) => i === 0 || compareExemplars(all[i - 1]!, exemplar) !== 0);
    return { labels: parts[0]!.labels, exemplars };
  });
}

/** The strings of sorted lists, each once, sorted, at most `limit` (0: all). */
function union(lists: readonly (readonly string[])[], limit: number, budget: TextBudget): string[] {
  for (const list of lists) budget.addAll(list);
  if (lists.length === 1) return [...lists[0]!];
  const sorted = [...new Set(lists.flat())].sort(compareUtf8);
  return limit > 0 ? sorted.slice(0, limit) : sorted;
}

/** Items in the order they come, each once by its key, at most `limit` (0: all). */
function distinct<T>(lists: readonly (readonly T[])[], keyOf: (item: T) => string, limit: number): T[] {
  if (lists.length === 1) return [...lists[0]!];
  const seen = new Set<string>();
  const out: T[] = [];
  for (const list of lists) {
    for (const item of list) {
      if (limit > 0 && out.length === limit) return out;
      const key = keyOf(item);
      if (seen.has(key)) continue;
      seen.add(key);
      out.push(item);
    }
  }
  return out;
}
