// test/unit/tsdb/contract.test.ts: a storage keeps what IngestTarget and Queryable promise, in this process.
import { nodeClock, nodeProcesses, SeededRandom, SimFileSystem } from "../../../libs/env/index.ts";
import { Db } from "../../../libs/tsdb/index.ts";
import type { StorageHarness } from "../../contract/harness.ts";
import { ingestSessionContract } from "../../contract/ingest-session.ts";
import { queryableContract } from "../../contract/queryable.ts";

async function open(): Promise<StorageHarness> {
  const db = await Db.open({
    ...{ dataDir: "/data", fs: new SimFileSystem(), clock: nodeClock, processes: nodeProcesses },
    ...{
      random: new SeededRandom(1),
      shardCount: 64,
      headMemoryBytes: 1 << 20,
      retentionMs: 1e8,
      maxFutureMs: 600_000,
    },
    ...{ seriesMax: 1000, walMode: "inline", walBufferBytes: 1 << 20 },
  });
  return {
    target: { address: "here", connect: async () => db.openSession() },
    queryable: db.queryable,
    nowMs: nodeClock.nowMs(),
    close: () => db.close(),
  };
}

ingestSessionContract("a storage", open);
queryableContract("a storage", open);
