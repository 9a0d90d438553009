// test/promql/cluster-storage.ts: scripts on three storage processes: samples go through an insert, as remote write 2.0 requests, and are
// asked for over gRPC and joined as a select joins them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cryptoRandom } from "../../libs/env/index.ts";
import type { Queryable } from "../../libs/model/index.ts";
import { ClusterPin, connectIngest, connectQuery } from "../../libs/rpc/index.ts";
import { IngestHandler } from "../../services/insert/index.ts";
import { fanOut } from "../../services/select/index.ts";
import { freePort, type Running, startTidemark, stop, until, untilOk } from "../e2e/processes.ts";
import { V2_TYPE } from "../unit/insert/remote-write.ts";
import { TenantStorage } from "./db-storage.ts";
import type { StoredSeries } from "./script-samples.ts";
import { writeRequest } from "./write-request.ts";

export interface ScriptCluster {
  /** A storage that nobody has written to. */
  open(): ClusterStorage;
  close(): Promise<void>;
}

/** Starts three storages that take samples of any time. */
export async function startScriptCluster(): Promise<ScriptCluster> {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-promql-"));
  const running: Running[] = [];
  const addresses: string[] = [];
  for (let i = 0; i < 3; i++) {
    const [http, grpc] = [await freePort(), await freePort()];
    addresses.push(`127.0.0.1:${grpc}`);
    const listen = ["--http-listen", `127.0.0.1:${http}`, "--grpc-listen", `127.0.0.1:${grpc}`];
    const retention = ["--retention", "raw=inf,1m=inf,1h=inf", "--max-future", "10m"];
    running.push(startTidemark(`storage ${i}`, ["storage", ...listen, "--data-dir", join(dir, `${i}`), ...retention]));
    await untilOk(`http://127.0.0.1:${http}/-/ready`, 60_000, running);
  }
  const pin = new ClusterPin();
  const insert = new IngestHandler({
    targets: addresses.map((address) => connectIngest(address, { pin })),
    random: cryptoRandom,
  });
  await until("the insert", async () => (insert.isReady ? true : undefined), 30_000, running);
  const clients = addresses.map((address) => connectQuery(address, { pin }));
  const queryable = fanOut(clients.map((client) => ({ name: client.address, queryable: client })));
  let tenants = 0;
  return {
    open: () => new ClusterStorage(queryable, insert, `tenant-${++tenants}`),
    async close() {
      for (const client of clients) client.close();
      await insert.close(1000);
      for (const one of running) await stop(one);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The storages, as one tenant sees them. */
export class ClusterStorage extends TenantStorage {
  private readonly insert: IngestHandler;

  constructor(queryable: Queryable, insert: IngestHandler, tenant: string) {
    super(queryable, tenant);
    this.insert = insert;
  }

  async store(series: StoredSeries): Promise<void> {
    if (series.samples.length === 0) return;
    const reply = await this.insert.write({
      tenant: this.tenant,
      contentType: V2_TYPE,
      contentEncoding: "snappy",
      body: writeRequest(series),
    });
    if (reply.status !== 204) throw new Error(`cannot load: ${reply.status} ${reply.text}`);
  }
}
