// libs/rpc/index.ts: what other folders may use of the network.
export type { CallLimits } from "./calls.ts";
export type { TlsMaterial } from "./channel.ts";
export type { StorageEngine } from "./engine.ts";
export type { WarningLog } from "./failure-log.ts";
export { BATCH_BYTES_MAX, connectIngest, type IngestClientOptions } from "./ingest-client.ts";
export { ClusterPin, type PeerStatus, PROTOCOL_VERSIONS, type VersionRange } from "./peer.ts";
export { connectQuery, type QueryClientOptions, type RemoteQueryable } from "./query-client.ts";
export { type ServeOptions, type StorageServer, serveStorage } from "./serve.ts";
