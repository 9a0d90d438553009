// test/e2e/vmagent.test.ts: vmagent scrapes a real node_exporter and writes what it found into Tidemark and into a real Prometheus; both then
// have the same samples. Since 1.88 vmagent begins with zstd, which Prometheus' protocol does not have: it is told 415 and goes on
// with snappy. VMAGENT_BIN names such a one; the one on the PATH may be older.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { binary } from "../needs.ts";
import { findPrometheus } from "../promql/peer.ts";
import { ask, compare } from "./api.ts";
import { freePort, type Running, sleep, start, startTidemark, stop, until, untilOk } from "./processes.ts";
import { type RealPrometheus, startPrometheus } from "./real-prometheus.ts";

const exporter = binary("prometheus-node-exporter", "NODE_EXPORTER_BIN");
const prometheusBin = findPrometheus()?.command;
const agents = [...new Set([binary("vmagent"), binary("vmagent", "VMAGENT_BIN")])].filter((one) => one !== undefined);
const SCRAPES_MS = 12_000;

/** A write request that passed by. */
interface Seen {
  readonly encoding: string | undefined;
  readonly status: number | undefined;
}

/** Hands requests on and notes how they were encoded and answered. */
async function listen(port: number, seen: Seen[]): Promise<{ readonly server: Server; readonly address: string }> {
  const server = createServer((incoming, answer) => {
    const { url: path = "/", method = "GET", headers } = incoming;
    const onward = request({ host: "127.0.0.1", port, path, method, headers }, (reply) => {
      seen.push({ encoding: headers["content-encoding"], status: reply.statusCode });
      answer.writeHead(reply.statusCode ?? 500, reply.headers);
      reply.pipe(answer);
    });
    onward.on("error", () => answer.writeHead(503).end());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return { server, address: `127.0.0.1:${address.port}` };
}

describe.skipIf(agents.length === 0 || !exporter || !prometheusBin)("vmagent as the client", () => {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-vmagent-"));
  const running: Running[] = [];
  let prometheus: RealPrometheus;
  let node = "";
  let all = "";

  beforeAll(async () => {
    const [http, scraped] = [await freePort(), await freePort()];
    [all, node] = [`http://127.0.0.1:${http}`, `127.0.0.1:${scraped}`];
    running.push(start("node_exporter", exporter!, [`--web.listen-address=${node}`]));
    running.push(
      startTidemark("all", [
        ...["all", "--http-listen", `127.0.0.1:${http}`, "--data-dir", join(dir, "data"), "--self-scrape", "off"],
      ]),
    );
    await untilOk(`${all}/-/ready`, 30_000, running);
    prometheus = await startPrometheus(prometheusBin!);
  }, 120_000);

  afterAll(async () => {
    for (const one of running.reverse()) await stop(one);
    await prometheus?.stop();
    rmSync(dir, { recursive: true, force: true });
  }, 120_000);

  test.each(agents)(
    "%s: both have the same samples",
    async (agent) => {
      const job = `node-${agents.indexOf(agent)}`;
      const seen: Seen[] = [];
      const proxy = await listen(Number(new URL(all).port), seen);
      const config = join(dir, `${job}.yml`);
      writeFileSync(
        config,
        `global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- {job_name: ${job}, static_configs: [{targets: ["${node}"]}]}\n`,
      );
      const process = start("vmagent", agent, [
        ...[`-promscrape.config=${config}`, `-remoteWrite.tmpDataPath=${join(dir, job)}`],
        ...[`-httpListenAddr=127.0.0.1:${await freePort()}`, "-remoteWrite.flushInterval=200ms"],
        // Several queues overtake each other, and a Prometheus refuses what is older than what it has.
        "-remoteWrite.queues=1",
        ...[`-remoteWrite.url=http://${proxy.address}/api/v1/write`, `-remoteWrite.url=${prometheus.url}/api/v1/write`],
      ]);
      try {
        const fresh = async (base: string): Promise<true | undefined> => {
          const answer = await ask(base, { query: `count({job="${job}"})`, time: Date.now() / 1000 });
          return (answer.data?.result.length ?? 0) > 0 ? true : undefined;
        };
        for (const base of [all, prometheus.url])
          await until("samples", () => fresh(base), 60_000, [process, ...running]);
        await sleep(SCRAPES_MS);
        // Stopping sends what it still has, stale markers last.
        await stop(process);
        const time = Math.ceil(Date.now() / 1000);
        for (const query of [`{job="${job}"}[1m]`, `count_over_time({job="${job}"}[1m])`, `count({job="${job}"})`]) {
          const [want, got] = await Promise.all([ask(prometheus.url, { query, time }), ask(all, { query, time })]);
          const { points, differences } = compare(want, got, 0);
          expect(differences).toEqual([]);
          if (query.endsWith("]")) expect(points).toBeGreaterThan(5000);
        }
        const statuses = (encoding: string): unknown[] => {
          return [...new Set(seen.filter((one) => one.encoding === encoding).map((one) => one.status))];
        };
        expect(statuses("snappy")).toEqual([204]);
        const zstd = seen.filter((one) => one.encoding === "zstd");
        expect(statuses("zstd")).toEqual(zstd.length === 0 ? [] : [415]);
        // VMAGENT_BIN is there to show this.
        if (agent === globalThis.process.env.VMAGENT_BIN) expect(seen[0]).toEqual({ encoding: "zstd", status: 415 });
      } finally {
        await stop(process);
        proxy.server.close();
      }
    },
    180_000,
  );
});
