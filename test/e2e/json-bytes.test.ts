// test/e2e/json-bytes.test.ts: answers of the query API, byte by byte as a real Prometheus writes them: labels, values, names of series and
// texts of errors with every character that one of its encoders escapes, numbers and times of all forms.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { load, presentMinute, type Served, serveAll } from "./api-world.ts";
import { findEqualPrometheus, type RealPrometheus, startPrometheus } from "./real-prometheus.ts";
import type { WriteSeries } from "./remote-write.ts";

const END_S = presentMinute();
const HOSTILE = "a<b>&c\u2028\u2029\b\f\x00\x1f\x7f/é€😀\ufffd\\\"\t\r\n'";
const NAME = "l<&>\u2028\b";

function series(labels: Record<string, string>, value: number): WriteSeries {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return { labels: sorted, times: [END_S * 1000], values: Float64Array.of(value) };
}

const WORLD = [
  series({ __name__: "weird", value: HOSTILE, [NAME]: "x" }, 1),
  series({ __name__: "weird<&>", value: "z" }, 1e21),
  series({ __name__: "many_total", n: "1" }, 1e-7),
  series({ __name__: "many_total", n: "2" }, 2),
];

/** Below /api/v1/; `{E}` is the samples' time. What stands in braces is encoded. */
const PATHS: readonly string[] = [
  ...["0", "-0", "1e20", "1e21", "1e22", "1e-6", "1e-7", "5e-324", "Inf", "-Inf", "NaN", "1.5"].map(
    (n) => `query?query=${n}&time=0.010`,
  ),
  ...["0", "1", "-1.5", "0.001", "1e9", "-0.25", "1795974420.123"].flatMap((time) => [
    `query?query=7&time=${time}`,
    `query?query={vector(1e22)}&time=${time}`,
    `query?query={"text"}&time=${time}`,
    `query_range?query={vector(1e-7)}&start=${time}&end=${time}&step=1`,
    `query_range?query=1e22&start=${time}&end=${time}&step=1`,
  ]),
  `query?query={"<&>\u2028\u2029 \\b\\f\\n \\x00 é😀 '"}&time=1`,
  'query?query={"\\xff\\xfe"}&time=1',
  "query?query={weird}&time={E}",
  "query?query={weird[1m]}&time={E}",
  'query?query={{"weird<&>"}}&time={E}',
  "query_range?query={weird}&start={E}&end={E}&step=1",
  "query_range?query={{__name__=~\"many.*\"}}&start={E}&end={E}&step=1",
  "query?query={sort(many_total)}&time={E}",
  `query?query={label_replace(many_total{n="1"}, "${NAME.slice(0, -1)}", "<&>\u2028\\b", "", "")}&time={E}`,
  'series?match[]=weird&match[]={{"weird<&>"}}',
  "labels",
  "label/value/values",
  "label/__name__/values",
  "label/{<&>}/values",
  'parse_query?query={sum by ("<a>", b) (a{b="<&>\u2028\\b"} * on ("&") group_left ("<") b)}',
  'parse_query?query={"\\xff"}',
  'parse_query?query={a{b="\\xff\\xe2\\x82"}}',
  'format_query?query={a{b="\\xff"}}',
  'format_query?query={a{b="<&>\u2028\\b"}}',
  "query?query={<&>}",
  "query?query={a<&>\u2028}",
  'query?query={a{b="\u2028<}',
  "query?query={weird}&timeout={<&>\u2028\\\u007f}",
  "query?query={weird}&time={<é>}",
  "query?query={weird}&limit={<é>\u0001}",
  "query_range?query={weird}&start={<}&end=1&step=1",
  "query_range?query={weird}&start=1&end=2&step={&\b}",
  "query_exemplars?query={weird<}",
  "query?query={quantile(2, weird)}&time={E}",
  "query?query={rate(weird[5m])}&time={E}",
  'query?query={weird + on () {__name__=~".+", value!=""}}&time={E}',
  "series?match[]={a<}",
  "query?query=%ff",
  "query?query=a%7Bb=%22%ff%22%7D&time=1",
  "query?query=%22%ff%22&time=1",
  "series",
  "metadata",
  "query_exemplars?query=weird",
  "rules?type={<>}",
  "alerts",
  "status/tsdb?limit={<}",
  "targets?state=any",
  "scrape_pools",
  "alertmanagers",
]; // biome-ignore format: one a line

function filled(path: string): string {
  return path
    .replaceAll("{E}", `${END_S}`)
    .replace(/=\{(.*?)\}(?=&[a-z[\]]+=|$)|\/\{(.*?)\}(?=\/)/gs, (whole, value?: string, name?: string) => {
      return whole[0] + encodeURIComponent((value ?? name)!);
    });
}

async function bytesOf(base: string, path: string): Promise<string> {
  const response = await fetch(`${base}/api/v1/${filled(path)}`);
  return `${response.status} ${Buffer.from(await response.arrayBuffer()).toString("latin1")}`;
}

let tidemark: Served;
beforeAll(async () => {
  tidemark = await serveAll();
  await load(tidemark.url, WORLD);
});
afterAll(() => tidemark?.stop());

test("every answer is UTF-8, and JSON", async () => {
  for (const path of PATHS) {
    const response = await fetch(`${tidemark.url}/api/v1/${filled(path)}`);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await response.arrayBuffer());
    expect(["success", "error"], path).toContain(JSON.parse(text).status);
  }
});

const command = findEqualPrometheus();
describe.runIf(command !== undefined)("beside a Prometheus 3", () => {
  let prometheus: RealPrometheus;
  beforeAll(async () => {
    prometheus = await startPrometheus(command!);
    await load(prometheus.url, WORLD);
  });
  afterAll(() => prometheus?.stop());

  test.each(PATHS)("%j", async (path) => {
    expect(await bytesOf(tidemark.url, path)).toBe(await bytesOf(prometheus.url, path));
  });
});
