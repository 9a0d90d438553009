// test/bench/bit-writer.bench.ts: bits into bytes, by runs of each length.
import { BitWriter } from "../../services/select/bit-writer.ts";
import { report } from "./rollup-series.ts";

const writer = new BitWriter(1 << 20);
for (const count of [1, 5, 14, 32]) {
  report(`${count} bits`, 200_000, "number", () => {
    writer.begin(0);
    for (let i = 0; i < 200_000; i++) writer.put(i, count);
  });
}
