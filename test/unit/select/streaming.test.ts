// test/unit/select/streaming.test.ts: long answers leave as they are rendered: nothing holds the whole of their JSON, nothing leaves before
// the evaluation has succeeded, and what fails afterwards never looks like an answer.
import { request } from "node:http";
import { connect } from "node:net";
import { Writable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { ExecutionError, type StepColumn } from "../../../libs/model/index.ts";
import type { QueryValue } from "../../../libs/promql/index.ts";
import { createLog, type HttpServer, Lifecycle, listenHttp } from "../../../libs/runtime/index.ts";
import { renderResult } from "../../../services/select/json.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { openSelect } from "./select-server.ts";

const STEPS = 1000;
const SERIES = 4000;
const VALUES = Float64Array.from({ length: STEPS }, (_, i) => i / 3);
/** 100 MB of JSON in 1,500 chunks; little memory, because all series have the same values. */
const VALUE: QueryValue = {
  type: "matrix",
  grid: { startMs: 0, stepMs: 1000, count: STEPS },
  columns: Array.from(
    { length: SERIES },
    (_, i): StepColumn => ({ labels: ["i", `${i}`], values: VALUES, present: null }),
  ),
};
const CHUNKS = 1500;

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.close(100);
  server = undefined;
});

/** A server whose answer tells how many of its chunks were made, and fails behind some when it should. */
async function serve(options: { failAfter?: number; stallMs?: number } = {}): Promise<{ made: number }> {
  const state = { made: 0 };
  const { failAfter = Number.POSITIVE_INFINITY, stallMs = 60_000 } = options;
  function* chunks(): Generator<Uint8Array> {
    for (const chunk of renderResult(VALUE, "", { warnings: [], infos: [] })) {
      if (state.made >= failAfter) throw new ExecutionError("cannot go on");
      state.made++;
      yield chunk;
    }
  }
  const lifecycle = new Lifecycle();
  lifecycle.becomeReady();
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  server = await listenHttp({
    ...{ listen: { host: "127.0.0.1", port: 0 }, lifecycle, version: "9", connectionsMax: 10, stallMs },
    log: createLog({ format: "json", level: "error", service: "test", stream }),
    routes: [
      {
        ...{ methods: ["GET"], pattern: "/long", needsEngine: true },
        handle: (exchange) => exchange.stream(200, "application/json", chunks()),
      },
    ],
  });
  return state;
}

const until = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 1000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
};

/** A client that sends its request and reads nothing until it is told to. */
function reluctantClient(): { readAll: () => Promise<number> } {
  const { host, port } = server!.address;
  const socket = connect(port, host);
  let bytes = 0;
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(`GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return {
    readAll: () =>
      new Promise((resolve) => {
        socket.on("data", (part) => {
          bytes += part.length;
        });
        socket.on("close", () => resolve(bytes));
        socket.resume();
      }),
  };
}

describe("a long answer", () => {
  test("is rendered no faster than its client reads", async () => {
    const state = await serve();
    const client = reluctantClient();
    let before = -1;
    await until(() => {
      const still = state.made > 0 && state.made === before;
      before = state.made;
      return still;
    });
    // 64 KiB a chunk; sockets hold some megabytes.
    expect(state.made).toBeLessThan(CHUNKS / 4);
    expect(await client.readAll()).toBeGreaterThan(80e6);
    expect(state.made).toBeGreaterThan(CHUNKS - 300);
  });

  test("is let go when its client takes nothing for long", async () => {
    const state = await serve({ stallMs: 100 });
    const client = reluctantClient();
    await until(() => state.made > 0 && server!.stats.inFlight === 0);
    expect(state.made).toBeLessThan(CHUNKS / 4);
    expect(await client.readAll()).toBeLessThan(80e6);
  });

  test.each([{}, { "Accept-Encoding": "gzip" }])("that fails in the middle breaks off: %j", async (headers) => {
    await serve({ failAfter: 30 });
    const { body, complete } = await new Promise<{ body: Buffer; complete: boolean }>((resolve, reject) => {
      const outgoing = request({ ...server!.address, path: "/long", headers }, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", () => undefined);
        response.on("close", () => resolve({ body: Buffer.concat(parts), complete: response.complete }));
      });
      outgoing.on("error", reject);
      outgoing.end();
    });
    expect(complete).toBe(false);
    if ("Accept-Encoding" in headers) expect(() => gunzipSync(body)).toThrow();
    else expect(() => JSON.parse(body.toString())).toThrow();
  });

  test("that fails before its first byte is an error with its status", async () => {
    const storage = new MemoryQueryable();
    storage.evaluate = () => Promise.reject(new ExecutionError("cannot begin"));
    const select = await openSelect({ queryable: () => storage });
    const { status, body } = await select.ask("/api/v1/query_range?query=m&start=0&end=9&step=1");
    await select.close();
    expect([status, JSON.parse(body.toString())]).toEqual([
      422,
      { status: "error", errorType: "execution", error: "cannot begin" },
    ]);
  });
});
