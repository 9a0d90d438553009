// libs/tsdb/statistics.ts: what a tenant's series are made of that are written, counted from the catalogue, and what the heads hold.
// Counting goes through every label pair, a few milliseconds at a time; postings are counted, never read.
import {
  DistinctCounter,
  METRIC_NAME,
  pairBytes,
  type QueryContext,
  type Statistics,
  TopCounts,
} from "../model/index.ts";
import { Pace } from "./pace.ts";
import { CapturedSources } from "./sources.ts";
import type { DbState } from "./state.ts";

/** Pairs, or series, between two looks at the clock. */
const STRIDE = 256;
/** Longer than all of time: a head's samples lie in one span of it, or two. */
const WHOLE_MS = 2 ** 53;

/** The `limit` greatest counts of each kind. Errors: those of the pace. */
export async function countStatistics(
  { clock, selector, sources }: Pick<DbState, "clock" | "selector" | "sources">,
  limit: number,
  context: QueryContext,
): Promise<Statistics> {
  const pace = new Pace(clock, context);
  const captured = new CapturedSources(sources, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
  try {
    return {
      ...(await countPairs(selector.catalog, limit, context.tenant, pace)),
      ...(await countChunks(captured, pace)),
    };
  } finally {
    captured.release();
  }
}

async function countPairs(catalog: DbState["catalog"], limit: number, tenant: string, pace: Pace) {
  const { index } = catalog;
  const seriesByMetric = new TopCounts(limit);
  const valuesByLabel = new TopCounts<Statistics["valuesByLabel"][number]>(limit);
  const bytesByLabel = new TopCounts(limit);
  const seriesByPair = new TopCounts(limit);
  const pairs = new DistinctCounter();
  let count = 0;
  // A copy of the names: some may come while this rests.
  for (const name of [...index.labelNames(tenant)]) {
    const values = new DistinctCounter();
    let bytes = 0;
    for (const { value, seriesCount } of index.pairsOfName(tenant, name)) {
      if (++count % STRIDE === 0 && pace.isDue) await pace.rest();
      values.add(value);
      pairs.add(`${name}\0${value}`);
      bytes += pairBytes(name, value) * seriesCount;
      if (name === METRIC_NAME) seriesByMetric.add({ name: value, value: seriesCount });
      if (seriesByPair.accepts(seriesCount)) seriesByPair.add({ name: `${name}=${value}`, value: seriesCount });
    }
    valuesByLabel.add({ name, ...values.count });
    bytesByLabel.add({ name, value: bytes });
  }
  return {
    seriesCount: index.seriesCountOf(tenant),
    labelPairs: pairs.count,
    seriesByMetric: seriesByMetric.sorted(),
    valuesByLabel: valuesByLabel.sorted(),
    bytesByLabel: bytesByLabel.sorted(),
    seriesByPair: seriesByPair.sorted(),
  };
}

/** Sealed chunks, and one that grows for each series of a head; of all tenants, which share the heads. */
async function countChunks(captured: CapturedSources, pace: Pace) {
  let chunkCount = 0;
  let minMs = Number.POSITIVE_INFINITY;
  let maxMs = Number.NEGATIVE_INFINITY;
  for (const { head } of captured.heads()) {
    const { sealedChunks, seriesCount } = head.stats();
    chunkCount += sealedChunks;
    for (let series = 0; series < seriesCount; series++) {
      if (series % STRIDE === 0 && pace.isDue) await pace.rest();
      if (head.hasSamples(series)) chunkCount++;
    }
    for (const { firstMs, lastMs } of head.spans(WHOLE_MS)) {
      minMs = Math.min(minMs, firstMs);
      maxMs = Math.max(maxMs, lastMs);
    }
    if (pace.isDue) await pace.rest();
  }
  return { chunkCount, minMs, maxMs };
}
