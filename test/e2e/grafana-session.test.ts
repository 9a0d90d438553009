// test/e2e/grafana-session.test.ts: what Grafana sends to a Prometheus data source, from "save & test" to panels, variables
// and alert lists, in its order and encoding, against a running `tidemark all`.
import { request } from "node:http";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentMinute, SCRAPE_S, type Served, serveAll, worldSeries } from "./api-world.ts";
import { compress, encodeWriteRequest, post } from "./remote-write.ts";

let tidemark: Served;
let endS = 0;
let startS = 0;

beforeAll(async () => {
  tidemark = await serveAll();
  endS = presentMinute();
  startS = endS - 1500;
  const metadata = [
    { type: 1, family: "http_requests_total", help: "Requests." },
    { type: 3, family: "latency", help: "Latency." },
  ];
  const body = encodeWriteRequest(worldSeries(endS), metadata);
  expect((await post(`${tidemark.url}/api/v1/write`, compress(body))).status).toBe(204);
});
afterAll(() => tidemark?.stop());

interface Reply {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly raw: Buffer;
  readonly json: {
    readonly status: string;
    readonly data: never;
    readonly errorType?: string;
    readonly error?: string;
    readonly warnings?: readonly string[];
  };
}

const HEADERS = {
  "User-Agent": "Grafana/12.1.0",
  "Accept-Encoding": "gzip",
  "X-Dashboard-Uid": "d1",
  "X-Panel-Id": "2",
  "X-Grafana-Org-Id": "1",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

function send(method: string, path: string, form?: string, headers: Record<string, string> = {}): Promise<Reply> {
  const { hostname: host, port } = new URL(tidemark.url);
  const type = form === undefined ? {} : { "Content-Type": "application/x-www-form-urlencoded" };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host, port, method, path, headers: { ...HEADERS, ...type, ...headers } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const raw = Buffer.concat(chunks);
        const text = response.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
        const isJson = response.headers["content-type"] === "application/json";
        const json = isJson ? JSON.parse(text.toString()) : {};
        resolve({ code: response.statusCode!, headers: response.headers, raw, json });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(form ?? "");
  });
}
const get = (path: string): Promise<Reply> => send("GET", path);

/** As Go's url.Values encodes: keys in order, spaces as plus signs. */
function formOf(values: Readonly<Record<string, string | number>>): string {
  return new URLSearchParams(
    Object.entries(values)
      .map(([key, value]): [string, string] => [key, `${value}`])
      .sort(),
  ).toString();
}
const postForm = (path: string, values: Readonly<Record<string, string | number>>) =>
  send("POST", path, formOf(values));

function expectData(reply: Reply, data: unknown): void {
  expect([reply.code, reply.headers["content-type"], reply.json.status]).toEqual([200, "application/json", "success"]);
  expect(reply.json.data).toEqual(data);
}

describe("save & test", () => {
  test("a query at second 4 of the epoch", async () => {
    const answer = { resultType: "scalar", result: [4, "2"] };
    const reply = await send("POST", "/api/v1/query", "query=1%2B1&time=4");
    expectData(reply, answer);
    expectData(await get("/api/v1/query?query=1%2B1&time=4"), answer);
  });

  test("what it talks to: Prometheus, by its version, without features", async () => {
    const reply = await get("/api/v1/status/buildinfo");
    expectData(reply, expect.objectContaining({ version: expect.stringMatching(/^3\.\d+\.\d+$/) }));
    expect(reply.json.data).not.toHaveProperty("features");
  });
});

describe("opening the data source", () => {
  test("rules, and whether there are exemplars, asked in milliseconds", async () => {
    expectData(await get("/api/v1/rules"), { groups: [] });
    const path = `/api/v1/query_exemplars?query=test&start=${startS}000&end=${endS}000`;
    expectData(await get(path), []);
  });

  test("metric names, label names and metadata, in parallel", async () => {
    const window = `limit=40000&start=${startS}&end=${endS}`;
    const [names, labels, metadata] = await Promise.all([
      get(`/api/v1/label/__name__/values?${window}`),
      postForm("/api/v1/labels", { limit: 40000, start: startS, end: endS }),
      get("/api/v1/metadata?limit=40000"),
    ]);
    expectData(names, ["gone", "http_requests_total", "latency_bucket", "latency_count", "latency_sum", "my.metric", "no_target", "odd", "old", "temperature", "up"]);
    expectData(labels, ["__name__", "code", "http.status", "instance", "job", "kind", "le", "é"]);
    expectData(metadata, {
      http_requests_total: [{ type: "counter", help: "Requests.", unit: "" }],
      latency: [{ type: "histogram", help: "Latency.", unit: "" }],
    });
    expectData(await get(`/api/v1/labels?${window}`), labels.json.data);
  }); // biome-ignore format: names in one row
});

describe("panels", () => {
  test("a range query with a window as Go writes durations", async () => {
    const step = 15;
    const start = Math.floor((endS - 600) / step) * step;
    const query = "sum by (instance) (changes(http_requests_total[1m0s]))";
    const reply = await postForm("/api/v1/query_range?max_samples_processed_warning_threshold=5", { query, start, end: endS, step });
    const values = Array.from({ length: 41 }, (_, i) => [start + i * step, "6"]);
    const matrix = ["host-0:9100", "host-1:9100"].map((instance) => ({ metric: { instance }, values }));
    expectData(reply, { resultType: "matrix", result: matrix });
  });

  test("an instant query at a fraction of a second, with statistics", async () => {
    const reply = await postForm("/api/v1/query?stats=all", { query: "up", time: `${endS}.123` });
    expect(reply.code).toBe(200);
    const { result, stats } = reply.json.data as { result: { value: [number, string] }[]; stats: { samples: Record<string, number> } };
    expect(result.map(({ value }) => value)).toEqual([[endS + 0.123, "1"], [endS + 0.123, "1"]]);
    expect(stats.samples.totalQueryableSamples).toBeGreaterThan(0);
  });

  test("exemplars of a histogram", async () => {
    const query = "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))";
    expectData(await postForm("/api/v1/query_exemplars", { query, start: startS, end: endS }), []);
    const reply = await postForm("/api/v1/query", { query, time: endS });
    expectData(reply, { resultType: "vector", result: [{ metric: {}, value: [endS, expect.stringMatching(/^[\d.]+$/)] }] });
  });

  test("a panel without data, and a base URL with a slash too many", async () => {
    const nothing = { query: "nothing", start: startS, end: endS, step: 60 };
    expectData(await postForm("/api/v1/query_range", nothing), { resultType: "matrix", result: [] });
    expectData(await postForm("//api/v1/query_range", nothing), { resultType: "matrix", result: [] });
  });

  test("many at once", async () => {
    const query = "sum(rate(http_requests_total[5m]))";
    const replies = await Promise.all(
      Array.from({ length: 60 }, () => postForm("/api/v1/query_range", { query, start: startS, end: endS, step: SCRAPE_S })),
    );
    expect(new Set(replies.map(({ code }) => code))).toEqual(new Set([200]));
    expect(new Set(replies.map(({ raw }) => raw.toString("latin1"))).size).toBe(1);
  });
}); // biome-ignore format: requests in one row

describe("variables", () => {
  test("values of a label for a selector, and of a label that is no identifier", async () => {
    const window = `limit=40000&start=${startS}&end=${endS}`;
    expectData(await get(`/api/v1/label/job/values?${window}&match[]=up%7Binstance%3D~%22.%2B%22%7D`), ["a", "b"]);
    expectData(await get(`/api/v1/label/U__http_2e_status/values?${window}`), ["200"]);
  });

  test("series, and the metrics that a text occurs in", async () => {
    const target = (i: number) => ({ __name__: "up", instance: `host-${i}:9100`, job: i === 0 ? "a" : "b" });
    const reply = await send("POST", "/api/v1/series", `end=${endS}&match%5B%5D=up&start=${startS}`);
    expectData(reply, [target(0), target(1)]);
    const search = encodeURIComponent('{__name__=~"(?i).*REQUESTS.*"}');
    expectData(await get(`/api/v1/label/__name__/values?limit=1000&match[]=${search}`), ["http_requests_total"]);
  });
});

describe("alerting", () => {
  test("rules in pages, and alerts", async () => {
    expectData(await get("/api/v1/rules?exclude_alerts=true&group_limit=100"), { groups: [] });
    expectData(await get("/api/v1/rules?file=a&file[]=a&rule_group=g&rule_group[]=g&rule_name=r&rule_name[]=r"), { groups: [] });
    expectData(await get("/api/v1/alerts"), { alerts: [] });
  }); // biome-ignore format: requests in one row
});

describe("what it relies on", () => {
  test("errors as JSON: of the query's text, and of its evaluation", async () => {
    const wrong = await postForm("/api/v1/query", { query: "up +", time: endS });
    const text = 'invalid parameter "query": 1:5: parse error: unexpected end of input';
    expect([wrong.code, wrong.json]).toEqual([400, { status: "error", errorType: "bad_data", error: text }]);
    const ambiguous = await postForm("/api/v1/query", { query: "up * on (job) http_requests_total", time: endS });
    expect([ambiguous.code, ambiguous.json.errorType]).toEqual([422, "execution"]);
    expect(ambiguous.json.error).toContain("many-to-many matching not allowed");
  });

  test("warnings are passed on", async () => {
    const limited = await postForm("/api/v1/query", { query: "up", time: endS, limit: 1 });
    expect(limited.json.warnings).toEqual(["results truncated due to limit"]);
    const odd = await postForm("/api/v1/query", { query: "quantile(2, up)", time: endS });
    expect(odd.json.warnings).toEqual(["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]);
  });

  test("large answers are compressed", async () => {
    const query = { query: "http_requests_total", start: endS - 1785, end: endS, step: 1 };
    const reply = await postForm("/api/v1/query_range", query);
    expect([reply.code, reply.headers["content-encoding"]]).toEqual([200, "gzip"]);
    const plain = await send("POST", "/api/v1/query_range", formOf(query), { "Accept-Encoding": "zstd, br" });
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(plain.json).toEqual(reply.json);
    expect(reply.raw.length).toBeLessThan(plain.raw.length / 4);
  });
});
