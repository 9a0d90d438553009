// test/bench/yard.mjs: Tidemark beside VictoriaMetrics and Prometheus: the same bytes, one run, ratios.
// Scenarios differ in size and in the order of series; each measures ingest (the first span registers, the others are warm),
// memory, write latency against a bare fdatasync, and the ten queries of ../shared/yard/query.mjs. All systems run at once and take
// each span in turn: a machine that others use is now faster, now slower by a third, and that must meet all of them alike.
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, fdatasyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { capture, generate, replay, STEP_MS, SYSTEMS, stopAll, untilOk, work, yard } from "./peers.mjs";

/** Named sizes; `goal` is the least ratio of samples per CPU-second against VictoriaMetrics, warm, `storagePeak` the most of a storage's peak memory, after two spans and after each later one. */
const SCENARIOS = {
  small: { targets: 20, scrapes: 480, mode: "", goal: 4, cluster: 3 },
  main: { targets: 100, scrapes: 240, mode: "", goal: 4, cluster: 3, storagePeak: 1 },
  many: { targets: 1000, scrapes: 12, mode: "", goal: 4, cluster: 3 },
  shuffled: { targets: 100, scrapes: 120, mode: "shuffle", goal: 2.5, cluster: 2.5 },
};
/** The first one registers the series. */
const SPANS = 4;

/** p99 in ms of writing and fdatasyncing what a group of requests leaves, with nothing else running. */
function bareSyncP99() {
  const fd = openSync(`${work}sync`, "w");
  const block = Buffer.alloc(64 * 1024, 7);
  const times = [];
  for (let i = 0; i < 400; i++) {
    const began = performance.now();
    writeSync(fd, block);
    fdatasyncSync(fd);
    times.push(performance.now() - began);
  }
  closeSync(fd);
  rmSync(`${work}sync`);
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)];
}

export function queries(systems, startMs, endMs) {
  const peers = Object.entries(systems).map(([name, s]) => `${name}=${s.base}:${(s.queryPids ?? s.pids).join(",")}`);
  const out = spawnSync(process.execPath, [`${yard}query.mjs`, String(startMs), String(endMs), ...peers], {
    encoding: "utf8",
  });
  if (out.status !== 0) throw new Error(out.stderr);
  const rows = [];
  for (const line of out.stdout.trim().split("\n")) {
    const row = { title: line.slice(0, 24).trim(), ms: {}, cpu: {}, sum: {} };
    for (const part of line.slice(24).split("|")) {
      const m = /(\w+) ([\d.]+)ms cpu\/q (\d+)ms series (\d+) pts (\d+) sum (\S+)/.exec(part);
      // A peer that refuses a query (too many series, say) is out of that row.
      if (!m) continue;
      row.ms[m[1]] = Number(m[2]);
      row.cpu[m[1]] = Number(m[3]);
      row.sum[m[1]] = `${m[4]}/${m[5]}/${m[6]}`;
    }
    rows.push(row);
  }
  return rows;
}

const geometricMean = (values) => Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);

async function runScenario(name, failures) {
  const scenario = SCENARIOS[name];
  const spanMs = scenario.scrapes * STEP_MS;
  const startMs = Math.floor(Date.now() / STEP_MS) * STEP_MS - SPANS * spanMs;
  console.log(
    `\n## ${name}: ${scenario.targets * 507} series, ${SPANS} × ${scenario.scrapes} scrapes ${scenario.mode}`,
  );
  const files = Array.from({ length: SPANS }, (_, span) =>
    generate(`${name}-${span}`, scenario, startMs + span * spanMs),
  );
  const peers = process.env.VM_CLUSTER_BIN === undefined ? "vm,prom" : "vm,vmcluster,prom";
  const wanted = (process.env.BENCH_SYSTEMS ?? `${peers},all,cluster`).split(",");
  const systems = {};
  const rows = {};
  try {
    for (const kind of wanted) {
      const dir = `${work}${name}-${kind}`;
      rmSync(dir, { recursive: true, force: true });
      const system = await SYSTEMS[kind](dir);
      systems[kind] = system;
      await untilOk(system.health ?? `${system.base}/${kind === "vm" ? "health" : "-/ready"}`);
    }
    const sync = bareSyncP99();
    const spans = Object.fromEntries(wanted.map((kind) => [kind, []]));
    for (const file of files) {
      for (const kind of wanted) {
        const span = replay(file, systems[kind]);
        const { storagePid } = systems[kind];
        spans[kind].push(storagePid === undefined ? span : { ...span, storagePeakMB: peakMBOf(storagePid) });
      }
    }
    for (const kind of wanted) {
      const [first, ...others] = spans[kind];
      const warm = summary(others);
      rows[kind] = { first, warm, sync, spans: spans[kind] };
      console.log(
        `${kind.padEnd(8)} first ${fmt(first.perCpuSec)}/cpu-s  warm ${fmt(warm.perCpuSec)}/cpu-s  p50 ${warm.p50ms} p99 ${warm.p99ms} ms (bare fdatasync p99 ${sync.toFixed(1)})  peak ${warm.peakMB} MB`,
      );
    }
    for (const kind of wanted.filter((one) => one !== "all" && one !== "vm")) {
      await stopAll({ [kind]: systems[kind] });
      delete systems[kind];
    }
    check(rows, scenario, name, failures);
    if (systems.vm && systems.all) compareQueries(systems, startMs, startMs + spanMs, name, failures);
  } finally {
    await stopAll(systems);
    for (const file of files) rmSync(file, { force: true });
    for (const kind of wanted) rmSync(`${work}${name}-${kind}`, { recursive: true, force: true });
  }
}

/** Several spans as one: samples per CPU-second of all, medians of the latencies. */
function summary(spans) {
  const sum = (of) => spans.reduce((total, span) => total + of(span), 0);
  const median = (of) => spans.map(of).sort((a, b) => a - b)[spans.length >> 1];
  return {
    perCpuSec: sum((s) => s.samples) / sum((s) => s.serverCpu),
    p50ms: median((s) => s.p50ms),
    p99ms: median((s) => s.p99ms),
    peakMB: Math.max(...spans.map((s) => s.peakMB)),
  };
}

/** What a running process had in memory at most. */
const peakMBOf = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

const fmt = (n) => `${(n / 1e6).toFixed(2)} M`;

function check(rows, scenario, name, failures) {
  const { vm, all, cluster } = rows;
  const want = (what, got, limit, atLeast) => {
    const ok = atLeast ? got >= limit : got <= limit;
    console.log(
      `  ${ok ? "ok  " : "FAIL"} ${what}: ${got.toFixed(2)} (want ${atLeast ? "≥" : "≤"} ${limit.toFixed(2)})`,
    );
    if (!ok) failures.push(`${name}: ${what}`);
  };
  if (!vm) return;
  if (all) {
    want(
      "all / VictoriaMetrics, samples per CPU-second, warm",
      all.warm.perCpuSec / vm.warm.perCpuSec,
      scenario.goal,
      true,
    );
    want("all / VictoriaMetrics, first span", all.first.perCpuSec / vm.first.perCpuSec, scenario.mode ? 2 : 3, true);
    want("all p99 of a write, ms", all.warm.p99ms, vm.warm.p99ms + all.sync, false);
    want("all / VictoriaMetrics, peak memory", all.warm.peakMB / vm.warm.peakMB, 1.3, false);
  }
  if (cluster) {
    want(
      "insert + storage / VictoriaMetrics, warm",
      cluster.warm.perCpuSec / vm.warm.perCpuSec,
      scenario.cluster,
      true,
    );
    const { storagePeak } = scenario;
    if (storagePeak === undefined) return;
    for (const [i, { samples, storagePeakMB }] of cluster.spans.entries()) {
      const peak = storagePeakMB / vm.spans[i].peakMB;
      const what = `storage alone / VictoriaMetrics, peak memory after ${((samples * (i + 1)) / 1e6).toFixed(1)} M samples (${storagePeakMB.toFixed(0)} MB)`;
      // Its goal is for 24.3 M samples: before, what a process has from the start counts most.
      if (i > 0) want(what, peak, storagePeak, false);
    }
  }
}

function compareQueries(systems, startMs, endMs, name, failures) {
  const rows = queries(
    { vm: systems.vm, all: systems.all },
    startMs + 900_000 < endMs ? startMs + 900_000 : startMs,
    endMs - 60_000,
  );
  const answered = rows.filter((row) => row.ms.vm !== undefined && row.ms.all !== undefined);
  for (const row of rows.filter((one) => !answered.includes(one))) {
    const who = Object.entries(row.ms).map(([peer, ms]) => `${peer} in ${ms} ms`);
    console.log(`  ${row.title.padEnd(24)} answered by ${who.length > 0 ? who.join(", ") : "nobody"} only`);
    if (row.ms.all === undefined) failures.push(`${name}: ${row.title} has no answer`);
  }
  for (const row of answered) {
    console.log(
      `  ${row.title.padEnd(24)} vm ${row.ms.vm} ms (cpu ${row.cpu.vm})  all ${row.ms.all} ms (cpu ${row.cpu.all})  ratio ${(row.ms.all / row.ms.vm).toFixed(2)}`,
    );
  }
  const ratio = geometricMean(answered.map((r) => Math.max(r.ms.all, 0.05) / Math.max(r.ms.vm, 0.05)));
  console.log(`  ${ratio <= 0.8 ? "ok  " : "FAIL"} geometric mean of query medians: ${ratio.toFixed(2)} (want ≤ 0.80)`);
  if (ratio > 0.8) failures.push(`${name}: queries`);
}

/** Runs the named scenarios; returns what missed its goal. */
export async function runYard(names) {
  if (!existsSync(`${yard}rw.mjs`) || !existsSync(capture)) {
    console.log("the yard is skipped: it needs ../shared/yard and ../shared/data");
    return [];
  }
  mkdirSync(work, { recursive: true });
  const failures = [];
  for (const name of names) await runScenario(name, failures);
  return failures;
}

export const YARD_SCENARIOS = Object.keys(SCENARIOS);
