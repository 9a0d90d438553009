// libs/rpc/query-client.ts: a Queryable behind an address.
// Invariants: an answer is complete or an error; deadline and abort signal reach the storage; the connection is opened
// by the first question and kept.
import type { Client, Metadata, MethodDefinition } from "@grpc/grpc-js";
import {
  assert,
  type BlockFacts,
  type Deletable,
  equalLabels,
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
  type StepColumn,
  type TimeRange,
  UnavailableError,
} from "../model/index.ts";
import { type CallLimits, callStream, callUnary, readStream } from "./calls.ts";
import { openClient, type TlsMaterial } from "./channel.ts";
import { ColumnDecoder } from "./column-decoder.ts";
import { GrpcDeletable } from "./deletion-client.ts";
import { metadataEntry } from "./ingest-codec.ts";
import { LeafCalls } from "./leaf-client.ts";
import { matchersToMessage, notesFromMessage, setsToMessage } from "./leaf-codec.ts";
import { contracts, type QueryMethods } from "./load.ts";
import type { LookupRequest, StatisticsReply, StringsReply } from "./messages.ts";
import { ClusterPin, callHeaders, type PeerStatus, PROTOCOL_VERSIONS, peerStatus, type VersionRange } from "./peer.ts";
import { statisticsOf } from "./statistics-codec.ts";

export interface QueryClientOptions {
  /** Shared by all connections of a process, so that they can only be of one cluster. */
  readonly pin?: ClusterPin;
  readonly tls?: TlsMaterial;
  /** What one answer may take in memory, in bytes; more fails with LimitError. */
  readonly answerBytesMax?: number;
  readonly versions?: VersionRange;
}

/** A storage at an address, as a Queryable. */
export interface RemoteQueryable extends Queryable {
  readonly address: string;
  /** Deletions on that storage. */
  readonly deletable: Deletable;
  /** Asks the storage who it is. Errors: UnavailableError when it can't be reached or is of another cluster. */
  status(limits: CallLimits): Promise<PeerStatus>;
  close(): void;
}

const ANSWER_BYTES_MAX = 1 << 30;

/** The storage at `address` (HOST:PORT). Nothing is opened before the first question. */
export function connectQuery(address: string, options: QueryClientOptions = {}): RemoteQueryable {
  return new GrpcQueryable(address, options);
}

class GrpcQueryable implements RemoteQueryable {
  readonly address: string;
  readonly deletable: Deletable;
  readonly #client: Client;
  readonly #pin: ClusterPin;
  readonly #versions: VersionRange;
  readonly #answerBytesMax: number;
  readonly #leaves: LeafCalls;
  /** Set once the storage has been accepted by the pin. */
  #accepted = false;

  constructor(address: string, options: QueryClientOptions) {
    this.address = address;
    this.#client = openClient(address, options.tls);
    this.#pin = options.pin ?? new ClusterPin();
    this.#versions = options.versions ?? PROTOCOL_VERSIONS;
    this.#answerBytesMax = options.answerBytesMax ?? ANSWER_BYTES_MAX;
    this.#leaves = new LeafCalls(this.#client, address, () => this.#callHeaders());
    this.deletable = new GrpcDeletable(this.#client, address, (limits) => this.#meet(limits));
  }

  async status(limits: CallLimits): Promise<PeerStatus> {
    const headers = callHeaders(this.#versions, "");
    const reply = await callUnary(this.#client, contracts().query.Status, {}, headers, limits, this.address);
    const status = peerStatus(reply, this.#versions, this.address);
    this.#pin.accept(status.identity, this.address);
    this.#accepted = true;
    return status;
  }

  close(): void {
    this.#leaves.close();
    this.#client.close();
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const { tenant, samplesMax, seriesMax = 0, bytesMax = 0 } = context;
    const decoder = new ColumnDecoder(Math.min(this.#answerBytesMax, context.bytesMax ?? this.#answerBytesMax));
    let bytes = 0;
    const question = { tenant, samplesMax, seriesMax, bytesMax, leaf };
    if (!this.#accepted) await this.status(context);
    const end = await this.#leaves.ask(question, context, (frame) => {
      bytes += frame.length;
      decoder.push(frame);
    });
    return {
      columns: decoder.finish(),
      seriesCount: end.seriesCount,
      samplesRead: end.samplesRead,
      warnings: end.warnings,
      bytes,
      ...(end.notes.length === 0 ? {} : { notes: notesFromMessage(end.notes) }),
    };
  }

  async *rawSamples(
    { matchers, range }: RawRequest,
    context: QueryContext,
  ): AsyncGenerator<readonly RawColumn[], void, void> {
    const { tenant, samplesMax, seriesMax = 0 } = context;
    const { minMs, maxMs } = range;
    const request = { tenant, samplesMax, seriesMax, matchers: matchersToMessage(matchers), minMs, maxMs };
    const headers = await this.#meet(context);
    const { RawSamples } = contracts().query;
    let decoder = new ColumnDecoder(this.#answerBytesMax);
    let complete = false;
    for await (const reply of readStream(this.#client, RawSamples, request, headers, context, this.address)) {
      if (reply.frame.length > 0) decoder.push(reply.frame);
      complete = reply.complete;
      if (reply.more || complete) continue;
      yield timed(decoder.finish());
      decoder = new ColumnDecoder(this.#answerBytesMax);
    }
    if (!complete) throw this.#incomplete();
  }

  labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    return this.#strings("LabelNames", lookup("", sets, range, limit, context), context);
  }

  labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<string[]> {
    return this.#strings("LabelValues", lookup(name, sets, range, limit, context), context);
  }

  async series(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    context: QueryContext,
  ): Promise<Labels[]> {
    const decoder = new ColumnDecoder(this.#answerBytesMax);
    await this.#ask("Series", lookup("", sets, range, limit, context), context, (reply) => decoder.push(reply.frame));
    return decoder.finish().map((column) => column.labels);
  }

  async metadata(family: string, context: QueryContext): Promise<MetadataEntry[]> {
    const entries: MetadataEntry[] = [];
    await this.#ask("Metadata", { tenant: context.tenant, family }, context, (reply) => {
      for (const entry of reply.entries) entries.push(metadataEntry(entry));
    });
    return entries;
  }

  async exemplars(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    context: QueryContext,
  ): Promise<SeriesExemplars[]> {
    const out: SeriesExemplars[] = [];
    await this.#ask("Exemplars", lookup("", sets, range, 0, context), context, (reply) => {
      for (const part of reply.series) {
        const last = out.at(-1);
        if (last === undefined || !equalLabels(last.labels, part.labels)) out.push(part);
        else out[out.length - 1] = { labels: last.labels, exemplars: [...last.exemplars, ...part.exemplars] };
      }
    });
    return out;
  }

  async statistics(limit: number, context: QueryContext): Promise<Statistics> {
    const replies: StatisticsReply[] = [];
    await this.#ask("Statistics", { tenant: context.tenant, limit }, context, (reply) => replies.push(reply));
    return statisticsOf(replies, this.address);
  }

  async blocks(context: QueryContext): Promise<BlockFacts[]> {
    const out: BlockFacts[] = [];
    await this.#ask("Blocks", { tenant: context.tenant }, context, (reply) => out.push(...reply.blocks));
    return out;
  }

  async #strings(
    method: "LabelNames" | "LabelValues",
    request: LookupRequest,
    context: QueryContext,
  ): Promise<string[]> {
    const out: string[] = [];
    await this.#ask(method, request, context, (reply: StringsReply) => {
      for (const value of reply.values) out.push(value);
    });
    return out;
  }

  /** Makes sure that the storage is one of ours. The headers of a call to it. */
  async #meet(context: CallLimits): Promise<Metadata> {
    if (!this.#accepted) await this.status(context);
    return this.#callHeaders();
  }

  #callHeaders(): Metadata {
    return callHeaders(this.#versions, this.#pin.identity?.clusterId ?? "");
  }

  #incomplete(): UnavailableError {
    return new UnavailableError(`cannot use answer of ${this.address}: got no end of it; want a complete one`);
  }

  async #ask<Name extends Exclude<keyof QueryMethods, "Status" | "Evaluate" | "RawSamples">>(
    name: Name,
    request: Parameters<QueryMethods[Name]["requestSerialize"]>[0],
    context: QueryContext,
    take: (reply: ReturnType<QueryMethods[Name]["responseDeserialize"]>) => void,
  ): Promise<void> {
    const headers = await this.#meet(context);
    type Method = MethodDefinition<typeof request, Parameters<typeof take>[0]>;
    const method = contracts().query[name] as unknown as Method;
    await callStream(this.#client, method, request, headers, context, this.address, take);
  }
}

function lookup(
  name: string,
  sets: readonly (readonly Matcher[])[],
  range: TimeRange,
  limit: number,
  context: QueryContext,
): LookupRequest {
  const { tenant, samplesMax, seriesMax = 0, bytesMax = 0 } = context;
  return {
    tenant,
    sets: setsToMessage(sets),
    minMs: range.minMs,
    maxMs: range.maxMs,
    limit,
    name,
    seriesMax,
    samplesMax,
    bytesMax,
  };
}

/** Errors: InternalError for columns that are no raw samples. */
function timed(columns: readonly StepColumn[]): readonly RawColumn[] {
  for (const { times, present } of columns) {
    assert(times !== undefined && present === null, "raw samples have times, and all of their points");
  }
  return columns as readonly RawColumn[];
}
