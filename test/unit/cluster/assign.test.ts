// test/unit/cluster/assign.test.ts: shards per node, and how few of them move.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assignShards, clusterIdentity, compareNatural } from "../../../libs/cluster/index.ts";
import { InvalidError } from "../../../libs/model/index.ts";

const pods = (n: number): string[] => Array.from({ length: n }, (_, i) => `storage-${i}.storage.svc:8400`);

/** Owners by name: shard → names in order of rank. */
function named(nodes: readonly string[], shards: number, rf: number): string[][] {
  return assignShards(nodes, shards, rf).map((owners) => [...owners].map((i) => nodes[i]!));
}

function loads(owners: readonly string[][]): Map<string, number> {
  const out = new Map<string, number>();
  for (const names of owners) for (const name of names) out.set(name, (out.get(name) ?? 0) + 1);
  return out;
}

/** Copies that the second assignment has and the first has not. */
function moved(from: readonly string[][], to: readonly string[][]): number {
  return to.reduce((sum, names, shard) => sum + names.filter((name) => !from[shard]!.includes(name)).length, 0);
}

const CASES: [shards: number, rf: number, nodesMax: number][] = [
  [64, 1, 16],
  [256, 1, 24],
  [256, 2, 16],
  [256, 3, 12],
  [7, 1, 9],
  [1, 1, 3],
];

describe("assignShards", () => {
  test.each(CASES)("%i shards × %i copies on up to %i nodes: bounded load, few moves", (shards, rf, nodesMax) => {
    let previous = named(pods(1), shards, rf);
    for (let n = 2; n <= nodesMax; n++) {
      const current = named(pods(n), shards, rf);
      const ranks = Math.min(rf, n);
      const mean = (shards * ranks) / n;
      const bound = Math.max(1.1 * mean, Math.ceil(mean));
      const byNode = loads(current);
      for (const [name, load] of byNode) expect(load, `${name} of ${n}`).toBeLessThanOrEqual(bound);
      if (shards >= n) expect(byNode.size).toBe(n);
      for (const owners of current) expect(new Set(owners).size).toBe(ranks);
      if (n > rf) expect(moved(previous, current), `${n - 1} → ${n} nodes`).toBeLessThanOrEqual(1.2 * mean);
      previous = current;
    }
  });

  test("the order of the list does not matter", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(pods(12), { minLength: 1 }), fc.integer({ min: 1, max: 3 }), (nodes, rf) => {
        expect(named(nodes, 64, rf)).toEqual(named([...nodes].sort(), 64, rf));
      }),
      { seed: 7, numRuns: 60 },
    );
  });

  test("names of any form", () => {
    const nodes = ["[::1]:8400", "local", "10.0.0.9:8400", "constructor:1", "größe:1"];
    expect([...loads(named(nodes, 64, 1)).keys()].sort()).toEqual([...nodes].sort());
  });

  test.each<[string[], number, number, string]>([
    [[], 64, 1, "no node"],
    [["a", "b", "a"], 64, 1, "node a twice"],
    [["a"], 0, 1, "0 shards"],
    [["a"], 65_537, 1, "65537 shards"],
    [["a"], 2.5, 1, "2.5 shards"],
    [["a"], 64, 0, "replication factor 0"],
  ])("%j, %d shards, %d copies is refused", (nodes, shards, rf, got) => {
    expect(() => assignShards(nodes, shards, rf)).toThrow(InvalidError);
    expect(() => assignShards(nodes, shards, rf)).toThrow(`got ${got};`);
  });
});

describe("compareNatural", () => {
  test.each<[string, string, number]>([
    ["a", "a", 0],
    ["a-2", "a-10", -1],
    ["a-02", "a-2", -1],
    ["10.0.0.9:1", "10.0.0.10:1", -1],
    ["a", "a1", -1],
    ["9".repeat(40), `1${"0".repeat(40)}`, -1],
    ["x9y", "x9z", -1],
  ])("%s against %s", (a, b, sign) => {
    expect(Math.sign(compareNatural(a, b))).toBe(sign);
    expect(Math.sign(compareNatural(b, a))).toBe(0 - sign);
  });

  test("is an order, and unlike names are never equal", () => {
    const name = fc.stringMatching(/^[a0-9.-]{0,6}$/);
    fc.assert(
      fc.property(name, name, name, (a, b, c) => {
        expect(compareNatural(a, b) === 0).toBe(a === b);
        const sorted = [a, b, c].sort(compareNatural);
        expect(compareNatural(sorted[0]!, sorted[2]!)).toBeLessThanOrEqual(0);
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });
});

describe("clusterIdentity", () => {
  test("is frozen", () => {
    const { clusterId, hashSeed } = clusterIdentity("tidemark");
    expect({ clusterId, hashSeed: Buffer.from(hashSeed).toString("hex") }).toMatchInlineSnapshot(`
      {
        "clusterId": "tidemark-34b5041f",
        "hashSeed": "c494dba8cfd2fad9e12ed5d616c03909",
      }
    `);
  });

  test("differs by name, and refuses names that a path could not hold", () => {
    expect(clusterIdentity("a").clusterId).not.toBe(clusterIdentity("b").clusterId);
    for (const name of ["", "a b", "a/b", "x".repeat(65)]) expect(() => clusterIdentity(name)).toThrow(InvalidError);
  });
});
