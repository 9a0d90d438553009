// services/cli/insert.ts: `tidemark insert`: takes remote writes and sends them to the storages that own the shards.
import { ClusterPin, connectIngest } from "../../libs/rpc/index.ts";
import type { FlagValues, Logger } from "../../libs/runtime/index.ts";
import { checkWriteSizes, readTls } from "./checks.ts";
import { httpListen, insertFlags, serviceFlags, storagesFlag, tlsFlags } from "./flags.ts";
import { createHandler, untilConnected } from "./ingest.ts";
import { insertReadings } from "./readings.ts";
import { type RunningService, Shell, startOrClose } from "./shell.ts";
import { writeRoutes } from "./write-routes.ts";

export const INSERT_FLAGS = {
  httpListen: httpListen(8480),
  storage: storagesFlag,
  ...insertFlags,
  ...tlsFlags,
  ...serviceFlags,
};

export type InsertServiceValues = FlagValues<typeof INSERT_FLAGS>;

export const checkInsert: (values: InsertServiceValues) => void = checkWriteSizes;

/** Starts an insert. It is ready once every storage has been connected. Errors: InvalidError, UnavailableError. */
export async function startInsert(values: InsertServiceValues, version: string, log: Logger): Promise<RunningService> {
  const tls = readTls(values);
  const pin = new ClusterPin();
  const targets = values.storage.map((address) =>
    connectIngest(address, { pin, ...(tls === undefined ? {} : { tls }) }),
  );
  const handler = createHandler(targets, values, log, () => shell.isStopping);
  const shell = new Shell({
    ...values,
    service: "insert",
    version,
    log,
    routes: writeRoutes(() => handler, values.writeBodyMax),
  });
  shell.metrics.addSource(() => insertReadings(handler));
  const stopped = new AbortController();
  const close = (): Promise<boolean> => {
    stopped.abort();
    return shell.close([{ name: "insert", stop: () => handler.close(values.shutdownTimeout) }]);
  };
  await startOrClose(() => shell.listen(), close);
  await shell.warmUp(true);
  const ready = untilConnected(handler, stopped.signal).then((isConnected) => {
    if (isConnected) shell.becomeReady();
  });
  return { service: "insert", version, http: shell.http, ready, failed: new Promise(() => {}), close };
}
