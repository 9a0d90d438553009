// test/unit/select/process-endpoints.test.ts: what a process tells about itself, before and after its engine is open.
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  createLog,
  type ExposedFamily,
  formatHostPort,
  type HttpServer,
  Lifecycle,
  listenHttp,
} from "../../../libs/runtime/index.ts";
import { createSelectApi } from "../../../services/select/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { WIDE } from "./select-server.ts";

const START_MS = 1_700_000_000_250;
let nowMs = START_MS;
let segment = 0;
let server: HttpServer;
const lifecycle = new Lifecycle();

const FAMILIES: readonly ExposedFamily[] = [
  { name: "a_total", help: "A.", type: "counter", values: [{ name: "a_total", labels: {}, value: 3 }] },
  {
    name: "b",
    help: "B.",
    type: "gauge",
    values: [
      { name: "b", labels: { z: "1", k: "x" }, value: Number.NaN },
      { name: "b", labels: { k: "y" }, value: Number.NEGATIVE_INFINITY },
    ],
  },
  {
    name: "h",
    help: "H.",
    type: "histogram",
    values: [
      { name: "h_bucket", labels: { le: "0.5", k: "x" }, value: 1 },
      { name: "h_bucket", labels: { le: "+Inf", k: "x" }, value: 2 },
      { name: "h_sum", labels: { k: "x" }, value: 1.5 },
      { name: "h_count", labels: { k: "x" }, value: 2 },
    ],
  },
  {
    name: "s",
    help: "S.",
    type: "summary",
    values: [
      { name: "s", labels: { quantile: "0.5" }, value: 4 },
      { name: "s_sum", labels: {}, value: 9 },
      { name: "s_count", labels: {}, value: 2 },
    ],
  },
];

beforeAll(async () => {
  const api = createSelectApi({
    ...{ queryable: () => new MemoryQueryable(), nowMs: () => nowMs, version: "9.9.9", lookbackMs: 300_000 },
    ...WIDE,
    ...{ experimental: true, bodyMaxBytes: 4096, timeoutMs: 400, concurrency: 2, queueMax: 1, samplesMax: 1000 },
    facts: {
      flags: { "query-timeout": "90s", "data-dir": "./d", shards: "64" },
      retention: "30d",
      damages: () => 3,
      walSegment: () => segment,
      acceptsWrites: true,
      selfMetrics: () => Promise.resolve(FAMILIES),
    },
  });
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const log = createLog({ format: "json", level: "error", service: "test", stream });
  const listen = { host: "127.0.0.1", port: 0 };
  server = await listenHttp({ listen, lifecycle, log, version: "9.9.9", connectionsMax: 100, routes: api.routes });
});
afterAll(() => server.close(100));

async function ask(path: string): Promise<{ status: number; data: unknown }> {
  const response = await fetch(`http://${formatHostPort(server.address)}/api/v1/${path}`);
  const text = await response.text();
  return { status: response.status, data: text.startsWith("{") ? JSON.parse(text).data : text };
}

test("what may be asked while the engine opens", async () => {
  expect(await ask("status/walreplay")).toEqual({ status: 200, data: { min: 0, max: 0, current: 0 } });
  expect(await ask("notifications")).toEqual({ status: 200, data: [] });
  expect(await ask("notifications/live")).toEqual({ status: 204, data: "" });
  expect((await ask("status/runtimeinfo")).status).toBe(503);
  lifecycle.becomeReady();
  segment = 7;
  expect(await ask("status/walreplay")).toEqual({ status: 200, data: { min: 0, max: 7, current: 7 } });
});

test("flags, ours and those that Prometheus has names for", async () => {
  const flags = {
    ...{ "data-dir": "./d", "query-timeout": "90s", shards: "64" },
    ...{ "query.timeout": "90s", "storage.tsdb.path": "./d", "web.enable-remote-write-receiver": "true" },
  };
  expect(await ask("status/flags")).toEqual({ status: 200, data: flags });
});

test("the configuration, as far as Prometheus' file has words for it", async () => {
  const yaml = "global:\n  external_labels: {}\nstorage:\n  tsdb:\n    retention:\n      time: 30d\n";
  expect(await ask("status/config")).toEqual({ status: 200, data: { yaml } });
});

test("the process", async () => {
  nowMs = START_MS + 5750;
  const { data } = await ask("status/runtimeinfo");
  expect(data).toMatchObject({
    ...{ startTime: "2023-11-14T22:13:20.25Z", lastConfigTime: "2023-11-14T22:13:20.25Z" },
    ...{ serverTime: "2023-11-14T22:13:26Z", reloadConfigSuccess: true, corruptionCount: 3, storageRetention: "30d" },
    ...{ CWD: process.cwd(), hostname: expect.any(String), goroutineCount: expect.any(Number), GOGC: "", GODEBUG: "" },
  });
  expect(Object.keys(data as object)).toEqual([
    ...["startTime", "CWD", "hostname", "serverTime", "reloadConfigSuccess", "lastConfigTime", "corruptionCount"],
    ...["goroutineCount", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "storageRetention"],
  ]);
});

test("beside the API: the version, and no lifecycle by HTTP", async () => {
  const base = `http://${formatHostPort(server.address)}`;
  expect(await (await fetch(`${base}/version`)).json()).toEqual((await ask("status/buildinfo")).data);
  for (const path of ["/-/reload", "/-/quit"]) {
    const refused = await fetch(base + path, { method: "POST" });
    expect([refused.status, await refused.text()]).toEqual([403, "Lifecycle API is not enabled.\n"]);
    expect((await fetch(base + path)).status).toBe(405);
  }
});

test("features: those of the language by the options, none that isn't there", async () => {
  const { data } = await ask("features");
  const features = data as Record<string, Record<string, boolean>>;
  expect(Object.keys(features)).toEqual(["api", "prometheus", "promql", "promql_functions", "promql_operators"]);
  expect(features.api).toMatchObject({ remote_write_receiver: true, query_stats: true, otlp_write_receiver: false });
  expect(features.promql).toMatchObject({ anchored: true, fill: true, subqueries: true, per_step_stats: true });
  expect(features.promql_functions).toMatchObject({ rate: true, mad_over_time: true });
  expect(features.promql_operators).toMatchObject({ "=~": true, limitk: true, atan2: true });
});

test("its own metrics, all or those that a pattern names", async () => {
  const pair = (name: string, value: string) => ({ name, value });
  const gauges = [
    { label: [pair("k", "x"), pair("z", "1")], gauge: { value: "NaN" } },
    { label: [pair("k", "y")], gauge: { value: "-Infinity" } },
  ];
  const bucket = [{ cumulativeCount: "1", upperBound: 0.5 }];
  const all = [
    { name: "a_total", help: "A.", type: "COUNTER", metric: [{ counter: { value: 3 } }] },
    { name: "b", help: "B.", type: "GAUGE", metric: gauges },
    {
      ...{ name: "h", help: "H.", type: "HISTOGRAM" },
      metric: [{ label: [pair("k", "x")], histogram: { sampleCount: "2", sampleSum: 1.5, bucket } }],
    },
    {
      ...{ name: "s", help: "S.", type: "SUMMARY" },
      metric: [{ summary: { sampleCount: "2", sampleSum: 9, quantile: [{ quantile: 0.5, value: 4 }] } }],
    },
  ];
  expect(await ask("status/self_metrics")).toEqual({ status: 200, data: all });
  expect(await ask("status/self_metrics?metric_name_pattern=a_.*|b")).toMatchObject({ data: all.slice(0, 2) });
  expect(await ask("status/self_metrics?metric_name_pattern=a_")).toEqual({ status: 200, data: [] });
});

test("the API's paths", async () => {
  const response = await fetch(`http://${formatHostPort(server.address)}/api/v1/openapi.yaml`);
  expect(response.headers.get("content-type")).toBe("application/yaml; charset=utf-8");
  const text = await response.text();
  const values = [
    '  "/label/{name}/values":',
    "    parameters:",
    "      - name: name",
    "        in: path",
    "        required: true",
    "        schema: {type: string}",
    "    get:",
    "      operationId: get-label-name-values",
  ];
  expect(text).toContain(`${values.join("\n")}\n`);
  expect(text.match(/^ {2}"\/query":\n {4}get:/m)).not.toBeNull();
  expect(text.match(/^ {4}post:\n {6}operationId: post-query$/m)).not.toBeNull();
  const ids = [...text.matchAll(/operationId: (.*)/g)].map((match) => match[1]);
  expect(new Set(ids).size).toBe(ids.length);
});
