// test/bench/stored.mjs: the yard's ten queries where samples do not lie in one head: on blocks, after a flush, cold and warm, and through
// three storage processes. Peers get the same bytes in the same run: VictoriaMetrics, and its cluster where VM_CLUSTER_BIN names one.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import {
  capture,
  freePort,
  generate,
  replay,
  STEP_MS,
  SYSTEMS,
  startTidemark,
  stopAll,
  untilOk,
  work,
  yard,
} from "./peers.mjs";
import { queries } from "./yard.mjs";

const SIZE = { targets: 100, scrapes: 240 };
const SPANS = 2;
const STORAGES = 3;
/** Against the peer: each query's median, the geometric mean of medians, and that of CPU; twice what a head is held to. */
const GOALS = { each: 1.6, median: 0.6, cpu: 0.6 };
/** The first answers of a process that has just begun, against later ones. */
const COLD_GOAL = 2;
const WARM_RUNS = 10;
const COLD_ROUNDS = 7;
/** Before each question, the first one as well: right after itself one takes half as long, as the processor's caches still hold all of it. */
const PAUSE_MS = 50;
/** After a flush and a merge. */
const SETTLE_MS = 3000;

/** `scenarios`: name → makes our system and names its peer. */
const SCENARIOS = {
  blocks: { peer: "vm", start: (dir) => SYSTEMS.all(dir, "--enable-admin-api") },
  three: { peer: process.env.VM_CLUSTER_BIN === undefined ? "vm" : "vmcluster", start: startThree },
};

export const STORED_SCENARIOS = Object.keys(SCENARIOS);

async function startThree(dir) {
  const at = (port) => `127.0.0.1:${port}`;
  const pids = [];
  const storages = [];
  for (let i = 0; i < STORAGES; i++) {
    const [http, grpc] = [await freePort(), await freePort()];
    const listen = ["--http-listen", at(http), "--grpc-listen", at(grpc), "--data-dir", `${dir}/${i}`];
    pids.push(startTidemark(["storage", ...listen]));
    await untilOk(`http://${at(http)}/-/ready`);
    storages.push(at(grpc));
  }
  const [insert, select] = [await freePort(), await freePort()];
  const of = ["--storage", storages.join(",")];
  const inserter = startTidemark(["insert", "--http-listen", at(insert), ...of]);
  const selector = startTidemark(["select", "--http-listen", at(select), ...of]);
  await untilOk(`http://${at(insert)}/-/ready`);
  return {
    ...{ pids: [inserter, ...pids], extraPids: [selector], queryPids: [selector, ...pids] },
    ...{ write: `http://${at(insert)}/api/v1/write`, base: `http://${at(select)}` },
  };
}

const mean = (values) => Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function want(what, got, limit, name, failures) {
  const ok = got <= limit;
  console.log(`  ${ok ? "ok  " : "FAIL"} ${what}: ${got.toFixed(2)} (want ≤ ${limit.toFixed(2)})`);
  if (!ok) failures.push(`${name}: ${what}`);
}

function compare(rows, peer, name, failures) {
  const answered = rows.filter((row) => row.ms.ours !== undefined && row.ms[peer] !== undefined);
  const ratios = answered.map(({ title, ms, cpu }) => {
    const ratio = { ms: Math.max(ms.ours, 0.05) / Math.max(ms[peer], 0.05), cpu: (cpu.ours + 0.5) / (cpu[peer] + 0.5) };
    console.log(
      `  ${title.padEnd(24)} ${peer} ${ms[peer]} ms (cpu ${cpu[peer]})  ours ${ms.ours} ms (cpu ${cpu.ours})  ratio ${ratio.ms.toFixed(2)}`,
    );
    return ratio;
  });
  if (answered.length < rows.length)
    failures.push(`${name}: ${rows.length - answered.length} queries without an answer`);
  want("slowest query against its peer", Math.max(...ratios.map(({ ms }) => ms)), GOALS.each, name, failures);
  want("geometric mean of query medians", mean(ratios.map(({ ms }) => ms)), GOALS.median, name, failures);
  want("geometric mean of CPU per query", mean(ratios.map(({ cpu }) => cpu)), GOALS.cpu, name, failures);
}

/** The yard's queries again, with the step of each in seconds. */
const COLD_QUERIES = [
  [
    "one host, one counter",
    'rate(node_network_receive_bytes_total{instance="host-000007.dc3.example:9100",device="eth0"}[5m])',
    15,
  ],
  [
    "one host, all cpu",
    'sum by (mode) (rate(node_cpu_seconds_total{instance="host-000007.dc3.example:9100"}[5m]))',
    15,
  ],
  ["cpu busy per instance", '100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100', 60],
  ["cpu by mode, all hosts", "sum by (mode) (rate(node_cpu_seconds_total[5m]))", 60],
  ["memory ratio", "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", 60],
  ["topk network", "topk(5, sum by (instance) (rate(node_network_receive_bytes_total[5m])))", 60],
  ["p99 of load", "quantile(0.99, node_load1)", 60],
  ["max over time", "max by (instance) (max_over_time(node_load1[30m]))", 60],
  ["regex fan-out", 'sum by (__name__) ({__name__=~"node_memory_.*_bytes"})', 60],
  ["count all series", 'count({job="node_exporter"})', 300],
];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function post(url) {
  const answer = await fetch(url, { method: "POST" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`cannot post to ${url}: got ${answer.status} ${text}`);
}

/** Waits until a process reads no blocks ahead any more. */
async function untilRead(base) {
  for (let i = 0; i < 600; i++) {
    const text = await (await fetch(`${base}/metrics`)).text();
    if (/^tidemark_blocks_read_ahead_running(?:\{.*\})? 0$/m.test(text)) return;
    await pause(50);
  }
  throw new Error("blocks are read ahead for more than 30 s");
}

/**
 * Each query in processes of its own: the first time against later times, each asked of a process that has been idle for a moment; as soon as
 * it is ready, and once it has read blocks ahead. Medians of rounds that go over all queries, so that a bad minute meets all of them.
 */
async function cold(dir, startMs, endMs, failures) {
  for (const [when, prepare] of Object.entries({ "at once": async () => undefined, later: untilRead })) {
    const asked = COLD_QUERIES.map(([title, query, step]) => ({ title, query, step, first: [], warm: [] }));
    for (let i = 0; i < COLD_ROUNDS; i++) {
      for (const one of asked) {
        const { firstMs, laterMs, isSame } = await coldOnce(dir, one.query, one.step, startMs, endMs, prepare);
        one.first.push(firstMs);
        one.warm.push(laterMs);
        if (!isSame) failures.push(`blocks: ${one.title} has another answer the second time`);
      }
    }
    const ratios = asked.map(({ title, first, warm }) => {
      const [firstMs, warmMs] = [median(first), median(warm)];
      const what = `cold against warm, ${title}, ${when} (${firstMs.toFixed(1)} and ${warmMs.toFixed(1)} ms)`;
      want(what, firstMs / warmMs, COLD_GOAL, "blocks", failures);
      return firstMs / warmMs;
    });
    want(`cold against warm, ten queries, ${when}`, mean(ratios), COLD_GOAL, "blocks", failures);
  }
}

/** Gets an answer; fetch would take a millisecond of its own after a pause. */
function timed(agent, url) {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    get(url, { agent }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const body = Buffer.concat(parts).toString();
        if (answer.statusCode === 200) resolve({ ms: performance.now() - began, body });
        else reject(new Error(body));
      });
    }).on("error", reject);
  });
}

async function afterPause(work) {
  await pause(PAUSE_MS);
  return work();
}

async function coldOnce(dir, query, step, startMs, endMs, prepare) {
  const system = await SYSTEMS.all(dir);
  const agent = new Agent({ keepAlive: true });
  try {
    await untilOk(`${system.base}/-/ready`);
    const range = `start=${startMs / 1000}&end=${endMs / 1000}&step=${step}`;
    const ask = (text) => timed(agent, `${system.base}/api/v1/query_range?query=${encodeURIComponent(text)}&${range}`);
    // A connection is none of the query's costs.
    await ask("vector(1)");
    await prepare(system.base);
    const first = await afterPause(() => ask(query));
    const later = [];
    for (let i = 0; i < WARM_RUNS; i++) later.push(await afterPause(() => ask(query)));
    return {
      firstMs: first.ms,
      laterMs: median(later.map(({ ms }) => ms)),
      isSame: later.every(({ body }) => body === first.body),
    };
  } finally {
    agent.destroy();
    await stopAll({ system });
  }
}

async function runScenario(name, failures) {
  const { peer, start } = SCENARIOS[name];
  const spanMs = SIZE.scrapes * STEP_MS;
  const startMs = Math.floor(Date.now() / STEP_MS) * STEP_MS - SPANS * spanMs;
  console.log(`\n## ${name}: ${SIZE.targets * 507} series, ${SPANS} × ${SIZE.scrapes} scrapes, against ${peer}`);
  const files = Array.from({ length: SPANS }, (_, i) => generate(`${name}-${i}`, SIZE, startMs + i * spanMs));
  const dirs = { [peer]: `${work}${name}-${peer}`, ours: `${work}${name}-ours` };
  for (const dir of Object.values(dirs)) rmSync(dir, { recursive: true, force: true });
  const systems = {};
  try {
    systems[peer] = await SYSTEMS[peer](dirs[peer]);
    await untilOk(systems[peer].health ?? `${systems[peer].base}/health`);
    systems.ours = await start(dirs.ours);
    await untilOk(`${systems.ours.base}/-/ready`);
    for (const file of files) for (const system of Object.values(systems)) replay(file, system);
    if (name === "blocks") {
      for (const path of ["force_flush", "force_merge"]) await fetch(`${systems.vm.base}/internal/${path}`);
      for (const path of ["flush", "compact"]) await post(`${systems.ours.base}/api/v1/admin/${path}`);
      // What either still does with its new files is none of a query's costs.
      await untilRead(systems.ours.base);
      await pause(SETTLE_MS);
    }
    const [from, to] = [startMs + 900_000, startMs + SPANS * spanMs - 60_000];
    compare(queries(systems, from, to), peer, name, failures);
    if (name !== "blocks") return;
    await stopAll(systems);
    for (const key of Object.keys(systems)) delete systems[key];
    await cold(dirs.ours, from, to, failures);
  } finally {
    await stopAll(systems);
    for (const file of files) rmSync(file, { force: true });
    for (const dir of Object.values(dirs)) rmSync(dir, { recursive: true, force: true });
  }
}

/** Runs the named scenarios; returns what missed its goal. */
export async function runStored(names) {
  if (!existsSync(`${yard}rw.mjs`) || !existsSync(capture)) {
    if (names.length > 0) console.log("queries on blocks are skipped: they need ../shared/yard and ../shared/data");
    return [];
  }
  mkdirSync(work, { recursive: true });
  const failures = [];
  for (const name of names) await runScenario(name, failures);
  return failures;
}
