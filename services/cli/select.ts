// services/cli/select.ts: `tidemark select`: answers queries from the storages.
import { ClusterPin, connectQuery } from "../../libs/rpc/index.ts";
import type { FlagValues, Logger } from "../../libs/runtime/index.ts";
import { fanOut, fanOutDeletions, startPageRoute } from "../select/index.ts";
import { tsdbRoutes } from "./admin-routes.ts";
import { readTls } from "./checks.ts";
import { adminFlags, httpListen, selectFlags, serviceFlags, storagesFlag, tlsFlags } from "./flags.ts";
import { selectApi } from "./select-api.ts";
import { type RunningService, Shell, startOrClose } from "./shell.ts";

export const SELECT_FLAGS = {
  httpListen: httpListen(8481),
  storage: storagesFlag,
  ...selectFlags,
  ...adminFlags,
  ...tlsFlags,
  ...serviceFlags,
};

export type SelectServiceValues = FlagValues<typeof SELECT_FLAGS>;

/** Starts a select. Storages are connected with the first query. Errors: InvalidError, UnavailableError. */
export async function startSelect(values: SelectServiceValues, version: string, log: Logger): Promise<RunningService> {
  const tls = readTls(values);
  const pin = new ClusterPin();
  const remotes = values.storage.map((address) =>
    connectQuery(address, { pin, ...(tls === undefined ? {} : { tls }) }),
  );
  const queryable = fanOut(remotes.map((remote) => ({ name: remote.address, queryable: remote })));
  const api = selectApi(() => queryable, values, version, log, {
    retention: "",
    damages: () => 0,
    walSegment: () => 0,
    acceptsWrites: false,
    selfMetrics: () => shell.metrics.families(),
  });
  const deletable = fanOutDeletions(remotes.map((remote) => ({ name: remote.address, deletable: remote.deletable })));
  const admin = tsdbRoutes(() => deletable, values.enableAdminApi, log);
  const page = startPageRoute(() => ({
    version,
    state: shell.lifecycle.state,
    facts: [["Storages", values.storage.join(", ")]],
    acceptsWrites: false,
  }));
  const shell = new Shell({ ...values, service: "select", version, log, routes: [...api.routes, ...admin, page] });
  shell.metrics.addSource(api.readings);
  const disconnect = async (): Promise<void> => {
    for (const remote of remotes) remote.close();
  };
  const close = (): Promise<boolean> => shell.close([{ name: "connections", stop: disconnect }]);
  await startOrClose(() => shell.listen(), close);
  await shell.warmUp(true);
  shell.becomeReady();
  const ready = Promise.resolve();
  return { service: "select", version, http: shell.http, ready, failed: new Promise(() => {}), close };
}
