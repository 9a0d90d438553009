// test/bench/wal.bench.ts: group commit through the worker against a bare write + fdatasync loop in the same run, and replay.
// Each record is what a request of 2,000 samples logs: 20 KB. CPU is that of the whole process, the worker included.
import { mkdirSync, rmSync } from "node:fs";
import { NodeFileSystem, nodeClock, packageRoot, SeededRandom } from "../../libs/env/index.ts";
import {
  type MetadataSource,
  openIdentity,
  openWal,
  RECORD,
  type RegistrationBody,
  type ReplayHandler,
  replay,
} from "../../libs/wal/index.ts";

const RECORD_BYTES = 20_000;
const RUN_MS = 1_500;
const SERIES = 50_000;
const ROOT = `${packageRoot()}/.bench/wal`;
const fs = new NodeFileSystem();
const record = new SeededRandom(1).bytes(RECORD_BYTES);
const noMetadata: MetadataSource = { metadataEnd: 0, repeatMetadata: () => ({ body: new Uint8Array(0), end: 0 }) };
const nothing: ReplayHandler = {
  registration: () => undefined,
  samples: () => undefined,
  lateSamples: () => undefined,
  metadata: () => undefined,
  side: () => undefined,
  deletion: () => undefined,
};

interface Measured {
  readonly waitsMs: number[];
  readonly syncs: number;
  readonly elapsedMs: number;
  readonly cpuMs: number;
}

function show(name: string, measured: Measured): void {
  const { waitsMs, syncs, elapsedMs, cpuMs } = measured;
  waitsMs.sort((a, b) => a - b);
  const at = (share: number): string => waitsMs[Math.floor(waitsMs.length * share)]!.toFixed(2).padStart(6);
  const perSecond = (count: number): string => ((count / elapsedMs) * 1000).toFixed(0).padStart(6);
  const cpu = ((cpuMs * 1e6) / ((waitsMs.length * RECORD_BYTES) / 2 ** 20) / 1e6).toFixed(2);
  console.log(
    `${name.padEnd(24)} p50 ${at(0.5)} ms  p99 ${at(0.99)} ms  ${perSecond(waitsMs.length)} records/s  ` +
      `${perSecond(syncs)} syncs/s  ${cpu} ms CPU/MB`,
  );
}

async function timed(work: (waitsMs: number[], untilMs: number) => Promise<number>): Promise<Measured> {
  const waitsMs: number[] = [];
  const cpu = process.cpuUsage();
  const started = performance.now();
  const syncs = await work(waitsMs, started + RUN_MS);
  const used = process.cpuUsage(cpu);
  return { waitsMs, syncs, elapsedMs: performance.now() - started, cpuMs: (used.user + used.system) / 1000 };
}

function bare(): Promise<Measured> {
  const path = `${ROOT}/bare`;
  if (fs.stat(path) !== undefined) fs.unlink(path);
  const file = fs.open(path, "create");
  return timed(async (waitsMs, untilMs) => {
    let offset = 0;
    for (let now = performance.now(); now < untilMs; ) {
      file.write(record, offset);
      file.fdatasync("");
      offset += RECORD_BYTES;
      const after = performance.now();
      waitsMs.push(after - now);
      now = after;
    }
    file.close();
    return waitsMs.length;
  });
}

async function wal(name: string, clients: number, mode: "worker" | "inline"): Promise<Measured> {
  const dataDir = `${ROOT}/${name}`;
  const identity = openIdentity(fs, dataDir, { shardCount: 64 }, new SeededRandom(1));
  const replayed = await replay(fs, nodeClock, dataDir, identity, nothing);
  let syncs = 0;
  const registrations = { seriesEnd: 0, addTo: () => undefined };
  const log = openWal({
    ...{ fs, clock: nodeClock, dataDir, identity, replayed, registrations, metadata: noMetadata, mode },
    onGroup: () => syncs++,
  });
  await log.durable(log.append(RECORD.samples, record));
  const measured = await timed(async (waitsMs, untilMs) => {
    const before = syncs;
    const client = async (): Promise<void> => {
      for (let now = performance.now(); now < untilMs; ) {
        await log.durable(log.append(RECORD.samples, record));
        const after = performance.now();
        waitsMs.push(after - now);
        now = after;
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    return syncs - before;
  });
  await log.close();
  return measured;
}

async function benchReplay(name: string): Promise<void> {
  const dataDir = `${ROOT}/${name}`;
  const identity = openIdentity(fs, dataDir, { shardCount: 64 }, new SeededRandom(1));
  const report = await replay(fs, nodeClock, dataDir, identity, nothing);
  const mb = report.bytes / 2 ** 20;
  console.log(`${"replay, two passes".padEnd(24)} ${mb.toFixed(0)} MB in ${report.elapsedMs.toFixed(0)} ms`);
}

/** What a new segment costs the event loop: one block of repeated registrations per group. */
async function benchRepeat(): Promise<void> {
  const dataDir = `${ROOT}/repeat`;
  const identity = openIdentity(fs, dataDir, { shardCount: 64 }, new SeededRandom(1));
  const random = new SeededRandom(2);
  const id = random.bytes(16);
  const labels = "label=value ".repeat(9);
  const key = (): Uint8Array =>
    new TextEncoder().encode(`default __name__ node_cpu_seconds_total ${labels}${random.u32()}`);
  const keys = Array.from({ length: 64 }, key);
  const registrations = {
    seriesEnd: SERIES,
    addTo: (into: RegistrationBody, series: number): void => into.add(series, 1, 2n, id, keys[series & 63]!),
  };
  for (let life = 0; life < 2; life++) {
    const replayed = await replay(fs, nodeClock, dataDir, identity, nothing);
    const log = openWal({
      ...{ fs, clock: nodeClock, dataDir, identity, replayed, registrations, metadata: noMetadata },
      mode: "worker",
    });
    const { registeredFrom } = log;
    const started = performance.now();
    const pieces: number[] = [];
    log.append(RECORD.samples, record);
    while (life > 0 && log.registeredFrom === registeredFrom) {
      const before = performance.now();
      await new Promise((resolve) => setImmediate(resolve));
      pieces.push(performance.now() - before);
    }
    await log.close();
    if (life === 0) continue;
    const tookMs = performance.now() - started;
    const blocks = pieces.sort((a, b) => b - a).slice(0, SERIES / 1000);
    const piece = `${blocks[blocks.length >> 1]!.toFixed(2)} ms of the event loop each`;
    console.log(`${"repeat 50,000 series".padEnd(24)} ${tookMs.toFixed(0)} ms in 50 blocks, ${piece}`);
  }
}

rmSync(ROOT, { recursive: true, force: true });
mkdirSync(ROOT, { recursive: true });
show("bare loop", await bare());
show("inline, 1 client", await wal("inline", 1, "inline"));
for (const clients of [1, 2, 4, 8, 16]) show(`worker, ${clients} clients`, await wal(`w${clients}`, clients, "worker"));
show("bare loop again", await bare());
await benchReplay("w16");
await benchRepeat();
rmSync(ROOT, { recursive: true });
