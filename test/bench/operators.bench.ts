// test/bench/operators.bench.ts: arithmetic and comparison of whole columns.
import { arithmetic, compare } from "../../libs/promql/operators.ts";
import { GAUGES, report, SAMPLES, SERIES } from "./rollup-series.ts";

const other = GAUGES[0]!;
for (const op of ["+", "/", "%", "^"] as const) {
  report(`column ${op} column`, SERIES * SAMPLES, "value", () => {
    for (const column of GAUGES) arithmetic(op, column, other);
  });
}
report("column > column", SERIES * SAMPLES, "value", () => {
  for (const column of GAUGES) compare(">", column, other);
});
