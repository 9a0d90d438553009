// test/bench/json.bench.ts: answers as JSON bytes: a matrix of 100 series × 11,000 steps, a vector of 50,000 series.
import type { StepColumn } from "../../libs/model/index.ts";
import type { QueryValue } from "../../libs/promql/index.ts";
import { renderResult } from "../../services/select/json.ts";
import { report } from "./rollup-series.ts";

const SERIES = 100;
const STEPS = 11_000;
const TARGETS = 50_000;
const NO_NOTES = { warnings: [], infos: [] };

/** Renders everything and drops it, as a fast client would. */
function render(value: QueryValue): void {
  for (const chunk of renderResult(value, "", NO_NOTES)) if (chunk.length === 0) throw new Error("empty chunk");
}

const labels = (i: number): string[] => ["__name__", "node_load1", "instance", `host-${i}.example:9100`, "job", "node"];
const grid = { startMs: 1_700_000_000_000, stepMs: 15_000, count: STEPS };
for (const [kind, make] of [
  ["whole numbers", (s: number, i: number) => i * (s + 1) * 977],
  ["quotients", (s: number, i: number) => (i * (s + 1)) / 300],
] as const) {
  const columns = Array.from({ length: SERIES }, (_, s): StepColumn => {
    return { labels: labels(s), values: Float64Array.from({ length: STEPS }, (_, i) => make(s, i)), present: null };
  });
  report(`matrix, ${kind}`, SERIES * STEPS, "point", () => render({ type: "matrix", grid, columns }));
}
const columns = Array.from({ length: TARGETS }, (_, i): StepColumn => {
  return { labels: labels(i), values: Float64Array.of(i * 1.37), present: null };
});
report("vector", TARGETS, "series", () => render({ type: "vector", timeMs: grid.startMs, columns }));
