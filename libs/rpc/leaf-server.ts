// libs/rpc/leaf-server.ts: the storage's side of Evaluate: the leaves of a stream run side by side, each with limits, a
// deadline and an end of its own.
// Invariants: a leaf that is canceled, late or on a stream that broke aborts the engine's signal; its answer leaves in messages
// of bounded size, in turn with others, as fast as the asker takes them; a failure is an answer and ends no other leaf.
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { type AppError, InternalError, InvalidError, type LeafResult, UnavailableError } from "../model/index.ts";
import { hungUp, isOurs, limitsOf, pastDeadline, sendAll } from "./answers.ts";
import { DEADLINE_AFTER_MAX_MS } from "./calls.ts";
import { LEAVES_MAX, MESSAGE_BYTES_MAX } from "./channel.ts";
import { encodeColumns } from "./column-encoder.ts";
import type { StorageEngine } from "./engine.ts";
import { leafFromMessage } from "./leaf-codec.ts";
import { contracts } from "./load.ts";
import type { EvaluateReply, EvaluateRequest } from "./messages.ts";
import { checkHeaders, type VersionRange } from "./peer.ts";
import { failureOf, statusOfError } from "./status.ts";

export const STOPPING = "cannot take queries: got a storage that is stopping; want its restart";

export interface LeafServiceOptions {
  readonly engine: StorageEngine;
  readonly versions: VersionRange;
  /** Hears of streams and leaves that were refused or that this storage failed. */
  readonly onFailure: (what: string, remote: string, error: unknown) => void;
}

type LeafCall = ServerDuplexStream<EvaluateRequest, Buffer>;

const NO_BYTES = Buffer.alloc(0);

/** The handler of Evaluate, and its stop. */
export class LeafService {
  readonly #options: LeafServiceOptions;
  readonly #streams = new Set<LeafStream>();
  #stopping = false;

  constructor(options: LeafServiceOptions) {
    this.#options = options;
  }

  get handler(): (call: LeafCall) => void {
    return (call) => {
      const { engine, versions, onFailure } = this.#options;
      const remote = call.getPeer();
      try {
        if (this.#stopping) throw new UnavailableError(STOPPING);
        checkHeaders(call.metadata, engine.identity, versions, remote);
      } catch (error) {
        onFailure("evaluate", remote, error);
        call.emit("error", statusOfError(error));
        return;
      }
      const stream = new LeafStream(call, engine, {
        onEnd: () => this.#streams.delete(stream),
        onFailure: (error) => onFailure("evaluate", remote, error),
      });
      this.#streams.add(stream);
    };
  }

  /** Refuses new leaves and settles when those that run are answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(Array.from(this.#streams, (stream) => stream.stop()));
  }
}

interface StreamEvents {
  readonly onEnd: () => void;
  readonly onFailure: (error: unknown) => void;
}

/** One Evaluate call and the leaves that run on it. */
class LeafStream {
  readonly #call: LeafCall;
  readonly #engine: StorageEngine;
  readonly #events: StreamEvents;
  readonly #running = new Map<number, AbortController>();
  #stopping = false;
  #isEnded = false;
  #onEnded: (() => void)[] = [];

  constructor(call: LeafCall, engine: StorageEngine, events: StreamEvents) {
    this.#call = call;
    this.#engine = engine;
    this.#events = events;
    // One listener per answer that waits.
    call.setMaxListeners(0);
    call.on("data", (request: EvaluateRequest) => this.#onRequest(request));
    call.on("end", () => void this.stop());
    call.on("cancelled", () => {
      for (const aborter of this.#running.values()) aborter.abort(hungUp());
      this.#end();
    });
  }

  /** Ends the call once what runs is answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#running.size === 0) this.#end();
    if (!this.#isEnded) await new Promise<void>((resolve) => this.#onEnded.push(resolve));
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (!this.#call.cancelled) this.#call.end();
    this.#events.onEnd();
    for (const resolve of this.#onEnded) resolve();
  }

  #onRequest(request: EvaluateRequest): void {
    const { call, cancel } = request;
    const running = this.#running.get(call);
    if (cancel) running?.abort(hungUp());
    else if (running !== undefined) this.#refuse(new InvalidError(`cannot evaluate: got call ${call} while it runs`));
    else void this.#serve(request);
  }

  /** Ends the call at once: its asker mistakes answers for each other. */
  #refuse(error: AppError): void {
    this.#events.onFailure(error);
    for (const aborter of this.#running.values()) aborter.abort(error);
    this.#call.emit("error", statusOfError(error));
    this.#isEnded = true;
    this.#events.onEnd();
  }

  async #serve(request: EvaluateRequest): Promise<void> {
    const { call, tenant } = request;
    const aborter = new AbortController();
    const { signal } = aborter;
    const timeoutMs =
      request.timeoutMs > 0 ? Math.min(request.timeoutMs, DEADLINE_AFTER_MAX_MS) : Number.POSITIVE_INFINITY;
    const isTimed = timeoutMs < Number.POSITIVE_INFINITY;
    const timer = isTimed ? setTimeout(() => aborter.abort(pastDeadline()), timeoutMs) : undefined;
    const isCrowded = this.#running.size >= LEAVES_MAX;
    this.#running.set(call, aborter);
    try {
      if (this.#stopping) throw new UnavailableError(STOPPING);
      if (isCrowded) throw new UnavailableError(`cannot evaluate: got ${LEAVES_MAX} leaves at once; want fewer`);
      const context = { ...limitsOf(request), tenant, signal, deadlineMs: Date.now() + timeoutMs };
      const result = await this.#engine.queryable.evaluate(leafFromMessage(request.leaf), context);
      await sendAll(this.#call, repliesOf(call, result), messageOf, signal);
    } catch (error) {
      this.#fail(call, signal.aborted ? signal.reason : error);
    } finally {
      clearTimeout(timer);
      this.#running.delete(call);
      if (this.#stopping && this.#running.size === 0) this.#end();
    }
  }

  #fail(call: number, error: unknown): void {
    if (this.#isEnded || this.#call.cancelled) return;
    if (isOurs(error)) this.#events.onFailure(error);
    this.#call.write(messageOf({ call, frame: NO_BYTES, summary: null, failure: failureOf(error) }));
  }
}

function* repliesOf(
  call: number,
  { columns, seriesCount, samplesRead, warnings, notes = [] }: LeafResult,
): Generator<EvaluateReply> {
  let last: Buffer = NO_BYTES;
  for (const frame of encodeColumns(columns)) {
    if (last.length > 0) yield { call, frame: last, summary: null, failure: null };
    last = frame;
  }
  yield { call, frame: last, summary: { seriesCount, samplesRead, warnings, notes }, failure: null };
}

/** Errors: InternalError for one that no message may hold, as with labels of many megabytes. */
function messageOf(reply: EvaluateReply): Buffer {
  const message = contracts().evaluateReply.serialize(reply);
  if (message.length <= MESSAGE_BYTES_MAX) return message;
  throw new InternalError(
    `cannot send answer: got a message of ${message.length} bytes; want at most ${MESSAGE_BYTES_MAX}`,
  );
}
