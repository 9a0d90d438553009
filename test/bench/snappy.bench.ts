// test/bench/snappy.bench.ts: snappy decoding of remote write bodies: our kernel beside npm's snappy.
import { uncompressSync } from "snappy";
import { makeRequests } from "../unit/kernel/scrape-requests.ts";
import { ns, timeStages } from "./ingest-stages.ts";

for (const [name, options] of [
  ["version 1", { targets: 20, scrapes: 8, version: 1 }],
  ["version 1, shuffled", { targets: 20, scrapes: 8, version: 1, shuffled: true }],
  ["version 2", { targets: 20, scrapes: 8, version: 2 }],
] as const) {
  const { stages, samples, messageBytes } = timeStages(options);
  const requests = makeRequests({ ...options, samplesPerRequest: 2000 });
  let npm = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const cpu = process.cpuUsage();
    for (const { body } of requests) uncompressSync(Buffer.from(body), { copyOutputData: true });
    const used = process.cpuUsage(cpu);
    npm = Math.min(npm, ((used.user + used.system) * 1000) / samples);
  }
  const perSample = stages.snappyDecode!;
  const gigabytes = messageBytes / samples / perSample;
  console.log(`${name}: ${ns(perSample)} ns a sample, ${gigabytes.toFixed(1)} GB/s; npm's snappy ${ns(npm)} ns (CPU)`);
}
