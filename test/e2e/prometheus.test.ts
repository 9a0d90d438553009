// test/e2e/prometheus.test.ts: a real Prometheus scrapes a real node_exporter and itself and remote-writes into Tidemark,
// in one process and as a cluster; then both are asked the same questions.
// Windows are left-open since Prometheus 3.0 and were closed before. An older Prometheus agrees wherever no sample lies
// exactly on a window's edge, so questions are asked at a millisecond of the second at which no scrape happened.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { binary } from "../needs.ts";
import { type Answer, ask, compare, type Question } from "./api.ts";
import { freePort, type Running, sleep, start, startTidemark, stop, until, untilOk } from "./processes.ts";
import { INSTANT, OVER_WINDOWS } from "./queries.ts";

const prometheusBin = binary("prometheus", "PROM_BIN");
const exporterBin = binary("prometheus-node-exporter", "NODE_EXPORTER_BIN");
const RELATIVE = 1e-9;
const THROTTLE_MS = 60_000;
/** Prometheus sends remote write 2.0 since its third version. */
const writesSecondVersion =
  prometheusBin !== undefined && /version ([3-9]|\d\d)\./.test(spawnSync(prometheusBin, ["--version"]).output.join(""));

describe.skipIf(!prometheusBin || !exporterBin)("a real Prometheus as the client", () => {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-e2e-"));
  const running: Running[] = [];
  let proxy: Server;
  let prometheus = "";
  let all = "";
  let cluster = "";
  let throttled = "";
  let second = "";
  let storages: string[] = [];
  let refused = 0;
  let questions: Question[] = [];

  beforeAll(async () => {
    const ports = await Promise.all(Array.from({ length: 9 }, freePort));
    const at = (i: number): string => `127.0.0.1:${ports[i]}`;
    const launch = (one: Running): Running => {
      running.push(one);
      return one;
    };
    launch(start("node_exporter", exporterBin!, [`--web.listen-address=${at(0)}`]));
    const quiet = ["--self-scrape", "off"];
    launch(startTidemark("all", ["all", "--http-listen", at(1), "--data-dir", join(dir, "all"), ...quiet]));
    const grpc = `${at(3)},${at(5)}`;
    storages = [at(2), at(4)];
    for (const [http, rpc] of [
      [2, 3],
      [4, 5],
    ] as const) {
      launch(
        startTidemark(`storage ${rpc}`, [
          ...["storage", "--http-listen", at(http), "--grpc-listen", at(rpc)],
          ...["--data-dir", join(dir, `storage-${rpc}`)],
        ]),
      );
    }
    for (const i of [2, 4]) await untilOk(`http://${at(i)}/-/ready`, 30_000, running);
    launch(startTidemark("insert", ["insert", "--http-listen", at(6), "--storage", grpc]));
    launch(startTidemark("select", ["select", "--http-listen", at(7), "--storage", grpc]));
    for (const i of [1, 6, 7]) await untilOk(`http://${at(i)}/-/ready`, 30_000, running);

    const began = Date.now();
    proxy = createServer((req, res) => {
      if (Date.now() - began < THROTTLE_MS) {
        refused++;
        req.resume().on("end", () => res.writeHead(503, { "retry-after": "1" }).end("busy"));
        return;
      }
      const path = "/insert/throttled/prometheus/api/v1/write";
      const onward = request(
        { host: "127.0.0.1", port: ports[1], path, method: "POST", headers: req.headers },
        (answer) => {
          res.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(res);
        },
      );
      onward.on("error", () => res.writeHead(503).end());
      req.pipe(onward);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const proxyAddress = proxy.address();
    if (proxyAddress === null || typeof proxyAddress === "string") throw new Error("proxy has no port");

    const queue = "queue_config: {batch_send_deadline: 500ms, min_backoff: 30ms, max_backoff: 1s}";
    writeFileSync(
      join(dir, "prometheus.yml"),
      `global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
- {job_name: node, static_configs: [{targets: ["${at(0)}"]}]}
- {job_name: prometheus, static_configs: [{targets: ["${at(8)}"]}]}
remote_write:
- {name: all, url: "http://${at(1)}/api/v1/write", ${queue}}
- {name: cluster, url: "http://${at(6)}/api/v1/write", ${queue}}
- {name: throttled, url: "http://127.0.0.1:${proxyAddress.port}/write", ${queue}}
${writesSecondVersion ? `- {name: second, url: "http://${at(1)}/insert/second/prometheus/api/v1/write", protobuf_message: io.prometheus.write.v2.Request, ${queue}}` : ""}
`,
    );
    launch(
      start("prometheus", prometheusBin!, [
        ...[`--config.file=${join(dir, "prometheus.yml")}`, `--storage.tsdb.path=${join(dir, "prometheus")}`],
        ...[`--web.listen-address=${at(8)}`],
      ]),
    );
    await untilOk(`http://${at(8)}/-/ready`, 60_000, running);
    prometheus = `http://${at(8)}`;
    all = `http://${at(1)}`;
    cluster = `http://${at(7)}`;
    throttled = `http://${at(1)}/select/throttled/prometheus`;
    await sleep(THROTTLE_MS + 12_000 - (Date.now() - began));
    questions = await chooseTimes(prometheus);
    const last = Math.max(...questions.map((q) => q.time ?? q.end!));
    second = `http://${at(1)}/select/second/prometheus`;
    for (const base of [all, cluster, throttled, ...(writesSecondVersion ? [second] : [])])
      await untilWritten(base, last, running);
  }, 240_000);

  afterAll(async () => {
    for (const one of running.reverse()) await stop(one);
    proxy?.close();
    rmSync(dir, { recursive: true, force: true });
  }, 120_000);

  async function compareAll(base: string): Promise<void> {
    let nonEmpty = 0;
    const wrong: string[] = [];
    for (const q of questions) {
      const [want, got] = await Promise.all([ask(prometheus, q), ask(base, q)]);
      const { points, differences } = compare(want, got, RELATIVE);
      if (points > 0) nonEmpty++;
      if (differences.length > 0)
        wrong.push(`${q.query} ${q.time ? "instant" : "range"}\n    ${differences.join("\n    ")}`);
    }
    expect(wrong.join("\n")).toBe("");
    expect(questions.length).toBeGreaterThanOrEqual(120);
    expect(nonEmpty / questions.length).toBeGreaterThanOrEqual(0.9);
  }

  test("one process gives Prometheus' answers", () => compareAll(all), 120_000);
  test("remote write 2.0, from a Prometheus that has it; else as 1.0", () => {
    return compareAll(writesSecondVersion ? second : all);
  }, 120_000);
  test("one insert, two storages and one select give Prometheus' answers", () => compareAll(cluster), 120_000);

  test("503 for a minute leaves no hole", async () => {
    expect(refused).toBeGreaterThan(10);
    for (const query of ["count_over_time(up[60s])", "sum(count_over_time(node_cpu_seconds_total[60s]))"]) {
      const q = { query, time: questions[0]!.time! };
      const want = await ask(prometheus, q);
      expect(compare(want, await ask(throttled, q), RELATIVE)).toEqual({ points: expect.any(Number), differences: [] });
      expect((want.data!.result as unknown[]).length).toBeGreaterThan(0);
    }
  });

  test("both storages of the cluster hold series, none of them twice", async () => {
    const held = await Promise.all(
      storages.map(async (address) => {
        const text = await (await fetch(`http://${address}/metrics`)).text();
        return Number(/^tidemark_storage_series (\d+)/m.exec(text)?.[1]);
      }),
    );
    for (const series of held) expect(series).toBeGreaterThan(100);
    const query = 'count({job=~".+"})';
    const count = async (base: string): Promise<number> => {
      const answer = await ask(base, { query, time: questions[0]!.time! });
      return Number((answer.data!.result as { value: [number, string] }[])[0]!.value[1]);
    };
    expect(await count(cluster)).toBe(await count(prometheus));
  });

  test("labels, values, series and metadata endpoints agree", async () => {
    const window = `start=${questions[0]!.time! - 60}&end=${questions[0]!.time!}`;
    const paths = [
      `labels?${window}`,
      `label/__name__/values?${window}`,
      `label/mode/values?${window}`,
      `label/job/values?match[]=up&${window}`,
      `series?match[]=up&match[]=node_load1&${window}`,
    ];
    for (const path of paths) {
      const get = async (base: string) => (await (await fetch(`${base}/api/v1/${path}`)).json()) as { data: unknown[] };
      const want = await get(prometheus);
      for (const base of [all, cluster]) expect({ path, ...(await get(base)) }).toEqual({ path, ...want });
      expect(want.data.length).toBeGreaterThan(0);
    }
    await until(
      "metadata to arrive", // Prometheus sends it once a minute.
      async () => {
        const answer = (await (await fetch(`${all}/api/v1/metadata?metric=node_load1`)).json()) as {
          data: Record<string, { type: string }[]>;
        };
        return answer.data.node_load1?.[0]?.type === "gauge" ? true : undefined;
      },
      90_000,
      running,
    );
  }, 120_000);
});

/** Questions at times at which no sample lies on the edge of any window we use. */
async function chooseTimes(base: string): Promise<Question[]> {
  const now = Math.floor(Date.now() / 1000) - 6;
  const answer: Answer = await ask(base, { query: '{__name__=~"up|scrape_duration_seconds"}[70s]', time: now });
  const taken = new Set<number>();
  for (const series of answer.data!.result as { values: [number, string][] }[]) {
    for (const [time] of series.values) taken.add(Math.round(time * 1000) % 1000);
  }
  // Not at 0: there the steps of subqueries lie on the edges of their windows.
  const free = Array.from({ length: 999 }, (_, i) => i + 1).filter((ms) => ![-1, 0, 1].some((d) => taken.has(ms + d)));
  if (free.length === 0) throw new Error("scrapes happen at every millisecond of a second");
  const end = now + free[0]! / 1000;
  const start = end - 30;
  return [
    ...[...INSTANT, ...OVER_WINDOWS].map((query) => ({ query, time: end })),
    ...[...INSTANT, ...OVER_WINDOWS]
      .filter((query) => !/^(sort|topk|bottomk)/.test(query))
      .map((query) => ({ query, start, end, step: 5 })),
  ];
}

/** Waits until every target's newest sample in `base` is later than `time`. */
async function untilWritten(base: string, time: number, running: readonly Running[]): Promise<void> {
  await until(
    `${base} to hold samples up to ${time}`,
    async () => {
      const answer = await ask(base, { query: "count(timestamp(up) > 0)", time: time + 4 });
      const fresh = await ask(base, { query: `count(timestamp(up) > ${time})`, time: time + 4 });
      const n = (a: Answer) => (a.data?.result as Sample1[] | undefined)?.[0]?.value[1];
      return n(answer) === "2" && n(fresh) === "2" ? true : undefined;
    },
    90_000,
    running,
  );
}

interface Sample1 {
  readonly value: [number, string];
}
