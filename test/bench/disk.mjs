// test/bench/disk.mjs: what storage costs beside VictoriaMetrics and Prometheus: bytes on disk, memory, restarts, writes while blocks
// are merged or heavy queries run, samples into the past. BENCH_SCALE=0.1 runs a tenth of the targets.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { capture, generate, replay, STEP_MS, SYSTEMS, stopAll, untilOk, work, yard } from "./peers.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const DAY_MS = 86_400_000;
const scale = Number(process.env.BENCH_SCALE ?? 1);
const ADMIN = ["--enable-admin-api", "--retention", "raw=100d,1m=1y,1h=5y"];

/** Noon some days ago: all of a bench's samples are of days that can be merged. */
const daysAgo = (days) => Math.floor(Date.now() / DAY_MS) * DAY_MS - days * DAY_MS + DAY_MS / 2;
const sized = (targets) => Math.max(1, Math.round(targets * scale));

const SCENARIOS = {
  /** 100 targets × 480 scrapes of two hours. */
  async node(want) {
    await compareBytes("node_exporter, 2 h", { targets: sized(100), scrapes: 480 }, daysAgo(2), want, 0.44, 0.75);
  },
  /** 20 targets × 24 hours. */
  async day(want) {
    const startMs = daysAgo(2) - DAY_MS / 2;
    await compareBytes("node_exporter, 24 h", { targets: sized(20), scrapes: 5760 }, startMs, want, 0.37, 0.75);
  },
  /** What Prometheus, VictoriaMetrics and Tidemark say of themselves while they work. */
  async exporters(want) {
    for (const [name, file] of Object.entries(await captures())) {
      await compareBytes(`${name}'s own`, { targets: sized(20), scrapes: 480, from: file }, daysAgo(2), want, 9, 1);
    }
  },
  /** A million series: memory, and readiness after kill -9 with everything in the log. */
  async restart(want) {
    const targets = sized(2000);
    const startMs = Math.floor(Date.now() / STEP_MS) * STEP_MS - 8 * STEP_MS;
    const file = generate("restart", { targets, scrapes: 6 }, startMs);
    const ready = {};
    for (const kind of ["all", "prom"]) {
      const dir = fresh(`restart-${kind}`);
      const systems = { [kind]: await started(kind, dir) };
      try {
        const result = replay(file, systems[kind]);
        if (kind === "all") {
          const perSeries = (result.peakMB * 2 ** 20) / (targets * 507);
          want(`memory per series of ${targets * 507}, bytes`, perSeries, 1500);
        }
        for (const pid of systems[kind].pids) process.kill(pid, "SIGKILL");
        await gone(systems[kind].pids);
        const began = performance.now();
        systems[kind] = await started(kind, dir);
        ready[kind] = (performance.now() - began) / 1000;
      } finally {
        await stopAll(systems);
        rmSync(dir, { recursive: true, force: true });
      }
    }
    rmSync(file);
    want("seconds to readiness after kill -9, beside Prometheus", ready.all, ready.prom);
  },
  /** The same samples now, and spread over a month of the past. */
  async backfill(want) {
    const targets = sized(100);
    const spread = { targets, scrapes: 240, stepMs: (30 * DAY_MS) / 240 };
    const now = generate("backfill-now", { targets, scrapes: 240 }, Date.now() - 241 * STEP_MS);
    const past = generate("backfill-past", spread, Date.now() - 31 * DAY_MS);
    const dir = fresh("backfill");
    const systems = { all: await started("all", dir, ...ADMIN) };
    try {
      const normal = replay(now, systems.all);
      const backfilled = replay(past, systems.all);
      want(
        "backfilling a month / normal ingest, samples per CPU-second",
        backfilled.perCpuSec / normal.perCpuSec,
        0.5,
        true,
      );
      const flushed = await admin(systems.all, "flush");
      console.log(
        `  flushed ${flushed.samples} samples into ${flushed.blocks} blocks in ${flushed.seconds.toFixed(1)} s`,
      );
    } finally {
      await stopAll(systems);
      for (const path of [now, past, dir]) rmSync(path, { recursive: true, force: true });
    }
  },
  /** Writes while blocks are cut and merged. */
  async merging(want) {
    const targets = sized(100);
    const files = [0, 1, 2].map((i) =>
      generate(`merging-${i}`, { targets, scrapes: 160 }, Date.now() - (3 - i) * 160 * STEP_MS),
    );
    const old = [0, 1].map((i) =>
      generate(`merging-old-${i}`, { targets, scrapes: 240 }, daysAgo(2) + i * 240 * STEP_MS),
    );
    const dir = fresh("merging");
    const systems = { all: await started("all", dir, ...ADMIN) };
    try {
      for (const file of old) {
        replay(file, systems.all);
        await admin(systems.all, "flush");
      }
      replay(files[0], systems.all);
      const idle = replay(files[1], systems.all);
      let merging = true;
      const merged = admin(systems.all, "flush")
        .then(() => admin(systems.all, "compact"))
        .finally(() => {
          merging = false;
        });
      await new Promise((resolve) => setTimeout(resolve, 100));
      const busy = replay(files[2], systems.all);
      console.log(
        `  merging ${merging ? "went on" : "ended before the writes did"}; p99 idle ${idle.p99ms} ms, merging ${busy.p99ms} ms`,
      );
      await merged;
      want("p99 of a write while merging / idle", busy.p99ms / idle.p99ms, 2);
    } finally {
      await stopAll(systems);
      for (const path of [...files, ...old, dir]) rmSync(path, { recursive: true, force: true });
    }
  },
  /** Writes while heavy queries run. */
  async querying(want) {
    const spanMs = 160 * STEP_MS;
    const beginMs = Date.now() - 3 * spanMs;
    const files = [0, 1, 2].map((i) =>
      generate(`querying-${i}`, { targets: sized(100), scrapes: 160 }, beginMs + i * spanMs),
    );
    const dir = fresh("querying");
    const systems = { all: await started("all", dir) };
    let asking;
    try {
      replay(files[0], systems.all);
      const idle = replay(files[1], systems.all);
      const times = [beginMs, beginMs + 2 * spanMs].map(String);
      asking = spawn(process.execPath, [`${here}ask-on.mjs`, systems.all.base, ...times], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await new Promise((resolve) => setTimeout(resolve, 3000));
      const busy = replay(files[2], systems.all);
      if (asking.exitCode !== null) throw new Error("the queries ended before the writes did");
      asking.kill("SIGTERM");
      const [asked] = await once(asking.stdout, "data");
      console.log(`  ${String(asked).trim()} queries; p99 idle ${idle.p99ms} ms, queried ${busy.p99ms} ms`);
      want("p99 of a write while heavy queries run / idle", busy.p99ms / idle.p99ms, 2);
    } finally {
      asking?.kill("SIGKILL");
      await stopAll(systems);
      for (const path of [...files, dir]) rmSync(path, { recursive: true, force: true });
    }
  },
};

function fresh(name) {
  const dir = `${work}${name}`;
  rmSync(dir, { recursive: true, force: true });
  return dir;
}

async function started(kind, dir, ...more) {
  const system = await SYSTEMS[kind](dir, ...more);
  await untilOk(system.health ?? `${system.base}/${kind === "vm" ? "health" : "-/ready"}`);
  return system;
}

async function gone(pids) {
  for (let i = 0; i < 200 && pids.some((pid) => existsSync(`/proc/${pid}/stat`)); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function admin(system, verb) {
  const began = performance.now();
  const answer = await fetch(`${system.base}/api/v1/admin/${verb}`, { method: "POST" });
  const { status, data, error } = await answer.json();
  if (status !== "success") throw new Error(`${verb}: ${error}`);
  return { ...data, seconds: (performance.now() - began) / 1000 };
}

const bytesOf = (dir) => Number(execFileSync("du", ["-sb", dir], { encoding: "utf8" }).split("\t")[0]);

/** What of a storage's bytes is what: samples, rows of a minute and an hour, the index of each, the log with the names of live series. */
function partsOf(dir) {
  const parts = { samples: 0, rows: 0 };
  const series = { samples: 0, rows: 0 };
  for (const file of readdirSync(`${dir}/blocks`).filter((name) => name.endsWith(".json"))) {
    for (const { level, sizeBytes, series: count } of JSON.parse(readFileSync(`${dir}/blocks/${file}`, "utf8"))
      .blocks) {
      const part = level === "raw" ? "samples" : "rows";
      parts[part] += sizeBytes;
      series[part] += count;
    }
  }
  const index = bytesOf(`${dir}/index`);
  const own = (index * series.samples) / (series.samples + series.rows);
  return { ...parts, index: own, rowIndex: index - own, log: bytesOf(`${dir}/wal`) };
}

/** Waits until VictoriaMetrics has merged what it was told to. */
async function mergeAll(system) {
  await fetch(`${system.base}/internal/force_flush`);
  await fetch(`${system.base}/internal/force_merge`);
  for (let quiet = 0; quiet < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const text = await (await fetch(`${system.base}/metrics`)).text();
    const active = [...text.matchAll(/^vm_active(?:_force)?_merges\S* (\d+)/gm)].reduce(
      (sum, m) => sum + Number(m[1]),
      0,
    );
    quiet = active === 0 ? quiet + 1 : 0;
  }
}

/** Bytes a sample once everything is merged: of samples with their index, which the goal is about, and of all that a system keeps. */
async function compareBytes(title, data, startMs, want, goal, ratioGoal) {
  const file = generate("disk", data, startMs);
  const perSample = {};
  let parts;
  for (const kind of ["vm", "all"]) {
    const dir = fresh(`disk-${kind}`);
    const systems = { [kind]: await started(kind, dir, ...(kind === "all" ? ADMIN : [])) };
    try {
      const { samples } = replay(file, systems[kind]);
      if (kind === "vm") await mergeAll(systems.vm);
      else {
        await admin(systems.all, "flush");
        await admin(systems.all, "compact");
      }
      await stopAll(systems);
      perSample[kind] = bytesOf(dir) / samples;
      if (kind === "all") {
        parts = Object.fromEntries(Object.entries(partsOf(dir)).map(([part, bytes]) => [part, bytes / samples]));
      }
    } finally {
      await stopAll(systems);
      rmSync(dir, { recursive: true, force: true });
    }
  }
  rmSync(file);
  const text = Object.entries(parts).map(([part, bytes]) => `${part} ${bytes.toFixed(3)}`);
  console.log(
    `  ${title}: ${perSample.all.toFixed(3)} B a sample in all (${text.join(", ")}), VictoriaMetrics ${perSample.vm.toFixed(3)}`,
  );
  want(`${title}, samples and their index, bytes a sample`, parts.samples + parts.index, goal);
  want(`${title} / VictoriaMetrics, all of it`, perSample.all / perSample.vm, ratioGoal);
}

/** Captures of three systems' own metrics under load, in the form of ../shared/data. */
async function captures() {
  const SCRAPES = 480;
  const load = generate("exporters-load", { targets: 5, scrapes: 60 }, Date.now() - 61 * STEP_MS);
  const systems = {};
  const lines = {};
  const files = {};
  try {
    for (const kind of ["prom", "vm", "all"]) {
      systems[kind] = await started(kind, fresh(`exporters-${kind}`));
      lines[kind] = [];
    }
    for (let i = 0; i < SCRAPES; i++) {
      if (i % 40 === 0) for (const system of Object.values(systems)) replay(load, system);
      for (const [kind, system] of Object.entries(systems)) {
        await fetch(`${system.base}/api/v1/query?query=${encodeURIComponent("sum(rate(node_cpu_seconds_total[5m]))")}`);
        const text = await (await fetch(`${system.base}/metrics`)).text();
        const rows = text.split("\n").filter((row) => row !== "" && !row.startsWith("#"));
        lines[kind].push(JSON.stringify({ text: rows.join("\n") }));
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await stopAll(systems);
    rmSync(load);
  }
  for (const [kind, name] of [
    ["prom", "Prometheus"],
    ["vm", "VictoriaMetrics"],
    ["all", "Tidemark"],
  ]) {
    files[name] = `${work}exporter-${kind}.jsonl.gz`;
    writeFileSync(files[name], gzipSync(lines[kind].join("\n")));
    rmSync(`${work}exporters-${kind}`, { recursive: true, force: true });
  }
  return files;
}

/** Runs the named scenarios; returns what missed its goal. */
export async function runDisk(names) {
  if (!existsSync(`${yard}rw.mjs`) || !existsSync(capture)) {
    console.log("the disk benches are skipped: they need ../shared/yard and ../shared/data");
    return [];
  }
  mkdirSync(work, { recursive: true });
  const failures = [];
  for (const name of names) {
    console.log(`\n## disk: ${name}`);
    await SCENARIOS[name]((what, got, limit, atLeast = false) => {
      const ok = atLeast ? got >= limit : got <= limit;
      const sign = atLeast ? "≥" : "≤";
      console.log(`  ${ok ? "ok  " : "FAIL"} ${what}: ${got.toFixed(3)} (want ${sign} ${limit.toFixed(3)})`);
      if (!ok) failures.push(`${name}: ${what}`);
    });
  }
  return failures;
}

export const DISK_SCENARIOS = Object.keys(SCENARIOS);
