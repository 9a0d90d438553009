// test/bench/rollup-rate.bench.ts: rate and its kin, without and with counter resets.
import { COUNTERS, RESETTING, reportRollup } from "./rollup-series.ts";

for (const rollup of ["rate", "delta", "irate", "resets", "changes"] as const) reportRollup(rollup, COUNTERS, 300_000);
console.log("counters that reset:");
for (const rollup of ["rate", "increase", "resets"] as const) reportRollup(rollup, RESETTING, 300_000);
