// services/cli/warm-up.ts: what a process does before it is ready, so that it is fast from its first request on: writes and queries
// a small storage in memory over its own HTTP, for some tenths of a second. JavaScript is slow until it has run for a while: without
// this the first dashboard costs ten times the CPU time that the next one does. Nothing of it stays, and nothing of it is in the metrics.
import { Agent, request } from "node:http";
import { compressSync } from "snappy";
import { cryptoRandom, nodeClock, nodeProcesses, SimFileSystem } from "../../libs/env/index.ts";
import type { Queryable } from "../../libs/model/index.ts";
import { ClusterPin, connectIngest, connectQuery, serveStorage } from "../../libs/rpc/index.ts";
import { type ExposedFamily, type HostPort, Lifecycle, type Logger, listenHttp } from "../../libs/runtime/index.ts";
import { Db } from "../../libs/tsdb/index.ts";
import { IngestHandler } from "../insert/index.ts";
import { createSelectApi } from "../select/index.ts";
import { untilConnected } from "./ingest.ts";
import { encodeSamples } from "./remote-write-message.ts";
import { writeRoutes } from "./write-routes.ts";

export interface WarmUpOptions {
  /** How long it may take, about; 0: not at all. */
  readonly budgetMs: number;
  /** Whether the process talks to others, so that calls over gRPC are what has to become fast. */
  readonly overGrpc: boolean;
  /** Whether blocks are asked, too: not where real ones are read ahead afterwards. */
  readonly asksBlocks: boolean;
  readonly version: string;
  readonly log: Logger;
}

const MIB = 1024 * 1024;
const HEAD_BYTES = 32 * MIB;
const HOSTS = 10;
const CPUS = 2;
const MODES = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const GAUGES = 14;
/** Hosts that report a load: quantiles of a few values are found in another way than those of many. */
const LOADS = 60;
const STEP_MS = 1000;
const SCRAPES = 360;
/** Of the budget, writes are over by this, and queries on the head by that; the rest is for queries on blocks. */
const WRITES_SHARE = 0.4;
const HEAD_SHARE = 0.65;

/** Forms that dashboards are made of. */
const QUERIES = [
  'rate(warm_cpu_seconds_total{instance="host-3",mode="user"}[1m])',
  'sum by (mode) (rate(warm_cpu_seconds_total{instance="host-3"}[1m]))',
  '100 - avg by (instance) (rate(warm_cpu_seconds_total{mode="idle"}[1m])) * 100',
  "sum by (mode) (rate(warm_cpu_seconds_total[1m]))",
  "1 - warm_gauge_1_bytes / warm_gauge_2_bytes",
  "topk(3, sum by (instance) (rate(warm_cpu_seconds_total[1m])))",
  "quantile(0.9, warm_load)",
  "max by (instance) (max_over_time(warm_load[2m]))",
  'sum by (__name__) ({__name__=~"warm_gauge_.*_bytes"})',
  'count({job="warm"})',
];

/** Works on a storage of its own until the budget is used up. Never rejects: a process that is not warm is ready all the same. */
export async function warmUp(options: WarmUpOptions): Promise<void> {
  if (options.budgetMs === 0) return;
  const ends: (() => unknown)[] = [];
  try {
    await run(options, ends);
  } catch (err) {
    options.log.debug({ err }, "warm-up was cut short");
  }
  for (const end of ends.reverse()) {
    try {
      await end();
    } catch (err) {
      options.log.debug({ err }, "warm-up was not cleared away");
    }
  }
}

async function run(
  { budgetMs, overGrpc, asksBlocks, version, log }: WarmUpOptions,
  ends: (() => unknown)[],
): Promise<void> {
  const began = performance.now();
  const isWithin = (share: number): boolean => performance.now() - began < budgetMs * share;
  const quiet = log.child({}, { level: "silent" });
  const engine = await Db.open({
    dataDir: "/warm-up",
    fs: new SimFileSystem(),
    clock: nodeClock,
    random: cryptoRandom,
    processes: nodeProcesses,
    shardCount: 4,
    headMemoryBytes: HEAD_BYTES,
    // Nothing is kept, so that reading a block for the first time becomes fast.
    blockMemoryBytes: 0,
    retentionMs: Number.POSITIVE_INFINITY,
    maxFutureMs: STEP_MS,
    seriesMax: 100_000,
    walMode: "inline",
  });
  ends.push(() => engine.close());
  let target = { address: "local", connect: async () => engine.openSession() };
  let queryable: Queryable = engine.queryable;
  if (overGrpc) {
    const server = await serveStorage({ engine, listen: "127.0.0.1:0", log: quiet });
    ends.push(() => server.close());
    const pin = new ClusterPin();
    target = connectIngest(server.address, { pin });
    const remote = connectQuery(server.address, { pin });
    ends.push(() => remote.close());
    queryable = remote;
  }
  const handler = new IngestHandler({ targets: [target], random: cryptoRandom, clock: nodeClock });
  ends.push(() => handler.close(0));
  await untilConnected(handler, AbortSignal.timeout(budgetMs));
  const api = createSelectApi({
    queryable: () => queryable,
    nowMs: nodeClock.nowMs,
    version,
    lookbackMs: 5 * 60_000,
    experimental: false,
    bodyMaxBytes: MIB,
    timeoutMs: budgetMs,
    concurrency: 4,
    queueMax: 4,
    samplesMax: 10_000_000,
    seriesMax: 100_000,
    bytesMax: 64 * MIB,
    stepsMax: 11_000,
    readSamplesMax: 1_000_000,
    readBytesMax: MIB,
    slowMs: 0,
    onSlow: () => undefined,
  });
  const lifecycle = new Lifecycle();
  lifecycle.becomeReady();
  const routes = [...writeRoutes(() => handler, MIB), ...api.routes];
  const listen: HostPort = { host: "127.0.0.1", port: 0 };
  const server = await listenHttp({ listen, routes, lifecycle, log: quiet, version, connectionsMax: 16 });
  ends.push(() => server.close(0));
  const agent = new Agent({ keepAlive: true });
  ends.push(() => agent.destroy());
  const { port } = server.address;
  const endMs = nodeClock.nowMs();
  for (let scrape = 1; scrape <= SCRAPES && isWithin(WRITES_SHARE); scrape++) {
    const body = compressSync(encodeSamples(exposed(scrape), { job: "warm" }, endMs - (SCRAPES - scrape) * STEP_MS));
    await exchange(agent, port, "POST", "/api/v1/write", body);
  }
  const range = `start=${(endMs - SCRAPES * STEP_MS) / 1000}&end=${endMs / 1000}&step=1`;
  const ask = async (share: number): Promise<void> => {
    while (isWithin(share)) {
      for (const query of QUERIES) {
        if (!isWithin(share)) return;
        const text = encodeURIComponent(query);
        await exchange(agent, port, "GET", `/api/v1/query_range?query=${text}&${range}`);
        await exchange(agent, port, "GET", `/api/v1/query?query=${text}&time=${endMs / 1000}`);
      }
    }
  };
  await ask(HEAD_SHARE);
  if (!asksBlocks) return;
  await engine.flush();
  await ask(1);
}

/** What the hosts report at one scrape. */
function exposed(scrape: number): ExposedFamily[] {
  const values: ExposedFamily["values"][number][] = [];
  for (let host = 0; host < HOSTS; host++) {
    const instance = `host-${host}`;
    for (let cpu = 0; cpu < CPUS; cpu++) {
      for (const [i, mode] of MODES.entries()) {
        const labels = { instance, cpu: String(cpu), mode };
        values.push({ name: "warm_cpu_seconds_total", labels, value: scrape * (i + 1.25) });
      }
    }
    for (let gauge = 0; gauge < GAUGES; gauge++) {
      const value = 4096 * (gauge + ((scrape * host) % 7) + 1);
      values.push({ name: `warm_gauge_${gauge}_bytes`, labels: { instance }, value });
    }
  }
  for (let host = 0; host < LOADS; host++) {
    values.push({ name: "warm_load", labels: { instance: `host-${host}` }, value: ((scrape * (host + 3)) % 17) / 8 });
  }
  return [{ name: "warm", help: "", type: "gauge", values }];
}

/** Sends one request and reads its answer to the end. */
function exchange(agent: Agent, port: number, method: string, path: string, body?: Uint8Array): Promise<void> {
  const headers = { "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy" };
  return new Promise((resolve, reject) => {
    const sent = request({ agent, host: "127.0.0.1", port, method, path, headers }, (answer) => {
      answer.on("end", resolve).on("error", reject).resume();
    });
    sent.on("error", reject).end(body);
  });
}
