// test/bench/quantile.bench.ts: sorting the values of a window, and the quantile of a group.
import { quantileOf, sortFloats } from "../../libs/promql/quantile.ts";
import { GAUGES, report } from "./rollup-series.ts";

const scratch = new Float64Array(480);
for (const n of [10, 40, 100, 480]) {
  report(`sort ${n} values`, GAUGES.length * n, "value", () => {
    for (const column of GAUGES) {
      scratch.set(column.subarray(0, n));
      sortFloats(scratch, n);
    }
  });
  report(`select of ${n} values`, GAUGES.length * n, "value", () => {
    for (const column of GAUGES) {
      scratch.set(column.subarray(0, n));
      quantileOf(0.99, scratch, n);
    }
  });
}
