// test/unit/rpc/ingest-network.test.ts: appends over loopback: coalescing, bounds, lost servers, stops, wrong peers.
import { createServer } from "node:net";
import { Metadata } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import {
  type IngestSession,
  InvalidError,
  labelsFromRecord,
  type StorageIdentity,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { callUnary } from "../../../libs/rpc/calls.ts";
import { openClient } from "../../../libs/rpc/channel.ts";
import { ClusterPin, connectIngest, type StorageServer, serveStorage } from "../../../libs/rpc/index.ts";
import { contracts } from "../../../libs/rpc/load.ts";
import { TENANT } from "../../contract/harness.ts";
import { register, rows, writeBatch } from "../../contract/ingest-batch.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { openProxy } from "./tcp-proxy.ts";

/** A durability that settles only when it is told to. */
class Gate {
  #waiting: (() => void)[] = [];
  readonly wait = (): Promise<void> => new Promise((resolve) => this.#waiting.push(resolve));
  get waiting(): number {
    return this.#waiting.length;
  }
  open(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(
  engine: MemoryEngine,
  options: Partial<Parameters<typeof serveStorage>[0]> = {},
): Promise<StorageServer> {
  const server = await serveStorage({ engine, listen: "127.0.0.1:0", stopTimeoutMs: 2_000, ...options });
  cleanups.push(() => server.close());
  return server;
}

const until = async (condition: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition(), what).toBe(true);
};

/** A batch with one new series and `padding` further samples of it. */
function batchOf(session: IngestSession, seq: number, padding = 0): Uint8Array {
  const labels = labelsFromRecord({ __name__: "m", i: `${seq}` });
  const samples = Array.from({ length: padding + 1 }, (_, i) => [seq, 1_000 + i, i + 1 / 3] as const);
  return writeBatch({ seq, registrations: [register(session.identity, seq, TENANT, labels)], ...rows(samples) });
}

describe("appends", () => {
  test("travel together while one is in flight, and at once when none is", async () => {
    const gate = new Gate();
    const engine = new MemoryEngine({ durable: gate.wait });
    const session = await connectIngest((await serve(engine)).address, { coalesceBytes: 10_000 }).connect();
    const acks = [session.append(batchOf(session, 1))];
    await until(() => engine.batchBytes.length === 1, "the first leaves at once");
    for (let seq = 2; seq <= 5; seq++) acks.push(session.append(batchOf(session, seq)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(engine.batchBytes.length).toBe(1);
    gate.open();
    await until(() => engine.batchBytes.length === 5, "an acknowledgement sends what waited");
    gate.open();
    const big = [6, 7, 8].map((seq) => batchOf(session, seq, 600));
    acks.push(session.append(batchOf(session, 9)));
    await until(() => engine.batchBytes.length === 6, "idle again");
    for (const batch of big) acks.push(session.append(batch));
    await until(() => engine.batchBytes.length === 8, "enough bytes leave without waiting");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(engine.batchBytes.length).toBe(8);
    gate.open();
    await until(() => gate.waiting === 1, "the last");
    gate.open();
    expect((await Promise.all(acks)).map((a) => a.seq)).toEqual([1, 2, 3, 4, 5, 9, 6, 7, 8]);
  });

  test("beyond the bytes in flight fail, and succeed after acknowledgements", async () => {
    const gate = new Gate();
    const engine = new MemoryEngine({ durable: gate.wait });
    const session = await connectIngest((await serve(engine)).address, { inFlightBytesMax: 20_000 }).connect();
    const first = session.append(batchOf(session, 1, 1_500));
    await expect(session.append(batchOf(session, 2, 1_500))).rejects.toThrow(/bytes in flight; want at most 20000/);
    await until(() => gate.waiting === 1, "the first arrived");
    gate.open();
    await first;
    // One batch alone may be larger than the bound.
    const second = session.append(batchOf(session, 3, 5_000));
    await until(() => gate.waiting === 1, "the large one arrived");
    gate.open();
    expect((await second).status).toBe("stored");
  });

  test("a storage reads no further than its own bound", async () => {
    const gate = new Gate();
    const engine = new MemoryEngine({ durable: gate.wait });
    const server = await serve(engine, { inFlightBytesMax: 100_000 });
    const sessions = await Promise.all([1, 2].map(() => connectIngest(server.address, { coalesceBytes: 1 }).connect()));
    const count = 60;
    const acks = sessions.flatMap((s) => Array.from({ length: count }, (_, i) => s.append(batchOf(s, i + 1, 2_000))));
    const read = (): number => engine.batchBytes.reduce((a, b) => a + b, 0);
    await until(() => read() >= 100_000, "the bound is reached");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(read()).toBeLessThan(200_000);
    const pump = setInterval(() => gate.open(), 5);
    const statuses = (await Promise.all(acks)).map((a) => a.status);
    clearInterval(pump);
    expect(statuses).toEqual(Array.from({ length: 2 * count }, () => "stored"));
  });

  test("large batches pass, too large ones are refused by name", async () => {
    const engine = new MemoryEngine();
    const session = await connectIngest((await serve(engine)).address).connect();
    const count = 600_000;
    const refs = Array.from({ length: count }, (_, i) => i + 1);
    const timesMs = refs.map(() => 5);
    const large = writeBatch({ seq: 1, refs, timesMs, values: new Float64Array(count).fill(1 / 3) });
    expect(large.length).toBeGreaterThan(4 << 20);
    const ack = await session.append(large);
    expect([ack.status, ack.unknownRefs.length, ack.unknownRefs[count - 1]]).toEqual(["unknown-refs", count, count]);
    const huge = new Uint8Array(40 << 20);
    huge.set(writeBatch({ seq: 2 }));
    new DataView(huge.buffer).setUint32(4, huge.length, true);
    await expect(session.append(huge)).rejects.toThrow(/cannot append batch: got 41943040 bytes; want at most/);
    expect((await session.append(writeBatch({ seq: 3 }))).status).toBe("stored");
  });

  test("a number in flight is not given twice", async () => {
    const gate = new Gate();
    const engine = new MemoryEngine({ durable: gate.wait });
    const session = await connectIngest((await serve(engine)).address).connect();
    const first = session.append(batchOf(session, 1));
    await expect(session.append(batchOf(session, 1))).rejects.toThrow(InvalidError);
    await until(() => gate.waiting === 1, "the first arrived");
    gate.open();
    await first;
  });

  test("what fails in the engine fails alone", async () => {
    let failures = 0;
    const engine = new MemoryEngine({
      durable: () =>
        failures-- > 0 ? Promise.reject(new UnavailableError("cannot append: got a full disk", 9)) : Promise.resolve(),
    });
    const session = await connectIngest((await serve(engine)).address).connect();
    failures = 1;
    const error = await session.append(batchOf(session, 1)).catch((e: unknown) => e);
    expect(error).toEqual(
      expect.objectContaining({
        reaction: "unavailable",
        retryAfterSeconds: 9,
        message: "cannot append: got a full disk",
      }),
    );
    failures = 1;
    await expect(session.appendMetadata([])).rejects.toThrow("full disk");
    expect((await session.append(batchOf(session, 2))).status).toBe("stored");
  });
});

describe("a server that goes", () => {
  test("stops gracefully: acknowledges what it read, then ends its streams", async () => {
    const gate = new Gate();
    const engine = new MemoryEngine({ durable: gate.wait });
    const server = await serve(engine);
    const session = await connectIngest(server.address).connect();
    const read = session.append(batchOf(session, 1));
    await until(() => gate.waiting === 1, "the batch arrived");
    const closed = server.close();
    const late = connectIngest(server.address, { connectTimeoutMs: 500 }).connect();
    await expect(late).rejects.toThrow(UnavailableError);
    const unread = session.append(batchOf(session, 2)).catch((e: unknown) => e);
    gate.open();
    expect((await read).status).toBe("stored");
    await closed;
    expect(await unread).toEqual(expect.objectContaining({ reaction: "unavailable" }));
    expect(engine.openSessions).toBe(0);
    await expect(session.append(batchOf(session, 3))).rejects.toThrow(UnavailableError);
    await session.close();
  });

  test("is cut off when it can't finish in time", async () => {
    const engine = new MemoryEngine({ durable: () => new Promise(() => undefined) });
    const server = await serve(engine, { stopTimeoutMs: 100 });
    const session = await connectIngest(server.address).connect();
    const pending = session.append(batchOf(session, 1)).catch((e: unknown) => e);
    await until(() => engine.batchBytes.length === 1, "the batch arrived");
    const startMs = performance.now();
    await server.close();
    const failure = await pending;
    expect(performance.now() - startMs).toBeLessThan(6_000);
    expect(failure).toEqual(expect.objectContaining({ reaction: "unavailable" }));
  });

  test("comes back at the same address: a new session, no old one", async () => {
    const engine = new MemoryEngine();
    const first = await serve(engine);
    const target = connectIngest(first.address);
    const session = await target.connect();
    await session.append(batchOf(session, 1));
    await first.close();
    await expect(session.append(batchOf(session, 2))).rejects.toThrow(UnavailableError);
    await expect(target.connect()).rejects.toThrow(UnavailableError);
    await serve(engine, { listen: first.address });
    const again = await target.connect();
    expect((await again.append(batchOf(again, 1))).status).toBe("stored");
    await again.close();
  });

  test("a client that vanishes leaves no session behind", async () => {
    const engine = new MemoryEngine();
    const server = await serve(engine);
    const client = openClient(server.address);
    const { path, requestSerialize, responseDeserialize } = contracts().ingest.Append;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    call.on("error", () => undefined);
    await until(() => engine.openSessions === 1, "the session opened");
    call.cancel();
    await until(() => engine.openSessions === 0, "the session closed");
    client.close();
  });

  test("a lost connection fails what is in flight; the session stays failed", async () => {
    const gate = new Gate();
    const engine = new MemoryEngine({ durable: gate.wait });
    const proxy = await openProxy((await serve(engine)).address);
    cleanups.push(() => proxy.close());
    const target = connectIngest(proxy.address);
    const session = await target.connect();
    const pending = session.append(batchOf(session, 1)).catch((e: unknown) => e);
    await until(() => gate.waiting === 1, "the batch arrived");
    proxy.cut();
    expect(await pending).toEqual(expect.objectContaining({ reaction: "unavailable" }));
    gate.open();
    await until(() => engine.openSessions === 0, "the storage closed the session");
    await expect(session.append(batchOf(session, 2))).rejects.toThrow(UnavailableError);
    const again = await target.connect();
    const stored = again.append(batchOf(again, 1));
    await until(() => gate.waiting === 1, "the batch arrived again");
    gate.open();
    expect((await stored).status).toBe("stored");
  });

  test("nobody there is unavailable, named and soon", async () => {
    const startMs = performance.now();
    const error = await connectIngest("127.0.0.1:1")
      .connect()
      .catch((e: unknown) => e as Error);
    expect(error).toBeInstanceOf(UnavailableError);
    expect((error as Error).message).toContain("127.0.0.1:1");
    expect(performance.now() - startMs).toBeLessThan(4_000);
  });

  test("somebody silent is unavailable after the connect timeout", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => silent.close());
    const { port } = silent.address() as { port: number };
    const target = connectIngest(`127.0.0.1:${port}`, { connectTimeoutMs: 200 });
    await expect(target.connect()).rejects.toThrow(/got no answer within 200 ms/);
  });
});

describe("wrong peers", () => {
  const wrong = (change: Partial<StorageIdentity>) => new MemoryEngine({ identity: change });

  test.each<readonly [string, Partial<StorageIdentity>, RegExp]>([
    ["another cluster", { clusterId: "cluster-b" }, /cluster cluster-a.* cluster cluster-b/],
    ["another hash seed", { hashSeed: new Uint8Array(16) }, /hash seed/],
    ["another shard count", { shardCount: 65 }, /64 shards.* 65 shards/],
  ])("%s is refused with a sentence", async (_, change, message) => {
    const pin = new ClusterPin();
    const first = await connectIngest((await serve(wrong({}))).address, { pin }).connect();
    const lines: unknown[] = [];
    const foreign = await serve(wrong(change), { log: { warn: (fields) => lines.push(fields) } });
    const error = await connectIngest(foreign.address, { pin })
      .connect()
      .catch((e: unknown) => e as Error);
    expect(error).toBeInstanceOf(UnavailableError);
    expect((error as Error).message).toMatch(message);
    expect(lines).toEqual([expect.objectContaining({ what: "handshake", reason: expect.stringMatching(message) })]);
    // What the refused storage says is not adopted; the known cluster goes on.
    expect((await first.append(writeBatch({ seq: 1 }))).status).toBe("stored");
    expect(pin.identity?.clusterId).toBe("cluster-a");
  });

  test("a storage that was replaced between handshake and stream refuses the stream", async () => {
    const server = await serve(wrong({ nodeId: "node-1" }));
    const client = openClient(server.address);
    cleanups.push(() => client.close());
    const headers = new Metadata();
    headers.set("tidemark-cluster", "cluster-a");
    headers.set("tidemark-node", "node-0");
    const { path, requestSerialize, responseDeserialize } = contracts().ingest.Append;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, headers);
    const error = await new Promise<{ code: number; details: string }>((resolve) => call.on("error", resolve as never));
    expect(error.code).toBe(14);
    expect(error.details).toMatch(/cannot serve .*: got a call for node "node-0"; want node node-1/);
  });

  test.each<readonly [string, { min: number; max: number }, { min: number; max: number }, boolean]>([
    ["N and N", { min: 1, max: 1 }, { min: 1, max: 1 }, true],
    ["an older insert", { min: 1, max: 1 }, { min: 1, max: 2 }, true],
    ["a newer insert", { min: 1, max: 2 }, { min: 1, max: 1 }, true],
    ["an insert too old", { min: 1, max: 1 }, { min: 2, max: 3 }, false],
    ["an insert too new", { min: 4, max: 5 }, { min: 2, max: 3 }, false],
  ])("versions: %s", async (_, client, server, works) => {
    const { address } = await serve(new MemoryEngine(), { versions: server });
    const connected = connectIngest(address, { versions: client }).connect();
    if (works) expect((await (await connected).append(writeBatch({ seq: 1 }))).status).toBe("stored");
    else await expect(connected).rejects.toThrow(/protocol versions/);
  });

  test("the handshake says who, which versions and which epoch", async () => {
    const engine = new MemoryEngine();
    const { address } = await serve(engine, { epoch: () => 2 ** 40 });
    const client = openClient(address);
    cleanups.push(() => client.close());
    const request = { versions: { min: 1, max: 1 }, expected: null };
    const limits = { deadlineMs: Date.now() + 5_000 };
    const reply = await callUnary(client, contracts().ingest.Handshake, request, new Metadata(), limits, address);
    expect(reply.epoch).toBe(2 ** 40);
    expect(reply.versions).toEqual({ min: 1, max: 1 });
    expect({ ...reply.identity, hashSeed: Uint8Array.from(reply.identity!.hashSeed) }).toEqual(engine.identity);
  });
});
