// test/crash/kill-work.test.ts: a real process that does all its work at once, killed with -9 at random moments, again and again: samples of now
// and of the last days come in, are cut, merged and made rows of, series are deleted and brought back, and retention runs. Every acknowledged
// sample is there once, bit for bit; what is deleted stays away; rows say what samples say. KILL_RUNS=… kills more often.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SeededRandom } from "../../libs/env/index.ts";
import { labelsToRecord } from "../../libs/model/index.ts";
import { freePort, type Running, sleep, stop, until } from "../e2e/processes.ts";
import { Hand, VICTIM_JOB } from "./hand.ts";
import { Ledger } from "./ledger.ts";
import { expectLedger, openDirectory } from "./real-directory.ts";
import { Service } from "./service.ts";
import { Writer } from "./writer.ts";

const KILLS = Number(process.env.KILL_RUNS ?? 50);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Of the samples that are looked for; those of more than five days are written by others, and expire half way. */
const AGES_MS = [0, 0, 1, 2, 3].map((days) => days * DAY_MS);
const OLD_AGES_MS = [6, 7, 8].map((days) => days * DAY_MS);
const ORDERS = ["clean", "compact", "delete", "flush", "snapshot", "undelete", "victim"];
const LONG = ["--retention", "raw=10d,1m=11d,1h=12d"];
const SHORT = ["--retention", "raw=5d,1m=6d,1h=7d"];

let dir: string;
const running = new Set<Running>();
const random = new SeededRandom(Number(process.env.FUZZ_SEED ?? 1));

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "tidemark-kill-work-"));
});

afterAll(async () => {
  for (const one of running) await stop(one, "SIGKILL");
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

/** Points of a query, by series. */
async function points(base: string, query: string, level: string): Promise<Map<string, unknown>> {
  const end = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const form = { query, level, start: `${(end - 4 * DAY_MS) / 1000}`, end: `${end / 1000}`, step: "3600" };
  const reply = await fetch(`${base}/api/v1/query_range?${new URLSearchParams(form)}`);
  expect(reply.status).toBe(200);
  const { data } = (await reply.json()) as { data: { result: { metric: object; values: unknown }[] } };
  return new Map(data.result.map(({ metric, values }) => [JSON.stringify(Object.entries(metric).sort()), values]));
}

async function expectVictims(hand: Hand): Promise<void> {
  const db = await openDirectory(join(dir, "data"));
  try {
    const found = new Map<string, number[]>();
    for (const { labels, times } of db.export("default", [{ type: "=", name: "job", value: VICTIM_JOB }])) {
      const { n } = labelsToRecord(labels);
      expect(found.has(n!)).toBe(false);
      if (times.length > 0) found.set(n!, [...times]);
    }
    const wanted = [...hand.victims].flatMap(([n, { state, times }]) =>
      state === "there" ? [[n, times] as const] : [],
    );
    expect(found).toEqual(new Map(wanted));
  } finally {
    await db.close();
  }
}

test(`everything at once in one process, killed ${KILLS} times`, { timeout: 60_000 + KILLS * 8000 }, async () => {
  const args = ["--self-scrape", "off", "--warm-up", "0s", "--shards", "2", "--head-memory", "64MiB"];
  const data = join(dir, "data");
  const all = new Service(await freePort(), ["all", "--data-dir", data, "--enable-admin-api", ...args], running);
  all.start(LONG);
  await all.ready();
  const ledger = new Ledger();
  const url = `${all.base}/api/v1/write`;
  const writer = (number: number, agesMs: readonly number[], book: Ledger): Writer =>
    new Writer({ url, ledger: book, number, instance: `client-${number}`, pauseMs: 15, churn: 0.05, agesMs });
  const writers = [0, 1, 2].map((number) => writer(number, AGES_MS, ledger));
  const old = writer(9, OLD_AGES_MS, new Ledger());
  const hand = new Hand(all.base, random);
  const acknowledged = (): number => writers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  const progress = async (requests: number): Promise<void> => {
    const before = acknowledged();
    await until("writes", async () => (acknowledged() >= before + requests ? true : undefined), 30_000, [...running]);
  };
  let stopped: Promise<void> | undefined;
  for (let kill = 0; kill < KILLS; kill++) {
    // Mostly at work, sometimes while it starts.
    if (random.chance(0.2)) await sleep(random.below(700));
    else {
      await progress(1 + random.below(8));
      // Lives long enough for whole cuts and merges, and short ones.
      await sleep(random.below(random.pick([100, 600, 1800])));
    }
    await all.end("SIGKILL");
    // What it has on its way may be refused then as too old.
    if (kill === Math.floor(KILLS / 2)) stopped = old.stop();
    all.start(kill >= Math.floor(KILLS / 2) ? SHORT : LONG);
  }
  await progress(5);
  // What no life was long enough for.
  const isDone = async () => (ORDERS.every((order) => hand.done.has(order)) ? true : undefined);
  await until("all orders", isDone, 60_000, [...running]);
  await Promise.all([...writers.map((one) => one.stop()), hand.stop(), stopped]);
  expect(writers.flatMap((one) => one.refusals)).toEqual([]);
  expect(hand.problems).toEqual([]);
  for (const order of ["flush", "compact"]) {
    expect((await fetch(`${all.base}/api/v1/admin/${order}`, { method: "POST" })).status).toBe(200);
  }
  const query = `count_over_time({job=~"crash|${VICTIM_JOB}"}[1h])`;
  const rows = await points(all.base, query, "1h");
  expect(rows).toEqual(await points(all.base, query, "raw"));
  expect(rows.size).toBeGreaterThan(50);
  const files = readdirSync(join(data, "blocks"));
  expect(await all.end("SIGTERM")).toBe(0);
  // All of the work was done, and often.
  for (const level of ["raw", "1m", "1h"])
    expect(files.filter((name) => name.startsWith(`${level}-`)).length).toBeGreaterThan(1);
  expect(acknowledged()).toBeGreaterThan(3 * KILLS);
  await expectLedger(data, ledger);
  await expectVictims(hand);
});
