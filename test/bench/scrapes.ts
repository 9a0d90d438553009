// test/bench/scrapes.ts: values like a node_exporter's for the benches of the head: a capture's changes, new for each
// target.
// With ../shared/data/node_exporter.jsonl.gz (or CAPTURE) it follows that capture, else a made-up mix of the same
// proportions.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const CAPTURE =
  process.env.CAPTURE ?? fileURLToPath(new URL("../../../shared/data/node_exporter.jsonl.gz", import.meta.url));

/** A series' captured course as integers of some unit, or raw values when it has none. */
interface Course {
  readonly raw: Float64Array;
  /**
   * Values × 10^decimals, and the greatest common divisor of their changes; undefined when values are no short
   * decimals.
   */
  readonly steps: { integers: Float64Array; unit: number; scale: number; counter: boolean } | undefined;
}

/** A seeded generator of 0 ≤ x < 1 (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function courseOf(raw: Float64Array): Course {
  for (let decimals = 0; decimals <= 12; decimals++) {
    const scale = 10 ** decimals;
    const integers = raw.map((v) => Math.round(v * scale));
    if (!integers.every((n, i) => Math.abs(n) < 2 ** 52 && n / scale === raw[i])) continue;
    let unit = 0;
    let falls = false;
    for (let i = 1; i < integers.length; i++) {
      let [a, b] = [unit, Math.abs(integers[i]! - integers[i - 1]!)];
      while (b > 0) [a, b] = [b, a % b];
      unit = a;
      if (integers[i]! < integers[i - 1]!) falls = true;
    }
    if (unit === 0) break;
    return { raw, steps: { integers, unit, scale, counter: !falls } };
  }
  return { raw, steps: undefined };
}

function captured(): Course[] {
  const scrapes = gunzipSync(readFileSync(CAPTURE))
    .toString()
    .trim()
    .split("\n")
    .map((line) => {
      const rows: string[] = JSON.parse(line).text.trim().split("\n");
      return new Map(rows.map((row) => [row.slice(0, row.lastIndexOf(" ")), row.slice(row.lastIndexOf(" ") + 1)]));
    });
  return [...scrapes[0]!.keys()].map((key) => {
    let last = 0;
    return courseOf(
      Float64Array.from(scrapes, (scrape) => {
        const text = scrape.get(key);
        if (text !== undefined) last = Number(text.replace("+Inf", "Infinity"));
        return last;
      }),
    );
  });
}

/** 507 courses: two thirds constant, the rest counters of several paces, gauges of decimals and of noise. */
function madeUp(): Course[] {
  const random = seeded(7);
  return Array.from({ length: 507 }, (_, k) => {
    let value = Math.floor(random() * 1e6);
    const pace = 10 ** (random() * 6);
    return courseOf(
      Float64Array.from({ length: 480 }, () => {
        if (k % 3 !== 0) return value;
        if (k % 9 === 0) return Math.floor(random() * pace) / 100;
        if (k % 51 === 0) return random();
        value += Math.floor(random() * pace);
        return value;
      }),
    );
  });
}

export const COURSES = existsSync(CAPTURE) ? captured() : madeUp();
export const SOURCE = existsSync(CAPTURE) ? "captured node_exporter" : "made-up values";

/**
 * One target's values: scrape after scrape a column of COURSES.length values. Each change of the capture is repeated
 * with
 * a factor of its own, in the series' unit; counters never fall.
 */
export class Target {
  private readonly random: () => number;
  private readonly sums: Float64Array;
  private at: number;

  constructor(number: number) {
    this.random = seeded(number + 1);
    this.at = number * 7;
    this.sums = Float64Array.from(COURSES, (c) => (c.steps === undefined ? 0 : c.steps.integers[0]!));
  }

  next(out: Float64Array): void {
    for (let k = 0; k < COURSES.length; k++) {
      const { raw, steps } = COURSES[k]!;
      const i = this.at % raw.length;
      if (steps === undefined) {
        out[k] = raw[i]!;
        continue;
      }
      const change = i === 0 ? 0 : (steps.integers[i]! - steps.integers[i - 1]!) / steps.unit;
      if (steps.counter) {
        this.sums[k] = this.sums[k]! + steps.unit * Math.round(change * (0.5 + this.random()));
        out[k] = this.sums[k]! / steps.scale;
      } else out[k] = (steps.integers[i]! + steps.unit * Math.round(change * (this.random() - 0.5))) / steps.scale;
    }
    this.at++;
  }
}

/** Prints a figure with its goal; a missed goal fails the bench. */
export function report(name: string, value: number, unit: string, goal?: number): void {
  const missed = goal !== undefined && value > goal;
  const verdict = goal === undefined ? "" : `  (goal ≤ ${goal}${missed ? ", missed" : ""})`;
  console.log(`${name.padEnd(64)} ${value.toFixed(2).padStart(9)} ${unit}${verdict}`);
  if (missed) process.exitCode = 1;
}
