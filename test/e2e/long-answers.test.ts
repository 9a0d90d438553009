// test/e2e/long-answers.test.ts: an answer of some 200 MB of JSON from a real process: it takes no memory for its text, however slowly it is
// read, and its first byte leaves once the query has been evaluated.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort, type Running, sleep, startTidemark, stop, until, untilOk } from "./processes.ts";
import { compress, encodeWriteRequest, post, type WriteSeries } from "./remote-write.ts";

const SERIES = 2000;
const STEPS = 3000;
const END_S = Math.floor(Date.now() / 1000) - 60;
/** `[1795974960,"0.3333333333333333"],` */
const JSON_BYTES_MIN = SERIES * STEPS * 32;
const PATH = `/api/v1/query_range?query=long&start=${END_S - 0.25 * STEPS}&end=${END_S}&step=0.25`;

const dir = mkdtempSync(join(tmpdir(), "tidemark-long-"));
const running: Running[] = [];
let at = "";

beforeAll(async () => {
  at = `127.0.0.1:${await freePort()}`;
  const data = ["--data-dir", join(dir, "data"), "--self-scrape", "off"];
  running.push(startTidemark("all", ["all", "--http-listen", at, ...data]));
  await untilOk(`http://${at}/-/ready`, 30_000, running);
  // A sample every minute: the lookback fills the steps between.
  const times = Array.from({ length: 20 }, (_, i) => (END_S - 60 * i) * 1000).reverse();
  const series = Array.from({ length: SERIES }, (_, i): WriteSeries => {
    return { labels: [["__name__", "long"], ["i", `${i}`]], times, values: Float64Array.from(times, (_, t) => (t + 1) / (i + 3)) };
  }); // biome-ignore format: a series
  for (let from = 0; from < SERIES; from += 500) {
    const body = compress(encodeWriteRequest(series.slice(from, from + 500)));
    expect(await post(`http://${at}/api/v1/write`, body)).toMatchObject({ status: 204 });
  }
}, 60_000);

afterAll(async () => {
  for (const one of running) await stop(one);
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

/** Bytes that the process has in memory. */
function memory(): number {
  const status = readFileSync(`/proc/${running[0]!.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
}

function ask(): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(`http://${at}${PATH}`, resolve).on("error", reject).end();
  });
}

async function readAll(response: IncomingMessage): Promise<{ bytes: number; peak: number; tail: string }> {
  let bytes = 0;
  let peak = 0;
  let tail = "";
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    tail = (tail + part.toString("latin1")).slice(-40);
    if (bytes % 7 === 0) peak = Math.max(peak, memory());
  }
  return { bytes, peak, tail };
}

test("its memory is that of its points, not of its text", async () => {
  // Once for the code and what V8 keeps.
  await readAll(await ask());
  const before = memory();
  const response = await ask();
  expect(response.statusCode).toBe(200);
  response.pause();
  // Whoever reads nothing holds nothing up but its own answer.
  await sleep(1000);
  const waiting = memory();
  const light = await fetch(`http://${at}/api/v1/query?query=long{i="7"}&time=${END_S}`);
  expect(((await light.json()) as { data: { result: unknown[] } }).data.result).toHaveLength(1);
  const { bytes, peak, tail } = await readAll(response);
  expect(bytes).toBeGreaterThan(JSON_BYTES_MIN);
  expect(tail).toMatch(/"\]\]\}\]\}\}$/);
  expect(waiting - before).toBeLessThan(JSON_BYTES_MIN / 2);
  expect(peak - before).toBeLessThan(JSON_BYTES_MIN / 2);
  const idle = async (): Promise<true | undefined> => {
    const text = await (await fetch(`http://${at}/metrics`)).text();
    return /^tidemark_queries_running 0$/m.test(text) ? true : undefined;
  };
  await until("the query to end", idle, 5000, running);
}, 120_000);

test("a client that leaves in the middle leaves nothing behind", async () => {
  const response = await ask();
  response.once("readable", () => response.read(1000));
  await sleep(300);
  response.destroy();
  const flying = async (): Promise<true | undefined> => {
    const text = await (await fetch(`http://${at}/metrics`)).text();
    // This request is one itself.
    return /^tidemark_http_requests_in_flight 1$/m.test(text) ? true : undefined;
  };
  await until("the answer to be let go", flying, 5000, running);
}, 60_000);
