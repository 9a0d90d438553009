// test/bench/append.bench.ts: appending one sample, by kind of value and of time, the samples record included; best of
// several rounds.
import { Head } from "../../libs/tsdb/head.ts";
import { runBatch, sampleBatch } from "./batches.ts";
import { report, seeded } from "./scrapes.ts";

const SERIES = 2000;
const SCRAPES = 256;
const ROUNDS = 5;
const random = seeded(1);

/** Appends SCRAPES scrapes of SERIES series; ns per sample of the best round. */
function measure(
  name: string,
  value: (series: number, scrape: number) => number,
  time = (s: number) => s * 15_000,
  goal?: number,
): void {
  let best = Number.POSITIVE_INFINITY;
  const values = new Float64Array(SERIES);
  const batches = Array.from({ length: SCRAPES }, (_, s) => {
    for (let i = 0; i < SERIES; i++) values[i] = value(i, s);
    return runBatch(0, time(s), values);
  });
  for (let round = 0; round < ROUNDS; round++) {
    const head = new Head({ memoryBytes: 256 << 20 });
    const dictionary = head.makeDictionary()!;
    for (let i = 0; i < SERIES; i++) dictionary.set(i, head.addSeries(i >> 9, i >> 9));
    let spent = 0;
    for (const batch of batches) {
      const started = performance.now();
      head.append(batch, dictionary, 0, 2 ** 53);
      spent += performance.now() - started;
    }
    best = Math.min(best, (spent * 1e6) / (SERIES * SCRAPES));
  }
  report(name, best, "ns/sample", goal);
}

/** The same scrapes with the series of each batch in an order of their own: every sample is a run. */
function measureShuffled(): void {
  let best = Number.POSITIVE_INFINITY;
  const order = Array.from({ length: SERIES }, (_, i) => i);
  for (let i = SERIES - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const head = new Head({ memoryBytes: 256 << 20 });
  const dictionary = head.makeDictionary()!;
  const home = new Int32Array(SERIES);
  for (let i = 0; i < SERIES; i++) {
    home[order[i]!] = i >> 9;
    dictionary.set(order[i]!, head.addSeries(i >> 9, i >> 9));
  }
  const refs = Uint32Array.from({ length: SERIES }, (_, i) => order[(i * 7) % SERIES]!);
  for (let s = 0; s < SCRAPES; s++) {
    // Four targets in a batch, each with its own time.
    const batch = sampleBatch(
      refs,
      (i) => s * 15_000 + home[refs[i]!]!,
      Float64Array.from(refs, (r) => r + s),
    );
    const started = performance.now();
    head.append(batch, dictionary, 0, 2 ** 53);
    best = Math.min(best, ((performance.now() - started) * 1e6) / SERIES);
  }
  report("shuffled, every sample a run (best scrape)", best, "ns/sample");
}

measure("constants", (i) => i, undefined, 16);
measure("counters of integers", (i, s) => i + s * 1000 + ((i * s) % 50), undefined, 16);
measure("gauges of two decimals", (i, s) => ((i * 7919 + s * 104_729) % 100_000) / 100);
measure("noise of 53 bits", () => random());
measure(
  "the same time again, values that lose",
  (i, s) => i - s,
  () => 1000,
);
measure(
  "late: each scrape before the one before",
  (i) => i,
  (s) => (SCRAPES - s) * 15_000,
);
measureShuffled();
