// test/crash/real-directory.ts: opens the data directory that a real process has left, and compares it with a ledger.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { cryptoRandom, NodeFileSystem, nodeClock, nodeProcesses } from "../../libs/env/index.ts";
import { Db } from "../../libs/tsdb/index.ts";
import type { Damage } from "../../libs/wal/index.ts";
import type { FoundSeries, Ledger } from "./ledger.ts";
import { seriesKey } from "./sim-traffic.ts";

const YEAR_MS = 365 * 86_400_000;

/** Opens the directory as a process of its own would. */
export function openDirectory(dataDir: string): Promise<Db> {
  const identity = JSON.parse(readFileSync(join(dataDir, "tidemark.json"), "utf8")) as { shardCount: number };
  return Db.open({
    ...{ dataDir, fs: new NodeFileSystem(), clock: nodeClock, random: cryptoRandom, processes: nodeProcesses },
    ...{ shardCount: identity.shardCount, headMemoryBytes: 128 << 20, retentionMs: YEAR_MS, maxFutureMs: YEAR_MS },
    ...{ seriesMax: 1e6, walMode: "inline" },
  });
}

function* found(db: Db): Generator<FoundSeries> {
  for (const { labels, times, values } of db.export("default", [{ type: "=", name: "job", value: "crash" }])) {
    const pairs = labels.flatMap((name, i) => (i % 2 === 0 ? [[name, labels[i + 1]!] as const] : []));
    yield { series: seriesKey("default", pairs), times, bits: new BigUint64Array(values.buffer, 0, values.length) };
  }
}

/** Everything acknowledged is there once, bit for bit, nothing was never sent, and no series is there twice. Returns the torn tails. */
export async function expectLedger(dataDir: string, ledger: Ledger): Promise<readonly Damage[]> {
  const db = await openDirectory(dataDir);
  try {
    expect(db.replayed.damage.filter(({ kind }) => kind !== "tail")).toEqual([]);
    expect(ledger.violations(found(db)).slice(0, 10)).toEqual([]);
    return db.replayed.damage;
  } finally {
    await db.close();
  }
}
