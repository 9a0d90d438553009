// libs/rpc/query-server.ts: service Query over a Queryable.
// Invariants: a caller that hangs up or whose deadline passes aborts the engine's signal; answers leave in messages
// of bounded size, as fast as the caller takes them; between two of them the event loop is free.
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  type BlockFacts,
  type Labels,
  type MetadataEntry,
  type QueryContext,
  type RawColumn,
  type SeriesExemplars,
  UnavailableError,
} from "../model/index.ts";
import { type Asking, hungUp, isOurs, limitsOf, pastDeadline, type Replies, sendAll } from "./answers.ts";
import { encodeColumns } from "./column-encoder.ts";
import { FRAME_BYTES } from "./column-frame.ts";
import type { StorageEngine } from "./engine.ts";
import { matchersFromMessage, setsFromMessage } from "./leaf-codec.ts";
import { LeafService, STOPPING } from "./leaf-server.ts";
import type {
  BlocksReply,
  BlocksRequest,
  ExemplarsReply,
  LookupRequest,
  MetadataReply,
  MetadataRequest,
  RawSamplesReply,
  RawSamplesRequest,
  SeriesReply,
  StatisticsReply,
  StatisticsRequest,
  StatusReply,
  StatusRequest,
  StringsReply,
} from "./messages.ts";
import { checkHeaders, type VersionRange } from "./peer.ts";
import { statisticsReplies } from "./statistics-codec.ts";
import { statusOfError } from "./status.ts";

export interface QueryServiceOptions {
  readonly engine: StorageEngine;
  readonly versions: VersionRange;
  readonly epoch: () => number;
  /** Hears of calls that were refused or that this storage failed. */
  readonly onFailure: (what: string, remote: string, error: unknown) => void;
}

const NO_POINTS = new Float64Array(0);
const NO_BYTES = Buffer.alloc(0);

/** The handlers of service Query, and their stop. */
export class QueryService {
  readonly #options: QueryServiceOptions;
  readonly #running = new Set<Promise<void>>();
  readonly #leaves: LeafService;
  #stopping = false;

  constructor(options: QueryServiceOptions) {
    this.#options = options;
    this.#leaves = new LeafService(options);
  }

  get handlers(): UntypedServiceImplementation {
    const { queryable } = this.#options.engine;
    return {
      Evaluate: this.#leaves.handler,
      RawSamples: this.#streaming<RawSamplesRequest, RawSamplesReply>("raw samples", async (r, c) =>
        rawReplies(queryable.rawSamples({ matchers: matchersFromMessage(r.matchers), range: r }, c)),
      ),
      LabelNames: this.#streaming<LookupRequest, StringsReply>("label names", async (r, c) =>
        stringReplies(await queryable.labelNames(setsFromMessage(r.sets), r, r.limit, c)),
      ),
      LabelValues: this.#streaming<LookupRequest, StringsReply>("label values", async (r, c) =>
        stringReplies(await queryable.labelValues(r.name, setsFromMessage(r.sets), r, r.limit, c)),
      ),
      Series: this.#streaming<LookupRequest, SeriesReply>("series", async (r, c) =>
        seriesReplies(await queryable.series(setsFromMessage(r.sets), r, r.limit, c)),
      ),
      Metadata: this.#streaming<MetadataRequest, MetadataReply>("metadata", async (r, c) =>
        metadataReplies(await queryable.metadata(r.family, c)),
      ),
      Exemplars: this.#streaming<LookupRequest, ExemplarsReply>("exemplars", async (r, c) =>
        exemplarReplies(await queryable.exemplars(setsFromMessage(r.sets), r, c)),
      ),
      Statistics: this.#streaming<StatisticsRequest, StatisticsReply>("statistics", async (r, c) =>
        statisticsReplies(await queryable.statistics(r.limit, c)),
      ),
      Blocks: this.#streaming<BlocksRequest, BlocksReply>("blocks", async (_r, c) =>
        blockReplies((await queryable.blocks?.(c)) ?? []),
      ),
      Status: (_call: ServerUnaryCall<StatusRequest, StatusReply>, done: sendUnaryData<StatusReply>) => {
        const { engine, versions, epoch } = this.#options;
        done(null, { versions, identity: engine.identity, epoch: epoch() });
      },
    };
  }

  /** Refuses new questions and settles when those that run are answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#running, this.#leaves.stop()]);
  }

  /** A handler that computes an answer and sends it message by message. */
  #streaming<Request extends Asking, Reply>(
    what: string,
    answer: (request: Request, context: QueryContext) => Promise<Replies<Reply>>,
  ): (call: ServerWritableStream<Request, Reply>) => void {
    return (call) => {
      const work = this.#serve(call, what, answer);
      this.#running.add(work);
      void work.finally(() => this.#running.delete(work));
    };
  }

  async #serve<Request extends Asking, Reply>(
    call: ServerWritableStream<Request, Reply>,
    what: string,
    answer: (request: Request, context: QueryContext) => Promise<Replies<Reply>>,
  ): Promise<void> {
    const aborter = new AbortController();
    const deadline = call.getDeadline();
    const deadlineMs = typeof deadline === "number" ? deadline : deadline.getTime();
    call.once("cancelled", () => aborter.abort(Date.now() < deadlineMs ? hungUp() : pastDeadline()));
    try {
      if (this.#stopping) throw new UnavailableError(STOPPING);
      checkHeaders(call.metadata, this.#options.engine.identity, this.#options.versions, call.getPeer());
      const context = { ...limitsOf(call.request), tenant: call.request.tenant, signal: aborter.signal, deadlineMs };
      await sendAll(call, await answer(call.request, context), (reply) => reply, aborter.signal);
      call.end();
    } catch (error) {
      if (aborter.signal.aborted) return;
      if (isOurs(error)) this.#options.onFailure(what, call.getPeer(), error);
      call.emit("error", statusOfError(error));
    }
  }
}

/** Every batch is a stream of frames of its own, so that neither side remembers the strings of a long answer. */
async function* rawReplies(batches: AsyncIterable<readonly RawColumn[]>): AsyncGenerator<RawSamplesReply> {
  for await (const columns of batches) {
    let last: Buffer = NO_BYTES;
    for (const frame of encodeColumns(columns)) {
      if (last.length > 0) yield { frame: last, more: true, complete: false };
      last = frame;
    }
    yield { frame: last, more: false, complete: false };
  }
  yield { frame: NO_BYTES, more: false, complete: true };
}

function* seriesReplies(series: readonly Labels[]): Generator<SeriesReply> {
  const columns = series.map((labels) => ({ labels, values: NO_POINTS, present: null }));
  for (const frame of encodeColumns(columns)) yield { frame };
}

/** Cuts a list so that no message is much longer than a frame. */
function* cut<T>(items: readonly T[], sizeOf: (item: T) => number): Generator<T[]> {
  let piece: T[] = [];
  let bytes = 0;
  for (const item of items) {
    piece.push(item);
    bytes += sizeOf(item);
    if (bytes < FRAME_BYTES) continue;
    yield piece;
    piece = [];
    bytes = 0;
  }
  if (piece.length > 0) yield piece;
}

function* stringReplies(strings: readonly string[]): Generator<StringsReply> {
  for (const values of cut(strings, (text) => text.length + 4)) yield { values };
}

function* exemplarReplies(series: readonly SeriesExemplars[]): Generator<ExemplarsReply> {
  const textBytes = (labels: Labels): number => labels.reduce((sum, text) => sum + text.length + 4, 0);
  for (const { labels, exemplars } of series) {
    // One series a message at least; a long one in pieces.
    for (const piece of cut(exemplars, (e) => textBytes(e.labels) + 24))
      yield { series: [{ labels, exemplars: piece }] };
  }
}

function* blockReplies(blocks: readonly BlockFacts[]): Generator<BlocksReply> {
  for (const piece of cut(blocks, ({ parents }) => 100 + 34 * parents.length)) yield { blocks: piece };
}

function* metadataReplies(entries: readonly MetadataEntry[]): Generator<MetadataReply> {
  const sizeOf = (e: MetadataEntry): number => e.family.length + e.help.length + e.unit.length + e.tenant.length + 32;
  for (const piece of cut(entries, sizeOf)) yield { entries: piece };
}
