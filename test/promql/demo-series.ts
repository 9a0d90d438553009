// test/promql/demo-series.ts: the metrics that a demo service with three instances shows, scraped every five seconds.
import { labelsFromRecord } from "../../libs/model/index.ts";
import type { Chance } from "./chance.ts";
import type { StoredSample, StoredSeries } from "./script-samples.ts";

const SCRAPE_MS = 5000;
const INSTANCES = ["demo.example:10000", "demo.example:10001", "demo.example:10002"];
const BOUNDS = ["0.0001", "0.001", "0.01", "0.1", "1", "+Inf"];

/** All series over `spanMs` from `baseMs` on; the same ones for the same chance. No sample lies on a multiple of a second. */
export function demoSeries(chance: Chance, baseMs: number, spanMs: number): StoredSeries[] {
  const out: StoredSeries[] = [];
  const times = Array.from({ length: Math.floor(spanMs / SCRAPE_MS) }, (_, i) => baseMs + i * SCRAPE_MS + 1237);
  const add = (labels: Record<string, string>, valueAt: (i: number) => number | undefined): void => {
    const samples = times.flatMap((timeMs, i): StoredSample[] => {
      const value = valueAt(i);
      return value === undefined ? [] : [{ timeMs, value, stale: false, histogram: undefined, startMs: 0 }];
    });
    out.push({ labels: labelsFromRecord({ ...labels, job: "demo" }), samples });
  };
  const counter = (most: number): (() => number) => {
    let total = chance.below(1000) / 8;
    return () => {
      total = chance.oneIn(150) ? 0 : total + chance.below(most * 64) / 64;
      return total;
    };
  };
  for (const [n, instance] of INSTANCES.entries()) {
    for (const type of ["buffers", "cached", "free", "used"]) {
      add({ __name__: "demo_memory_usage_bytes", instance, type }, () => 1e9 + chance.below(2 ** 31));
    }
    for (const mode of ["idle", "system", "user"]) {
      add({ __name__: "demo_cpu_usage_seconds_total", instance, mode }, counter(12));
    }
    add({ __name__: "demo_num_cpus", instance }, () => 2 ** (n + 1));
    add({ __name__: "demo_disk_total_bytes", instance }, () => 160e9);
    const disk = counter(3e6);
    add({ __name__: "demo_disk_usage_bytes", instance }, () => 4e10 + disk());
    add({ __name__: "demo_batch_last_success_timestamp_seconds", instance }, (i) => {
      return Math.floor(times[Math.floor(i / 12) * 12]! / 1000) - 3 * n;
    });
    add({ __name__: "demo_intermittent_metric", instance }, (i) => ((i + 7 * n) % 30 < 18 ? 1 : undefined));
    for (const path of ["/api/bar", "/api/foo"]) {
      const counts = BOUNDS.map(() => 0);
      const rows = times.map(() => {
        let row = 0;
        return BOUNDS.map((_, b) => {
          row += chance.below(6);
          counts[b] = counts[b]! + row;
          return counts[b]!;
        });
      });
      const labels = { instance, path, method: "GET", status: "200" };
      for (const [b, le] of BOUNDS.entries()) {
        add({ __name__: "demo_api_request_duration_seconds_bucket", ...labels, le }, (i) => rows[i]![b]);
      }
      add({ __name__: "demo_api_request_duration_seconds_count", ...labels }, (i) => rows[i]!.at(-1));
      add({ __name__: "demo_api_request_duration_seconds_sum", ...labels }, (i) => rows[i]!.at(-1)! / 64);
    }
  }
  return out;
}
