// test/bench/points.bench.ts: columns of a dashboard's answer, 105 steps each, as text: by the kernel, and value by value by its twin.
import { NUMBER_BYTES_MAX, PointsKernel, writeTimestamp, writeValue } from "../../libs/kernel/index.ts";
import { report } from "./rollup-series.ts";

const SERIES = 1000;
const STEPS = 105;
const KINDS: Readonly<Record<string, (i: number) => number>> = {
  "small whole numbers": (i) => i % 1000,
  "large whole numbers": (i) => i * 977_777,
  "three decimals": (i) => (i * 7919) / 1000,
  quotients: (i) => (i * 7919) / 300,
  "beyond 2^53": (i) => i * 1.1e16,
};

const kernel = new PointsKernel();
const times = Float64Array.from({ length: STEPS }, (_, i) => 1_700_000_000_000 + i * 60_000);
const out = Buffer.alloc(STEPS * 3 * NUMBER_BYTES_MAX);
for (const [kind, make] of Object.entries(KINDS)) {
  const columns = Array.from({ length: SERIES }, (_, s) =>
    Float64Array.from({ length: STEPS }, (_, i) => make(1 + s * STEPS + i)),
  );
  report(`kernel, ${kind}`, SERIES * STEPS, "point", () => {
    for (const values of columns) kernel.render(times, values, null, 0);
  });
  report(`twin, ${kind}`, SERIES * STEPS, "point", () => {
    for (const values of columns) {
      let at = 0;
      for (let i = 0; i < STEPS; i++) at = writeValue(out, writeTimestamp(out, at, times[i]!) + 4, values[i]!) + 2;
    }
  });
}
