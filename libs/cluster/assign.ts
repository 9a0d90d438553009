// libs/cluster/assign.ts: which nodes own which shard, from nothing but the list of nodes.
// Invariants: the same list in any order gives the same owners; a shard's owners are different nodes; no node has more than
// max(1.1 × mean, ⌈mean⌉) shards. Nodes are added one after another in natural order of their names (storage-9 before
// storage-10), each taking only its share: a node that comes last in that order, as a StatefulSet's next pod does, moves
// no more than that. The ring says which shards it takes. A node that sorts between others moves more: where nodes come
// and go, a placement with a memory decides, not this function.
import HashRing from "hashring";
import { InternalError, InvalidError, SHARDS_MAX } from "../model/index.ts";

/** Points of a node on the ring; the more, the more evenly preference is spread. */
const RING_POINTS = 100;

/**
 * Owners of every shard in order of rank: `owners[shard][rank]` is an index into `nodes`. There are
 * min(replicationFactor, nodes) ranks. Errors: InvalidError without a node, with a node twice, and for counts below 1.
 */
export function assignShards(nodes: readonly string[], shardCount: number, replicationFactor: number): Uint16Array[] {
  check(nodes, shardCount, replicationFactor);
  const order = nodes.map((_, i) => i).sort((a, b) => compareNatural(nodes[a]!, nodes[b]!));
  const preference = ringPreference(nodes, shardCount);
  const ranks = Math.min(replicationFactor, nodes.length);
  const owners = Array.from({ length: shardCount }, () => Uint16Array.from(order.slice(0, ranks)));
  const load = new Map(order.slice(0, ranks).map((node) => [node, shardCount]));
  for (let k = ranks; k < order.length; k++) {
    const newcomer = order[k]!;
    const eager = eagerness(preference, newcomer, new Set(order.slice(0, k)));
    const share = Math.floor((shardCount * ranks) / (k + 1));
    load.set(newcomer, 0);
    for (let taken = 0; taken < share; taken++) {
      const [donor, shard] = nextToTake(owners, eager, load, newcomer);
      owners[shard]![owners[shard]!.indexOf(donor)] = newcomer;
      load.set(donor, load.get(donor)! - 1);
    }
    load.set(newcomer, share);
  }
  return owners;
}

function check(nodes: readonly string[], shardCount: number, replicationFactor: number): void {
  const got = (what: string, want: string): InvalidError =>
    new InvalidError(`cannot assign shards: got ${what}; want ${want}`);
  if (nodes.length === 0) throw got("no node", "at least one");
  const twice = nodes.find((node, i) => nodes.indexOf(node) !== i);
  if (twice !== undefined) throw got(`node ${twice} twice`, "each node once");
  if (!Number.isInteger(shardCount) || shardCount < 1 || shardCount > SHARDS_MAX) {
    throw got(`${shardCount} shards`, `1 to ${SHARDS_MAX}`);
  }
  if (!Number.isInteger(replicationFactor) || replicationFactor < 1) {
    throw got(`replication factor ${replicationFactor}`, "1 or more");
  }
}

/** For each shard, all nodes (as indices) in the ring's order of preference. */
function ringPreference(nodes: readonly string[], shardCount: number): number[][] {
  const ring = new HashRing(Object.fromEntries(nodes.map((node) => [node, { vnodes: RING_POINTS }])), "md5");
  const index = new Map(nodes.map((node, i) => [node, i]));
  return Array.from({ length: shardCount }, (_, shard) =>
    ring.range(`shard-${shard}`, nodes.length).map((node) => index.get(node)!),
  );
}

/** Per shard, how many of `earlier` the ring prefers to the newcomer. Nodes that come later have no say. */
function eagerness(preference: readonly number[][], newcomer: number, earlier: ReadonlySet<number>): number[] {
  return preference.map((nodes) => {
    let before = 0;
    for (const node of nodes) {
      if (node === newcomer) break;
      if (earlier.has(node)) before++;
    }
    return before;
  });
}

/** The node with most shards that has one to give, and that of its shards which the newcomer comes first for. */
function nextToTake(
  owners: readonly Uint16Array[],
  eager: readonly number[],
  load: ReadonlyMap<number, number>,
  newcomer: number,
): [donor: number, shard: number] {
  const donors = [...load.keys()].filter((node) => node !== newcomer).sort((a, b) => load.get(b)! - load.get(a)!);
  for (const donor of donors) {
    let best = -1;
    for (let shard = 0; shard < owners.length; shard++) {
      const nodes = owners[shard]!;
      if (!nodes.includes(donor) || nodes.includes(newcomer)) continue;
      if (best < 0 || eager[shard]! < eager[best]!) best = shard;
    }
    if (best >= 0) return [donor, best];
  }
  throw new InternalError("invariant broken: a newcomer's share is smaller than the number of shards");
}

/** Compares names with runs of digits as numbers, whatever the locale. Unlike names never compare equal. */
export function compareNatural(a: string, b: string): number {
  const as = a.split(/(\d+)/);
  const bs = b.split(/(\d+)/);
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const x = as[i]!;
    const y = bs[i]!;
    // Odd places hold digits; long ones compare by length once leading zeros are gone.
    const p = i % 2 === 1 ? x.replace(/^0+(?=\d)/, "") : x;
    const q = i % 2 === 1 ? y.replace(/^0+(?=\d)/, "") : y;
    if (i % 2 === 1 && p.length !== q.length) return p.length - q.length;
    if (p !== q) return p < q ? -1 : 1;
  }
  return as.length - bs.length || (a < b ? -1 : a > b ? 1 : 0);
}
