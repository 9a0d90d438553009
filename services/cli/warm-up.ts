// services/cli/warm-up.ts: what a process does before it is ready, so that it is fast from its first request on: writes and queries
// a small storage in memory over its own HTTP, for some tenths of a second. JavaScript is slow until it has run for a while: without
// this the first dashboard costs ten times the CPU time that the next one does. Nothing of it stays, and nothing of it is in the metrics.
import { Agent, request } from "node:http";
import { compressSync } from "snappy";
import { cryptoRandom, nodeClock, nodeProcesses, SimFileSystem } from "../../libs/env/index.ts";
import { InternalError, type Queryable } from "../../libs/model/index.ts";
import { ClusterPin, connectIngest, connectQuery, serveStorage } from "../../libs/rpc/index.ts";
import { type HostPort, Lifecycle, type Logger, listenHttp } from "../../libs/runtime/index.ts";
import { Db } from "../../libs/tsdb/index.ts";
import { IngestHandler } from "../insert/index.ts";
import { createSelectApi } from "../select/index.ts";
import { untilConnected } from "./ingest.ts";
import { STEP_MS, Traffic } from "./warm-up-traffic.ts";
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
/** Scrapes at most, and steps of a query. */
const SCRAPES_MAX = 3000;
const STEPS = 360;
/** Some steps for each scrape, so that few scrapes make long answers. */
const QUERY_STEP_MS = STEP_MS / 4;
/** What most of the queries' windows see. */
const WINDOW_MS = 25_000;
/** What each round takes of the budget. */
const ROUND_SHARES = [0.4, 0.6] as const;
/** Of a round, writes are over by this, and queries on the head by that; the rest is for queries on blocks. */
const WRITES_SHARE = 0.4;
const HEAD_SHARE = 0.65;

/** Then the next connection is opened. */
const REQUESTS_PER_CONNECTION = 32;

/** Forms that dashboards are made of. */
const QUERIES = [
  'rate(warm_cpu_seconds_total{instance="host-3",mode="user"}[20s])',
  'sum by (mode) (rate(warm_cpu_seconds_total{instance="host-3"}[20s]))',
  '100 - avg by (instance) (rate(warm_cpu_seconds_total{mode="idle"}[20s])) * 100',
  "sum by (mode) (rate(warm_cpu_seconds_total[20s]))",
  "1 - warm_gauge_1_bytes / warm_gauge_2_bytes",
  // Of many series: what goes through them at each step becomes fast.
  "topk(3, rate(warm_cpu_seconds_total[20s]))",
  // Where some values are equal, ranks are found in another way.
  "topk(5, round(warm_gauge_1_bytes, 4096))",
  // Of more than a few values: these are searched in another way.
  'quantile(0.9, {__name__=~"warm_gauge_[1-4]_bytes"})',
  "max by (instance) (max_over_time(warm_gauge_4_bytes[1m]))",
  'sum by (__name__) ({__name__=~"warm_gauge_.*_bytes"})',
  'count({job="warm"})',
  // More than a socket takes at once.
  '{__name__=~"warm_gauge_[1-4]_bytes"}',
  "histogram_quantile(0.9, sum by (le) (rate(warm_latency_seconds_bucket[20s])))",
  "avg_over_time(warm_gauge_5_bytes[20s]) > 8192",
];

/** Works on storages of its own until the budget is used up. Never rejects: a process that is not warm is ready all the same. */
export async function warmUp(options: WarmUpOptions): Promise<void> {
  // Code that V8 compiles for the functions of one storage and one server is thrown away when it meets those of another: so it meets two.
  const [firstShare, secondShare] = ROUND_SHARES;
  await warmUpOnce({ ...options, budgetMs: options.budgetMs * firstShare });
  // What is left is mostly memory outside the heap, which V8 is in no hurry to collect: all that follows would come on top of it. V8 throws away
  // some of what it compiled, too: so this is done while the second round is still to come, and not where real blocks are read ahead after it.
  if (options.budgetMs > 0 && options.asksBlocks) globalThis.gc?.();
  await warmUpOnce({ ...options, budgetMs: options.budgetMs * secondShare });
}

async function warmUpOnce(options: WarmUpOptions): Promise<void> {
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
    answersMax: 64 * MIB,
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
  const client = new Client(server.address.port);
  ends.push(() => client.close());
  const startMs = nodeClock.nowMs() - SCRAPES_MAX * STEP_MS;
  const traffic = new Traffic(startMs);
  while (traffic.count < SCRAPES_MAX && isWithin(WRITES_SHARE)) {
    await client.exchange("POST", "/api/v1/write", compressSync(traffic.next()));
  }
  const endMs = traffic.timeMs;
  // Windows that all have samples, as most have, and one time in four some from before there were any.
  const spanMs = STEPS * QUERY_STEP_MS;
  const wholeMs = Math.min(spanMs, Math.max(QUERY_STEP_MS, endMs - startMs - WINDOW_MS));
  const rangeOf = (fromMs: number, toMs: number): string => {
    return `start=${fromMs / 1000}&end=${toMs / 1000}&step=${QUERY_STEP_MS / 1000}`;
  };
  const whole = rangeOf(endMs - wholeMs, endMs);
  const ranges = [whole, whole, whole, rangeOf(startMs - spanMs / 2, startMs + spanMs / 2)];
  const ask = async (share: number): Promise<void> => {
    for (let asked = 0; isWithin(share); asked++) {
      for (const query of QUERIES) {
        if (!isWithin(share)) return;
        const text = encodeURIComponent(query);
        await client.exchange("GET", `/api/v1/query_range?query=${text}&${ranges[asked % ranges.length]}`);
        await client.exchange("GET", `/api/v1/query?query=${text}&time=${endMs / 1000}`);
      }
    }
  };
  await ask(HEAD_SHARE);
  if (!asksBlocks) return;
  await engine.flush();
  await ask(1);
}

/** One request after the other. Connections are kept for a while only: the first request of one runs through other code than later ones. */
class Client {
  private readonly port: number;
  private agent = new Agent({ keepAlive: true });
  private count = 0;

  constructor(port: number) {
    this.port = port;
  }

  /** Sends a request and reads its answer to the end. */
  exchange(method: string, path: string, body?: Uint8Array): Promise<void> {
    if (++this.count % REQUESTS_PER_CONNECTION === 0) {
      this.close();
      this.agent = new Agent({ keepAlive: true });
    }
    const headers = { "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy" };
    const options = { agent: this.agent, host: "127.0.0.1", port: this.port, method, path, headers };
    return new Promise((resolve, reject) => {
      const sent = request(options, (answer) => {
        if (answer.statusCode! >= 300)
          reject(new InternalError(`cannot warm up: got status ${answer.statusCode}; want 2xx`));
        answer.on("end", resolve).on("error", reject).resume();
      });
      sent.on("error", reject).end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
