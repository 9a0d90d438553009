// test/unit/select/api.test.ts: the query API over a real server and an in-memory storage: exact status, errorType and text.
// `[]` in a case's data means an empty result; `*` means that only the status is looked at.
import { request } from "node:http";
import { Writable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  labelsFromRecord,
  type MetadataEntry,
  type Queryable,
  type QueryContext,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { createLog, type HttpServer, Lifecycle, listenHttp, type Route } from "../../../libs/runtime/index.ts";
import { createSelectApi } from "../../../services/select/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { WIDE } from "./select-server.ts";

const NOW_MS = 1_700_003_600_000;
const T = 1_700_000_000;
const METADATA: readonly MetadataEntry[] = [
  { tenant: "default", family: "up", type: "gauge", help: "Whether the target is up.", unit: "" },
  { tenant: "default", family: "req_total", type: "counter", help: "Requests.", unit: "" },
  { tenant: "default", family: "req_total", type: "counter", help: "Requests!", unit: "" },
];

/** Knows one tenant; the tenant "gone" stands for a storage that is away, "stuck" for one that never answers. */
class TestStorage extends MemoryQueryable {
  override async evaluate(...args: Parameters<Queryable["evaluate"]>): ReturnType<Queryable["evaluate"]> {
    await this.#mind(args[1]);
    return super.evaluate(...args);
  }

  override async metadata(family = ""): Promise<MetadataEntry[]> {
    return METADATA.filter((m) => family === "" || m.family === family);
  }

  async #mind({ tenant, signal }: QueryContext): Promise<void> {
    if (tenant === "gone") throw new UnavailableError("cannot query shard 7: got no owner; want one IN-SYNC", 3);
    if (tenant === "bug") throw new TypeError("x is not a function");
    if (tenant !== "stuck") return;
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
}

let server: HttpServer;
let base: { host: string; port: number };
const lifecycle = new Lifecycle();

beforeAll(async () => {
  const storage = new TestStorage();
  for (const job of ["a", "b"]) {
    for (const [name, slope] of [
      ["req_total", 3],
      ["up", 0],
    ] as const) {
      const samples = Array.from({ length: 240 }, (_, i) => ({
        timeMs: (T + i * 15) * 1000,
        value: 1 + i * slope,
        stale: false,
        histogram: false,
      }));
      storage.append(labelsFromRecord({ __name__: name, job, "http.status": "200" }), samples);
    }
  }
  const api = createSelectApi({
    queryable: () => storage,
    nowMs: () => NOW_MS,
    version: "9.9.9",
    lookbackMs: 300_000,
    experimental: false,
    ...{ ...WIDE, bodyMaxBytes: 4096 },
    timeoutMs: 400,
    ...{ concurrency: 2, queueMax: 1, samplesMax: 100_000 },
  });
  lifecycle.becomeReady();
  const log = createLog({
    format: "json",
    level: "error",
    service: "test",
    stream: new Writable({ write: (_chunk, _encoding, done) => done() }),
  });
  const options = { listen: { host: "127.0.0.1", port: 0 }, lifecycle, log, version: "9.9.9", connectionsMax: 100 };
  server = await listenHttp({ ...options, routes: api.routes });
  base = server.address;
});

afterAll(() => server.close(100));

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

function ask(method: string, path: string, headers: Record<string, string> = {}, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...base, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

// Path below /api/v1/ → data of the answer.
const GOOD: readonly (readonly [string, unknown])[] = [
  ["query?query=1%2B1&time=4", { resultType: "scalar", result: [4, "2"] }],
  ["query?query=1", { resultType: "scalar", result: [NOW_MS / 1000, "1"] }],
  ["query?query=%22s%22&time=1.5", { resultType: "string", result: [1.5, "s"] }],
  ["query?query=-0&time=0", { resultType: "scalar", result: [0, "-0"] }],
  ["query?query=1/0&time=0", { resultType: "scalar", result: [0, "+Inf"] }],
  ["query?query=1e-7&time=0", { resultType: "scalar", result: [0, "0.0000001"] }],
  ["query?query=nothing_here&time=4", { resultType: "vector", result: [] }],
  [
    `query?query=up&time=${T}`,
    {
      resultType: "vector",
      result: ["a", "b"].map((job) => ({ metric: { __name__: "up", "http.status": "200", job }, value: [T, "1"] })),
    },
  ],
  [
    `query?query=sum(up)&time=2023-11-14T22:13:20Z`,
    { resultType: "vector", result: [{ metric: {}, value: [T, "2"] }] },
  ],
  [`query?query=up&time=${T + 3885}&lookback_delta=1s`, { resultType: "vector", result: [] }],
  [`query?query=count(up)&time=${T + 3900}`, { resultType: "vector", result: [] }],
  [
    `query?query=count(up)&time=${T + 3900}&lookback_delta=1h`,
    { resultType: "vector", result: [{ metric: {}, value: [T + 3900, "2"] }] },
  ],
  [
    `query?query=req_total{job="a"}[30s]&time=${T + 30}`,
    {
      resultType: "matrix",
      result: [
        {
          metric: { __name__: "req_total", "http.status": "200", job: "a" },
          values: [
            [T + 15, "4"],
            [T + 30, "7"],
          ],
        },
      ],
    },
  ],
  [`query?query=up&time=${T}&limit=0&unknown=1&max_samples_processed_warning_threshold=5`, "*"],
  [
    `query_range?query=sum(req_total)&start=${T}&end=${T + 30}&step=15`,
    {
      resultType: "matrix",
      result: [
        {
          metric: {},
          values: [
            [T, "2"],
            [T + 15, "8"],
            [T + 30, "14"],
          ],
        },
      ],
    },
  ],
  [
    `query_range?query=5&start=${T}&end=${T}.5&step=0.5`,
    {
      resultType: "matrix",
      result: [
        {
          metric: {},
          values: [
            [T, "5"],
            [T + 0.5, "5"],
          ],
        },
      ],
    },
  ],
  [`query_range?query=nothing_here&start=0&end=10&step=5s`, { resultType: "matrix", result: [] }],
  [`query_range?query=5&start=0&end=11000&step=1&timeout=1s`, "*"],
  ["labels", ["__name__", "http.status", "job"]],
  ["labels?match[]=up&match[]=req_total&limit=3", ["__name__", "http.status", "job"]],
  ["labels?start=0&end=1", []],
  ["label/job/values", ["a", "b"]],
  ["label/__name__/values?limit=40000", ["req_total", "up"]],
  ["label/http.status/values", ["200"]],
  ["label/U__http_2e_status/values", ["200"]],
  ["label/http%2Estatus/values?match[]=up", ["200"]],
  ["label/no%2Fsuch/values", []],
  ["label/job/values?match[]=%7Bjob=~%22(%3Fi)A%22%7D", ["a"]],
  ["series?match[]=up", ["a", "b"].map((job) => ({ __name__: "up", "http.status": "200", job }))],
  [
    "series?match[]=up{job=%22a%22}&match[]=up",
    ["a", "b"].map((job) => ({ __name__: "up", "http.status": "200", job })),
  ],
  ["series?match[]=none", []],
  ["series?match[]=up&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z", "*"],
  [
    "metadata",
    {
      req_total: [
        { type: "counter", help: "Requests.", unit: "" },
        { type: "counter", help: "Requests!", unit: "" },
      ],
      up: [{ type: "gauge", help: "Whether the target is up.", unit: "" }],
    },
  ],
  ["metadata?metric=up", { up: [{ type: "gauge", help: "Whether the target is up.", unit: "" }] }],
  ["metadata?metric=none", {}],
  ["metadata?limit=1&limit_per_metric=1", { req_total: [{ type: "counter", help: "Requests.", unit: "" }] }],
  ["query_exemplars?query=test&start=1700000000000&end=1700003600000", []],
  ["rules", { groups: [] }],
  ["rules?type=alert&exclude_alerts=true&group_limit=100&file[]=x&rule_name[]=y", { groups: [] }],
  ["alerts", { alerts: [] }],
  [
    "status/buildinfo",
    { version: "3.14.0", revision: "tidemark-9.9.9", branch: "", buildUser: "", buildDate: "", goVersion: "" },
  ],
];

test.each(GOOD)("GET %s", async (path, data) => {
  const { status, headers, body } = await ask("GET", `/api/v1/${path}`);
  expect(status).toBe(200);
  expect(headers["content-type"]).toBe("application/json");
  const answer = JSON.parse(body.toString());
  expect(answer.status).toBe("success");
  if (data !== "*") expect(answer.data).toEqual(data);
});

const UNEXPECTED_END = 'invalid parameter "query": 1:5: parse error: unexpected end of input';

// Path below /api/v1/ → status, errorType, error.
const BAD: readonly (readonly [string, number, string, string])[] = [
  ["query", 400, "bad_data", 'invalid parameter "query": unknown position: parse error: no expression found in input'],
  ["query?query=up%20%2B", 400, "bad_data", UNEXPECTED_END],
  [
    "query?query=up&time=x",
    400,
    "bad_data",
    `invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp`,
  ],
  ["query?query=up&limit=-1", 400, "bad_data", 'invalid parameter "limit": limit must be non-negative'],
  ["query?query=up&limit=x", 400, "bad_data", 'invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax'],
  ["query?query=up&timeout=x", 400, "bad_data", 'invalid parameter "timeout": cannot parse "x" to a valid duration'],
  [
    "query?query=up&lookback_delta=x",
    400,
    "bad_data",
    'error parsing lookback delta duration: cannot parse "x" to a valid duration',
  ],
  [
    "query?query=up&lookback_delta=1e300",
    400,
    "bad_data",
    'error parsing lookback delta duration: cannot parse "1e300" to a valid duration. It overflows int64',
  ],
  ["query?query=up&limit=-1&time=x", 400, "bad_data", 'invalid parameter "limit": limit must be non-negative'],
  ["query?query=up*on(job)group_left()up{job=~%22a%7Cb%22}*on()up&time=1700000000", 422, "execution", "*"],
  ["query?query=%7B%7D", 400, "bad_data", "*"],
  ["query?query=up%5B5m", 400, "bad_data", "*"],
  ["query?query=limitk(1,up)", 400, "bad_data", "*"],
  [
    "query_range?query=up&start=&end=1&step=1",
    400,
    "bad_data",
    'invalid parameter "start": cannot parse "" to a valid timestamp',
  ],
  [
    "query_range?query=up&start=1&end=&step=1",
    400,
    "bad_data",
    'invalid parameter "end": cannot parse "" to a valid timestamp',
  ],
  [
    "query_range?query=up&start=x&end=1&step=1",
    400,
    "bad_data",
    'invalid parameter "start": cannot parse "x" to a valid timestamp',
  ],
  [
    "query_range?query=up&start=2&end=1&step=1",
    400,
    "bad_data",
    'invalid parameter "end": end timestamp must not be before start time',
  ],
  [
    "query_range?query=up&start=1&end=2",
    400,
    "bad_data",
    'invalid parameter "step": cannot parse "" to a valid duration',
  ],
  [
    "query_range?query=up&start=1&end=2&step=abc",
    400,
    "bad_data",
    'invalid parameter "step": cannot parse "abc" to a valid duration',
  ],
  [
    "query_range?query=up&start=1&end=2&step=0",
    400,
    "bad_data",
    'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer',
  ],
  [
    "query_range?query=up&start=1&end=2&step=-1",
    400,
    "bad_data",
    'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer',
  ],
  [
    "query_range?query=up&start=1&end=2&step=0.0001",
    400,
    "bad_data",
    'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer',
  ],
  [
    "query_range?query=up&start=0&end=11001&step=1",
    400,
    "bad_data",
    "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
  ],
  [
    "query_range?query=up&start=0&end=1&step=1&timeout=x",
    400,
    "bad_data",
    'invalid parameter "timeout": cannot parse "x" to a valid duration',
  ],
  [
    "query_range?query=up%5B5m%5D&start=0&end=1&step=1",
    400,
    "bad_data",
    'invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector',
  ],
  ["query_range?query=up%20%2B&start=0&end=1&step=1", 400, "bad_data", UNEXPECTED_END],
  [
    "query_range?query=up&start=0&end=1&step=1&limit=1.5",
    400,
    "bad_data",
    'invalid parameter "limit": strconv.Atoi: parsing "1.5": invalid syntax',
  ],
  ["labels?limit=-1", 400, "bad_data", 'invalid parameter "limit": limit must be non-negative'],
  [
    "labels?start=x",
    400,
    "bad_data",
    `invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp`,
  ],
  [
    "labels?end=x",
    400,
    "bad_data",
    `invalid parameter "end": invalid time value for 'end': cannot parse "x" to a valid timestamp`,
  ],
  ["labels?match[]=%7B%7D", 400, "bad_data", "match[] must contain at least one non-empty matcher"],
  ["labels?match[]=%7Bx=~%22.*%22%7D", 400, "bad_data", "match[] must contain at least one non-empty matcher"],
  ["labels?match[]=up[5m]", 400, "bad_data", "*"],
  ["label/U__/values", 400, "bad_data", 'invalid label name: ""'],
  ["label/job/values?limit=x", 400, "bad_data", 'invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax'],
  [
    "label/job/values?start=x",
    400,
    "bad_data",
    `invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp`,
  ],
  ["label/job/values?match[]=%7B%7D", 400, "bad_data", "match[] must contain at least one non-empty matcher"],
  ["series", 400, "bad_data", "no match[] parameter provided"],
  [
    "series?match[]=%7B%7D",
    400,
    "bad_data",
    'invalid parameter "match[]": match[] must contain at least one non-empty matcher',
  ],
  ["series?match[]=up&limit=-5", 400, "bad_data", 'invalid parameter "limit": limit must be non-negative'],
  [
    "series?match[]=up&start=x",
    400,
    "bad_data",
    `invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp`,
  ],
  ["series?match[]=up%zz", 400, "bad_data", 'error parsing form values: invalid URL escape "%zz"'],
  ["series?match[]=up;", 400, "bad_data", "error parsing form values: invalid semicolon separator in query"],
  ["series?match[]=", 400, "bad_data", "*"],
  ["metadata?limit=x", 400, "bad_data", "limit must be a number"],
  ["metadata?limit_per_metric=x", 400, "bad_data", "limit_per_metric must be a number"],
  ["query_exemplars?query=up&start=5&end=1", 400, "bad_data", "end timestamp must not be before start timestamp"],
  ["query_exemplars?query=up%20%2B", 400, "bad_data", "1:5: parse error: unexpected end of input"],
  [
    "query_exemplars?query=up&start=x",
    400,
    "bad_data",
    `invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp`,
  ],
  ["rules?type=x", 400, "bad_data", 'invalid parameter "type": not supported value "x"'],
  [
    "rules?exclude_alerts=maybe",
    400,
    "bad_data",
    'invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: parsing "maybe": invalid syntax',
  ],
  ["rules?group_limit=0", 400, "bad_data", 'invalid parameter "group_limit": group_limit needs to be greater than 0'],
  [
    "rules?group_limit=x",
    400,
    "bad_data",
    'invalid parameter "group_limit": group_limit needs to be a valid number: strconv.ParseInt: parsing "x": invalid syntax',
  ],
  [
    "rules?group_next_token=x",
    400,
    "bad_data",
    'invalid parameter "group_next_token": group_limit needs to be present in order to paginate over the groups',
  ],
  [
    "rules?group_limit=1&group_next_token=x",
    400,
    "bad_data",
    `invalid parameter "group_next_token": invalid group_next_token 'x'. were rule groups changed?`,
  ],
  ["rules?match[]=%7B%7D", 400, "bad_data", "match[] must contain at least one non-empty matcher"],
];

test.each(BAD)("GET %s is refused", async (path, status, errorType, error) => {
  const answer = await ask("GET", `/api/v1/${path}`);
  const json = JSON.parse(answer.body.toString());
  expect({ status: answer.status, json }).toMatchObject({ status, json: { status: "error", errorType } });
  expect(answer.headers["content-type"]).toBe("application/json");
  if (error !== "*") expect(json.error).toBe(error);
});

// Method and path → status, text and Allow header.
const ROUTING: readonly [string, string, number, string, (string | undefined)?][] = [
  ["GET", "/api/v1/nothing", 404, "404 page not found\n"],
  ["GET", "/api/v1", 404, "404 page not found\n"],
  ["GET", "/api/v1/label//values", 404, "404 page not found\n"],
  ["GET", "/select/x/prometheus", 404, "404 page not found\n"],
  ["PUT", "/api/v1/query", 405, "Method Not Allowed\n", "GET, POST, OPTIONS"],
  ["DELETE", "/api/v1/series", 405, "Method Not Allowed\n", "GET, POST, OPTIONS"],
  ["HEAD", "/api/v1/query", 405, "", "GET, POST, OPTIONS"],
  ["POST", "/api/v1/label/job/values", 405, "Method Not Allowed\n", "GET, OPTIONS"],
  ["POST", "/api/v1/metadata", 405, "Method Not Allowed\n", "GET, OPTIONS"],
  ["POST", "/api/v1/rules", 405, "Method Not Allowed\n", "GET, OPTIONS"],
  ["OPTIONS", "/api/v1/query", 204, "", "GET, POST, OPTIONS"],
  ["OPTIONS", "/api/v1/label/job/values", 204, "", "GET, OPTIONS"],
];

test.each(ROUTING)("%s %s is %d", async (...[method, path, status, text, allow]) => {
  const answer = await ask(method, path);
  expect([answer.status, answer.body.toString(), answer.headers.allow]).toEqual([status, text, allow]);
});

test.each<[string, Record<string, string>, number, string]>([
  ["/select/team-a/prometheus/api/v1/query?query=1&time=0", {}, 200, ""],
  ["//select/team-a//prometheus/api/v1/query?query=1&time=0", {}, 200, ""],
  ["http://elsewhere/select/t/prometheus/api/v1/query?query=1&time=0", {}, 200, ""],
  ["/select/a%2Fb/prometheus/api/v1/query?query=1", {}, 400, "cannot use tenant"],
  ["/select/%2e%2e/prometheus/api/v1/query?query=1", {}, 400, "dot segment"],
  ["/select/../api/v1/query?query=1", {}, 400, "dot segment"],
  ["/select/%zz/prometheus/api/v1/query?query=1", {}, 400, "malformed escape"],
  [`/select/${"x".repeat(65)}/prometheus/api/v1/query?query=1`, {}, 400, "cannot use tenant"],
  ["/api/v1/query?query=1", { "X-Scope-OrgID": "team-b" }, 200, ""],
  ["/api/v1/query?query=1", { "X-Scope-OrgID": "a/b" }, 400, "cannot use tenant"],
  ["/api/v1/query?query=1", { "X-Scope-OrgID": "" }, 400, "cannot use tenant"],
  ["/api/v1/query?query=up", { "X-Scope-OrgID": "gone" }, 503, "cannot query shard 7"],
  ["/api/v1/query?query=up", { "X-Scope-OrgID": "bug" }, 500, "cannot answer request"],
  ["/api/v1/query?query=up", { "X-Scope-OrgID": "stuck" }, 503, "query timed out in expression evaluation"],
  [
    "/api/v1/query?query=up&timeout=20ms",
    { "X-Scope-OrgID": "stuck" },
    503,
    "query timed out in expression evaluation",
  ],
])("%s with %j is %d", async (path, headers, status, text) => {
  const answer = await ask("GET", path, headers);
  expect(answer.status).toBe(status);
  expect(answer.body.toString()).toContain(text);
  if (text.includes("shard")) expect(answer.headers["retry-after"]).toBe("3");
});

test("limit cuts and warns; stats appear when asked for", async () => {
  const cut = JSON.parse((await ask("GET", `/api/v1/query?query=up&time=${T}&limit=1`)).body.toString());
  expect([cut.data.result.length, cut.warnings]).toEqual([1, ["results truncated due to limit"]]);
  for (const path of ["labels?limit=2", "label/job/values?limit=1", "series?match[]=up&limit=1"]) {
    const answer = JSON.parse((await ask("GET", `/api/v1/${path}`)).body.toString());
    expect(answer.warnings).toEqual(["results truncated due to limit"]);
    expect(answer.data.length).toBe(path.startsWith("labels") ? 2 : 1);
  }
  const all = JSON.parse((await ask("GET", `/api/v1/query?query=up&time=${T}&stats=all`)).body.toString());
  expect(all.data.stats.samples.totalQueryableSamples).toBeGreaterThan(0);
  expect(Object.keys(all.data.stats.timings)).toEqual([
    "evalTotalTime",
    "resultSortTime",
    "queryPreparationTime",
    "innerEvalTime",
    "execQueueTime",
    "execTotalTime",
  ]);
  const odd = JSON.parse((await ask("GET", `/api/v1/query?query=up&time=${T}&stats=yes`)).body.toString());
  expect(odd.warnings[0]).toContain('value "yes" for parameter "stats" is deprecated');
});

test("regular expressions of all selectors of a request are bounded together", async () => {
  const selectors = Array.from(
    { length: 20 },
    (_, i) => `match[]=${encodeURIComponent(`{a=~"${i}.*${"x".repeat(4000)}"}`)}`,
  );
  for (const path of ["/api/v1/series", "/api/v1/labels", "/api/v1/label/a/values", "/federate"]) {
    const ask20 = await ask("GET", `${path}?${selectors.join("&")}`);
    expect([path, ask20.status]).toEqual([path, 400]);
    expect(ask20.body.toString()).toContain("65536 characters of regular expressions");
    expect((await ask("GET", `${path}?${selectors.slice(0, 10).join("&")}`)).status).toBe(200);
  }
});

test("a label name that is not UTF-8 is refused as the API refuses", async () => {
  const answer = await ask("GET", "/api/v1/label/%ff/values");
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.body.toString())).toMatchObject({ status: "error", errorType: "bad_data" });
});

test("CORS headers come with an Origin", async () => {
  const plain = await ask("GET", "/api/v1/alerts");
  expect(plain.headers["access-control-allow-origin"]).toBeUndefined();
  const cross = await ask("GET", "/api/v1/query?query=%2B", { Origin: "http://x" });
  expect(cross.headers["access-control-allow-origin"]).toBe("*");
  const options = await ask("OPTIONS", "/api/v1/query", { Origin: "http://x" });
  expect(options.headers["access-control-allow-methods"]).toBe("GET, POST, OPTIONS");
});

test.each(["gzip", "gzip, deflate, br", "br;q=1, gzip;q=0.5"])(
  "a large answer is compressed for %s",
  async (accepted) => {
    const path = `/api/v1/query_range?query=rand_total%20or%20vector(1)&start=0&end=11000&step=1`;
    const zipped = await ask("GET", path, { "Accept-Encoding": accepted });
    expect(zipped.headers["content-encoding"]).toBe("gzip");
    const plain = await ask("GET", path, { "Accept-Encoding": "br, gzip;q=0" });
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(gunzipSync(zipped.body).equals(plain.body)).toBe(true);
    expect(JSON.parse(plain.body.toString()).data.result[0].values.length).toBe(11_001);
  },
);

test("too many queries at once are 429, and a client that leaves frees its place", async () => {
  const stuck = Array.from({ length: 3 }, () => {
    const outgoing = request({ ...base, path: "/api/v1/query?query=up", headers: { "X-Scope-OrgID": "stuck" } });
    outgoing.on("error", () => {});
    outgoing.end();
    return outgoing;
  });
  // Two run, one waits.
  await new Promise((resolve) => setTimeout(resolve, 60));
  const refused = await ask("GET", "/api/v1/query?query=1");
  expect(refused.status).toBe(429);
  expect(JSON.parse(refused.body.toString())).toMatchObject({ errorType: "too_many_requests" });
  expect(refused.headers["retry-after"]).toBe("1");
  stuck[2]!.destroy();
  await new Promise((resolve) => setTimeout(resolve, 60));
  const waited = await ask("GET", "/api/v1/query?query=1&timeout=30ms");
  expect([waited.status, JSON.parse(waited.body.toString()).error]).toEqual([503, "query timed out in query queue"]);
  for (const outgoing of stuck) outgoing.destroy();
});

test("until ready every endpoint is 503", async () => {
  const starting = new Lifecycle();
  const log = createLog({
    format: "json",
    level: "error",
    service: "test",
    stream: new Writable({ write: (_chunk, _encoding, done) => done() }),
  });
  const options = {
    listen: { host: "127.0.0.1", port: 0 },
    lifecycle: starting,
    log,
    version: "1",
    connectionsMax: 10,
  };
  const route: Route = {
    methods: ["GET"],
    pattern: "/x",
    needsEngine: true,
    handle: (x) => x.text(200, "yes"),
  };
  const young = await listenHttp({ ...options, routes: [route] });
  const url = `http://127.0.0.1:${young.address.port}/x`;
  const early = await fetch(url);
  expect([early.status, await early.text(), early.headers.get("x-prometheus-stopping")]).toEqual([
    503,
    "Service Unavailable\n",
    "false",
  ]);
  starting.becomeReady();
  expect((await fetch(url)).status).toBe(200);
  await young.close(100);
});
