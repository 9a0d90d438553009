// test/crash/kill.test.ts: real processes under load, killed with -9 at random moments, restarted, and stopped. The page cache survives a
// kill, so this proves nothing about syncing (simulated.test.ts does) but all about the processes themselves: sockets, worker, lock, retries.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SeededRandom } from "../../libs/env/index.ts";
import { freePort, type Running, sleep, stop, until } from "../e2e/processes.ts";
import { Ledger } from "./ledger.ts";
import { expectLedger } from "./real-directory.ts";
import { Service } from "./service.ts";
import { Writer } from "./writer.ts";

const KILLS = 20;
const KILLS_ALL = 4;
const START_MS = 30_000;

describe("real processes", () => {
  let dir: string;
  let ledger: Ledger;
  let writers: Writer[];
  let running: Set<Running>;
  const random = new SeededRandom(Number(process.env.FUZZ_SEED ?? 1));

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tidemark-kill-"));
    ledger = new Ledger();
    writers = [];
    running = new Set();
  });

  afterEach(async () => {
    for (const one of running) await stop(one, "SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  const engine = (name: string): string[] => [
    "--data-dir",
    join(dir, name),
    "--head-memory",
    "64MiB",
    "--warm-up",
    "0s",
  ];

  async function storageService(): Promise<{ service: Service; grpc: string }> {
    const grpc = `127.0.0.1:${await freePort()}`;
    return {
      service: new Service(await freePort(), ["storage", "--grpc-listen", grpc, ...engine("data")], running),
      grpc,
    };
  }

  const insertService = async (grpc: string): Promise<Service> =>
    new Service(await freePort(), ["insert", "--storage", grpc], running);

  function write(base: string, count: number, pauseMs: number, churn = 0): void {
    for (let i = 0; i < count; i++) {
      const number = writers.length;
      const url = `${base}/api/v1/write`;
      writers.push(new Writer({ url, ledger, number, instance: `client-${number}`, pauseMs, churn }));
    }
  }

  const acknowledged = (): number => writers.reduce((sum, writer) => sum + writer.acknowledged, 0);

  async function progress(requests: number, what: string): Promise<void> {
    const before = acknowledged();
    await until(what, async () => (acknowledged() >= before + requests ? true : undefined), START_MS, [...running]);
  }

  async function stopWriting(): Promise<void> {
    await Promise.all(writers.map((writer) => writer.stop()));
    expect(writers.flatMap((writer) => writer.refusals)).toEqual([]);
  }

  /** Kills at a random moment: mostly while it takes writes, sometimes while it starts. */
  async function killAtRandom(service: Service): Promise<void> {
    if (random.chance(0.25)) await sleep(random.below(600));
    else {
      await progress(1 + random.below(20), "writes between two kills");
      await sleep(random.below(100));
    }
    await service.end("SIGKILL");
    service.start();
  }

  test(`a storage killed ${KILLS} times behind an insert`, async () => {
    const { service: storage, grpc } = await storageService();
    const insert = await insertService(grpc);
    storage.start();
    insert.start();
    await insert.ready();
    write(insert.base, 5, 5, 0.1);
    for (let i = 0; i < KILLS; i++) await killAtRandom(storage);
    await progress(10, "writes after the last kill");
    await stopWriting();
    expect(await storage.end("SIGTERM")).toBe(0);
    expect(await insert.end("SIGTERM")).toBe(0);
    expect(acknowledged()).toBeGreaterThan(5 * KILLS);
    expect(writers.reduce((sum, writer) => sum + writer.retries, 0)).toBeGreaterThan(KILLS);
    await expectLedger(join(dir, "data"), ledger);
  }, 150_000);

  test(`everything in one process, killed ${KILLS_ALL} times`, async () => {
    const all = new Service(await freePort(), ["all", "--self-scrape", "off", ...engine("data")], running);
    all.start();
    await all.ready();
    write(all.base, 4, 5, 0.1);
    for (let i = 0; i < KILLS_ALL; i++) await killAtRandom(all);
    await progress(10, "writes after the last kill");
    await stopWriting();
    expect(await all.end("SIGTERM")).toBe(0);
    await expectLedger(join(dir, "data"), ledger);
  }, 90_000);

  test("two inserts and the storage restarted and killed in turn: no series twice, and nothing sent twice but what was refused", async () => {
    const { service: storage, grpc } = await storageService();
    const inserts = [await insertService(grpc), await insertService(grpc)];
    storage.start();
    for (const insert of inserts) insert.start();
    for (const insert of inserts) await insert.ready();
    // Both inserts get samples of the same series.
    for (const [number, insert] of inserts.entries()) {
      writers.push(new Writer({ url: `${insert.base}/api/v1/write`, ledger, number, instance: "same", pauseMs: 5 }));
    }
    await progress(20, "first writes");
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      for (const service of [inserts[0]!, storage, inserts[1]!]) {
        expect(await service.end(signal)).toBe(signal === "SIGTERM" ? 0 : null);
        service.start();
        await service.ready();
        await progress(20, "writes after a restart");
      }
    }
    await stopWriting();
    for (const service of [...inserts, storage]) expect(await service.end("SIGTERM")).toBe(0);
    expect(ledger.seriesKeys().length).toBe(25);
    await expectLedger(join(dir, "data"), ledger);
  }, 90_000);

  test("SIGTERM under load: not ready at once, exit status 0 in time, nothing lost, no torn tail", async () => {
    const all = new Service(await freePort(), ["all", "--self-scrape", "off", ...engine("data")], running);
    all.start();
    await all.ready();
    write(all.base, 6, 0);
    await progress(50, "writes before the stop");
    const began = performance.now();
    const ended = all.end("SIGTERM");
    const state = (): Promise<number> =>
      fetch(`${all.base}/-/ready`).then(
        ({ status }) => status,
        () => 0,
      );
    await until("readiness to go", async () => ((await state()) !== 200 ? true : undefined), 2000);
    expect(await ended).toBe(0);
    expect(performance.now() - began).toBeLessThan(20_000);
    const stopping = Promise.all(writers.map((writer) => writer.stop()));
    all.start();
    await stopping;
    expect(await all.end("SIGTERM")).toBe(0);
    expect(await expectLedger(join(dir, "data"), ledger)).toEqual([]);
  }, 90_000);
});
