// test/e2e/hang-up.test.ts: a client that hangs up, a query that is stopped or runs out of time: the storage stops working on it within a
// second, in one process and behind gRPC. What the storage itself counts as running is what counts here.
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBody } from "../unit/select/read-decoder.ts";
import { freePort, type Running, sleep, startTidemark, stop, until, untilOk } from "./processes.ts";
import { compress, encodeWriteRequest, post, type WriteSeries } from "./remote-write.ts";

const SERIES = 2000;
const SAMPLES = 240;
const SCRAPE_MS = 15_000;
const END_S = Math.floor(Date.now() / 1000) - 60;
/** Minutes of work: 11,000 medians over an hour for each series. */
const HEAVY = "quantile_over_time(0.5, heavy[1h])";

function history(from: number, to: number): WriteSeries[] {
  return Array.from({ length: to - from }, (_, k) => ({
    labels: [["__name__", "heavy"], ["i", `${from + k}`]] as const,
    times: Array.from({ length: SAMPLES }, (_, i) => (END_S - 3600) * 1000 + i * SCRAPE_MS),
    values: Float64Array.from({ length: SAMPLES }, (_, i) => Math.sin(i * (from + k + 1)) * 1000),
  })); // biome-ignore format: labels as a row
}

describe("a query that nobody waits for", () => {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-hang-up-"));
  const running: Running[] = [];
  const at: Record<"all" | "cluster", { select: string; storage: string }> = {
    all: { select: "", storage: "" },
    cluster: { select: "", storage: "" },
  };

  beforeAll(async () => {
    const ports = await Promise.all(Array.from({ length: 5 }, freePort));
    const address = (i: number): string => `127.0.0.1:${ports[i]}`;
    const launch = (one: Running): void => void running.push(one);
    const wide = ["--query-samples-max", "1000000000000", "--query-bytes-max", "8GiB"];
    launch(
      startTidemark("all", [
        ...["all", "--http-listen", address(0), "--data-dir", join(dir, "all"), "--self-scrape", "off", ...wide],
      ]),
    );
    launch(
      startTidemark("storage", [
        ...["storage", "--http-listen", address(1), "--grpc-listen", address(2), "--data-dir", join(dir, "storage")],
      ]),
    );
    for (const i of [0, 1]) await untilOk(`http://${address(i)}/-/ready`, 30_000, running);
    launch(startTidemark("insert", ["insert", "--http-listen", address(3), "--storage", address(2)]));
    launch(startTidemark("select", ["select", "--http-listen", address(4), "--storage", address(2), ...wide]));
    for (const i of [3, 4]) await untilOk(`http://${address(i)}/-/ready`, 30_000, running);
    for (let from = 0; from < SERIES; from += 500) {
      const body = compress(encodeWriteRequest(history(from, from + 500)));
      for (const i of [0, 3]) {
        expect(await post(`http://${address(i)}/api/v1/write`, body)).toMatchObject({ status: 204 });
      }
    }
    at.all = { select: address(0), storage: address(0) };
    at.cluster = { select: address(4), storage: address(1) };
  }, 120_000);

  afterAll(async () => {
    for (const one of running.reverse()) await stop(one);
    rmSync(dir, { recursive: true, force: true });
  }, 120_000);

  const metric = async (address: string, name: string): Promise<number> => {
    const text = await (await fetch(`http://${address}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text)?.[1]);
  };
  const leaves = (which: "all" | "cluster"): Promise<number> =>
    metric(at[which].storage, "tidemark_storage_leaves_running");
  const query = `query=${encodeURIComponent(HEAVY)}&start=${END_S - 1099.9}&end=${END_S}&step=0.1`;

  /** Begins a heavy query; the storage works on it when this settles. */
  async function begin(which: "all" | "cluster", more = ""): Promise<{ hangUp: () => void; status: Promise<number> }> {
    const [host, port] = at[which].select.split(":") as [string, string];
    const outgoing = request({ host, port: Number(port), path: `/api/v1/query_range?${query}${more}` });
    const status = new Promise<number>((resolve) => {
      outgoing.on("response", (response) => resolve(response.resume().statusCode!));
      outgoing.on("error", () => resolve(0));
    });
    outgoing.end();
    await until("the storage to work", async () => ((await leaves(which)) > 0 ? true : undefined), 10_000, running);
    // It goes on: this is no query that ends by itself.
    await sleep(300);
    expect(await leaves(which)).toBe(1);
    return { hangUp: () => outgoing.destroy(), status };
  }

  /** How long the storage goes on, in ms. */
  async function untilIdle(which: "all" | "cluster"): Promise<number> {
    const began = Date.now();
    await until("the storage to stop", async () => ((await leaves(which)) === 0 ? true : undefined), 10_000, running);
    return Date.now() - began;
  }

  describe.each(["all", "cluster"] as const)("%s", (which) => {
    test("its client hangs up", async () => {
      const { hangUp, status } = await begin(which);
      hangUp();
      expect(await untilIdle(which)).toBeLessThan(1000);
      expect(await status).toBe(0);
      const gone = await metric(at[which].select, "tidemark_queries_refused_total");
      expect(gone).toBeGreaterThan(0);
    }, 60_000);

    test("it is stopped by its id", async () => {
      const { status } = await begin(which);
      const base = `http://${at[which].select}/api/v1/status/queries`;
      const shown = (await (await fetch(base)).json()) as { data: { running: { id: string; query: string }[] } };
      expect(shown.data.running).toMatchObject([{ query: HEAVY }]);
      const stopped = await fetch(`${base}/${shown.data.running[0]!.id}`, { method: "DELETE" });
      expect(stopped.status).toBe(204);
      expect(await untilIdle(which)).toBeLessThan(1000);
      expect(await status).toBe(499);
    }, 60_000);

    test("its time is over", async () => {
      const { status } = await begin(which, "&timeout=1500ms");
      expect(await status).toBe(503);
      expect(await untilIdle(which)).toBeLessThan(1000);
    }, 60_000);

    test("meanwhile the storage takes samples and answers others", async () => {
      const { hangUp } = await begin(which);
      const began = Date.now();
      const light = `http://${at[which].select}/api/v1/query?query=${encodeURIComponent('heavy{i="7"}')}&time=${END_S}`;
      const answer = (await (await fetch(light)).json()) as { data: { result: unknown[] } };
      expect(answer.data.result.length).toBe(1);
      expect(Date.now() - began).toBeLessThan(5000);
      hangUp();
      await untilIdle(which);
    }, 60_000);

    test("a reader of raw samples hangs up", async () => {
      const [host, port] = at[which].select.split(":") as [string, string];
      const matchers = [{ type: 0, name: "__name__", value: "heavy" }];
      const body = readBody(Array(500).fill({ startTimestampMs: 0, endTimestampMs: END_S * 1000, matchers }), [1]);
      const outgoing = request({ host, port: Number(port), path: "/api/v1/read", method: "POST" }, (response) => {
        // Takes nothing more: the storage waits.
        response.once("readable", () => undefined).on("error", () => undefined);
      });
      outgoing.on("error", () => undefined);
      outgoing.end(body);
      await until("the storage to stream", async () => ((await leaves(which)) > 0 ? true : undefined), 10_000, running);
      outgoing.destroy();
      expect(await untilIdle(which)).toBeLessThan(1000);
    }, 60_000);
  });
});
