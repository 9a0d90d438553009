// test/unit/select/level-parameter.test.ts: a query's `level` over HTTP and over gRPC: down to the storage's leaf, and its infos back up.
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Leaf, LeafResult } from "../../../libs/model/index.ts";
import { connectQuery, serveStorage } from "../../../libs/rpc/index.ts";
import { createLog, type HttpServer, Lifecycle, listenHttp } from "../../../libs/runtime/index.ts";
import { createSelectApi } from "../../../services/select/index.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { WIDE } from "./select-server.ts";

/** Remembers the leaves it is asked for, and finds that samples have expired. */
class Storage extends MemoryQueryable {
  readonly leaves: Leaf[] = [];

  override async evaluate(leaf: Leaf): Promise<LeafResult> {
    this.leaves.push(leaf);
    const values = new Float64Array(leaf.grid.count).fill(1);
    const notes = [{ kind: "expired_to_1h", metric: "", aggregated: false, count: 1 }] as const;
    return { columns: [{ labels: [], values, present: null }], seriesCount: 1, samplesRead: 1, warnings: [], notes };
  }
}

const storage = new Storage();
const closing: (() => Promise<void> | void)[] = [];
let server: HttpServer;

beforeAll(async () => {
  const memory = new MemoryEngine();
  const engine = { identity: memory.identity, openSession: () => memory.openSession(), queryable: storage };
  const far = await serveStorage({ engine, listen: "127.0.0.1:0", stopTimeoutMs: 2000 });
  const client = connectQuery(far.address);
  const api = createSelectApi({
    queryable: () => client,
    nowMs: () => Date.now(),
    version: "9.9.9",
    lookbackMs: 300_000,
    experimental: false,
    ...WIDE,
    timeoutMs: 5000,
  });
  const lifecycle = new Lifecycle();
  lifecycle.becomeReady();
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const log = createLog({ format: "json", level: "error", service: "test", stream });
  const options = { listen: { host: "127.0.0.1", port: 0 }, lifecycle, log, version: "9.9.9", connectionsMax: 100 };
  server = await listenHttp({ ...options, routes: api.routes });
  closing.push(
    () => server.close(100),
    () => client.close(),
    () => far.close(),
  );
});

afterAll(async () => {
  for (const close of closing) await close();
});

async function ask(path: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const { host, port } = server.address;
  const response = await fetch(`http://${host}:${port}/api/v1/${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const INFO =
  "PromQL info: answered at a resolution of 1h: finer samples of a part of its range have expired, " +
  "and its windows are not made of whole rows";

test.each(["raw", "1m", "1h"])("level=%s is asked of the storage", async (level) => {
  const { status, body } = await ask(`query?query=rate(a_total[5m])&level=${level}`);
  expect([status, storage.leaves.at(-1)!.level]).toEqual([200, level]);
  expect(body.infos).toEqual([`${INFO} (1:6)`]);
  await ask(`query_range?query=sum(a)&start=0&end=60&step=60&level=${level}`);
  expect(storage.leaves.at(-1)).toMatchObject({ level, aggregation: { op: "sum" } });
});

test("auto, and nothing, leave the choice to the storage", async () => {
  for (const parameter of ["&level=auto", "&level=", ""]) {
    await ask(`query?query=a${parameter}`);
    expect(storage.leaves.at(-1)!.level).toBeUndefined();
  }
});

test("a range of samples carries its infos, too", async () => {
  const { body } = await ask("query?query=a[5m]&level=1h");
  expect(storage.leaves.at(-1)).toMatchObject({ level: "1h", rollup: "samples" });
  expect(body.infos).toEqual([`${INFO} (1:1)`]);
});

test("any other level is refused by name", async () => {
  const { status, body } = await ask("query?query=a&level=5m");
  expect(status).toBe(400);
  expect(body).toMatchObject({
    errorType: "bad_data",
    error: 'invalid parameter "level": got "5m"; want raw, 1m, 1h or auto',
  });
});
