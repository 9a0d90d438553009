// test/unit/rpc/hostile-port.test.ts: what strangers do to the port: random bytes, TLS, broken HTTP/2, damaged
// messages. Nobody else notices, lines in the log are few, and the raised windows are what a peer sees.
import { connect as connectHttp2, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { Metadata } from "@grpc/grpc-js";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { IngestSession } from "../../../libs/model/index.ts";
import { openClient } from "../../../libs/rpc/channel.ts";
import {
  connectIngest,
  connectQuery,
  type RemoteQueryable,
  type StorageServer,
  serveStorage,
} from "../../../libs/rpc/index.ts";
import { contextOf } from "../../contract/harness.ts";
import { writeBatch } from "../../contract/ingest-batch.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const lines: unknown[] = [];
const engine = new MemoryEngine();
let server: StorageServer;
let session: IngestSession;
let client: RemoteQueryable;
let port: number;
let seq = 0;

beforeAll(async () => {
  server = await serveStorage({
    engine,
    listen: "127.0.0.1:0",
    log: { warn: (f) => lines.push(f) },
    stopTimeoutMs: 1_000,
  });
  port = Number(server.address.split(":")[1]);
  session = await connectIngest(server.address).connect();
  client = connectQuery(server.address);
});
afterAll(async () => {
  await session.close();
  client.close();
  await server.close();
});

/** The session and connection opened before all harm still work. */
async function nobodyNoticed(): Promise<void> {
  expect((await session.append(writeBatch({ seq: seq++ }))).status).toBe("stored");
  await client.labelNames([], { minMs: 0, maxMs: 1 }, 0, contextOf());
}

/** Sends bytes to the port and waits until the connection ends, at most 200 ms. */
function throwAt(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1", () => socket.write(bytes));
    const timer = setTimeout(() => socket.destroy(), 200);
    socket.on("error", () => undefined);
    socket.on("data", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

test("random bytes, with and without a preface", async () => {
  const random = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { seed: 4, numRuns: 300 });
  for (let i = 0; i < random.length; i += 25) {
    await Promise.all(
      random
        .slice(i, i + 25)
        .map((bytes, k) => throwAt(k % 2 === 0 ? Buffer.from(bytes) : Buffer.concat([PREFACE, bytes]))),
    );
  }
  await throwAt(Buffer.from("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
  await nobodyNoticed();
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.length).toBeLessThan(10);
}, 60_000);

test("TLS on a port without it", async () => {
  const error = await new Promise((resolve) => {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
    socket.on("error", resolve);
    socket.on("secureConnect", () => resolve(undefined));
  });
  expect(error).toBeInstanceOf(Error);
  await nobodyNoticed();
});

test("messages that are none, on every method", async () => {
  const stranger = openClient(server.address);
  const methods = [
    "Ingest/Handshake",
    "Ingest/Append",
    "Query/Evaluate",
    "Query/LabelValues",
    "Query/Status",
    "None/None",
  ];
  const identity = (bytes: Buffer): Buffer => bytes;
  const random = fc.sample(fc.uint8Array({ maxLength: 200 }), { seed: 5, numRuns: 200 });
  const codes = new Set<number>();
  for (const name of methods) {
    for (const bytes of random) {
      await new Promise<void>((resolve) => {
        const call = stranger.makeBidiStreamRequest(`/tidemark.v1.${name}`, identity, identity, new Metadata(), {
          deadline: Date.now() + 5_000,
        });
        call.on("data", () => undefined);
        call.on("error", () => undefined);
        call.on("status", ({ code }) => {
          codes.add(code);
          resolve();
        });
        call.write(Buffer.from(bytes));
        call.end();
      });
    }
  }
  stranger.close();
  expect(codes.has(4)).toBe(false);
  await nobodyNoticed();
  expect(engine.openSessions).toBe(1);
  expect(lines.length).toBeLessThan(20);
}, 60_000);

test("a message that says it is longer than any may be", async () => {
  const http2 = connectHttp2(`http://${server.address}`);
  const stream = http2.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/tidemark.v1.Ingest/Append",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const status = new Promise((resolve) => stream.on("trailers", (t) => resolve(t["grpc-status"])));
  stream.on("error", () => undefined);
  stream.resume();
  stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
  expect(await status).toBe("8");
  http2.destroy();
  await nobodyNoticed();
});

test("a peer sees the raised windows and the bound on streams", async () => {
  const http2 = connectHttp2(`http://${server.address}`);
  const settings = await new Promise<{ initialWindowSize?: number; maxConcurrentStreams?: number }>((resolve) =>
    http2.once("remoteSettings", resolve),
  );
  expect(settings.initialWindowSize).toBe(4 << 20);
  expect(settings.maxConcurrentStreams).toBe(1024);
  await new Promise<void>((resolve, reject) => http2.ping((error) => (error ? reject(error) : resolve())));
  expect(http2.state.remoteWindowSize).toBe(8 << 20);
  http2.destroy();
});
