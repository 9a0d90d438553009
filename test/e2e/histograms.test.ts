// test/e2e/histograms.test.ts: a real Prometheus scrapes native histograms, custom buckets, exemplars and start times from itself and from an
// exporter, and remote-writes them in both versions into one process and into three storages; then all are asked the same questions,
// before and after what they hold is cut into files and the processes are started anew. An older Prometheus (Debian has 2.42) sends what it
// has in version 1: exemplars.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { binary } from "../needs.ts";
import { freePort, type Running, sleep, start, startTidemark, stop, until, untilOk } from "./processes.ts";

const prometheusBin = binary("prometheus", "PROM_BIN");
/** A Prometheus that stores start times scrapes histograms without a feature flag, too. */
const isRecent =
  prometheusBin !== undefined && spawnSync(prometheusBin, ["--help"]).output.join("").includes("st-storage");
const RELATIVE = 1e-9;
/** Exemplars have times from here on. */
const began = Math.floor(Date.now() / 1000) - 100;

/** An OpenMetrics page whose counters grow with each look at it. */
function page(look: number): string {
  const created = 1_700_000_000.5;
  const lines = ["# TYPE req_seconds histogram"];
  const counts = [look, 3 * look, 3 * look + Math.floor(look / 2)];
  ["0.1", "1.5", "+Inf"].forEach((le, i) => {
    const exemplar = i === 1 ? ` # {trace_id="t${look}",user="é"} 0.${look + 10} ${began + look}.125` : "";
    lines.push(`req_seconds_bucket{le="${le}"} ${counts[i]}${exemplar}`);
  });
  lines.push(`req_seconds_count ${counts[2]}`, `req_seconds_sum ${look * 1.25}`, `req_seconds_created ${created}`);
  lines.push("# TYPE jobs counter", `jobs_total ${look * 2} # {trace_id="j${look}"} 1`, `jobs_created ${created}`);
  return `${lines.join("\n")}\n# EOF\n`;
}

/** Whether two answers are the same but for the last digits of numbers; a path to the first difference otherwise. */
function difference(a: unknown, b: unknown, path = ""): string {
  if (typeof a === "string" && typeof b === "string" && a !== b) {
    const [x, y] = [Number(a), Number(b)];
    const near = Math.abs(x - y) <= RELATIVE * Math.max(Math.abs(x), Math.abs(y));
    return near ? "" : `${path}: ${a} and ${b}`;
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return a === b ? "" : `${path}: ${JSON.stringify(a)} and ${JSON.stringify(b)}`;
  }
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const name of names) {
    const found = difference((a as never)[name], (b as never)[name], `${path}/${name}`);
    if (found !== "") return found;
  }
  return "";
}

interface Result {
  readonly metric: object;
}

/** Series of a vector or matrix in the order of their labels. */
function sorted(data: { result: Result[] }): unknown {
  const key = ({ metric }: Result): string =>
    JSON.stringify(Object.entries(metric).sort(([x], [y]) => (x < y ? -1 : 1)));
  return [...data.result].sort((x, y) => (key(x) < key(y) ? -1 : 1));
}

const SELF = 'prometheus_http_request_duration_seconds{handler=~".*(metrics|query).*"}';

/** Questions whose answers don't depend on start times. */
const PLAIN = [
  SELF,
  "req_seconds",
  "req_seconds_bucket",
  "histogram_count(req_seconds)",
  `histogram_quantile(0.9, sum by (handler) (${SELF}))`,
  "histogram_quantile(0.5, req_seconds)",
  "histogram_fraction(0, 0.2, req_seconds)",
  `avg_over_time(${SELF}[10s])`,
  "count_over_time(req_seconds[10s])",
  'count by (job) ({__name__=~"req_seconds.*|prometheus_.*"})',
  "sum(histogram_sum(req_seconds)) + sum(jobs_total)",
  `last_over_time(${SELF}[30s])`,
];

/** What every version of Prometheus has. */
const FLOATS = ["req_seconds_bucket", "sum(jobs_total)"];

/** Questions that look at start times where the server is told to. */
const STARTS = [
  "rate(req_seconds[10s])",
  "rate(jobs_total[10s])",
  "increase(req_seconds_count[1h])",
  `rate(${SELF}[10s])`,
  "resets(jobs_total[1h])",
];

describe.skipIf(!prometheusBin)("histograms of a real Prometheus", () => {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-hist-"));
  const running: Running[] = [];
  const tidemarks: Running[] = [];
  let exporter: Server;
  let prometheus = "";
  let all = "";
  let ports: number[] = [];
  /** Seconds. */
  let time = 0;
  const at = (i: number): string => `127.0.0.1:${ports[i]}`;

  /** Starts one process as `all`, and three storages with an insert and a select. */
  async function startTidemarks(): Promise<void> {
    const launch = (one: Running): void => void tidemarks.push(one);
    const query = ["--promql-start-timestamps"];
    const admin = ["--enable-admin-api"];
    launch(
      startTidemark("all", [
        "all",
        "--http-listen",
        at(1),
        "--data-dir",
        join(dir, "all"),
        "--self-scrape",
        "off",
        ...admin,
        ...query,
      ]),
    );
    const grpc = [at(3), at(5), at(7)].join();
    for (const i of [2, 4, 6]) {
      const data = ["--data-dir", join(dir, `storage-${i}`)];
      launch(
        startTidemark(`storage ${i}`, [
          "storage",
          "--http-listen",
          at(i),
          "--grpc-listen",
          at(i + 1),
          ...data,
          ...admin,
        ]),
      );
    }
    for (const i of [1, 2, 4, 6]) await untilOk(`http://${at(i)}/-/ready`, 60_000, tidemarks);
    launch(startTidemark("insert", ["insert", "--http-listen", at(8), "--storage", grpc]));
    launch(startTidemark("select", ["select", "--http-listen", at(9), "--storage", grpc, ...query]));
    for (const i of [8, 9]) await untilOk(`http://${at(i)}/-/ready`, 60_000, tidemarks);
  }

  async function stopTidemarks(): Promise<void> {
    for (const one of tidemarks.splice(0).reverse()) await stop(one);
  }

  beforeAll(async () => {
    ports = await Promise.all(Array.from({ length: 12 }, freePort));
    await startTidemarks();
    let look = 0;
    exporter = createServer((_, res) => {
      res.writeHead(200, { "content-type": "application/openmetrics-text; version=1.0.0; charset=utf-8" });
      res.end(page(++look));
    });
    await new Promise<void>((resolve) => exporter.listen(ports[10], "127.0.0.1", resolve));
    const queue =
      "send_exemplars: true, send_native_histograms: true, queue_config: {batch_send_deadline: 300ms, min_backoff: 30ms, max_backoff: 1s}";
    const v2 = isRecent ? ", protobuf_message: io.prometheus.write.v2.Request" : "";
    const native = isRecent ? ", scrape_native_histograms: true" : "";
    const converted = isRecent
      ? "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true, "
      : "";
    const features = isRecent ? ",xor2-encoding,histograms-st-encoding,st-storage,use-start-timestamps" : "";
    writeFileSync(
      join(dir, "prometheus.yml"),
      `global: {scrape_interval: 1s, scrape_timeout: 1s${native}}
storage: {exemplars: {max_exemplars: 10000}}
scrape_configs:
- {job_name: prometheus, static_configs: [{targets: ["${at(11)}"]}]}
- {job_name: exporter, ${converted}static_configs: [{targets: ["${at(10)}"]}]}
remote_write:
- {name: one, url: "http://${at(1)}/insert/one/prometheus/api/v1/write", ${queue}}
- {name: two, url: "http://${at(1)}/insert/two/prometheus/api/v1/write"${v2}, ${queue}}
- {name: cluster, url: "http://${at(8)}/api/v1/write"${v2}, ${queue}}
`,
    );
    running.push(
      start("prometheus", prometheusBin!, [
        ...[`--config.file=${join(dir, "prometheus.yml")}`, `--storage.tsdb.path=${join(dir, "prometheus")}`],
        ...[`--web.listen-address=${at(11)}`, `--enable-feature=exemplar-storage${features}`],
      ]),
    );
    prometheus = `http://${at(11)}`;
    all = `http://${at(1)}`;
    await untilOk(`${prometheus}/-/ready`, 60_000, running);
    await sleep(20_000);
    // A moment between two scrapes, that everyone has everything of.
    time = Math.floor(Date.now() / 1000) - 4 + 0.0005;
    for (const [, base] of targets()) {
      await until(
        `samples at ${base}`,
        async () => {
          const { data } = await ask(base, "query", { query: "min(timestamp(up))", time: String(time + 3) });
          const [, newest] = (data as { result: { value: [number, string] }[] }).result[0]!.value;
          return Number(newest) > time + 1 ? true : undefined;
        },
        60_000,
        [...running, ...tidemarks],
      );
    }
  }, 300_000);

  afterAll(async () => {
    for (const one of running) await stop(one);
    await stopTidemarks();
    exporter?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  function targets(): [name: string, base: string][] {
    return [
      ["version 1", `${all}/select/one/prometheus`],
      ["version 2", `${all}/select/two/prometheus`],
      ["three storages", `http://${at(9)}`],
    ];
  }

  async function ask(
    base: string,
    path: string,
    params: Record<string, string>,
  ): Promise<{ status: string; data: unknown }> {
    const response = await fetch(`${base}/api/v1/${path}`, { method: "POST", body: new URLSearchParams(params) });
    return (await response.json()) as { status: string; data: unknown };
  }

  async function compareAll(): Promise<void> {
    const failures: string[] = [];
    let histograms = 0;
    for (const query of isRecent ? [...PLAIN, ...STARTS] : FLOATS) {
      for (const [path, params] of [
        ["query", { query, time: String(time) }],
        ["query_range", { query, start: String(time - 12), end: String(time), step: "3" }],
      ] as const) {
        const wanted = await ask(prometheus, path, params);
        const want = sorted(wanted.data as never) as object[];
        if (want.length === 0) failures.push(`${query}: no series at Prometheus`);
        histograms += JSON.stringify(want).split('"buckets"').length - 1;
        for (const [name, base] of targets()) {
          // Version 1 has no start times and no custom buckets.
          if (name === "version 1" && (STARTS.includes(query) || query.includes("req_seconds"))) continue;
          const got = await ask(base, path, params);
          const found = got.status === "success" ? difference(want, sorted(got.data as never)) : JSON.stringify(got);
          if (found !== "") failures.push(`${name}: ${path} ${query}: ${found}`);
        }
      }
    }
    const range = {
      query: "req_seconds_bucket or jobs_total or req_seconds",
      start: String(time - 1e9),
      end: "1800000000",
    };
    const { data } = await ask(prometheus, "query_exemplars", range);
    const wanted = data as { exemplars: { labels: { trace_id: string } }[] }[];
    for (const [name, base] of targets()) {
      const got = (await ask(base, "query_exemplars", range)).data as typeof wanted;
      // The newest may be on their way: what both have is compared.
      const common = (list: typeof wanted, other: typeof wanted): unknown =>
        list.map(({ exemplars, ...series }, i) => ({
          ...series,
          exemplars: exemplars.slice(0, Math.min(exemplars.length, other[i]?.exemplars.length ?? 0)),
        }));
      const found = difference(common(wanted, got), common(got, wanted));
      if (found !== "" || got.length === 0 || got[0]!.exemplars.length < 10)
        failures.push(`${name}: exemplars: ${found}`);
    }
    for (const i of [1, 8]) {
      const text = await (await fetch(`http://${at(i)}/metrics`)).text();
      failures.push(...text.split("\n").filter((line) => line.startsWith("tidemark_insert_refused_total{")));
    }
    expect(failures.join("\n")).toBe("");
    expect(wanted.length).toBeGreaterThanOrEqual(2);
    expect(histograms).toBeGreaterThan(isRecent ? 20 : -1);
  }

  test("answers agree, exemplars and start times included", compareAll);

  test("the same after histograms are in files, and after a restart", async () => {
    for (const i of [1, 2, 4, 6]) {
      const response = await fetch(`http://${at(i)}/api/v1/admin/flush`, { method: "POST" });
      expect(response.status).toBe(200);
    }
    await compareAll();
    for (const one of running) one.child.kill("SIGSTOP");
    await stopTidemarks();
    await startTidemarks();
    for (const one of running) one.child.kill("SIGCONT");
    await compareAll();
  });
});
