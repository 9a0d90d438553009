// test/bench/block-series.ts: the series of many node_exporter targets for the bench of blocks, by shard as placement puts them.
// Label sets come from the capture when there is one (as values do in scrapes.ts), else from a made-up mix.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { HASH_KEY_BYTES, IngestKernel } from "../../libs/kernel/index.ts";
import { encodeSeriesKey, type Hash128, labelsFromPairs, placeSeries } from "../../libs/model/index.ts";
import { COURSES, seeded, Target } from "./scrapes.ts";

const CAPTURE =
  process.env.CAPTURE ?? fileURLToPath(new URL("../../../shared/data/node_exporter.jsonl.gz", import.meta.url));
export const START_MS = 1_750_000_200_000;
export const STEP_MS = 15_000;

export interface BlockSeries {
  readonly key: Uint8Array;
  readonly target: number;
  readonly values: Float64Array;
}

/** The name and label pairs of each course. */
function labelSets(): [string, string][][] {
  if (!existsSync(CAPTURE)) {
    return COURSES.map((_, k) => [
      ["__name__", `node_metric_${k % 200}_total`],
      ["device", `dev${Math.floor(k / 200)}`],
    ]);
  }
  const first = gunzipSync(readFileSync(CAPTURE)).toString().split("\n", 1)[0]!;
  const rows: string[] = JSON.parse(first).text.trim().split("\n");
  return rows.map((row) => {
    const [, name, labels = ""] = /^([^{ ]+)(?:\{(.*)\})? [^ ]+$/.exec(row)!;
    const pairs: [string, string][] = [["__name__", name!]];
    for (const [, label, value] of labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) pairs.push([label!, value!]);
    return pairs;
  });
}

/** The hash that names series, under some seed. */
export function makeHash(): Hash128 {
  const kernel = new IngestKernel({ hashKey: new Uint8Array(HASH_KEY_BYTES), formBytesMax: 1 << 20 });
  return kernel.hash128(new Uint8Array(16).fill(9));
}

/** A target's scrapes: in time, one in a hundred late by up to 25 ms, or a fifth off by up to 20 ms. */
export function timesOf(target: number, scrapes: number, off: "punctual" | "late" | "jitter"): Float64Array {
  const random = seeded(target + 1000);
  const start = START_MS + Math.max(20, (target * 6421) % (STEP_MS - 50));
  return Float64Array.from({ length: scrapes }, (_, s) => {
    const r = random();
    const late = off === "late" && r < 0.01 ? Math.round(random() * 25) : 0;
    const jitter = off === "jitter" && r < 0.2 ? Math.round(random() * 40) - 20 : 0;
    return start + s * STEP_MS + late + jitter;
  });
}

/** All series of `targets` targets, by shard, in the order of their keys. */
export function seriesByShard(targets: number, scrapes: number, shards: number, hash: Hash128): BlockSeries[][] {
  const sets = labelSets();
  const out: BlockSeries[][] = Array.from({ length: shards }, () => []);
  const row = new Float64Array(COURSES.length);
  for (let t = 0; t < targets; t++) {
    const target = new Target(t);
    const columns = Array.from(COURSES, () => new Float64Array(scrapes));
    for (let s = 0; s < scrapes; s++) {
      target.next(row);
      for (let k = 0; k < row.length; k++) columns[k]![s] = row[k]!;
    }
    const instance = `host-${String(t).padStart(6, "0")}.dc${t % 4}.example:9100`;
    sets.forEach((pairs, k) => {
      const labels = labelsFromPairs([...pairs, ["instance", instance], ["job", "node_exporter"]]);
      const key = encodeSeriesKey("default", labels);
      out[placeSeries(hash, key, shards).shard]!.push({ key, target: t, values: columns[k]! });
    });
  }
  for (const shard of out) shard.sort((a, b) => Buffer.compare(a.key, b.key));
  return out;
}
