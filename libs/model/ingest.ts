// libs/model/ingest.ts: the seam between insert and storage: columnar batches in, one acknowledgement per batch out.
// In one process and over gRPC the same bytes cross it. Batch layout: libs/kernel/FORMAT.md, "Ingest batch".

/** What an insert must know of a storage before it can name series to it. */
export interface StorageIdentity {
  readonly clusterId: string;
  readonly nodeId: string;
  /** 16 bytes, drawn once per cluster; keys the series id hash. */
  readonly hashSeed: Uint8Array;
  readonly shardCount: number;
}

/** Why samples of a batch were not stored although the batch as a whole was well-formed. Never retried. */
export type RejectionReason =
  | "future" // later than now + --max-future
  | "too-old" // older than raw retention
  | "series-limit" // a new series beyond --series-max or the head's memory
  | "id-collision"; // a series id that meets other labels

export interface Rejection {
  readonly reason: RejectionReason;
  /** Samples refused for this reason. */
  readonly count: number;
  /** One sentence with the bounds or the limit's name, for the client. */
  readonly text: string;
}

export interface BatchAck {
  readonly seq: number;
  /**
   * "stored": all samples but the rejected ones are durable (after fdatasync).
   * "unknown-refs": nothing was stored; `unknownRefs` are references (or id-only registrations) to resend with labels.
   */
  readonly status: "stored" | "unknown-refs";
  readonly unknownRefs: Uint32Array;
  readonly rejections: readonly Rejection[];
}

/** What a side batch may hold beside start times. */
export type SideKind = "histogram" | "exemplar";

/** What of a side batch was not stored although it was well-formed. Never retried. */
export interface SideRejection extends Rejection {
  readonly kind: SideKind;
}

/** Everything else of the batch is durable. */
export interface SideAck {
  readonly rejections: readonly SideRejection[];
}

/**
 * One connection of one insert to one storage, with a dictionary of its own: reference → series. Batches are applied in
 * the order of `append` calls; the promise settles when the batch is durable.
 * A batch's memory is the caller's again as soon as `append` returns.
 * Errors: InvalidError for a malformed batch (our bug), UnavailableError when time may cure it.
 */
export interface IngestSession {
  readonly identity: StorageIdentity;
  append(batch: Uint8Array): Promise<BatchAck>;
  /** Metric family metadata, durable when the promise settles. */
  appendMetadata(entries: readonly MetadataEntry[]): Promise<void>;
  /**
   * A side batch (libs/side/FORMAT.md): histograms, exemplars and start times, with the keys of their series, so that it needs no
   * reference. Durable when the promise settles. Errors: as append.
   */
  appendSide(batch: Uint8Array): Promise<SideAck>;
  /** Settles, without an error, once the session takes no more batches because its connection is gone. */
  readonly closed?: Promise<void>;
  close(): Promise<void>;
}

/** Something an insert can connect to: a storage in this process or an address. */
export interface IngestTarget {
  readonly address: string;
  connect(): Promise<IngestSession>;
}

export type MetricType =
  | "counter"
  | "gauge"
  | "histogram"
  | "gaugehistogram"
  | "summary"
  | "info"
  | "stateset"
  | "unknown";

export interface MetadataEntry {
  readonly tenant: string;
  readonly family: string;
  readonly type: MetricType;
  readonly help: string;
  readonly unit: string;
}
