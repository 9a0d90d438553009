// test/bench/number-format.bench.ts: sample values as text bytes: whole numbers, short decimals, quotients; and String() beside.
import { NUMBER_BYTES_MAX, writeTimestamp, writeValue } from "../../libs/kernel/number-format.ts";
import { report } from "./rollup-series.ts";

const COUNT = 100_000;
const out = Buffer.alloc(2 * NUMBER_BYTES_MAX);
const KINDS: Readonly<Record<string, (i: number) => number>> = {
  "small whole numbers": (i) => i % 1000,
  "large whole numbers": (i) => i * 977_777,
  "three decimals": (i) => (i * 7919) / 1000,
  quotients: (i) => (i * 7919) / 300,
};

for (const [kind, make] of Object.entries(KINDS)) {
  const values = Float64Array.from({ length: COUNT }, (_, i) => make(i + 1));
  report(`writeValue, ${kind}`, COUNT, "value", () => {
    for (let i = 0; i < COUNT; i++) writeValue(out, 0, values[i]!);
  });
  report(`String and write, ${kind}`, COUNT, "value", () => {
    for (let i = 0; i < COUNT; i++) out.write(String(values[i]!), 0, "latin1");
  });
}
report("writeTimestamp", COUNT, "timestamp", () => {
  for (let i = 0; i < COUNT; i++) writeTimestamp(out, 0, 1_700_000_000_123 + i * 15_000);
});
