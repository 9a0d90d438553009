// test/bench/partial.bench.ts: aggregating 1,600 columns of 105 steps into 8 groups.
import type { PartialOp } from "../../libs/model/index.ts";
import { PartialAggregator } from "../../libs/promql/index.ts";
import { GAUGES, GRID, report, SERIES } from "./rollup-series.ts";

const columns = GAUGES.map((column) => column.slice(0, GRID.count));
const present = new Uint8Array(GRID.count).fill(1);
const labels = columns.map((_, i) => ["__name__", "m", "host", `h${i}`, "mode", `m${i % 8}`]);

for (const op of ["sum", "avg", "max", "count", "group"] satisfies PartialOp[]) {
  for (const mask of [null, present]) {
    report(`${op}${mask === null ? "" : " with a mask"}`, SERIES * GRID.count, "point", () => {
      const aggregator = new PartialAggregator({ op, without: false, labels: ["mode"] }, GRID.count);
      for (let i = 0; i < SERIES; i++) aggregator.add(aggregator.groupOf(labels[i]!), columns[i]!, mask);
      aggregator.columns();
    });
  }
}
