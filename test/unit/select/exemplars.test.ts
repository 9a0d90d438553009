// test/unit/select/exemplars.test.ts: query_exemplars over HTTP: which series a query asks about, and exemplars as Prometheus writes them.
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Matcher, SeriesExemplars, TimeRange } from "../../../libs/model/index.ts";
import { createLog, type HttpServer, Lifecycle, listenHttp } from "../../../libs/runtime/index.ts";
import { createSelectApi } from "../../../services/select/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { WIDE } from "./select-server.ts";

const FOUND: readonly SeriesExemplars[] = [
  { labels: ["__name__", "z"], exemplars: [] },
  {
    labels: ["__name__", "lat", "le", "5"],
    exemplars: [
      { labels: ["trace_id", 'a"é'], value: 6, timeMs: 1600096945479 },
      { labels: [], value: Number.NaN, timeMs: 5000 },
    ],
  },
];

/** Has exemplars whatever is asked, and remembers what was. */
class TestStorage extends MemoryQueryable {
  asked: string[] = [];

  override async exemplars(
    sets: readonly (readonly Matcher[])[],
    { minMs, maxMs }: TimeRange,
  ): Promise<SeriesExemplars[]> {
    this.asked = [...sets.map((set) => set.map((m) => `${m.name}${m.type}${m.value}`).join()), `${minMs} ${maxMs}`];
    return [...FOUND];
  }
}

const storage = new TestStorage();
const lifecycle = new Lifecycle();
let server: HttpServer;
let base = "";

beforeAll(async () => {
  const api = createSelectApi({
    queryable: () => storage,
    nowMs: () => 1_700_000_000_000,
    version: "9.9.9",
    lookbackMs: 300_000,
    experimental: false,
    ...{ ...WIDE, bodyMaxBytes: 4096 },
    timeoutMs: 10_000,
    ...{ concurrency: 2, queueMax: 1, samplesMax: 100_000 },
  });
  lifecycle.becomeReady();
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const log = createLog({ format: "json", level: "error", service: "test", stream });
  const listen = { host: "127.0.0.1", port: 0 };
  server = await listenHttp({ listen, lifecycle, log, version: "9.9.9", connectionsMax: 100, routes: api.routes });
  base = `http://127.0.0.1:${server.address.port}/api/v1/query_exemplars`;
});

afterAll(() => server.close(100));

test("all selectors are asked for; series come sorted", async () => {
  const body = new URLSearchParams({ query: 'sum(rate(lat{le="5"}[5m])) / on() up offset 5m', start: "1", end: "2.5" });
  const response = await fetch(base, { method: "POST", body });
  expect(storage.asked).toEqual(["le=5,__name__=lat", "__name__=up", "1000 2500"]);
  expect(await response.text()).toBe(
    '{"status":"success","data":[{"seriesLabels":{"__name__":"lat","le":"5"},"exemplars":[{"labels":{"trace_id":"a\\"é"},"value":"6","timestamp":1600096945.479},{"labels":{},"value":"NaN","timestamp":5}]},{"seriesLabels":{"__name__":"z"},"exemplars":[]}]}',
  );
});

test("a query without a selector has no answer; a wrong one is refused", async () => {
  expect((await fetch(`${base}?query=1%2B1`)).status).toBe(204);
  const refused = await fetch(`${base}?query=up%20%2B`);
  expect([refused.status, await refused.json()]).toEqual([
    400,
    { status: "error", errorType: "bad_data", error: "1:5: parse error: unexpected end of input" },
  ]);
});
