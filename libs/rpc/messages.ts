// libs/rpc/messages.ts: the messages of proto/*.proto as the loader gives and takes them.
// Invariant: same names (in camelCase) and meaning as in proto/; fields that a peer did not send have their defaults.

import type { BlockFacts } from "../model/index.ts";

export interface IdentityMessage {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly hashSeed: Uint8Array;
  readonly shardCount: number;
}

export interface VersionsMessage {
  readonly min: number;
  readonly max: number;
}

export interface FailureMessage {
  readonly reaction: string;
  readonly text: string;
  readonly limit: string;
  readonly concurrency: boolean;
  readonly retryAfterSeconds: number;
  readonly path: string;
  readonly offset: number;
}

export interface HandshakeRequest {
  readonly versions: VersionsMessage | null;
  readonly expected: IdentityMessage | null;
}

export interface HandshakeReply {
  readonly versions: VersionsMessage | null;
  readonly identity: IdentityMessage | null;
  readonly epoch: number;
}

export interface MetadataMessage {
  readonly tenant: string;
  readonly family: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string;
}

export interface MetadataBatch {
  readonly seq: number;
  readonly entries: readonly MetadataMessage[];
}

export interface SideBatchMessage {
  readonly seq: number;
  readonly batch: Uint8Array;
}

export interface AppendRequest {
  readonly batches: Uint8Array;
  readonly metadata: MetadataBatch | null;
  readonly side: SideBatchMessage | null;
}

export interface RejectionMessage {
  readonly reason: string;
  readonly count: number;
  readonly text: string;
}

export interface BatchOutcome {
  readonly seq: number;
  readonly unknownRefs: readonly number[];
  readonly rejections: readonly RejectionMessage[];
  readonly failure: FailureMessage | null;
}

export interface MetadataOutcome {
  readonly seq: number;
  readonly failure: FailureMessage | null;
}

export interface SideRejectionMessage extends RejectionMessage {
  readonly kind: string;
}

export interface SideOutcome {
  readonly seq: number;
  readonly rejections: readonly SideRejectionMessage[];
  readonly failure: FailureMessage | null;
}

export interface AppendReply {
  readonly stored: readonly number[];
  readonly outcomes: readonly BatchOutcome[];
  readonly metadata: readonly MetadataOutcome[];
  readonly side: readonly SideOutcome[];
}

export interface MatcherMessage {
  readonly type: string;
  readonly name: string;
  readonly value: string;
}

export interface ArgumentMessage {
  /** Which of the two is set. */
  readonly form?: "scalar" | "column";
  readonly scalar?: number;
  readonly column?: Uint8Array;
}

export interface AggregationMessage {
  readonly op: string;
  readonly without: boolean;
  readonly labels: readonly string[];
}

export interface LeafMessage {
  readonly matchers: readonly MatcherMessage[];
  readonly startMs: number;
  readonly stepMs: number;
  readonly stepCount: number;
  readonly rollup: string;
  readonly rangeMs: number;
  readonly offsetMs: number;
  readonly arguments: readonly ArgumentMessage[];
  readonly dropName: boolean;
  readonly aggregation: AggregationMessage | null;
  readonly useStarts: boolean;
  readonly countsOnly: boolean;
  /** "" for a query that doesn't say. */
  readonly level: string;
}

export interface EvaluateRequest {
  readonly tenant: string;
  readonly samplesMax: number;
  readonly leaf: LeafMessage | null;
  readonly seriesMax: number;
  readonly bytesMax: number;
  readonly call: number;
  readonly timeoutMs: number;
  readonly cancel: boolean;
}

export interface NoteMessage {
  readonly kind: string;
  readonly metric: string;
  readonly aggregated: boolean;
  readonly count: number;
}

export interface EvaluateSummary {
  readonly seriesCount: number;
  readonly samplesRead: number;
  readonly warnings: readonly string[];
  readonly notes: readonly NoteMessage[];
}

export interface EvaluateReply {
  readonly frame: Uint8Array;
  readonly summary: EvaluateSummary | null;
  readonly call: number;
  readonly failure: FailureMessage | null;
}

export interface RawSamplesRequest {
  readonly tenant: string;
  readonly samplesMax: number;
  readonly matchers: readonly MatcherMessage[];
  readonly minMs: number;
  readonly maxMs: number;
  readonly seriesMax: number;
}

export interface RawSamplesReply {
  readonly frame: Uint8Array;
  readonly more: boolean;
  readonly complete: boolean;
}

export interface LookupRequest {
  readonly tenant: string;
  readonly sets: readonly { readonly matchers: readonly MatcherMessage[] }[];
  readonly minMs: number;
  readonly maxMs: number;
  readonly limit: number;
  readonly name: string;
  readonly samplesMax: number;
  readonly seriesMax: number;
  readonly bytesMax: number;
}

export interface StringsReply {
  readonly values: readonly string[];
}

export interface SeriesReply {
  readonly frame: Uint8Array;
}

export interface MetadataRequest {
  readonly tenant: string;
  readonly family: string;
}

export interface MetadataReply {
  readonly entries: readonly MetadataMessage[];
}

export interface ExemplarMessage {
  readonly labels: readonly string[];
  readonly value: number;
  readonly timeMs: number;
}

export interface SeriesExemplarsMessage {
  readonly labels: readonly string[];
  readonly exemplars: readonly ExemplarMessage[];
}

export interface ExemplarsReply {
  readonly series: readonly SeriesExemplarsMessage[];
}

export interface DeleteSeriesRequest {
  readonly tenant: string;
  readonly id: string;
  readonly sets: readonly { readonly matchers: readonly MatcherMessage[] }[];
  readonly selectors: readonly string[];
  readonly minMs: number;
  readonly maxMs: number;
}

export interface StatisticsRequest {
  readonly tenant: string;
  readonly limit: number;
}

export interface CountMessage {
  readonly list: string;
  readonly name: string;
  readonly value: number;
  readonly hashes: Uint8Array;
}

export interface StatisticsTotals {
  readonly seriesCount: number;
  readonly labelPairs: CountMessage | null;
  readonly chunkCount: number;
  readonly minMs: number;
  readonly maxMs: number;
}

export interface UndeleteRequest {
  readonly tenant: string;
  readonly id: string;
}

export interface ListDeletionsRequest {
  readonly tenant: string;
}

export type CleanTombstonesRequest = Record<string, never>;

export interface DeletionMessage {
  readonly id: string;
  readonly tenant: string;
  readonly selectors: readonly string[];
  readonly minMs: number;
  readonly maxMs: number;
  readonly madeMs: number;
  readonly series: number;
  readonly undoUntilMs: number;
}

export interface DeletionsReply {
  readonly deletions: readonly DeletionMessage[];
}

export interface StatisticsReply {
  readonly counts: readonly CountMessage[];
  readonly totals: StatisticsTotals | null;
}

export interface BlocksRequest {
  readonly tenant: string;
}

export interface BlocksReply {
  readonly blocks: readonly BlockFacts[];
}

export type StatusRequest = Record<string, never>;
export type StatusReply = HandshakeReply;
