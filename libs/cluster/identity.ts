// libs/cluster/identity.ts: a cluster's id and hash seed from its name.
// Storage nodes that start with the same name agree without having met: with a static list nobody could hand out a drawn
// seed. A node keeps both in its data directory; the name only matters when the directory is created.
import { createHash } from "node:crypto";
import { InvalidError } from "../model/index.ts";

export const DEFAULT_CLUSTER = "tidemark";
const CLUSTER_FORM = /^[A-Za-z0-9._-]{1,64}$/;

/** Id (the name and eight hex digits) and 16-byte hash seed. Errors: InvalidError for a malformed name. */
export function clusterIdentity(name: string): { readonly clusterId: string; readonly hashSeed: Uint8Array } {
  if (!CLUSTER_FORM.test(name)) {
    throw new InvalidError(
      `cannot use --cluster: got ${JSON.stringify(name.slice(0, 80))}; want 1 to 64 of A-Z a-z 0-9 . _ -`,
    );
  }
  const digest = createHash("sha256").update(`tidemark cluster, version 1\n${name}`).digest();
  return { clusterId: `${name}-${digest.toString("hex", 16, 20)}`, hashSeed: new Uint8Array(digest.subarray(0, 16)) };
}
