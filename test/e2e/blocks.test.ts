// test/e2e/blocks.test.ts: status/tsdb/blocks of one process and of a cluster: blocks that have series of the tenant, as Prometheus tells of its.
import { describe, expect, test } from "vitest";
import { ulidOf } from "../../services/select/blocks-endpoint.ts";
import { load, presentMinute, SCRAPES, serveAll, serveCluster, worldSeries } from "./api-world.ts";

interface Meta {
  readonly ulid: string;
  readonly minTime: number;
  readonly maxTime: number;
  readonly stats: Readonly<Record<string, number>>;
  readonly compaction: { readonly level: number; readonly sources: readonly string[] };
  readonly version: number;
}

async function blocksOf(base: string, path = ""): Promise<Meta[]> {
  const response = await fetch(`${base}${path}/api/v1/status/tsdb/blocks`);
  const { status, data } = (await response.json()) as { status: string; data: { blocks: Meta[] } };
  expect([response.status, status]).toEqual([200, "success"]);
  return data.blocks;
}

describe.each([
  ["one process", () => serveAll({ enableAdminApi: "true" })],
  ["a cluster", serveCluster],
] as const)("%s", (_, serve) => {
  test("tells of its blocks", async () => {
    const served = await serve();
    try {
      expect(await blocksOf(served.url)).toEqual([]);
      const endS = presentMinute();
      const world = worldSeries(endS);
      await load(served.writes, world);
      for (const storage of served.storages) {
        expect((await fetch(`${storage}/api/v1/admin/flush`, { method: "POST" })).status).toBe(200);
      }
      const blocks = await blocksOf(served.url);
      const sum = (field: string): number => blocks.reduce((total, { stats }) => total + stats[field]!, 0);
      // A series may be in the blocks of two windows, and of two days.
      expect(sum("numSeries")).toBeGreaterThanOrEqual(world.length);
      expect(sum("numSamples")).toBe(world.reduce((total, { times }) => total + times.length, 0));
      for (const { ulid, minTime, maxTime, compaction, version } of blocks) {
        expect(ulid).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
        expect([compaction, version]).toEqual([{ level: 1, sources: [ulid] }, 1]);
        expect(maxTime).toBeGreaterThan(minTime);
        expect(minTime).toBeLessThanOrEqual(endS * 1000);
        expect(maxTime).toBeGreaterThan((endS - SCRAPES * 15) * 1000);
      }
      const times = blocks.map(({ minTime }) => minTime);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      expect(await blocksOf(served.url, "/select/other/prometheus")).toEqual([]);
    } finally {
      await served.stop();
    }
  }, 60_000);
});

test("ids as ULIDs", () => {
  expect(ulidOf("0".repeat(32))).toBe("0".repeat(26));
  expect(ulidOf("f".repeat(32))).toBe(`7${"Z".repeat(25)}`);
  expect(ulidOf("0000000000000000000000000000001f")).toBe(`${"0".repeat(25)}Z`);
});
