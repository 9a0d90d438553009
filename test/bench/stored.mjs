// test/bench/stored.mjs: the yard's ten queries where samples do not lie in one head: on blocks, after a flush, cold and warm, and through
// three storage processes. Peers get the same bytes in the same run: VictoriaMetrics, and its cluster where VM_CLUSTER_BIN names one.
import { existsSync, mkdirSync, rmSync } from "node:fs";
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
const WARM_RUNS = 20;

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

const COLD_QUERIES = {
  "one target": 'rate(node_network_receive_bytes_total{instance="host-000007.dc3.example:9100",device="eth0"}[5m])',
  "all targets": "sum by (mode) (rate(node_cpu_seconds_total[5m]))",
  "all series": 'count({job="node_exporter"})',
};

/** Each query in a process of its own: the first time against the median of later times. */
async function cold(dir, startMs, endMs, failures) {
  for (const [title, query] of Object.entries(COLD_QUERIES)) {
    const system = await SYSTEMS.all(dir);
    try {
      await untilOk(`${system.base}/-/ready`);
      const range = `start=${startMs / 1000}&end=${endMs / 1000}&step=60`;
      const ask = async (text) => {
        const began = performance.now();
        const answer = await fetch(`${system.base}/api/v1/query_range?query=${encodeURIComponent(text)}&${range}`);
        const body = await answer.text();
        if (!answer.ok) throw new Error(body);
        return { ms: performance.now() - began, body };
      };
      // A connection is none of the query's costs.
      await ask("vector(1)");
      const first = await ask(query);
      const later = [];
      for (let i = 0; i < WARM_RUNS; i++) {
        const { ms, body } = await ask(query);
        if (body !== first.body) failures.push(`blocks: ${title} has another answer the second time`);
        later.push(ms);
      }
      const median = later.sort((a, b) => a - b)[WARM_RUNS >> 1];
      console.log(`  ${title.padEnd(24)} cold ${first.ms.toFixed(1)} ms, warm ${median.toFixed(1)} ms`);
      want(`cold against warm, ${title}`, first.ms / median, COLD_GOAL, "blocks", failures);
    } finally {
      await stopAll({ system });
    }
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
      await fetch(`${systems.vm.base}/internal/force_flush`);
      await (await fetch(`${systems.ours.base}/api/v1/admin/flush`, { method: "POST" })).text();
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
