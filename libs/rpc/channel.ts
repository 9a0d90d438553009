// libs/rpc/channel.ts: gRPC clients and servers with our limits: windows, message sizes, streams, memory, keepalive,
// and the one place where credentials enter.
// HTTP/2's default windows of 64 KiB throttle a peer to one window per round trip, event loop stalls included. grpc-js
// has an option for the client's windows only; a server's are raised on its http2 server and sessions.
import type { Http2Server, ServerHttp2Session } from "node:http2";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  logVerbosity,
  Server,
  ServerCredentials,
  setLogVerbosity,
} from "@grpc/grpc-js";
import { InternalError } from "../model/index.ts";

// Every failure reaches a caller or a listener, so grpc-js need not write to standard error as well.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

/** The longest message either side sends or takes. A batch must fit into one. */
export const MESSAGE_BYTES_MAX = 32 << 20;
/** What a peer may send on one stream, and on a connection, before it hears from us. */
const STREAM_WINDOW_BYTES = 4 << 20;
const CONNECTION_WINDOW_BYTES = 8 << 20;
/** http2's own bound on what one connection may make it hold. */
const SESSION_MEMORY_MB = 256;
const STREAMS_MAX = 1024;
/** Leaves that may run at a time on one stream. */
export const LEAVES_MAX = 1024;
const CONNECTIONS_MAX = 4096;
/** A connection that has not begun to speak HTTP/2 by then is closed. */
const PREFACE_TIMEOUT_MS = 10_000;

const BOTH_OPTIONS: ChannelOptions = {
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc-node.max_session_memory": SESSION_MEMORY_MB,
  "grpc.enable_channelz": 0,
};

const CLIENT_OPTIONS: ChannelOptions = {
  ...BOTH_OPTIONS,
  "grpc-node.flow_control_window": STREAM_WINDOW_BYTES,
  // Whether to send again is decided above, where it is known what was acknowledged.
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // A connection of its own, so that uploads and answers don't wait behind each other.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // A restarted pod has a new address.
  "grpc.dns_min_time_between_resolutions_ms": 1_000,
};

const SERVER_OPTIONS: ChannelOptions = {
  ...BOTH_OPTIONS,
  "grpc.max_concurrent_streams": STREAMS_MAX,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** PEM texts. With `ca`, the peer must show a certificate that it signed (a client always checks its server's). */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

/** Opens a client; it connects with its first call. `address` is HOST:PORT or what grpc's name resolution takes. */
export function openClient(address: string, tls?: TlsMaterial): Client {
  return new Client(address, clientCredentials(tls), CLIENT_OPTIONS);
}

function clientCredentials(tls: TlsMaterial | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(tls.ca ?? null, tls.key, tls.cert);
}

export function serverCredentials(tls: TlsMaterial | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { private_key: tls.key, cert_chain: tls.cert };
  return ServerCredentials.createSsl(tls.ca ?? null, [pair], tls.ca !== undefined);
}

/** What happened on a connection that never became a call: bytes that are not HTTP/2, floods, resets. */
export type RefusalListener = (reason: string, remote: string) => void;

export interface LimitedServer {
  readonly server: Server;
  /** Ends every connection at once. (grpc-js's forceShutdown forgets them unless channelz counts them.) */
  cutOff(): void;
}

/** A gRPC server with our limits. `onRefused` hears of connections that broke the protocol. */
export function openServer(onRefused: RefusalListener): LimitedServer {
  const server = new Server(SERVER_OPTIONS);
  const sessions = new Set<ServerHttp2Session>();
  hookHttp2Server(server, (http2Server) => {
    http2Server.updateSettings({ initialWindowSize: STREAM_WINDOW_BYTES });
    (http2Server as Http2Server & { maxConnections: number }).maxConnections = CONNECTIONS_MAX;
    http2Server.on("session", (session) => {
      sessions.add(session);
      session.once("close", () => sessions.delete(session));
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      closeWithoutPreface(session, onRefused);
    });
    http2Server.on("sessionError", (error: Error, session: ServerHttp2Session) => {
      onRefused(error.message, remoteOf(session));
    });
    http2Server.on("tlsClientError", (error: Error, socket: { remoteAddress?: string }) => {
      onRefused(error.message, socket.remoteAddress ?? "unknown");
    });
  });
  const cutOff = (): void => {
    server.forceShutdown();
    for (const session of sessions) session.destroy();
  };
  return { server, cutOff };
}

/**
 * Runs `hook` on every http2 server that grpc-js makes. grpc-js offers no public way to it, so its one method that
 * makes them is wrapped; should a release rename it, this fails at start, not silently at 64 KiB per round trip.
 */
function hookHttp2Server(server: Server, hook: (http2Server: Http2Server) => void): void {
  const inner = server as unknown as { createHttp2Server?: (c: ServerCredentials) => Http2Server };
  const create = inner.createHttp2Server;
  if (typeof create !== "function") {
    throw new InternalError("cannot raise server windows: got a grpc-js without createHttp2Server; want 1.14");
  }
  inner.createHttp2Server = (serverCredentials) => {
    const http2Server = create.call(server, serverCredentials);
    hook(http2Server);
    return http2Server;
  };
}

function closeWithoutPreface(session: ServerHttp2Session, onRefused: RefusalListener): void {
  const remote = remoteOf(session);
  const timer = setTimeout(() => {
    onRefused(`no HTTP/2 preface within ${PREFACE_TIMEOUT_MS} ms`, remote);
    session.destroy();
  }, PREFACE_TIMEOUT_MS);
  timer.unref();
  session.once("remoteSettings", () => clearTimeout(timer));
  session.once("close", () => clearTimeout(timer));
}

function remoteOf(session: ServerHttp2Session): string {
  // A destroyed session has no socket any more.
  return session.destroyed ? "unknown" : (session.socket?.remoteAddress ?? "unknown");
}
