// test/bench/decode.bench.ts: columns of values out of chunks, by kind of value; best of several rounds. Times are
// decoded apart, once a group.
import { Head } from "../../libs/tsdb/head.ts";
import { runBatch } from "./batches.ts";
import { COURSES, report, SOURCE, seeded, Target } from "./scrapes.ts";

const SCRAPES = 480;
const ROUNDS = 15;
const random = seeded(1);

function load(series: number, fill: (scrape: number, out: Float64Array) => void): Head {
  const head = new Head({ memoryBytes: 256 << 20 });
  const dictionary = head.makeDictionary()!;
  for (let i = 0; i < series; i++) dictionary.set(i, head.addSeries(0, Math.floor(i / COURSES.length)));
  const values = new Float64Array(series);
  for (let s = 0; s < SCRAPES; s++) {
    fill(s, values);
    head.append(runBatch(0, s * 15_000 + (s % 100 === 7 ? 20 : 0), values), dictionary, 0, 2 ** 53);
  }
  return head;
}

/** ns per sample of reading all columns, in the best round. */
function measure(name: string, head: Head, goal?: number): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    for (let series = 0; series < head.seriesCount; series++) head.readColumn(series, 0, SCRAPES);
    best = Math.min(best, ((performance.now() - started) * 1e6) / (head.seriesCount * SCRAPES));
  }
  report(name, best, "ns/sample", goal);
}

const targets = Array.from({ length: 10 }, (_, t) => new Target(t));
const scraped = load(10 * COURSES.length, (_, out) => {
  targets.forEach((target, t) => {
    target.next(out.subarray(t * COURSES.length, (t + 1) * COURSES.length));
  });
});
measure(`readColumn: ${SOURCE}`, scraped, 2);

const byKind = (value: (i: number, s: number) => number): Head =>
  load(1000, (s, out) => {
    for (let i = 0; i < out.length; i++) out[i] = value(i, s);
  });
measure(
  "readColumn: constants",
  byKind((i) => i),
);
measure(
  "readColumn: counters of integers",
  byKind((i, s) => i + s * 1000 + ((i * s) % 50)),
  2,
);
measure(
  "readColumn: gauges of two decimals",
  byKind((i, s) => ((i * 7919 + s * 104_729) % 100_000) / 100),
);
measure(
  "readColumn: noise of 53 bits",
  byKind(() => random()),
);

let best = Number.POSITIVE_INFINITY;
for (let round = 0; round < ROUNDS; round++) {
  const started = performance.now();
  for (let series = 0; series < scraped.seriesCount; series++) scraped.readSeries(series, 0, 2 ** 53);
  best = Math.min(best, ((performance.now() - started) * 1e6) / (scraped.seriesCount * SCRAPES));
}
report("readSeries, with times", best, "ns/sample");

best = Number.POSITIVE_INFINITY;
for (let round = 0; round < ROUNDS; round++) {
  const started = performance.now();
  for (let i = 0; i < 1000; i++) scraped.timeColumn(0, 0, 2 ** 53);
  best = Math.min(best, ((performance.now() - started) * 1e6) / (1000 * SCRAPES));
}
report("timeColumn", best, "ns/time");
