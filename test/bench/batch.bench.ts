// test/bench/batch.bench.ts: encoding ingest batches, and the whole chain from body to batch in samples per CPU-second.
import { ns, timeStages } from "./ingest-stages.ts";

for (const [name, options] of [
  ["10,140 series", { targets: 20, scrapes: 20, version: 1 }],
  ["50,700 series", { targets: 100, scrapes: 8, version: 1 }],
  ["50,700 series, shuffled", { targets: 100, scrapes: 8, version: 1, shuffled: true }],
  ["50,700 series, version 2", { targets: 100, scrapes: 8, version: 2 }],
  ["507,000 series", { targets: 1000, scrapes: 1, version: 1 }],
] as const) {
  const { stages, chainNs, samples, batchBytes } = timeStages(options);
  const parts = Object.entries(stages)
    .filter(([, value]) => value >= 0.5)
    .map(([stage, value]) => `${stage} ${ns(value)}`);
  console.log(
    `${name}: batch ${ns(stages.encodeBatch)} ns, ${(batchBytes / samples).toFixed(1)} B a sample; body to batch ${ns(chainNs)} ns ` +
      `= ${(1000 / chainNs).toFixed(1)} M samples per CPU-second (${parts.join(", ")})`,
  );
}
