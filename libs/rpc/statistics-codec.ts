// libs/rpc/statistics-codec.ts: statistics as messages, in pieces of bounded size, and back.
import { type DistinctCount, type NamedCount, type Statistics, UnavailableError } from "../model/index.ts";
import type { CountMessage, StatisticsReply } from "./messages.ts";

/** Counts in one message; each may carry 8 KiB of hashes. */
const COUNTS_PER_MESSAGE = 100;
const NO_HASHES = new Uint8Array(0);
const LISTS = ["seriesByMetric", "valuesByLabel", "bytesByLabel", "seriesByPair"] as const;

export function* statisticsReplies(statistics: Statistics): Generator<StatisticsReply> {
  const counts = LISTS.flatMap((list) => statistics[list].map((count) => countMessage(list, count)));
  for (let at = 0; at < counts.length; at += COUNTS_PER_MESSAGE) {
    yield { counts: counts.slice(at, at + COUNTS_PER_MESSAGE), totals: null };
  }
  const { seriesCount, chunkCount, minMs, maxMs } = statistics;
  const labelPairs = countMessage("", { name: "", ...statistics.labelPairs });
  yield { counts: [], totals: { seriesCount, labelPairs, chunkCount, minMs, maxMs } };
}

/** Errors: UnavailableError when the end is missing. */
export function statisticsOf(replies: readonly StatisticsReply[], address: string): Statistics {
  const totals = replies.at(-1)?.totals;
  if (totals?.labelPairs == null) {
    throw new UnavailableError(`cannot use answer of ${address}: got no end of it; want a complete one`);
  }
  const { seriesCount, chunkCount, minMs, maxMs } = totals;
  const counts = replies.flatMap((reply) => reply.counts);
  const named = (list: (typeof LISTS)[number]): (NamedCount & DistinctCount)[] =>
    counts.filter((count) => count.list === list).map((count) => ({ name: count.name, ...distinctOf(count) }));
  const plain = (list: (typeof LISTS)[number]): NamedCount[] => named(list).map(({ name, value }) => ({ name, value }));
  return {
    ...{ seriesCount, labelPairs: distinctOf(totals.labelPairs), chunkCount, minMs, maxMs },
    seriesByMetric: plain("seriesByMetric"),
    valuesByLabel: named("valuesByLabel"),
    bytesByLabel: plain("bytesByLabel"),
    seriesByPair: plain("seriesByPair"),
  };
}

function countMessage(list: string, { name, value, hashes }: NamedCount & Partial<DistinctCount>): CountMessage {
  const bytes = hashes === undefined ? NO_HASHES : new Uint8Array(hashes.length * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length; i += 8) view.setFloat64(i, hashes![i >> 3]!, true);
  return { list, name, value, hashes: bytes };
}

function distinctOf({ value, hashes }: CountMessage): DistinctCount {
  const view = new DataView(hashes.buffer, hashes.byteOffset, hashes.byteLength);
  return {
    value,
    hashes: Float64Array.from({ length: hashes.byteLength >> 3 }, (_, i) => view.getFloat64(i * 8, true)),
  };
}
