// services/cli/shell.ts: what every service process is made of besides its engine: log, metrics, HTTP, readiness, an end.
// Order: HTTP listens first, so that health and readiness can be asked while the engine opens; the engine closes last.
import {
  formatHostPort,
  type HostPort,
  type HttpServer,
  httpReadings,
  Lifecycle,
  type Logger,
  listenHttp,
  Metrics,
  operationalRoutes,
  type Route,
  type Stop,
  stopInOrder,
} from "../../libs/runtime/index.ts";
import { warmUp } from "./warm-up.ts";

export interface ShellOptions {
  readonly service: string;
  readonly version: string;
  readonly log: Logger;
  readonly httpListen: HostPort;
  readonly httpConnectionsMax: number;
  readonly httpBodiesMax: number;
  /** How long running requests may take to finish at the end, in ms. */
  readonly shutdownTimeout: number;
  /** How long to make the code fast before readiness, in ms. */
  readonly warmUp: number;
  readonly routes: readonly Route[];
}

/** A service that runs. */
export interface RunningService {
  readonly service: string;
  readonly version: string;
  readonly http: HostPort;
  /** HOST:PORT of gRPC, where the service has it. */
  readonly grpc?: string;
  /** Settles when the service has become ready. */
  readonly ready: Promise<void>;
  /** Resolves with the reason when the service cannot go on: the process must stop. */
  readonly failed: Promise<Error>;
  /** Stops in order; whether all went cleanly. */
  close(): Promise<boolean>;
}

export class Shell {
  readonly lifecycle = new Lifecycle();
  readonly metrics = new Metrics();
  readonly options: ShellOptions;
  #server: HttpServer | undefined;

  constructor(options: ShellOptions) {
    this.options = options;
    const labels = { version: options.version, service: options.service, node: process.version };
    this.metrics.addSource(() => ({
      tidemark_build_info: [{ labels, value: 1 }],
      tidemark_ready: this.lifecycle.state === "ready" ? 1 : 0,
    }));
  }

  /** Listens for HTTP. Errors: UnavailableError when the address cannot be had. */
  async listen(): Promise<void> {
    const { httpListen, httpConnectionsMax, httpBodiesMax, routes, log, version, service } = this.options;
    const server = await listenHttp({
      listen: httpListen,
      routes: [...routes, ...operationalRoutes(this.lifecycle, this.metrics)],
      lifecycle: this.lifecycle,
      log,
      version,
      connectionsMax: httpConnectionsMax,
      bodiesMax: httpBodiesMax,
    });
    this.#server = server;
    this.metrics.addSource(() => httpReadings(server.stats));
    log.info({ http: formatHostPort(server.address), version }, `${service} is listening`);
  }

  get http(): HostPort {
    return this.#server!.address;
  }

  get isStopping(): boolean {
    return this.lifecycle.state === "stopping";
  }

  /** Makes the code fast, that for blocks included if so; to be done before `becomeReady`. */
  warmUp(overGrpc: boolean, asksBlocks = true): Promise<void> {
    const { warmUp: budgetMs, version, log } = this.options;
    return warmUp({ budgetMs, overGrpc, asksBlocks, version, log });
  }

  becomeReady(): void {
    this.lifecycle.becomeReady();
    this.options.log.info({ http: formatHostPort(this.http) }, `${this.options.service} is ready`);
  }

  /** Readiness goes, requests finish, then the engine's own stops run in order. */
  async close(stops: readonly Stop[]): Promise<boolean> {
    const { log, shutdownTimeout, service } = this.options;
    this.lifecycle.beginStopping();
    const http: Stop = { name: "HTTP", stop: async () => this.#server?.close(shutdownTimeout) };
    const isClean = await stopInOrder([http, ...stops], log);
    log.info(`${service} has stopped`);
    return isClean;
  }
}

/** Runs `start`; when it fails, what was opened before is closed again. */
export async function startOrClose<T>(start: () => Promise<T>, close: () => Promise<unknown>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    await close();
    throw error;
  }
}
