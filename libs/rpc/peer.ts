// libs/rpc/peer.ts: whom to talk to: protocol versions and cluster identity, checked on both ends of every call.
// Invariant: data never crosses between nodes of unlike cluster id, hash seed or shard count.
import { Metadata } from "@grpc/grpc-js";
import { InternalError, type StorageIdentity, UnavailableError } from "../model/index.ts";
import type { HandshakeReply, IdentityMessage, VersionsMessage } from "./messages.ts";

const CLUSTER_HEADER = "tidemark-cluster";
const NODE_HEADER = "tidemark-node";
const VERSIONS_HEADER = "tidemark-versions";

/** A wrong peer stays wrong until someone changes a configuration. */
const WRONG_PEER_RETRY_SECONDS = 30;

/** Protocol versions, both ends included. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/** What this code speaks. A release speaks its own version and the one before it, so that N and N + 1 run mixed. */
export const PROTOCOL_VERSIONS: VersionRange = { min: 1, max: 1 };

/** What a storage says of itself when a connection begins. */
export interface PeerStatus {
  readonly identity: StorageIdentity;
  /** The protocol version both sides use. */
  readonly version: number;
  /** The placement's epoch; 0 for a static list of storages. */
  readonly epoch: number;
}

/** The highest version that both speak. Errors: UnavailableError that names both ranges. */
export function negotiate(ours: VersionRange, theirs: VersionRange, peer: string): number {
  const version = Math.min(ours.max, theirs.max);
  if (version >= Math.max(ours.min, theirs.min)) return version;
  throw new UnavailableError(
    `cannot talk to ${peer}: got protocol versions ${theirs.min} to ${theirs.max}; want one of ${ours.min} to ${ours.max}`,
    WRONG_PEER_RETRY_SECONDS,
  );
}

/**
 * The one cluster that a process talks to. The first storage it meets sets it; every later one must agree. Share one
 * pin between all connections of a process.
 */
export class ClusterPin {
  #identity: StorageIdentity | undefined;
  #setBy = "";

  get identity(): StorageIdentity | undefined {
    return this.#identity;
  }

  /** Accepts a storage or throws UnavailableError with a sentence that names both sides. */
  accept(identity: StorageIdentity, address: string): void {
    if (this.#identity === undefined) {
      this.#identity = identity;
      this.#setBy = address;
      return;
    }
    const difference = differenceOf(this.#identity, identity);
    if (difference === undefined) return;
    throw new UnavailableError(
      `cannot use storage at ${address}: got ${difference[1]}; want ${difference[0]} as at ${this.#setBy}`,
      WRONG_PEER_RETRY_SECONDS,
    );
  }
}

/** What tells two clusters apart, as words for each; undefined for the same cluster. */
function differenceOf(one: StorageIdentity, other: StorageIdentity): readonly [string, string] | undefined {
  if (one.clusterId !== other.clusterId) return [`cluster ${one.clusterId}`, `cluster ${other.clusterId}`];
  if (Buffer.compare(one.hashSeed, other.hashSeed) !== 0) return ["its hash seed", "another hash seed"];
  if (one.shardCount !== other.shardCount) return [`${one.shardCount} shards`, `${other.shardCount} shards`];
  return undefined;
}

/** Server side of the handshake: refuses a caller that expects another cluster. */
export function checkExpected(expected: IdentityMessage | null, identity: StorageIdentity, address: string): void {
  if (expected === null || expected.clusterId === "") return;
  const difference = differenceOf(expected, identity);
  if (difference === undefined) return;
  throw new UnavailableError(
    `cannot serve ${address}: got a caller of ${difference[0]}; want ${difference[1]} of this storage`,
    WRONG_PEER_RETRY_SECONDS,
  );
}

/** Reads a storage's handshake or status. Errors: UnavailableError for one that makes no sense or has no version. */
export function peerStatus(reply: HandshakeReply, ours: VersionRange, address: string): PeerStatus {
  const { identity, versions, epoch } = reply;
  if (identity === null || versions === null || identity.clusterId === "" || identity.hashSeed.length !== 16) {
    throw new UnavailableError(`cannot use storage at ${address}: got no identity; want a Tidemark storage`);
  }
  return {
    identity: { ...identity, hashSeed: Uint8Array.from(identity.hashSeed) },
    version: negotiate(ours, versions, address),
    epoch,
  };
}

/** The headers by which a call says what it expects of the storage. */
export function callHeaders(versions: VersionsMessage, clusterId: string, nodeId = ""): Metadata {
  const headers = new Metadata();
  headers.set(VERSIONS_HEADER, `${versions.min}-${versions.max}`);
  if (clusterId !== "") headers.set(CLUSTER_HEADER, clusterId);
  if (nodeId !== "") headers.set(NODE_HEADER, nodeId);
  return headers;
}

/**
 * Server side of callHeaders: refuses what was meant for another cluster or node, or speaks no version of ours.
 * Without headers (a foreign tool) the call is taken as meant for us. Errors: UnavailableError.
 */
export function checkHeaders(headers: Metadata, identity: StorageIdentity, ours: VersionRange, peer: string): void {
  const versions = /^(\d{1,9})-(\d{1,9})$/.exec(headerOf(headers, VERSIONS_HEADER));
  if (versions !== null) negotiate(ours, { min: Number(versions[1]), max: Number(versions[2]) }, peer);
  for (const [header, noun, own] of [
    [CLUSTER_HEADER, "cluster", identity.clusterId],
    [NODE_HEADER, "node", identity.nodeId],
  ] as const) {
    const meant = headerOf(headers, header);
    if (meant === "" || meant === own) continue;
    throw new UnavailableError(
      `cannot serve ${peer}: got a call for ${noun} ${JSON.stringify(meant.slice(0, 80))}; want ${noun} ${own}`,
      WRONG_PEER_RETRY_SECONDS,
    );
  }
}

function headerOf(headers: Metadata, name: string): string {
  return String(headers.get(name)[0] ?? "");
}

const HEADER_SAFE = /^[\x21-\x7e]{1,128}$/;

/** Checks that an identity can travel in headers and keys ids. Errors: InternalError. */
export function checkIdentity(identity: StorageIdentity): void {
  for (const [field, value] of [
    ["cluster id", identity.clusterId],
    ["node id", identity.nodeId],
  ] as const) {
    if (!HEADER_SAFE.test(value)) {
      throw new InternalError(
        `cannot serve as ${field} ${JSON.stringify(value)}; want 1 to 128 visible ASCII characters`,
      );
    }
  }
  if (identity.hashSeed.length !== 16) {
    throw new InternalError(`cannot serve with a hash seed of ${identity.hashSeed.length} bytes; want 16`);
  }
}
