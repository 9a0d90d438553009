// libs/runtime/http-body.ts: the body of a request in the pieces it arrived in, never more than a limit.
// The write path runs through here once per request, and copies nothing: each piece is memory of its own.
import type { IncomingMessage } from "node:http";
import { CanceledError } from "../model/index.ts";
import { HttpError } from "./http-errors.ts";

/** How long a client whose connection is cut has to read its answer. */
const FAREWELL_MS = 500;

/**
 * Reads the whole body. `limitName` is the flag an operator can change, for the message.
 * Errors: HttpError 413 when it is longer than `limitBytes` (without waiting for it, when the length is declared),
 * CanceledError when the client goes away in the middle.
 */
export function readParts(request: IncomingMessage, limitBytes: number, limitName: string): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    // The parser has refused lengths that are no numbers, and a length beside chunked encoding.
    const declared = request.headers["content-length"];
    const isRefused = Number(declared) > limitBytes;
    if (isRefused) reject(tooLarge(declared!, limitBytes, limitName));
    request.on("data", (part: Buffer) => {
      size += part.length;
      if (size <= limitBytes && !isRefused) {
        parts.push(part);
        return;
      }
      // What still comes is read and dropped, so that the client gets to see the answer and can go on with the connection, but not without end.
      parts.length = 0;
      reject(tooLarge(`more than ${limitBytes}`, limitBytes, limitName));
      if (size > 2 * limitBytes && !request.isPaused()) cut(request);
    });
    request.on("end", () => resolve(parts));
    // "close" follows "end" too; making an error each time would cost 5 µs a request.
    request.on("close", () => {
      if (request.readableEnded) return;
      reject(new CanceledError("cannot read body: got a closed connection; want all of it"));
    });
  });
}

/** Takes no more from a client, and cuts the connection a little later: at once the system would throw away what the client has not read yet. */
function cut(request: IncomingMessage): void {
  request.pause();
  setTimeout(() => request.socket.destroy(), FAREWELL_MS).unref();
}

function tooLarge(got: string, limitBytes: number, limitName: string): HttpError {
  return new HttpError(413, `cannot read body: got ${got} bytes; want at most ${limitBytes} (${limitName})`);
}
