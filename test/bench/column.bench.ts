// test/bench/column.bench.ts: the column codec over node_exporter-like columns: bytes per sample by kind, values per second.
// 20 targets × 480 scrapes, then fewer targets × 5,760; then made-up columns of each sort, times among them. Best of several rounds.
import { ColumnKernel, type EncodedColumn } from "../../libs/kernel/index.ts";
import { COURSES, report, SOURCE, seeded, Target } from "./scrapes.ts";

const ROUNDS = 7;
const kernel = new ColumnKernel();

interface Stored extends EncodedColumn {
  readonly values: Float64Array;
}

function columnsOf(targets: number, scrapes: number): Float64Array[] {
  const columns: Float64Array[] = [];
  const row = new Float64Array(COURSES.length);
  for (let t = 0; t < targets; t++) {
    const target = new Target(t);
    const own = Array.from(COURSES, () => new Float64Array(scrapes));
    for (let s = 0; s < scrapes; s++) {
      target.next(row);
      for (let k = 0; k < row.length; k++) own[k]![s] = row[k]!;
    }
    columns.push(...own);
  }
  return columns;
}

function store(columns: readonly Float64Array[]): Stored[] {
  return columns.map((values) => {
    const { header, payload, reference } = kernel.encode(values);
    return { header, payload: payload.slice(), reference, values };
  });
}

/** Million values per second in the best of ROUNDS rounds. */
function speed(columns: readonly { values: Float64Array }[], work: (i: number) => void): number {
  const values = columns.reduce((sum, c) => sum + c.values.length, 0);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    for (let i = 0; i < columns.length; i++) work(i);
    best = Math.min(best, performance.now() - started);
  }
  return values / best / 1e3;
}

/** A goal that is met from below. */
function reportSpeed(name: string, millions: number, goal?: number): void {
  const missed = goal !== undefined && millions < goal;
  const verdict = goal === undefined ? "" : `  (goal ≥ ${goal}${missed ? ", missed" : ""})`;
  console.log(`${name.padEnd(64)} ${millions.toFixed(1).padStart(9)} M values/s${verdict}`);
  if (missed) process.exitCode = 1;
}

function measureSpeeds(name: string, stored: readonly Stored[], goals?: { decode: number; encode: number }): void {
  const out = new Float64Array(stored[0]!.values.length);
  const decode = speed(stored, (i) => {
    kernel.decode(stored[i]!.header, stored[i]!.payload, out);
  });
  reportSpeed(`${name}: decode`, decode, goals?.decode);
  const encode = speed(stored, (i) => {
    kernel.encode(stored[i]!.values);
  });
  reportSpeed(`${name}: encode`, encode, goals?.encode);
}

function run(targets: number, scrapes: number, goalMillibytes: number): void {
  const stored = store(columnsOf(targets, scrapes));
  console.log(`\n${targets} targets × ${scrapes} scrapes, ${SOURCE}`);
  const out = new Float64Array(scrapes);
  for (const { header, payload, values } of stored) {
    const fault = kernel.decode(header, payload, out);
    const [a, b] = [new BigUint64Array(values.buffer), new BigUint64Array(out.buffer)];
    if (fault !== undefined || a.some((bits, i) => bits !== b[i])) throw new Error("a column came back changed");
  }
  const bytes = (columns: readonly Stored[]): number => columns.reduce((sum, c) => sum + c.payload.length, 0);
  for (const kind of ["constant", "linear", "coded", "raw"] as const) {
    const some = stored.filter((c) => c.header.kind === kind);
    const share = (some.length / stored.length) * 100;
    if (some.length > 0)
      report(`payload of ${kind} columns (${share.toFixed(1)} %)`, bytes(some) / some.length / scrapes, "B/sample");
  }
  const millibytes = (bytes(stored) / stored.length / scrapes) * 1000;
  report("payload of all columns", millibytes, "B/1000 samples", goalMillibytes);
  measureSpeeds("all columns", stored, { decode: 200, encode: 30 });
  measureSpeeds(
    "coded columns",
    stored.filter((c) => c.header.kind === "coded"),
  );
}

run(20, 480, 355);
run(4, 5760, 356);

const random = seeded(3);
console.log("\n2,000 columns of 480 values");
function measure(name: string, value: (i: number) => () => number, goalBytes?: number): void {
  const stored = store(
    Array.from({ length: 2000 }, (_, k) => {
      const next = value(k);
      return Float64Array.from({ length: 480 }, next);
    }),
  );
  report(name, stored.reduce((sum, c) => sum + c.payload.length, 0) / stored.length / 480, "B/sample", goalBytes);
  measureSpeeds(name, stored);
}
const counter = (step: () => number) => () => {
  let sum = 0;
  return () => {
    sum += step();
    return sum;
  };
};
const clock = (off: () => number) => (k: number) => {
  let at = 1.7e12 + k * 37;
  return () => {
    at += 15_000;
    return at + off();
  };
};
measure(
  "counters of integers",
  counter(() => Math.floor(random() * 1000)),
);
measure(
  "counters that rest",
  counter(() => (random() < 0.05 ? Math.floor(random() * 100) : 0)),
);
measure(
  "sums of decimals in floating point",
  counter(() => Math.floor(random() * 1000) / 1000),
);
measure("gauges of two decimals", () => () => Math.floor(random() * 10_000) / 100);
measure("noise of 53 bits", () => random);
measure(
  "times, regular",
  clock(() => 0),
  0,
);
measure(
  "times, 1 % late",
  clock(() => (random() < 0.01 ? Math.floor(random() * 25) : 0)),
  0.04,
);
measure(
  "times, 20 % off by ±20 ms",
  clock(() => (random() < 0.2 ? Math.floor(random() * 41) - 20 : 0)),
  0.26,
);
