// test/bench/peers.mjs: starts the systems that the benches compare, generates and replays the same bytes for all, and stops them.
// Needs ../shared/yard; VM_BIN, VM_CLUSTER_BIN and PROM_BIN name other binaries than the installed ones.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const yard = fileURLToPath(new URL("../../../shared/yard/", import.meta.url));
export const capture = fileURLToPath(new URL("../../../shared/data/node_exporter.jsonl.gz", import.meta.url));
/** Where benches keep their files; git ignores it. */
export const work = `${root}.bench/`;
export const STEP_MS = 15_000;
const CONNECTIONS = 4;
const SAMPLES_PER_REQUEST = 2000;

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function untilOk(url) {
  for (let i = 0; i < 300; i++) {
    try {
      if ((await fetch(url)).ok) return;
    } catch {}
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`cannot reach ${url} within 30 s`);
}

/** As operators start it: the flags of node that it needs are in its first line. */
export function startTidemark(args) {
  const child = spawn(`${root}bin/tidemark`, [...args, "--log-format", "json", "--log-level", "warn"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return child.pid;
}

/** Each system gives its pids, where to write and where to ask. `more` are further arguments of Tidemark's. */
export const SYSTEMS = {
  async vm(dir) {
    const port = await freePort();
    return {
      ...peer("vm", dir, port),
      write: `http://127.0.0.1:${port}/api/v1/write`,
      base: `http://127.0.0.1:${port}`,
    };
  },
  async prom(dir) {
    const port = await freePort();
    return {
      // Connections overtake each other; it wants a series' samples in order.
      refuses: "out of order sample",
      ...peer("prom", dir, port),
      write: `http://127.0.0.1:${port}/api/v1/write`,
      base: `http://127.0.0.1:${port}`,
    };
  },
  /** A folder with vminsert, vmselect and vmstorage: VM_CLUSTER_BIN. */
  async vmcluster(dir) {
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    return {
      ...peer("vmcluster", dir, port),
      write: `${base}/insert/0/prometheus/api/v1/write`,
      base: `http://127.0.0.1:${port + 1}/select/0/prometheus`,
      health: `${base}/health`,
    };
  },
  async all(dir, ...more) {
    const port = await freePort();
    const listen = ["--http-listen", `127.0.0.1:${port}`, "--data-dir", dir, "--self-scrape", "off"];
    const pid = startTidemark(["all", ...listen, ...more]);
    return { pids: [pid], write: `http://127.0.0.1:${port}/api/v1/write`, base: `http://127.0.0.1:${port}` };
  },
  async cluster(dir) {
    const [storageHttp, grpc, insert, select] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    const at = (port) => `127.0.0.1:${port}`;
    const storage = startTidemark([
      "storage",
      "--http-listen",
      at(storageHttp),
      "--grpc-listen",
      at(grpc),
      "--data-dir",
      dir,
    ]);
    await untilOk(`http://${at(storageHttp)}/-/ready`);
    const inserter = startTidemark(["insert", "--http-listen", at(insert), "--storage", at(grpc)]);
    const selector = startTidemark(["select", "--http-listen", at(select), "--storage", at(grpc)]);
    await untilOk(`http://${at(insert)}/-/ready`);
    return {
      pids: [inserter, storage],
      extraPids: [selector],
      storagePid: storage,
      queryPids: [selector, storage],
      write: `http://${at(insert)}/api/v1/write`,
      base: `http://${at(select)}`,
    };
  },
};

function peer(kind, dir, port) {
  const out = spawnSync("bash", [`${yard}peers.sh`, kind, dir, String(port)], { encoding: "utf8" });
  if (out.status !== 0) throw new Error(`cannot start ${kind}: ${out.stderr}`);
  return { pids: out.stdout.trim().split(",").map(Number) };
}

/** Writes the requests of `targets` × `scrapes` that begin at `startMs`; returns the file's path. */
export function generate(name, { targets, scrapes, mode = "", stepMs = STEP_MS, from = capture }, startMs) {
  const file = `${work}${name}.bin`;
  const sizes = [targets, scrapes, SAMPLES_PER_REQUEST, startMs, stepMs].map(String);
  const args = ["gen", from, file, ...sizes, ...(mode ? [mode] : [])];
  const out = spawnSync(process.execPath, [`${yard}rw.mjs`, ...args], { cwd: root, encoding: "utf8" });
  if (out.status !== 0) throw new Error(out.stderr);
  return file;
}

/** Sends a file's requests; what was measured. Errors: when any is refused. */
export function replay(file, system) {
  const out = spawnSync(
    process.execPath,
    [`${yard}rw.mjs`, "replay", file, system.write, String(CONNECTIONS), system.pids.join(",")],
    { cwd: root, encoding: "utf8" },
  );
  if (out.status !== 0) throw new Error(out.stderr);
  const result = JSON.parse(out.stdout);
  const isExpected = system.refuses !== undefined && out.stderr.includes(system.refuses);
  if (result.bad > 0 && !isExpected) throw new Error(`writes were refused: ${out.stdout} ${out.stderr}`);
  return result;
}

export async function stopAll(systems) {
  const pids = Object.values(systems).flatMap((s) => [...s.pids, ...(s.extraPids ?? [])]);
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGTERM");
    } catch {}
  }
  for (let i = 0; i < 100 && pids.some((pid) => existsSync(`/proc/${pid}/stat`)); i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
