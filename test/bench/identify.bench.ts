// test/bench/identify.bench.ts: label bytes → series number, per sample: predictor and batch passes; 50,700 and 253,500 series.
import { ns, timeStages } from "./ingest-stages.ts";

for (const [targets, scrapes] of [
  [100, 4],
  [500, 2],
] as const) {
  const shuffled = timeStages({ targets, scrapes, version: 1, shuffled: true });
  const second = timeStages({ targets, scrapes, version: 2 });
  console.log(
    `${targets * 507} series: predictor ${ns(second.stages.predictRows)} ns a sample, batch passes on random order ${ns(shuffled.stages.resolveRows)} ns`,
  );
}
