// libs/rpc/ingest-codec.ts: append requests: ingest batches back to back in one `bytes` field, or metadata.
// Invariant: batches are opaque here but for magic, length and seq (libs/kernel/FORMAT.md, "Ingest batch").
import { InvalidError, type MetadataEntry, type MetricType } from "../model/index.ts";
import { BYTES_HEADER_MAX, splitBytesMessage, writeBytesHeader } from "./bytes-message.ts";
import { contracts } from "./load.ts";
import type { AppendRequest, MetadataMessage } from "./messages.ts";

const BATCH_MAGIC = 0x31424d54;
export const BATCH_HEADER_BYTES = 32;

const EMPTY = Buffer.alloc(0);

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** The number of a batch in its session. */
export function batchSeq(batch: Uint8Array): number {
  return readU32(batch, 8);
}

/** The length of the batch that begins at `at`. Errors: InvalidError unless it is one that ends within `bytes`. */
function batchLength(bytes: Uint8Array, at: number): number {
  const rest = bytes.length - at;
  if (rest < BATCH_HEADER_BYTES) {
    throw new InvalidError(`cannot read ingest batch: got ${rest} bytes; want at least ${BATCH_HEADER_BYTES}`);
  }
  const magic = readU32(bytes, at);
  if (magic !== BATCH_MAGIC) {
    throw new InvalidError(
      `cannot read ingest batch: got magic 0x${magic.toString(16)}; want 0x${BATCH_MAGIC.toString(16)}`,
    );
  }
  const length = readU32(bytes, at + 4);
  if (length < BATCH_HEADER_BYTES || length > rest) {
    throw new InvalidError(`cannot read ingest batch: got length ${length}; want ${BATCH_HEADER_BYTES} to ${rest}`);
  }
  return length;
}

/** Checks that `batch` is exactly one batch by its header. Errors: InvalidError. */
export function checkBatch(batch: Uint8Array): void {
  const length = batchLength(batch, 0);
  if (length !== batch.length) {
    throw new InvalidError(`cannot read ingest batch: got ${batch.length} bytes for length ${length}; want the same`);
  }
}

/**
 * Views of the batches in `bytes`, in order; plain Uint8Arrays, because a Buffer's `slice` copies nothing.
 * Errors: InvalidError when they don't fill it exactly.
 */
export function splitBatches(bytes: Uint8Array): Uint8Array[] {
  const batches: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = batchLength(bytes, at);
    batches.push(new Uint8Array(bytes.buffer, bytes.byteOffset + at, length));
    at += length;
  }
  return batches;
}

/** Collects batches in the memory of the request that will carry them. */
export class AppendRequestBuilder {
  readonly #bytesUsual: number;
  #buffer: Buffer;
  #end = BYTES_HEADER_MAX;

  /** @param bytesUsual what a request usually holds; more makes its memory grow */
  constructor(bytesUsual: number) {
    this.#bytesUsual = bytesUsual;
    this.#buffer = EMPTY;
  }

  /** Bytes of batches collected. */
  get byteLength(): number {
    return this.#end - BYTES_HEADER_MAX;
  }

  /** Adds a copy of a batch. */
  add(batch: Uint8Array): void {
    const need = this.#end + batch.length;
    if (need > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(need, this.#bytesUsual, 2 * this.#buffer.length));
      grown.set(this.#buffer.subarray(0, this.#end));
      this.#buffer = grown;
    }
    this.#buffer.set(batch, this.#end);
    this.#end = need;
  }

  /** The encoded request; the builder is empty afterwards. */
  take(): Buffer {
    const start = writeBytesHeader(this.#buffer, BYTES_HEADER_MAX, this.byteLength);
    const request = this.#buffer.subarray(start, this.#end);
    this.#buffer = EMPTY;
    this.#end = BYTES_HEADER_MAX;
    return request;
  }
}

/** An encoded request of metadata. */
export function encodeMetadataRequest(seq: number, entries: readonly MetadataEntry[]): Buffer {
  return contracts().appendRequest.serialize({ metadata: { seq, entries } } as AppendRequest);
}

/** An encoded request of a side batch. */
export function encodeSideRequest(seq: number, batch: Uint8Array): Buffer {
  return contracts().appendRequest.serialize({ side: { seq, batch } } as AppendRequest);
}

/** Decodes any append request; batches are a view. Errors: InvalidError for bytes that are no such message. */
export function decodeAppendRequest(bytes: Buffer): AppendRequest {
  const split = splitBytesMessage(bytes);
  if (split !== undefined && split.rest.length === 0) return { batches: split.payload, metadata: null, side: null };
  try {
    return contracts().appendRequest.deserialize(bytes);
  } catch (cause) {
    throw new InvalidError(`cannot read append request: got ${bytes.length} bytes that are no such message`, { cause });
  }
}

const METRIC_TYPES: ReadonlySet<string> = new Set<MetricType>([
  "counter",
  "gauge",
  "histogram",
  "gaugehistogram",
  "summary",
  "info",
  "stateset",
  "unknown",
]);

/** Metadata from the wire; a type that this version doesn't know is "unknown". */
export function metadataEntry({ tenant, family, type, help, unit }: MetadataMessage): MetadataEntry {
  return { tenant, family, help, unit, type: METRIC_TYPES.has(type) ? (type as MetricType) : "unknown" };
}
