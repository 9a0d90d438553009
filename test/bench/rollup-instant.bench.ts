// test/bench/rollup-instant.bench.ts: instant selectors, and looking for stale markers.
import { hasStale } from "../../libs/promql/index.ts";
import { GAUGES, report, reportRollup, SAMPLES, SERIES } from "./rollup-series.ts";

reportRollup("last", GAUGES, 300_000);
reportRollup("timestamp", GAUGES, 300_000);
report("hasStale", SERIES * SAMPLES, "sample", () => {
  for (const column of GAUGES) hasStale(column, SAMPLES);
});
