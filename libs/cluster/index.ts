// libs/cluster/index.ts: who owns what, and what a cluster is called.
export { assignShards, compareNatural } from "./assign.ts";
export { clusterIdentity, DEFAULT_CLUSTER } from "./identity.ts";
