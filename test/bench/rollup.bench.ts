// test/bench/rollup.bench.ts: rollups as a storage calls them: a plan per target, then every series.

import type { Rollup } from "../../libs/model/index.ts";
import { evaluateRollup } from "../../libs/promql/index.ts";
import { COUNTERS, GAUGES, GRID, planOf, plansFor, report, SERIES, timesOf } from "./rollup-series.ts";

const out = new Float64Array(GRID.count);
const present = new Uint8Array(GRID.count);
const points = SERIES * GRID.count;

function bench(rollup: Rollup, columns: readonly Float64Array[], rangeMs: number): void {
  report(`${rollup} [${rangeMs / 60_000}m], plan included`, points, "point", () => {
    const plans = plansFor(rangeMs);
    for (let i = 0; i < SERIES; i++) {
      evaluateRollup(rollup, planOf(plans, i), timesOf(i), columns[i]!, [], out, present);
    }
  });
}

bench("last", GAUGES, 300_000);
bench("rate", COUNTERS, 300_000);
bench("increase", COUNTERS, 300_000);
bench("sum_over_time", COUNTERS, 300_000);
bench("sum_over_time", GAUGES, 300_000);
bench("max_over_time", GAUGES, 300_000);
bench("max_over_time", GAUGES, 1_800_000);
