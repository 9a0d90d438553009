// libs/runtime/http-exchange.ts: one request with its answer, as handlers see them.
// One object per write request. What writes do not need (abort signal, compression, streaming) costs them nothing.
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { constants, createGzip, gzip } from "node:zlib";
import { CanceledError } from "../model/index.ts";
import { type HeldBodies, readParts } from "./http-body.ts";
import type { Target } from "./http-path.ts";

/** Answers shorter than this are sent as they are: compressing them costs more time than it saves. */
export const GZIP_MIN_BYTES = 32 * 1024;
const gzipWhole = promisify(gzip);
const GZIP_LEVEL = { level: constants.Z_BEST_SPEED };

/** Chunks rendered between two turns of the event loop, so that a long answer does not hold up writes. */
const CHUNKS_PER_TURN = 4;

/** A client that takes nothing for so long has gone, and what its answer is made of with it. */
const STALL_MS = 60_000;

/** Adds the headers of every answer: flat name, value pairs. Called when an answer begins, not when its request does. */
export type AnswerHead = (headers: readonly string[]) => string[];

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: Target;
  /** Decoded named segments of the route's pattern. */
  readonly params: Readonly<Record<string, string>>;
  readonly #head: AnswerHead;
  readonly #bodies: HeldBodies;
  readonly #stallMs: number;
  #abort: AbortController | undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    target: Target,
    params: Readonly<Record<string, string>>,
    head: AnswerHead,
    bodies: HeldBodies,
    stallMs = STALL_MS,
  ) {
    this.#head = head;
    this.#bodies = bodies;
    this.#stallMs = stallMs;
    this.request = request;
    this.response = response;
    this.target = target;
    this.params = params;
  }

  /** A request header by its lower-case name; the first value when it occurs more than once. */
  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** The body in pieces; see http-body.ts. */
  readParts(limitBytes: number, limitName: string): Promise<Uint8Array[]> {
    return readParts(this.request, limitBytes, limitName, this.#bodies);
  }

  /** The body as UTF-8 text; bytes that are not UTF-8 become U+FFFD. */
  async readText(limitBytes: number, limitName: string): Promise<string> {
    return Buffer.concat(await this.readParts(limitBytes, limitName)).toString("utf8");
  }

  /** Aborts with CanceledError when the client goes away before the answer is complete. */
  get abort(): AbortController {
    if (this.#abort !== undefined) return this.#abort;
    const controller = new AbortController();
    this.#abort = controller;
    const gone = (): void =>
      controller.abort(new CanceledError("query was canceled: the client closed the connection"));
    // The request itself counts as destroyed once its body has been read.
    if (this.response.destroyed || this.request.socket.destroyed) gone();
    this.response.once("close", () => {
      if (!this.response.writableFinished) gone();
    });
    return controller;
  }

  /** Answers with no body. */
  empty(status: number, headers: readonly string[] = []): void {
    this.response.writeHead(status, this.#head(headers)).end();
  }

  /** Answers with a line of text. */
  text(status: number, text: string, headers: readonly string[] = []): void {
    const body = Buffer.from(`${text}\n`);
    this.response
      .writeHead(status, this.#typed("text/plain; charset=utf-8", ["Content-Length", String(body.length), ...headers]))
      .end(body);
  }

  /** Answers with a whole body, compressed when it is large and the client accepts that. */
  async send(status: number, contentType: string, body: Uint8Array, headers: readonly string[] = []): Promise<void> {
    const head = this.#typed(contentType, ["Vary", "Accept-Encoding", ...headers]);
    let bytes = body;
    if (body.length >= GZIP_MIN_BYTES && this.acceptsGzip()) {
      bytes = await gzipWhole(body, GZIP_LEVEL);
      head.push("Content-Encoding", "gzip");
    }
    head.push("Content-Length", String(bytes.length));
    this.response.writeHead(status, head).end(bytes);
  }

  /**
   * Answers with chunks as they are rendered, no faster than the client reads. A single chunk is sent whole.
   * Errors: CanceledError when the client goes away; whatever the chunks' source throws.
   */
  async stream(
    status: number,
    contentType: string,
    chunks: Iterable<Uint8Array>,
    headers: readonly string[] = [],
  ): Promise<void> {
    const source = chunks[Symbol.iterator]();
    const first = source.next();
    let next = source.next();
    if (next.done === true) return this.send(status, contentType, first.value ?? new Uint8Array(0), headers);
    const head = this.#typed(contentType, ["Vary", "Accept-Encoding", ...headers]);
    const signal = this.abort.signal;
    const zip = this.acceptsGzip() ? createGzip(GZIP_LEVEL) : undefined;
    if (zip !== undefined) head.push("Content-Encoding", "gzip");
    this.response.writeHead(status, head);
    zip?.pipe(this.response);
    const out = zip ?? this.response;
    try {
      out.write(first.value);
      for (let count = 1; next.done !== true; count++) {
        signal.throwIfAborted();
        if (!out.write(next.value)) await drained(out, signal, this.#stallMs);
        else if (count % CHUNKS_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
        next = source.next();
      }
    } catch (error) {
      source.return?.();
      zip?.destroy();
      throw error;
    }
    out.end();
  }

  /** Answers with a whole body as it is. */
  binary(status: number, contentType: string, body: Uint8Array, headers: readonly string[] = []): void {
    this.response
      .writeHead(status, this.#typed(contentType, ["Content-Length", String(body.length), ...headers]))
      .end(body);
  }

  /**
   * Answers with chunks as they come, uncompressed, no faster than the client reads. The head waits for the first chunk, so that a
   * failure before it can still be said. Errors: CanceledError when the client goes away; whatever the chunks' source throws.
   */
  async pour(status: number, contentType: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { signal } = this.abort;
    let begun = false;
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      if (!begun) this.response.writeHead(status, this.#typed(contentType, []));
      begun = true;
      if (!this.response.write(chunk)) await drained(this.response, signal, this.#stallMs);
    }
    signal.throwIfAborted();
    if (!begun) this.response.writeHead(status, this.#typed(contentType, []));
    this.response.end();
  }

  #typed(contentType: string, headers: readonly string[]): string[] {
    return this.#head(["Content-Type", contentType, "X-Content-Type-Options", "nosniff", ...headers]);
  }

  /** Whether the client lists gzip and does not give it a quality of 0. */
  acceptsGzip(): boolean {
    const accepted = this.header("accept-encoding");
    if (accepted === undefined) return false;
    return accepted.split(",").some((part) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(part));
  }
}

function drained(out: NodeJS.WritableStream, signal: AbortSignal, stallMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      out.removeListener("drain", onDrain);
      signal.removeEventListener("abort", onAbort);
    };
    const onDrain = (): void => {
      end();
      resolve();
    };
    const onAbort = (): void => {
      end();
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      end();
      reject(new CanceledError("cannot answer: got a client that takes nothing; want it to read"));
    }, stallMs);
    out.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
