// services/cli/all.ts: `tidemark all`: insert, storage and select in one process, joined by the same interfaces without sockets.
import type { IngestTarget } from "../../libs/model/index.ts";
import { type FlagValues, formatDurationMs, formatHostPort, type Logger } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import type { IngestHandler } from "../insert/index.ts";
import { startPageRoute } from "../select/index.ts";
import { adminRoutes, tsdbRoutes } from "./admin-routes.ts";
import { checkWriteSizes } from "./checks.ts";
import { openEngine } from "./engine.ts";
import { engineFlags, httpListen, insertFlags, selectFlags, selfScrapeFlag, serviceFlags, shards } from "./flags.ts";
import { createHandler, untilConnected } from "./ingest.ts";
import { pageFacts } from "./page-facts.ts";
import { readAhead, readsAhead } from "./read-ahead.ts";
import { engineReadings, insertReadings } from "./readings.ts";
import { selectApi } from "./select-api.ts";
import { SelfScrape } from "./self-scrape.ts";
import { type RunningService, Shell, startOrClose } from "./shell.ts";
import { writeRoutes } from "./write-routes.ts";

export const ALL_FLAGS = {
  httpListen: httpListen(8428),
  shards: shards(64),
  ...engineFlags,
  selfScrape: selfScrapeFlag,
  ...insertFlags,
  ...selectFlags,
  ...serviceFlags,
};

export type AllValues = FlagValues<typeof ALL_FLAGS>;

/** Refuses combinations that cannot be. Errors: InvalidError. */
export const checkAll: (values: AllValues) => void = checkWriteSizes;

/** Starts everything. Settles once ready. Errors: as Db.open and listenHttp. */
export async function startAll(values: AllValues, version: string, log: Logger): Promise<RunningService> {
  let db: Db | undefined;
  let handler: IngestHandler | undefined;
  let scrape: SelfScrape | undefined;
  const api = selectApi(() => db!.queryable, values, version, log, {
    retention: Number.isFinite(values.retention.rawMs) ? formatDurationMs(values.retention.rawMs) : "inf",
    damages: () => (db === undefined ? 0 : db.replayed.damage.length + db.damagedBlocks.length),
    walSegment: () => db?.report().wal.segment ?? 0,
    acceptsWrites: true,
    selfMetrics: () => shell.metrics.families(),
  });
  const page = startPageRoute(() => ({
    version,
    state: shell.lifecycle.state,
    facts: db === undefined ? [] : pageFacts(db, values.dataDir),
    acceptsWrites: true,
  }));
  const routes = [
    ...writeRoutes(() => handler!, values.writeBodyMax),
    ...api.routes,
    ...adminRoutes(() => db!, values.enableAdminApi),
    ...tsdbRoutes(() => db!.deletable, values.enableAdminApi, log),
    page,
  ];
  const shell = new Shell({ ...values, service: "all", version, log, routes });
  const close = (): Promise<boolean> => {
    return shell.close([
      { name: "self-scrape", stop: async () => scrape?.stop() },
      { name: "insert", stop: async () => handler?.close(values.shutdownTimeout) },
      { name: "storage", stop: async () => db?.close() },
    ]);
  };
  return startOrClose(async () => {
    await shell.listen();
    await shell.warmUp(false, !readsAhead(values));
    const engine = await openEngine(values, {}, log);
    db = engine;
    const target: IngestTarget = { address: "local", connect: async () => engine.openSession() };
    handler = createHandler([target], values, log, () => shell.isStopping);
    await untilConnected(handler, new AbortController().signal);
    const inserting = handler;
    shell.metrics.addSource(() => engineReadings(engine));
    shell.metrics.addSource(() => insertReadings(inserting));
    shell.metrics.addSource(api.readings);
    shell.lifecycle.restriction = () => engine.readOnlyReason;
    const goOn = await readAhead(engine, values.readAhead, log);
    shell.becomeReady();
    goOn();
    if (values.selfScrape > 0) {
      scrape = new SelfScrape(shell.metrics, inserting, formatHostPort(shell.http), values.selfScrape, log);
      scrape.start();
    }
    const { failed } = engine;
    return { service: "all", version, http: shell.http, ready: Promise.resolve(), failed, close };
  }, close);
}
