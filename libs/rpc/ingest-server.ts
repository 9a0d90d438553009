// libs/rpc/ingest-server.ts: service Ingest over a storage engine.
// Invariants: batches of a stream reach its session in order; what is read and not yet acknowledged is bounded in
// bytes over all streams; a stream's session is closed only after its last acknowledgement.
import {
  Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { type BatchAck, type IngestSession, InvalidError, UnavailableError } from "../model/index.ts";
import type { StorageEngine } from "./engine.ts";
import { batchSeq, decodeAppendRequest, metadataEntry, splitBatches } from "./ingest-codec.ts";
import type {
  AppendReply,
  BatchOutcome,
  HandshakeReply,
  HandshakeRequest,
  MetadataBatch,
  MetadataOutcome,
  SideBatchMessage,
  SideOutcome,
} from "./messages.ts";
import { checkExpected, checkHeaders, negotiate, type VersionRange } from "./peer.ts";
import { failureOf, statusOfError } from "./status.ts";

export interface IngestServiceOptions {
  readonly engine: StorageEngine;
  readonly versions: VersionRange;
  /** The placement's epoch. */
  readonly epoch: () => number;
  /** Batches read and not acknowledged, in bytes over all streams; beyond it streams are not read. */
  readonly inFlightBytesMax: number;
  /** Hears of every refused or broken call. */
  readonly onFailure: (what: string, remote: string, error: unknown) => void;
}

const STOPPING = "cannot take writes: got a storage that is stopping; want its restart";

/** The handlers of service Ingest, and their stop. */
export class IngestService {
  readonly #options: IngestServiceOptions;
  readonly #streams = new Set<AppendStream>();
  readonly #budget: ByteBudget;
  #stopping = false;

  constructor(options: IngestServiceOptions) {
    this.#options = options;
    this.#budget = new ByteBudget(options.inFlightBytesMax);
  }

  get handlers(): UntypedServiceImplementation {
    return {
      Handshake: (call: ServerUnaryCall<HandshakeRequest, HandshakeReply>, done: sendUnaryData<HandshakeReply>) => {
        try {
          done(null, this.#handshake(call.request, call.getPeer()));
        } catch (error) {
          this.#options.onFailure("handshake", call.getPeer(), error);
          done(statusOfError(error));
        }
      },
      Append: (call: ServerDuplexStream<Buffer, AppendReply>) => {
        try {
          this.#append(call);
        } catch (error) {
          this.#options.onFailure("append", call.getPeer(), error);
          call.emit("error", statusOfError(error));
        }
      },
    };
  }

  /** Refuses new streams, reads nothing more, and settles when everything read is acknowledged. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#streams].map((stream) => stream.stop()));
  }

  #handshake(request: HandshakeRequest, remote: string): HandshakeReply {
    if (this.#stopping) throw new UnavailableError(STOPPING);
    const { engine, versions, epoch } = this.#options;
    negotiate(versions, request.versions ?? { min: 0, max: 0 }, remote);
    checkExpected(request.expected, engine.identity, remote);
    return { versions, identity: engine.identity, epoch: epoch() };
  }

  #append(call: ServerDuplexStream<Buffer, AppendReply>): void {
    if (this.#stopping) throw new UnavailableError(STOPPING);
    const { engine, versions, onFailure } = this.#options;
    const remote = call.getPeer();
    checkHeaders(call.metadata, engine.identity, versions, remote);
    const stream = new AppendStream(call, engine.openSession(), this.#budget, {
      onEnd: () => this.#streams.delete(stream),
      onFailure: (error) => onFailure("append", remote, error),
    });
    this.#streams.add(stream);
  }
}

/** Bytes that all streams together hold. Streams that find it spent wait to be woken. */
class ByteBudget {
  readonly #max: number;
  #used = 0;
  #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  get isSpent(): boolean {
    return this.#used >= this.#max;
  }

  take(bytes: number): void {
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
    if (this.isSpent || this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  whenFree(wake: () => void): void {
    this.#waiting.push(wake);
  }
}

interface StreamEvents {
  readonly onEnd: () => void;
  readonly onFailure: (error: unknown) => void;
}

/** One Append call: its session, what is in flight, and the replies that wait to be sent. */
class AppendStream {
  readonly #call: ServerDuplexStream<Buffer, AppendReply>;
  readonly #session: IngestSession;
  readonly #budget: ByteBudget;
  readonly #events: StreamEvents;
  #inFlight = 0;
  #onSettled: (() => void) | undefined;
  #ending: Promise<void> | undefined;
  #stored: number[] = [];
  #outcomes: BatchOutcome[] = [];
  #metadata: MetadataOutcome[] = [];
  #side: SideOutcome[] = [];
  #replyPlanned = false;

  constructor(
    call: ServerDuplexStream<Buffer, AppendReply>,
    session: IngestSession,
    budget: ByteBudget,
    events: StreamEvents,
  ) {
    this.#call = call;
    this.#session = session;
    this.#budget = budget;
    this.#events = events;
    call.on("data", (bytes: Buffer) => this.#onRequest(bytes));
    call.on("end", () => void this.#end(undefined));
    call.on("cancelled", () => void this.#end(undefined));
    // A session that takes no more batches, as with a full dictionary, takes its stream along: the caller connects anew.
    const gone = new UnavailableError("cannot take writes: got a session that has ended; want a new connection");
    session.closed?.then(() => this.#end(gone));
    // The caller waits for these headers to know that the stream was accepted.
    call.sendMetadata(new Metadata());
  }

  /** Ends the call after everything read is acknowledged. */
  stop(): Promise<void> {
    return this.#end(new UnavailableError(STOPPING));
  }

  #onRequest(bytes: Buffer): void {
    if (this.#ending !== undefined) return;
    try {
      const request = decodeAppendRequest(bytes);
      for (const batch of splitBatches(request.batches)) void this.#append(batch);
      if (request.metadata !== null) void this.#appendMetadata(request.metadata, bytes.length);
      if (request.side !== null) void this.#appendSide(request.side);
    } catch (error) {
      this.#events.onFailure(error);
      void this.#end(error);
      return;
    }
    if (this.#budget.isSpent) {
      this.#call.pause();
      this.#budget.whenFree(() => this.#call.resume());
    }
  }

  async #append(batch: Uint8Array): Promise<void> {
    const seq = batchSeq(batch);
    this.#begin(batch.length);
    try {
      this.#acknowledge(await this.#session.append(batch));
    } catch (error) {
      if (error instanceof InvalidError) this.#events.onFailure(error);
      this.#outcomes.push({ seq, unknownRefs: [], rejections: [], failure: failureOf(error) });
    }
    this.#finish(batch.length);
  }

  #acknowledge({ seq, status, unknownRefs, rejections }: BatchAck): void {
    if (status === "stored" && rejections.length === 0) this.#stored.push(seq);
    else this.#outcomes.push({ seq, unknownRefs: Array.from(unknownRefs), rejections, failure: null });
  }

  async #appendMetadata({ seq, entries }: MetadataBatch, bytes: number): Promise<void> {
    this.#begin(bytes);
    try {
      await this.#session.appendMetadata(entries.map(metadataEntry));
      this.#metadata.push({ seq, failure: null });
    } catch (error) {
      this.#metadata.push({ seq, failure: failureOf(error) });
    }
    this.#finish(bytes);
  }

  async #appendSide({ seq, batch }: SideBatchMessage): Promise<void> {
    this.#begin(batch.length);
    try {
      const { rejections } = await this.#session.appendSide(batch);
      this.#side.push({ seq, rejections, failure: null });
    } catch (error) {
      if (error instanceof InvalidError) this.#events.onFailure(error);
      this.#side.push({ seq, rejections: [], failure: failureOf(error) });
    }
    this.#finish(batch.length);
  }

  #begin(bytes: number): void {
    this.#inFlight++;
    this.#budget.take(bytes);
  }

  #finish(bytes: number): void {
    this.#inFlight--;
    this.#budget.give(bytes);
    if (!this.#replyPlanned) {
      // Batches that became durable together settle in one turn of the loop and share a reply.
      this.#replyPlanned = true;
      setImmediate(() => this.#reply());
    }
  }

  #reply(): void {
    this.#replyPlanned = false;
    if (!this.#call.cancelled && !this.#call.writableEnded) {
      this.#call.write({ stored: this.#stored, outcomes: this.#outcomes, metadata: this.#metadata, side: this.#side });
    }
    this.#stored = [];
    this.#outcomes = [];
    this.#metadata = [];
    this.#side = [];
    if (this.#inFlight === 0) this.#onSettled?.();
  }

  #end(error: unknown): Promise<void> {
    this.#ending ??= this.#settleAndClose(error);
    return this.#ending;
  }

  async #settleAndClose(error: unknown): Promise<void> {
    if (this.#inFlight > 0 || this.#replyPlanned) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
    }
    try {
      await this.#session.close();
    } catch (closeError) {
      this.#events.onFailure(closeError);
    }
    if (!this.#call.cancelled) {
      if (error === undefined) this.#call.end();
      else this.#call.emit("error", statusOfError(error));
    }
    this.#events.onEnd();
  }
}
