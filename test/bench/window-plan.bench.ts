// test/bench/window-plan.bench.ts: a plan per target, from scratch and into the same object.
import { createWindowPlan, planWindows } from "../../libs/promql/index.ts";
import { GRID, plansFor, report, SAMPLES, TIMES } from "./rollup-series.ts";

report("planWindows, new plans", TIMES.length * GRID.count, "step", () => {
  plansFor(300_000);
});
const plan = createWindowPlan();
report("planWindows, one plan reused", TIMES.length * GRID.count, "step", () => {
  for (const times of TIMES) planWindows(times, SAMPLES, GRID, 300_000, 0, plan);
});
