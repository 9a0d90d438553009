// test/bench/rollup-rows.bench.ts: rollups over rows of a minute, for windows of five.
import { foldSamples } from "../../libs/block/index.ts";
import { RowTable } from "../../libs/model/index.ts";
import { createWindowPlan, evaluateRows, planWindows } from "../../libs/promql/index.ts";
import { COUNTERS, GRID, RESETTING, report, SAMPLES, SERIES, timesOf } from "./rollup-series.ts";

const LEVEL_MS = 60_000;
const RANGE_MS = 300_000;
const grid = { ...GRID, startMs: Math.ceil(GRID.startMs / LEVEL_MS) * LEVEL_MS };
const out = new Float64Array(grid.count);
const present = new Uint8Array(grid.count);
for (const [name, columns] of Object.entries({ counters: COUNTERS, resetting: RESETTING })) {
  const tables = columns.map((values, i) => {
    const table = new RowTable();
    foldSamples(timesOf(i), values, SAMPLES, LEVEL_MS, table);
    return table;
  });
  const [first] = tables as [RowTable];
  const plan = planWindows(first.ends, first.length, grid, RANGE_MS, 0, createWindowPlan());
  for (const rollup of ["rate", "last", "sum_over_time", "avg_over_time", "max_over_time"] as const) {
    report(`${rollup} of ${name}`, SERIES * grid.count, "point", () => {
      for (const table of tables) evaluateRows(rollup, plan, table, LEVEL_MS, RANGE_MS, out, present);
    });
  }
}
