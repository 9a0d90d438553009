// libs/rpc/engine.ts: what the network needs of a storage engine. The network knows no engine, engines no network.
import type { Deletable, IngestSession, Queryable, StorageIdentity } from "../model/index.ts";

export interface StorageEngine {
  readonly identity: StorageIdentity;
  /** A session with an empty dictionary of its own. */
  openSession(): IngestSession;
  readonly queryable: Queryable;
  /** Absent where series must not be deleted. */
  readonly deletable?: Deletable | undefined;
}
