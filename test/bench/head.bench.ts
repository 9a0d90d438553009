// test/bench/head.bench.ts: the head as a whole: 100 targets × 480 scrapes of 507 series, then 500,000 series; time and
// memory.
// Every batch is one scrape of one target. Memory is what the tables and the arena take, and what the process really
// grew by.
import { Head } from "../../libs/tsdb/head.ts";
import { runBatch } from "./batches.ts";
import { COURSES, report, SOURCE, Target } from "./scrapes.ts";

const PER_TARGET = COURSES.length;
const START_MS = 1_700_000_000_000;
const STEP_MS = 15_000;

const rssMb = (): number => process.memoryUsage.rss() / 1e6;

interface Filled {
  readonly head: Head;
  /** Mean over 16 scrapes, of which one seals: in the best such window, and in the median one. */
  readonly best: number;
  readonly median: number;
  readonly rss: number;
}

function fill(targets: number, scrapes: number, memoryBytes: number): Filled {
  const before = rssMb();
  const head = new Head({ memoryBytes });
  const dictionary = head.makeDictionary()!;
  for (let t = 0; t < targets; t++) {
    for (let k = 0; k < PER_TARGET; k++) dictionary.set(t * PER_TARGET + k, head.addSeries(t, t * 2_654_435_761));
  }
  // Values are made target by target and scrape by scrape outside the clock.
  const sources = Array.from({ length: Math.min(targets, 100) }, (_, t) => new Target(t));
  const columns = sources.map(() => new Float64Array(PER_TARGET));
  const spent = new Float64Array(scrapes);
  for (let s = 0; s < scrapes; s++) {
    sources.forEach((source, i) => {
      source.next(columns[i]!);
    });
    for (let block = 0; block < targets; block += 100) {
      const batches: Uint8Array[] = [];
      for (let t = block; t < Math.min(targets, block + 100); t++) {
        const late = (t * 31 + s * 17) % 100 === 0 ? (t + s) % 25 : 0;
        const time = START_MS + s * STEP_MS + ((t * 6421) % (STEP_MS - 100)) + late;
        batches.push(runBatch(t * PER_TARGET, time, columns[t % columns.length]!));
      }
      const started = performance.now();
      for (const batch of batches) head.append(batch, dictionary, 0, 2 ** 53);
      spent[s] = spent[s]! + performance.now() - started;
    }
  }
  const windows: number[] = [];
  for (let s = scrapes % 16; s < scrapes; s += 16) {
    windows.push((spent.subarray(s, s + 16).reduce((a, b) => a + b) * 1e6) / (targets * PER_TARGET * 16));
  }
  windows.sort((a, b) => a - b);
  return { head, best: windows[0]!, median: windows[windows.length >> 1]!, rss: rssMb() - before };
}

function run(targets: number, scrapes: number, memoryBytes: number): Head {
  const { head, best, median, rss } = fill(targets, scrapes, memoryBytes);
  const s = head.stats();
  const series = targets * PER_TARGET;
  console.log(`\n${series} series × ${scrapes} scrapes, ${SOURCE}`);
  report("append, record written: best 16 scrapes", best, "ns/sample", scrapes > 100 ? 16 : undefined);
  report("append, record written: median of 16 scrapes", median, "ns/sample");
  report("chunks, headers and timestamps included", s.bitsPerSample, "bits/sample", scrapes > 100 ? 11 : undefined);
  report("arena and tables, per series", (s.arenaUsedBytes + s.recordBytes) / series, "B");
  report("arena and tables, per sample", ((s.arenaUsedBytes + s.recordBytes) * 8) / s.samples, "bits");
  report("growth of the process", rss, "MB");
  return head;
}

/** The best of seven rounds. */
function timed(units: number, work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const started = performance.now();
    work();
    best = Math.min(best, ((performance.now() - started) * 1e6) / units);
  }
  return best;
}

const head = run(100, 480, 1 << 30);
const series = head.seriesCount;
const columns = timed(series * 480, () => {
  for (let i = 0; i < series; i++) head.readColumn(i, 0, 480);
});
report("readColumn, 480 samples", columns, "ns/sample", 2);
const samples = timed(series * 480, () => {
  for (let i = 0; i < series; i++) head.readSeries(i, START_MS, START_MS + 480 * STEP_MS);
});
report("readSeries, with times", samples, "ns/sample");
let clean = 0;
const asked = timed(series, () => {
  for (let i = 0; i < series; i++) if (head.isClean(i, 100, 200)) clean++;
});
report(`isClean (${Math.round((clean / series / 7) * 100)} % are)`, asked, "ns/series");

run(986, 24, 2 ** 31);
