// libs/rpc/serve.ts: a storage engine on the network: both services on one port, with limits and a graceful stop.
import type { Server } from "@grpc/grpc-js";
import { InvalidError, UnavailableError } from "../model/index.ts";
import { openServer, serverCredentials, type TlsMaterial } from "./channel.ts";
import { deletionHandlers } from "./deletion-server.ts";
import type { StorageEngine } from "./engine.ts";
import { FailureLog, type WarningLog } from "./failure-log.ts";
import { IngestService } from "./ingest-server.ts";
import { contracts } from "./load.ts";
import { checkIdentity, PROTOCOL_VERSIONS, type VersionRange } from "./peer.ts";
import { QueryService } from "./query-server.ts";

export interface ServeOptions {
  readonly engine: StorageEngine;
  /** HOST:PORT; port 0 picks a free one. */
  readonly listen: string;
  readonly tls?: TlsMaterial;
  readonly log?: WarningLog;
  /** The placement's epoch; 0 without one. */
  readonly epoch?: () => number;
  /** Batches read and not yet acknowledged, in bytes over all streams. */
  readonly inFlightBytesMax?: number;
  /** How long calls may take to finish when the server stops. */
  readonly stopTimeoutMs?: number;
  readonly versions?: VersionRange;
}

export interface StorageServer {
  /** HOST:PORT with the port that was bound. */
  readonly address: string;
  /** Takes no new calls, finishes those that run, then closes. What is not finished in time is cut off. */
  close(): Promise<void>;
}

const IN_FLIGHT_BYTES_MAX = 128 << 20;
const STOP_TIMEOUT_MS = 10_000;
const SILENT: WarningLog = { warn: () => undefined };

/** Starts serving. Errors: InvalidError for an address that is none, UnavailableError when it can't be bound. */
export async function serveStorage(options: ServeOptions): Promise<StorageServer> {
  const { engine, listen } = options;
  checkIdentity(engine.identity);
  const at = /^(.*):(\d{1,5})$/.exec(listen);
  if (at === null) throw new InvalidError(`cannot listen on ${JSON.stringify(listen)}; want HOST:PORT`);
  const failures = new FailureLog(options.log ?? SILENT, () => performance.now());
  const onFailure = (what: string, remote: string, error: unknown): void => failures.write(what, remote, error);
  const service = {
    engine,
    versions: options.versions ?? PROTOCOL_VERSIONS,
    epoch: options.epoch ?? (() => 0),
    onFailure,
  };
  const ingest = new IngestService({ ...service, inFlightBytesMax: options.inFlightBytesMax ?? IN_FLIGHT_BYTES_MAX });
  const query = new QueryService(service);
  const { server, cutOff } = openServer((reason, remote) => failures.write("connection", remote, reason));
  server.addService(contracts().ingest, ingest.handlers);
  server.addService(contracts().query, query.handlers);
  server.addService(contracts().deletions, deletionHandlers(service));
  const port = await bind(server, listen, options.tls);
  let closed: Promise<void> | undefined;
  return {
    address: `${at[1]}:${port}`,
    close: () => {
      closed ??= stop(server, cutOff, [ingest.stop(), query.stop()], options.stopTimeoutMs ?? STOP_TIMEOUT_MS);
      return closed;
    },
  };
}

function bind(server: Server, listen: string, tls: TlsMaterial | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, serverCredentials(tls), (error, port) => {
      if (error === null) resolve(port);
      else reject(new UnavailableError(`cannot listen on ${listen}: got ${error.message}; want a free address`));
    });
  });
}

async function stop(
  server: Server,
  cutOff: () => void,
  services: readonly Promise<void>[],
  timeoutMs: number,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  const down = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await Promise.race([Promise.all([...services, down]), late]);
  clearTimeout(timer);
  cutOff();
}
