// libs/rpc/leaf-client.ts: the asker's side of Evaluate: many leaves on one stream that stays open, because a message on it
// costs a twentieth of a call of its own.
// Invariants: each leaf ends once, by its answer, its failure, its deadline, its signal or the end of the stream; one that
// nobody waits for is canceled at the storage; what one leaf asks or takes wrongly leaves the others alone.
import type { Client, ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import { type AppError, InvalidError, type Leaf, TimeoutError, UnavailableError } from "../model/index.ts";
import { abortError, type CallLimits, checkLimits, DEADLINE_AFTER_MAX_MS, onAbort } from "./calls.ts";
import { LEAVES_MAX, MESSAGE_BYTES_MAX } from "./channel.ts";
import { leafToMessage } from "./leaf-codec.ts";
import { contracts } from "./load.ts";
import type { EvaluateReply, EvaluateRequest, EvaluateSummary } from "./messages.ts";
import { errorOfFailure, errorOfStatus } from "./status.ts";

/** What is asked, without what the stream adds. */
export interface LeafQuestion extends Omit<EvaluateRequest, "leaf" | "call" | "timeoutMs" | "cancel"> {
  readonly leaf: Leaf;
}

/** A leaf that runs: how it takes its frames, and how it ends. */
interface RunningLeaf {
  readonly take: (frame: Uint8Array) => void;
  readonly resolve: (summary: EvaluateSummary) => void;
  readonly reject: (error: unknown) => void;
}

/** Leaves as they travel: each is asked of every storage, and encoded once. */
const encodedLeaves = new WeakMap<Leaf, Buffer>();

const CANCEL = { tenant: "", samplesMax: 0, seriesMax: 0, bytesMax: 0, leaf: null, timeoutMs: 0, cancel: true };

/** The leaves of one connection. The stream is opened by the first of them, and anew by the next one after it broke. */
export class LeafCalls {
  readonly #client: Client;
  readonly #address: string;
  readonly #headers: () => Metadata;
  #stream: ClientDuplexStream<Buffer, EvaluateReply> | undefined;
  readonly #running = new Map<number, RunningLeaf>();
  /** Leaves that wait for others to end: what wakes them, the first in turn first. */
  readonly #waiting = new Set<() => void>();
  #lastCall = 0;
  #isClosed = false;

  constructor(client: Client, address: string, headers: () => Metadata) {
    this.#client = client;
    this.#address = address;
    this.#headers = headers;
  }

  /**
   * Asks one leaf; its frames go to `take` as they come. What `take` throws ends it.
   * Errors: the storage's, TimeoutError, the signal's reason, UnavailableError when the stream breaks.
   */
  async ask(question: LeafQuestion, limits: CallLimits, take: (frame: Uint8Array) => void): Promise<EvaluateSummary> {
    while (this.#running.size >= LEAVES_MAX) {
      checkLimits(limits, this.#address);
      await this.#turn(limits.signal);
    }
    try {
      return await this.#ask(question, limits, take);
    } finally {
      for (const wake of this.#waiting) {
        wake();
        break;
      }
    }
  }

  /** Settles when it is this leaf's turn, or when its signal aborts. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      onAbort(signal, wake);
    });
  }

  /** Takes no more leaves; the storage ends the stream once it has answered. */
  close(): void {
    this.#isClosed = true;
    this.#stream?.end();
  }

  #ask(question: LeafQuestion, limits: CallLimits, take: (frame: Uint8Array) => void): Promise<EvaluateSummary> {
    return new Promise((resolve, reject) => {
      checkLimits(limits, this.#address);
      if (this.#isClosed) throw new UnavailableError(`cannot ask ${this.#address}: got a closed connection`);
      const { signal, deadlineMs } = limits;
      const isEndless = deadlineMs === Number.POSITIVE_INFINITY;
      const timeoutMs = isEndless ? 0 : Math.min(deadlineMs - Date.now(), DEADLINE_AFTER_MAX_MS);
      const call = this.#nextCall();
      const request = encodeRequest(question, call, timeoutMs);
      if (request.length > MESSAGE_BYTES_MAX) {
        const want = `want at most ${MESSAGE_BYTES_MAX}`;
        throw new InvalidError(`cannot ask ${this.#address}: got a question of ${request.length} bytes; ${want}`);
      }
      const stream = this.#open();
      let timer: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#running.delete(call);
      };
      const giveUp = (error: unknown): void => {
        end();
        if (stream === this.#stream && !stream.writableEnded)
          stream.write(contracts().evaluateRequest.serialize({ ...CANCEL, call }));
        reject(error);
      };
      const abort = (): void => giveUp(abortError(signal!, this.#address));
      onAbort(signal, abort);
      if (!isEndless) timer = setTimeout(() => giveUp(tooLate(this.#address)), timeoutMs);
      this.#running.set(call, {
        take: (frame) => {
          try {
            take(frame);
          } catch (error) {
            giveUp(error);
          }
        },
        resolve: (summary) => {
          end();
          resolve(summary);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      });
      stream.write(request);
    });
  }

  #nextCall(): number {
    do this.#lastCall = (this.#lastCall + 1) >>> 0;
    while (this.#running.has(this.#lastCall));
    return this.#lastCall;
  }

  #open(): ClientDuplexStream<Buffer, EvaluateReply> {
    if (this.#stream !== undefined) return this.#stream;
    const { path, requestSerialize, responseDeserialize } = contracts().query.Evaluate;
    const stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#headers());
    stream.on("data", (reply: EvaluateReply) => this.#onReply(reply));
    stream.on("error", (error: ServiceError) => this.#broke(stream, errorOfStatus(error, this.#address)));
    stream.on("end", () => this.#broke(stream, incomplete(this.#address)));
    this.#stream = stream;
    return stream;
  }

  #onReply({ call, frame, summary, failure }: EvaluateReply): void {
    // Of a leaf that nobody waits for any more, something may still have been under way.
    const leaf = this.#running.get(call);
    if (leaf === undefined) return;
    if (failure !== null) {
      leaf.reject(errorOfFailure(failure));
      return;
    }
    if (frame.length > 0) leaf.take(frame);
    if (summary !== null && this.#running.has(call)) leaf.resolve(summary);
  }

  /** All that run on a stream end with it. */
  #broke(stream: ClientDuplexStream<Buffer, EvaluateReply>, error: AppError): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    for (const leaf of [...this.#running.values()]) leaf.reject(error);
  }
}

/** The leaf is one field, encoded apart: fields of a message may stand in any order. */
function encodeRequest({ leaf, ...limits }: LeafQuestion, call: number, timeoutMs: number): Buffer {
  const { serialize } = contracts().evaluateRequest;
  let encoded = encodedLeaves.get(leaf);
  if (encoded === undefined) {
    encoded = serialize({ leaf: leafToMessage(leaf) } as EvaluateRequest);
    encodedLeaves.set(leaf, encoded);
  }
  return Buffer.concat([serialize({ ...limits, call, timeoutMs, leaf: null, cancel: false }), encoded]);
}

function tooLate(address: string): TimeoutError {
  return new TimeoutError(`cannot wait for ${address}: got no answer before the deadline; want a longer timeout`);
}

function incomplete(address: string): UnavailableError {
  return new UnavailableError(`cannot use answer of ${address}: got no end of it; want a complete one`);
}
