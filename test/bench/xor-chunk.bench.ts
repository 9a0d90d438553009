// test/bench/xor-chunk.bench.ts: samples into the chunks of a streamed remote read.
import { XorChunkEncoder } from "../../services/select/xor-chunk.ts";
import { COUNTERS, GAUGES, report, SAMPLES, SERIES, timesOf } from "./rollup-series.ts";

const encoder = new XorChunkEncoder();
for (const [kind, columns] of [
  ["counters", COUNTERS],
  ["gauges", GAUGES],
] as const) {
  report(`XOR chunks of ${kind}`, SERIES * SAMPLES, "sample", () => {
    columns.forEach((values, i) => {
      for (let from = 0; from < SAMPLES; ) from = encoder.encode(timesOf(i), values, from);
    });
  });
}
