// test/bench/rollup-regression.bench.ts: least squares and smoothing.
import { GAUGES, reportRollup } from "./rollup-series.ts";

reportRollup("deriv", GAUGES, 300_000);
reportRollup("predict_linear", GAUGES, 300_000, [3600]);
reportRollup("double_exponential_smoothing", GAUGES, 300_000, [0.5, 0.3]);
