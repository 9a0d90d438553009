// test/unit/rpc/contract.test.ts: the contract suites on one engine: in this process, and over gRPC on loopback.
import type { IngestTarget } from "../../../libs/model/index.ts";
import { connectIngest, connectQuery, serveStorage } from "../../../libs/rpc/index.ts";
import type { StorageHarness } from "../../contract/harness.ts";
import { ingestSessionContract } from "../../contract/ingest-session.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { queryableContract } from "../../contract/queryable.ts";

async function inProcess(): Promise<StorageHarness> {
  const engine = new MemoryEngine();
  const target: IngestTarget = { address: "in process", connect: async () => engine.openSession() };
  return { target, queryable: engine.queryable, nowMs: engine.nowMs, close: async () => undefined };
}

async function overNetwork(): Promise<StorageHarness> {
  const engine = new MemoryEngine();
  const server = await serveStorage({ engine, listen: "127.0.0.1:0" });
  const queryable = connectQuery(server.address);
  return {
    target: connectIngest(server.address),
    queryable,
    nowMs: engine.nowMs,
    close: async () => {
      queryable.close();
      await server.close();
    },
  };
}

ingestSessionContract("memory, in process", inProcess);
ingestSessionContract("memory, over gRPC", overNetwork);
queryableContract("memory, in process", inProcess);
queryableContract("memory, over gRPC", overNetwork);
