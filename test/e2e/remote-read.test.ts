// test/e2e/remote-read.test.ts: real Prometheus servers without samples of their own read them from Tidemark, in one process and as a
// cluster, and answer as Tidemark itself does. A newer one asks for streamed chunks, Debian's 2.42 for samples.
// Windows were closed on the left before 3.0: no sample lies on the edge of any window here.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { binary } from "../needs.ts";
import { decodeFrames, decodeSamples, readBody } from "../unit/select/read-decoder.ts";
import { ask, compare, type Question } from "./api.ts";
import { freePort, type Running, start, startTidemark, stop, untilOk } from "./processes.ts";
import { compress, encodeWriteRequest, post, type WriteSeries } from "./remote-write.ts";

const named = binary("prometheus", "PROM_BIN");
const onPath = binary("prometheus");
const readers = [...new Set([named, onPath])].filter((path) => path !== undefined);
const SCRAPE_MS = 15_000;
const SCRAPES = 360;
/** Samples lie 123 ms behind a second; questions are asked half a second behind one. */
const END_S = Math.floor(Date.now() / 1000) - 600;
const START_MS = (END_S - (SCRAPES * SCRAPE_MS) / 1000) * 1000 + 123;
const STALE = new Float64Array(new Uint32Array([2, 0x7ff00000]).buffer);

const QUERIES: readonly string[] = [
  "up",
  'count({__name__!=""})',
  "requests_total",
  'requests_total{code=~"2.."}',
  'requests_total{code!~"2..|404",job="a"}',
  "sum by (code) (rate(requests_total[2m]))",
  "increase(requests_total[10m])",
  "irate(requests_total[1m])",
  "resets(requests_total[20m])",
  "max_over_time(temperature[5m])",
  "quantile_over_time(0.9, temperature[10m])",
  "temperature offset 10m",
  "temperature @ end()",
  "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
  "count_over_time(flapping[10m])",
  "flapping",
  "absent(flapping)",
  "avg_over_time(rate(requests_total[1m])[10m:1m])",
  "topk(3, temperature)",
  '{__name__=~"odd.*"}',
  "stddev(temperature)",
];

/** Counters that reset, gauges, a histogram, a series that comes and goes, and values that are no numbers. */
function history(): WriteSeries[] {
  const times = Array.from({ length: SCRAPES }, (_, i) => START_MS + i * SCRAPE_MS);
  const make = (labels: Record<string, string>, value: (i: number) => number): WriteSeries => ({
    labels: Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)),
    times,
    values: Float64Array.from(times, (_, i) => value(i)),
  });
  const out: WriteSeries[] = [];
  for (const job of ["a", "b"]) {
    for (let host = 0; host < 10; host++) {
      const target = { job, instance: `host-${host}:9100` };
      out.push(make({ __name__: "up", ...target }, () => 1));
      for (const code of ["200", "204", "404", "500"]) {
        out.push(make({ __name__: "requests_total", code, ...target }, (i) => ((i + host) % 97) * Number(code)));
      }
      out.push(
        make({ __name__: "temperature", ...target }, (i) => (job === "a" ? 20 : 18) + 7 * Math.sin(i / 9 + host)),
      );
      for (const le of ["0.1", "0.5", "1", "+Inf"]) {
        out.push(make({ __name__: "latency_bucket", le, ...target }, (i) => i * (Number(le) || 2) * (host + 1)));
      }
    }
  }
  const flapping = make({ __name__: "flapping", job: "a", often: 'ja "é"' }, (i) => i);
  for (let i = 0; i < SCRAPES; i += 7) flapping.values.set(STALE, i);
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 5e-324, 1.7e308];
  out.push(
    flapping,
    make({ __name__: "odd", job: "a" }, (i) => odd[i % odd.length]!),
  );
  return out;
}

describe.skipIf(readers.length === 0)("real Prometheus servers read from Tidemark", () => {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-read-"));
  const running: Running[] = [];
  const bases: Record<"all" | "cluster", string> = { all: "", cluster: "" };
  /** By Tidemark: a Prometheus of each version in front of it. */
  const fronts: Record<"all" | "cluster", string[]> = { all: [], cluster: [] };

  beforeAll(async () => {
    const ports = await Promise.all(Array.from({ length: 7 + 2 * readers.length }, freePort));
    const at = (i: number): string => `127.0.0.1:${ports[i]}`;
    const launch = (one: Running): void => void running.push(one);
    launch(
      startTidemark("all", ["all", "--http-listen", at(0), "--data-dir", join(dir, "all"), "--self-scrape", "off"]),
    );
    for (const [http, rpc] of [[1, 2], [3, 4]] as const) {
      const listen = ["--http-listen", at(http), "--grpc-listen", at(rpc)];
      launch(startTidemark(`storage ${rpc}`, ["storage", ...listen, "--data-dir", join(dir, `storage-${rpc}`)]));
    } // biome-ignore format: pairs of ports
    for (const i of [0, 1, 3]) await untilOk(`http://${at(i)}/-/ready`, 30_000, running);
    const storages = ["--storage", `${at(2)},${at(4)}`];
    launch(startTidemark("insert", ["insert", "--http-listen", at(5), ...storages]));
    launch(startTidemark("select", ["select", "--http-listen", at(6), ...storages]));
    for (const i of [5, 6]) await untilOk(`http://${at(i)}/-/ready`, 30_000, running);
    const body = compress(encodeWriteRequest(history()));
    for (const i of [0, 5]) expect(await post(`http://${at(i)}/api/v1/write`, body)).toMatchObject({ status: 204 });
    bases.all = `http://${at(0)}`;
    bases.cluster = `http://${at(6)}`;
    for (const [n, which] of (["all", "cluster"] as const).entries()) {
      for (const [r, reader] of readers.entries()) {
        const own = at(7 + n * readers.length + r);
        const config = join(dir, `prometheus-${which}-${r}.yml`);
        writeFileSync(config, `remote_read: [{url: "${bases[which]}/api/v1/read", read_recent: true}]\n`);
        launch(
          start(`prometheus ${which} ${r}`, reader, [
            ...[`--config.file=${config}`, `--storage.tsdb.path=${join(dir, `prometheus-${which}-${r}`)}`],
            `--web.listen-address=${own}`,
          ]),
        );
        await untilOk(`http://${own}/-/ready`, 60_000, running);
        fronts[which].push(`http://${own}`);
      }
    }
  }, 180_000);

  afterAll(async () => {
    for (const one of running.reverse()) await stop(one);
    rmSync(dir, { recursive: true, force: true });
  }, 120_000);

  const end = END_S - 30 + 0.5;
  const questions: Question[] = QUERIES.flatMap((query) => [
    { query, time: end },
    ...(query.startsWith("topk") ? [] : [{ query, start: end - 1800, end, step: 60 }]),
  ]);

  test.each(["all", "cluster"] as const)(
    "%s: every query has the same answer",
    async (which) => {
      const wrong: string[] = [];
      for (const front of fronts[which]) {
        let nonEmpty = 0;
        for (const q of questions) {
          const [got, want] = await Promise.all([ask(front, q), ask(bases[which], q)]);
          const { points, differences } = compare(want, got, 1e-12);
          if (points > 0) nonEmpty++;
          if (differences.length > 0) wrong.push(`${q.query}\n  ${differences.join("\n  ")}`);
        }
        expect(nonEmpty).toBeGreaterThan(questions.length * 0.75);
      }
      expect(wrong.join("\n")).toBe("");
      const metrics = await (await fetch(`${bases[which]}/metrics`)).text();
      const reads = (form: string): number =>
        Number(new RegExp(`^tidemark_reads_total{form="${form}"} (\\d+)`, "m").exec(metrics)?.[1]);
      expect(reads("chunks") + reads("samples")).toBeGreaterThanOrEqual(questions.length * readers.length);
      // Two different ones are one that asks for chunks and Debian's.
      if (readers.length > 1)
        expect(Math.min(reads("chunks"), reads("samples"))).toBeGreaterThanOrEqual(questions.length);
    },
    120_000,
  );

  test.each(["all", "cluster"] as const)(
    "%s: both forms have the samples that were written, bit for bit",
    async (which) => {
      const matchers = [{ type: 2, name: "__name__", value: ".+" }];
      const query = { startTimestampMs: START_MS, endTimestampMs: START_MS + SCRAPES * SCRAPE_MS, matchers };
      const read = async (types: number[]) => {
        const body = new Uint8Array(readBody([query], types));
        const answer = await fetch(`${bases[which]}/api/v1/read`, { method: "POST", body });
        expect(answer.status).toBe(200);
        return Buffer.from(await answer.arrayBuffer());
      };
      const written = new Map(
        history().map(({ labels, times, values }) => {
          const bits = new BigUint64Array(values.buffer);
          return [labels.map(([n, v]) => `${n}=${v}`).join(","), times.map((t, i) => `${t}:${bits[i]!.toString(16)}`)];
        }),
      );
      const chunks = decodeFrames(await read([1, 0]));
      expect(new Map(chunks.map(({ labels, samples }) => [labels, samples]))).toEqual(written);
      const samples = decodeSamples(await read([0]));
      expect(samples.map((s) => [s.labels, s.samples.length])).toEqual(chunks.map((s) => [s.labels, s.samples.length]));
    },
  );

  test.each(["all", "cluster"] as const)("%s: series through Prometheus' own API", async (which) => {
    const path = `api/v1/series?match[]=flapping&match[]=odd&start=${end - 1800}&end=${end}`;
    const want = await (await fetch(`${bases[which]}/${path}`)).json();
    for (const front of fronts[which]) expect(await (await fetch(`${front}/${path}`)).json()).toEqual(want);
  });
});
