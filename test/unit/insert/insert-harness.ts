// test/unit/insert/insert-harness.ts: an insert over storages in memory, a simulated clock and seeded chance.
import { SeededRandom, SimClock } from "../../../libs/env/index.ts";
import { IngestHandler, type IngestHandlerOptions, type WriteReply } from "../../../services/insert/index.ts";
import {
  compress,
  type MetadataSpec,
  messageV1,
  messageV2,
  type SeriesSpec,
  V1_TYPE,
  V2_TYPE,
} from "./remote-write.ts";
import { StorageTwin } from "./storage-twin.ts";

export interface Harness {
  readonly clock: SimClock;
  readonly storages: readonly StorageTwin[];
  readonly insert: IngestHandler;
  /** Version 1, or version 2, of these series for a tenant. */
  v1(series: readonly SeriesSpec[], metadata?: readonly MetadataSpec[], tenant?: string): Promise<WriteReply>;
  v2(series: readonly SeriesSpec[], tenant?: string): Promise<WriteReply>;
  /** An uncompressed message. */
  send(version: 1 | 2, message: Uint8Array, tenant?: string): Promise<WriteReply>;
}

/** Small enough that each test's memory costs nothing. */
const SMALL = { writeBodyMaxBytes: 1 << 20, writeDecodedMaxBytes: 1 << 20, seriesCacheMax: 200_000 };

export function makeStorages(count: number, shardCount = 64): StorageTwin[] {
  return Array.from({ length: count }, (_, i) => new StorageTwin(`storage-${i}:8400`, { shardCount }));
}

/** Starts an insert and lets it connect. */
export async function startInsert(
  storages: readonly StorageTwin[],
  options: Partial<Omit<IngestHandlerOptions, "targets">> = {},
): Promise<Harness> {
  const clock = new SimClock();
  const insert = new IngestHandler({
    targets: storages,
    random: new SeededRandom(1),
    clock,
    ...options,
    limits: { ...SMALL, ...options.limits },
  });
  await clock.advance(0);
  const send = (version: 1 | 2, message: Uint8Array, tenant = "default"): Promise<WriteReply> =>
    insert.write({
      tenant,
      contentType: version === 1 ? V1_TYPE : V2_TYPE,
      contentEncoding: "snappy",
      body: compress(message),
    });
  return {
    clock,
    storages,
    insert,
    send,
    v1: (series, metadata, tenant) => send(1, messageV1(series, metadata), tenant),
    v2: (series, tenant) => send(2, messageV2(series), tenant),
  };
}

/** The value of a header in a reply. */
export function header(reply: WriteReply, name: string): string | undefined {
  const at = reply.headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name.toLowerCase());
  return at < 0 ? undefined : reply.headers[at + 1];
}

/** The three counts of a version 2 reply: samples, histograms, exemplars. */
export function writtenCounts(reply: WriteReply): (number | undefined)[] {
  return ["Samples", "Histograms", "Exemplars"].map((what) => {
    const text = header(reply, `X-Prometheus-Remote-Write-${what}-Written`);
    return text === undefined ? undefined : Number(text);
  });
}
