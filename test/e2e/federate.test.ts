// test/e2e/federate.test.ts: /federate of `tidemark all`, line by line, and beside that of a real Prometheus with the same data.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BucketLayout, customLayout, exponentialLayout, type ResetHint } from "../../libs/model/index.ts";
import { load, presentMinute, type Served, serveAll, serveCluster, worldSeries } from "./api-world.ts";
import { findEqualPrometheus, type RealPrometheus, startPrometheus } from "./real-prometheus.ts";
import type { WriteSeries } from "./remote-write.ts";

let tidemark: Served;
let endS = 0;

beforeAll(async () => {
  tidemark = await serveAll();
  endS = presentMinute();
  await load(tidemark.url, worldSeries(endS));
});
afterAll(() => tidemark?.stop());

interface Exposed {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
}

async function federate(
  base: string,
  selectors: readonly string[],
  accept?: string,
  path = "/federate",
): Promise<Exposed> {
  const query = selectors.map((one) => `match[]=${encodeURIComponent(one)}`).join("&");
  const headers = accept === undefined ? { accept: "" } : { accept };
  const response = await fetch(`${base}${path}?${query}`, { headers });
  const type = response.headers.get("content-type");
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, type, text: bytes.toString(type?.includes("protobuf") ? "latin1" : "utf8") };
}

const lines = (...list: string[]): string => list.map((line) => `${line.replace(/ T$/, ` ${endS}000`)}\n`).join("");
const PLAIN = "text/plain; version=0.0.4; charset=utf-8; escaping=";

describe("the newest samples", () => {
  test("of one selector, with instance where it is missing", async () => {
    expect(await federate(tidemark.url, ["up", "no_target"])).toEqual({
      status: 200,
      type: `${PLAIN}underscores`,
      text: lines(
        "# TYPE no_target untyped",
        'no_target{instance=""} -1e-06 T',
        "# TYPE up untyped",
        'up{instance="host-0:9100",job="a"} 1 T',
        'up{instance="host-1:9100",job="b"} 1 T',
      ),
    });
  });

  test("each once, though several selectors find it", async () => {
    const { text } = await federate(tidemark.url, ['up{job="a"}', "up", '{__name__="up"}']);
    expect(text.split("\n").length).toBe(4);
  });

  test("numbers as Go prints them", async () => {
    expect((await federate(tidemark.url, ["odd"])).text).toBe(
      lines(
        "# TYPE odd untyped",
        'odd{kind="infinite",instance=""} +Inf T',
        'odd{kind="large",instance=""} 1.23456789012e+11 T',
        'odd{kind="nan",instance=""} NaN T',
        'odd{kind="zero",instance=""} 0 T',
      ),
    );
  });

  test.each([
    [undefined, "underscores", "# TYPE my_metric untyped", String.raw`my_metric{http_status="200",_="a\"b\\c\nd",instance=""}`],
    ["text/plain;version=0.0.4;escaping=dots", "dots", "# TYPE my_dot_metric untyped", String.raw`my_dot_metric{http_dot_status="200",__="a\"b\\c\nd",instance=""}`],
    ["text/plain;escaping=values", "values", "# TYPE U__my_2e_metric untyped", String.raw`U__my_2e_metric{U__http_2e_status="200",U___e9_="a\"b\\c\nd",instance=""}`],
    ["text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5", "allow-utf-8", '# TYPE "my.metric" untyped', String.raw`{"my.metric","http.status"="200","é"="a\"b\\c\nd",instance=""}`],
    ["text/plain;q=0.1,application/json;escaping=dots", "dots", "# TYPE my_dot_metric untyped", String.raw`my_dot_metric{http_dot_status="200",__="a\"b\\c\nd",instance=""}`],
    ["text/plain,application/json;escaping=dots;q=0.5", "underscores", "# TYPE my_metric untyped", String.raw`my_metric{http_status="200",_="a\"b\\c\nd",instance=""}`],
    ["text/plain;escaping=nonsense", "underscores", "# TYPE my_metric untyped", String.raw`my_metric{http_status="200",_="a\"b\\c\nd",instance=""}`],
  ])("with names escaped as %s asks", async (accept, scheme, typeLine, sample) => {
    const got = await federate(tidemark.url, ['{"my.metric"}'], accept);
    expect(got).toEqual({ status: 200, type: PLAIN + scheme, text: lines(typeLine, `${sample} 14.875 T`) });
  }); // biome-ignore format: one row per header

  test("of series that are stale, or older than the lookback, are none", async () => {
    expect((await federate(tidemark.url, ["gone", "old"])).text).toBe("");
    expect((await federate(tidemark.url, [])).text).toBe("");
    expect((await federate(tidemark.url, ["nothing"])).text).toBe("");
  });

  test("of another tenant are its own", async () => {
    expect((await federate(tidemark.url, ["up"], undefined, "/select/other/prometheus/federate")).text).toBe("");
    const own = await federate(tidemark.url, ["up"], undefined, "/select/default/prometheus/federate");
    expect(own.text.split("\n").length).toBe(4);
  });

  test("come compressed when there are many and the client takes it", async () => {
    const many = Array.from({ length: 800 }, (_, i) => ({
      labels: [["__name__", "many"], ["i", `${i}`], ["instance", "somewhere.example.org:9100"]] as const,
      times: [endS * 1000],
      values: Float64Array.of(i),
    })); // biome-ignore format: labels side by side
    await load(tidemark.url, many);
    const response = await fetch(`${tidemark.url}/federate?match[]=many`, { headers: { "accept-encoding": "gzip" } });
    expect(response.headers.get("content-encoding")).toBe("gzip");
    expect((await response.text()).split("\n").length).toBe(802);
  });
});

test("a cluster gives the same text", async () => {
  const cluster = await serveCluster();
  try {
    await load(cluster.writes, worldSeries(endS));
    for (const selectors of [["up"], ['{__name__=~".+",__name__!="many"}'], ["gone", "old", "odd"], ["-x"]]) {
      expect(await federate(cluster.url, selectors)).toEqual(await federate(tidemark.url, selectors));
    }
  } finally {
    await cluster.stop();
  }
});

test("what all selectors read together is limited", async () => {
  const small = await serveAll({ querySamplesMax: "150" });
  try {
    await load(small.url, worldSeries(endS));
    expect((await federate(small.url, ["up"])).status).toBe(200);
    const refused = await federate(
      small.url,
      Array.from({ length: 10 }, (_, i) => `{__name__=~"up|x${i}"}`),
    );
    expect([refused.status, refused.type]).toEqual([422, "text/plain; charset=utf-8"]);
  } finally {
    await small.stop();
  }
});

describe("refusals", () => {
  test.each([
    ["match[]=-not-a-name", "1:1: parse error: unexpected <op:->"],
    ["match[]=up%5B5m%5D", "1:3: parse error: unexpected \"[\""],
    ["match[]=up&match[]=%7B", "1:2: parse error: unexpected end of input inside braces"],
    ["match[]=up;x", "error parsing form values: invalid semicolon separator in query"],
    ["match[]=%zz", 'error parsing form values: invalid URL escape "%zz"'],
  ])("of %s", async (query, text) => {
    const response = await fetch(`${tidemark.url}/federate?${query}`);
    expect([response.status, await response.text()]).toEqual([400, `${text}\n`]);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  }); // biome-ignore format: one row per request

  test("of other methods, and of a tenant that is none", async () => {
    expect((await fetch(`${tidemark.url}/federate`, { method: "POST" })).status).toBe(405);
    expect((await fetch(`${tidemark.url}/select/a%20b/prometheus/federate`)).status).toBe(400);
  });
});

const command = findEqualPrometheus();
const PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

describe.skipIf(command === undefined)("beside a real Prometheus 3", () => {
  let prometheus: RealPrometheus;
  beforeAll(async () => {
    prometheus = await startPrometheus(command!);
    await load(prometheus.url, worldSeries(endS));
    for (const { url } of [prometheus, tidemark]) await load(url, histogramSeries());
  });
  afterAll(() => prometheus?.stop());

  const ACCEPTS = [
    undefined,
    "*/*",
    "text/plain;escaping=dots",
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5",
    "application/openmetrics-text;version=1.0.0;escaping=values;q=0.7,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
    "application/openmetrics-text",
    "text/html",
    PROTOBUF,
    `${PROTOBUF};escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5`,
    `text/plain;escaping=values;q=0.1,${PROTOBUF};q=0.7`,
    `${PROTOBUF};q=0.1,text/plain;q=0.7`,
    "application/vnd.google.protobuf;proto=something.Else;encoding=delimited",
  ];
  const SELECTORS = [
    ["up"],
    ['{__name__=~".+",__name__!~"native.*"}'],
    ["{}"],
    ["{}", "up"],
    ['{job="",__name__=~"o.+"}'],
    ["odd", "up", 'up{job="a"}'],
    ["gone", "old"],
    // One histogram at a time: of several, Prometheus tells the last one's numbers for all.
    ['native{k="a"}'],
    ['native{k="b"}'],
    ['native{k="gauge"}'],
    ['native{k=~"a|float"}', "up"],
    ['{"native.custom"}'],
    ['{"my.metric"}'],
    ['latency_bucket{le!="1"}'],
    ["nothing"],
    [],
    ["-x"],
    ["up[5m]"],
    ["up", "{"],
    ['{a="b"'],
    ["up offset 5m"],
    [""],
  ];
  test.each(ACCEPTS)("accepting %s", async (accept) => {
    for (const selectors of SELECTORS) {
      const theirs = await federate(prometheus.url, selectors, accept);
      expect(await federate(tidemark.url, selectors.map(withoutMany), accept), selectors.join()).toEqual(theirs);
    }
  });
});

/** Native histograms of both kinds, a gauge, and a name that has floats as well. */
function histogramSeries(): WriteSeries[] {
  const wide = exponentialLayout(2, 0.001, [-3, -2, 0, 5], [1]);
  const custom = customLayout([0.1, 1, 5], [0, 2, 3]);
  const one = (name: string, k: string, layout: BucketLayout, buckets: number[], hint: ResetHint): WriteSeries => {
    const count = buckets.reduce((sum, n) => sum + n, 2);
    const zeroCount = layout === wide ? 2 : 0;
    const histogram = { layout, hint, count, sum: 12.5, zeroCount, buckets: Float64Array.from(buckets) };
    const labels = [
      ["__name__", name],
      ["k", k],
    ] as const;
    return { labels, times: [], values: new Float64Array(0), histograms: [{ timeMs: endS * 1000, histogram }] };
  };
  return [
    one("native", "a", wide, [1, 2, 3.5, 4, 7], 0),
    one("native", "b", wide, [1, 0, 3, 4, 9], 0),
    one("native", "gauge", wide, [1, 2, 3, 4, 5], 3),
    one("native.custom", "c", custom, [1, 2, 0], 0),
    { labels: [["__name__", "native"], ["k", "float"]], times: [endS * 1000], values: Float64Array.of(-0) },
  ]; // biome-ignore format: one a line
}

/** Leaves out the series that only Tidemark was given. */
function withoutMany(selector: string): string {
  return selector.replace('{__name__=~".+"', '{__name__=~".+",__name__!="many"');
}
