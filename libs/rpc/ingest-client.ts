// libs/rpc/ingest-client.ts: an IngestTarget behind an address: one connection, one stream, one dictionary per session.
// Invariants: batches leave in the order of `append`; memory is bounded by bytes in flight, which acknowledgements
// free; a session that failed once stays failed, and its owner connects anew with an empty dictionary.
import type { Client, ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import { Gather, nodeClock } from "../env/index.ts";
import {
  type AppError,
  type BatchAck,
  type IngestSession,
  type IngestTarget,
  InvalidError,
  type MetadataEntry,
  type RejectionReason,
  type SideAck,
  type SideKind,
  type StorageIdentity,
  TimeoutError,
  UnavailableError,
} from "../model/index.ts";
import { callUnary } from "./calls.ts";
import { MESSAGE_BYTES_MAX, openClient, type TlsMaterial } from "./channel.ts";
import {
  AppendRequestBuilder,
  batchSeq,
  checkBatch,
  encodeMetadataRequest,
  encodeSideRequest,
} from "./ingest-codec.ts";
import { contracts } from "./load.ts";
import type { AppendReply, SideRejectionMessage } from "./messages.ts";
import { ClusterPin, callHeaders, type PeerStatus, PROTOCOL_VERSIONS, peerStatus, type VersionRange } from "./peer.ts";
import { errorOfFailure, errorOfStatus } from "./status.ts";

/** A batch this long surely fits into a message. */
export const BATCH_BYTES_MAX = MESSAGE_BYTES_MAX - 1024;

export interface IngestClientOptions {
  /** Shared by all connections of a process, so that they can only be of one cluster. */
  readonly pin?: ClusterPin;
  readonly tls?: TlsMaterial;
  /** A message leaves when its batches reach this, or at once when none is in flight. */
  readonly coalesceBytes?: number;
  /** Batches not yet acknowledged, in bytes; beyond it `append` fails with UnavailableError. */
  readonly inFlightBytesMax?: number;
  readonly connectTimeoutMs?: number;
  readonly versions?: VersionRange;
}

const COALESCE_BYTES = 64 << 10;
const IN_FLIGHT_BYTES_MAX = 64 << 20;
const CONNECT_TIMEOUT_MS = 5_000;

/** The storage at `address` (HOST:PORT) as an IngestTarget. Nothing is opened before `connect`. */
export function connectIngest(address: string, options: IngestClientOptions = {}): IngestTarget {
  const pin = options.pin ?? new ClusterPin();
  return { address, connect: () => connect(address, pin, options) };
}

async function connect(address: string, pin: ClusterPin, options: IngestClientOptions): Promise<IngestSession> {
  const versions = options.versions ?? PROTOCOL_VERSIONS;
  const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const deadlineMs = Date.now() + timeoutMs;
  const client = openClient(address, options.tls);
  try {
    const request = { versions, expected: pin.identity ?? null };
    const reply = await callUnary(
      client,
      contracts().ingest.Handshake,
      request,
      callHeaders(versions, ""),
      { deadlineMs },
      address,
    );
    const peer = peerStatus(reply, versions, address);
    pin.accept(peer.identity, address);
    const headers = callHeaders(versions, peer.identity.clusterId, peer.identity.nodeId);
    const session = new RemoteIngestSession(client, address, peer, headers, options);
    await session.opened(deadlineMs);
    return session;
  } catch (error) {
    client.close();
    if (!(error instanceof TimeoutError)) throw error;
    throw new UnavailableError(`cannot reach storage at ${address}: got no answer within ${timeoutMs} ms; want one`);
  }
}

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: AppError) => void;
}

interface PendingBatch extends Waiter<BatchAck> {
  readonly bytes: number;
}

const NO_REFS = new Uint32Array(0);

class RemoteIngestSession implements IngestSession {
  readonly identity: StorageIdentity;
  readonly peer: PeerStatus;
  readonly closed: Promise<void>;
  readonly #client: Client;
  readonly #address: string;
  readonly #call: ClientDuplexStream<Buffer, AppendReply>;
  readonly #coalesceBytes: number;
  readonly #inFlightBytesMax: number;
  /** Batches not acknowledged, by seq. */
  readonly #batches = new Map<number, PendingBatch>();
  readonly #metadata = new Map<number, Waiter<void>>();
  readonly #side = new Map<number, Waiter<SideAck>>();
  readonly #builder: AppendRequestBuilder;
  readonly #gather = new Gather(nodeClock);
  #sentAtMs = 0;
  /** Batches acknowledged since nothing was in flight. */
  #acknowledged = 0;
  #metadataSeq = 0;
  #sideSeq = 0;
  /** Bytes of batches written to the stream and not acknowledged. */
  #sentBytes = 0;
  #sendPlanned = false;
  #failure: AppError | undefined;
  #closing: Promise<void> | undefined;
  /** Called whenever the last pending answer has come, or the session has failed. */
  #onIdle: (() => void) | undefined;
  #settleClosed: () => void = () => {};

  constructor(client: Client, address: string, peer: PeerStatus, headers: Metadata, options: IngestClientOptions) {
    this.identity = peer.identity;
    this.peer = peer;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#client = client;
    this.#address = address;
    this.#coalesceBytes = options.coalesceBytes ?? COALESCE_BYTES;
    this.#inFlightBytesMax = options.inFlightBytesMax ?? IN_FLIGHT_BYTES_MAX;
    this.#builder = new AppendRequestBuilder(this.#coalesceBytes + (32 << 10));
    const { path, requestSerialize, responseDeserialize } = contracts().ingest.Append;
    this.#call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, headers);
    this.#call.on("data", (reply: AppendReply) => this.#onReply(reply));
    this.#call.on("error", (error: ServiceError) => this.#fail(errorOfStatus(error, address)));
    this.#call.on("end", () =>
      this.#fail(new UnavailableError(`cannot append at ${address}: got the end of the stream`)),
    );
  }

  /** Settles when the storage has accepted the stream. */
  opened(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(new TimeoutError("no answer")), Math.max(0, deadlineMs - Date.now()));
      this.#onIdle = () => {
        clearTimeout(timer);
        reject(this.#failure);
      };
      this.#call.once("metadata", () => {
        clearTimeout(timer);
        this.#onIdle = undefined;
        resolve();
      });
      if (this.#failure !== undefined) this.#onIdle();
    });
  }

  append(batch: Uint8Array): Promise<BatchAck> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      checkBatch(batch);
      const bytes = batch.length;
      const seq = batchSeq(batch);
      if (bytes > BATCH_BYTES_MAX) {
        throw new InvalidError(`cannot append batch: got ${bytes} bytes; want at most ${BATCH_BYTES_MAX}`);
      }
      if (this.#batches.has(seq)) {
        throw new InvalidError(`cannot append batch: got seq ${seq} while it is in flight; want a number of its own`);
      }
      const inFlight = this.#sentBytes + this.#builder.byteLength;
      if (inFlight > 0 && inFlight + bytes > this.#inFlightBytesMax) {
        throw new UnavailableError(
          `cannot append at ${this.#address}: got ${inFlight} bytes in flight; want at most ${this.#inFlightBytesMax} with this batch`,
        );
      }
      if (this.#builder.byteLength + bytes > BATCH_BYTES_MAX) this.#send();
      this.#batches.set(seq, { resolve, reject, bytes });
      this.#builder.add(batch);
      if (this.#builder.byteLength >= this.#coalesceBytes) this.#send();
      else if (this.#sentBytes === 0) {
        this.#gather.arrived(this.#batches.size);
        this.#planSend();
      }
    });
  }

  appendMetadata(entries: readonly MetadataEntry[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      this.#metadataSeq = (this.#metadataSeq + 1) >>> 0;
      const request = encodeMetadataRequest(this.#metadataSeq, entries);
      if (request.length > MESSAGE_BYTES_MAX) {
        throw new InvalidError(
          `cannot append metadata: got ${request.length} bytes; want at most ${MESSAGE_BYTES_MAX}`,
        );
      }
      this.#metadata.set(this.#metadataSeq, { resolve, reject });
      this.#call.write(request);
    });
  }

  appendSide(batch: Uint8Array): Promise<SideAck> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      this.#sideSeq = (this.#sideSeq + 1) >>> 0;
      const request = encodeSideRequest(this.#sideSeq, batch);
      if (request.length > MESSAGE_BYTES_MAX) {
        throw new InvalidError(
          `cannot append side batch: got ${request.length} bytes; want at most ${MESSAGE_BYTES_MAX}`,
        );
      }
      this.#side.set(this.#sideSeq, { resolve, reject });
      this.#call.write(request);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#builder.byteLength > 0 && this.#failure === undefined) this.#send();
    if (!this.#isIdle) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#call.once("close", resolve);
        this.#call.once("end", resolve);
        this.#call.once("error", () => resolve());
        this.#call.end();
      });
    }
    this.#fail(new UnavailableError(`cannot append at ${this.#address}: got a closed session`));
  }

  get #isIdle(): boolean {
    return this.#failure !== undefined || this.#batches.size + this.#metadata.size + this.#side.size === 0;
  }

  #checkOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) {
      throw new UnavailableError(`cannot append at ${this.#address}: got a closed session`);
    }
  }

  /** Sends when the caller's turn has ended and the writers of the last message are back, so that batches travel together. */
  async #planSend(): Promise<void> {
    if (this.#sendPlanned) return;
    this.#sendPlanned = true;
    await undefined;
    await this.#gather.company(this.#batches.size);
    this.#sendPlanned = false;
    if (this.#sentBytes === 0 && this.#builder.byteLength > 0 && this.#failure === undefined) this.#send();
  }

  /** Writes what was collected. The stream's own buffer needs no bound: bytes in flight are bounded. */
  #send(): void {
    if (this.#sentBytes === 0) this.#sentAtMs = nodeClock.monotonicMs();
    this.#sentBytes += this.#builder.byteLength;
    this.#call.write(this.#builder.take());
  }

  #onReply(reply: AppendReply): void {
    const before = this.#batches.size;
    for (const seq of reply.stored) {
      this.#takeBatch(seq)?.resolve({ seq, status: "stored", unknownRefs: NO_REFS, rejections: [] });
    }
    for (const { seq, unknownRefs, rejections, failure } of reply.outcomes) {
      const pending = this.#takeBatch(seq);
      if (failure !== null) pending?.reject(errorOfFailure(failure));
      else {
        pending?.resolve({
          seq,
          status: unknownRefs.length > 0 ? "unknown-refs" : "stored",
          unknownRefs: Uint32Array.from(unknownRefs),
          rejections: rejections.map((r) => ({ ...r, reason: r.reason as RejectionReason })),
        });
      }
    }
    for (const { seq, failure } of reply.metadata) {
      const waiter = this.#metadata.get(seq);
      this.#metadata.delete(seq);
      if (failure !== null) waiter?.reject(errorOfFailure(failure));
      else waiter?.resolve();
    }
    for (const { seq, rejections, failure } of reply.side) {
      const waiter = this.#side.get(seq);
      this.#side.delete(seq);
      if (failure !== null) waiter?.reject(errorOfFailure(failure));
      else waiter?.resolve({ rejections: rejections.map(rejectionOf) });
    }
    const waiting = this.#batches.size;
    this.#acknowledged += before - waiting;
    if (this.#sentBytes === 0 && before > waiting) {
      this.#gather.committed(this.#acknowledged, waiting, nodeClock.monotonicMs() - this.#sentAtMs);
      this.#acknowledged = 0;
      if (waiting > 0) this.#planSend();
    }
    if (this.#isIdle) this.#onIdle?.();
  }

  #takeBatch(seq: number): PendingBatch | undefined {
    const pending = this.#batches.get(seq);
    this.#batches.delete(seq);
    this.#sentBytes -= pending?.bytes ?? 0;
    return pending;
  }

  /** Ends the session. What is pending may or may not be stored; sending it again is harmless. */
  #fail(cause: AppError): void {
    if (this.#failure !== undefined) return;
    const failure =
      cause.reaction === "unavailable" || cause.reaction === "timeout"
        ? cause
        : new UnavailableError(`cannot append at ${this.#address}: ${cause.message}`, 1, { cause });
    this.#failure = failure;
    for (const { reject } of this.#batches.values()) reject(failure);
    for (const { reject } of this.#metadata.values()) reject(failure);
    for (const { reject } of this.#side.values()) reject(failure);
    this.#batches.clear();
    this.#metadata.clear();
    this.#side.clear();
    this.#call.cancel();
    this.#client.close();
    this.#onIdle?.();
    this.#settleClosed();
  }
}

function rejectionOf({ kind, reason, count, text }: SideRejectionMessage): SideAck["rejections"][number] {
  return { kind: kind as SideKind, reason: reason as RejectionReason, count, text };
}
