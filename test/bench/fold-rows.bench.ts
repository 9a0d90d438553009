// test/bench/fold-rows.bench.ts: samples to rows of a minute and of an hour.
import { foldSamples } from "../../libs/block/index.ts";
import { ROW_LEVELS, ROW_MS, RowTable } from "../../libs/model/index.ts";
import { COUNTERS, GAUGES, RESETTING, report, SAMPLES, SERIES, timesOf } from "./rollup-series.ts";

const table = new RowTable();
for (const level of ROW_LEVELS) {
  for (const [name, columns] of Object.entries({ counters: COUNTERS, gauges: GAUGES, resetting: RESETTING })) {
    report(`${name} to rows of ${level}`, SERIES * SAMPLES, "sample", () => {
      for (let i = 0; i < SERIES; i++) {
        table.length = 0;
        foldSamples(timesOf(i), columns[i]!, SAMPLES, ROW_MS[level], table);
      }
    });
  }
}
