// test/bench/packed.bench.ts: what packing a batch's values costs, and what it saves: a head that takes batches whose values need 0, 3 and
// 8 bytes; the difference is unpacking, the copy into the record, and the bytes.
import { Head } from "../../libs/tsdb/head.ts";
import { runBatch } from "./batches.ts";
import { report } from "./scrapes.ts";

const SERIES = 2000;
const SCRAPES = 15;
const ROUNDS = 40;

for (const [name, value] of [
  ["zeros", () => 0],
  ["integers", (i: number, s: number) => 1000 + i * 7 + s],
  ["53 bits", (i: number, s: number) => Math.sqrt(i + 2) + s / 3],
] as const) {
  const values = new Float64Array(SERIES);
  const batches = Array.from({ length: SCRAPES }, (_, s) => {
    for (let i = 0; i < SERIES; i++) values[i] = value(i, s);
    return runBatch(0, s * 15_000, values);
  });
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const head = new Head({ memoryBytes: 64 << 20 });
    const dictionary = head.makeDictionary()!;
    for (let i = 0; i < SERIES; i++) dictionary.set(i, head.addSeries(i >> 9, i >> 9));
    head.append(batches[0]!, dictionary, 0, 2 ** 53);
    const started = performance.now();
    for (const batch of batches.slice(1)) head.append(batch, dictionary, 0, 2 ** 53);
    best = Math.min(best, ((performance.now() - started) * 1e6) / (SERIES * (SCRAPES - 1)));
  }
  report(`append of ${name}, ${(batches[1]!.length / SERIES).toFixed(1)} B a sample`, best, "ns/sample");
}
