// test/bench/rollup-spread.bench.ts: variance, quantiles and median deviation.
import { GAUGES, reportRollup } from "./rollup-series.ts";

reportRollup("stddev_over_time", GAUGES, 300_000);
reportRollup("quantile_over_time", GAUGES, 300_000, [0.9]);
reportRollup("quantile_over_time", GAUGES, 1_800_000, [0.9]);
reportRollup("mad_over_time", GAUGES, 300_000);
