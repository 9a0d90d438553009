// services/cli/storage.ts: `tidemark storage`: one storage engine behind gRPC.
import { clusterIdentity } from "../../libs/cluster/index.ts";
import { type FlagValues, formatHostPort, type Logger } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import { type StorageService, startStorage as serveEngine } from "../storage/index.ts";
import { adminRoutes, tsdbRoutes } from "./admin-routes.ts";
import { checkExposure, checkListeners, readTls } from "./checks.ts";
import { openEngine } from "./engine.ts";
import { engineFlags, httpListen, serviceFlags, shards, storageFlags, tlsFlags } from "./flags.ts";
import { readAhead, readsAhead } from "./read-ahead.ts";
import { engineReadings } from "./readings.ts";
import { type RunningService, Shell, startOrClose } from "./shell.ts";

export const STORAGE_FLAGS = {
  httpListen: httpListen(8482),
  ...storageFlags,
  shards: shards(256),
  ...engineFlags,
  ...tlsFlags,
  ...serviceFlags,
};

export type StorageServiceValues = FlagValues<typeof STORAGE_FLAGS>;

/** Refuses combinations that cannot be. Errors: InvalidError. */
export function checkStorage(values: StorageServiceValues): void {
  checkListeners(values);
  checkExposure(values);
  clusterIdentity(values.cluster);
}

/** Starts a storage. Settles once it serves. Errors: as Db.open, InvalidError, UnavailableError. */
export async function startStorage(
  values: StorageServiceValues,
  version: string,
  log: Logger,
): Promise<RunningService> {
  const tls = readTls(values);
  let db: Db | undefined;
  let service: StorageService | undefined;
  const shell = new Shell({
    ...values,
    service: "storage",
    version,
    log,
    routes: [
      ...adminRoutes(() => db!, values.enableAdminApi),
      ...tsdbRoutes(() => db!.deletable, values.enableAdminApi, log),
    ],
  });
  const close = (): Promise<boolean> => {
    return shell.close([
      { name: "gRPC", stop: async () => service?.close() },
      { name: "storage", stop: async () => db?.close() },
    ]);
  };
  return startOrClose(async () => {
    await shell.listen();
    await shell.warmUp(true, !readsAhead(values));
    const engine = await openEngine(values, clusterIdentity(values.cluster), log);
    db = engine;
    shell.metrics.addSource(() => engineReadings(engine));
    const goOn = await readAhead(engine, values.readAhead, log);
    const listen = formatHostPort({ ...values.grpcListen, host: values.grpcListen.host || "0.0.0.0" });
    const served = {
      identity: engine.identity,
      queryable: engine.queryable,
      openSession: () => engine.openSession(),
      deletable: values.enableAdminApi ? engine.deletable : undefined,
      close: () => engine.close(),
    };
    service = await serveEngine({ engine: served, listen, log, ...(tls === undefined ? {} : { tls }) });
    const grpc = service.address;
    log.info({ grpc, cluster: engine.identity.clusterId, node: engine.identity.nodeId }, "storage is serving");
    shell.lifecycle.restriction = () => engine.readOnlyReason;
    shell.becomeReady();
    goOn();
    const { failed } = engine;
    return { service: "storage", version, http: shell.http, grpc, ready: Promise.resolve(), failed, close };
  }, close);
}
