// test/contract/naive-statistics.ts: statistics counted from label sets, plainly: the twin of what storages count.
import { DistinctCounter, type Labels, type NamedCount, type Statistics, TopCounts } from "../../libs/model/index.ts";

/** What is counted of samples is left at nothing. */
export function naiveStatistics(series: readonly Labels[], limit: number): Statistics {
  const byPair = new Map<string, number>();
  const byMetric = new Map<string, number>();
  const bytes = new Map<string, number>();
  const values = new Map<string, Set<string>>();
  const count = (counts: Map<string, number>, name: string, by: number): unknown =>
    counts.set(name, (counts.get(name) ?? 0) + by);
  for (const labels of series) {
    for (let i = 0; i < labels.length; i += 2) {
      const [name, value] = [labels[i]!, labels[i + 1]!];
      count(byPair, `${name}=${value}`, 1);
      count(bytes, name, Buffer.byteLength(name) + Buffer.byteLength(value) + 2);
      if (name === "__name__") count(byMetric, value, 1);
      values.set(name, (values.get(name) ?? new Set()).add(value));
    }
  }
  const pairs = new DistinctCounter();
  for (const [name, set] of values) for (const value of set) pairs.add(`${name}\0${value}`);
  const distinct = new TopCounts<Statistics["valuesByLabel"][number]>(limit);
  for (const [name, set] of values) {
    const counter = new DistinctCounter();
    for (const value of set) counter.add(value);
    distinct.add({ name, ...counter.count });
  }
  return {
    ...{ seriesCount: series.length, labelPairs: pairs.count, chunkCount: 0 },
    ...{ minMs: Number.POSITIVE_INFINITY, maxMs: Number.NEGATIVE_INFINITY },
    seriesByMetric: greatest(byMetric, limit),
    valuesByLabel: distinct.sorted(),
    bytesByLabel: greatest(bytes, limit),
    seriesByPair: greatest(byPair, limit),
  };
}

function greatest(counts: ReadonlyMap<string, number>, limit: number): NamedCount[] {
  return [...counts]
    .map(([name, value]) => ({ name, value }))
    .sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : 1))
    .slice(0, limit);
}
