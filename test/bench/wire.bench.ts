// test/bench/wire.bench.ts: what the network between insert and storage costs: samples per CPU-second of both
// processes together, and MB/s; batches of 2,000 samples (18 KB); and why windows are raised. Loopback.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Metadata } from "@grpc/grpc-js";
import type { IngestSession } from "../../libs/model/index.ts";
import { openClient } from "../../libs/rpc/channel.ts";
import { connectIngest } from "../../libs/rpc/index.ts";
import { writeBatch } from "../contract/ingest-batch.ts";
import { heapBallast } from "./heap-ballast.ts";

const SAMPLES = 2_000;
const BATCHES = 40_000;
const UPLOAD_BYTES = 512 << 20;

/** One batch as 100 targets' scrapes would make it: a run of 20 samples each. */
function makeBatch(): Uint8Array {
  const refs = Array.from({ length: SAMPLES }, (_, i) => 1 + i + 1_000 * Math.floor(i / 20));
  const timesMs = refs.map((_, i) => 1_700_000_000_000 + 137 * Math.floor(i / 20));
  return writeBatch({ seq: 0, refs, timesMs, values: Float64Array.from(refs, (r) => Math.sqrt(r)) });
}

async function startServer(kind: string): Promise<{ child: ChildProcess; address: string }> {
  const child = fork(fileURLToPath(new URL("wire-server.ts", import.meta.url)), [kind]);
  const [{ address }] = (await once(child, "message")) as [{ address: string }];
  return { child, address };
}

async function cpuOf(child: ChildProcess): Promise<NodeJS.CpuUsage> {
  child.send("cpu");
  return ((await once(child, "message")) as [NodeJS.CpuUsage])[0];
}

/** Runs work and gives wall and CPU seconds of this process and the server. */
async function measure(
  child: ChildProcess,
  work: () => Promise<void>,
): Promise<{ wall: number; own: number; far: number }> {
  const far = await cpuOf(child);
  const own = process.cpuUsage();
  const start = performance.now();
  await work();
  const wall = (performance.now() - start) / 1e3;
  const used = process.cpuUsage(own);
  const after = await cpuOf(child);
  return { wall, own: (used.user + used.system) / 1e6, far: (after.user + after.system - far.user - far.system) / 1e6 };
}

/** Keeps `depth` batches of a session unacknowledged until `count` are stored. */
async function pump(session: IngestSession, batch: Uint8Array, count: number, depth: number): Promise<void> {
  const own = batch.slice();
  const view = new DataView(own.buffer);
  let seq = 0;
  const lane = async (): Promise<void> => {
    while (seq < count) {
      view.setUint32(8, seq++, true);
      await session.append(own);
    }
  };
  await Promise.all(Array.from({ length: depth }, lane));
}

async function appends(sessions: number, depth: number, coalesceBytes: number): Promise<void> {
  const { child, address } = await startServer("storage");
  const batch = makeBatch();
  const targets = Array.from({ length: sessions }, () => connectIngest(address, { coalesceBytes }).connect());
  const open = await Promise.all(targets);
  const run = (batches: number) => Promise.all(open.map((s) => pump(s, batch, batches / sessions, depth)));
  await run(BATCHES / 10);
  const { wall, own, far } = await measure(child, async () => void (await run(BATCHES)));
  const samples = BATCHES * SAMPLES;
  const ns = (seconds: number): string => ((seconds / samples) * 1e9).toFixed(1);
  console.log(
    `${sessions} sessions × ${String(depth).padStart(2)} in flight, coalesced at ${String(coalesceBytes >> 10).padStart(3)} KiB: ` +
      `${(samples / (own + far) / 1e6).toFixed(0)} M samples per CPU-second (${ns(own)} + ${ns(far)} ns a sample), ` +
      `${((BATCHES * batch.length) / wall / 1e6).toFixed(0)} MB/s`,
  );
  await Promise.all(open.map((s) => s.close()));
  child.disconnect();
}

async function upload(kind: string, messageBytes: number): Promise<void> {
  const { child, address } = await startServer(kind);
  const client = openClient(address);
  const same = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest("/bench/Upload", same, same, new Metadata());
  call.on("error", () => undefined);
  const message = Buffer.alloc(messageBytes, 7);
  const total = UPLOAD_BYTES / messageBytes;
  const { wall, own, far } = await measure(
    child,
    () =>
      new Promise((resolve) => {
        let sent = 0;
        let acked = 0;
        const fill = (): void => {
          while (sent < total && (sent - acked) * messageBytes < 8 << 20) {
            sent++;
            call.write(message);
          }
        };
        call.on("data", () => {
          acked++;
          if (acked === total) resolve();
          else fill();
        });
        fill();
      }),
  );
  const mb = UPLOAD_BYTES / 1e6;
  console.log(
    `upload, ${kind.padEnd(6)} windows, ${String(messageBytes >> 10).padStart(4)} KiB messages: ` +
      `${(mb / wall).toFixed(0)} MB/s, ${(((own + far) * 1e3) / mb).toFixed(2)} CPU-ms per MB`,
  );
  call.cancel();
  client.close();
  child.disconnect();
}

const ballast = heapBallast();
await upload("plain", 64 << 10); // warms up this process; its figures are the next line's
for (const messageBytes of [64 << 10, 1 << 20]) {
  await upload("plain", messageBytes);
  await upload("raised", messageBytes);
}
await appends(1, 4, 64 << 10);
await appends(4, 4, 64 << 10);
await appends(4, 16, 1);
await appends(4, 16, 64 << 10);
await appends(4, 32, 256 << 10);
if (ballast.length === 0) console.log("no ballast");
