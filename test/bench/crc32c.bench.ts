// test/bench/crc32c.bench.ts: the checksum of remote read frames.
import { crc32c } from "../../services/select/crc32c.ts";
import { report } from "./rollup-series.ts";

const bytes = Uint8Array.from({ length: 1 << 20 }, (_, i) => Math.imul(i, 2_654_435_761) >>> 24);
report("CRC-32C of 1 MiB", bytes.length, "byte", () => {
  if (crc32c(bytes) === 0) throw new Error("a checksum of 0");
});
