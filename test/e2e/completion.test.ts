// test/e2e/completion.test.ts: the editor of Prometheus' own pages, and of others, completes metric names, labels and values from
// a running `tidemark all` with its own HTTP client.
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentMinute, type Served, serveAll, worldSeries } from "./api-world.ts";
import { compress, encodeWriteRequest, post } from "./remote-write.ts";

// All of them as the one kind of module that the editor's language is: it tells their objects by their classes.
const load = createRequire(import.meta.url);
const { CompletionContext } = load("@codemirror/autocomplete");
const { syntaxTree } = load("@codemirror/language");
const { EditorState } = load("@codemirror/state");
const { newCompleteStrategy, PromQLExtension } = load("@prometheus-io/codemirror-promql");

const { HTTPPrometheusClient } = load("@prometheus-io/codemirror-promql/dist/cjs/client/prometheus.js");
/** Of what is offered, that which comes from the server. */
const KINDS = new Set(["constant", "text"]);

interface Option {
  readonly label: string;
  readonly type: string;
  readonly detail?: string;
  readonly info?: string;
}

let tidemark: Served;

beforeAll(async () => {
  tidemark = await serveAll();
  const metadata = [{ type: 1, family: "http_requests_total", help: "Requests." }];
  const body = encodeWriteRequest(worldSeries(presentMinute()), metadata);
  expect((await post(`${tidemark.url}/api/v1/write`, compress(body))).status).toBe(204);
});
afterAll(() => tidemark?.stop());

const HOUR_MS = 3_600_000;

/** What is offered where `|` stands in a query, keywords and functions left out. */
async function offered(marked: string, remote: object = {}): Promise<Option[]> {
  const failures: string[] = [];
  const query = marked.replace("|", "");
  const strategy = newCompleteStrategy({
    remote: { url: tidemark.url, httpErrorHandler: (error: Error) => failures.push(error.message), ...remote },
  });
  const extensions = new PromQLExtension().asExtension();
  let state = EditorState.create({ doc: query, extensions });
  // It parses for 25 ms and leaves the rest for later, which on a busy machine may be everything.
  for (let i = 0; i < 50 && syntaxTree(state).length < query.length; i++) {
    state = EditorState.create({ doc: query, extensions });
  }
  const result = await strategy.promQL(new CompletionContext(state, marked.indexOf("|"), true));
  strategy.destroy?.();
  expect(failures).toEqual([]);
  const options: Option[] = result?.options ?? [];
  return options.filter(({ type }) => KINDS.has(type));
}
const labels = async (query: string, remote: object = {}): Promise<string[]> =>
  (await offered(query, remote)).map(({ label }) => label).sort();

describe.each([
  ["as it is", {}],
  ["by GET", { httpMethod: "GET" }],
  ["within an hour, in ISO times", { lookbackInterval: HOUR_MS }],
  ["of a tenant in the path", { apiPrefix: "/select/default/prometheus/api/v1" }],
])("asking %s", (_, remote) => {
  test("metric names, with what is known of them", async () => {
    const found = await offered("http_|", remote);
    const names = found.map(({ label }) => label);
    expect(names).toEqual(expect.arrayContaining(["http_requests_total", "latency_bucket", "temperature", "up"]));
    const described = found.find(({ label }) => label === "http_requests_total");
    expect(described).toMatchObject({ detail: "counter", info: "Requests." });
  });

  test("labels of a metric", async () => {
    expect(await labels("http_requests_total{|}", remote)).toEqual(["code", "instance", "job"]);
    expect(await labels("sum by (|)", remote)).toEqual(expect.arrayContaining(["code", "instance", "job", "le"]));
    expect(await labels("sum(http_requests_total) by (|)", remote)).toEqual(["code", "instance", "job"]);
  });

  test("values of a label", async () => {
    expect(await labels('http_requests_total{code="|"}', remote)).toEqual(["200", "500"]);
    expect(await labels('nothing{job="|"}', remote)).toEqual([]);
  });
});

test("its client alone: series, names, values, metadata, flags", async () => {
  const client = new HTTPPrometheusClient({ url: tidemark.url });
  expect(await client.series("up")).toHaveLength(2);
  expect(await client.labelValues("job", "up")).toEqual(["a", "b"]);
  expect(await client.labelNames("old")).toEqual(["__name__", "job"]);
  expect(await client.metricMetadata()).toEqual({
    http_requests_total: [{ type: "counter", help: "Requests.", unit: "" }],
  });
  expect(await client.flags()).toMatchObject({ "web.enable-remote-write-receiver": "true" });
});
