// test/unit/insert/engine.test.ts: insert in front of the real storage engine, in process and over gRPC: what is written can be read,
// restarts on either side cost no series and no labels, and no batch is larger than a small storage takes.
import { afterEach, describe, expect, test } from "vitest";
import { clusterIdentity } from "../../../libs/cluster/index.ts";
import { nodeClock, SeededRandom, SimFileSystem } from "../../../libs/env/index.ts";
import type { IngestTarget, StepColumn } from "../../../libs/model/index.ts";
import { ClusterPin, connectIngest, type StorageServer, serveStorage } from "../../../libs/rpc/index.ts";
import { Db } from "../../../libs/tsdb/index.ts";
import { IngestHandler, type WriteReply } from "../../../services/insert/index.ts";
import { compress, labels, messageV1, messageV2, type SeriesSpec, V1_TYPE, V2_TYPE } from "./remote-write.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const now = Date.now() - 60_000;

/** A storage that can be restarted on the same simulated disk, at the same port. */
class Storage {
  db!: Db;
  server: StorageServer | undefined;
  private readonly fs = new SimFileSystem();
  private readonly headMemoryBytes: number;
  private readonly overNetwork: boolean;
  private listen = "127.0.0.1:0";

  constructor(overNetwork: boolean, headMemoryBytes: number) {
    this.overNetwork = overNetwork;
    this.headMemoryBytes = headMemoryBytes;
  }

  async start(): Promise<void> {
    this.db = await Db.open({
      ...clusterIdentity("tidemark"),
      dataDir: "/data",
      fs: this.fs,
      clock: nodeClock,
      random: new SeededRandom(2),
      processes: { pid: 1, host: "sim", startOf: () => undefined },
      shardCount: 16,
      headMemoryBytes: this.headMemoryBytes,
      retentionMs: 30 * 86_400_000,
      maxFutureMs: 600_000,
      seriesMax: 100_000,
      walMode: "inline",
    });
    if (!this.overNetwork) return;
    this.server = await serveStorage({ engine: this.db, listen: this.listen, stopTimeoutMs: 2_000 });
    this.listen = `127.0.0.1:${this.server.address.split(":").at(-1)}`;
  }

  async stop(): Promise<void> {
    await this.server?.close();
    await this.db.close();
  }

  target(pin: ClusterPin): IngestTarget {
    if (this.overNetwork) return connectIngest(this.listen, { pin });
    return { address: "local", connect: async () => this.db.openSession() };
  }
}

async function write(insert: IngestHandler, version: 1 | 2, series: readonly SeriesSpec[]): Promise<WriteReply> {
  const body = compress(version === 1 ? messageV1(series) : messageV2(series));
  return insert.write({ tenant: "t", contentType: version === 1 ? V1_TYPE : V2_TYPE, contentEncoding: "snappy", body });
}

/** Like a client that comes again on 503. */
async function writeUntilTaken(
  insert: IngestHandler,
  version: 1 | 2,
  series: readonly SeriesSpec[],
): Promise<WriteReply> {
  for (let attempt = 0; ; attempt++) {
    const reply = await write(insert, version, series);
    if (reply.status !== 503 || attempt === 200) return reply;
    await nodeClock.sleep(25);
  }
}

async function open(
  overNetwork: boolean,
  headMemoryBytes = 64 << 20,
): Promise<{ storage: Storage; insert: () => Promise<IngestHandler> }> {
  const storage = new Storage(overNetwork, headMemoryBytes);
  await storage.start();
  cleanups.push(() => storage.stop());
  const insert = async (): Promise<IngestHandler> => {
    const handler = new IngestHandler({
      targets: [storage.target(new ClusterPin())],
      random: new SeededRandom(3),
      limits: { seriesCacheMax: 100_000 },
    });
    cleanups.push(() => handler.close(1_000));
    while (!handler.isReady) await nodeClock.sleep(5);
    return handler;
  };
  return { storage, insert };
}

/** Counts of samples per series by the label `i`. */
async function counts(db: Db): Promise<Map<string, number>> {
  const { columns } = await db.queryable.evaluate(
    {
      matchers: [{ type: "=", name: "__name__", value: "m" }],
      grid: { startMs: now + 3_600_000, stepMs: 1_000, count: 1 },
      rollup: "count_over_time",
      rangeMs: 2 * 86_400_000,
      offsetMs: 0,
      args: [],
      dropName: false,
    },
    { tenant: "t", signal: new AbortController().signal, deadlineMs: Date.now() + 60_000, samplesMax: 1e9 },
  );
  return new Map(columns.map((c: StepColumn) => [c.labels[c.labels.indexOf("i") + 1]!, c.values[0]!]));
}

const seriesOf = (count: number, time: number, pad = ""): SeriesSpec[] =>
  Array.from({ length: count }, (_, i) => ({
    labels: labels("m", { i: String(i), job: "j", instance: `h${i % 7}`, ...(pad === "" ? {} : { pad }) }),
    samples: [[i, time]],
  }));

describe.each([
  ["in process", false],
  ["over gRPC", true],
])("%s", (_, overNetwork) => {
  test("written once is read once, over restarts of insert and of storage", async () => {
    const { storage, insert } = await open(overNetwork);
    const first = await insert();
    expect((await write(first, 1, seriesOf(500, now))).status).toBe(204);
    expect((await write(first, 2, seriesOf(500, now + 1))).status).toBe(204);
    expect((await write(await insert(), 2, seriesOf(500, now + 2))).status).toBe(204);
    await storage.stop();
    await storage.start();
    expect((await writeUntilTaken(first, 1, seriesOf(500, now + 3))).status).toBe(204);
    const read = await counts(storage.db);
    expect(read.size).toBe(500);
    expect(new Set(read.values())).toEqual(new Set([4]));
    expect(first.owners[0]!.connections).toBeGreaterThanOrEqual(2);
    expect(first.owners[0]!.relabelled).toBe(0);
  });

  test("a storage with little memory takes requests of many samples and long labels", async () => {
    const { storage, insert } = await open(overNetwork, 16 << 20);
    const handler = await insert();
    const many = Array.from(
      { length: 3 },
      (_, s): SeriesSpec => ({
        labels: labels("m", { i: `long${s}` }),
        samples: Array.from({ length: 20_000 }, (_, k) => [k, now - 20_000 + k] as const),
      }),
    );
    expect(await write(handler, 1, many)).toMatchObject({ status: 204, text: "" });
    const wide = seriesOf(400, now, "x".repeat(1_500));
    expect(await write(handler, 2, wide)).toMatchObject({ status: 204, text: "" });
    const read = await counts(storage.db);
    expect([read.get("long0"), read.get("long2"), read.get("0"), read.size]).toEqual([20_000, 20_000, 1, 403]);
  });

  test("a storage that lost its disk asks for labels, in batches that it can take", async () => {
    const { storage, insert } = await open(overNetwork, 16 << 20);
    const handler = await insert();
    const wide = seriesOf(400, now, "x".repeat(1_500));
    expect((await write(handler, 1, wide)).status).toBe(204);
    const address = storage.server === undefined ? "" : storage.server.address;
    await storage.stop();
    const fresh = new Storage(overNetwork, 16 << 20);
    Object.assign(fresh, { listen: address === "" ? "127.0.0.1:0" : `127.0.0.1:${address.split(":").at(-1)}` });
    await fresh.start();
    cleanups.push(() => fresh.stop());
    storage.db = fresh.db;
    const reply = await writeUntilTaken(handler, 1, seriesOf(400, now + 1, "x".repeat(1_500)));
    expect(reply).toMatchObject({ status: 204, text: "" });
    expect((await counts(fresh.db)).size).toBe(400);
  });

  test("what storage refuses is counted and told", async () => {
    const { storage, insert } = await open(overNetwork);
    const handler = await insert();
    const series = [
      ...seriesOf(3, now),
      {
        labels: labels("m", { i: "far" }),
        samples: [
          [1, now + 86_400_000 * 400],
          [1, now],
        ] as const,
      },
    ];
    const reply = await write(handler, 2, series);
    expect([reply.status, reply.headers[1], reply.text]).toEqual([
      400,
      "4",
      expect.stringContaining("1 sample: out of bounds"),
    ]);
    expect((await counts(storage.db)).size).toBe(4);
  });
});
