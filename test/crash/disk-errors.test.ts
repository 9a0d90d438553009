// test/crash/disk-errors.test.ts: disks that are full at any byte, that fail a write, and that fail a sync. A full disk refuses writes with
// 503, goes on answering, and recovers by itself; a failed sync ends the storage and marks its directory.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimClock, type SimFault, SimFileSystem } from "../../libs/env/index.ts";
import { Db, type VerifyReport, verifyDirectory } from "../../libs/tsdb/index.ts";
import { type FoundSeries, Ledger } from "./ledger.ts";
import { SimInsert, type SimRequest } from "./sim-insert.ts";
import { SimProcess } from "./sim-process.ts";
import { seriesKey } from "./sim-traffic.ts";

const DATA_DIR = "/data";
const TENANT = "default";
const REQUESTS = 8;
const NOW = 1_700_000_000_000;

/** A disk with a storage and an insert, and a ledger of what was sent. */
class Node {
  readonly fs: SimFileSystem;
  readonly ledger: Ledger;
  readonly clock = new SimClock(NOW);
  readonly process: SimProcess;
  db!: Db;
  failure: Error | undefined;
  private readonly insert: SimInsert;

  constructor(fs = new SimFileSystem(), ledger = new Ledger()) {
    this.fs = fs;
    this.ledger = ledger;
    this.process = new SimProcess(fs, this.clock);
    this.insert = new SimInsert(this.process, new SeededRandom(3), () =>
      this.db === undefined ? undefined : { process: this.process, db: this.db },
    );
  }

  async open(): Promise<void> {
    const { fs, clock, processes } = this.process;
    const opening = Db.open({
      ...{ dataDir: DATA_DIR, fs, clock, processes, random: new SeededRandom(5), shardCount: 4 },
      ...{ headMemoryBytes: 1 << 20, retentionMs: 1e8, maxFutureMs: 1e6, seriesMax: 100 },
      ...{ walMode: "inline", walSegmentBytes: 2048, walBufferBytes: 1 << 20 },
    });
    let settled = false;
    const done = opening.finally(() => {
      settled = true;
    });
    done.catch(() => this.process.end());
    while (!settled) await this.clock.advance(100);
    this.db = await done;
    void this.db.failed.then((error) => {
      this.failure = error;
    });
    await this.clock.advance(200);
  }

  /** Sends request number `n`, which brings a new series along; the reply's status. */
  async send(n: number): Promise<number> {
    const series = [0, 1, n + 2].map((i) => ({
      labels: [
        ["__name__", "m"],
        ["i", `${i}`],
      ] as const,
      times: [NOW - 1000 + n],
      values: Float64Array.of(i * 1000 + n),
    }));
    const request: SimRequest = { tenant: TENANT, series, metadata: [] };
    let answer: number | undefined;
    const record = (outcome: "unknown" | "acknowledged"): void => {
      for (const { labels, times, values } of series) {
        const bits = new BigUint64Array(values.buffer)[0]!;
        this.ledger.record(seriesKey(TENANT, labels), times[0]!, bits, outcome);
      }
    };
    record("unknown");
    const done = this.insert.write(request).then((reply) => {
      answer = reply!.status;
      if (answer === 204) record("acknowledged");
      else expect(reply!.headers).toContain("Retry-After");
    });
    for (let ms = 0; answer === undefined && ms < 30_000; ms += 50) await this.clock.advance(50);
    await done;
    return answer!;
  }

  async verify(): Promise<VerifyReport> {
    const { fs, clock, processes } = this.process;
    let report: VerifyReport | undefined;
    const verifying = verifyDirectory({ fs, clock, processes, dataDir: DATA_DIR }).then((found) => {
      report = found;
    });
    while (report === undefined) await this.clock.advance(100);
    await verifying;
    return report;
  }

  check(): void {
    expect(this.ledger.violations(this.found())).toEqual([]);
  }

  private *found(): Generator<FoundSeries> {
    for (const { labels, times, values } of this.db.export(TENANT, [])) {
      const pairs = [0, 2].map((i) => [labels[i]!, labels[i + 1]!] as const);
      yield { series: seriesKey(TENANT, pairs), times, bits: new BigUint64Array(values.buffer, 0, values.length) };
    }
  }

  async close(): Promise<void> {
    const closing = this.db.close();
    await this.clock.advance(1000);
    await closing;
    this.process.end();
  }

  /** The next process on the same disk. */
  next(): Node {
    this.process.end();
    this.fs.kill();
    return new Node(this.fs, this.ledger);
  }
}

async function writeAll(node: Node): Promise<number[]> {
  const statuses: number[] = [];
  for (let n = 0; n < REQUESTS; n++) statuses.push(await node.send(n));
  return statuses;
}

/** Writes all; once one is refused, all after it are. The number of those that were taken. */
async function writeUntilRefused(node: Node): Promise<number> {
  const statuses = await writeAll(node);
  const taken = statuses.includes(503) ? statuses.indexOf(503) : REQUESTS;
  expect(statuses).toEqual(statuses.map((_, i) => (i < taken ? 204 : 503)));
  return taken;
}

/** All that was ever refused is sent again, is taken, and everything is there after a restart. */
async function recovers(node: Node): Promise<void> {
  await node.clock.advance(1000);
  expect(node.db.report().wal.state).toBe("open");
  expect(await writeAll(node)).toEqual(Array(REQUESTS).fill(204));
  node.check();
  await node.close();
  const after = node.next();
  await after.open();
  after.check();
  expect(after.ledger.acknowledged).toBe(3 * REQUESTS);
  await after.close();
}

/** What the scenario does on a sound disk: bytes on the disk at its end, and the numbers of its calls by kind. */
async function sound(): Promise<{ sizeBytes: number; calls: Map<string, number> }> {
  const node = new Node();
  const calls = new Map<string, number>();
  node.fs.faults = ({ kind }) => {
    calls.set(kind, (calls.get(kind) ?? 0) + 1);
    return undefined;
  };
  await node.open();
  expect(await writeAll(node)).toEqual(Array(REQUESTS).fill(204));
  node.fs.faults = () => undefined;
  const size = (path: string): number => {
    const stat = node.fs.stat(path)!;
    if (stat.kind === "file") return stat.sizeBytes;
    return node.fs.list(path).reduce((sum, name) => sum + size(`${path}/${name}`), 0);
  };
  const sizeBytes = size(DATA_DIR);
  await node.close();
  return { sizeBytes, calls };
}

describe("a full disk", () => {
  test("of any size refuses writes with 503, goes on reading and recovers by itself", async () => {
    const { sizeBytes } = await sound();
    const seen = new Set<number>();
    let starts = 0;
    for (let capacity = 0; capacity < sizeBytes; capacity += 23) {
      let node = new Node();
      node.fs.capacityBytes = capacity;
      try {
        await node.open();
      } catch (error) {
        expect((error as Error).message).toContain("ENOSPC");
        starts++;
        node = node.next();
        node.fs.capacityBytes = Number.POSITIVE_INFINITY;
        await node.open();
        await recovers(node);
        continue;
      }
      seen.add(await writeUntilRefused(node));
      expect(node.db.report().wal.state).toBe("full");
      expect(node.failure).toBeUndefined();
      node.check();
      node.fs.capacityBytes = Number.POSITIVE_INFINITY;
      await recovers(node);
    }
    expect(starts).toBeGreaterThan(5);
    // What the log repeats of itself may be refused after the last request.
    expect([...seen].filter((n) => n < REQUESTS).sort()).toEqual(Array.from({ length: REQUESTS }, (_, i) => i));
  });

  test("and a process that ends before there is space again: nothing acknowledged is lost", async () => {
    const { sizeBytes } = await sound();
    for (let capacity = 1100; capacity < sizeBytes; capacity += 101) {
      for (const power of [true, false]) {
        const node = new Node();
        node.fs.capacityBytes = capacity;
        await node.open();
        await writeAll(node);
        if (power) {
          node.process.end();
          node.fs.crash(new SeededRandom(capacity));
        } else await node.close();
        const after = node.next();
        after.fs.capacityBytes = Number.POSITIVE_INFINITY;
        await after.open();
        after.check();
        await recovers(after);
      }
    }
  });

  test.each<[string, string, SimFault]>([
    ["a write", "write", "ENOSPC"],
    ["a new segment", "open", "ENOSPC"],
    ["a new segment, files having run out", "open", "EMFILE"],
  ])("noticed at %s is no loss", async (_, kind, fault) => {
    const { calls } = await sound();
    for (let n = 1; n <= calls.get(kind)!; n++) {
      let node = new Node();
      let left = n;
      // From the n-th call of the kind on, five fail.
      node.fs.faults = (call) => (call.kind === kind && --left <= 0 && left > -5 ? fault : undefined);
      try {
        await node.open();
      } catch (error) {
        expect((error as Error).message).toContain(fault);
        node.fs.faults = () => undefined;
        node = node.next();
        await node.open();
      }
      await writeAll(node);
      node.fs.faults = () => undefined;
      expect(node.failure).toBeUndefined();
      node.check();
      await recovers(node);
    }
  });
});

describe("a disk that fails", () => {
  /** Runs the scenario with the n-th call of a kind failing, for each n. */
  async function eachFailure(
    kind: string,
    fault: SimFault,
    judge: (node: Node, taken: number, at: string) => Promise<void>,
  ) {
    const { calls } = await sound();
    for (let n = 1; n <= calls.get(kind)!; n++) {
      const node = new Node();
      let left = n;
      let at = "";
      node.fs.faults = (call) => {
        if (call.kind !== kind || --left !== 0) return undefined;
        at = call.site;
        return fault;
      };
      let refused: Error | undefined;
      await node.open().catch((error) => {
        refused = error as Error;
      });
      if (refused !== undefined) expect(refused.message).toContain(fault);
      else await judge(node, await writeUntilRefused(node), at);
    }
  }

  test.each(["fdatasync", "fsyncDir"])(
    "an %s: refused with 503 for good, reads go on, the directory is marked",
    async (kind) => {
      const sites = new Set<string>();
      await eachFailure(kind, "EIO", async (node, taken, at) => {
        sites.add(at);
        const statuses = await writeAll(node);
        const first = statuses.indexOf(503);
        expect(first).toBeGreaterThanOrEqual(0);
        expect(statuses).toEqual(statuses.map((_, i) => (i < first ? 204 : 503)));
        expect(node.db.report().wal.state).toBe("failed");
        expect(node.failure?.message).toContain("EIO");
        node.check();
        await node.close();

        // Read only: what was promised is there, writes are told why not.
        const suspect = node.next();
        await suspect.open();
        expect(suspect.db.readOnlyReason).toMatch(/marked \/data\/SUSPECT .*EIO.*; want tidemark verify/);
        expect(new Set(await writeAll(suspect))).toEqual(new Set([503]));
        suspect.check();
        await suspect.close();

        // Once it was verified, also a power cut takes nothing.
        const verifier = suspect.next();
        expect((await verifier.verify()).damages).toEqual([]);
        const judged = verifier.next();
        judged.fs.crash(new SeededRandom(taken));
        await judged.open();
        judged.check();
        await recovers(judged);
      });
      expect([...sites]).toEqual(kind === "fdatasync" ? ["wal-group"] : ["wal-segment"]);
    },
  );

  test("a sync of what was replayed: the start is refused and the directory is marked", async () => {
    for (const site of ["wal-replayed", "wal-replayed-names"]) {
      const node = new Node();
      await node.open();
      await writeAll(node);
      const second = node.next();
      second.fs.faults = (call) => (call.site === site ? "EIO" : undefined);
      await expect(second.open()).rejects.toThrow("EIO");
      const third = second.next();
      third.fs.faults = () => undefined;
      await third.open();
      expect(third.db.readOnlyReason).toContain("SUSPECT");
      third.check();
      await third.close();
    }
  });

  test("a write: refused with 503 for good, the next start is fine", async () => {
    await eachFailure("write", "EIO", async (node) => {
      expect(node.failure?.message).toContain("EIO");
      node.check();
      await node.close();
      const after = node.next();
      after.fs.faults = () => undefined;
      await after.open();
      after.check();
      await recovers(after);
    });
  });
});
