// test/bench/rollup-over-time.bench.ts: functions over time, of whole numbers and of fractions, short and long windows.
import { COUNTERS, GAUGES, reportRollup } from "./rollup-series.ts";

for (const minutes of [5, 30]) {
  reportRollup("count_over_time", GAUGES, minutes * 60_000);
  reportRollup("sum_over_time", COUNTERS, minutes * 60_000);
  reportRollup("sum_over_time", GAUGES, minutes * 60_000);
  reportRollup("avg_over_time", GAUGES, minutes * 60_000);
  reportRollup("max_over_time", GAUGES, minutes * 60_000);
  reportRollup("ts_of_max_over_time", GAUGES, minutes * 60_000);
}
