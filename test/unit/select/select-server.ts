// test/unit/select/select-server.ts: a query API over HTTP for tests, with wide limits unless a test wants others.
import { request } from "node:http";
import { Writable } from "node:stream";
import { createLog, type HttpServer, Lifecycle, listenHttp } from "../../../libs/runtime/index.ts";
import { createSelectApi, type SelectApi, type SelectOptions } from "../../../services/select/index.ts";

/** Limits that no test meets by accident. */
export const WIDE = {
  ...{ seriesMax: 1e6, bytesMax: 1 << 30, answersMax: 1 << 30, stepsMax: 11_000, slowMs: 0, onSlow: () => undefined },
  ...{ timeoutMs: 60_000, concurrency: 20, queueMax: 200, samplesMax: 50e6 },
  ...{ bodyMaxBytes: 1 << 20, readSamplesMax: 50e6, readBytesMax: 64 << 20 },
} as const;

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
  /** Whether the answer came to its end. */
  readonly complete: boolean;
}

export interface SelectServer {
  readonly api: SelectApi;
  readonly server: HttpServer;
  /** Path and query of a request; `abort` hangs up. */
  ask(
    path: string,
    options?: { method?: string; headers?: Record<string, string>; body?: string; signal?: AbortSignal },
  ): Promise<Answer>;
  json(path: string, headers?: Record<string, string>): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

export async function openSelect(
  options: Pick<SelectOptions, "queryable"> & Partial<SelectOptions> & { readonly stallMs?: number },
): Promise<SelectServer> {
  const api = createSelectApi({
    ...{ nowMs: Date.now, version: "9.9.9", lookbackMs: 300_000, experimental: false },
    ...WIDE,
    ...options,
  });
  const lifecycle = new Lifecycle();
  lifecycle.becomeReady();
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const log = createLog({ format: "json", level: "error", service: "test", stream });
  const listen = { host: "127.0.0.1", port: 0 };
  const { stallMs = 60_000 } = options;
  const settings = { listen, routes: api.routes, lifecycle, log, version: "9", connectionsMax: 1000, stallMs };
  const server = await listenHttp(settings);
  const ask: SelectServer["ask"] = (path, { method = "GET", headers = {}, body = "", signal } = {}) => {
    return new Promise((resolve, reject) => {
      const outgoing = request({ ...server.address, method, path, headers, ...(signal && { signal }) }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", () => undefined);
        response.on("close", () => {
          const { statusCode, headers: got, complete } = response;
          resolve({ status: statusCode!, headers: got, body: Buffer.concat(chunks), complete });
        });
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  };
  return {
    ...{ api, server, ask, close: () => server.close(100) },
    json: async (path, headers = {}) => JSON.parse((await ask(path, { headers })).body.toString()),
  };
}
