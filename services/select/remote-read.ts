// services/select/remote-read.ts: `POST /api/v1/read`: Prometheus' remote read, as a stream of XOR chunks or as samples.
// Invariants: a streamed answer holds one batch of samples; its first byte leaves when the first one is there, and a failure after
// that breaks the connection. Errors are plain text, as clients of this API expect.
import { compress } from "snappy";
import {
  compareLabels,
  type Labels,
  LimitError,
  type Queryable,
  type QueryContext,
  type RawColumn,
} from "../../libs/model/index.ts";
import { printMatcher, type QueryProgress } from "../../libs/promql/index.ts";
import { type Exchange, type Route, requestTenant } from "../../libs/runtime/index.ts";
import { ReadFrames } from "./read-frames.ts";
import { parseReadRequest, type ReadQuery, type ReadRequest } from "./read-request.ts";
import { SampledAnswer } from "./read-samples.ts";
import type { QueryCounters, QueryRunner } from "./run-query.ts";

export interface ReadLimits {
  /** Samples of one request. */
  readonly samplesMax: number;
  /** An answer with samples, before it is compressed. */
  readonly bytesMax: number;
  /** The request's body. */
  readonly bodyMaxBytes: number;
}

const CHUNKS_TYPE = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
const SAMPLES_TYPE = "application/x-protobuf";
/** Frames are mostly small; they leave together once they are so long. */
const CHUNK_BYTES = 64 * 1024;

/** The routes of remote read. */
export function readRoutes(queryable: () => Queryable, runner: QueryRunner, limits: ReadLimits): Route[] {
  const handle = async (exchange: Exchange): Promise<void> => {
    const tenant = requestTenant(exchange);
    const body = Buffer.concat(await exchange.readParts(limits.bodyMaxBytes, "--query-body-max"));
    const request = parseReadRequest(body);
    const work = (context: QueryContext, progress: QueryProgress): Promise<void> => {
      const source = new ReadSource(queryable(), context, limits.samplesMax, runner.counters, progress);
      return answer(exchange, request, source, limits);
    };
    await runner.run("read", exchange, tenant, undefined, work, textOf(request));
    runner.counters.reads[request.form]++;
  };
  return ["/api/v1/read", "/select/:tenant/prometheus/api/v1/read"].map((pattern): Route => {
    return { methods: ["POST"], pattern, needsEngine: true, handle };
  });
}

/** What is shown of a request while it runs: its selectors. */
function textOf({ queries, form }: ReadRequest): string {
  return `${form}: ${queries.map(({ matchers }) => `{${matchers.map(printMatcher).join(",")}}`).join(" ")}`;
}

async function answer(
  exchange: Exchange,
  request: ReadRequest,
  source: ReadSource,
  { bytesMax }: ReadLimits,
): Promise<void> {
  if (request.form === "chunks") return exchange.pour(200, CHUNKS_TYPE, gathered(frames(request, source)));
  const whole = await sampled(request, source, new SampledAnswer(bytesMax));
  const body = await compress(whole, { copyOutputData: true });
  // Compressed already, and said so: not to be compressed once more.
  exchange.binary(200, SAMPLES_TYPE, body, ["Content-Encoding", "snappy"]);
}

/** Where the samples of one request come from, with their count. */
class ReadSource {
  readonly #queryable: Queryable;
  readonly #context: QueryContext;
  readonly #samplesMax: number;
  readonly #counters: QueryCounters;
  readonly #progress: QueryProgress;
  #samples = 0;

  constructor(
    queryable: Queryable,
    context: QueryContext,
    samplesMax: number,
    counters: QueryCounters,
    progress: QueryProgress,
  ) {
    this.#queryable = queryable;
    this.#context = context;
    this.#samplesMax = samplesMax;
    this.#counters = counters;
    this.#progress = progress;
  }

  /** Batches of samples. Errors: LimitError beyond the request's samples; those of storages. */
  async *samples({ matchers, range }: ReadQuery): AsyncGenerator<readonly RawColumn[]> {
    if (range.minMs > range.maxMs) return;
    const context = { ...this.#context, samplesMax: this.#samplesMax - this.#samples };
    for await (const batch of this.#queryable.rawSamples({ matchers, range }, context)) {
      let samples = 0;
      for (const { times } of batch) samples += times.length;
      this.#samples += samples;
      this.#counters.samplesRead += samples;
      this.#progress.samplesRead += samples;
      this.#progress.bytes += 16 * samples;
      if (this.#samples > this.#samplesMax) {
        throw new LimitError(
          "read-samples-max",
          `cannot read samples: got more than ${this.#samplesMax}; want a narrower request (--read-samples-max)`,
        );
      }
      yield batch;
    }
  }

  /** Label sets of series with samples in the range, in order. */
  async series({ matchers, range }: ReadQuery): Promise<Labels[]> {
    if (range.minMs > range.maxMs) return [];
    const found = await this.#queryable.series([matchers], range, 0, this.#context);
    return found.sort(compareLabels);
  }
}

async function* frames({ queries }: ReadRequest, source: ReadSource): AsyncGenerator<Uint8Array> {
  for (const [index, query] of queries.entries()) {
    const out = new ReadFrames(index);
    if (query.onlySeries) {
      for (const labels of await source.series(query)) yield* out.addLabels(labels);
      continue;
    }
    for await (const batch of source.samples(query)) for (const column of batch) yield* out.add(column);
    yield* out.finish();
  }
}

/** Small pieces put together. */
async function* gathered(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    held.push(piece);
    bytes += piece.length;
    if (bytes < CHUNK_BYTES) continue;
    yield held.length === 1 ? piece : Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (held.length > 0) yield Buffer.concat(held);
}

async function sampled({ queries }: ReadRequest, source: ReadSource, out: SampledAnswer): Promise<Buffer> {
  for (const query of queries) {
    out.nextQuery();
    if (query.onlySeries) for (const labels of await source.series(query)) out.addLabels(labels);
    else for await (const batch of source.samples(query)) for (const column of batch) out.add(column);
  }
  return out.finish();
}
