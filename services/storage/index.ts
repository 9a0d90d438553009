// services/storage/index.ts: the storage service: an opened engine, served over gRPC until it is stopped.
// Invariant: the engine is closed last, when nothing can reach it any more.
import { type ServeOptions, type StorageEngine, serveStorage } from "../../libs/rpc/index.ts";

/** An engine that can be closed: what was accepted is durable when `close` settles, and its directory is free. */
export interface ClosableEngine extends StorageEngine {
  close(): Promise<void>;
}

export interface StartStorageOptions extends ServeOptions {
  readonly engine: ClosableEngine;
}

export interface StorageService {
  /** HOST:PORT that gRPC listens on. */
  readonly address: string;
  /** Takes no new calls, acknowledges what was read, answers the queries that run, then closes the engine. */
  close(): Promise<void>;
}

/**
 * Serves an opened engine. When serving fails the engine is closed before the error is thrown.
 * Errors: InvalidError for an address that is none, UnavailableError when it can't be bound.
 */
export async function startStorage(options: StartStorageOptions): Promise<StorageService> {
  const { engine } = options;
  try {
    const server = await serveStorage(options);
    let closed: Promise<void> | undefined;
    return {
      address: server.address,
      close: () => {
        closed ??= server.close().finally(() => engine.close());
        return closed;
      },
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}
