// test/promql/remote-read.test.ts: a real Prometheus reads floats and native histograms as streamed chunks from our API, over a storage in
// memory, and answers as our engine does over the same storage.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { freePort, type Running, start, stop, untilOk } from "../e2e/processes.ts";
import { openSelect } from "../unit/select/select-server.ts";
import { Chance } from "./chance.ts";
import { difference } from "./compare-answers.ts";
import { type Answer, findPrometheus } from "./peer.ts";
import { peerSeries, SPAN_MS } from "./peer-series.ts";
import { SampleQueryable } from "./sample-queryable.ts";

const found = findPrometheus();
const QUERIES = [
  "requests_total",
  "sparse",
  "native",
  "native_gauge",
  "custom",
  "assorted",
  "histogram_count(native)",
  "histogram_sum(custom)",
  "rate(native[5m])",
  "increase(custom[10m])",
  "delta(native_gauge[5m])",
  "resets(native[20m])",
  "histogram_quantile(0.9, sum(rate(native[5m])))",
  "histogram_fraction(0, 1, native)",
  "avg_over_time(native_gauge[5m])",
  "sum by (job) (native)",
  "count_over_time(assorted[10m])",
  "last_over_time(native[3m])",
];

describe.skipIf(found?.modern !== true)("a real Prometheus 3 reads native histograms", () => {
  test("and answers as we do", { timeout: 120_000 }, async () => {
    const baseMs = Math.floor((Date.now() - 2 * SPAN_MS) / 60_000) * 60_000;
    const storage = new SampleQueryable();
    for (const series of peerSeries(new Chance(11), { baseMs, modern: true, shiftMs: 0 })) storage.store(series);
    const select = await openSelect({ queryable: () => storage, experimental: true });
    const dir = mkdtempSync(join(tmpdir(), "tidemark-read-histograms-"));
    const running: Running[] = [];
    try {
      const { host, port } = select.server.address;
      const ours = `http://${host}:${port}`;
      const address = `127.0.0.1:${await freePort()}`;
      writeFileSync(join(dir, "prometheus.yml"), `remote_read: [{url: "${ours}/api/v1/read", read_recent: true}]\n`);
      running.push(
        start("prometheus", found!.command, [
          ...[`--config.file=${join(dir, "prometheus.yml")}`, `--storage.tsdb.path=${join(dir, "data")}`],
          `--web.listen-address=${address}`,
        ]),
      );
      await untilOk(`http://${address}/-/ready`, 60_000, running);
      const ask = async (base: string, path: string): Promise<Answer> =>
        (await (await fetch(`${base}/api/v1/${path}`)).json()) as Answer;
      const findings: string[] = [];
      let answered = 0;
      for (const query of QUERIES) {
        const text = `query=${encodeURIComponent(query)}`;
        const at = (minutes: number): number => baseMs / 1000 + 60 * minutes;
        const paths = [7, 21, 33].map((minutes) => `query?${text}&time=${at(minutes)}`);
        for (const path of [...paths, `query_range?${text}&start=${at(3)}&end=${at(40)}&step=60`]) {
          const [theirs, own] = await Promise.all([ask(`http://${address}`, path), ask(ours, path)]);
          const differs = difference(theirs, own, false);
          if (differs !== undefined) findings.push(`${path}: ${differs}`);
          if ((theirs.data?.result.length ?? 0) > 0) answered++;
        }
      }
      expect(findings.join("\n")).toBe("");
      expect(answered).toBeGreaterThan(3 * QUERIES.length);
      expect(select.api.readings().tidemark_reads_total).toContainEqual({ labels: { form: "samples" }, value: 0 });
    } finally {
      for (const one of running) await stop(one);
      await select.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
